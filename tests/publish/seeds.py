"""Do the chapters say the same with other seeds? ``python -m tests.publish.seeds [CHAPTER ...]``.

Runs each chapter in the `quick` profile, one at a time, with the default seed and three others, and holds
`claims` against the numbers that it glued. Copies that are there already, and whole, are not run again: an
interrupted call goes on, and of the default seed the copies of `make book` do. Exit status 1 if a sentence
is contradicted.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from sdnet_lib.checksums import made_again
from sdnet_lib.publish import build
from sdnet_lib.publish.execution import BookError, Chapter, run
from sdnet_lib.publish.keys import executed_copies
from tests.publish.claims import CLAIMS, contradictions, read

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "_build"
OUTPUT = BOOK / "seeds"


def look(chapter: str, seed: int) -> list[str]:
    """Run a chapter with a seed, if it has not been run; return what its numbers contradict."""
    parameters = build.parameters_of("quick", build.PHANTOM, None, seed)
    (notebook,) = build.select(build.find_notebooks(ROOT), chapter)
    copies = [executed_copies([notebook], parameters, folder)[notebook] for folder in (BOOK, OUTPUT)]
    copy = next((copy for copy in copies if not made_again(copy)), copies[-1])
    if made_again(copy):
        OUTPUT.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=OUTPUT) as scratch:
            run([Chapter(notebook, copy, build.overrides(notebook, parameters))], Path(scratch), OUTPUT)
    return contradictions(chapter, read(copy, chapter))


def main() -> int:
    """Print a line per chapter and seed; return how the process ends."""
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("chapters", nargs="*", default=sorted(CLAIMS), metavar="CHAPTER")
    asked.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3])
    wanted, bad = asked.parse_args(), 0
    for seed in wanted.seeds:
        for chapter in wanted.chapters:
            try:
                found = look(chapter, seed)
            except BookError as error:
                found = [str(error)]
            bad += len(found)
            said = "; ".join(found) or f"all {len(CLAIMS[chapter])} claims hold"
            print(f"chapter {chapter}, seed {seed}: {said}", flush=True)
    return min(bad, 1)


if __name__ == "__main__":
    sys.exit(main())
