"""Fetch a file over HTTP so that a break costs nothing, and unpack a zip without leaving its folder.

What came has its checksum beside it and is checked each time; what is damaged is fetched or unpacked again.
"""

from __future__ import annotations

import logging
import re
import shutil
import stat
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import urljoin

from sdnet_lib.checksums import FILES, Damaged, beside, kept_folder, read_seal, write_seal
from sdnet_lib.files import InputError, content_hash, new_folder, one_line
from sdnet_lib.names import portable

GITHUB_API = "https://api.github.com"
GITHUB_ARCHIVES = "https://codeload.github.com"
GITHUB_FILES = "https://raw.githubusercontent.com"
TRIES = 5  # in a row without a single new byte
WAIT = 1.0  # seconds before the second try, doubled each time
TIMEOUT = (10, 60)  # seconds to connect, and to wait for the next bytes
LARGEST = 50 * 10**9  # bytes of an unpacked zip; no public set here has a tenth of it
RATIO, SMALL = 100, 10**8  # how often larger than the zip it may be, unless it has fewer bytes than these
_log = logging.getLogger("sdnet_lib")


def fetch(url: str, path: Path, *, size: int | None = None, sha256: str | None = None) -> dict:
    """Download `url` to `path`, resuming from ``path.part``, and record what came in ``path.json``.

    A file that is already there, as its record says, is not fetched again; a damaged one is.

    Parameters
    ----------
    url : str
        Where the file is.
    path : pathlib.Path
        Where it goes; it appears only when complete.
    size : int, optional
        Bytes that must have come.
    sha256 : str, optional
        Hash that the file must have, hexadecimal.

    Returns
    -------
    dict
        The record: `url`, `size`, `sha256`, `fetched` (date); on disk it is a seal (see `checksums`).

    Raises
    ------
    InputError
        If the server refuses, the connection stays broken (what came is kept for the next call) or the file
        is not the expected one.
    """
    if path.exists() and beside(path).exists():
        try:
            return _recorded(path)
        except Damaged as error:
            _log.warning("%s; it is fetched again", error)
            path.unlink()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    _download(url, part, size)
    record = {
        "url": url,
        "size": part.stat().st_size,
        "sha256": content_hash(part),
        "fetched": time.strftime("%Y-%m-%d"),
    }
    for what, expected in (("size", size), ("sha256", sha256)):
        if expected is not None and record[what] != expected:
            part.unlink()
            raise InputError(f"{url}: {what} is {record[what]}, not {expected} as announced; removed")
    part.replace(path)
    write_seal(beside(path), record, path)
    return record


def _recorded(path: Path) -> dict:
    """Return the record of a file that is here, checked; early records had no more than the file's hash."""
    record = read_seal(beside(path), path)
    if FILES not in record and record.get("sha256") != content_hash(path):
        raise Damaged(f"{path}: its sha256 is not that of its record")
    return {key: value for key, value in record.items() if key != FILES}


