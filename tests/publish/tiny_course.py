"""A course of one or two tiny notebooks, for tests of the pipeline: it builds in seconds."""

from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

PARAMETERS = 'profile = "quick"  # a size\ndataset = "phantom"\ndata = None\nseed = 0'
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


def notebook(*cells: str, parameters: str = PARAMETERS) -> nbformat.NotebookNode:
    """Return a notebook with a title, a parameters cell and the given code cells."""
    first = new_code_cell(parameters, metadata={"tags": ["parameters"]})
    code = [new_code_cell(source) for source in cells]
    return new_notebook(cells=[new_markdown_cell("# A chapter"), first, *code], metadata=KERNEL)


def write(root: Path, **notebooks: nbformat.NotebookNode) -> Path:
    """Write a course with these notebooks to `root` and return it."""
    (root / "book").mkdir(parents=True)
    (root / "notebooks").mkdir()
    (root / "_config.yml").write_text('title: Tiny\nexecute:\n  execute_notebooks: "off"\n')
    chapters = "".join(f"  - file: notebooks/{name}\n" for name in notebooks)
    toc = f"format: jb-book\nroot: book/index\nchapters:\n{chapters}  - file: book/this_run\n"
    (root / "_toc.yml").write_text(toc)
    (root / "book" / "index.md").write_text("# Tiny course\n")
    for name, content in notebooks.items():
        nbformat.write(content, root / "notebooks" / f"{name}.ipynb")
    return root
