"""Notebooks without solutions still run, and what students hand in is read from the notebooks themselves."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from sdnet_lib.cli import main as cli
from sdnet_lib.files import InputError, write_json
from sdnet_lib.publish import build, classroom, course, plain
from sdnet_lib.publish.notebooks import SOLUTION

ROOT = Path(__file__).parents[2]
NOTEBOOKS = build.find_notebooks(ROOT)


@pytest.fixture(scope="module")
def stripped(tmp_path_factory):
    return classroom.strip(NOTEBOOKS, tmp_path_factory.mktemp("stripped"))


def sources(path, kind="code"):
    return [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == kind]


def test_no_solution_is_left_and_every_exercise_is(stripped):
    assert [copy.name for copy in stripped] == [notebook.name for notebook in NOTEBOOKS]
    for notebook, copy in zip(NOTEBOOKS, stripped, strict=True):
        solved = [
            cell for cell in nbformat.read(notebook, 4).cells if SOLUTION in cell.metadata.get("tags", [])
        ]
        code = "\n".join(sources(copy))
        assert solved and all(cell.source not in code for cell in solved)
        assert "course.confirm" not in code
        text = "\n".join(sources(copy, "markdown"))
        assert plain.SOLVED not in text and not plain.MARKUP.search(text)
        numbers = re.findall(r"\*\*Exercise (\d+\.\d)\*\*", text)
        assert len(solved) == len(numbers) == len(classroom.ASKED.findall(code))


def test_what_came_back_from_colab_is_stripped_as_it_is(stripped, tmp_path):
    for notebook, copy in zip(NOTEBOOKS, stripped, strict=True):
        plain.write(notebook, tmp_path / notebook.name, classroom.REFERENCES)
        (again,) = classroom.strip([tmp_path / notebook.name], tmp_path / "stripped")
        one, other = (nbformat.read(path, 4) for path in (again, copy))
        assert [cell.source for cell in one.cells] == [cell.source for cell in other.cells]


def test_no_cell_needs_a_name_that_only_a_solution_makes(stripped, tmp_path):
    """Undefined names, as ruff finds them; a name that a solution takes over from the chapter is one, too."""
    for notebook, copy in zip(NOTEBOOKS, stripped, strict=True):
        done = ruff(copy)
        assert done.returncode == 0, done.stdout
        made = set()
        for cell in nbformat.read(notebook, 4).cells:
            if SOLUTION in cell.metadata.get("tags", []):
                made |= assigned(cell.source)
            elif cell.cell_type == "code":
                assert not made & (loaded(cell.source) - assigned(cell.source)), (notebook.name, cell.source)


def ruff(file):
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821", str(file)]
    return subprocess.run(command, capture_output=True, text=True)


def names(code, kind):
    import ast

    tree = ast.parse("\n".join(line for line in code.splitlines() if not line.lstrip().startswith("%")))
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, kind)}


def assigned(code):
    import ast

    return names(code, ast.Store)


def loaded(code):
    import ast

    return names(code, ast.Load)


def test_ruff_would_find_a_missing_name(tmp_path):
    spoilt = new_notebook(cells=[new_code_cell("print(made_by_the_solution)")])
    nbformat.write(spoilt, tmp_path / "spoilt.ipynb")
    assert "made_by_the_solution" in ruff(tmp_path / "spoilt.ipynb").stdout


def test_every_blank_is_reached_without_an_error(stripped, capsys):
    """What stands in the stubs is blank for the check: it is told so, and the notebook runs on."""
    for copy in stripped:
        for stub in (code for code in sources(copy) if "course.check" in code):
            assert re.search(r"(?m)^( +|.* = .*)\.\.\.", stub), stub
            (number,) = classroom.ASKED.findall(stub)
            course.check(number, ...)
            assert capsys.readouterr().out == f"Exercise {number}: not answered yet.\n"


def test_strip_never_replaces_the_source():
    with pytest.raises(InputError, match="the copy would replace it"):
        classroom.strip(NOTEBOOKS[:1], NOTEBOOKS[0].parent)


def handed_in(path, *answers):
    """Write a notebook as it comes back: (source, printed) for each cell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [
        new_code_cell(source, outputs=[new_output("stream", name="stdout", text=text)] if text else [])
        for source, text in answers
    ]
    nbformat.write(new_notebook(cells=cells), path)


CHECK = 'course.check("{}", answer)'
RIGHT, WRONG = "Exercise 1.1: right.\n", "Exercise 1.2: not yet. That is the accuracy.\n"


