import asyncio
import base64
import json
import re

import httpx
import pytest

from app.api.schemas import ClassifyManyOut, ClassifyOut, ErrorOut
from app.imaging.price import Price
from app.pace import Pace
from tests.api.conftest import MODEL, picture, service

URL = "/v1/classify"
RED, BLUE = picture((250, 0, 0)), picture((0, 0, 250), "JPEG")


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def check_error(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert set(body) == {"error", "code", "request_id"}
    assert body["code"] == code
    assert len(body["error"]) > 10
    assert answer.headers["x-request-id"] == body["request_id"]
    ErrorOut.model_validate(body, strict=True)


async def test_an_answer_has_everything_that_was_promised() -> None:
    async with service() as s:
        answer = await s.client.post(URL, content=RED, params={"top_k": 10}, headers={"X-Request-ID": "my-id:1"})
        body = answer.json()
        assert answer.status_code == 200
        ClassifyOut.model_validate(body, strict=True)
        assert body["model"] == MODEL
        assert body["request_id"] == answer.headers["x-request-id"] == "my-id:1"
        scores = [p["score"] for p in body["predictions"]]
        assert len(scores) == 10 and scores == sorted(scores, reverse=True)
        assert sum(scores) == pytest.approx(1, abs=1e-4)
        assert sorted(p["index"] for p in body["predictions"]) == list(range(10))
        assert all(p["label"] == f"class_{p['index']}" for p in body["predictions"])
        parts = dict(re.findall(r"(\w+);dur=([\d.]+)", answer.headers["server-timing"]))
        assert {name: float(value) for name, value in parts.items()} == body["timing_ms"]
        assert body["timing_ms"]["total"] >= body["timing_ms"]["inference"] > 0
        assert "random" in body["notice"]


async def test_the_bytes_decide_whatever_the_header_says() -> None:
    async with service() as s:
        expected = (await s.client.post(URL, content=RED)).json()["predictions"]
        for kind in (
            "image/jpeg",
            "image/png",
            "application/octet-stream",
            "text/plain",
            "nonsense",
            "",
            "multipart/form-data",
        ):
            answer = await s.client.post(URL, content=RED, headers={"Content-Type": kind})
            assert answer.status_code == 200, (kind, answer.text)
            assert answer.json()["predictions"] == expected


async def test_form_json_and_raw_agree() -> None:
    async with service() as s:
        raw = await s.client.post(URL, content=RED)
        form = await s.client.post(URL, files={"image": ("a.png", RED)})
        plain = await s.client.post(URL, json={"image": b64(RED)})
        uri = await s.client.post(URL, json={"image": "data:image/png;base64," + b64(RED)})
        for answer in (raw, form, plain, uri):
            assert answer.status_code == 200
            ours, theirs = answer.json()["predictions"], raw.json()["predictions"]
            assert [p["index"] for p in ours] == [p["index"] for p in theirs]


async def test_several_images_come_back_in_order_and_a_bad_one_harms_nobody() -> None:
    async with service() as s:
        alone = [(await s.client.post(URL, content=x)).json()["predictions"] for x in (RED, BLUE)]
        files = [("image", RED), ("image", b"no picture"), ("image", BLUE), ("image", b"")]
        form = await s.client.post(URL, files=files)
        texts = [b64(RED), b64(b"no picture"), b64(BLUE), "", "§", 7]
        document = await s.client.post(URL, json={"images": texts})
        codes = ["not_an_image", "empty_body", "malformed_request", "malformed_request"]
        for answer, count in ((form, 4), (document, 6)):
            assert answer.status_code == 200
            ClassifyManyOut.model_validate(answer.json())
            results = answer.json()["results"]
            assert len(results) == count
            for got, expected in ((results[0], alone[0]), (results[2], alone[1])):
                assert [p["index"] for p in got["predictions"]] == [p["index"] for p in expected]
                assert got["predictions"][0]["score"] == pytest.approx(expected[0]["score"], abs=1e-4)
            assert [r["code"] for r in results if "code" in r] == codes[: count - 2]


async def test_a_bug_met_by_one_image_harms_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async with service() as s:
        real = s.classifier._decode

        async def decode(data: bytes, cost: Price, slot: int) -> None:
            await real(data, cost, slot)
            if data == BLUE:
                s.classifier._slots.release(slot)
                raise MemoryError

        monkeypatch.setattr(s.classifier, "_decode", decode)
        answer = await s.client.post(URL, files=[("image", BLUE), ("image", RED)])
        bad, good = answer.json()["results"]
        alone = (await s.client.post(URL, content=RED)).json()
        assert bad["code"] == "internal_error"
        assert set(good) == set(alone) - {"request_id"}
        assert s.counted("vit_jobs_total", outcome="error") == 1


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b"", {}, 400, "empty_body"),
        (b"hello", {}, 415, "not_an_image"),
        (b"%PDF-1.7", {"Content-Type": "image/png"}, 415, "not_an_image"),
        (RED[:-40], {}, 422, "corrupt_image"),
        (BLUE[:300], {}, 422, "corrupt_image"),
        (b"{", {"Content-Type": "application/json"}, 400, "malformed_request"),
        (b"[]", {"Content-Type": "application/json"}, 400, "malformed_request"),
        (b'{"image": 3}', {"Content-Type": "application/json"}, 400, "malformed_request"),
        (b'{"image": "***"}', {"Content-Type": "application/json"}, 400, "malformed_request"),
        (b'{"image": ""}', {"Content-Type": "application/json"}, 400, "empty_body"),
        (b'{"images": []}', {"Content-Type": "application/json"}, 400, "empty_body"),
        (b"[" * 100_000, {"Content-Type": "application/json"}, 400, "malformed_request"),
        (b'{"a":' * 50_000, {}, 400, "malformed_request"),
        (b"\xff\xfe{\0}\0", {"Content-Type": "application/json"}, 400, "malformed_request"),
        (b"--x\r\n\r\n", {"Content-Type": "multipart/form-data"}, 400, "malformed_request"),
        (b"--x\r\nbroken", {"Content-Type": "multipart/form-data; boundary=x"}, 400, "malformed_request"),
    ],
)
async def test_bad_bodies(content: bytes, headers: dict[str, str], status: int, code: str) -> None:
    async with service() as s:
        check_error(await s.client.post(URL, content=content, headers=headers), status, code)


