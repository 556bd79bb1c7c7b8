"""A Sphinx extension: glossary terms that explain themselves, and pages that load only what they need."""

from __future__ import annotations

import re
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx

GLOSSARY = "book/glossary"
EVERYDAY = {"run", "view", "seed", "profile", "pa", "ap"}  # words that mostly mean what everybody means
NAMES = {"Dice", "Spearman", "Grad-CAM"}
STEPS = {
    "01_dataset_bias": "bias",
    "02_building_covidgr": "cohort",
    "03_segmentation_cropping": "crops",
    "04_fucitnet": "generators",
    "05_twin_fusion": "fusion",
    "06_cross_validation": "results",
    "07_gradcam": "reasons",
}
NO_HEADING = re.compile(r"<th(?P<kind>[^>]*)>\s*(?:<p>\s*</p>)?\s*</th>")
ICONS = re.compile(r"<script[^>]*fontawesome[^>]*>\s*</script>")


def glossary(app: Sphinx) -> dict[str, tuple[str, str]]:
    """Return the glossary as a mapping from a term's anchor to the term and its definition."""
    found = {}
    for item in app.env.get_doctree(GLOSSARY).findall(nodes.definition_list_item):
        meaning = " ".join(part.astext() for part in item.findall(nodes.definition)).replace("\n", " ")
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
    """Leave out Thebe, which this book does not use, and MathJax where there is no formula.

    Jupyter Book and its theme both load Thebe, which is an error in the browser's console.
    """
    unused = ["thebe"] + ["mathjax"] * ('class="math' not in context.get("body", ""))
    context["script_files"] = [
        script
        for script in context["script_files"]
        if not any(name in f"{script} {getattr(script, 'attributes', '')}".lower() for name in unused)
    ]


def finish_body(app: Sphinx, page: str, template: str, context: dict, doctree: nodes.document | None) -> None:
    """Show below a chapter's title where in the course it stands; let empty headings of tables be cells."""
    body = NO_HEADING.sub(r"<td\g<kind>></td>", context.get("body", ""))
    if page.removeprefix("notebooks/") in STEPS:
        body = body.replace("</h1>", "</h1>" + course_map(page.removeprefix("notebooks/")), 1)
    # sphinx's list of citations has no list items, which a screen reader misses
    context["body"] = body.replace('<div role="list" class="citation-list">', '<div class="citation-list">')


def course_map(chapter: str) -> str:
    """Return links to all chapters in the order of the method, this one marked."""
    here = {name: ' aria-current="page"' if name == chapter else "" for name in STEPS}
    links = [f'<li><a href="{name}.html"{here[name]}>{step}</a></li>' for name, step in STEPS.items()]
    return f'<nav class="course-map" aria-label="Steps of the course"><ol>{"".join(links)}</ol></nav>'


def drop_icon_script(app: Sphinx, error: Exception | None) -> None:
    """Leave out Font Awesome's script of 1.4 MB: its style sheet shows the same icons from a font."""
    for page in [] if error else Path(app.outdir).rglob("*.html"):
        page.write_text(ICONS.sub("", page.read_text(encoding="utf-8")), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("doctree-resolved", explain_terms)
    app.connect("html-page-context", drop_scripts, priority=900)
    app.connect("html-page-context", finish_body)
    app.connect("build-finished", drop_icon_script)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
