"""A Sphinx extension: glossary terms that explain themselves, and formulas that need no script."""

from __future__ import annotations

import json
import re
from pathlib import Path

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

GLOSSARY = "book/glossary"
EVERYDAY = {"run", "view", "seed", "profile", "pa", "ap"}  # words that mostly mean what everybody means
NAMES = {"Dice", "Spearman", "Grad-CAM"}
STEPS = {
    "01_dataset_bias": "bias",
    "02_building_covidgr": "cohort",
    "03_segmentation_cropping": "crops",
    "04_fucitnet": "generators",
    "05_twin_fusion": "fusion",
    "06_cross_validation": "tests",
    "07_printed_tables": "tables",
    "08_thresholds": "thresholds",
    "09_gradcam": "reasons",
    "10_audit_your_data": "audit",
}
WORDS_A_MINUTE = 150  # of a text that one thinks about
# controls whose name for a screen reader is missing, or is not what they show; what is put in place of each
NAMED = (
    (
        '<summary><span class="toctree-toggle"',
        '<summary aria-label="Pages below"><span class="toctree-toggle"',
    ),
    (' aria-label="Toggle hidden content"', ""),
)
SEARCH_FIELD = re.compile(r'(<button[^>]*search-button-field[^>]*?)\s+aria-label="Search"')
NO_HEADING = re.compile(r"<th(?P<kind>[^>]*)>\s*(?:<p>\s*</p>)?\s*</th>")
FENCE = re.compile(r"<mo(?![^>]*stretchy)(?P<how>[^>]*)>(?P<fence>[{}])</mo>")
AMBIGUOUS = re.compile(r"\\frac\s*\d{2}")  # which docutils takes for one number


def glossary(app: Sphinx) -> dict[str, tuple[str, str]]:
    """Return the glossary as a mapping from a term's anchor to the term and the definition's first paragraph.

    A second paragraph, if any, leads to a page about the term.
    """
    found = {}
    for item in app.env.get_doctree(GLOSSARY).findall(nodes.definition_list_item):
        meaning = next(item.findall(nodes.paragraph)).astext().replace("\n", " ")
        for term in item.findall(nodes.term):
            found.update({anchor: (term.astext(), meaning) for anchor in term["ids"]})
    return found


def explain_terms(app: Sphinx, doctree: nodes.document, name: str) -> None:
    """Link the first use of each term in a chapter, and give all such links their definition on hovering."""
    terms = glossary(app)
    linked = set()
    for link in doctree.findall(nodes.reference):
        anchor = link.get("refid") or link.get("refuri", "").partition("#")[2]
        if anchor in terms:
            link["reftitle"] = terms[anchor][1]
            linked.add(anchor)
    if name.startswith("notebooks/"):
        _link_first_uses(app, doctree, name, {a: t for a, t in terms.items() if a not in linked})


def _link_first_uses(
    app: Sphinx, doctree: nodes.document, name: str, terms: dict[str, tuple[str, str]]
) -> None:
    """Turn the first use of each of `terms` in the prose of a page into a link to the glossary."""
    start = app.builder.get_relative_uri(name, GLOSSARY)
    for anchor, (term, meaning) in terms.items():
        if term.lower() in EVERYDAY:
            continue
        # abbreviations as they are written, words in any case and in the plural
        word = re.compile(
            rf"\b{re.escape(term)}s?\b", 0 if term[:2].isupper() or term in NAMES else re.IGNORECASE
        )
        for text in list(doctree.findall(nodes.Text)):
            hit = word.search(text) if isinstance(text.parent, nodes.paragraph | nodes.strong) else None
            if hit and not _inside(text, nodes.reference | nodes.caption | nodes.title):
                link = nodes.reference("", "", internal=True, refuri=f"{start}#{anchor}", reftitle=meaning)
                link += nodes.inline("", hit[0], classes=["std", "std-term"])
                around = [nodes.Text(text[: hit.start()]), link, nodes.Text(text[hit.end() :])]
                text.parent.replace(text, [part for part in around if part.astext()])
                break


def _inside(node: nodes.Node, kinds: type) -> bool:
    while node := node.parent:
        if isinstance(node, kinds):
            return True
    return False


