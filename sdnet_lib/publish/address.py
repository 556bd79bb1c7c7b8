"""Where the course is published. Every address of its own that the book shows is made here, from one name.

``SDNET_REPOSITORY`` holds it: ``OWNER/NAME`` of a repository on GitHub. The publishing workflow sets it to
the repository that it runs in, so the buttons of a fork lead to the fork. Without it there are no such links.
"""

from __future__ import annotations

import os
import re

import sdnet_lib
from sdnet_lib.files import InputError

VARIABLE = "SDNET_REPOSITORY"
BRANCH = "gh-pages"  # holds the pages, the plain notebooks and the wheel
WHEEL = f"sdnet_lib-{sdnet_lib.__version__}-py3-none-any.whl"


def repository() -> str | None:
    """Return ``OWNER/NAME`` of the repository that this book is published from, None where it is not known.

    Raises
    ------
    InputError
        If the variable holds anything else.
    """
    name = os.environ.get(VARIABLE, "")
    if name and not re.fullmatch(r"[\w-]+/[\w.-]+", name):
        raise InputError(f"{VARIABLE} is {name!r}: OWNER/NAME of a repository on GitHub is wanted")
    return name or None


def pages() -> str | None:
    """Return the address of the published pages, without a slash at its end, or None."""
    if not (known := repository()):
        return None
    owner, name = known.split("/")
    host = f"{owner.lower()}.github.io"
    return f"https://{host}" if name.lower() == host else f"https://{host}/{name}"


def book_settings() -> dict:
    """Return the settings of Jupyter Book that give each chapter a launch button; none without an address.

    The button opens what the download button hands out: the plain notebook beside the published page.
    """
    if not (known := repository()):
        return {}
    return {
        "repository": {"url": f"https://github.com/{known}", "branch": BRANCH, "path_to_book": "_sources"},
        "launch_buttons": {"colab_url": "https://colab.research.google.com"},
    }
