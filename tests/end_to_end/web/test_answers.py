"""What the page at / says of pictures, in a real browser."""

from pathlib import Path
from typing import Any

import pytest
import torch
from playwright.sync_api import Page, Route, expect

from tests.api.conftest import picture
from tests.benchmark.server import Server, running, service
from tests.end_to_end.web.conftest import Opened, choose
from tests.graphs.tiny import network, saved

pytestmark = pytest.mark.operations


def test_a_photograph_gets_its_classes_with_scores_and_times(page: Page, embedded: Server, cat: bytes):
    answer = choose(page, ("chelsea.jpg", cat))
    expect(answer.locator("h3")).to_have_text("chelsea.jpg")
    expect(answer.locator(".verdict strong")).to_have_text("cat")
    expect(answer.locator(".scores li")).to_have_count(5)
    expect(answer.locator(".meaning")).to_contain_text("High confidence: the best score is above")
    expect(answer.locator(".meaning")).to_contain_text("add up to 100\u00a0%")
    expect(answer.locator(".error")).to_be_hidden()
    assert answer.locator(".fill").first.evaluate("e => e.offsetWidth / e.parentElement.offsetWidth") > 0.7
    assert answer.locator("img").evaluate("e => e.naturalWidth") > 0
    model = embedded.get_json("/v1/model")
    expect(answer.locator(".served")).to_contain_text(f"{model['engine']}, {model['precision']}")
    expect(answer.locator(".served")).to_contain_text("1\u00a0image")
    expect(page.locator("#spoken")).to_contain_text("chelsea.jpg: cat, ")


def test_the_stages_of_the_time_are_drawn_in_proportion(page: Page, cat: bytes):
    answer = choose(page, ("chelsea.jpg", cat))
    expect(answer.locator(".stages li")).to_have_count(5)
    told = [text.split()[0] for text in answer.locator(".stages li").all_inner_texts()]
    assert told == ["Network", "Decode", "Queue", "Inference", "Rest"]
    shown = answer.locator(".stack span").evaluate_all("all => all.map(e => [Number(e.style.flexGrow), e.offsetWidth])")
    times = [time for time, _ in shown]
    longest = max(shown)
    widths = [width for _, width in shown]
    assert longest[1] == max(widths) and sum(times) > 0
    assert longest[1] / sum(widths) == pytest.approx(longest[0] / sum(times), abs=0.1)
    total = float(answer.locator(".total").inner_text().split()[0])
    assert total == pytest.approx(sum(times), rel=0.1, abs=1)


def test_an_unsure_answer_says_so(page: Page, embedded: Server):
    greys = (picture((level, level, level)) for level in range(0, 256, 8))
    unsure = next(grey for grey in greys if embedded.post_image("/v1/classify", grey)["confidence"] == "low")
    answer = choose(page, ("fog.png", unsure))
    threshold = embedded.get_json("/v1/model")["threshold"]
    expect(answer.locator(".meaning")).to_contain_text(f"Low confidence: the best score is below {100 * threshold:.1f}")
    expect(answer.locator(".badge")).to_have_attribute("data-confidence", "low")


def test_a_bad_file_among_others_shows_its_own_error(page: Page, cat: bytes):
    name = "<img src=x onerror=alert(1)>.txt"
    answers = choose(page, (name, b"no picture"), ("chelsea.jpg", cat))
    expect(answers).to_have_count(2)
    expect(answers.nth(1).locator(".verdict strong")).to_have_text("cat")
    expect(answers.nth(0).locator("h3")).to_have_text(name)
    expect(answers.nth(0).locator(".error")).to_contain_text("(not_an_image, request ")
    expect(answers.nth(0).locator(".again")).to_be_hidden()
    expect(answers.nth(0).locator("figure")).to_have_attribute("data-kind", "TXT")
    expect(page.locator("#tally")).to_have_text("2\u00a0pictures, 1 failed")


