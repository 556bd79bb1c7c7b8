"""Measure stages: speed, operations, bytes moved, memory; each in a process of its own."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sdnet_lib import __version__
from sdnet_lib.children import module
from sdnet_lib.config import pick_device
from sdnet_lib.files import write_json
from sdnet_lib.studies.bench import NAMES, check, fucitnet
from sdnet_lib.studies.bench.stages import STAGES, prepare
from sdnet_lib.studies.operations import counter

FUCITNET = "fucitnet"
IMAGES = 32  # of a round
ROUNDS = 3  # of which the first does not count
CACHE = "SDNET_CACHE"


class _Traffic(TorchDispatchMode):
    """Add up the bytes that torch's operations read and write."""

    moved = 0

    def __torch_dispatch__(
        self, func: object, types: object, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        """Do it, and count what went in and came out."""
        result = func(*args, **(kwargs or {}))
        given = [one for one in tree_leaves((args, kwargs, result)) if isinstance(one, torch.Tensor)]
        self.moved += sum(one.numel() * one.element_size() for one in given)
        return result


def machine_facts() -> dict:
    """Return what `bench` says of the machine: names, versions, and its two rates as measured now."""
    device = pick_device()
    flops, dtype = fucitnet._matrix_product(device)
    return {
        "machine": fucitnet.machine(device),
        "device": device.type,
        "date": time.strftime("%Y-%m-%d"),
        "version": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "image_size": fucitnet.IMAGE_SIZES[device.type],
        "flops": flops,
        "flops_type": dtype,
        "bytes": _copy_rate(device),
    }


def bench(names: Sequence[str] = (), images: int = IMAGES, rounds: int = ROUNDS) -> dict:
    """Measure stages one after the other; all if none is named.

    Returns
    -------
    dict
        `machine`, `device` (``cpu`` or ``cuda``), `date`, `version`, `images` and `image_size`; the machine's
        measured rates `flops` (FLOP/s of a matrix product) and `bytes` (bytes/s of a copy); under `stages`
        for each `images_per_second`, `of_flops` and `of_bytes` (fractions of these rates), `memory` in bytes,
        `plain` (images/s of the plain reference), `ratio`, and `title` and `plain_title`.

    Raises
    ------
    InputError
        For an unknown stage.
    """
    check(names)
    found = machine_facts() | {"images": images, "stages": {}}
    flops = found["flops"]
    with tempfile.TemporaryDirectory() as place:
        for name in names or NAMES:
            if name == FUCITNET:
                found["stages"][name] = _of_fucitnet()
                continue
            sides = [_in_a_process(name, plain, place, images, rounds) for plain in (False, True)]
            ours, plain = sides
            speed = ours["images"] / ours["seconds"]
            found["stages"][name] = {
                "title": STAGES[name].title,
                "plain_title": STAGES[name].plain_title,
                "images_per_second": speed,
                "of_flops": ours["flop"] / ours["seconds"] / flops,
                "of_bytes": ours["moved"] / ours["seconds"] / found["bytes"],
                "memory": ours["memory"],
                "plain": plain["images"] / plain["seconds"],
                "ratio": speed * plain["seconds"] / plain["images"],
            }
    return found


def _of_fucitnet() -> dict:
    found = fucitnet.compare()
    ours = found["ours"]
    return {
        "title": "a training step of FuCiTNet",
        "plain_title": fucitnet.TITLES["plain"],
        "images_per_second": ours["images_per_second"],
        "of_flops": ours["of_peak"],
        "of_bytes": None,
        "memory": ours["memory"],
        "plain": found["plain"]["images_per_second"],
        "ratio": found["ratio"],
    }


def _copy_rate(device: torch.device) -> float:
    """Return the bytes/s that a large copy reads and writes."""
    source = torch.ones(2**26, device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() * 4 / fucitnet._seconds(lambda: target.copy_(source), 5)


def _in_a_process(name: str, plain: bool, place: str, images: int, rounds: int) -> dict:
    given = json.dumps({"name": name, "plain": plain, "images": images, "rounds": rounds})
    with tempfile.TemporaryDirectory(dir=place) as folder:
        done = subprocess.run(
            module("sdnet_lib.studies.bench.measure", given, folder),
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {CACHE: f"{folder}/cache"},
        )
    if done.returncode:
        raise RuntimeError(f"the bench of {name!r} ended with {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def _measure(name: str, plain: bool, images: int, rounds: int, folder: Path) -> dict[str, float]:
    """Do the rounds of a stage in this process; operations and bytes are counted in the first."""
    from sdnet_lib.phantom import cohorts

    drawn = 0 if name == "phantom" else rounds
    given = [cohorts.homogeneous(images, seed, folder / str(seed)) for seed in range(drawn)]
    if name == "phantom":
        import pandas as pd

        given = [pd.DataFrame({"file": [""] * images})]
    before = fucitnet._resident()
    work = prepare(name, plain, given, folder)
    traffic = _Traffic()
    with traffic, counter() as counted:
        count = work(0)
    start = time.perf_counter()
    for turn in range(1, rounds):
        work(turn)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    seconds = (time.perf_counter() - start) / (rounds - 1)
    gpu = torch.cuda.is_available()
    # a process may also give some of what it had back
    memory = torch.cuda.max_memory_allocated() if gpu else max(0, fucitnet._resident() - before)
    flop = counted.get_total_flops()
    return {"images": count, "seconds": seconds, "flop": flop, "moved": traffic.moved, "memory": memory}


def as_text(found: dict) -> str:
    """Return what `bench` found as a table."""
    lines = [
        f"{found['machine']}, {found['flops'] / 1e9:,.0f} GFLOP/s ({found['flops_type']} matrix product), "
        f"{found['bytes'] / 1e9:.1f} GB/s (copy)",
        f"{found['date']}, sdnet {found['version']}, networks see {found['image_size']} px",
        f"{'stage':12}{'images/s':>10}{'of FLOP/s':>11}{'of bytes/s':>12}{'memory':>10}{'plain':>10}"
        f"{'ratio':>7}  the plain reference",
    ]
    for name, row in found["stages"].items():
        moved = "-" if row["of_bytes"] is None else f"{row['of_bytes']:.0%}"
        lines.append(
            f"{name:12}{row['images_per_second']:10.1f}{row['of_flops']:11.0%}{moved:>12}"
            f"{row['memory'] / 2**20:6,.0f} MiB{row['plain']:10.1f}{row['ratio']:7.1f}  {row['plain_title']}"
        )
    lines.append(
        "Work in child processes (phantom, crop, cv) is in images/s, not in operations, bytes, memory."
    )
    return "\n".join(lines)


def store(found: dict, file: Path) -> None:
    """Write what `bench` found as JSON."""
    write_json(file, found)


if __name__ == "__main__":
    options = json.loads(sys.argv[1])
    print(json.dumps(_measure(**options, folder=Path(sys.argv[2]))))
