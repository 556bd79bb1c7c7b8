"""The linter finds each fault that it is there for, and the notebooks of the course have none."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from sdnet_lib.publish import build, notebooks
from sdnet_lib.publish.execution import problems
from tests.publish.tiny_course import KERNEL, notebook, write

ROOT = Path(__file__).parents[2]


def code(source, *tags, alt=None, outputs=()):
    metadata = {"tags": list(tags)}
    if alt is not None:
        metadata["mystnb"] = {"image": {"alt": alt}}
    count = 1 if outputs else None
    return new_code_cell(source, metadata=metadata, outputs=list(outputs), execution_count=count)


def exercise(number, answer):
    return [
        new_markdown_cell(f":::{{admonition}} Exercise {number}\n:class: tip\nAdd them.\n:::"),
        code(f'answer = ...\ncourse.check("{number}", answer)'),
        code(f'solved = {answer}\ncourse.confirm("{number}", solved)', "hide-cell", notebooks.SOLUTION),
    ]


@pytest.fixture
def good():
    printed = [new_output("stream", name="stdout", text="2\n")]
    cells = [
        new_markdown_cell("\n".join(["# A chapter", *notebooks.BOX])),
        code(notebooks.PARAMETERS, "parameters"),
        code(notebooks.SETUP, "setup"),
        code("print(1 + 1)", notebooks.CHECKED, outputs=printed),
        code("print(2)", notebooks.CHECKED, outputs=printed),
        code('plots.curve(x)\ncourse.glue(f"c1_{x}", x)', "remove-cell", alt="A curve that rises"),
        new_markdown_cell("Two of 200 images. The paper reports 97.3 %.\n\nWe find {glue:text}`c1_x`."),
        *exercise("4.1", 385_920),
        *exercise("2.2", 47_500 / 852),
        code("course.finish()", "hide-cell"),
    ]
    return new_notebook(cells=cells, metadata=KERNEL)


def test_a_good_notebook_has_no_complaints(good):
    assert notebooks.lint(good) == []


def change(cell, **values):
    return lambda notebook: notebook.cells[cell].update(values)


def tags(cell, *names):
    return lambda notebook: notebook.cells[cell].metadata.update(tags=list(names))


def prose(text):
    return change(6, source=text)


@pytest.mark.parametrize(
    "spoil, complaint",
    [
        (lambda n: n.metadata.pop("kernelspec"), "kernel"),
        (change(0, source="A chapter"), "not a title"),
        (change(0, source="# A chapter\n" + "\n".join(notebooks.BOX[:-1])), "lacks **It needs**"),
        (change(1, source=notebooks.PARAMETERS + "\nepochs = 3"), "first code cell"),
        (tags(1), "first code cell"),
        (change(2, source="import sdnet_lib"), "second code cell"),
        (tags(2), "second code cell"),
        (lambda n: n.cells.pop(), "last code cell"),
        (lambda n: n.cells.__delitem__(slice(10, 13)), "1 exercises: two at least"),
        (tags(9), "exercise 4.1 has no hidden cell tagged solution"),
        (tags(9, "hide-cell"), "exercise 4.1 has no hidden cell tagged solution"),
        (change(9, source="solved = 2"), "exercise 4.1 has no hidden cell tagged solution"),
        (change(8, source="answer = None"), "exercise 4.1 is not followed by one course.check"),
        (tags(3), "1 cells tagged nbval-check-output"),
        (tags(3), "cell 3: has outputs"),
        (change(3, outputs=[]), "cell 3: tagged nbval-check-output without a stored output"),
        (change(3, execution_count=None), "cell 3: tagged nbval-check-output without a stored output"),
        (change(5, execution_count=4), "cell 5: has an execution count"),
        (tags(3, notebooks.CHECKED, "hidden-cell"), "cell 3: unknown tag 'hidden-cell'"),
        (change(4, source="\n".join("x = 1" for _ in range(16))), "cell 4: 16 lines"),
        (change(4, source=f"x = '{'a' * 80}'"), "cell 4: a line of 86 characters"),
        (change(4, source="x = 2\nassert x == 2"), "cell 4: glues or asserts"),
        (change(4, source="course.glue('c1_x', 2)"), "cell 4: glues or asserts"),
        (change(8, source=" "), "cell 8: empty"),
        (change(5, metadata={}), "cell 5: a plot without alt text"),
        (change(5, metadata={"mystnb": {"image": {"alt": "a plot"}}}), "cell 5: a plot without alt text"),
        (
            change(5, metadata={"mystnb": {"image": {"alt": "the file a/b of it"}}}),
            "cell 5: alt text with a slash",
        ),
        (prose("We find {glue:text}`c2_x`."), "cell 6: c2_x is used before a cell glues it"),
        (change(5, source="answer = input('Where?')"), "cell 5: asks a question"),
        (prose("We reach 97.3 %."), "cell 6: the number '97.3'"),
        (prose("We reach 97 % here."), "cell 6: the number '97 %'"),
        (prose("A Dice of 0.96 is good."), "cell 6: the number '0.96'"),
        (prose("It takes about two minutes."), "cell 6: the number 'two minutes'"),
        (prose("![Two lungs](lungs.svg)"), "cell 6: a picture without number and caption"),
        (prose("It takes 83 s."), "cell 6: the number '83 s'"),
        (prose("The paper has 90 %.\n\nWe have 80 %."), "cell 6: the number '80 %'"),
    ],
)
def test_each_fault_is_found(good, spoil, complaint):
    spoil(good)
    assert any(complaint in line for line in notebooks.lint(good)), notebooks.lint(good)


@pytest.mark.parametrize(
    "text",
    [
        "Table 2 gives 98.08 % for DarkCovidNet.",
        "They report 87.1 % {cite:p}`wang2020covidnet`.",
        "The code `x = 0.5` and the formula $p = 0.025$.",
        "```python\nx = 0.5\n```",
        "Chapter 2 has 426 images; Exercise 1.1 asks more.",
        "See [the page](https://example.org/v1.5/page).",
        "COVIDGR-1.0, COVIDx 2.0 and Exercise 1.2 are names; the 1990s are no time in seconds.",
    ],
)
def test_prose_that_may_stay(good, text):
    good.cells[6].source = text
    assert notebooks.lint(good) == []


def test_smoke_copies_say_smoke_and_keep_stored_outputs(good, tmp_path):
    source = tmp_path / "01_a.ipynb"
    nbformat.write(good, source)
    copied = nbformat.read(notebooks.smoke_copy(source, tmp_path / "smoke"), 4)
    injected = [c for c in copied.cells if "injected-parameters" in c.metadata.get("tags", [])]
    assert 'profile = "smoke"' in injected[0].source
    assert sum(bool(c.get("outputs")) for c in copied.cells) == 2


@pytest.mark.long
def test_refresh_stores_the_outputs_of_checked_cells_only(good, tmp_path):
    good.cells[5] = code('course.glue("c1_x", 3)', "remove-cell")
    good.cells[3].outputs = []
    source = tmp_path / "01_a.ipynb"
    nbformat.write(good, source)
    sources = [cell.source for cell in good.cells]
    notebooks.refresh([source])
    fresh = nbformat.read(source, 4)
    assert [cell.source for cell in fresh.cells] == sources
    assert fresh.cells[3].outputs[0].text == "2\n"
    assert notebooks.lint(fresh) == []
    first = source.read_bytes()
    notebooks.refresh([source])
    assert source.read_bytes() == first


def test_without_an_address_the_set_up_cell_says_in_one_line_what_to_do(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    cell = notebooks.SETUP.replace('%pip install --quiet "$address"', "raise OSError")
    with pytest.raises(AssertionError, match=r"set `address` to the course's wheel or git\+https") as error:
        exec(cell, {})
    assert len(str(error.value).splitlines()) == 1
    with pytest.raises(OSError):  # it installs
        exec(cell.replace('address = ""', 'address = "x.whl"'), {})


def nbval(folder, *options):
    program = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--override-ini=addopts=",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(folder),
    ]
    program += ["--nbval-lax", "--nbval-current-env", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(program, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.long
def test_nbval_turns_red_when_a_stored_output_is_changed(good, tmp_path):
    good.cells = [good.cells[3], good.cells[4]]
    nbformat.write(good, tmp_path / "good.ipynb")
    assert nbval(tmp_path, tmp_path).returncode == 0
    wrong = copy.deepcopy(good)
    wrong.cells[1].outputs = [new_output("stream", name="stdout", text="3\n")]
    nbformat.write(wrong, tmp_path / "good.ipynb")
    done = nbval(tmp_path, tmp_path)
    assert done.returncode == 1 and "1 failed, 1 passed" in done.stdout


@pytest.mark.long
def test_what_nbval_executes_is_the_executed_copy_of_the_smoke_book(tmp_path):
    chapters = {"01_a": notebook("print(profile)", "1 + 1"), "02_b": notebook("1 / 0")}
    root = write(tmp_path / "course", **chapters)
    good, bad = build.find_notebooks(root)
    for source in (good, bad):
        notebooks.smoke_copy(source, root / "smoke")
    nbval(root, "-p", "tests.publish.keep_executed", "smoke")
    parameters = build.parameters_of("smoke", "phantom", None, 0)
    copies = build.executed_copies([good, bad], parameters, root / "_build" / "test")
    assert copies[good].exists() and not copies[bad].exists()
    executed = nbformat.read(copies[good], 4)
    assert problems(executed, strict=True) == []
    assert executed.cells[-2].outputs[0].text == "smoke\n"


@pytest.mark.parametrize("path", build.find_notebooks(ROOT), ids=lambda path: path.stem)
def test_the_notebooks_of_the_course(path):
    source = nbformat.read(path, as_version=4)
    assert notebooks.lint(source) == []
    assert notebooks.median_lines(source) < 10
    assert str(path.parents[2]) not in path.read_text()


def test_unknown_commands_are_refused(capsys):
    from sdnet_lib.files import InputError

    with pytest.raises(InputError, match="use: python -m sdnet_lib.publish.notebooks"):
        notebooks.main(["polish"])
