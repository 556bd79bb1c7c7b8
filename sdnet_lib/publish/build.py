"""The book: papermill runs the notebooks, Jupyter Book turns the executed copies into web pages.

The source notebooks are never written to. An executed copy is kept under a name that holds a hash of
everything it came from, so a notebook runs again only when its source, the library, its parameters, its
data or an installed version has changed, or the copy is damaged. What fails a check never reaches the book.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

import sdnet_lib
from sdnet_lib.checksums import made_again
from sdnet_lib.config import get_profile
from sdnet_lib.files import InputError, write_text
from sdnet_lib.names import shown
from sdnet_lib.publish.checks import private_paths, problems
from sdnet_lib.publish.execution import CELL_TIMEOUT, BookError, Chapter, run
from sdnet_lib.publish.keys import executed_copies, pages_key
from sdnet_lib.publish.rendering import render

PACKAGE = Path(sdnet_lib.__file__).parent
PHANTOM = "phantom"  # the data set of the course itself


def build(
    root: Path | None = None,
    output: Path | None = None,
    *,
    profile: str = "quick",
    dataset: str = PHANTOM,
    data: Path | None = None,
    seed: int = 0,
    only: str | None = None,
    jobs: int | None = None,
    strict: bool = False,
    labels: Mapping[str, str] | None = None,
    timeout: int = CELL_TIMEOUT,
    bundle: Path | None = None,
    cluster: tuple[str, float] | None = None,
) -> Path:
    """Run the notebooks that need it, build the web pages and return the first one.

    Parameters
    ----------
    root : Path, optional
        The course: a folder with ``_config.yml``, ``_toc.yml``, ``book/`` and ``notebooks/``. The clone that
        this package is installed from, if not given.
    output : Path, optional
        Where ``html/``, ``executed/``, ``failed/`` and ``book.log`` go; ``root/_build`` if not given.
    profile, dataset, data, seed
        The parameters of every notebook; paths are made absolute, as notebooks run in an empty folder.
    only : str, optional
        Start of the one notebook's name to run, such as ``"03"``. The others become pages that say so.
    jobs : int, optional
        Chapters that run at a time; the cores, or one on a GPU, if not given. No number depends on it.
    strict : bool
        Refuse what libraries print on stderr, too.
    labels : dict of str, optional
        What the labels of `dataset` mean, a CSV file then; see `data_scripts.registry.load_cohort`.
    timeout : int
        Seconds that one cell may take.
    bundle : Path, optional
        A file to pack the executed notebooks and the studies into; see `bundle`.
    cluster : tuple, optional
        For long studies, the address of a Ray cluster, and what a run takes of a GPU; see `studies.cluster`.

    Raises
    ------
    InputError
        For a folder that is no course, an unknown chapter or parameter, or another build in progress.
    BookError
        For failing cells, executed notebooks that fail `execution.problems`, or a Sphinx warning.
    """
    root = Path(root) if root else PACKAGE.parent
    output = Path(output).absolute() if output else root / "_build"
    notebooks = find_notebooks(root)
    chosen = select(notebooks, only)
    if labels:
        dataset = str(_with_labels(dataset, labels, output))
    parameters = parameters_of(profile, dataset, data, seed)
    copies = executed_copies(chosen, parameters, output)
    missing = [notebook for notebook in chosen if made_again(copies[notebook])]
    chapters = [Chapter(n, copies[n], overrides(n, parameters)) for n in missing]
    output.mkdir(parents=True, exist_ok=True)
    with _alone(output), _scratch(output) as scratch:
        for notebook in chosen:
            if notebook not in missing:
                print(f"{notebook.name:36} unchanged", flush=True)
        if chapters:
            from sdnet_lib.studies import chapters as course_chapters
            from sdnet_lib.studies.crossval import default_jobs

            reading = [one for one in missing if one.stem.startswith(course_chapters.READERS)]
            if reading and course_chapters.is_long(profile):
                from sdnet_lib.publish.plan import run_studies

                run_studies(parameters, jobs, cluster)
            (output / "book.log").unlink(missing_ok=True)
            options = {"jobs": jobs or default_jobs(), "timeout": timeout, "strict": strict}
            run(chapters, scratch, output, private=private_paths(parameters), **options)
        if strict:
            _refuse_noise(copies)
        page = _pages(root, notebooks, copies, parameters, output, scratch)
        if bundle:
            _pack(bundle, copies, parameters, scratch)
    print(shown(f"the book: {page}"))
    return page


def from_bundle(file: Path, root: Path | None = None, output: Path | None = None) -> Path:
    """Render the book from a bundle, on any machine and without executing anything; return its first page.

    Parameters
    ----------
    file : Path
        See `bundle`.
    root, output : Path, optional
        As in `build`. What the bundle holds goes to ``bundle/`` there.

    Raises
    ------
    InputError
        For a bundle that is damaged, or of another course.
    """
    from sdnet_lib.publish import bundle

    root = Path(root) if root else PACKAGE.parent
    output = Path(output).absolute() if output else root / "_build"
    notebooks = find_notebooks(root)
    output.mkdir(parents=True, exist_ok=True)
    with _alone(output), _scratch(output) as scratch:
        facts = bundle.unpack(Path(file), notebooks, scratch / "unpacked")
        kept = output / "bundle"
        shutil.rmtree(kept, ignore_errors=True)
        os.replace(scratch / "unpacked", kept)
        copies = {one: kept / bundle.EXECUTED / one.name for one in notebooks}
        page = _pages(root, notebooks, copies, facts["parameters"], output, scratch, facts["origin"])
    print(shown(f"the book: {page}"))
    return page


def _pages(
    root: Path,
    notebooks: list[Path],
    copies: dict[Path, Path],
    parameters: dict,
    output: Path,
    scratch: Path,
    origin: dict | None = None,
) -> Path:
    """Render the pages if anything they are made of has changed; return the first one."""
    page, stamp = output / "html" / "index.html", output / "html.key"
    key = pages_key(root, notebooks, copies)
    if page.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == key:
        print(shown(f"the pages are up to date: {page}"))
        return page
    from sdnet_lib.publish import pages, plain  # takes seconds to import

    executed = {notebook.stem: copy for notebook, copy in copies.items()}
    pages.stage(root, notebooks, executed, parameters, scratch / "source", origin)
    built = render(scratch / "source", scratch, output / "book.log")
    for notebook in notebooks:  # what the buttons hand out and open on Colab
        target = built / "_sources" / "notebooks" / notebook.name
        plain.write(notebook, target, root / "book" / "references.bib")
    stamp.unlink(missing_ok=True)
    shutil.rmtree(page.parent, ignore_errors=True)
    os.replace(built, page.parent)
    write_text(stamp, key)
    return page


def _pack(file: Path, copies: dict[Path, Path], parameters: dict, scratch: Path) -> None:
    """Pack the book that has just been built, without saying where the user's data lie."""
    from sdnet_lib.publish import bundle, pages
    from sdnet_lib.studies import chapters

    dataset, seed = parameters["dataset"], parameters["seed"]
    studies = [chapters.folder(parameters["profile"], dataset, seed, name) for name in ("", chapters.NO_PCR)]
    if Path(dataset).is_absolute():
        dataset = "a cohort of one's own"
    facts = {"parameters": parameters | {"dataset": dataset, "data": None}, "origin": pages.origin()}
    bundle.write(file, copies, studies, facts, scratch)
    print(shown(f"the bundle: {file}"))


