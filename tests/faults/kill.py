"""Commands that are killed at random moments, and in surroundings that refuse: ``make faults``.

After each kill no process is left, what is there is whole, and the same command again ends as if nothing had
been. In a bad surrounding a command ends with one line that says what is wrong, and what was there stays.

``python -m tests.faults.kill [--kills 30] [--terms 10] [--seed 0] [NAME...]`` prints a table with counts; the
exit status is 1 if anything failed. A name is a command or a surrounding.
"""

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.faults import surroundings
from tests.faults.commands import COMMANDS, MARK, Command, alive, environment, inputs, left_over, run, start

PATIENCE = 10  # seconds until all descendants of a killed command have ended


def undisturbed(command: Command, given: Path, folder: Path) -> tuple[dict, float]:
    """Run a command in peace; return its result and how long it took."""
    place = folder / "peace" / command.name.replace(" ", "-")
    ran = run(command.arguments(given, place), place)
    found = command.result(place, ran.out)
    if ran.status or not found:
        raise RuntimeError(f"{command.name} ends with {ran.status} undisturbed: {ran.err}")
    if left := left_over(place):
        raise RuntimeError(f"{command.name} leaves {left} undisturbed")
    return found, ran.seconds


def killed(command: Command, given: Path, place: Path, how: signal.Signals, after: float) -> tuple[str, bool]:
    """Kill a command after so many seconds; return what is wrong then and whether it was hit."""
    variables = environment(place)
    process = start(command.arguments(given, place), place, variables)
    time.sleep(after)
    hit = process.poll() is None
    process.send_signal(how)
    err = process.communicate()[1].decode(errors="replace")
    end = time.monotonic() + PATIENCE
    while (left := alive(variables[MARK])) and time.monotonic() < end:
        time.sleep(0.1)
    if left:
        return f"{len(left)} processes go on: {left[0]}", hit
    # before Python can say what is to happen with a signal, the system's own way of ending is all there is
    if hit and how == signal.SIGTERM and process.returncode not in (143, -how, 0):
        return f"exit status {process.returncode} after SIGTERM: {err[-300:]}", hit
    if "Traceback" in err:
        return f"a traceback: {err[-500:]}", hit
    if how == signal.SIGTERM and process.returncode == 143 and (parts := left_over(place)):
        return f"left after SIGTERM: {parts[:3]}", hit
    return "", hit


def half(found: dict, whole: dict, growing: tuple[str, ...]) -> list[str]:
    """Return which parts of a result are there and are not what they have to be."""
    return [name for name in found if name not in growing and found[name] != whole.get(name)]


def try_kills(
    command: Command, given: Path, folder: Path, whole: dict, seconds: float, hows: list, rng: random.Random
) -> Iterator[tuple[signal.Signals, str]]:
    """Kill a command several times, each in a place of its own; yield what is wrong, if anything."""
    for number, how in enumerate(hows):
        place = folder / f"{command.name}-{number}".replace(" ", "-")
        after = rng.uniform(0.1, seconds)
        wrong, hit = killed(command, given, place, how, after)
        if not hit:  # it was quicker than in peace: that is no try
            wrong, hit = killed(command, given, place, how, after / 2)
        where = f"{command.name}, {how.name} after {after:.2f} s: "
        if not wrong and (bad := half(command.result(place, ""), whole, command.growing)):
            wrong = f"not whole: {bad[:3]}"
        if not wrong:
            again = run(command.arguments(given, place), place)
            if again.status and command.result(place, "") == whole:
                pass  # killed when all was done: the second call refuses to write it once more
            elif again.status:
                wrong = f"the second call ends with {again.status}: {again.err[-500:]}"
            elif command.result(place, again.out) != whole:
                found = command.result(place, again.out)
                differs = [name for name in found.keys() | whole.keys() if found.get(name) != whole.get(name)]
                wrong = f"the second call ends with another result: {differs[:3]}"
            elif parts := left_over(place):
                wrong = f"never swept: {parts[:3]}"
        yield how, where + wrong if wrong else ""
        if not wrong:
            shutil.rmtree(place)


def dealt(kills: int, terms: int, names: list[str], rng: random.Random) -> dict[str, list[signal.Signals]]:
    """Deal so many kills of both kinds to the commands, as evenly as can be."""
    hows = [signal.SIGKILL] * kills + [signal.SIGTERM] * terms
    found: dict[str, list[signal.Signals]] = {name: [] for name in names}
    start = rng.randrange(len(names))
    for number, how in enumerate(hows):
        found[names[(start + number) % len(names)]].append(how)
    return found


def main(arguments: list[str]) -> int:
    """Do it all and print the table; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--terms", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args(arguments)
    unknown = set(options.names) - set(COMMANDS) - set(surroundings.ALL)
    if unknown:
        parser.error(
            f"unknown: {', '.join(unknown)}; choose from {', '.join([*COMMANDS, *surroundings.ALL])}"
        )
    commands = [name for name in COMMANDS if name in options.names or not set(options.names) & set(COMMANDS)]
    around = [name for name in surroundings.ALL if name in options.names or not options.names]
    rng, good, bad = random.Random(options.seed), Counter(), []
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    given = inputs(folder)
    peace = {}
    for name in commands:
        peace[name] = undisturbed(COMMANDS[name], given, folder)
        print(f"{name}: {peace[name][1]:.1f} s undisturbed", flush=True)
    only_around = bool(options.names) and not set(options.names) & set(COMMANDS) and around
    hows = {} if only_around else dealt(options.kills, options.terms, commands, rng)
    for name, several in hows.items():
        for how, wrong in try_kills(COMMANDS[name], given, folder, *peace[name], several, rng):
            good[name, how.name] += not wrong
            report(bad, wrong)
            print(f"{name}, {how.name}: {'wrong' if wrong else 'as it should be'}", flush=True)
    for surrounding in around:
        for name in commands:
            wrong = surroundings.ALL[surrounding](COMMANDS[name], given, folder, peace[name][0])
            good[name, surrounding] += wrong == ""
            report(bad, f"{name}, {surrounding}: {wrong}" if wrong else "")
            state = {None: "not tried", "": "as it should be"}.get(wrong, "wrong")
            print(f"{name}, {surrounding}: {state}", flush=True)
    show(good, bad, commands, hows, around)
    if not bad:
        shutil.rmtree(folder)
    return int(bool(bad))


def report(bad: list[str], wrong: str | None) -> None:
    """Say at once what failed."""
    if wrong:
        bad.append(wrong)
        print(f"WRONG  {wrong}", flush=True)


def show(good: Counter, bad: list[str], commands: list[str], hows: dict, around: list[str]) -> None:
    """Print for each command how many disturbances it stood."""
    columns = ["SIGKILL", "SIGTERM", *around] if hows else around
    print("".join([f"{'':12}", *(f"{column:>16}" for column in columns)]))
    for name in commands:
        tried = Counter(how.name for how in hows.get(name, [])) | Counter(dict.fromkeys(around, 1))
        cells = [f"{good[name, column]} of {tried[column]}" for column in columns]
        print("".join([f"{name:12}", *(f"{cell:>16}" for cell in cells)]))
    print(f"{sum(good.values())} as it should be, {len(bad)} wrong")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
