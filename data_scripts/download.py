"""Fetch a file over HTTP so that a break costs nothing, and unpack a zip without leaving its folder."""

from __future__ import annotations

import json
import re
import shutil
import stat
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from sdnet_lib.files import InputError, content_hash, new_folder, one_line, write_json

GITHUB_API = "https://api.github.com"
GITHUB_ARCHIVES = "https://codeload.github.com"
GITHUB_FILES = "https://raw.githubusercontent.com"
TRIES = 5  # in a row without a single new byte
WAIT = 1.0  # seconds before the second try, doubled each time
TIMEOUT = (10, 60)  # seconds to connect, and to wait for the next bytes


def fetch(url: str, path: Path, *, size: int | None = None, sha256: str | None = None) -> dict:
    """Download `url` to `path`, resuming from ``path.part``, and record what came in ``path.json``.

    A file that is already there with its record is not fetched again.

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
        The record: `url`, `size`, `sha256`, `fetched` (date).

    Raises
    ------
    InputError
        If the server refuses, the connection stays broken (what came is kept for the next call) or the file
        is not the expected one.
    """
    record_path = path.with_name(path.name + ".json")
    if path.exists() and record_path.exists():
        return json.loads(record_path.read_text())
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
    write_json(record_path, record)
    return record


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
        answer = requests.get(url, timeout=TIMEOUT)
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


def fetch_repository(repository: str, root: Path, branch: str = "master") -> Path:
    """Fetch and unpack a branch of a GitHub repository; return the folder of its files.

    Downloads lie in ``root/downloads``: the zip, its record and what was unpacked. It may be deleted later.
    """
    target = root / "downloads" / repository.replace("/", "-")
    if not target.is_dir():
        archive = target.with_name(target.name + ".zip")
        fetch(f"{GITHUB_ARCHIVES}/{repository}/zip/refs/heads/{branch}", archive)
        unpack(archive, target)
    tops = [folder for folder in target.iterdir() if folder.is_dir()]
    return tops[0] if len(tops) == 1 else target


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip into a new `folder`, which appears only when complete.

    Raises
    ------
    InputError
        If the zip is damaged, a name in it leads out of the folder, it holds a link, or the disk is too
        small: then nothing at all is written.
    """
    from tqdm import tqdm

    try:
        with zipfile.ZipFile(archive) as zipped, new_folder(folder) as part:
            members = zipped.infolist()
            for member in members:
                _check_member(archive, member)
            _check_space(archive, members, part)
            for member in tqdm(members, desc=f"unpack {archive.name}", unit="file", disable=None):
                zipped.extract(member, part)
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


def _check_space(archive: Path, members: list[zipfile.ZipInfo], folder: Path) -> None:
    needed, free = sum(member.file_size for member in members), shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f"{archive}: needs {needed:,} bytes unpacked, the disk has {free:,}; nothing unpacked"
        )


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
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
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