def find_release_asset(repository: str, pattern: str) -> tuple[str, str, int, str | None]:
    """Find a file by its name among the releases of a GitHub repository, newest first.

    Returns
    -------
    tuple
        Its name, address, size in bytes and, where GitHub says so, SHA-256.

    Raises
    ------
    InputError
        If no release has such a file.
    """
    import requests

    url = f"{GITHUB_API}/repos/{repository}/releases"
    try:
        answer = requests.get(url, timeout=TIMEOUT, hooks=SECURE)
        answer.raise_for_status()
        assets = [asset for release in answer.json() for asset in release["assets"]]
    except (requests.RequestException, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{url}: no list of releases ({one_line(error)})") from error
    for asset in assets:
        if re.search(pattern, asset["name"], re.IGNORECASE):
            digest = (asset.get("digest") or "").removeprefix("sha256:") or None
            return asset["name"], asset["browser_download_url"], asset["size"], digest
    seen = ", ".join(asset["name"] for asset in assets) or "nothing"
    raise InputError(f"{url}: no file like {pattern!r} among its releases, only {seen}")


def fetch_repository(repository: str, root: Path) -> Path:
    """Fetch and unpack the master branch of a GitHub repository; return the folder of its files.

    Downloads lie in ``root/downloads``: the zip, its record and what was unpacked. It may be deleted later.
    """
    target = root / "downloads" / repository.replace("/", "-")

    def make(folder: Path) -> None:
        archive = target.with_name(target.name + ".zip")
        fetch(f"{GITHUB_ARCHIVES}/{repository}/zip/refs/heads/master", archive)
        unpack(archive, folder)

    kept_folder(target, make)
    tops = [folder for folder in target.iterdir() if folder.is_dir()]
    return tops[0] if len(tops) == 1 else target


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip into a new `folder`, which appears only when complete.

    Names that some systems reserve or take for one another are changed (see `names.portable`), and a line
    says so.

    Raises
    ------
    InputError
        If the zip is damaged, a name in it leads out of the folder, it holds a link, it is much larger
        unpacked (see `LARGEST` and `RATIO`), or the disk is too small: then nothing at all is left.
    """
    from tqdm import tqdm

    try:
        with zipfile.ZipFile(archive) as zipped, new_folder(folder) as part:
            for member in zipped.infolist():
                _check_member(archive, member)
            members = [member for member in zipped.infolist() if not member.is_dir()]
            left = _check_space(archive, members, part)
            bar = tqdm(members, desc=f"unpack {archive.name}", unit="file", disable=None)
            for member, name in zip(bar, _names(archive, members), strict=True):
                (part / name).parent.mkdir(parents=True, exist_ok=True)
                with zipped.open(member) as packed, (part / name).open("wb") as file:
                    while block := packed.read(1 << 20):
                        left -= len(block)
                        if left < 0:
                            raise InputError(f"{archive}: holds more than it says; nothing unpacked")
                        file.write(block)
    # zipfile raises the last two for a compression it does not know, and for a password
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(
            f"{archive}: not a sound zip file ({one_line(error)}); delete it to fetch it again"
        ) from error


def _check_member(archive: Path, member: zipfile.ZipInfo) -> None:
    path = PurePosixPath(member.orig_filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", str(path)) or "\0" in str(path):
        raise InputError(
            f"{archive}: {member.orig_filename!r} would be written outside the folder; nothing unpacked"
        )
    if stat.S_ISLNK(member.external_attr >> 16):
        raise InputError(f"{archive}: {member.orig_filename!r} is a link; nothing unpacked")


def _names(archive: Path, members: list[zipfile.ZipInfo]) -> list[str]:
    """Return under which names the members are written; log those that are not their own."""
    own = [member.filename.replace("\\", "/") for member in members]
    names = portable(own)
    changed = [f"{a!r} is {b!r}" for a, b in zip(own, names, strict=True) if a != b]
    if changed:
        more = f", and {len(changed) - 3} more" if len(changed) > 3 else ""
        _log.warning("%s: names that not all systems allow: %s%s", archive, ", ".join(changed[:3]), more)
    return names


def _check_space(archive: Path, members: list[zipfile.ZipInfo], folder: Path) -> int:
    """Return how many bytes all members say that they have."""
    needed, free = sum(member.file_size for member in members), shutil.disk_usage(folder).free
    allowed = min(LARGEST, max(SMALL, RATIO * archive.stat().st_size))
    if needed > allowed:
        raise InputError(
            f"{archive}: has {needed:,} bytes unpacked, more than the {allowed:,} that a zip of its size may "
            "have; nothing unpacked"
        )
    if needed > free:
        raise InputError(
            f"{archive}: needs {needed:,} bytes unpacked, the disk has {free:,}; nothing unpacked"
        )
    return needed


def _stay_secure(answer: object, **_: object) -> None:
    """Refuse to be sent from https to anything else; what the next address would send may be anybody's."""
    target = urljoin(answer.url, answer.headers.get("location", ""))
    if answer.is_redirect and answer.url.startswith("https:") and not target.startswith("https:"):
        raise InputError(f"{answer.url}: sends on to {target}, which is not https; not fetched")


SECURE = {"response": _stay_secure}


def _download(url: str, part: Path, size: int | None) -> None:
    """Fill `part` up to the end of the file behind `url`, in as many requests as it takes."""
    from tqdm import tqdm

    failures = 0
    with tqdm(desc=part.stem, total=size, unit="B", unit_scale=True, disable=None) as bar:
        while True:
            before = _length(part)
            try:
                for total, have in _request(url, part):
                    bar.total, bar.n = total or size, have
                    bar.refresh()
                return
            except _Broken as error:
                failures = 0 if _length(part) > before else failures + 1
                if failures >= TRIES:
                    raise InputError(
                        f"{url}: the connection breaks off ({error}); {_length(part):,} bytes are kept in "
                        f"{part}, the next call goes on from there"
                    ) from error
                time.sleep(WAIT * 2 ** max(0, failures - 1))


class _Broken(Exception):
    """The connection failed in a way that another try may mend."""


def _request(url: str, part: Path) -> Iterator[tuple[int | None, int]]:
    """Append to `part` what one request gives; yield the whole length, if known, and the length so far."""
    import requests

    have = _length(part)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT, hooks=SECURE) as answer:
            total = _whole_length(answer)
            if answer.status_code == 416 and have:  # nothing beyond what we have
                if total == have:
                    return
                part.unlink()
                raise _Broken("the file has changed since the last call")
            if answer.status_code >= 500 or answer.status_code == 429:
                raise _Broken(f"HTTP {answer.status_code}")
            if not answer.ok:
                raise InputError(f"{url}: HTTP {answer.status_code} {answer.reason}")
            resumed = answer.status_code == 206
            if resumed and not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                raise InputError(f"{url}: the server sent another part of the file than asked for")
            have = have if resumed else 0
            with part.open("ab" if resumed else "wb") as file:
                for block in answer.iter_content(1 << 14):  # a block that breaks is lost: small ones
                    file.write(block)
                    have += len(block)
                    yield total, have
    except requests.RequestException as error:
        raise _Broken(one_line(error)) from error
    if total is not None and have != total:
        raise _Broken(f"{have:,} of {total:,} bytes came")


def _whole_length(answer: object) -> int | None:
    """Return the length of the whole file that an answer announces, or None."""
    announced = answer.headers.get("Content-Range", "").rpartition("/")[2] or (
        answer.headers.get("Content-Length", "") if answer.status_code == 200 else ""
    )
    return int(announced) if announced.isdigit() else None


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
