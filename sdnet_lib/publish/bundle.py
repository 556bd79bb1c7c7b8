"""A bundle: executed notebooks and stored studies in one file, from which any machine renders the book.

It is a zip file with a seal: what the notebooks were run with and where, the checksum of each file in it, and
of each notebook's source. Nothing in it is executed or unpickled, but its notebooks hold HTML that pages will
show: render only bundles of people whom you would let write to your pages.
"""

from __future__ import annotations

import shutil
import time
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from sdnet_lib.checksums import FILES, FOLDER, Damaged, read_seal, write_seal
from sdnet_lib.files import InputError, content_hash, machine, new_folder, one_line, whole
from sdnet_lib.names import portable

KIND = "a book of sdnet"
LARGEST = 2**31  # bytes that a bundle may come to when it is unpacked
EXECUTED, STUDIES = "executed", "studies"
# what zipfile raises for a damaged archive; NotImplementedError is for a compression it does not know
BROKEN = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, ValueError, EOFError)


def write(file: Path, copies: dict[Path, Path], studies: list[Path], facts: dict, scratch: Path) -> None:
    """Pack a book that has just been built.

    Parameters
    ----------
    file : Path
        Written whole or not at all.
    copies : dict of Path to Path
        From each source notebook to its executed copy.
    studies : list of Path
        Folders of studies; those that are not there are left out.
    facts : dict
        `parameters`, and `origin` from `pages.origin`.
    scratch : Path
        An empty folder may be made in it.
    """
    with new_folder(scratch / "bundle") as folder:
        (folder / EXECUTED).mkdir()
        for source, copy in copies.items():
            shutil.copyfile(copy, folder / EXECUTED / source.name)
        for study in filter(Path.is_dir, studies):
            shutil.copytree(study, folder / STUDIES / study.name, ignore=shutil.ignore_patterns(".*"))
        files = sorted(one for one in folder.rglob("*") if one.is_file())
        sources = {source.name: content_hash(source) for source in copies}
        made = {"kind": KIND, "made": time.strftime("%Y-%m-%d"), "sources": sources}
        write_seal(folder / FOLDER, facts | made, *files)
        with whole(file) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as packed:
            for one in (folder / FOLDER, *files):
                packed.write(one, one.relative_to(folder).as_posix())


def unpack(file: Path, notebooks: list[Path], folder: Path) -> dict:
    """Unpack a bundle, once all in it has been checked, and return what its seal says.

    Parameters
    ----------
    file : Path
    notebooks : list of Path
        The sources of this course: a bundle of others would show what is no longer taught.
    folder : Path
        Made anew.

    Raises
    ------
    InputError
        If the file is no bundle, damaged, too large, or of another course or another version of this one.
    """
    try:
        shutil.rmtree(folder, ignore_errors=True)
        with zipfile.ZipFile(file) as packed:
            _extract(packed, folder)
        facts = read_seal(folder / FOLDER)
        found = {one.relative_to(folder).as_posix() for one in folder.rglob("*") if one.is_file()}
        if facts.get("kind") != KIND or found != {FOLDER, *facts.get(FILES, {})}:
            raise ValueError("its files are not those of its seal")
    except Damaged as error:
        raise InputError(f"{file}: damaged ({str(error).replace(f'{folder}/', '')})") from None
    except (OSError, *BROKEN) as error:
        if isinstance(error, OSError) and error.errno in machine.REFUSALS:
            raise
        raise InputError(
            f"{file}: no bundle of `sdnet book --bundle`, or damaged ({one_line(error)})"
        ) from None
    sources, ours = facts["sources"], {one.name: content_hash(one) for one in notebooks}
    other = sorted({name for name in {*sources, *ours} if sources.get(name) != ours.get(name)})
    if other:
        raise InputError(f"{file}: a bundle of another version of the course: {', '.join(other)} differ")
    return facts


def _extract(packed: zipfile.ZipFile, folder: Path) -> None:
    """Unpack files with plain names below `folder`; raise `ValueError` for any other, or too many bytes."""
    names = packed.namelist()
    if sum(entry.file_size for entry in packed.infolist()) > LARGEST:
        raise ValueError(f"more than {LARGEST / 2**30:.0f} GiB when unpacked")
    plain = [name for name in names if not {"..", ""} & set(PurePosixPath(name).parts)]
    if plain != names or portable(names) != names:
        raise ValueError("names of files that are not allowed")
    for name in names:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with packed.open(name) as source, target.open("wb") as out:
            shutil.copyfileobj(source, out)
