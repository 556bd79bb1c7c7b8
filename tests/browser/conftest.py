"""The book in the `smoke` profile, served on this machine, and a headless browser that looks at it."""

import http.server
import shutil
import threading
from functools import partial
from pathlib import Path

import pytest

from sdnet_lib.publish import build

ROOT = Path(__file__).parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="session")
def html():
    """The folder of web pages, built if need be; unchanged notebooks do not run again."""
    return build.build(output=ROOT / "_build" / "test", profile="smoke").parent


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
def browser():
    """A headless Chromium or Chrome; without one the tests fail, for the pages are a part of the course."""
    from selenium import webdriver

    found = next((path for path in map(shutil.which, BROWSERS) if path), None)
    if found is None:
        pytest.fail("no browser: install Chromium and its driver (apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = found
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    driver.set_page_load_timeout(60)
    yield driver
    driver.quit()
