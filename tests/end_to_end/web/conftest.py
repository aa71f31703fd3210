"""Owns the browser of these tests, and what npm installs for them; does not test."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, FilePayload, Locator, Page, sync_playwright

from tests.benchmark.server import Server
from tests.deploy.tools import ROOT, tool

Opened = Callable[..., AbstractContextManager[Page]]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Without its sandbox, which needs what a container or root does not have.
        browser = playwright.chromium.launch(executable_path=tool("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Browser) -> Opened:
    """Opens a page of a server. In the end nothing may have failed in it, or come from elsewhere."""

    @contextmanager
    def open_page(server: Server, path: str = "", **options: Any) -> Iterator[Page]:
        origin = f"http://127.0.0.1:{server.port}/"
        wrong: list[str] = []
        context = browser.new_context(**{"reduced_motion": "reduce", **options})
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if "Policy" in message.text else None)
        page.on(
            "request", lambda request: None if request.url.startswith((origin, "blob:")) else wrong.append(request.url)
        )
        page.goto(origin + path)
        yield page
        context.close()
        assert not wrong

    return open_page


@pytest.fixture
def page(embedded: Server, opened: Opened) -> Iterator[Page]:
    with opened(embedded) as page:
        yield page


def choose(page: Page, *files: tuple[str, bytes]) -> Locator:
    """Chooses the files, in this order, and returns all answers, those of the latest choice first."""
    payloads: list[FilePayload] = [{"name": name, "mimeType": "", "buffer": content} for name, content in files]
    page.locator("#files").set_input_files(payloads)
    return page.locator("article")


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """axe-core and typescript."""
    folder = Path(sys.prefix) / "web"
    tool("npm")
    subprocess.run([ROOT / "tests/end_to_end/web/install.sh", folder], check=True, timeout=50, env=os.environ)
    return folder / "node_modules"
