"""Bring a browser for the tests of the pages where there is none: ``python tests/browser/bring.py UV``.

It needs nothing but the standard library and `uv`, and runs before anything else is installed: a machine that
cannot have a browser says so at once, not after all other tests.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
REQUIREMENTS = Path(__file__).parents[2] / "requirements.txt"
LAUNCH = (
    "from playwright.sync_api import sync_playwright\n"
    "with sync_playwright() as playwright:\n    playwright.chromium.launch().close()"
)


def find() -> str | None:
    """Return this machine's own Chromium or Chrome, if it has one that starts."""
    found = (path for path in map(shutil.which, BROWSERS) if path)
    return next((path for path in found if not _run([path, "--version"])), None)


def _run(command: list[str]) -> str:
    """Run a command; return nothing if all went well, else the last line that it printed."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return (lines[-1].strip() if lines else f"status {done.returncode}") if done.returncode else ""


def _by_apt() -> str:
    """Install Chromium with apt-get, as root or with a sudo that asks nothing; return why it did not work."""
    if not shutil.which("apt-get"):
        return "there is no apt-get"
    sudo = [] if os.getuid() == 0 else ["sudo", "-n"]
    if sudo and (not shutil.which("sudo") or _run([*sudo, "true"])):
        return "neither root nor a sudo that asks nothing"
    apt = [*sudo, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    failed = _run([*apt, "update"]) or _run([*apt, "install", "-y", "--no-install-recommends", "chromium"])
    return failed or ("" if find() else "the installed Chromium does not start")


def _by_playwright(uv: str) -> str:
    """Let Playwright download its Chromium, once; return why that did not work."""
    tool = [uv, "tool", "run", "--constraints", str(REQUIREMENTS), "--from", "playwright"]
    failed = _run([*tool, "playwright", "install", "--only-shell", "chromium"])
    return failed or _run([*tool, "python", "-c", LAUNCH])


def main(uv: str) -> str | None:
    """See to it that there is a browser; return what to do if there can be none."""
    if find():
        return None
    print("no browser for the tests of the pages: bringing one", flush=True)
    if not (apt := _by_apt()) or not (playwright := _by_playwright(uv)):
        return None
    return (
        "make test needs Chromium or Chrome for the tests of the pages: please install one "
        f"(apt-get install chromium).\n  apt-get: {apt}\n  Playwright's download: {playwright}"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
