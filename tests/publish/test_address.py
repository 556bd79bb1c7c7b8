"""One name, set by whoever publishes, makes every address of the course; without it there is none."""

import pytest

from sdnet_lib.files import InputError
from sdnet_lib.publish import address


def test_without_a_name_there_are_no_addresses(monkeypatch):
    for value in (None, ""):
        if value is None:
            monkeypatch.delenv(address.VARIABLE, raising=False)
        else:
            monkeypatch.setenv(address.VARIABLE, value)
        assert address.repository() is None and address.pages() is None and address.book_settings() == {}


@pytest.mark.parametrize(
    "name, pages",
    [
        ("me/course", "https://me.github.io/course"),
        ("My-Lab/course.x", "https://my-lab.github.io/course.x"),
        ("Me/me.github.io", "https://me.github.io"),
    ],
)
def test_a_fork_leads_to_the_fork(monkeypatch, name, pages):
    monkeypatch.setenv(address.VARIABLE, name)
    assert address.pages() == pages
    assert address.book_settings()["repository"]["url"].endswith(f"/{name}")


@pytest.mark.parametrize("name", ["course", "https://a.b/me/course", "me/course/x", "me/ course", "../x/y"])
def test_anything_else_is_refused_in_one_line(monkeypatch, name):
    monkeypatch.setenv(address.VARIABLE, name)
    with pytest.raises(InputError, match="SDNET_REPOSITORY is .*OWNER/NAME"):
        address.repository()
