"""The JavaScript client in a real browser, from another origin than the service's."""

import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Page, Route

from tests.benchmark.server import Server, running, service
from tests.deploy.tools import ROOT, tool
from tests.end_to_end.web.conftest import Opened

pytestmark = pytest.mark.operations

CLIENT: Final = ROOT / "clients/javascript"
PICTURE: Final = """async ([at, ...rest]) => {
  const { VitClient, VitError, ServiceError, UnreachableError, DeadlineError, downscaled } =
    await import(`${at}page/vit-client.js`);
  const picture = await (await fetch("chelsea.jpg")).blob();
  const failure = async (promise) => {
    try { return { answer: await promise }; } catch (error) {
      if (!(error instanceof VitError)) return { other: error.name };
      const { name, code, status, requestId, retryAfterMs, message } = error;
      return { name, code, status, requestId, retryAfterMs, message };
    }
  };
"""


class Elsewhere(SimpleHTTPRequestHandler):
    """Says nothing of the requests."""

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Another origin: a page, and a picture."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "index.html").write_text("<!doctype html><title>elsewhere</title>")
    shutil.copy(ROOT / "app/graphs/photographs/chelsea.jpg", folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Elsewhere, directory=folder))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def shared(elsewhere: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service that this origin may ask."""
    command = [*service("embedded"), "--max-wait-ms", "60000", "--cors-origins", f'["{elsewhere}"]']
    with running(command, tmp_path_factory.mktemp("shared") / "log") as server:
        yield server


@pytest.fixture
def foreign(browser: Browser, elsewhere: str) -> Iterator[Page]:
    context = browser.new_context()
    page = context.new_page()
    page.goto(elsewhere)
    yield page
    context.close()


def asked(page: Page, server: Server, script: str, *more: Any) -> Any:
    return page.evaluate(f"{PICTURE}{script} }}", [f"http://127.0.0.1:{server.port}/", *more])


def test_a_page_of_another_origin_classifies(foreign: Page, shared: Server, cat: bytes):
    answer = asked(foreign, shared, "return await new VitClient(at).classify(picture, { topK: 3 });")
    assert [len(answer["predictions"]), answer["predictions"][0]["label"], answer["confidence"]] == [3, "cat", "high"]
    assert answer["elapsedMs"] >= answer["timing_ms"]["total"] > 0
    name = asked(foreign, shared, "return (await new VitClient(at).model()).name;")
    assert name == shared.get_json("/v1/model")["name"]


def test_an_origin_that_is_not_allowed_is_told_that_there_is_no_answer(foreign: Page, shared: Server, embedded: Server):
    script = "return await failure(new VitClient(rest[0], { retries: 0 }).classify(picture));"
    told = asked(foreign, embedded, script, f"http://127.0.0.1:{embedded.port}/")
    assert (told["name"], told["code"], told["status"]) == ("UnreachableError", "unreachable", None)
    origin = foreign.evaluate("location.origin")
    assert told["message"].endswith(f" Is it up, and does its VIT_CORS_ORIGINS name {origin}?")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("localhost:8000", "localhost:8000 is no http(s) address; did you mean http://localhost:8000?"),
        ("127.0.0.1:8000", "127.0.0.1:8000 is no http(s) address; did you mean http://127.0.0.1:8000?"),
        ("ftp://host", "ftp://host is no http(s) address"),
    ],
)
def test_an_address_without_http_is_refused_at_once(url: str, message: str, foreign: Page, shared: Server):
    script = "try { new VitClient(rest[0]); } catch (error) { return [error.name, error.message]; }"
    assert asked(foreign, shared, script, url) == ["TypeError", message]


def test_no_class_at_all_is_the_services_to_refuse(foreign: Page, shared: Server):
    told = asked(foreign, shared, "return await failure(new VitClient(at).classify(picture, { topK: 0 }));")
    assert (told["status"], told["code"]) == (422, "invalid_top_k")


def test_pictures_become_numbers(foreign: Page, shared: Server):
    script = "return await new VitClient(at).embed([picture, await picture.bytes()], { normalize: true });"
    one, other = asked(foreign, shared, script.replace("picture.bytes", "picture.arrayBuffer"))
    assert len(one) > 3 and sum(value * value for value in one) == pytest.approx(1, abs=1e-4)
    assert other == pytest.approx(one, abs=1e-4)
    bare = asked(foreign, shared, "return await new VitClient(at).embed([picture]);")
    assert len(bare) == 1 and sum(value * value for value in bare[0]) != pytest.approx(1, abs=1e-2)


def test_node_sends_a_large_picture_as_it_is(embedded: Server):
    script = f"""
      import {{ readFile }} from "node:fs/promises";
      import {{ VitClient }} from "{CLIENT}/vit-client.js";
      const picture = await readFile("{ROOT}/app/graphs/photographs/chelsea.jpg");
      const service = new VitClient("http://127.0.0.1:{embedded.port}");
      console.log((await service.classify(picture, {{ downscale: {{ maxEdge: 9 }} }})).predictions[0].label);
      const nobody = new VitClient("http://127.0.0.1:9", {{ retries: 0 }});
      await nobody.model().catch(({{ message }}) => console.log(message));
    """
    command = [tool("node"), "--input-type=module", "--eval", script]
    told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert (told.stdout, told.stderr) == ("cat\nThe service cannot be reached.\n", "")


def test_the_services_errors_keep_their_names(foreign: Page, shared: Server):
    told = asked(foreign, shared, 'return await failure(new VitClient(at).classify(new Blob(["no picture"])));')
    assert (told["name"], told["code"], told["status"]) == ("ServiceError", "not_an_image", 415)
    assert told["requestId"] and "not an image" in told["message"]


def test_many_are_answered_each_with_its_own_outcome(foreign: Page, shared: Server):
    script = """
      const images = [picture, new Blob(["none"]), picture, picture, picture, picture];
      const outcomes = [];
      for await (const each of new VitClient(at).classifyMany(images, { concurrency: 2 })) outcomes.push(each);
      return outcomes.map(({ index, answer, error }) => [index, answer?.predictions[0].label ?? error.code]);
    """
    outcomes = asked(foreign, shared, script)
    assert sorted(outcomes) == [[0, "cat"], [1, "not_an_image"], *([n, "cat"] for n in range(2, 6))]


def test_large_pictures_are_made_smaller_and_small_ones_left_alone(foreign: Page, shared: Server):
    script = """
      const large = new OffscreenCanvas(3000, 1500);
      large.getContext("2d").fillRect(0, 0, 10, 10);
      const size = async (blob) => { const b = await createImageBitmap(blob); return [b.width, b.height, blob.type]; };
      const none = new Blob(["none"]);
      return [await size(await downscaled(await large.convertToBlob(), { maxEdge: 600 })),
        (await downscaled(picture)) === picture, (await downscaled(none)) === none];
    """
    assert asked(foreign, shared, script) == [[600, 300, "image/jpeg"], True, True]


def test_the_upload_is_told_to_a_page_of_another_origin(foreign: Page, shared: Server):
    script = """
      const shares = [];
      await new VitClient(at).classify(picture, { onUploadProgress: (share) => shares.push(share) });
      return shares;
    """
    assert asked(foreign, shared, script)[-1] == 1


class Refusing:
    """Answers as an overloaded service would, the first `times`; then lets through."""

    def __init__(self, times: int, retry_after: str = "1") -> None:
        self.times, self.retry_after, self.seen = times, retry_after, list[dict[str, str]]()

    def __call__(self, route: Route) -> None:
        self.seen.append(route.request.headers)
        if len(self.seen) > self.times:
            route.continue_()
            return
        body = {"error": "too many", "code": "overloaded", "request_id": "7"}
        route.fulfill(status=503, json=body, headers={"Retry-After": self.retry_after})


def test_a_refusal_is_tried_again_after_what_it_says(page: Page, embedded: Server):
    page.route("**/v1/classify*", refusing := Refusing(1))
    script = """
      const startedAt = performance.now();
      const answer = await new VitClient(at).classify(picture);
      return [answer.predictions[0].label, performance.now() - startedAt];
    """
    picture = PICTURE.replace("chelsea.jpg", "page/chelsea.jpg")
    label, took_ms = page.evaluate(f"{picture}{script} }}", [f"http://127.0.0.1:{embedded.port}/"])
    assert label == "cat" and took_ms >= 1000
    left_ms = [int(headers["x-request-timeout-ms"]) for headers in refusing.seen]
    assert left_ms[0] <= 30_000 and left_ms[1] <= left_ms[0] - 1000, "the service is told what is left"


@pytest.mark.parametrize(
    ("options", "tries"),
    [("{ retries: 0 }", 1), ("{ timeoutMs: 900 }", 1), ("{ retries: 1, backoffMs: 1 }", 2)],
    ids=["asked once", "no time for another", "twice refused"],
)
def test_patience_has_an_end(options: str, tries: int, page: Page, embedded: Server):
    page.route("**/v1/classify*", refusing := Refusing(9))
    script = f"return await failure(new VitClient(at, {options}).classify(picture));"
    told = page.evaluate(
        f"{PICTURE.replace('chelsea.jpg', 'page/chelsea.jpg')}{script} }}", [f"http://127.0.0.1:{embedded.port}/"]
    )
    assert (told["code"], told["status"], told["retryAfterMs"], told["requestId"]) == ("overloaded", 503, 1000, "7")
    assert len(refusing.seen) == tries


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("{ timeoutMs: 300 }", {"name": "DeadlineError", "code": "timeout", "status": None}),
        ("{ signal: AbortSignal.abort(new RangeError()) }", {"other": "RangeError"}),
        ("{ signal: AbortSignal.timeout(200), onUploadProgress: () => {} }", {"other": "TimeoutError"}),
    ],
    ids=["late", "aborted before", "aborted meanwhile"],
)
def test_who_waits_in_vain_may_leave(how: str, told: dict[str, Any], page: Page, embedded: Server):
    page.route("**/v1/classify*", lambda route: None)
    script = f"return await failure(new VitClient(at).classify(picture, {how}));"
    got = page.evaluate(
        f"{PICTURE.replace('chelsea.jpg', 'page/chelsea.jpg')}{script} }}", [f"http://127.0.0.1:{embedded.port}/"]
    )
    assert {name: got[name] for name in told} == told


def test_the_snippet_for_javascript_runs_as_it_stands(foreign: Page, shared: Server, opened: Opened):
    with opened(shared) as page:
        page.locator("#tab-javascript").click()
        code = page.locator("#command").inner_text()
    assert code.startswith("// on another origin: VIT_CORS_ORIGINS=")
    foreign.set_content('<input type="file">')
    foreign.set_input_files("input", ROOT / "app/graphs/photographs/chelsea.jpg")
    with foreign.expect_console_message() as first:
        foreign.add_script_tag(content=code, type="module")
    assert first.value.text.startswith("cat 0.9")


def test_what_is_distributed_is_what_is_served():
    assert (CLIENT / "vit-client.js").read_bytes() == (ROOT / "app/web/vit-client.js").read_bytes(), (
        "cp app/web/vit-client.js clients/javascript/"
    )


def test_the_types_are_those_of_the_module(page: Page, node_modules: Path, tmp_path: Path):
    types = (CLIENT / "vit-client.d.ts").read_text()
    exported = page.evaluate("async () => Object.keys(await import(new URL('page/vit-client.js', location)))")
    assert set(exported) == set(re.findall(r"^export (?:class|function) (\w+)", types, re.MULTILINE))
    shutil.copytree(CLIENT, tmp_path / "node_modules/vit-serve-client")
    (tmp_path / "use.ts").write_text("""
import { VitClient, ServiceError, type Outcome } from "vit-serve-client";
export async function use(files: File[]): Promise<string[]> {
  const client = new VitClient("http://x", { timeoutMs: 5 });
  const one = await client.classify(new Uint8Array([1]), { topK: 3, downscale: { maxEdge: 9 } });
  const told: string[] = [one.predictions[0]!.label, one.elapsedMs.toFixed()];
  told.push((await client.embed(files, { normalize: true }))[0]!.length.toFixed());
  for await (const outcome of client.classifyMany(files, { concurrency: 2 })) told.push(said(outcome));
  return told;
}
function said(outcome: Outcome<File>): string {
  if (outcome.error) return outcome.error instanceof ServiceError ? outcome.error.code : "";
  return outcome.image.name + outcome.answer.request_id;
}
// @ts-expect-error: a number is no image
new VitClient().classify(5);
""")
    tsc = [tool("node"), str(node_modules / "typescript/bin/tsc"), "--noEmit", "--strict", "--module", "nodenext"]
    done = subprocess.run(
        [*tsc, "--target", "es2022", "--lib", "es2022,dom,dom.asynciterable", "use.ts"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
