"""The sources of the web book: prose, executed notebooks, and pages that are computed."""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
import shutil
from pathlib import Path

import nbformat
import yaml
from joblib import cpu_count, delayed

from sdnet_lib.publish import address
from sdnet_lib.workers import workers

VERSIONS = ("sdnet-lib", "torch", "torchvision", "fastai", "timm", "numpy", "scikit-learn")
# pages and the modules that write them, what takes longest first; `write` returns the text, `figures`, if a
# module has it, what goes beside the page by file name
COMPUTED = {
    "results": "results_page",
    "cluster": "cluster_page",
    "model_card": "model_card",
    "audit": "calibration_page",
    "builder": "builder_page",
    "data_sets": "data_sets_page",
    "how_fast": "speed_page",
}
# code that makes a notebook run and teaches nothing: on a page it is folded
SETS_UP = {
    "parameters": "Settings of this run",
    "injected-parameters": "What this run changed in them",
    "setup": "How a notebook starts",
}


def stage(
    root: Path,
    notebooks: list[Path],
    executed: dict[str, Path],
    parameters: dict,
    folder: Path,
    origin: dict | None = None,
) -> None:
    """Gather in `folder` what Jupyter Book reads: configuration, prose and executed notebooks.

    Parameters
    ----------
    root : Path
        The course.
    notebooks : list of Path
        All source notebooks; one without an executed copy becomes a page that says it was not run.
    executed : dict
        From a notebook's name without suffix to its executed copy.
    parameters : dict
        What the notebooks were run with, for the page about this run.
    folder : Path
        Does not exist yet.
    origin : dict, optional
        Where they were run, if not here; see `origin`.
    """
    left_out = shutil.ignore_patterns("__pycache__", ".*", "templates")
    shutil.copytree(root / "book", folder / "book", ignore=left_out)
    shutil.copy(root / "_toc.yml", folder)
    settings = (root / "_config.yml").read_text(encoding="utf-8")
    if published := address.book_settings():
        settings += f"\n{yaml.safe_dump(published)}"
    (folder / "_config.yml").write_text(settings, encoding="utf-8")
    (folder / "notebooks").mkdir()
    for notebook in notebooks:
        copy = folder / "notebooks" / notebook.name
        if notebook.stem in executed:
            nbformat.write(_for_readers(nbformat.read(executed[notebook.stem], as_version=4)), copy)
        else:
            nbformat.write(_not_run(nbformat.read(notebook, as_version=4)), copy)
    (folder / "book" / "this_run.md").write_text(this_run(executed, parameters, origin), encoding="utf-8")
    listed = (root / "_toc.yml").read_text(encoding="utf-8")
    asked = [name for name in COMPUTED if f"book/{name}" in listed]
    with workers(min(cpu_count(), len(asked) or 1), "generator") as parallel:
        list(parallel(delayed(_compute)(name, folder / "book") for name in asked))
    if "book/refreshers" in listed:
        from sdnet_lib.publish import refreshers  # which imports torch: the command line does not

        refreshers.write(folder / "book" / "refreshers")


def _compute(name: str, folder: Path) -> None:
    """Write a page of `COMPUTED` and its figures into a folder."""
    module = importlib.import_module(f"sdnet_lib.publish.{COMPUTED[name]}")
    (folder / f"{name}.md").write_text(module.write(), encoding="utf-8")
    for file, figure in getattr(module, "figures", dict)().items():
        figure.savefig(folder / file)


def title(notebook: nbformat.NotebookNode) -> str:
    """Return the first heading of a notebook, without its mark."""
    lines = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown").splitlines()
    return next((line.lstrip("# ").strip() for line in lines if line.startswith("# ")), "Untitled")


def _for_readers(executed: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Leave out what libraries said on stderr, fold what sets up, and say on folded cells what is in them."""
    for cell in executed.cells:
        tags, label = cell.metadata.get("tags", []), None
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
        if "hide-cell" in tags:
            label = "How this chapter was run" if "course.finish" in cell.source else "Show a solution"
        _caption(cell)
        for tag, what in SETS_UP.items():
            if tag in tags:
                label = what
                cell.metadata["tags"] = [*tags, "hide-input"]
        if label:
            cell.metadata["mystnb"] = {"code_prompt_show": label, **cell.metadata.get("mystnb", {})}
    return executed


def _caption(cell: nbformat.NotebookNode) -> None:
    """Make a picture with a description a numbered figure, and the description its caption."""
    shown = cell.metadata.get("mystnb", {})
    pictures = sum("image/png" in output.get("data", {}) for output in cell.get("outputs", []))
    if pictures == 1 and (alt := shown.get("image", {}).get("alt")) and "figure" not in shown:
        cell.metadata["mystnb"] = {
            **shown,
            "figure": {"caption": f"{alt.rstrip('.')}.", "name": f"fig-{cell.id}"},
        }


def _not_run(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return a notebook that keeps the title of `notebook` and says that this build left it out."""
    text = f"# {title(notebook)}\n\nThis chapter was left out of this build. `make book` runs all chapters."
    left_out = nbformat.v4.new_notebook(metadata={"kernelspec": notebook.metadata.get("kernelspec", {})})
    left_out.cells = [nbformat.v4.new_markdown_cell(text, id="left-out")]
    return left_out


def origin() -> dict:
    """Return the system and the versions of packages with which this process runs notebooks."""
    return {
        "system": f"{platform.python_implementation()} {platform.python_version()} on {platform.system()}",
        "versions": {name: importlib.metadata.version(name) for name in VERSIONS},
    }


def this_run(executed: dict[str, Path], parameters: dict, made: dict | None = None) -> str:
    """Return the page that says with what, when and how long each notebook ran, as Markdown.

    Everything comes from the executed notebooks and the installed packages, so the same notebooks give the
    same page.
    """
    rows = ["| Chapter | Run on | Seconds | Code cells |", "| --- | --- | ---: | ---: |"]
    for stem, path in executed.items():
        notebook = nbformat.read(path, as_version=4)
        run = notebook.metadata.get("papermill", {})
        cells = sum(cell.cell_type == "code" for cell in notebook.cells)
        link = f"[{title(notebook)}](../notebooks/{stem}.ipynb)"
        rows.append(f"| {link} | {run.get('end_time', '')[:10]} | {run.get('duration') or 0:.0f} | {cells} |")
    # the path of a local data folder is left out: a published page should not show it
    shown = {name: value for name, value in parameters.items() if name != "data"}
    if Path(shown["dataset"]).is_absolute():
        shown["dataset"] = "a cohort of one's own"
    given = [f"- `{name}`: {value}" for name, value in shown.items()]
    made = made or origin()
    versions = [f"| {name} | {version} |" for name, version in made["versions"].items()]
    return "\n".join(
        [
            "# How this book was run",
            "",
            "Every figure and every computed number in the chapters came out of this run:",
            "",
            *given,
            f"- {made['system']}",
            "",
            *rows,
            "",
            "The main packages; `requirements.txt` pins all of them:",
            "",
            "| Package | Version |",
            "| --- | --- |",
            *versions,
            "",
        ]
    )
