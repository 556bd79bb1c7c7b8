"""A Sphinx extension: types in the library reference lead to where they are described, here or elsewhere.

Sphinx's own intersphinx asks each project for its inventory while the book is built, which needs a network.
The few types that our docstrings name have addresses that follow a rule, so the rules are enough.
"""

from __future__ import annotations

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

ALIASES = {
    "DataFrame": "pandas.DataFrame",
    "Learner": "fastai.learner.Learner",
    "Path": "pathlib.Path",
    "Series": "pandas.Series",
    "Tensor": "torch.Tensor",
    "nn.Module": "torch.nn.Module",
    "pandas.core.frame.DataFrame": "pandas.DataFrame",
    "pandas.core.series.Series": "pandas.Series",
}
PREFIXES = {"pd.": "pandas.", "np.": "numpy."}
ADDRESSES = {
    "collections.abc": "https://docs.python.org/3/library/collections.abc.html#{name}",
    "fastai.learner": "https://docs.fast.ai/learner.html#learner",
    "numpy": "https://numpy.org/doc/stable/reference/generated/{name}.html",
    "pandas": "https://pandas.pydata.org/docs/reference/api/{name}.html",
    "pathlib": "https://docs.python.org/3/library/pathlib.html#{name}",
    "torch.Tensor": "https://docs.pytorch.org/docs/stable/tensors.html#{name}",
    "torch.device": "https://docs.pytorch.org/docs/stable/tensor_attributes.html#{name}",
    "torch.nn": "https://docs.pytorch.org/docs/stable/generated/{name}.html",
}


def address(target: str) -> str | None:
    """Return the address of a type of another project, None for what is none, such as ``float array``."""
    for prefix, full in PREFIXES.items():
        target = full + target.removeprefix(prefix) if target.startswith(prefix) else target
    name = ALIASES.get(target, target)
    rule = ADDRESSES.get(name) or ADDRESSES.get(name.rpartition(".")[0])
    return rule and rule.format(name=name)


def resolve(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Element
) -> nodes.Element | None:
    """Turn a type that Sphinx does not find under this very name into a link, or else into plain text."""
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    for name, entry in env.get_domain("py").objects.items():
        if name.endswith(f".{target}"):
            return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, content, name)
    if (found := address(target)) is None:
        return content
    return nodes.reference("", "", content, internal=False, refuri=found)


def skip(app: Sphinx, kind: str, name: str, member: object, skipped: bool, options: object) -> bool | None:
    """Leave out the field of a named tuple of which nobody has said more than its number."""
    return True if str(member.__doc__).startswith("Alias for field number") else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("missing-reference", resolve)
    app.connect("autodoc-skip-member", skip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
