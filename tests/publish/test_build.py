"""The pipeline turns red for whatever must not reach a reader, and does no work twice."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from filelock import FileLock

from sdnet_lib.data.cohort import write_cohort
from sdnet_lib.files import InputError
from sdnet_lib.publish import address, build
from sdnet_lib.publish.execution import BookError
from tests.publish.tiny_course import notebook, write


@pytest.fixture(scope="module")
def published():
    """The address that the builds of this module know."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(address.VARIABLE, "me/course")
        yield


@pytest.fixture(scope="module")
def built(tmp_path_factory, published):
    """A course of two notebooks, built once; tests look at it and do not change its sources."""
    folder = tmp_path_factory.mktemp("built")
    ran = folder / "ran.txt"
    count = f"with open({str(ran)!r}, 'a') as file:\n    file.write(profile[0])"
    where = "import os, sys\nprint(os.listdir(), sys.executable)"
    root = write(folder / "course", **{"01_a": notebook(count, "1 + 1"), "02_b": notebook(where)})
    before = [file.read_bytes() for file in sorted((root / "notebooks").iterdir())]
    page = build.build(root)
    return root, page, ran, before


def red(tmp_path, *cells, **options):
    """Build a course with these cells and return the complaint; no page may come of it."""
    root = write(tmp_path / "course", **{"01_a": notebook(*cells)})
    with pytest.raises(BookError) as error:
        build.build(root, **options)
    assert not (root / "_build" / "html").exists()
    assert not list((root / "_build" / "executed").glob("*.ipynb"))
    assert not (root / "_build" / "running").exists()
    return root, str(error.value)


def test_a_page_for_each_notebook_with_its_output(built):
    root, page, _, _ = built
    assert page.exists()
    html = (root / "_build" / "html" / "notebooks" / "01_a.html").read_text()
    assert "<pre>2\n</pre>" in html.replace("<span></span>", "")


def test_source_notebooks_are_not_touched(built):
    root, _, _, before = built
    assert [file.read_bytes() for file in sorted((root / "notebooks").iterdir())] == before


def test_notebooks_run_in_an_empty_folder_with_this_python(built):
    root, _, _, _ = built
    executed = next((root / "_build" / "executed").glob("02_b-*.ipynb"))
    text = nbformat.read(executed, 4).cells[-1].outputs[0].text
    assert text.strip() == f"[] {sys.executable}"


