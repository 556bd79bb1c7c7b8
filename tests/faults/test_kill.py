"""A short form of ``make faults``: one command, killed a few times, and a surrounding that refuses."""

import random
import signal

import pytest

from tests.faults import kill, surroundings
from tests.faults.commands import COMMANDS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def peace(folder):
    return kill.undisturbed(COMMANDS["phantom"], folder, folder)


@pytest.mark.long
def test_killed_it_leaves_nothing_and_ends_as_if_nothing_had_been(folder, peace):
    hows = [signal.SIGKILL, signal.SIGKILL, signal.SIGTERM]
    wrong = kill.try_kills(COMMANDS["phantom"], folder, folder, *peace, hows, random.Random(0))
    assert [text for _, text in wrong if text] == []


@pytest.mark.long
@pytest.mark.parametrize("name", ["full-disk", "read-only", "locale-c"])
def test_a_surrounding_that_refuses(name, folder, peace):
    found = surroundings.ALL[name](COMMANDS["phantom"], folder, folder, peace[0])
    if found is None:
        pytest.skip("this machine cannot make such a surrounding")
    assert found == ""


def test_kills_are_dealt_evenly():
    hows = kill.dealt(30, 10, list("abcdefg"), random.Random(1))
    counts = [len(several) for several in hows.values()]
    assert sum(counts) == 40 and max(counts) - min(counts) <= 1
    assert sum(how == signal.SIGTERM for several in hows.values() for how in several) == 10
