"""Templates hold the prose of computed pages; what they name has to come from Python."""

import pytest
from jinja2 import UndefinedError

from sdnet_lib.evaluation.render import Table
from sdnet_lib.files import InputError
from sdnet_lib.publish import templates


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(templates, "FOLDER", tmp_path)
    return tmp_path


def test_numbers_and_tables_come_into_the_prose(folder):
    (folder / "page.md.jinja").write_text(
        "{{ number(part, 0) }} % of {{ title(name) }}\n\n{{ t | markdown }}"
    )
    table = Table("A caption", ["", "x"], [["a", "1"]])
    assert templates.fill("page", part=0.5, name="fucitnet", t=table).splitlines() == [
        "50 % of FuCiTNet",
        "",
        "**A caption**",
        "",
        "|   | x |",
        "|:---|---:|",
        "| a | 1 |",
        "",
    ]


def test_a_name_without_a_value_is_an_error(folder):
    (folder / "page.md.jinja").write_text("{{ nobody }}")
    with pytest.raises(UndefinedError, match="nobody"):
        templates.fill("page")


def test_without_a_clone_of_the_course_one_line_says_why(folder, monkeypatch):
    monkeypatch.setattr(templates, "FOLDER", folder / "site-packages" / "book")
    with pytest.raises(InputError, match=r"no templates in .*book: .* clone of the course"):
        templates.fill("page")
