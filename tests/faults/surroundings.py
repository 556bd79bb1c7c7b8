"""Surroundings that refuse a command what it needs: it says so in a line, and what was there before stays.

Each function takes a command, the folder of inputs, a folder to work in and the result in peace, and
returns what is wrong: nothing ("") or a sentence, or None where this machine cannot make such a surrounding,
which is said too.
"""

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.faults.commands import Command, Ran, environment, left_over, run, start

FEW_FILES = 64
LITTLE_MEMORY = 1 << 30  # bytes of address space: Python and torch alone take more
CAUSES = {
    "full disk": ("no space left", "File too large"),
    "read-only": ("Read-only file system", "busy"),  # a mounted folder is not replaced
    "few files": ("too many open files",),
    "little memory": ("not enough memory", "killed", "no further thread"),
}


def told(ran: Ran, *causes: str) -> str:
    """Return what is wrong with how a command said that it could not do its work."""
    lines = ran.err.strip().splitlines()
    if ran.status != 2 or len(lines) != 1 or not lines[0].startswith("sdnet: "):
        return f"ends with {ran.status} and says {ran.err[-600:]!r}"
    if not any(cause.lower() in lines[0].lower() for cause in causes):
        return f"does not say why: {lines[0]!r}"
    return ""


def then(command: Command, given: Path, place: Path, whole: dict, before: dict) -> str:
    """Return what is wrong with what a failure left, or with the same command once nothing refuses."""
    if (there := command.result(place, "")) and before and there != before:
        return "what was there before is no more"
    half = [name for name in there if name not in command.growing and there[name] != whole.get(name)]
    if half:
        return f"not whole: {half[:3]}"
    again = run(command.arguments(given, place), place)
    if again.status or command.result(place, again.out) != whole:
        return f"the second call ends with {again.status} or another result: {again.err[-300:]}"
    return f"left: {left_over(place)[:3]}" if left_over(place) else ""


def place_of(command: Command, folder: Path, name: str) -> Path:
    """Return a new place."""
    place = folder / f"{command.name}-{name}".replace(" ", "-")
    place.mkdir()
    return place


@contextmanager
def mounted(place: Path, *options: str) -> Iterator[None]:
    """Mount something at a place for a while."""
    subprocess.run(["mount", *options, str(place)], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def can_mount() -> bool:
    """Say, aloud if not, whether this user may mount."""
    able = os.geteuid() == 0 and shutil.which("mount") is not None
    if not able:
        print("NOT TRIED: only root can mount a small or read-only file system", flush=True)
    return able


def full_disk(command: Command, given: Path, folder: Path, whole: dict) -> str | None:
    """Give a command a disk that is full before it is done; without root, files that may not be larger."""
    place = place_of(command, folder, "full-disk")
    if not can_mount():
        small = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (8192, 8192))
        ran = run(command.arguments(given, place), place, preexec_fn=small)
        return told(ran, *CAUSES["full disk"]) or then(command, given, place, whole, {})
    own = folder / "peace" / command.name.replace(" ", "-")
    needed = sum(file.stat().st_blocks * 512 for file in own.rglob("*") if file.is_file())
    with mounted(place, "-t", "tmpfs", "-o", f"size={max(8192, needed // 2 // 4096 * 4096)}", "tmpfs"):
        ran = run(command.arguments(given, place), place)
        wrong = told(ran, *CAUSES["full disk"])
        if wrong or (wrong := f"left: {left_over(place)[:3]}" if left_over(place) else ""):
            return wrong
        subprocess.run(["mount", "-o", "remount,size=1G", str(place)], check=True)
        return then(command, given, place, whole, {})


def read_only(command: Command, given: Path, folder: Path, whole: dict) -> str | None:
    """Let a command write nothing where its result is to be."""
    if not can_mount():
        return None
    place = place_of(command, folder, "read-only")
    (place / "out").mkdir()
    (place / "cache").mkdir()
    with (
        mounted(place / "out", "-o", "bind", str(place / "out")),
        mounted(place / "cache", "-o", "bind", str(place / "cache")),
    ):
        for name in ("out", "cache"):
            subprocess.run(["mount", "-o", "remount,bind,ro", str(place / name)], check=True)
        ran = run(command.arguments(given, place), place)
        if wrong := told(ran, *CAUSES["read-only"]):
            return wrong
    return then(command, given, place, whole, {})