async def test_a_form_without_the_field_says_what_it_has() -> None:
    async with service() as s:
        answer = await s.client.post(URL, files={"file": RED})
        check_error(answer, 400, "malformed_request")
        assert "'file'" in answer.json()["error"]


@pytest.mark.parametrize("top_k", ["0", "11", "-1", "+1", "1.0", "1e1", "abc", "", "٣", "99999999999999999999"])
async def test_bad_top_k(top_k: str) -> None:
    async with service() as s:
        check_error(await s.client.post(URL, params={"top_k": top_k}, content=RED), 422, "invalid_top_k")


@pytest.mark.parametrize("sent", ["ä", "a b", "x" * 129, "<script>", "a\tb"])
async def test_an_insane_request_id_is_replaced(sent: str) -> None:
    async with service() as s:
        answer = await s.client.get("/livez", headers={b"X-Request-ID": sent.encode()})
        assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


async def test_too_many_bytes_pixels_and_images() -> None:
    async with service(max_body_bytes=2048, max_pixels=1000, max_images_per_request=2) as s:
        check_error(await s.client.post(URL, content=b"x" * 2049), 413, "body_too_large")

        async def chunks():
            for _ in range(100):
                yield b"x" * 100

        check_error(await s.client.post(URL, content=chunks()), 413, "body_too_large")
        check_error(await s.client.post(URL, content=picture(size=32)), 422, "too_many_pixels")
        check_error(await s.client.post(URL, files=[("image", b"x")] * 3), 413, "too_many_images")
        check_error(await s.client.post(URL, json={"images": ["", "", ""]}), 413, "too_many_images")


