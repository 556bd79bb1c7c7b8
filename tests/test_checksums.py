"""Nothing that is kept changes unnoticed."""

import json
import shutil

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from sdnet_lib import checksums
from sdnet_lib.checksums import Damaged, beside, check_stamp, kept_file, kept_folder, read_seal, write_seal

FACTS = {"seed": 3, "pair": (1, 2.5), "nested": {"é": [None, True, "x"], "not a number": float("nan")}}


@pytest.fixture
def sealed(tmp_path):
    for name in ("a.bin", "b.bin"):
        (tmp_path / name).write_bytes(name.encode() * 50)
    write_seal(tmp_path / "seal.json", FACTS, tmp_path / "a.bin", tmp_path / "b.bin")
    return tmp_path


def test_a_seal_says_what_it_was_told(sealed):
    facts = read_seal(sealed / "seal.json")
    assert set(facts.pop("files")) == {"a.bin", "b.bin"}
    assert json.dumps(facts) == json.dumps(FACTS)
    text = (sealed / "seal.json").read_text()
    (sealed / "seal.json").write_text(json.dumps(json.loads(text)).replace("}", "\r\n}"))  # another layout
    assert read_seal(sealed / "seal.json", sealed / "a.bin")["seed"] == 3


@pytest.mark.parametrize("name", ["a.bin", "seal.json"])
def test_every_single_bit_of_a_file_and_of_its_seal_counts(sealed, name):
    file, seal = sealed / name, sealed / "seal.json"
    content, before = file.read_bytes(), read_seal(seal)
    before = json.dumps(before)
    for place in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        file.write_bytes(damaged)
        try:
            assert json.dumps(read_seal(seal)) == before and name == "seal.json"  # 1e5 and 1E5 are the same
        except Damaged as error:
            assert str(sealed) in str(error) and "\n" not in str(error)


def test_what_is_missing_or_in_another_s_place_is_named(sealed):
    seal, a, b = sealed / "seal.json", sealed / "a.bin", sealed / "b.bin"
    c = shutil.copyfile(a, sealed / "c.bin")
    with pytest.raises(Damaged, match=r"c\.bin: damaged or replaced, seal\.json has another checksum"):
        read_seal(seal, c)
    a.replace(c)
    with pytest.raises(Damaged, match=r"a\.bin: missing, though seal\.json is there"):
        read_seal(seal)
    assert read_seal(seal, b)
    b.replace(a)
    with pytest.raises(Damaged, match=r"a\.bin: damaged or replaced"):
        read_seal(seal, a)
    seal.unlink()
    with pytest.raises(Damaged, match=r"seal\.json: missing"):
        read_seal(seal)


@given(
    text=st.text()
    | st.binary().map(lambda b: b.decode("latin-1"))
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=3) | st.sampled_from(["files", "checksum"]),
        lambda inner: (
            st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["files", "checksum", "x"]), inner)
        ),
    ).map(json.dumps)
)
def test_whatever_a_seal_holds_there_is_no_other_error(tmp_path_factory, text):
    seal = tmp_path_factory.mktemp("seal") / "seal.json"
    seal.write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        assert "files" not in read_seal(seal)
    except Damaged as error:
        assert str(seal) in str(error)


def test_a_file_of_the_cache_is_made_once_and_again_if_it_is_damaged(tmp_path, caplog):
    made, file = [], tmp_path / "new" / "x.bin"

    def make(part):
        made.append(part)
        part.write_bytes(b"content")
        return {"number": len(made)}

    for _ in range(2):
        assert kept_file(file, make).read_bytes() == b"content" and len(made) == 1
    assert read_seal(beside(file), file)["number"] == 1 and not caplog.messages
    for number, damaged in enumerate((file, beside(file)), 2):
        damaged.write_bytes(b"{}")
        assert kept_file(file, make).read_bytes() == b"content" and len(made) == number
    first, second = caplog.messages
    assert first == f"{file}: damaged or replaced, x.bin.json has another checksum; it is made again"
    assert second.endswith("x.bin.json: without checksums, as an early version wrote it; it is made again")


def test_a_folder_of_the_cache_is_made_again_whatever_of_it_is_damaged(tmp_path, caplog):
    def make(part):
        (part / "in").mkdir()
        (part / "in" / "a").write_text("a")
        (part / "b").write_text("b")

    caplog.set_level("INFO", "sdnet_lib")
    folder = kept_folder(tmp_path / "x", make)
    other = kept_folder(tmp_path / "y", make)
    damages = [
        lambda: (folder / "in" / "a").write_text("c"),
        lambda: (folder / "b").unlink(),
        lambda: (folder / "checksums.json").unlink(),
        lambda: (shutil.rmtree(folder), shutil.copytree(other, folder)),
    ]
    for number, damage in enumerate(damages, 1):
        damage()
        assert kept_folder(folder, make) == folder and not checksums.fault(folder)
        assert (folder / "in" / "a").read_text() == "a" and len(caplog.messages) == number
    assert [file.name for file in tmp_path.glob("[!.]*")] in (["x", "y"], ["y", "x"])


def test_tensors_carry_their_own_checksum(tmp_path):
    file, tensors = tmp_path / "t.safetensors", {"a": torch.arange(5.0), "b": torch.ones(2, 3)}
    checksums.write_tensors(file, tensors, {"card": '{"checksum":"x"}'})
    assert load_file(file)["a"].tolist() == [0, 1, 2, 3, 4] and check_stamp(file)
    content = file.read_bytes()
    for place in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        file.write_bytes(damaged)
        noticed = False
        try:
            assert not check_stamp(file)
            load_file(file)
        except Exception:  # safetensors has several for a header that is none
            noticed = True
        assert noticed, place
