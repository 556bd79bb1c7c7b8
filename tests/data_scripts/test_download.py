"""Downloads from a server that behaves badly, and zips that do."""

import io
import json
import ssl
import stat
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest

from data_scripts import download
from sdnet_lib.files import InputError
from tests.data_scripts.served import Server, zipped

CONTENT = np.random.default_rng(0).bytes(300_000)


@pytest.fixture
def target(tmp_path):
    return tmp_path / "in" / "file.zip"


def fetch(server, target, **options):
    return download.fetch(f"{server.url}/file.zip", target, **options)


def test_a_download_and_its_record(server, target):
    server.files["/file.zip"] = CONTENT
    record = fetch(server, target)
    assert target.read_bytes() == CONTENT
    assert record["size"] == len(CONTENT) and len(record["sha256"]) == 64
    seal = json.loads(target.with_name("file.zip.json").read_text())
    assert seal["files"] == {"file.zip": record["sha256"]} and record.items() < seal.items()
    assert {file.name for file in target.parent.iterdir()} == {"file.zip", "file.zip.json"}


def test_what_is_there_is_not_fetched_again(server, target):
    server.files["/file.zip"] = CONTENT
    assert fetch(server, target) == fetch(server, target)
    assert len(server.asked) == 1


@pytest.mark.parametrize("damage", [lambda file: file.write_bytes(CONTENT[:13]), Path.unlink])
@pytest.mark.parametrize("name", ["file.zip", "file.zip.json"])
def test_what_is_damaged_is_fetched_again(name, damage, server, target, caplog):
    server.files["/file.zip"] = CONTENT
    record = fetch(server, target)
    damage(target.with_name(name))
    assert fetch(server, target) == record and target.read_bytes() == CONTENT
    assert len(server.asked) == 2 and len(caplog.messages) == (damage is not Path.unlink)


def test_an_early_record_holds_the_hash_only(server, target):
    server.files["/file.zip"] = CONTENT
    record = fetch(server, target)
    target.with_name("file.zip.json").write_text(json.dumps(record))
    assert fetch(server, target) == record and len(server.asked) == 1
    target.write_bytes(CONTENT[:13])
    assert fetch(server, target) == record and len(server.asked) == 2


def test_a_repository_is_checked_and_unpacked_again(server, tmp_path, caplog):
    server.add_repository("a/b", {"x.txt": "x" * 99, "y.txt": "y"})
    tree = download.fetch_repository("a/b", tmp_path)
    (tree / "x.txt").write_text("z" * 99)
    assert download.fetch_repository("a/b", tmp_path) == tree
    assert (tree / "x.txt").read_text() == "x" * 99 and len(server.asked) == 1
    assert [message.partition(":")[0] for message in caplog.messages] == [str(tree / "x.txt")]


@pytest.fixture
def secure(tmp_path, monkeypatch):
    """A server that speaks TLS, whose certificate this process believes."""
    name, key = tmp_path / "name.pem", tmp_path / "key.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    more = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", name]
    subprocess.run([*command.split(), *more], check=True, capture_output=True)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(name))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(name, key)
    made = Server(context)
    yield made
    made.http.shutdown()
    made.http.server_close()


def test_https_stays_https(secure, server, target):
    server.files["/file.zip"] = secure.files["/file.zip"] = CONTENT
    secure.moods["/away"] = {"redirect": f"{server.url}/file.zip"}
    with pytest.raises(InputError, match=r"/away: sends on to http://127\.0\.0\.1.*, which is not https"):
        download.fetch(f"{secure.url}/away", target)
    assert not server.asked and not target.exists()
    secure.moods["/here"] = {"redirect": "/file.zip"}
    server.moods["/up"] = {"redirect": f"{secure.url}/file.zip"}
    for number, address in enumerate((f"{secure.url}/here", f"{server.url}/up")):
        download.fetch(address, target.with_name(str(number)))
        assert target.with_name(str(number)).read_bytes() == CONTENT