async def test_a_full_house_refuses_at_the_door() -> None:
    async with service(slots=1) as s:
        slot = s.classifier._slots.take()
        assert slot is not None
        answer = await s.client.post(URL, content=RED)
        check_error(answer, 503, "overloaded")
        assert int(answer.headers["retry-after"]) >= 1
        patient = {"X-Request-Timeout-Ms": "200"}  # several wait for room as long as they have time
        several = await s.client.post(URL, files=[("image", RED), ("image", BLUE)], headers=patient)
        check_error(several, 504, "deadline_exceeded")
        waiting = asyncio.create_task(s.client.post(URL, files=[("image", RED), ("image", BLUE)]))
        await asyncio.sleep(0.2)
        s.classifier._slots.release(slot)
        assert [len(r["predictions"]) for r in (await waiting).json()["results"]] == [5, 5]
        assert (await s.client.post(URL, content=RED)).status_code == 200


async def test_refused_before_the_body_is_read() -> None:
    async with service(max_body_bytes=4096, max_images_per_request=4) as s:
        sent: list[dict[str, object]] = []

        async def receive() -> dict[str, object]:
            raise AssertionError("the body was read")

        async def send(message: dict[str, object]) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": URL,
            "raw_path": URL.encode(),
            "query_string": b"",
            "http_version": "1.1",
        }
        large = {**scope, "headers": [(b"content-length", b"5000")]}
        await s.app(large, receive, send)
        assert [m["status"] for m in sent if "status" in m] == [413]
        s.classifier._engine._pace = Pace(1)  # type: ignore[attr-defined]
        s.classifier._engine._pace.add(1, 10.0)  # type: ignore[attr-defined]
        taken = [s.classifier._slots.take() for _ in range(20)]
        sent.clear()
        await s.app({**scope, "headers": []}, receive, send)
        assert [m["status"] for m in sent if "status" in m] == [503]
        for slot in taken:
            assert slot is not None
            s.classifier._slots.release(slot)


async def test_a_client_that_leaves_cancels_its_work() -> None:
    async with service() as s:
        started = asyncio.Event()
        cancelled = asyncio.Event()

        async def slow(data: bytes, **options: object) -> None:
            started.set()
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                cancelled.set()
                raise

        s.classifier.classify = slow  # type: ignore[method-assign, assignment]
        messages = [{"type": "http.request", "body": RED, "more_body": False}]

        async def receive() -> dict[str, object]:
            if messages:
                return messages.pop()
            await started.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, object]) -> None:
            pass

        scope = {
            "type": "http", "method": "POST", "path": URL, "raw_path": URL.encode(), "query_string": b"",
            "http_version": "1.1", "headers": [],
        }  # fmt: skip
        await asyncio.wait_for(s.app(scope, receive, send), 5)
        assert cancelled.is_set()
        assert s.counted("vit_requests_total", route=URL, code="499") == 1


async def test_a_bug_is_counted_has_its_id_and_hides_its_cause() -> None:
    async with service() as s:

        async def broken(data: bytes, **options: object) -> None:
            raise ZeroDivisionError("secret")

        s.classifier.classify = broken  # type: ignore[method-assign, assignment]
        answer = await s.client.post(URL, content=RED)
        check_error(answer, 500, "internal_error")
        assert "secret" not in answer.text
        assert s.counted("vit_requests_total", route=URL, code="500") == 1


async def test_hundreds_at_once_keep_to_their_own() -> None:
    async with service(slots=256, max_wait_ms=60_000) as s:
        bodies = [picture((i, 255 - i, i * 7 % 256)) for i in range(200)]
        alone = [(await s.client.post(URL, content=body)).json()["predictions"] for body in bodies]
        together = await asyncio.gather(*(s.client.post(URL, content=body) for body in bodies))
        for answer, expected in zip(together, alone, strict=True):
            assert answer.status_code == 200
            for got, was in zip(answer.json()["predictions"], expected, strict=True):
                assert got["score"] == pytest.approx(was["score"], abs=1e-4)
        assert json.loads(together[0].text)["batch_size"] <= 2
        assert s.counted("vit_jobs_total", outcome="result") == 400
