"""The panel of the service, the heat map and the API's page, and whom all of it reaches, in a real browser."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.benchmark.server import Server
from tests.end_to_end.web.conftest import Opened, choose

pytestmark = pytest.mark.operations

BATCHES = re.compile(r"(1 image|(?!1 )[\d–+]+ images): (1\xa0batch|(?!1\xa0)\d+\xa0batches)")
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


@contextmanager
def load(server: Server, image: bytes) -> Iterator[None]:
    """Two clients that ask all the time."""
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.02):
            server.post_image("/v1/classify", image)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    yield
    over.set()
    for thread in threads:
        thread.join()


def test_the_panel_moves_under_load(page: Page, embedded: Server, cat: bytes):
    expect(page.locator("#pulse")).to_have_text("Ready")
    with load(embedded, cat):
        expect(page.locator("#live-rate")).not_to_have_text("0", timeout=10_000)
        expect(page.locator("#live-p99")).to_contain_text("ms")
        batches = page.locator("#live-batches li").evaluate_all("all => all.map((e) => e.ariaLabel)")
        assert batches and all(BATCHES.fullmatch(each) for each in batches), batches
        expect(page.locator("#live-inside")).to_contain_text("of 256")
        page.wait_for_timeout(2500)
        rate = float(page.locator("#live-rate").inner_text().replace(",", ""))
        assert rate > 2
        p50, p99 = (float(page.locator(f"#live-{which}").inner_text().split()[0]) for which in ("p50", "p99"))
        assert 0 < p50 <= p99
        assert page.locator("#spark .line").get_attribute("d").count("L") >= 2  # type: ignore[union-attr]
        tallest = page.locator(".column").evaluate_all("all => Math.max(...all.map((e) => e.offsetHeight))")
        assert tallest > 30
    expect(page.locator("#live-rate")).to_have_text("0", timeout=10_000)


def test_a_panel_that_nobody_sees_asks_for_nothing(page: Page):
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/page/live") else None)
    page.evaluate(
        "Object.defineProperty(document, 'hidden', { get: () => true });"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    page.wait_for_timeout(100)
    asked.clear()
    page.wait_for_timeout(2200)
    assert not asked


def test_a_service_that_has_gone_is_told_by_the_panel(page: Page):
    expect(page.locator("#pulse")).to_have_text("Ready")
    page.context.set_offline(True)
    expect(page.locator("#pulse")).to_have_text("No answer")


def test_the_heat_map_lies_over_the_photograph(page: Page, cat: bytes):
    answer = choose(page, ("chelsea.jpg", cat))
    look = answer.get_by_role("button", name="What it looked at")
    look.click()
    expect(look).to_have_attribute("aria-pressed", "true", timeout=30_000)
    photograph, heat = (answer.locator(part).bounding_box() for part in ("img", ".heat"))
    assert photograph and heat and [*photograph.values()] == pytest.approx([*heat.values()], abs=0.5)
    colours = answer.locator(".heat").evaluate(
        "e => new Set(new Uint32Array(e.getContext('2d').getImageData(0, 0, e.width, e.height).data.buffer)).size"
    )
    assert colours > 20
    answer.get_by_role("slider", name="Opacity").fill("20")
    assert answer.locator(".heat").evaluate("e => getComputedStyle(e).opacity") == "0.2"
    look.click()
    expect(answer.locator(".heat")).to_be_hidden()


@pytest.mark.parametrize(
    ("grid", "told", "strength"),
    [
        ([[0.061, 0.034], [0.05, 0.045]], "Weights 3.4 to 6.1\u00a0%, even would be 4.8\u00a0%", 60 + 180 * 27 / 61),
        ([[0.25, 0.25], [0.25, 0.25]], "Weights 25 to 25\u00a0%, even would be 25\u00a0%", 60),
        ([[0.97, 0.0], [0.01, 0.02]], "Weights 0 to 97\u00a0%, even would be 25\u00a0%", 240),
    ],
    ids=["nearly even", "even", "at one place"],
)
def test_the_heat_is_as_strong_as_the_weights_are_apart(grid: Any, told: str, strength: float, page: Page, cat: bytes):
    held: list[Route] = []
    page.route("**/v1/explain", lambda route: held.append(route))
    answer = choose(page, ("chelsea.jpg", cat))
    look = answer.get_by_role("button", name="What it looked at")
    look.press("Enter")
    look.press("Enter")
    expect(look).to_have_attribute("aria-disabled", "true")
    expect(look).to_be_focused()
    expect(answer.locator(".weights")).to_be_hidden()
    held[0].fulfill(json={"grid": grid, "rows": 2, "columns": 2})
    expect(answer.locator(".weights")).to_have_text(told)
    assert len(held) == 1, "asked once"
    pixels = "e.getContext('2d').getImageData(0, 0, e.width, e.height).data"
    strongest = "reduce((most, value, at) => at % 4 === 3 ? Math.max(most, value) : most, 0)"
    alpha = answer.locator(".heat").evaluate(f"e => {pixels}.{strongest}")
    assert alpha == pytest.approx(strength, abs=15), "smoothing overshoots a little"


@pytest.mark.parametrize("capabilities", [None, {}, {"explain": []}], ids=str)
def test_who_cannot_explain_is_not_asked_to(capabilities: Any, page: Page, embedded: Server, cat: bytes):
    model = {**embedded.get_json("/v1/model"), "capabilities": capabilities}
    page.route("**/v1/model", lambda route: route.fulfill(json=model))
    page.reload()
    answer = choose(page, ("chelsea.jpg", cat))
    expect(answer.locator(".verdict strong")).to_have_text("cat")
    expect(answer.locator(".look")).to_be_hidden()


@pytest.mark.parametrize("path", ["", "docs"])
def test_a_telephone_need_not_scroll_sideways(path: str, embedded: Server, opened: Opened, cat: bytes):
    with opened(embedded, path, **PHONE) as page:
        if not path:
            choose(page, ("a_name_that_is_very_long_" * 9 + ".jpg", cat), ("notes.txt", b"none"))
            expect(page.locator(".outcome:visible")).to_have_count(1)
            expect(page.locator(".error:visible")).to_have_count(1)
        else:
            page.locator("summary").evaluate_all("all => all.forEach((e) => e.click())")
        assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_the_apis_page_tells_and_tries_every_operation(embedded: Server, opened: Opened, tmp_path: Path, cat: bytes):
    paths = embedded.get_json("/openapi.json")["paths"]
    with opened(embedded, "docs") as page:
        expect(page.locator("#operations > section")).to_have_count(sum(len(each) for each in paths.values()))
        section = page.locator("section", has=page.locator("h2", has_text="/v1/classify")).first
        expect(section).to_contain_text("Give up after this many milliseconds")
        section.get_by_text("Try it").click()
        section.locator('input[name="top_k"]').fill("2")
        (tmp_path / "cat.jpg").write_bytes(cat)
        section.locator('input[type="file"]').set_input_files(tmp_path / "cat.jpg")
        section.get_by_role("button", name="Send").click()
        expect(section.get_by_role("status")).to_contain_text("200 OK")
        answer = json.loads(section.get_by_label("Answer").inner_text())
        assert [each["label"] for each in answer["predictions"]][0] == "cat" and len(answer["predictions"]) == 2
        expect(section.get_by_role("button", name="Send")).to_be_focused()


@pytest.mark.parametrize(
    ("path", "name", "words"),
    [
        ("/v1/explain", "method", ["rollout", "attention", "gradient"]),
        ("/v1/explain", "format", ["–", "json", "png"]),
        ("/v1/embeddings", "normalize", ["false", "true"]),
    ],
)
def test_the_apis_page_lets_words_be_chosen(
    path: str, name: str, words: list[str], embedded: Server, opened: Opened, tmp_path: Path, cat: bytes
):
    with opened(embedded, "docs") as page:
        expect(page.get_by_role("navigation", name="Pages").get_by_role("link")).to_have_text("Pictures")
        section = page.locator("section", has=page.locator("h2", has_text=path)).first
        section.get_by_text("Try it").click()
        choice = section.locator(f'select[name="{name}"]')
        expect(choice.locator("option")).to_have_text(words)
        (tmp_path / "cat.jpg").write_bytes(cat)
        section.locator('input[type="file"]').set_input_files(tmp_path / "cat.jpg")
        for chosen, query in ((words[1], f"?{name}={words[1]}"), (words[0], "")):
            choice.select_option(chosen)
            with page.expect_request(f"**{path}*") as asked:
                section.get_by_role("button", name="Send").click()
            assert asked.value.url.partition(path)[2] == query
            expect(section.get_by_role("status")).to_contain_text("200 OK")


AUDIT = """async () => {
  const { violations } = await axe.run(document, { resultTypes: ["violations"] });
  return violations.map(({ id, impact, nodes }) => [impact, id, ...nodes.map((node) => node.html.slice(0, 150))]);
}"""


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", ["empty", "answers", "comparison", "docs"])
def test_axe_finds_nothing(
    state: str, scheme: str, width: int, embedded: Server, opened: Opened, node_modules: Path, cat: bytes
):
    view = {"color_scheme": scheme, "viewport": {"width": width, "height": 900}}
    with opened(embedded, "docs" if state == "docs" else "", **view) as page:
        if state in ("answers", "comparison"):
            choose(page, ("chelsea.jpg", cat), ("again.jpg", cat))
            expect(page.locator(".outcome:visible")).to_have_count(2)
        if state == "answers":
            choose(page, ("notes.txt", b"none"))
            expect(page.locator(".error:visible")).to_have_count(1)
        if state == "comparison":
            for button in page.locator(".compare").all():
                button.click()
        if state == "docs":
            expect(page.locator("#operations > section").first).to_be_visible()
            page.locator("summary").evaluate_all("all => all.forEach((e) => e.click())")
        page.evaluate((node_modules / "axe-core/axe.min.js").read_text())
        assert page.evaluate(AUDIT) == []
