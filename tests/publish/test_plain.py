"""What a plain notebook shows: no markup of Sphinx, no dead link, each number printed by the run."""

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.display import Markdown
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from sdnet_lib.files import InputError
from sdnet_lib.publish import address, build, course, notebooks, plain

ROOT = Path(__file__).parents[2]
REFERENCES = ROOT / "book" / "references.bib"
PAGES, DOI, LISTED = "https://me.github.io/course", "https://doi.org/10.1/one", "book/bibliography.html"
WORKS = {"one": ("One et al.", "2020", DOI), "two": ("Two and Three", "2021", "")}
PUBLISHED, UNKNOWN = plain.Links(PAGES, WORKS), plain.Links(None, WORKS)
SPHINX = re.compile(r"\{[\w:-]+\}`|^ *:{3,}|^ *`{3,}\{|\(\w+\)=", re.MULTILINE)
TARGET = re.compile(r"\]\(([^)\s]*)\)|\b(?:src|href)=[\"']([^\"']*)")
SAID = re.compile(r'course\.say\("""\n(.*)\n"""\)', re.DOTALL)


def shown(notebook):
    """Return the texts that a reader sees: text cells, and what code cells say with this run's numbers."""
    said = [SAID.search(cell.source) for cell in notebook.cells if cell.cell_type == "code"]
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    return [*texts, *(hit[1] for hit in said if hit)]


def without_code(text):
    return re.sub(r"```.*?```|`[^`{]*`", "", text, flags=re.DOTALL)


@pytest.fixture(scope="module", params=[None, "me/course"], ids=["no address", "published"])
def made(request, tmp_path_factory):
    """All notebooks of the course, made plain."""
    folder = tmp_path_factory.mktemp("plain")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(address.VARIABLE, request.param or "")
        for source in build.find_notebooks(ROOT):
            plain.write(source, folder / source.name, REFERENCES)
    return folder


def test_no_reader_sees_markup_of_sphinx_or_a_dead_link(made):
    for file in made.iterdir():
        for text in map(without_code, shown(nbformat.read(file, 4))):
            assert not SPHINX.search(text), (file.name, SPHINX.search(text))
            links = [hit[1] or hit[2] for hit in TARGET.finditer(text)]
            assert all(re.match(r"https://", link) for link in links), (file.name, links)


def test_each_says_first_what_it_takes(made):
    for file in made.iterdir():
        metadata = nbformat.read(ROOT / "notebooks" / file.name, 4).metadata
        (setup,) = (c for c in nbformat.read(file, 4).cells if "setup" in c.metadata.get("tags", []))
        said = f"quick: about {metadata['seconds']} s and {metadata['megabytes'] / 1000:.1f} GB"
        assert said in setup.source and "full: sized for 20 min and 12 GB of a T4" in setup.source


def test_numbers_are_said_by_code_and_nowhere_else(made):
    for file in made.iterdir():
        notebook = nbformat.read(file, 4)
        nbformat.validate(notebook)
        texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
        assert not any("{{" in text for text in texts), file.name
        source = nbformat.read(ROOT / "notebooks" / file.name, 4)
        glued = sum(
            cell.source.count("{glue:text}`") for cell in source.cells if cell.cell_type == "markdown"
        )
        assert sum(text.count("{{") for text in shown(notebook)) == glued > 0, file.name


def test_nothing_asks_and_no_name_comes_from_a_folded_solution(made):
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821", str(made)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    for file in made.iterdir():
        code = [cell.source for cell in nbformat.read(file, 4).cells if cell.cell_type == "code"]
        assert not any(re.search(r"\binput\(", source) for source in code), file.name


def test_the_profile_is_the_one_that_the_machine_can_bear(made):
    for file in made.iterdir():
        first = next(cell for cell in nbformat.read(file, 4).cells if cell.cell_type == "code")
        assert first.source.startswith('profile = "auto"  # by the GPU; smoke, quick, full or paper')


def test_the_set_up_cell_is_filled_in_where_the_address_is_known(made, request):
    published = "published" in request.node.name
    for file in made.iterdir():
        setup = next(c.source for c in nbformat.read(file, 4).cells if "setup" in c.metadata.get("tags", []))
        filled = notebooks.SETUP.replace('address = ""', f'address = "{PAGES}/{address.WHEEL}"')
        assert setup.startswith((filled if published else notebooks.SETUP) + "\nprint(")


def one(source, links=PUBLISHED, **metadata):
    """Return the cells that one cell becomes; code if it has metadata."""
    cell = new_code_cell(source, metadata=metadata) if metadata else new_markdown_cell(source)
    return plain.plain(new_notebook(cells=[cell]), links).cells