def drop_scripts(
    app: Sphinx, page: str, template: str, context: dict, doctree: nodes.document | None
) -> None:
    """Leave out Thebe, which this book does not use.

    Jupyter Book and its theme both load it, which is an error in the browser's console.
    """
    context["script_files"] = [
        script
        for script in context["script_files"]
        if "thebe" not in f"{script} {getattr(script, 'attributes', '')}".lower()
    ]


def finish_body(app: Sphinx, page: str, template: str, context: dict, doctree: nodes.document | None) -> None:
    """Show below a chapter's title where it stands and how long it takes; turn empty headings into cells."""
    body = NO_HEADING.sub(r"<td\g<kind>></td>", context.get("body", ""))
    if page.removeprefix("notebooks/") in STEPS:
        here = course_map(page.removeprefix("notebooks/")) + course_time(app, page, doctree)
        body = body.replace("</h1>", "</h1>" + here, 1)
    # sphinx's list of citations has no list items, which a screen reader misses
    context["body"] = body.replace('<div role="list" class="citation-list">', '<div class="citation-list">')


def course_map(chapter: str) -> str:
    """Return links to all chapters in the order of the method, this one marked."""
    here = {name: ' aria-current="page"' if name == chapter else "" for name in STEPS}
    links = [f'<li><a href="{name}.html"{here[name]}>{step}</a></li>' for name, step in STEPS.items()]
    return f'<nav class="course-map" aria-label="Steps of the course"><ol>{"".join(links)}</ol></nav>'


def course_time(app: Sphinx, page: str, doctree: nodes.document) -> str:
    """Return a line on how long a chapter takes: people by its words, the machine by this very run."""
    notebook = json.loads(Path(app.env.doc2path(page)).read_text(encoding="utf-8"))
    seconds = notebook["metadata"].get("papermill", {}).get("duration")
    if not seconds:  # its page only says that it was not run
        return ""
    words = sum(len(paragraph.astext().split()) for paragraph in doctree.findall(nodes.paragraph))
    minutes = 5 * max(1, round(words / WORDS_A_MINUTE / 5))
    said = f"About {minutes} minutes to read, exercises aside; this run took {seconds:.0f} seconds."
    return f'<p class="course-time">{said}</p>'


def formula(translator: HTML5Translator, node: nodes.math | nodes.math_block) -> None:
    """Write a formula as MathML, which browsers typeset themselves; MathJax would be 1.2 MB a page."""
    block = isinstance(node, nodes.math_block)
    try:
        if AMBIGUOUS.search(node.astext()):
            raise MathError(r"\frac needs braces around its numbers")
        typeset = tex2mathml(node.astext().strip(), as_block=block)
    except MathError as error:
        logging.getLogger(__name__).warning("%s: %s", error, node.astext(), location=node)
        raise nodes.SkipNode from error
    if not block:  # braces in a line are as high as the line
        typeset = FENCE.sub(r'<mo stretchy="false"\g<how>>\g<fence></mo>', typeset)
    # a formula that is wider than a phone scrolls, with the keyboard too
    kind, scrolls = ("div", ' tabindex="0"') if block else ("span", "")
    translator.body.append(f'<{kind} class="math notranslate nohighlight"{scrolls}>{typeset}</{kind}>')
    raise nodes.SkipNode


def name_controls(app: Sphinx, error: Exception | None) -> None:
    """Give the theme's controls the names that they show, so that one can speak to them as one sees them."""
    for page in [] if error else Path(app.outdir).rglob("*.html"):
        text = SEARCH_FIELD.sub(r"\1", page.read_text(encoding="utf-8"))
        for old, new in NAMED:
            text = text.replace(old, new)
        page.write_text(text, encoding="utf-8")


def read_side_by_side(app: Sphinx) -> None:
    """Declare for two extensions of Jupyter Book what they do not say.

    One numbers sections when all pages are read, the other changes each page by itself.
    """
    for name in ("sphinx_multitoc_numbering", "sphinx_jupyterbook_latex"):
        app.extensions[name].parallel_read_safe = True


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("builder-inited", read_side_by_side)
    app.connect("doctree-resolved", explain_terms)
    app.connect("html-page-context", drop_scripts, priority=900)
    app.connect("html-page-context", finish_body)
    app.connect("build-finished", name_controls)
    app.add_html_math_renderer("mathml", (formula, None), (formula, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
