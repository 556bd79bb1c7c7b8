"""The rules of a release, and what is refused before anything is read; light, for the command line."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from sdnet_lib.files import InputError

BALANCE = ("class", "severity", "sex", "age")
MARKERS = ("keep", "mask", "standard")
TEXT = ("search", "absent")
READER = "rapidocr_onnxruntime"


class Protocol(NamedTuple):
    """The rules of a release: the paper's unless said otherwise.

    Attributes
    ----------
    views, machines, kvp
        See `select.by_tags`.
    pcr_hours, reading_hours, readers, one_per_patient
        See `data.release.judge`.
    balance : tuple of str
        See `select.balance`, keys from `BALANCE`.
    burnt_in : str
        ``search`` for text in the pixels and mask it, or ``absent``: somebody has looked.
    marker : str
        One of `MARKERS`; see `burnt_in.masked`.
    dicom : bool
        Whether de-identified DICOM files are written too.
    mids : bool
        Whether the release is written in BIMCV's layout too; see `mids`.
    guess_view : bool
        Whether the pixels decide where the header does not say the view; see `view`.
    """

    views: tuple[str, ...] = ("PA",)
    machines: tuple[str, ...] = ()
    kvp: tuple[float, float] | None = None
    pcr_hours: float = 24.0
    reading_hours: float = 24.0
    readers: int = 2
    one_per_patient: bool = True
    balance: tuple[str, ...] = ("class",)
    burnt_in: str = "search"
    marker: str = "keep"
    dicom: bool = False
    mids: bool = False
    guess_view: bool = False


def check(folder: Path, out: Path, salt: Path, protocol: Protocol) -> None:
    """Refuse what cannot end well.

    Raises
    ------
    InputError
        Places that would overwrite or betray something, unknown words, or a reader that is not installed.
    """
    folder, out, salt = (Path(path).absolute() for path in (folder, out, salt))
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: exists; choose another folder, or remove it")
    if out.is_relative_to(folder) or folder.is_relative_to(out):
        raise InputError(f"{out}: the release must lie apart from {folder}")
    if salt.is_relative_to(out):
        raise InputError(f"--salt {salt}: in the release, where everybody could read it")
    choices = {"balance": (BALANCE, protocol.balance)}
    choices |= {"marker": (MARKERS, [protocol.marker]), "burnt-in": (TEXT, [protocol.burnt_in])}
    for option, (known, given) in choices.items():
        for word in given:
            if word not in known:
                raise InputError(f"--{option} {word}: choose from {', '.join(known)}")
    if protocol.burnt_in == "absent" and protocol.marker != "keep":
        raise InputError(f"--marker {protocol.marker}: needs --burnt-in search, which finds the markers")
    if protocol.burnt_in == "search":
        need_reader()


def need_reader() -> None:
    """Refuse to search for text without its reader, which is not among the requirements for its size."""
    if find_spec(READER) is None:
        raise InputError(
            "--burnt-in search needs the reader of text: pip install rapidocr-onnxruntime; "
            "without it, look at the films and say --burnt-in absent"
        )