def test_a_service_that_has_gone_is_said_to_have_and_may_be_asked_again(page: Page, cat: bytes):
    page.context.set_offline(True)
    answer = choose(page, ("chelsea.jpg", cat))
    expect(answer.locator(".error")).to_have_text("The service cannot be reached.")
    page.context.set_offline(False)
    answer.locator(".again").click()
    expect(answer.locator(".verdict strong")).to_have_text("cat")
    expect(answer.locator(".error")).to_be_hidden()


def test_a_refusal_is_waited_out(page: Page, cat: bytes):
    refused: list[str] = []

    def refuse_once(route: Route) -> None:
        if refused:
            route.continue_()
            return
        refused.append(route.request.url)
        body = {"error": "too many images are waiting", "code": "overloaded", "request_id": "one"}
        route.fulfill(status=503, json=body, headers={"Retry-After": "1"})

    page.route("**/v1/classify*", refuse_once)
    answer = choose(page, ("chelsea.jpg", cat))
    expect(answer.locator(".verdict strong")).to_have_text("cat")
    assert refused


def test_two_answers_are_compared_class_by_class(page: Page, embedded: Server, cat: bytes):
    page.locator("#samples button").nth(3).click()
    expect(page.locator(".verdict strong")).to_have_text("frog")
    answers = choose(page, ("chelsea.jpg", cat))
    expect(answers.locator(".verdict strong")).to_have_text(["cat", "frog"])
    answers.nth(0).locator(".compare").click()
    expect(page.locator("#compare-hint")).to_contain_text("beside chelsea.jpg")
    answers.nth(1).locator(".compare").click()
    dialog = page.get_by_role("dialog", name="Side by side")
    expect(dialog.locator("figcaption strong")).to_have_text(["cat", "frog"])
    expect(dialog.locator("tbody th").filter(has_text="cat")).to_have_count(1)
    best = embedded.post_image("/v1/classify", cat)["predictions"][0]["score"]
    row = dialog.locator("tbody tr").filter(has=page.locator("th", has_text="cat"))
    expect(row.locator("td").first).to_contain_text(f"{100 * best:.1f}")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.locator('.compare[aria-pressed="true"]')).to_have_count(0)


@pytest.mark.parametrize(
    ("activation", "meaning", "bars"),
    [("sigmoid", "Each score is on its own", 3), ("none", "The model's own numbers, not shares.", 0)],
)
def test_scores_that_share_nothing_are_drawn_as_what_they_are(
    activation: Any, meaning: str, bars: int, tmp_path: Path, cat: bytes, opened: Opened
):
    made = network()
    made.head.bias.copy_(torch.tensor([40.0, 2.5, -3.0]))
    made.head.weight.mul_(1e-3)
    saved(tmp_path / "model", made, activation=activation)
    with running(service(str(tmp_path / "model")), tmp_path / "log") as server, opened(server) as page:
        answer = choose(page, ("chelsea.jpg", cat))
        expect(answer.locator(".meaning")).to_contain_text(meaning)
        expect(answer.locator(".scores .label")).to_have_text(["cat", "dog", "owl"])
        expect(answer.locator(".scores .fill")).to_have_count(bars)
        numbers = [float(text.replace("%", "")) for text in answer.locator(".scores .number").all_inner_texts()]
        given = [p["score"] for p in server.post_image("/v1/classify", cat)["predictions"]]
        if activation == "none":
            assert numbers == pytest.approx(given, rel=1e-3) and numbers == pytest.approx([40, 2.5, -3], rel=0.05)
        else:
            assert numbers == pytest.approx([100 * each for each in given], abs=0.06) and sum(numbers) > 150
        boxes = [part.bounding_box() for part in (answer.locator("li").first, answer.locator(".number").first)]
        assert boxes[0] and boxes[1]
        edges = [box["x"] + box["width"] for box in boxes if box]
        assert edges[0] == pytest.approx(edges[1], abs=1), "the number stands at the end of its row"
