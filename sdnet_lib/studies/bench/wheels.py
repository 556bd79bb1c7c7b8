"""Collect what a bare machine needs for `gpu`: ``python -m sdnet_lib.studies.bench.wheels FOLDER``.

For Linux on x86-64 with torch 2.11 and torchvision 0.26 already there. The versions are those of
``requirements.txt``: 195 wheels, 346 MiB in November 2026. They come as one archive in pieces, so that none
is too large to be carried. There::

    cat part-* | tar x && pip install --no-index --no-deps --find-links wheels -r wheels/wheels.txt
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[3]
TORCHS = re.compile(r"torch|torchvision|triton|nvidia-.*|cuda-.*")  # what comes with torch
PART = 60  # MiB
GLIBC = ("2_28", "2_27", "2_24", "2_17", "2_12", "2_5")
OLD_NAMES = ("manylinux2014", "manylinux2010", "manylinux1")


def listed(python: str, without: Iterable[str] = ()) -> list[str]:
    """Return the pinned packages of the course and its book for a version of Python.

    Torch's own are left out, and those named in `without`, of whatever version.
    """
    asked = ["--python-version", python, "--python-platform", "x86_64-manylinux_2_28", "--extra", "book"]
    plain = ["--quiet", "--no-annotate", "--no-header", "-c", "requirements.txt", "pyproject.toml"]
    uv = Path(sys.executable).with_name("uv")
    done = subprocess.run(
        [uv, "pip", "compile", *asked, *plain], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return needed(done.stdout.splitlines(), without)


def needed(pins: Iterable[str], without: Iterable[str]) -> list[str]:
    """Return the pins but those of packages that are there; ``a_b`` and ``A-b==1`` are the same package."""
    there = {_name(line) for line in without}
    return [pin for pin in pins if not TORCHS.fullmatch(_name(pin)) and _name(pin) not in there]


def _name(line: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[ =@;]", line.strip(), maxsplit=1)[0]).lower()


def fetch(pins: list[str], python: str, folder: Path) -> None:
    """Download the wheels of a list into a folder, and write the list there."""
    file = folder / "wheels.txt"
    file.write_text("\n".join(pins) + "\n", encoding="utf-8")
    platforms = [f"manylinux_{version}_x86_64" for version in GLIBC] + [
        f"{name}_x86_64" for name in OLD_NAMES
    ]
    fits = [f"--platform={name}" for name in (*platforms, "any")]
    fits += [f"--abi={name}" for name in (f"cp{python.replace('.', '')}", "abi3", "none")]
    asked = ["--quiet", "--no-deps", "--only-binary=:all:", f"--python-version={python}", *fits]
    pip = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check"]
    subprocess.run([*pip, *asked, "-r", str(file), "-d", str(folder)], check=True)


def pack(wheels: Path, folder: Path, most: int) -> list[Path]:
    """Write a folder of wheels as pieces of an archive, each of at most so many bytes; return them."""
    parts = []
    with tempfile.TemporaryFile() as whole:
        with tarfile.open(fileobj=whole, mode="w") as archive:
            archive.add(wheels, "wheels")
        whole.seek(0)
        while piece := whole.read(most):
            parts.append(folder / f"part-{len(parts) + 1:02}")
            parts[-1].write_bytes(piece)
    return parts


def main() -> None:
    """Collect, pack, and say how much it is."""
    parser = argparse.ArgumentParser(description="Collect the wheels for a bare machine with torch.")
    parser.add_argument("folder", type=Path, help="for the pieces")
    parser.add_argument("--python", default="3.12", help="of that machine")
    parser.add_argument("--part", type=int, default=PART, help="MiB of a piece at most")
    parser.add_argument("--without", type=Path, help="a list of packages that it has, such as pip freeze's")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    there = given.without.read_text(encoding="utf-8").splitlines() if given.without else []
    with tempfile.TemporaryDirectory() as place:
        fetch(listed(given.python, there), given.python, Path(place))
        count = len(list(Path(place).glob("*.whl")))
        parts = pack(Path(place), given.folder, given.part * 2**20)
    size = sum(part.stat().st_size for part in parts) / 2**20
    print(f"{count} wheels, {size:.0f} MiB in {len(parts)} pieces of at most {given.part} MiB")


if __name__ == "__main__":
    main()
