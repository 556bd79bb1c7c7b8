"""Plain notebooks: a chapter for Colab and for whatever else knows Markdown and no Sphinx.

The sources are written in MyST for the web book: roles, boxes, numbers that the run fills in. Here each of
these becomes something that any notebook shows: a box is a quote, a citation names authors and year with a
link, a sentence with numbers is printed by the run, a solution is folded. What this module does not know is
an error, so no markup of Sphinx gets to a reader.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from functools import partial
from itertools import groupby, takewhile
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbformat import NotebookNode

from sdnet_lib.files import InputError
from sdnet_lib.publish import address
from sdnet_lib.publish.plan import GIGABYTES, MINUTES

FENCE = re.compile(r"(?P<mark>:{3,}|`{3,})(?:\{(?P<name>[^}]+)\})? *(?P<rest>.*)$")
CODE = re.compile(r"(?P<code>(?P<ticks>`+)(?!`).*?(?<!`)(?P=ticks)(?!`))", re.DOTALL)
INLINE = re.compile(
    r"\{(?P<role>[\w:-]+)\}`(?P<content>[^`]+)`|"
    + CODE.pattern
    + r"|(?P<picture>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)",
    re.DOTALL,
)
MARKUP = re.compile(r"\{[\w:-]+\}`|^ *(?::{3,}|`{3,}\{)", re.MULTILINE)
BOXES = {"admonition", "caution", "danger", "dropdown", "hint", "important", "note", "tip", "warning"}
MADE = "colab"  # in the metadata of a notebook that is plain
SOLVED = "<summary>Show a solution</summary>"
FOLDED = {"cellView": "form", "jupyter": {"source_hidden": True}}  # for Colab, for JupyterLab
NUMBERS = "#@title The text goes on with the numbers of this run"
HIDDEN, KEPT = {"remove-cell", "remove-input", "hide-input"}, "#@title Code that the book does not show"


class Links(NamedTuple):
    """Where links of a notebook lead: the address of the web book, if known, and the cited works.

    A work has authors as a citation names them, year, and address, which may be empty.
    """

    pages: str | None = None
    works: dict[str, tuple[str, str, str]] = {}


def write(notebook: Path, target: Path, references: Path) -> None:
    """Write the plain copy of a source notebook."""
    nbformat.write(of_course(nbformat.read(notebook, as_version=4), notebook.name, references), target)


def of_course(source: NotebookNode, name: str, references: Path) -> NotebookNode:
    """Return the plain copy of a source notebook, with links to where the book is published."""
    try:
        return plain(source, Links(address.pages(), works(references)))
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def works(references: Path) -> dict[str, tuple[str, str, str]]:
    """Return the works of a BibTeX file by key; none if there is no such file."""
    if not references.exists():
        return {}
    from pybtex.database import parse_file
    from pybtex.richtext import Text

    found = {}
    for key, entry in parse_file(str(references)).entries.items():
        names = [str(Text.from_latex(" ".join(person.last_names))) for person in entry.persons["author"]]
        authors = f"{names[0]} et al." if len(names) > 2 else " and ".join(names)
        preprint = re.search(
            r"arXiv:([\d.]+)", entry.fields.get("note", "") + entry.fields.get("journal", "")
        )
        link = entry.fields.get("url", "")
        if "doi" in entry.fields:
            link = f"https://doi.org/{entry.fields['doi']}"
        elif preprint:
            link = f"https://arxiv.org/abs/{preprint[1]}"
        found[key] = authors, entry.fields["year"], link
    return found


def plain(source: NotebookNode, links: Links) -> NotebookNode:
    """Return a copy of a source notebook that Colab shows as it is meant, and runs.

    Raises
    ------
    InputError
        For a role, directive or cited work that is not known here.
    """
    kept = {key: source.metadata[key] for key in ("kernelspec", "language_info") if key in source.metadata}
    cells = [new for cell in source.cells for new in _cells(cell, links)]
    for cell in cells:
        if "setup" in cell.metadata.get("tags", []) and "seconds" in source.metadata:
            cell.source += f"\n{_expected(source.metadata)}"
    return nbformat.v4.new_notebook(cells=cells, metadata={**kept, MADE: {"provenance": []}})


def _cells(cell: NotebookNode, links: Links) -> Iterator[NotebookNode]:
    """Yield what one cell becomes: the first with its id, further ones numbered."""
    made = _text(cell, links) if cell.cell_type == "markdown" else [_code(cell, links)]
    for number, new in enumerate(made):
        new["id"] = f"{cell['id']}-{number}" if number else cell["id"]
        yield new


def _text(cell: NotebookNode, links: Links) -> Iterator[NotebookNode]:
    """Yield text cells, and code cells for the paragraphs that hold numbers of the run."""
    for by_the_run, group in groupby(blocks(cell.source, links), lambda block: "{{" in block):
        text = "\n\n".join(group)
        if by_the_run:
            quoted = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
            source = f'{NUMBERS}\ncourse.say("""\n{quoted}\n""")'
            yield nbformat.v4.new_code_cell(source, metadata=FOLDED)
        else:
            yield nbformat.v4.new_markdown_cell(text)


def _code(cell: NotebookNode, links: Links) -> NotebookNode:
    """Return a code cell without outputs; a solution as text that opens on a click."""
    tags, source = cell.metadata.get("tags", []), cell.source
    if "hide-cell" in tags and "course.finish" not in source:
        return nbformat.v4.new_markdown_cell(_fold(SOLVED, f"```python\n{source}\n```"))
    if "parameters" in tags:
        source = source.replace('profile = "quick"  #', 'profile = "auto"  # by the GPU;')
    if "setup" in tags and links.pages:
        source = source.replace('address = ""', f'address = "{links.pages}/{address.WHEEL}"')
    folded = {}
    if HIDDEN & set(tags):
        source, folded = f"{KEPT}\n{source}", FOLDED
    return nbformat.v4.new_code_cell(source, metadata={"tags": tags, **folded} if tags else {})


def _expected(measured: dict) -> str:
    """Return a line of code that says what a chapter takes, from what its notebook notes."""
    memory = measured["megabytes"] / 1000
    return (
        f'print("quick: about {measured["seconds"]} s and {memory:.1f} GB, measured on a CPU; "\n'
        f'      "full: sized for {MINUTES} min and {GIGABYTES} GB of a T4, not measured")'
    )


def blocks(text: str, links: Links) -> list[str]:
    """Return the paragraphs, code blocks and boxes of a MyST text as plain Markdown.

    A number of the run is ``{{name}}`` there, for `course.say`.
    """
    found, loose, lines = [], [], iter(text.splitlines())

    def settle() -> None:
        parts = re.split(r"\n\s*\n", _inline("\n".join(loose), links))
        found.extend(part.strip("\n") for part in parts if part.strip())
        loose.clear()

    for line in lines:
        if not (opening := FENCE.match(line)):
            loose.append(line)
            continue
        settle()
        body = list(takewhile(lambda line, mark=opening["mark"]: line.rstrip() != mark, lines))
        if opening["name"]:
            found.append(_directive(opening["name"], opening["rest"], body, links))
        else:
            found.append("\n".join([line, *body, opening["mark"]]))
    settle()
    for block in found:
        if not block.startswith("```") and (hit := MARKUP.search(CODE.sub("", block))):
            raise InputError(f"plain notebooks do not know {hit.group()!r} in {block[:80]!r}")
    return found


def _directive(name: str, argument: str, body: list[str], links: Links) -> str:
    """Return a box as a quote, one that opens on a click as details, a formula between dollars, a figure."""
    options = list(takewhile(lambda line: re.match(r":\w+:", line), body))
    text = "\n".join(body[len(options) :]).strip()
    if name == "math":
        return f"$$\n{text}\n$$"
    if name == "figure":
        alt = next(option.removeprefix(":alt:").strip() for option in options if option.startswith(":alt:"))
        return f"{_link(alt, argument, links, '!')}\n\n*{_inline(text, links)}*"
    if name not in BOXES:
        raise InputError(f"plain notebooks do not know the directive {{{name}}}")
    title = _inline(argument, links) if name in ("admonition", "dropdown") else name.capitalize()
    inner = "\n\n".join(blocks(text, links))
    if name == "dropdown" or any("dropdown" in option for option in options):
        return _fold(f"<summary>{title}</summary>", inner)
    return "\n".join(f"> {line}".rstrip() for line in (f"**{title}**", "", *inner.splitlines()))


def _fold(summary: str, text: str) -> str:
    return f"<details>\n{summary}\n\n{text}\n\n</details>"


def _inline(text: str, links: Links) -> str:
    """Return text without roles and without links that lead nowhere; code stays as it is."""
    return INLINE.sub(partial(_replace, links=links), text)


def _replace(hit: re.Match, links: Links) -> str:
    """Return what stands for one role, code span, picture or link."""
    if hit["code"]:
        return hit["code"]
    if not hit["role"]:
        return _link(_inline(hit["text"], links), hit["target"], links, hit["picture"])
    content = hit["content"]
    match hit["role"]:
        case "glue:text":
            return f"{{{{{content}}}}}"
        case "math":
            return f"${content}$"
        case "cite:p" | "cite:t" as role:
            return _cite(content, links, in_text=role == "cite:t")
        case "term":
            return _link(content.partition("<")[0].strip(), "../book/glossary.md", links)
    raise InputError(f"plain notebooks do not know the role {{{hit['role']}}}")


def _cite(keys: str, links: Links, *, in_text: bool) -> str:
    """Return "(A and B, 2020; C et al., 2021)", or "A and B (2020)" if `in_text`, each with a link."""
    cited = []
    for key in map(str.strip, keys.split(",")):
        if key not in links.works:
            raise InputError(f"{key} is cited and not in the bibliography")
        authors, year, target = links.works[key]
        shown = f"{authors} ({year})" if in_text else f"{authors}, {year}"
        cited.append(_link(shown, target or "../book/bibliography.md", links))
    return ", ".join(cited) if in_text else f"({'; '.join(cited)})"


def _link(text: str, target: str, links: Links, picture: str = "") -> str:
    """Return a link that works from anywhere, or else its text; `target` is seen from the sources."""
    if re.match(r"https?:|mailto:", target):
        return f"{picture}[{text}]({target})"
    if not links.pages:
        return text
    file, mark, anchor = target.partition("#")
    place = posixpath.normpath(posixpath.join("notebooks", file))
    if picture:
        return f"![{text}]({links.pages}/_images/{posixpath.basename(place)})"
    return f"[{text}]({links.pages}/{re.sub(r'[.](md|ipynb)$', '.html', place)}{mark}{anchor})"
