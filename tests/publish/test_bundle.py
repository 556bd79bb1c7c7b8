"""A bundle renders the same book elsewhere; damaged and foreign ones are refused in one line."""

import json
import shutil
import zipfile

import numpy as np
import pytest

from sdnet_lib.checksums import FOLDER, write_seal
from sdnet_lib.files import InputError
from sdnet_lib.publish import bundle
from sdnet_lib.publish.build import build, find_notebooks, from_bundle
from tests.faults import damage
from tests.publish.tiny_course import notebook, write


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    root = write(tmp_path_factory.mktemp("course") / "here", **{"01_first": notebook("print(6 * 7)")})
    build(root, bundle=root / "tiny.zip")
    return root


def test_a_bundle_renders_the_book_without_executing(packed, tmp_path, monkeypatch):
    there = tmp_path / "there"
    shutil.copytree(packed, there, ignore=shutil.ignore_patterns("_build"))
    monkeypatch.setattr("sdnet_lib.publish.build.run", None)  # whatever executes would fail
    from_bundle(there / "tiny.zip", there)
    for page in ("notebooks/01_first.html", "book/this_run.html"):
        ours, theirs = ((root / "_build" / "html" / page).read_text() for root in (packed, there))
        assert ours == theirs
    assert "42" in (there / "_build" / "html" / "notebooks" / "01_first.html").read_text()


def test_the_page_of_the_run_names_the_machine_that_ran_it(packed, tmp_path):
    with zipfile.ZipFile(packed / "tiny.zip") as file:
        file.extractall(tmp_path / "open")
    seal = tmp_path / "open" / FOLDER
    facts = json.loads(seal.read_text())
    facts["origin"]["versions"]["torch"] = "9.9+elsewhere"
    _pack(tmp_path / "open", tmp_path / "other.zip", facts)
    from_bundle(tmp_path / "other.zip", packed, tmp_path / "out")
    assert "9.9+elsewhere" in (tmp_path / "out" / "html" / "book" / "this_run.html").read_text()


def _pack(folder, file, facts):
    files = [folder / name for name in facts.pop("files")]
    facts.pop("checksum")
    write_seal(folder / FOLDER, facts, *files)
    with zipfile.ZipFile(file, "w") as out:
        for one in (folder / FOLDER, *files):
            out.write(one, one.relative_to(folder).as_posix())


def test_damage_is_refused_in_one_line(packed, tmp_path):
    kind = damage.bundles_of(packed, tmp_path)
    found = damage.count(kind, 100, np.random.default_rng(0))
    assert found["noticed"] + found["harmless"] == 100 and found["noticed"] > 80, found


@pytest.mark.parametrize("name", ["../outside", "/absolute", "executed/CON.ipynb", "a//b"])
def test_names_that_leave_the_folder_are_refused(packed, tmp_path, name):
    shutil.copy(packed / "tiny.zip", tmp_path / "bad.zip")
    with zipfile.ZipFile(tmp_path / "bad.zip", "a") as file:
        file.writestr(name, "x")
    with pytest.raises(InputError, match=r"bad.zip: no bundle .* \(names of files"):
        bundle.unpack(tmp_path / "bad.zip", find_notebooks(packed), tmp_path / "open")
    assert not (tmp_path / "outside").exists()


def test_what_the_seal_does_not_name_is_refused(packed, tmp_path):
    shutil.copy(packed / "tiny.zip", tmp_path / "more.zip")
    with zipfile.ZipFile(tmp_path / "more.zip", "a") as file:
        file.writestr("executed/02_more.ipynb", "{}")
    with pytest.raises(InputError, match="its files are not those of its seal"):
        bundle.unpack(tmp_path / "more.zip", find_notebooks(packed), tmp_path / "open")


def test_foreign_bundles_are_refused(packed, tmp_path):
    root = write(tmp_path / "other", **{"01_first": notebook("print(6 * 8)")})
    with pytest.raises(InputError, match="another version of the course: 01_first.ipynb differ"):
        from_bundle(packed / "tiny.zip", root)
    assert not (root / "_build" / "html").exists()
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(InputError, match=r"text.zip: no bundle"):
        from_bundle(tmp_path / "text.zip", root)


def test_a_bomb_is_refused_before_it_is_unpacked(packed, tmp_path, monkeypatch):
    monkeypatch.setattr(bundle, "LARGEST", 1000)
    with pytest.raises(InputError, match="GiB when unpacked"):
        bundle.unpack(packed / "tiny.zip", find_notebooks(packed), tmp_path / "open")
    assert not (tmp_path / "open").exists()
