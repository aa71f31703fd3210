import asyncio
import json
from collections.abc import Iterator
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from app import errors
from app.api.errors import STATUS
from app.checkpoints.sources import load_model
from app.engine.client import Status
from tests.api.conftest import MODEL, Service, picture, service


async def test_unknown_routes_and_wrong_methods() -> None:
    async with service() as s:
        missing = await s.client.get("/nothing/here")
        assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
        wrong = await s.client.get("/v1/classify")
        assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
        assert "POST" in wrong.headers["allow"]
        assert s.counted("vit_requests_total", route="unmatched", code="404") == 1


async def test_probes_follow_the_life_of_the_service() -> None:
    async with service() as s:
        for path in ("/livez", "/readyz"):
            answer = await s.client.get(path)
            assert answer.json() == {"status": "ready"}
            assert "connection" not in answer.headers
        s.classifier.drain()
        assert (await s.client.get("/readyz")).status_code == 503
        assert (await s.client.get("/livez")).status_code == 200
        answer = await s.client.post("/v1/classify", content=picture())
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        s.classifier._engine._status = Status.FAILED  # type: ignore[attr-defined]
        assert (await s.client.get("/livez")).status_code == 503
        assert (await s.client.get("/readyz")).status_code == 503
        refused = await s.client.post("/v1/classify", content=picture())
        assert (refused.status_code, refused.json()["code"]) == (503, "failed")
        assert "retry-after" in refused.headers


async def test_the_model_is_described() -> None:
    async with service() as s:
        body = (await s.client.get("/v1/model")).json()
        assert body["variant"] == "vit_pico_patch4_32"
        assert body["parameters"] == sum(p.numel() for p in load_model(MODEL).network.parameters())
        assert len(body["labels"]) == 10
        assert body["preprocess"]["height"] == 32
        assert (body["device"], body["precision"], body["sha256"]) == ("cpu", "float32", None)


async def test_metrics_tell_what_happened() -> None:
    async with service() as s:
        await s.client.post("/v1/classify", content=picture())
        await s.client.post("/v1/classify", content=b"")
        text = (await s.client.get("/metrics")).text
        assert 'vit_requests_total{code="200",route="/v1/classify"} 1.0' in text
        assert 'vit_requests_total{code="400",route="/v1/classify"} 1.0' in text
        for stage in ("read", "decode", "queue", "inference", "respond"):
            assert f'vit_stage_duration_seconds_count{{stage="{stage}"}} 1.0' in text
        assert "vit_ready 1.0" in text
        assert "vit_slots_in_use 0.0" in text
        labels = 'device="cpu",engine="torch",name="random:vit_pico_patch4_32",precision="float32",sha256=""'
        assert f"vit_model_info{{{labels}}} 1.0" in text


async def test_cors_by_setting() -> None:
    origin = {"Origin": "https://a.example"}
    async with service() as s:
        assert "access-control-allow-origin" not in (await s.client.get("/livez", headers=origin)).headers
    async with service(cors_origins=("https://a.example",)) as s:
        answer = await s.client.get("/livez", headers=origin)
        assert answer.headers["access-control-allow-origin"] == "https://a.example"
        asked = {**origin, "Access-Control-Request-Method": "POST"}
        assert (await s.client.options("/v1/classify", headers=asked)).status_code == 200


async def test_the_examples_of_the_documentation_work() -> None:
    async with service() as s:
        document = (await s.client.get("/openapi.json")).json()
        operation = document["paths"]["/v1/classify"]["post"]
        examples = operation["requestBody"]["content"]["application/json"]["examples"]
        one = await s.client.post("/v1/classify", json=examples["one"]["value"])
        assert one.status_code == 200, one.text
        several = await s.client.post("/v1/classify", json=examples["several"]["value"])
        assert [len(r["predictions"]) for r in several.json()["results"]] == [5, 5]
        assert {"200", "400", "413", "415", "422", "503", "504"} <= set(operation["responses"])
        assert (await s.client.get("/docs")).status_code == 200


def classes(base: type[errors.VitServeError]) -> list[type[errors.VitServeError]]:
    """Those of the tree; a command's own, which another test may have imported, never reach the edge."""
    return [c for sub in base.__subclasses__() if sub.__module__ == errors.__name__ for c in (sub, *classes(sub))]


def test_every_error_that_can_reach_the_edge_has_a_status() -> None:
    bases = {errors.RequestError, errors.Unavailable, errors.SetupError}
    setup = {errors.SetupError, *classes(errors.SetupError)}
    assert set(classes(errors.VitServeError)) - bases - setup == set(STATUS)
    codes = [c.code for c in classes(errors.VitServeError)]
    assert len(codes) == len(set(codes))


SCOPE = {"type": "http", "asgi": {"version": "3.0"}, "raw_path": b"/", "http_version": "1.1", "scheme": "http"}
KINDS = [b"content-type", b"content-length", b"x-request-id", b"x-request-timeout-ms", b"accept", b"host"]
VALUES = [b"multipart/form-data; boundary=x", b"application/json", b"image/png", b"50", b"-1", b"1e400"]
FORM = b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\nhi\r\n--x--\r\n'
HEADERS = st.lists(
    st.tuples(st.sampled_from(KINDS), st.one_of(st.binary(max_size=40), st.sampled_from(VALUES))), max_size=6
)
PICTURES = [picture(), picture(kind="GIF")[:50], b'{"image":"aGk="}', FORM]
BODIES = st.one_of(st.binary(max_size=200), st.sampled_from(PICTURES))


@pytest.fixture(scope="module")
def fuzzed() -> Iterator[tuple[asyncio.Runner, Service]]:
    """One service for all examples, and the loop that it lives on."""
    with asyncio.Runner() as runner:
        opened = service(max_batch_size=1, request_timeout_ms=2000)
        yield runner, runner.run(opened.__aenter__())
        runner.run(opened.__aexit__(None, None, None))


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["GET", "POST", "PUT", "HEAD", "DELETE", "X"]),
    st.sampled_from(["/v1/classify", "/", "/v1/model", "/livez", "/v1/classify/", "/%00", "/ä"]),
    st.sampled_from([b"", b"top_k=3", b"top_k=%ff", b"top_k[]=1&&&=", b"\xff\xfe"]),
    HEADERS,
    st.lists(BODIES, max_size=3),
)
def test_nothing_gives_a_500(
    fuzzed: tuple[asyncio.Runner, Service], method: str, path: str, query: bytes, headers: Any, chunks: list[bytes]
) -> None:
    runner, s = fuzzed
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": c, "more_body": True} for c in chunks]
    messages.append({"type": "http.request", "body": b"", "more_body": False})
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop(0)
        await asyncio.sleep(30)
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def run() -> None:
        async with asyncio.timeout(20):
            await s.app(
                {**SCOPE, "method": method, "path": path, "query_string": query, "headers": headers}, receive, send
            )

    runner.run(run())
    assert sent[0]["type"] == "http.response.start"
    assert sent[0]["status"] != 500, sent
    if sent[0]["status"] >= 400:
        assert set(json.loads(b"".join(m.get("body", b"") for m in sent))) == {"error", "code", "request_id"}


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/v1/model", "/metrics"])
async def test_every_answer_has_a_request_id(path: str) -> None:
    async with service() as s:
        assert (await s.client.get(path)).headers["x-request-id"]
