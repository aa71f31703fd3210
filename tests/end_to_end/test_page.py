"""The page at /, in a real browser."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from playwright.sync_api import FilePayload, Locator, Page, expect, sync_playwright

from tests.api.conftest import picture
from tests.benchmark.server import Server, running, service
from tests.deploy.tools import tool
from tests.graphs.tiny import network, saved


@pytest.fixture
def page(embedded: Server) -> Iterator[Page]:
    with opened(embedded) as page:
        yield page


@contextmanager
def opened(server: Server) -> Iterator[Page]:
    """The page of a server. In the end nothing may have failed in it, or come from elsewhere."""
    origin = f"http://127.0.0.1:{server.port}/"
    wrong: list[str] = []
    with sync_playwright() as playwright:
        # Without its sandbox, which needs what a container or root does not have.
        browser = playwright.chromium.launch(executable_path=tool("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if "Policy" in message.text else None)
        page.on(
            "request", lambda request: None if request.url.startswith((origin, "blob:")) else wrong.append(request.url)
        )
        page.goto(origin)
        yield page
        browser.close()
    assert not wrong


def choose(page: Page, *files: tuple[str, bytes]) -> Locator:
    """Chooses the files, in this order, and returns the answers, of which the latest is the first."""
    payloads: list[FilePayload] = [{"name": name, "mimeType": "", "buffer": content} for name, content in files]
    page.locator("#files").set_input_files(payloads)
    return page.locator("article")


def test_it_says_what_is_served_and_how_to_ask_from_a_shell(page: Page, embedded: Server):
    expect(page.locator("#model")).to_contain_text(embedded.get_json("/v1/model")["name"])
    expect(page.locator("#notice")).to_be_hidden()
    expect(page.locator("#command")).to_have_text(
        f"curl --data-binary @photo.jpg http://127.0.0.1:{embedded.port}/v1/classify"
    )


def test_a_photograph_gets_its_classes_with_scores_and_times(page: Page, cat: bytes):
    answer = choose(page, ("chelsea.jpg", cat))
    expect(answer.locator("h2")).to_have_text("chelsea.jpg")
    expect(answer.locator("li")).to_have_count(5)
    expect(answer.locator("li .label").first).to_have_text("cat")
    expect(answer.locator("li .score").first).to_contain_text("%")
    expect(answer.locator(".timing")).to_contain_text("batch of 1")
    expect(answer.locator(".warning")).to_be_hidden()
    expect(answer.locator(".scores")).to_be_hidden()
    assert answer.locator("meter").first.evaluate("e => e.value") > 0.7
    assert answer.locator("img").evaluate("e => e.naturalWidth") > 0


def test_an_unsure_answer_says_so(page: Page, embedded: Server):
    greys = (picture((level, level, level)) for level in range(0, 256, 8))
    unsure = next(grey for grey in greys if embedded.post_image("/v1/classify", grey)["confidence"] == "low")
    answer = choose(page, ("fog.png", unsure))
    expect(answer.locator(".warning")).to_contain_text("Low confidence")
    threshold = embedded.get_json("/v1/model")["threshold"]
    expect(answer.locator(".warning")).to_contain_text(f"below {100 * threshold:.1f}\u00a0%")


def test_a_bad_file_among_others_shows_its_own_error(page: Page, cat: bytes):
    name = "<img src=x onerror=alert(1)>.txt"
    answers = choose(page, (name, b"no picture"), ("chelsea.jpg", cat))
    expect(answers).to_have_count(2)
    expect(answers.nth(0).locator("li .label").first).to_have_text("cat")
    expect(answers.nth(1).locator("h2")).to_have_text(name)
    expect(answers.nth(1).locator(".warning")).to_contain_text("(not_an_image, request ")


def test_a_service_that_has_gone_is_said_to_have(page: Page, cat: bytes):
    page.context.set_offline(True)
    answer = choose(page, ("chelsea.jpg", cat))
    expect(answer.locator(".warning")).to_have_text("The service cannot be reached.")


@pytest.mark.parametrize(
    ("activation", "meaning", "bars"),
    [("sigmoid", "Each score is on its own", 3), ("none", "The model's own numbers, not shares.", 0)],
)
def test_scores_that_share_nothing_are_drawn_as_what_they_are(
    activation: Any, meaning: str, bars: int, tmp_path: Path, cat: bytes
):
    made = network()
    made.head.bias.copy_(torch.tensor([40.0, 2.5, -3.0]))
    made.head.weight.mul_(1e-3)
    saved(tmp_path / "model", made, activation=activation)
    with running(service(str(tmp_path / "model")), tmp_path / "log") as server, opened(server) as page:
        answer = choose(page, ("chelsea.jpg", cat))
        expect(answer.locator(".scores")).to_contain_text(meaning)
        expect(answer.locator("li .label")).to_have_text(["cat", "dog", "owl"])
        expect(answer.locator("meter")).to_have_count(bars)
        numbers = [float(text.replace("%", "")) for text in answer.locator(".score").all_inner_texts()]
        given = [p["score"] for p in server.post_image("/v1/classify", cat)["predictions"]]
        if activation == "none":
            assert numbers == pytest.approx(given, rel=1e-3) and numbers == pytest.approx([40, 2.5, -3], rel=0.05)
        else:
            assert numbers == pytest.approx([100 * each for each in given], abs=0.06) and sum(numbers) > 150
            assert [meter.evaluate("e => e.value") for meter in answer.locator("meter").all()] == pytest.approx(given)
        expect(answer.locator(".warning")).to_be_hidden()
        boxes = [part.bounding_box() for part in (answer.locator("li").first, answer.locator(".score").first)]
        assert boxes[0] and boxes[1]
        edges = [box["x"] + box["width"] for box in boxes if box]
        assert edges[0] == pytest.approx(edges[1], abs=1), "the number stands at the end of its row"