def test_a_broken_connection_is_resumed(server, target):
    server.files["/file.zip"] = CONTENT
    server.moods["/file.zip"] = {"break_after": 100_000, "breaks": 2}
    fetch(server, target)
    assert target.read_bytes() == CONTENT
    ranges = [wanted for _, wanted in server.asked]
    assert ranges[0] is None and ranges[1] == "bytes=98304-" and ranges[2] == "bytes=196608-"


def test_what_came_is_kept_for_the_next_call(server, target):
    server.files["/file.zip"] = CONTENT
    server.moods["/file.zip"] = {"break_after": 0, "breaks": 99}
    part = target.with_name("file.zip.part")
    part.parent.mkdir()
    part.write_bytes(CONTENT[:1234])
    with pytest.raises(InputError, match=r"breaks off .* 1,234 bytes are kept in .*file\.zip\.part"):
        fetch(server, target)
    assert part.read_bytes() == CONTENT[:1234] and not target.exists()
    server.moods.clear()
    fetch(server, target)
    assert target.read_bytes() == CONTENT and not part.exists()


def test_a_server_that_ignores_range_starts_over(server, target):
    server.files["/file.zip"] = CONTENT
    server.moods["/file.zip"] = {"no_range": True, "break_after": 100_000, "breaks": 1}
    fetch(server, target)
    assert target.read_bytes() == CONTENT


def test_a_server_that_never_gets_further_is_given_up(server, target):
    server.files["/file.zip"] = CONTENT
    server.moods["/file.zip"] = {"no_range": True, "break_after": 100_000}
    with pytest.raises(InputError, match="breaks off"):
        fetch(server, target)
    assert len(server.asked) == download.TRIES + 1


@pytest.mark.parametrize("more", [1, 100_000])
def test_a_server_that_promises_too_much(more, server, target):
    server.files["/file.zip"] = CONTENT
    server.moods["/file.zip"] = {"claims": len(CONTENT) + more, "no_range": True}
    with pytest.raises(InputError, match="breaks off"):
        fetch(server, target)
    assert not target.exists()


def test_a_server_that_promises_too_little(server, target):
    server.files["/file.zip"] = CONTENT
    server.moods["/file.zip"] = {"claims": 1000}
    with pytest.raises(InputError, match="size is 1000, not 300000 as announced"):
        fetch(server, target, size=len(CONTENT))
    assert list(target.parent.iterdir()) == []


def test_a_server_that_promises_nothing(server, target):
    server.files["/file.zip"] = CONTENT
    server.moods["/file.zip"] = {"no_length": True}
    fetch(server, target)
    assert target.read_bytes() == CONTENT


def test_a_server_that_sends_another_part(server, target):
    server.files["/file.zip"] = CONTENT
    server.moods["/file.zip"] = {"break_after": 100_000, "breaks": 1, "shift": 5}
    with pytest.raises(InputError, match="another part of the file"):
        fetch(server, target)
    assert not target.exists()


def test_a_part_that_is_already_whole(server, target):
    server.files["/file.zip"] = CONTENT
    target.parent.mkdir()
    target.with_name("file.zip.part").write_bytes(CONTENT)
    fetch(server, target)
    assert target.read_bytes() == CONTENT


def test_a_part_that_is_longer_than_the_file(server, target):
    server.files["/file.zip"] = CONTENT
    target.parent.mkdir()
    target.with_name("file.zip.part").write_bytes(CONTENT + b"more")
    fetch(server, target)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_refusal_is_final(status, server, target):
    server.files["/file.zip"] = CONTENT
    server.moods["/file.zip"] = {"status": status}
    with pytest.raises(InputError, match=f"/file.zip: HTTP {status}"):
        fetch(server, target)
    assert len(server.asked) == 1


def test_a_server_in_trouble_is_asked_again(server, target):
    server.files["/file.zip"] = CONTENT
    server.moods["/file.zip"] = {"statuses": [500, 503, 429]}
    fetch(server, target)
    assert target.read_bytes() == CONTENT
    server.moods["/file.zip"] = {"status": 500}
    with pytest.raises(InputError, match="HTTP 500"):
        fetch(server, target.with_name("other.zip"))


def test_no_server_at_all(target):
    with pytest.raises(InputError, match="breaks off") as caught:
        download.fetch("http://127.0.0.1:9/file.zip", target)
    assert "\n" not in str(caught.value)


