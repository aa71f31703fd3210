"""How pictures come to the page at /, and what it does with many, in a real browser."""

import base64
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.api.conftest import picture
from tests.benchmark.server import Server
from tests.end_to_end.web.conftest import Opened, choose

pytestmark = pytest.mark.operations

AS_FILE = """(text) => {
  const transfer = new DataTransfer();
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  transfer.items.add(new File([bytes], "chelsea.jpg", { type: "image/jpeg" }));
"""


def test_it_says_what_is_served_and_how_to_ask_from_a_shell(page: Page, embedded: Server):
    model = embedded.get_json("/v1/model")
    expect(page.locator("#model")).to_contain_text(f"{len(model['labels'])}\u00a0classes: airplane, ")
    expect(page.locator("#model-facts")).to_contain_text(model["name"])
    expect(page.locator("#notice")).to_be_hidden()
    expect(page.locator("#command")).to_have_text(
        f"curl --data-binary @photo.jpg http://127.0.0.1:{embedded.port}/v1/classify"
    )


@pytest.mark.parametrize(
    "event",
    [
        'document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true })); }',
        'document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true })); }',
    ],
    ids=["pasted", "dropped"],
)
def test_a_picture_may_be(event: str, page: Page, cat: bytes):
    page.evaluate(AS_FILE + event, base64.b64encode(cat).decode())
    expect(page.locator(".verdict strong")).to_have_text("cat")


@pytest.mark.parametrize(("which", "label"), [*enumerate(["cat", "airplane", "ship", "frog"])])
def test_the_samples_are_what_they_show(which: int, label: str, page: Page):
    page.locator("#samples button").nth(which).click()
    expect(page.locator(".verdict strong")).to_have_text(label)


def test_many_pictures_are_asked_four_at_a_time_and_kept_in_order(page: Page):
    held: list[Route] = []
    page.route("**/v1/classify*", lambda route: held.append(route))
    colours = [(20 * n, 90, 200 - 20 * n) for n in range(10)]
    answers = choose(page, *((f"{n}.png", picture(colour)) for n, colour in enumerate(colours)))
    expect(answers.locator("h3")).to_have_text([f"{n}.png" for n in range(10)])
    expect(page.locator("#tally")).to_have_text("0 of 10\u00a0pictures")
    page.wait_for_timeout(300)
    assert len(held) == 4
    for n in range(10):
        while len(held) <= n:
            page.wait_for_timeout(20)
        assert len(held) <= n + 4
        held[n].continue_()
    expect(page.locator(".outcome:visible")).to_have_count(10)
    expect(page.locator("#tally")).to_have_text("10\u00a0pictures")
    expect(page.locator("#progress")).to_be_hidden()


def test_what_is_under_way_can_be_stopped_and_all_be_cleared(page: Page):
    page.route("**/v1/classify*", lambda route: None)
    answers = choose(page, *((f"{n}.png", picture()) for n in range(6)))
    page.locator("#stop").click()
    expect(answers.locator(".error")).to_have_text(["Stopped before there was an answer."] * 6)
    page.unroute("**/v1/classify*")
    answers.nth(5).locator(".again").click()
    expect(answers.nth(5).locator(".outcome")).to_be_visible()
    page.locator("#clear").click()
    expect(answers).to_have_count(0)
    expect(page.locator("#results")).to_be_hidden()


def test_the_upload_tells_how_far_it_is(page: Page, cat: bytes):
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    network.send(
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": len(cat) / 2},
    )
    answer = choose(page, ("chelsea.jpg", cat))
    bar = answer.locator("progress")
    expect(bar).to_be_visible()
    while not bar.evaluate("e => e.value > 0.1 && e.value < 1"):
        page.wait_for_timeout(20)
    expect(answer.locator(".verdict strong")).to_have_text("cat")
    expect(bar).to_be_hidden()


def test_a_large_picture_is_made_smaller_if_asked(page: Page):
    sent: list[int] = []
    page.on("request", lambda request: sent.append(_size(request)) if "classify" in request.url else None)
    large = picture(kind="PNG", size=3000)
    page.locator("#shrink").check()
    choose(page, ("large.png", large))
    expect(page.locator(".outcome")).to_be_visible()
    page.locator("#shrink").uncheck()
    choose(page, ("large.png", large))
    expect(page.locator(".outcome:visible")).to_have_count(2)
    assert sent[0] != len(large) and sent[1] == len(large)


def _size(request: Any) -> int:
    return int(request.header_value("content-length") or 0)


def test_the_request_is_told_in_three_languages_by_keyboard(page: Page, embedded: Server, cat: bytes):
    choose(page, ("it's me.jpg", cat))
    code = page.locator("#command")
    expect(code).to_contain_text("'@it'\\''s me.jpg'")
    page.locator("#tab-curl").focus()
    page.keyboard.press("ArrowRight")
    expect(code).to_contain_text('open("it\'s me.jpg", "rb")')
    page.keyboard.press("ArrowRight")
    expect(code).to_contain_text("new VitClient(")
    expect(page.locator("#tab-javascript")).to_have_attribute("aria-selected", "true")
    page.locator("#copy").click()
    expect(page.locator("#copy")).to_have_text("Copied")


