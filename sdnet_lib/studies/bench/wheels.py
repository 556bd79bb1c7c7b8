"""Collect what a bare machine needs for `gpu`: ``python -m sdnet_lib.studies.bench.wheels FOLDER``.

For Linux on x86-64 with torch 2.11 and torchvision 0.26 already there. The versions are those of
``requirements.txt``, 346 MB in November 2026. Wheels lie in folders below 64 MiB each, ``part-1`` and so on,
beside the list ``wheels.txt``; there::

    pip install --no-index --no-deps --find-links part-1 --find-links part-2 ... -r wheels.txt
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
THERE = re.compile(r"(torch|torchvision|triton|nvidia-.*|cuda-.*)==")  # torch brings these, or is one of them
PART = 56 * 2**20  # bytes, so that with the course a part stays below 64 MiB
GLIBC = ("2_28", "2_27", "2_24", "2_17", "2_12", "2_5")
OLD_NAMES = ("manylinux2014", "manylinux2010", "manylinux1")


def listed(python: str) -> list[str]:
    """Return the pinned packages of the course and its book for a version of Python, without torch's own."""
    asked = ["--python-version", python, "--python-platform", "x86_64-manylinux_2_28", "--extra", "book"]
    plain = ["--quiet", "--no-annotate", "--no-header", "-c", "requirements.txt", "pyproject.toml"]
    uv = Path(sys.executable).with_name("uv")
    done = subprocess.run(
        [uv, "pip", "compile", *asked, *plain], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [line for line in done.stdout.splitlines() if not THERE.match(line)]


def fetch(file: Path, python: str, folder: Path) -> None:
    """Download the wheels of a list."""
    platforms = [f"manylinux_{version}_x86_64" for version in GLIBC] + [
        f"{name}_x86_64" for name in OLD_NAMES
    ]
    fits = [f"--platform={name}" for name in (*platforms, "any")]
    fits += [f"--abi={name}" for name in (f"cp{python.replace('.', '')}", "abi3", "none")]
    asked = ["--quiet", "--no-deps", "--only-binary=:all:", f"--python-version={python}", *fits]
    pip = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check"]
    subprocess.run([*pip, *asked, "-r", str(file), "-d", str(folder)], check=True)


def split(folder: Path, most: int = PART) -> list[Path]:
    """Move the wheels of a folder into parts of it below a size, the largest first; return the parts."""
    parts: list[tuple[Path, int]] = []
    for wheel in sorted(folder.glob("*.whl"), key=lambda file: (-file.stat().st_size, file.name)):
        size = wheel.stat().st_size
        if size >= most:
            raise ValueError(f"{wheel.name} alone has {size} bytes")
        place = next((n for n, (_, taken) in enumerate(parts) if taken + size < most), len(parts))
        if place == len(parts):
            parts.append((folder / f"part-{place + 1}", 0))
            parts[place][0].mkdir(exist_ok=True)
        wheel.replace(parts[place][0] / wheel.name)
        parts[place] = parts[place][0], parts[place][1] + size
    return [part for part, _ in parts]


def main() -> None:
    """Collect, split, and say how much it is and how it is installed."""
    parser = argparse.ArgumentParser(description="Collect the wheels for a bare machine with torch.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", default="3.12", help="of that machine")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    file = given.folder / "wheels.txt"
    file.write_text("\n".join(listed(given.python)) + "\n", encoding="utf-8")
    fetch(file, given.python, given.folder)
    parts = split(given.folder)
    for part in parts:
        wheels = list(part.iterdir())
        print(f"{part.name}: {len(wheels)} wheels, {sum(w.stat().st_size for w in wheels) / 2**20:.1f} MiB")
    links = " ".join(f"--find-links {part.name}" for part in parts)
    print(f"there: pip install --no-index --no-deps {links} -r wheels.txt")


if __name__ == "__main__":
    main()