def test_marks_are_what_the_checks_said(tmp_path):
    handed_in(
        tmp_path / "anna" / "01.ipynb", (CHECK.format("1.1"), "some\n" + RIGHT), (CHECK.format("1.2"), WRONG)
    )
    handed_in(
        tmp_path / "anna" / "again" / "01.ipynb", (CHECK.format("1.1"), ""), (CHECK.format("1.2"), WRONG)
    )
    handed_in(
        tmp_path / "Jörg.ipynb",
        ('course.check(\n    "1.1", x\n)', ""),
        ("print('Exercise 1.2: right.')", WRONG),
    )
    handed_in(tmp_path / "anna" / ".ipynb_checkpoints" / "01.ipynb", (CHECK.format("9.9"), RIGHT))
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "01.ipynb").write_text("{")
    found, unread = classroom.marks(tmp_path)
    wrong = {"right": False, "said": "not yet. That is the accuracy.", "notebook": "anna/again/01.ipynb"}
    assert found == {
        "Jörg": {"1.1": {"right": False, "said": "not run", "notebook": "Jörg.ipynb"}},
        "anna": {"1.1": {"right": True, "said": "right.", "notebook": "anna/01.ipynb"}, "1.2": wrong},
    }
    assert len(unread) == 1 and "bert/01.ipynb: no notebook that can be read" in unread[0]
    assert classroom.table(found).splitlines() == [
        "Jörg: 0 of 1; not yet: 1.1",
        "anna: 1 of 2; not yet: 1.2",
    ]


def test_marks_want_a_folder_with_notebooks(tmp_path):
    with pytest.raises(InputError, match="no notebook in it"):
        classroom.marks(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        classroom.marks(tmp_path / "none")


def placed(notebook, place, value):
    """Return the text of a notebook with a value put in at a place, or nothing at all."""
    notebook = json.loads(nbformat.writes(notebook))
    *way, last = place
    inside = notebook
    for key in way:
        inside = inside[key]
    inside[last] = value
    if value is KeyError:
        del inside[last]
    return json.dumps(notebook)


CELL = ("cells", 0)
OUTPUT = (*CELL, "outputs", 0)
PLACES = [("cells",), ("metadata",), ("nbformat",), ("nbformat_minor",), CELL, OUTPUT]
PLACES += [(*CELL, key) for key in ("cell_type", "source", "outputs", "metadata")]
PLACES += [(*OUTPUT, key) for key in ("output_type", "name", "text")]
VALUES = [None, 0, 1.5, "x", "", [], {}, [None], [[]], [{}], {"a": 1}, KeyError, True, "\x1b[31m", "\ud800"]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: "-".join(map(str, place)))
def test_whatever_is_handed_in_is_read_or_named_and_the_others_are_marked(place, tmp_path, capsys):
    handed_in(tmp_path / "anna" / "01.ipynb", (CHECK.format("1.1"), RIGHT))
    good = nbformat.read(tmp_path / "anna" / "01.ipynb", 4)
    for number, value in enumerate(VALUES):
        (tmp_path / f"{number}.ipynb").write_text(placed(good, place, value))
    found, unread = classroom.marks(tmp_path)
    assert found["anna"]["1.1"]["right"]
    assert len(found) + len(unread) == len(VALUES) + 1
    assert all(".ipynb: no notebook that can be read" in line and "\n" not in line for line in unread)
    classroom.table(found)
    write_json(tmp_path / "marks.json", found)
    assert capsys.readouterr().err == ""
    for number in range(len(VALUES)):
        try:
            classroom.strip([tmp_path / f"{number}.ipynb"], tmp_path / "stripped")
        except InputError as error:
            assert f"{number}.ipynb: " in str(error) and "\n" not in str(error)


def test_what_is_no_file_is_named_and_does_not_let_us_wait(tmp_path):
    handed_in(tmp_path / "folder.ipynb" / "01.ipynb", (CHECK.format("1.1"), RIGHT))
    (tmp_path / "link.ipynb").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.ipynb")
    found, unread = classroom.marks(tmp_path)
    assert list(found) == ["folder.ipynb"]
    assert [line.partition(".ipynb: ")[2] for line in unread] == ["no file", "no file"]


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["sdnet", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code, capsys.readouterr()


def test_the_commands(monkeypatch, capsys, tmp_path):
    status, printed = run(monkeypatch, capsys, "course", "strip", NOTEBOOKS[2], "-o", tmp_path / "out")
    assert status == 0 and "1 notebooks without solutions" in printed.out
    assert (tmp_path / "out" / NOTEBOOKS[2].name).is_file()
    handed_in(tmp_path / "in" / "anna" / "01.ipynb", (CHECK.format("1.1"), RIGHT))
    json_file = tmp_path / "marks.json"
    status, printed = run(monkeypatch, capsys, "course", "marks", tmp_path / "in", "-o", json_file)
    assert (status, printed.out) == (0, "anna: 1 of 1\n")
    assert json.loads(json_file.read_text())["anna"]["1.1"]["right"] is True
    (tmp_path / "in" / "bad.ipynb").write_text("no")
    status, printed = run(monkeypatch, capsys, "course", "marks", tmp_path / "in")
    assert status == 1 and "bad.ipynb: no notebook that can be read" in printed.out
    status, printed = run(
        monkeypatch, capsys, "course", "strip", tmp_path / "in" / "bad.ipynb", "-o", tmp_path
    )
    assert status == 2 and printed.err.count("\n") == 1


def test_seconds_and_memory_for_instructors_are_those_noted_in_the_notebooks():
    page = (ROOT / "book" / "instructors.md").read_text()
    rows = re.findall(r"(?m)^\| (\d+)\. [^|]+\| \d+ min \| (\d+) \| ([\d,]+) \|", page)
    noted = [(str(int(path.name[:2])), nbformat.read(path, 4).metadata) for path in NOTEBOOKS]
    assert rows == [(number, str(of["seconds"]), f"{of['megabytes']:,}") for number, of in noted]