def test_as_many_classes_as_asked_for_as_far_as_there_are(page: Page, cat: bytes):
    page.locator("#top").select_option("3")
    expect(page.locator("#command")).to_contain_text("'http://", use_inner_text=True)
    expect(page.locator("#command")).to_contain_text("?top_k=3'")
    answers = choose(page, ("chelsea.jpg", cat))
    expect(answers.locator(".scores li")).to_have_count(3)
    few = {"name": "few", "labels": ["a", "b"], "parameters": 1, "preprocess": {}, "lanes": 1}
    page.route("**/v1/model", lambda route: route.fulfill(json=few))
    page.reload()
    page.locator("#top").select_option("10")
    expect(choose(page, ("chelsea.jpg", cat)).locator(".scores li")).to_have_count(2)


def test_all_of_it_works_by_keyboard(page: Page):
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.dataset.name") == "chelsea.jpg":
            break
    page.keyboard.press("Enter")
    expect(page.locator(".verdict strong")).to_have_text("cat")
    remove = page.get_by_role("button", name="Remove chelsea.jpg")
    remove.focus()
    page.keyboard.press("Enter")
    expect(page.locator("article")).to_have_count(0)
    expect(page.locator("#files")).to_be_focused()


def test_the_keyboard_keeps_its_place(page: Page):
    answers = choose(page, *((f"{n}.png", picture()) for n in range(3)))
    expect(page.locator(".outcome:visible")).to_have_count(3)
    for gone, focused in (("1.png", "2.png"), ("2.png", "0.png")):
        page.get_by_role("button", name=f"Remove {gone}").press("Enter")
        expect(page.get_by_role("button", name=f"Remove {focused}")).to_be_focused()
    expect(answers).to_have_count(1)
    page.locator("#clear").press("Enter")
    expect(page.locator("#files")).to_be_focused()


def test_a_hidden_buttons_focus_goes_to_something_near(page: Page):
    page.route("**/v1/classify*", lambda route: None)
    answer = choose(page, ("0.png", picture()))
    page.locator("#stop").press("Enter")
    expect(page.get_by_role("heading", name="Answers")).to_be_focused()
    answer.locator(".again").press("Enter")
    expect(answer.locator(".remove")).to_be_focused()


def test_a_screen_reader_hears_one_answer_a_second_and_at_last_the_tally(page: Page):
    page.evaluate("""() => {
      window.heard = [];
      const spoken = document.getElementById("spoken");
      const hear = () => heard.push([performance.now(), spoken.textContent]);
      new MutationObserver(hear).observe(spoken, { childList: true });
    }""")
    held: list[Route] = []
    page.route("**/v1/classify*", lambda route: held.append(route))
    choose(page, *((f"{n}.png", picture()) for n in range(9)), ("notes.txt", b"none"))
    for n in range(10):
        while len(held) <= n:
            page.wait_for_timeout(10)
        held[n].continue_()
        page.wait_for_timeout(200)  # of a debounce of 300 ms nobody would hear before the end
    expect(page.locator("#spoken")).to_contain_text(". 10\u00a0pictures, 1 failed")
    times, texts = zip(*page.evaluate("heard"), strict=True)
    assert 3 <= len(texts) < 10 and texts[0].startswith("0.png: ")
    assert all(later - earlier > 950 for earlier, later in zip(times, times[1:], strict=False))
    assert not any("pictures" in text for text in texts[:-1])
    held.clear()
    choose(page, ("alone.png", picture()))
    while not held:
        page.wait_for_timeout(10)
    held[0].continue_()
    expect(page.locator("#spoken")).to_contain_text("alone.png: ")
    expect(page.locator("#spoken")).not_to_contain_text("pictures")


def test_nothing_of_a_picture_stays_in_the_browser(page: Page, cat: bytes):
    choose(page, ("chelsea.jpg", cat))
    expect(page.locator(".outcome")).to_be_visible()
    url = page.locator("article img").get_attribute("src")
    page.locator("#clear").click()
    loads = "url => new Promise((told) => { const i = new Image(); i.onload = i.onerror = told; i.src = url; })"
    assert page.evaluate(f"async (url) => (await ({loads})(url)).type", url) == "error"
    kept = "[localStorage.length, sessionStorage.length, document.cookie, (await caches.keys()).length]"
    assert page.evaluate(f"async () => {kept}") == [0, 0, "", 0]


def test_light_and_dark_are_the_systems_until_chosen(embedded: Server, opened: Opened):
    ground = "getComputedStyle(document.body).backgroundColor"
    with opened(embedded, color_scheme="dark") as page:
        dark = page.evaluate(ground)
        page.get_by_role("button", name="Dark colours").click()
        light = page.evaluate(ground)
        page.reload()
        assert light != dark and page.evaluate(ground) == light