def no_home(command: Command, given: Path, folder: Path, whole: dict) -> str | None:
    """Take home and the entry in passwd from a command: with a cache it works, without one it says so."""
    place = place_of(command, folder, "no-home")
    before = ["unshare", "--user", "--map-user=12345", "--map-group=12345"]
    if subprocess.run([*before, "true"], capture_output=True, check=False).returncode:
        print("NOT TRIED: no user without an entry in passwd can be made here", flush=True)
        return None
    ran = run(command.arguments(given, place), place, without=("HOME", "USER", "LOGNAME"), before=before)
    if ran.status or ran.err or command.result(place, ran.out) != whole:
        return f"with a cache: {ran.status}: {ran.err[-600:]}"
    place = place_of(command, folder, "nowhere")
    gone = ("HOME", "USER", "LOGNAME", "SDNET_CACHE")
    ran = run(command.arguments(given, place), place, without=gone, before=before)
    return "" if ran.status == 0 and not ran.err else told(ran, "SDNET_CACHE")


def home_read_only(command: Command, given: Path, folder: Path, whole: dict) -> str | None:
    """Give a command a home that it cannot write."""
    place = place_of(command, folder, "home-read-only")
    ran = run(command.arguments(given, place), place, variables={"HOME": "/proc/1/fdinfo"})
    if ran.status or ran.err or command.result(place, ran.out) != whole:
        return f"{ran.status}: {ran.err[-600:]}"
    return ""


def locale_c(command: Command, given: Path, folder: Path, whole: dict) -> str | None:
    """Run a command in the locale C, without Python's help."""
    variables = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    return in_a_locale(command, given, place_of(command, folder, "locale-c"), whole, variables)


def locale_latin_1(command: Command, given: Path, folder: Path, whole: dict) -> str | None:
    """Run a command in a Latin-1 locale, made for it."""
    place = place_of(command, folder, "latin-1")
    made = ["localedef", "-i", "en_US", "-f", "ISO-8859-1", str(place / "en_US.ISO-8859-1")]
    if shutil.which("localedef") is None or subprocess.run(made, capture_output=True, check=False).returncode:
        print("NOT TRIED: localedef makes no Latin-1 locale here", flush=True)
        return None
    variables = {"LC_ALL": "en_US.ISO-8859-1", "LOCPATH": str(place), "PYTHONUTF8": "0"}
    return in_a_locale(command, given, place, whole, variables)


def in_a_locale(command: Command, given: Path, place: Path, whole: dict, variables: dict[str, str]) -> str:
    """Return what is wrong with a command in a locale."""
    ran = run(command.arguments(given, place), place, variables=variables, isolated=False)
    if ran.status or ran.err or command.result(place, ran.out) != whole:
        return f"{ran.status}: {ran.err[-600:]}"
    return ""


def limited(
    command: Command, given: Path, folder: Path, whole: dict, name: str, what: int, most: int
) -> str | None:
    """Limit a resource of a command, and return what is wrong then."""
    place = place_of(command, folder, name.replace(" ", "-"))
    arguments = command.arguments(given, place)
    ran = run(arguments, place, preexec_fn=partial(resource.setrlimit, what, (most, most)))
    if ran.status == 0 and not ran.err and command.result(place, ran.out) == whole:
        return ""
    return told(ran, *CAUSES[name]) or then(command, given, place, whole, {})


def few_files(command: Command, given: Path, folder: Path, whole: dict) -> str | None:
    """Let a command open few files: it works all the same, or says that it needs more."""
    return limited(command, given, folder, whole, "few files", resource.RLIMIT_NOFILE, FEW_FILES)


def little_memory(command: Command, given: Path, folder: Path, whole: dict) -> str | None:
    """Give a command too little memory: it works all the same, or says so."""
    return limited(command, given, folder, whole, "little memory", resource.RLIMIT_AS, LITTLE_MEMORY)


def two_at_once(command: Command, given: Path, folder: Path, whole: dict) -> str | None:
    """Start a command twice: both end well, or one says why it does not, and the result is whole."""
    place = place_of(command, folder, "two-at-once")
    both = [start(command.arguments(given, place), place, environment(place)) for _ in range(2)]
    said = [process.communicate(timeout=600) for process in both]
    for process, (_, err) in zip(both, said, strict=True):
        text = err.decode(errors="replace")
        if process.returncode and (process.returncode != 2 or len(text.strip().splitlines()) != 1):
            return f"ends with {process.returncode}: {text[-600:]}"
    if all(process.returncode for process in both):
        return f"neither ends well: {said}"
    out = next(out for process, (out, _) in zip(both, said, strict=True) if not process.returncode)
    if command.result(place, out.decode()) != whole:
        return "another result"
    return f"left: {left_over(place)[:3]}" if left_over(place) else ""


ALL = {
    "full-disk": full_disk,
    "read-only": read_only,
    "no-home": no_home,
    "home-read-only": home_read_only,
    "locale-c": locale_c,
    "latin-1": locale_latin_1,
    "few-files": few_files,
    "little-memory": little_memory,
    "two-at-once": two_at_once,
}
