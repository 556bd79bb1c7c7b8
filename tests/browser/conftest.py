"""The book in the `smoke` profile, served on this machine, and a headless browser that looks at it."""

import http.server
import os
import threading
from functools import partial
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from filelock import FileLock
from playwright.sync_api import sync_playwright

from sdnet_lib.publish import build
from tests.browser import bring

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def html():
    """The folder of web pages, built if need be; unchanged notebooks do not run again."""
    output, run = ROOT / "_build" / "test", os.environ.get("PYTEST_XDIST_TESTRUNUID", "alone")
    output.mkdir(parents=True, exist_ok=True)
    built = output / ".tests-built"  # by which run: of several test processes one builds
    with FileLock(output / ".tests"):
        if run == "alone" or not built.exists() or built.read_text() != run:
            build.build(output=output, profile="smoke", strict=True)
            built.write_text(run)
    return output / "html"


@pytest.fixture(scope="session")
def pages(html):
    """All pages by name, parsed."""
    files = sorted([*html.glob("book/**/*.html"), *html.glob("notebooks/*.html")])
    return {str(f.relative_to(html)): BeautifulSoup(f.read_text(), "html.parser") for f in files}


@pytest.fixture(scope="session")
def address(html):
    """Where the pages are served: on this machine, for the length of the tests."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=html)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="session")
def chromium():
    """This machine's headless Chromium or Chrome, else Playwright's own; `bring.py` sees to one of them."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=bring.find(), chromium_sandbox=False)
        yield browser
        browser.close()


@pytest.fixture
def desk(chromium):
    """A tab of a large screen."""
    with chromium.new_page(viewport={"width": 1280, "height": 900}) as page:
        yield page


@pytest.fixture
def phone(chromium):
    """A tab of a phone."""
    with chromium.new_page(viewport={"width": 390, "height": 844}, is_mobile=True) as page:
        yield page