def test_a_second_build_runs_nothing_and_imports_nothing_heavy(built):
    root, _, ran, _ = built
    before = ran.read_text()
    check = (
        "import sys\nfrom pathlib import Path\nfrom sdnet_lib.publish import build\n"
        f"build.build(Path({str(root)!r}))\n"
        "heavy = {'torch', 'pandas', 'matplotlib', 'papermill', 'nbformat', 'sphinx'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert ran.read_text() == before
    assert done.stdout.count("unchanged") == 2 and "the pages are up to date" in done.stdout


def buttons(page):
    """Return where the buttons of a page lead that open or hand out its notebook."""
    parsed = BeautifulSoup(page.read_text(), "html.parser")
    links = [link["href"] for link in parsed.select(".article-header-buttons a[href]")]
    return [link for link in links if link.endswith(".ipynb")]


def test_one_click_launches_or_hands_out_the_plain_notebook(built):
    root, _, _, _ = built
    launch, download = buttons(root / "_build/html/notebooks/01_a.html")
    place = "_sources/notebooks/01_a.ipynb"
    assert launch == f"https://colab.research.google.com/github/me/course/blob/gh-pages/{place}"
    assert download == f"../{place}"
    source = nbformat.read(root / "_build" / "html" / place, 4)
    assert 'profile = "auto"' in source.cells[1].source and not any(c.get("outputs") for c in source.cells)


def test_the_run_page_names_each_chapter(built):
    root, _, _, _ = built
    html = (root / "_build/html/book/this_run.html").read_text()
    assert html.count("A chapter</a>") >= 2 and "torch" in html


def test_executed_copies_do_not_say_where_they_ran(built):
    root, _, _, _ = built
    for executed in (root / "_build" / "executed").glob("01_a*.ipynb"):
        metadata = nbformat.read(executed, 4).metadata
        assert str(root) not in str(metadata)


def test_one_chapter_alone_with_another_seed_and_no_address(built, capsys, monkeypatch):
    root, _, ran, _ = built
    output, before = root / "_build_only", ran.read_text()
    monkeypatch.delenv(address.VARIABLE)
    build.build(root, output, only="02", seed=5)
    assert ran.read_text() == before
    assert "left out of this build" in (output / "html/notebooks/01_a.html").read_text()
    page = BeautifulSoup((output / "html/notebooks/02_b.html").read_text(), "html.parser")
    assert "seed = 5" in page.get_text()
    assert buttons(output / "html/notebooks/02_b.html") == ["../_sources/notebooks/02_b.ipynb"]  # no launch
    build.build(root, output, only="02", seed=5)
    assert "the pages are up to date" in capsys.readouterr().out


def test_a_failing_cell_stops_the_build_and_is_named(tmp_path):
    root, text = red(tmp_path, "good = 1", "good / 0", "print('never')")
    assert "01_a.ipynb, cell 3 (good / 0)" in text
    assert "ZeroDivisionError: division by zero" in text
    assert "\x1b" not in text
    kept = nbformat.read(root / "_build" / "failed" / "01_a.ipynb", 4)
    assert kept.cells[-1].execution_count is None


def test_a_cell_that_takes_too_long_is_stopped(tmp_path):
    _, text = red(tmp_path, "import time\ntime.sleep(60)", timeout=1)
    assert "cell 2 (import time)" in text and "timed out" in text


def test_a_dying_kernel_is_reported(tmp_path):
    _, text = red(tmp_path, "import os\nos._exit(1)")
    assert "cell 2 (import os)" in text and "its kernel was killed" in text


def test_what_a_library_says_is_in_the_log_and_not_on_the_page(tmp_path, capsys):
    noisy = notebook("import sys\nprint('from a library', file=sys.stderr)\n1 + 1")
    root = write(tmp_path / "course", **{"01_a": noisy})
    page = build.build(root)
    assert "from a library" in (root / "_build" / "book.log").read_text()
    assert "see" in capsys.readouterr().out
    shown = BeautifulSoup((page.parent / "notebooks" / "01_a.html").read_text(), "html.parser")
    assert [out.get_text().strip() for out in shown.select(".cell_output")] == ["2"]
    with pytest.raises(BookError, match="01_a.ipynb, cell 2: text on stderr: from a library"):
        build.build(root, strict=True)  # although the cell does not run again


def test_a_sphinx_warning_is_refused_and_the_last_good_pages_stay(built, tmp_path):
    root = tmp_path / "course"
    shutil.copytree(built[0], root)
    good = (root / "_build/html/book/index.html").read_bytes()
    broken = "# Tiny course\n\n[nowhere](missing.md)\n\nIt is {glue:text}`nobody`.\n"
    (root / "book" / "index.md").write_text(broken)
    with pytest.raises(BookError, match=r"book/index.md:3: WARNING.*missing") as error:
        build.build(root)
    assert "nobody" in str(error.value)
    assert (root / "_build/html/book/index.html").read_bytes() == good


def test_an_undeclared_parameter_is_refused_before_anything_runs(tmp_path):
    lacking = notebook("open('/nowhere')", parameters='profile = "quick"\ndataset = "phantom"\ndata = None')
    root = write(tmp_path / "course", **{"01_a": lacking})
    with pytest.raises(InputError, match="01_a.ipynb has no parameter seed"):
        build.build(root)


@pytest.mark.parametrize(
    "options, complaint",
    [
        ({"only": "09"}, "--only '09' is not one of 01"),
        ({"only": ""}, "--only '' is not one of 01"),
        ({"profile": "huge"}, "unknown profile 'huge'"),
        ({"dataset": "no-such-set"}, "no-such-set: no such file or folder, and no registered cohort"),
        ({"dataset": "covidgr", "data": "/"}, "covidgr is not in /"),
        ({"data": "/no/such/folder"}, "--data /no/such/folder: no such folder"),
    ],
)
def test_bad_options(tmp_path, options, complaint):
    root = write(tmp_path / "course", **{"01_a": notebook("1")})
    with pytest.raises(InputError, match=complaint):
        build.build(root, **options)


def test_a_folder_that_is_no_course(tmp_path):
    with pytest.raises(InputError, match="no _toc.yml there"):
        build.build(tmp_path)


def test_two_builds_do_not_write_to_one_folder(tmp_path):
    root = write(tmp_path / "course", **{"01_a": notebook("1")})
    (root / "_build").mkdir()
    with FileLock(root / "_build" / ".lock"), pytest.raises(InputError, match="another build is writing"):
        build.build(root)


def test_the_key_follows_a_data_set_given_by_path_and_its_images(tmp_path, make_cohort):
    root = write(tmp_path / "course", **{"01_a": notebook("1")})
    cohort = make_cohort(tmp_path / "elsewhere", 4)
    table = write_cohort(cohort, tmp_path / "table")
    source = root / "notebooks" / "01_a.ipynb"
    parameters = {"profile": "quick", "dataset": str(table), "data": None, "seed": 0}

    def copy(**changes):
        return build.executed_copies([source], {**parameters, **changes}, tmp_path)[source]

    first = copy()
    assert first == copy()
    assert first != copy(seed=1)
    os.utime(table, (1, 1))
    second = copy()
    assert second != first
    image = Path(cohort["file"][0])
    os.utime(image, (1, 1))
    third = copy()
    assert third != second
    image.write_bytes(image.read_bytes()[:-1])
    os.utime(image, (1, 1))  # another size at the same time
    fourth = copy()
    assert fourth != third
    nbformat.write(notebook("2"), source)
    assert copy() != fourth


@pytest.mark.long
def test_a_damaged_copy_is_made_again_and_that_is_said(tmp_path, caplog):
    root = write(tmp_path / "course", **{"01_a": notebook("1 + 1")})
    build.build(root)
    (executed,) = (root / "_build" / "executed").glob("*.ipynb")
    sound = executed.read_text()
    executed.write_text(sound.replace("1 + 1", "1 + 3"))
    build.build(root)
    assert "1 + 3" not in executed.read_text()
    assert [message.partition(":")[0] for message in caplog.messages] == [str(executed)]


def test_what_a_process_has_imported_does_not_change_the_name_of_a_copy(tmp_path, monkeypatch):
    root = write(tmp_path, **{"01_a": notebook("1")})
    chapters, parameters = build.find_notebooks(root), build.parameters_of("smoke", "phantom", None, 0)
    before = build.executed_copies(chapters, parameters, tmp_path)
    vendored = tmp_path / "vendor" / "thing-1.0.dist-info"  # setuptools puts such a folder on sys.path
    vendored.mkdir(parents=True)
    (vendored / "METADATA").write_text("Name: thing\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(vendored.parent))
    assert build.executed_copies(chapters, parameters, tmp_path) == before


def test_an_empty_cache_somewhere_else_does_not_change_the_name_of_a_copy(tmp_path, monkeypatch):
    """So the pages that `make test` has built are those that its browser tests look at."""
    root = write(tmp_path, **{"01_a": notebook("1")})
    chapters, parameters = build.find_notebooks(root), build.parameters_of("smoke", "phantom", None, 0)
    names = set()
    for place in ("here", "there"):
        monkeypatch.setenv("SDNET_CACHE", str(tmp_path / place))
        names |= set(build.executed_copies(chapters, parameters, tmp_path).values())
    assert len(names) == 1
    (tmp_path / "there" / "data").mkdir(parents=True)
    (tmp_path / "there" / "data" / "new.png").touch()  # a real film has come, which chapters may show
    assert set(build.executed_copies(chapters, parameters, tmp_path).values()) != names


@pytest.mark.long
def test_no_private_path_gets_into_a_page(tmp_path, make_cohort):
    """Neither where the cohort lies, nor what it is called, nor where its images are."""
    private, elsewhere = tmp_path / "Dr-Marigold" / "peonies", tmp_path / "Zinnia"
    private.mkdir(parents=True)
    elsewhere.mkdir()
    table = make_cohort(elsewhere, 8).drop(columns="source")
    file = private / "Larkspur.csv"
    table.to_csv(file, index=False)
    says = (
        "from sdnet_lib.publish import course\n"
        "settings = course.start(profile, seed)\n"
        "cohort = course.load_cohort(dataset, data)\n"
        "print(dataset, data, cohort['file'].iloc[0], repr(data))\n"
        "course.glue('where', dataset)\n"
        "cohort"
    )
    root = write(tmp_path / "course", **{"01_a": notebook(says)})
    page = build.build(root, dataset=str(file), data=private, profile="smoke")
    words = ("marigold", "peonies", "larkspur", "zinnia")
    texts = {path: path.read_bytes().lower() for path in page.parent.rglob("*") if path.is_file()}
    texts |= {path: path.read_bytes().lower() for path in (root / "_build" / "executed").iterdir()}
    assert any(b"own cohort" in text for text in texts.values())
    assert [
        (path.name, word) for path, text in texts.items() for word in words if word.encode() in text
    ] == []


@pytest.mark.long
@pytest.mark.parametrize("name", ["{x}", "{dataset}", "{0}", "{"])
def test_an_output_folder_with_braces(tmp_path, name):
    root = write(tmp_path / "course", **{"01_a": notebook("print('done')")})
    assert build.build(root, tmp_path / name).exists()
