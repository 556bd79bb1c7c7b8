"""Files appear whole or not at all, and are known by their content."""

import hashlib

import pandas as pd
import pytest

from sdnet_lib import files


def test_a_folder_appears_only_when_complete(tmp_path):
    with pytest.raises(KeyboardInterrupt), files.new_folder(tmp_path / "a") as part:
        (part / "half").touch()
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_the_first_of_two_makers_wins(tmp_path):
    with files.new_folder(tmp_path / "a") as one:
        (one / "one").touch()
        with files.new_folder(tmp_path / "a") as two:
            (two / "two").touch()
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["two"]
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("write", "content"),
    [
        (files.write_text, "Größe"),
        (files.write_json, {"a": [1, 2]}),
        (files.write_bytes, b"12"),
        (files.write_parquet, pd.DataFrame({"a": [1]})),
    ],
)
def test_a_file_replaces_the_old_one_and_leaves_nothing_beside_it(write, content, tmp_path):
    for _ in range(2):
        write(tmp_path / "new" / "file", content)
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["file"]


def test_an_interrupted_writer_leaves_the_old_file(tmp_path):
    files.write_text(tmp_path / "a.txt", "old")
    with pytest.raises(KeyboardInterrupt), files.whole(tmp_path / "a.txt") as part:
        part.write_text("half")
        raise KeyboardInterrupt
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_the_hash_of_a_file_is_that_of_its_bytes(tmp_path):
    content = bytes(range(256)) * 10_000  # more than one block
    (tmp_path / "a").write_bytes(content)
    assert files.content_hash(tmp_path / "a") == hashlib.sha256(content).hexdigest()
    assert files.digest("ab", b"c", digits=64) == hashlib.sha256(b"abc").hexdigest()


def test_a_reason_is_one_line():
    assert files.one_line(ValueError("a\n  b\tc")) == "a b c"
    assert files.one_line(KeyboardInterrupt()) == "KeyboardInterrupt"
