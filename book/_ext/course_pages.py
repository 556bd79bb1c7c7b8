"""A Sphinx extension: glossary terms that explain themselves, and pages that load nothing from outside."""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx

GLOSSARY = "book/glossary"


def definitions(app: Sphinx) -> dict[str, str]:
    """Return the glossary as a mapping from a term's anchor to its definition."""
    found = {}
    for item in app.env.get_doctree(GLOSSARY).findall(nodes.definition_list_item):
        meaning = " ".join(part.astext() for part in item.findall(nodes.definition)).replace("\n", " ")
        found.update({anchor: meaning for term in item.findall(nodes.term) for anchor in term["ids"]})
    return found


def explain_terms(app: Sphinx, doctree: nodes.document, name: str) -> None:
    """Give each link to the glossary in a resolved page its definition as a title, shown on hovering."""
    links = {}
    for link in doctree.findall(nodes.reference):
        anchor = link.get("refid") or link.get("refuri", "").partition("#")[2]
        if anchor.startswith("term-"):
            links[link] = anchor
    meanings = definitions(app) if links else {}
    for link, anchor in links.items():
        link["reftitle"] = meanings.get(anchor, "")


def drop_thebe(app: Sphinx, page: str, template: str, context: dict, doctree: nodes.document | None) -> None:
    """Leave out the scripts of Thebe, which this book does not use.

    Jupyter Book and its theme both load them, which is an error in the browser's console.
    """
    context["script_files"] = [
        script
        for script in context["script_files"]
        if "thebe" not in f"{script} {getattr(script, 'attributes', '')}".lower()
    ]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("doctree-resolved", explain_terms)
    app.connect("html-page-context", drop_thebe, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