@pytest.mark.parametrize(
    "myst, expected",
    [
        (
            "As {cite:p}`one,two`.",
            f"As ([One et al., 2020]({DOI}); [Two and Three, 2021]({PAGES}/{LISTED})).",
        ),
        ("{cite:t}`one` say", f"[One et al. (2020)]({DOI}) say"),
        ("a {term}`cohort`", f"a [cohort]({PAGES}/book/glossary.html)"),
        ("a {term}`set <cohort>`", f"a [set]({PAGES}/book/glossary.html)"),
        ("{math}`x^2`", "$x^2$"),
        ("[chapter\n3](03_c.ipynb#a)", f"[chapter\n3]({PAGES}/notebooks/03_c.html#a)"),
        ("[x](https://a.b/c)", "[x](https://a.b/c)"),
        ("![lungs](../book/images/l.png)", f"![lungs]({PAGES}/_images/l.png)"),
        ("`{cite:p}` and ``{a}`b` `` stay", "`{cite:p}` and ``{a}`b` `` stay"),
        ("```bash\n[a](b.md) {x}`y`\n\nz\n```", "```bash\n[a](b.md) {x}`y`\n\nz\n```"),
        ("```{math}\n:label: e\nx\n```", "$$\nx\n$$"),
        (":::{admonition} A {math}`b`\n:class: tip\nOne\n\n- two\n:::", "> **A $b$**\n>\n> One\n>\n> - two"),
        (":::{note}\nOne\n:::\nTwo", "> **Note**\n>\n> One\n\nTwo"),
        ("::::{note}\n:::{tip}\nx\n:::\n::::", "> **Note**\n>\n> > **Tip**\n> >\n> > x"),
        (":::{dropdown} Why?\nx\n:::", "<details>\n<summary>Why?</summary>\n\nx\n\n</details>"),
        (
            ":::{figure} ../book/images/l.svg\n:alt: Two lungs\n:name: fig-l\n\nSee {term}`cohort`.\n:::",
            f"![Two lungs]({PAGES}/_images/l.svg)\n\n*See [cohort]({PAGES}/book/glossary.html).*",
        ),
        (":::{tip}\n:class: dropdown\nx\n:::", "<details>\n<summary>Tip</summary>\n\nx\n\n</details>"),
    ],
)
def test_what_becomes_of_myst(myst, expected):
    (cell,) = one(myst)
    assert cell.cell_type == "markdown" and cell.source == expected


def test_without_an_address_a_link_inside_the_course_is_plain_text():
    (cell,) = one("[b](../book/b.md), {term}`c`, {cite:p}`one,two`, ![d](d.png)", UNKNOWN)
    assert cell.source == f"b, c, ([One et al., 2020]({DOI}); Two and Three, 2021), d"


ODD = [
    "{sphinx}`x`",
    "```{raw} html\nx\n```",
    ":::{tab-set}\n:::",
    "- a\n  :::{tip}\n  b\n  :::",
    "{cite:p}`nobody`",
]


@pytest.mark.parametrize("myst", ODD)
def test_what_is_not_known_is_an_error(myst):
    with pytest.raises(InputError, match=r"plain notebooks do not know|not in the bibliography"):
        one(myst)


def test_the_error_names_the_notebook(tmp_path):
    nbformat.write(new_notebook(cells=[new_markdown_cell("{odd}`x`")]), tmp_path / "09_x.ipynb")
    with pytest.raises(InputError, match=r"09_x.ipynb: .*\{odd\}"):
        plain.write(tmp_path / "09_x.ipynb", tmp_path / "made.ipynb", REFERENCES)


def test_a_paragraph_with_numbers_is_code_and_its_neighbours_stay_text():
    cells = one("# A\n\nOne.\n\nTwo {glue:text}`n` here.\n\n- {glue:text}`m`\n- b\n\nEnd.")
    assert [cell.cell_type for cell in cells] == ["markdown", "code", "markdown"]
    assert SAID.search(cells[1].source)[1] == "Two {{n}} here.\n\n- {{m}}\n- b"
    assert cells[1].metadata["cellView"] == "form" and cells[1].metadata["jupyter"]["source_hidden"]
    assert len({cell.id for cell in cells}) == 3


@given(st.text(st.sampled_from("""ab\\"'$%é#n """), min_size=1))
def test_what_a_cell_says_is_what_was_written(text):
    (cell,) = one(f"a {text} {{glue:text}}`n`")
    said = []
    exec(cell.source, {"course": SimpleNamespace(say=said.append)})
    assert said == [f"\na {text} {{{{n}}}}\n"]


def test_a_solution_opens_on_a_click_and_does_not_run():
    (solution,) = one("answer = 2\nassert answer", tags=["hide-cell"])
    assert solution.cell_type == "markdown"
    assert solution.source.startswith(
        "<details>\n<summary>Show a solution</summary>\n\n```python\nanswer = 2\n"
    )
    (last,) = one("course.finish()", tags=["hide-cell"])
    assert (last.cell_type, last.source) == ("code", "course.finish()")


@pytest.mark.parametrize("tag", ["remove-cell", "remove-input", "hide-input"])
def test_what_the_book_hides_is_folded_and_outputs_are_left_behind(tag):
    (cell,) = one("course.glue('n', 1)", tags=[tag])
    assert cell.source == f"{plain.KEPT}\ncourse.glue('n', 1)" and cell.metadata["cellView"] == "form"
    assert cell.outputs == [] and cell.execution_count is None


def test_names_of_the_bibliography():
    works = plain.works(REFERENCES)
    assert works["tabik2020"] == ("Tabik et al.", "2020", "https://doi.org/10.1109/JBHI.2020.3037127")
    assert works["maguolo2021critic"][0] == "Maguolo and Nanni"
    assert works["cohen2020collection"][2] == "https://arxiv.org/abs/2006.11988"
    assert not any(re.search(r"[{}\\]", authors) for authors, _, _ in works.values())
    assert plain.works(ROOT / "nowhere.bib") == {}


def test_say_fills_in_what_was_glued(monkeypatch):
    said = []
    course.glue("c0_n", 3)
    course.glue("c0_a-b", "97 %")
    monkeypatch.setattr("IPython.display.display", said.append)
    course.say("\n{{c0_n}} of $\\frac{1}{2}$: {{c0_a-b}}\n")
    assert isinstance(said[0], Markdown) and said[0].data == "\n3 of $\\frac{1}{2}$: 97 %\n"
    with pytest.raises(InputError, match="run the cells above first: c0_none is not computed yet"):
        course.say("{{c0_none}}")