def _with_labels(dataset: str, labels: Mapping[str, str], output: Path) -> Path:
    """Write a cohort whose labels the notebooks understand; return its file. Images stay where they are."""
    from data_scripts import registry
    from sdnet_lib.data.cohort import write_cohort

    return write_cohort(registry.load_cohort(dataset, labels=labels), output / "cohort" / Path(dataset).stem)


def parameters_of(profile: str, dataset: str, data: Path | None, seed: int) -> dict:
    """Return the parameters of every notebook; raise `InputError` now if no notebook could use them."""
    if data is not None and not Path(data).is_dir():
        raise InputError(f"--data {data}: no such folder")
    if dataset != PHANTOM:
        from data_scripts import registry  # takes seconds to import

        if dataset not in registry.SYNTHETIC:
            cohort = registry.load_cohort(dataset, data=data, check_files=False)
            for line in registry.left_out(cohort):
                print(shown(line), flush=True)
        if dataset not in registry.names():
            dataset = str(Path(dataset).absolute())
    folder = str(Path(data).absolute()) if data is not None else None
    return {"profile": get_profile(profile).name, "dataset": dataset, "data": folder, "seed": seed}


def find_notebooks(root: Path) -> list[Path]:
    """Return the notebooks of the course at `root` in reading order; raise `InputError` if it is none."""
    if not (root / "_toc.yml").exists():
        raise InputError(f"{root} is not a clone of the course: no _toc.yml there (pip install -e CLONE)")
    notebooks = sorted((root / "notebooks").glob("*.ipynb"))
    if not notebooks:
        raise InputError(f"no notebooks in {root / 'notebooks'}")
    return notebooks


def select(notebooks: list[Path], only: str | None) -> list[Path]:
    """Return the notebooks to run: all, or the one whose name starts with `only`."""
    if only is None:
        return notebooks
    chosen = [notebook for notebook in notebooks if only and notebook.stem.startswith(only)]
    if len(chosen) != 1:
        raise InputError(
            f"--only {only!r} is not one of {', '.join(n.stem.split('_')[0] for n in notebooks)}"
        )
    return chosen


def overrides(notebook: Path, parameters: dict) -> dict:
    """Return the `parameters` that differ from what `notebook` itself says.

    papermill only warns of a parameter that a notebook does not declare, and a misspelt ``profile`` would
    then mean the wrong run; here it is an `InputError`. A parameter that keeps its value is left out, so that
    a default run shows the cells that the source shows.
    """
    import papermill

    declared = papermill.inspect_notebook(str(notebook))
    unknown = [name for name in parameters if name not in declared]
    if unknown:
        raise InputError(f"{notebook.name} has no parameter {', '.join(unknown)} in its parameters cell")
    return {name: value for name, value in parameters.items() if repr(value) != _normal(declared[name])}


def _normal(parameter: dict) -> str:
    """Return the declared default of one of papermill's parameters as Python's `repr` writes it."""
    import ast

    try:
        return repr(ast.literal_eval(parameter["default"]))
    except (SyntaxError, ValueError):
        return ""


def _refuse_noise(copies: dict[Path, Path]) -> None:
    """Raise `BookError` if an executed copy, which a build that was not strict may have made, has noise."""
    import nbformat

    found = [
        f"{notebook.name}, {line}"
        for notebook, copy in copies.items()
        for line in problems(nbformat.read(copy, as_version=4), strict=True)
    ]
    if found:
        raise BookError("\n".join(found))


@contextmanager
def _alone(output: Path) -> Iterator[None]:
    """Let one build at a time write to `output`."""
    try:
        with FileLock(output / ".lock", timeout=0):
            yield
    except Timeout:
        raise InputError(
            f"another build is writing to {output}: wait for it, or choose another --output"
        ) from None


@contextmanager
def _scratch(output: Path) -> Iterator[Path]:
    """Lend an empty folder inside `output`, so that finished files can be moved into place in one step."""
    folder = output / "running"
    shutil.rmtree(folder, ignore_errors=True)  # what a killed build left
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
