"""The files of the pages, as HTTP has them; what they do is for tests/end_to_end/web."""

import gzip
import re

import pytest

from app.api.routes.page import _APP
from tests.api.conftest import service

WEB = _APP / "web"
HTML = {"accept": "text/html", "accept-encoding": "identity"}


@pytest.mark.parametrize(("path", "file"), [("/", "index.html"), ("/docs", "docs.html")])
async def test_a_page_loads_nothing_from_elsewhere_and_all_that_it_loads_is_there(path: str, file: str) -> None:
    async with service() as s:
        page = await s.client.get(path, headers=HTML)
        assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'") and "unsafe" not in policy
        assert page.headers["cache-control"] == "no-cache"
        loaded = re.findall(r'(?:src|href)="([^"#]+)"', page.text)
        for link in loaded:
            assert not link.startswith(("http", "//")), link
            answer = await s.client.get("/" + link.removeprefix("./"), headers=HTML)
            assert answer.status_code == 200, link
            if link.startswith("page/"):
                assert "immutable" in answer.headers["cache-control"], link
        assert not re.search(r"<style|style=|<script(?![^>]* src=)|\son\w+=", page.text), "the policy forbids it"
        scripts = {link.rpartition("/")[2] for link in loaded if link.endswith(".js")}
        needed = {name for each in scripts for name in re.findall(r'from "\./([^"]+)"', (WEB / each).read_text())}
        assert needed <= scripts, "what a module imports is announced, so that all come at once"


async def test_whoever_has_a_file_gets_it_no_second_time() -> None:
    async with service() as s:
        first = await s.client.get("/page/vit-client.js", headers={"accept-encoding": "gzip"})
        assert first.headers["content-encoding"] == "gzip" and first.content == (WEB / "vit-client.js").read_bytes()
        assert int(first.headers["content-length"]) < len(first.content) / 2
        again = await s.client.get("/page/vit-client.js", headers={"if-none-match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        other = await s.client.get("/page/page.js", headers={"if-none-match": first.headers["etag"]})
        assert other.status_code == 200


async def test_a_page_of_any_origin_may_load_the_client_and_nothing_else() -> None:
    async with service() as s:
        allowed = "access-control-allow-origin"
        assert (await s.client.get("/page/vit-client.js")).headers[allowed] == "*"
        assert allowed not in (await s.client.get("/page/page.js")).headers


async def test_another_releases_address_has_what_there_is_and_is_not_kept() -> None:
    async with service() as s:
        answer = await s.client.get("/page/000000000000/page.js")
        assert answer.status_code == 200 and answer.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("name", ["..%2f..%2fsettings.py", "settings.py", "x/settings.py", "x/..%2f..%2fsettings.py"])
async def test_nothing_else_is_served(name: str) -> None:
    async with service() as s:
        missing = await s.client.get(f"/page/{name}")
        assert (missing.status_code, missing.json()["code"]) == (404, "not_found")


async def test_the_panel_is_answered_and_not_counted_among_what_is_timed() -> None:
    async with service() as s:
        first = (await s.client.get("/page/live")).json()
        assert (first["ready"], first["in_flight"], first["slots"]) == (1, 0, 32)
        answers = [await s.client.get("/page/live") for _ in range(3)]
        assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}
        assert all(answer.json() == first for answer in answers), "the same for all within a second"


def test_the_pages_are_small() -> None:
    scripts_and_styles = [file for file in WEB.iterdir() if file.suffix in (".html", ".css", ".js")]
    packed = sum(len(gzip.compress(file.read_bytes())) for file in scripts_and_styles)
    assert packed < 40_000
    assert all(len(file.read_text().splitlines()) <= 300 for file in scripts_and_styles)
