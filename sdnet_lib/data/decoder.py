"""The disposable process in which pictures are decoded.

Decoders are native code, and files come from strangers: a damaged one can end the process that reads it, take
all memory or never end. So a child reads it, and what happens to the child is an error of that file alone.

A child lasts as long as all goes well. It gets questions through its standard input, one in a line: a path,
and whether its header alone is wanted. It answers with a line of JSON and, unless it was the header, the grey
levels; it ends when its input does, however its parent ended.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np

from sdnet_lib.children import python
from sdnet_lib.data.formats import ImageError, format_of
from sdnet_lib.files import one_line

MAX_MEMORY = 1_000_000_000  # bytes that reading one picture may take
MAX_SECONDS = 5  # of computing
PATIENCE = 60  # seconds for a child that does not even compute, such as one that waits for a network drive
F_SETPIPE_SZ, PIPE = 1031, 1 << 20  # of Linux; bytes, the most that it gives anybody
_idle: list[subprocess.Popen] = []  # one for each thread that reads at the same time, in the end
_lock = threading.Lock()


def decode(path: Path) -> tuple[np.ndarray, list[str], str]:
    """Read a picture in a child.

    Returns
    -------
    image : float32 array, (height, width), in [0, 1]
    warnings : list of str
        What could not be used or was left out.
    mode : str
        How colours are stored.

    Raises
    ------
    ImageError
        If it cannot be read, or reading it ends the child, takes over `MAX_MEMORY` bytes or `MAX_SECONDS`.
    """
    answer = _answered(path, header=False)
    return answer["image"], answer["warnings"], answer["mode"]


def header(path: Path) -> dict[str, str]:
    """Return what `headers.read` finds, read in a child; raise `ImageError` as `decode` does."""
    return _answered(path, header=True)["header"]


def _answered(path: Path, header: bool) -> dict:
    """Lend a child for one question, and return its answer if there is one."""
    with _lock:
        child = _idle.pop() if _idle else None
    if child is None or child.poll() is not None:
        child = _start()
    try:
        answer = _ask(child, path, header)
    except BaseException:  # Ctrl-C too: what is still in the pipe belongs to no later question
        _end(child)
        raise
    with _lock:
        _idle.append(child)
    if "error" in answer:
        raise ImageError(path, answer["error"])
    return answer


def _start() -> subprocess.Popen:
    """Start a child that imports what this process would, but nothing from the working directory."""
    child = subprocess.Popen(
        python(f"from sdnet_lib.data import decoder; decoder.serve({MAX_MEMORY}, {MAX_SECONDS})"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    if sys.platform == "linux":  # fewer turns between the two for each film
        import fcntl

        fcntl.fcntl(child.stdout, F_SETPIPE_SZ, PIPE)
    return child


def _ask(child: subprocess.Popen, path: Path, header: bool) -> dict:
    """Return a child's answer; raise `ImageError` if there is none."""
    patience = threading.Timer(PATIENCE, child.kill)
    patience.start()
    try:
        child.stdin.write(json.dumps([str(path), header]).encode() + b"\n")
        child.stdin.flush()
        answer = json.loads(child.stdout.readline() or "null")
        if answer and "shape" in answer:
            image = np.empty(answer.pop("shape"), np.float32)
            if child.stdout.readinto(memoryview(image).cast("B")) == image.nbytes:
                answer["image"] = image
            else:
                answer = None
    except OSError:  # a pipe that the child's end has broken
        answer = None
    finally:
        waited = not patience.is_alive()
        patience.cancel()
    if answer is None:
        child.wait()
        raise ImageError(path, _why(child.returncode, waited))
    return answer


def _why(status: int, waited: bool) -> str:
    if waited:
        return f"cannot be decoded within {PATIENCE} s"
    if -status in (getattr(signal, "SIGPROF", None), getattr(signal, "SIGXCPU", None)):
        return f"cannot be decoded in {MAX_SECONDS} s of computing"
    return f"cannot be decoded: it ends the decoder ({_name(status)})"


def _name(status: int) -> str:
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"exit status {status}"


def _end(child: subprocess.Popen) -> None:
    child.kill()
    child.stdin.close()
    child.stdout.close()
    child.wait()


@atexit.register
def _end_all() -> None:
    while _idle:
        _end(_idle.pop())


if hasattr(os, "register_at_fork"):  # a forked process must not read answers to its parent's questions
    os.register_at_fork(after_in_child=_idle.clear)


def serve(memory: int, seconds: int) -> None:
    """Answer until the input ends: the child's part."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C stops
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # native code may print
    memory = _limit(memory)
    for line in sys.stdin.buffer:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_PROF, seconds)  # its signal ends the process
        path, header = json.loads(line)
        answer, image = _answer(Path(path), header, memory)
        answers.write(json.dumps(answer).encode() + b"\n")
        if image is not None:
            answers.write(memoryview(image).cast("B"))
        answers.flush()
        del image  # it may be a third of what the next picture is allowed


def _answer(path: Path, header: bool, memory: int) -> tuple[dict, np.ndarray | None]:
    try:
        kind = format_of(path)
        if kind is None:
            return {"error": "not an image (PNG, JPEG, TIFF, WebP, BMP, JPEG 2000 or DICOM)"}, None
        if header:
            from sdnet_lib.data import headers

            return {"header": headers.read(path, kind)}, None
        if kind == "DICOM":
            from sdnet_lib.data import dicom

            image, notes, mode = dicom.read(path)
        else:
            from sdnet_lib.data import pictures

            image, notes, mode = pictures.read(path, kind)
    except ImageError as error:
        return {"error": error.reason}, None
    except MemoryError:
        return {"error": f"reading it takes over {memory / 1e9:.1g} GB"}, None
    except Exception as error:  # decoders raise anything, from OSError to struct.error; all mean a bad file
        return {"error": f"cannot be decoded ({one_line(error)[:150]})"}, None
    return {"shape": image.shape, "warnings": notes, "mode": mode}, np.ascontiguousarray(image)


def _limit(memory: int) -> int:
    """Let this process take so many bytes more than it has now, if the system can limit that; return them."""
    try:
        import resource
    except ImportError:  # Windows
        return memory
    with open("/proc/self/statm" if os.path.exists("/proc/self/statm") else os.devnull, "rb") as file:
        pages = int((file.read().split() or [b"0"])[0])
    taken = pages * resource.getpagesize()
    most = resource.getrlimit(resource.RLIMIT_AS)[1]  # a user may have set one that is lower
    limit = taken + memory if most == resource.RLIM_INFINITY else min(taken + memory, most)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    return limit - taken
