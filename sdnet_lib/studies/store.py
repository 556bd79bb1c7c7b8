"""A study in a store that is no folder, such as a bucket: fetched when it begins, and put back run by run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sdnet_lib.files import InputError, one_line, write_bytes
from sdnet_lib.files.temporary import private_folder
from sdnet_lib.names import shown

SHARED = ".shared"  # the folder of a study for what several approaches learn once


@contextmanager
def folder(place: str) -> Iterator[tuple[Path, Callable[[], None]]]:
    """Lend the folder of a study, and a function that brings what is new in it to its place.

    Parameters
    ----------
    place : str
        A folder; or an address such as ``s3://bucket/study`` of a store that fsspec knows. What is in a store
        is fetched to a temporary folder, and what is new there is put in the end in any case. Two commands
        must not write to the same study of a store at once, for stores have no locks.

    Raises
    ------
    InputError
        If the store cannot be reached.
    """
    if "://" not in place:
        yield Path(place), lambda: None
        return
    with _named(place):
        from fsspec.core import url_to_fs

        system, root = url_to_fs(place)
    with private_folder() as mirror:
        with _named(place):
            for name in system.find(root) if system.exists(root) else []:
                target = mirror / name.removeprefix(root).lstrip("/")
                if ".." in target.parts:  # keys of a store may be anything
                    raise InputError(f"{shown(name)}: a name that leads out of the study")
                write_bytes(target, system.cat_file(name))
        known = _found(mirror)

        def put() -> None:
            found = _found(mirror)
            with _named(place):
                for name in sorted(found, key=lambda name: (name.endswith(".json"), name)):  # seals come last
                    if known.get(name) != found[name]:
                        target = f"{root}/{name}"
                        system.makedirs(target.rpartition("/")[0], exist_ok=True)
                        system.pipe_file(target, (mirror / name).read_bytes())
                        known[name] = found[name]

        try:
            yield mirror, put
        finally:
            put()


def _found(mirror: Path) -> dict[str, int]:
    """Return the whole files of a study by name, with the time when they were written."""
    files = {file.relative_to(mirror): file for file in mirror.rglob("*") if file.is_file()}
    return {
        name.as_posix(): file.stat().st_mtime_ns
        for name, file in files.items()
        if not any(part.startswith(".") and part != SHARED for part in name.parts)
    }


@contextmanager
def _named(place: str) -> Iterator[None]:
    """Let whatever a store may raise, and there are many stores, be one line that names it."""
    try:
        yield
    except Exception as error:
        raise InputError(f"{place}: {one_line(error)}") from error