def test_a_wrong_hash_is_noticed(server, target):
    server.files["/file.zip"] = CONTENT
    with pytest.raises(InputError, match="sha256 is .*, not 00 as announced"):
        fetch(server, target, sha256="00")
    assert list(target.parent.iterdir()) == []


def link(name):
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


EVIL = {
    "dots": "../evil.txt",
    "dots inside": "good/../../evil.txt",
    "absolute": "/tmp/evil.txt",
    "backslashes": "..\\evil.txt",
    "drive": "C:\\evil.txt",
    "drive with slashes": "C:/evil.txt",
    "link": link("evil"),
}


@pytest.mark.parametrize("kind", EVIL)
def test_nothing_leaves_the_folder(kind, tmp_path):
    archive = tmp_path / "a.zip"
    archive.write_bytes(zipped({"good.txt": "good", EVIL[kind]: "../../outside"}))
    with pytest.raises(InputError, match=r"a\.zip: .*; nothing unpacked") as caught:
        download.unpack(archive, tmp_path / "out" / "folder")
    assert "\n" not in str(caught.value)
    assert {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*")} == {"a.zip", "out"}


BROKEN = {
    "cut": lambda content: content[: len(content) // 2],
    "not a zip": lambda content: b"<html>Sign in</html>",
    "empty": lambda content: b"",
    "bits flipped": lambda content: content.replace(b"good good", b"good evil"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_damaged_zip(kind, tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a/good.txt", "good good " * 99)
    (tmp_path / "a.zip").write_bytes(BROKEN[kind](buffer.getvalue()))
    with pytest.raises(InputError, match=r"a\.zip: not a sound zip file"):
        download.unpack(tmp_path / "a.zip", tmp_path / "folder")
    assert [file.name for file in tmp_path.iterdir()] == ["a.zip"]


def test_a_zip_that_grows_too_much(tmp_path):
    (tmp_path / "a.zip").write_bytes(zipped({"a": bytes(download.SMALL + 1)}))
    with pytest.raises(InputError, match=r"a\.zip: has 100,000,001 bytes unpacked, more than"):
        download.unpack(tmp_path / "a.zip", tmp_path / "folder")
    assert [file.name for file in tmp_path.iterdir()] == ["a.zip"]


def test_a_zip_that_holds_more_than_it_says(tmp_path, monkeypatch):
    (tmp_path / "a.zip").write_bytes(zipped({"a": bytes(10_000)}))
    monkeypatch.setattr(download, "_check_space", lambda *_: 9_999)
    with pytest.raises(InputError, match=r"a\.zip: holds more than it says; nothing unpacked"):
        download.unpack(tmp_path / "a.zip", tmp_path / "folder")
    assert [file.name for file in tmp_path.iterdir()] == ["a.zip"]


def test_names_that_not_all_systems_allow_are_changed(tmp_path, caplog):
    files = {"a/X.png": "1", "a/x.png": "2", "A/x.PNG": "3", "aux.txt": "4", "b/good (1) [2].png": "5"}
    (tmp_path / "a.zip").write_bytes(zipped(files))
    download.unpack(tmp_path / "a.zip", tmp_path / "out")
    found = {file.relative_to(tmp_path / "out").as_posix(): file.read_text() for file in files_in(tmp_path)}
    renamed = {"a/X.png": "1", "a/x-2.png": "2", "A/x-3.PNG": "3", "_aux.txt": "4", "b/good (1) [2].png": "5"}
    assert found == renamed and len(caplog.messages) == 1
    assert "'a/x.png' is 'a/x-2.png'" in caplog.messages[0]


def files_in(tmp_path):
    return [file for file in (tmp_path / "out").rglob("*") if file.is_file()]


def test_a_zip_that_does_not_fit(tmp_path, monkeypatch):
    (tmp_path / "a.zip").write_bytes(zipped({"a": bytes(10_000)}))
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 9_999}))
    with pytest.raises(InputError, match="needs 10,000 bytes unpacked, the disk has 9,999"):
        download.unpack(tmp_path / "a.zip", tmp_path / "folder")
