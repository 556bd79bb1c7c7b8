"""Registered names: made, read from local copies, and fetched from a server that behaves badly."""

import functools
import http.server
import io
import json
import multiprocessing
import os
import stat
import threading
import zipfile

import numpy as np
import pandas as pd
import pytest

from data_scripts import chestxray8, common, covidgr, download, registry
from data_scripts.registry import load_cohort
from sdnet_lib.data.cohort import SEVERITIES, CohortError, check_cohort
from sdnet_lib.data.images import ImageError, write_gray
from sdnet_lib.data.splits import splits
from sdnet_lib.files import InputError


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Keep the user's cache out of the tests, and the tests out of it."""
    monkeypatch.setenv("SDNET_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr(download, "WAIT", 0.0)


# --- a server with moods


class Server:
    """Serve byte strings by path on 127.0.0.1; `moods` says how a path misbehaves, `asked` what was asked."""

    def __init__(self):
        self.files, self.moods, self.asked = {}, {}, []
        handler = type("Handler", (_Handler,), {"server_state": self})
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


class _Handler(http.server.BaseHTTPRequestHandler):
    server_state = None

    def do_GET(self):  # noqa: N802
        state = self.server_state
        wanted = self.headers.get("Range")
        state.asked.append((self.path, wanted))
        mood = state.moods.get(self.path, {})
        status = mood.get("statuses", []).pop(0) if mood.get("statuses") else mood.get("status")
        if status or self.path not in state.files:
            self.send_error(status or 404)
            return
        content = state.files[self.path]
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and not mood.get("no_range") else 0
        if start and start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.end_headers()
            return
        body = content[start:]
        self.send_response(206 if start else 200)
        if start:
            first = start + mood.get("shift", 0)
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        if not mood.get("no_length"):
            self.send_header("Content-Length", str(mood.get("claims", len(body))))
        self.end_headers()
        limit = mood.get("break_after")
        if limit is not None and mood.setdefault("breaks", 10**9) > 0:
            mood["breaks"] -= 1
            body = body[:limit]
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


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
    assert json.loads(target.with_name("file.zip.json").read_text()) == record
    assert {file.name for file in target.parent.iterdir()} == {"file.zip", "file.zip.json"}


def test_what_is_there_is_not_fetched_again(server, target):
    server.files["/file.zip"] = CONTENT
    assert fetch(server, target) == fetch(server, target)
    assert len(server.asked) == 1


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


# --- zips


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


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


def test_a_zip_that_does_not_fit(tmp_path, monkeypatch):
    (tmp_path / "a.zip").write_bytes(zipped({"a": bytes(10_000)}))
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 9_999}))
    with pytest.raises(InputError, match="needs 10,000 bytes unpacked, the disk has 9,999"):
        download.unpack(tmp_path / "a.zip", tmp_path / "folder")


def test_a_folder_appears_only_when_complete(tmp_path):
    with pytest.raises(KeyboardInterrupt), common.new_folder(tmp_path / "a") as part:
        (part / "half").touch()
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_the_first_of_two_makers_wins(tmp_path):
    with common.new_folder(tmp_path / "a") as one:
        (one / "one").touch()
        with common.new_folder(tmp_path / "a") as two:
            (two / "two").touch()
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["two"]
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


# --- fetched sets


@functools.cache
def picture(number, suffix=".png"):
    from PIL import Image

    pixels = np.random.default_rng(number).integers(0, 255, (10, 12), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format={".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}[suffix])
    return buffer.getvalue()


def serve_repository(server, monkeypatch, repository, files):
    monkeypatch.setattr(download, "GITHUB_ARCHIVES", server.url)
    monkeypatch.setattr(download, "GITHUB_FILES", server.url)
    top = repository.split("/")[1] + "-master/"
    server.files[f"/{repository}/zip/refs/heads/master"] = zipped({top + name: files[name] for name in files})


def collection():
    """Return a small COVID-19 Image Data Collection, with all that the real one has in store."""
    rows = [
        ("1", "PA", "Pneumonia/Viral/COVID-19", "X-ray", "a b.png"),
        ("1", "AP Supine", "COVID-19", "X-ray", "b.jpeg"),
        ("2", "PA", "COVID-19, ARDS", "X-ray", "c.jpg"),
        ("3", "PA", "No Finding", "X-ray", "d.png"),
        ("4", "PA", "Pneumonia/Bacterial/Streptococcus", "X-ray", "e.png"),
        ("5", "PA", "todo", "X-ray", "todo.png"),
        ("6", "L", "COVID-19", "X-ray", "lateral.png"),
        ("7", "Axial", "COVID-19", "CT", "ct.png"),
        ("8", "PA", "COVID-19", "X-ray", "not-there.png"),
        ("9", "PA", "COVID-19", "X-ray", "copy.png"),
        ("9", "AP", "COVID-19", "X-ray", "other-of-9.png"),
    ]
    table = pd.DataFrame(rows, columns=["patientid", "view", "finding", "modality", "filename"])
    table["age"], table["sex"], table["offset"] = "50", "F", ""
    files = {"metadata.csv": table.to_csv(index=False)}
    for number, name in enumerate(table["filename"]):
        if name != "not-there.png":
            files[f"images/{name}"] = picture(number, "." + name.split(".")[-1])
    files["images/copy.png"] = files["images/a b.png"]
    scores = (
        "## mean of 3\n## licence\nfilename,geographic_mean,opacity_mean\na b.png,0.3,0.3\nc.jpg,7.0,4.0\n"
    )
    files["annotations/covid-severity-scores.csv"] = scores
    return files


def darkcovidnet():
    """Return a small DarkCovidNet repository: two COVID-19 images and a few of ChestX-ray8."""
    files = {
        "Covid/Covid-19/b.jpeg": picture(1, ".jpeg"),
        "Covid/Covid-19/unknown.png": picture(50),
        "Covid/No_findings/00000001_000.png": picture(60),
        "Covid/No_findings/00000001_001.png": picture(60),  # exact copy
        "Covid/No_findings/00000002_000.png": picture(61),
        "Covid/No_findings/00000003_000.png": picture(62),
        "Covid/Pneumonia/00000002_001.png": picture(63),
        "Covid/Pneumonia/00000004_001.png": picture(64),
    }
    return {name.replace("Covid/", "X-Ray Image DataSet/", 1): content for name, content in files.items()}


def test_cxr_collection_fetched(server, monkeypatch, tmp_path):
    serve_repository(server, monkeypatch, "ieee8023/covid-chestxray-dataset", collection())
    said = registry.get("cxr-collection", tmp_path / "new")
    assert "licence: per image" in said and "cite: Cohen" in said and "the published set has" in said
    cohort = load_cohort("cxr-collection", data=tmp_path / "new").set_index("image_id")
    assert dict(cohort["label"]) == {"a_b": "P", "b": "P", "c": "P", "d": "N", "e": "N", "other-of-9": "P"}
    assert cohort.loc["a_b", "severity"] == "Normal-PCR+" and cohort.loc["c", "severity"] == "Severe"
    assert cohort.loc["other-of-9", "patient_id"] == cohort.loc["a_b", "patient_id"] == "cxr-1"
    assert (cohort.loc["a_b", "original_width"], cohort.loc["a_b", "original_height"]) == (12, 10)
    assert cohort.loc["a_b", "age"] == 50 and cohort.loc["a_b", "finding"] == "COVID-19"


def test_chestxray8_fetched_and_matched_by_view(server, monkeypatch, tmp_path):
    serve_repository(server, monkeypatch, chestxray8.REPOSITORY, darkcovidnet())
    registry.get("chestxray8", tmp_path)
    cohort = load_cohort("chestxray8", data=tmp_path)
    assert (cohort["label"] == "N").sum() == 3 and (cohort["label"] == "P").sum() == 2
    assert cohort["patient_id"].nunique() == 4
    with pytest.raises(CohortError, match="column view: blank; views come from NIH's Data_Entry"):
        load_cohort("nih-pneumonia", data=tmp_path)


def test_nihs_own_table_adds_the_views(server, monkeypatch, tmp_path):
    serve_repository(server, monkeypatch, chestxray8.REPOSITORY, darkcovidnet())
    names = ["00000001_000", "00000002_000", "00000003_000", "00000002_001", "00000004_001"]
    table = pd.DataFrame({"Image Index": [f"{name}.png" for name in names], "Finding Labels": "x"})
    table["View Position"], table["Patient Age"], table["Patient Gender"] = (
        ["AP", "PA", "PA", "PA", "AP"],
        30,
        "M",
    )
    table.to_csv(tmp_path / "Data_Entry_2017.csv", index=False)
    registry.get("nih-pneumonia", tmp_path)
    cohort = load_cohort("nih-pneumonia", data=tmp_path)
    assert cohort.groupby(["view", "label"]).size().to_dict() == dict.fromkeys(
        [("AP", "N"), ("AP", "P"), ("PA", "N"), ("PA", "P")], 1
    )
    assert set(cohort["sex"]) == {"M"} and set(cohort["age"]) == {30}


def test_darkcovidnet_fetched_knows_whose_images_they_are(server, monkeypatch, tmp_path):
    serve_repository(server, monkeypatch, chestxray8.REPOSITORY, darkcovidnet())
    server.files["/ieee8023/covid-chestxray-dataset/master/metadata.csv"] = collection()[
        "metadata.csv"
    ].encode()
    registry.get("darkcovidnet", tmp_path)
    cohort = load_cohort("darkcovidnet", data=tmp_path)
    assert cohort["label"].value_counts().to_dict() == {"N": 3, "P": 2}
    positive = cohort[cohort["label"] == "P"].set_index("image_id")
    assert positive.loc["b", "patient_id"] == "cxr-1" and positive.loc["b", "view"] == "AP Supine"
    assert positive.loc["unknown", "patient_id"] == "cxr-unknown"


def test_covidx_mini_fetches_both_its_parts_once(server, monkeypatch, tmp_path):
    serve_repository(server, monkeypatch, "ieee8023/covid-chestxray-dataset", collection())
    serve_repository(server, monkeypatch, chestxray8.REPOSITORY, darkcovidnet())
    registry.get("covidx-mini", tmp_path)
    registry.get("covidx-mini", tmp_path)
    assert len(server.asked) == 2
    cohort = load_cohort("covidx-mini", data=tmp_path)
    assert set(cohort[cohort["label"] == "P"]["source"]) == {"COVID-19 Image Data Collection"}
    assert set(cohort[cohort["label"] == "N"]["source"]) == {"ChestX-ray8"}


def test_actualmed_and_figure1_fetched(server, monkeypatch, tmp_path):
    columns = "patientid,offset,sex,age,finding,view,modality,imagename,notes\n"
    rows = "A1,,,,COVID-19,AP,X-ray,x.1.png,\nA2,,,,No finding,PA,X-ray,x.2.png,\n"
    rows += "A2,,,,,PA,X-ray,x.3.png,unsure\n"
    files = {"metadata.csv": columns + rows} | {f"images/x.{n}.png": picture(n) for n in (1, 2, 3)}
    serve_repository(server, monkeypatch, "agchung/Actualmed-COVID-chestxray-dataset", files)
    rows = "C-1a,,M,50+,COVID-19,AP,X-ray,,\nC-1b,,M,50,COVID-19,AP,X-ray,,\n"
    rows += "C-2,,F,4,No finding,,X-ray,,\nC-3,,,,,,X-ray,,\n"
    files = {"metadata.csv": columns + rows} | {
        f"images/C-{n}.jpg": picture(i, ".jpg") for i, n in enumerate(("1a", "1b", "2", "3"))
    }
    serve_repository(server, monkeypatch, "agchung/Figure1-COVID-chestxray-dataset", files)
    registry.get("actualmed", tmp_path)
    registry.get("figure1", tmp_path)
    assert dict(load_cohort("actualmed", data=tmp_path).set_index("image_id")["label"]) == {
        "x.1": "P",
        "x.2": "N",
    }
    figure1 = load_cohort("figure1", data=tmp_path)
    assert list(figure1["patient_id"]) == ["fig1-C-1", "fig1-C-1", "fig1-C-2"]
    assert np.isnan(figure1["age"][0]) and figure1["age"][1] == 50


def test_montgomery_and_shenzhen_fetched(server, monkeypatch, tmp_path):
    names = ["CHNCXR_0477_1", "CHNCXR_0605_1", "CHNCXR_0001_0", "MCUCXR_0001_0", "MCUCXR_0104_1"]
    files = {f"data/cxr/{name}.png": picture(number) for number, name in enumerate(names)}
    files |= {f"data/masks/{name}.png": picture(number + 10) for number, name in enumerate(names)}
    files["data/cxr/CHNCXR_0002_0.png"] = picture(99)  # without a mask
    serve_repository(server, monkeypatch, "rochadiego/MultiResUNet-lung-segmentation", files)
    registry.get("shenzhen", tmp_path)
    shenzhen = load_cohort("shenzhen", data=tmp_path).set_index("image_id")
    assert dict(shenzhen["label"]) == {"CHNCXR_0001_0": "N", "CHNCXR_0477_1": "P", "CHNCXR_0605_1": "P"}
    assert shenzhen.loc["CHNCXR_0605_1", "patient_id"] == "CHNCXR_0477_1"
    assert all(os.path.isfile(mask) for mask in shenzhen["lung_mask"])
    montgomery = load_cohort("montgomery", data=tmp_path)
    assert set(montgomery["source"]) == {"Montgomery"} and list(montgomery["label"]) == ["N", "P"]
    assert "all images readable" in registry.check("montgomery", tmp_path)


def test_a_repository_that_has_changed_beyond_recognition(server, monkeypatch, tmp_path):
    serve_repository(server, monkeypatch, chestxray8.REPOSITORY, {"README.md": "moved"})
    with pytest.raises(InputError, match="no .*No_findings.* in what was fetched; the source has"):
        registry.get("chestxray8", tmp_path)
    assert not (tmp_path / chestxray8.FOLDER).exists()
    serve_repository(server, monkeypatch, "agchung/Actualmed-COVID-chestxray-dataset", {"README.md": "moved"})
    with pytest.raises(InputError, match="the source's table cannot be read"):
        registry.get("actualmed", tmp_path)


@pytest.mark.parametrize("gone", ["patientid", "finding", "filename"])
def test_a_table_that_has_lost_a_column(gone, server, monkeypatch, tmp_path):
    files = collection()
    table = pd.read_csv(io.StringIO(files["metadata.csv"])).drop(columns=gone)
    files["metadata.csv"] = table.to_csv(index=False)
    serve_repository(server, monkeypatch, "ieee8023/covid-chestxray-dataset", files)
    with pytest.raises(
        InputError, match=f"metadata.csv: no column {gone}; the source has changed its layout"
    ):
        registry.get("cxr-collection", tmp_path)


def test_names_that_differ_in_the_suffix_only(tmp_path):
    (tmp_path / "a.png").write_bytes(picture(1))
    (tmp_path / "a.jpg").write_bytes(picture(2, ".jpg"))
    files = [tmp_path / "a.png", tmp_path / "a.jpg"]
    common.store(tmp_path / "set", pd.DataFrame({"image_id": "a", "file": files, "patient_id": "1"}), "x")
    stored = common.read_metadata(tmp_path / "set")
    assert list(stored["image_id"]) == ["a", "a-1"] and list(stored["patient_id"]) == ["x-1", "x-1"]


def test_patients_who_share_a_picture_are_one():
    groups = common._joined(pd.Series(list("abcde")), pd.Series(["x", "x", "y", "z", "z"]))
    assert list(groups) == list("aacdd")
    chain = common._joined(pd.Series(list("dcbba")), pd.Series(list("wwxyy")))
    assert list(chain) == ["c", "c", "a", "a", "a"]


# --- COVIDGR-1.0

LEVELS = [level.upper() for level in np.repeat(SEVERITIES, (76, 100, 171, 79))]


def covidgr_files(top="COVIDGR_1.0/", negatives=426, levels=LEVELS):
    """Return a tree of COVIDGR-1.0's exact shape, made of tiny images."""
    files = {f"{top}N/N{number}.jpg": picture(number, ".jpg") for number in range(negatives)}
    files |= {f"{top}P/P{number}.jpg": picture(10_000 + number, ".jpg") for number in range(len(levels))}
    lines = [f"P{number}.jpg,{level}" for number, level in enumerate(levels)]
    files[f"{top}severity.csv"] = "\n".join(["Name,Severity", *lines, ""])
    return files


def serve_release(server, monkeypatch, content, **asset):
    monkeypatch.setattr(download, "GITHUB_API", server.url)
    name = "COVIDGR_1.0.zip"
    listed = {"name": name, "browser_download_url": f"{server.url}/{name}", "size": len(content)} | asset
    other = {"name": "COVIDGR-2.0.zip", "browser_download_url": f"{server.url}/other", "size": 5}
    releases = [{"assets": []}, {"assets": [other, listed]}]
    server.files["/repos/ari-dasci/OD-covidgr/releases"] = json.dumps(releases).encode()
    server.files[f"/{name}"] = content


def test_covidgr_through_its_release(server, monkeypatch, tmp_path):
    content = zipped(covidgr_files())
    serve_release(server, monkeypatch, content)
    server.moods["/COVIDGR_1.0.zip"] = {"break_after": len(content) // 2, "breaks": 1}
    said = registry.get("covidgr", tmp_path)
    assert "852 images of 852 patients: 426 N, 426 P" in said and "published set" not in said
    assert "76 P Normal-PCR+" in said and "79 P Severe" in said
    record = json.loads((tmp_path / "downloads" / "COVIDGR_1.0.zip.json").read_text())
    assert record["size"] == len(content)
    cohort = load_cohort("covidgr", data=tmp_path)
    assert set(cohort["source"]) == {"COVIDGR-1.0"} and set(cohort["view"]) == {"PA"}
    assert check_cohort(cohort) is cohort
    plain = load_cohort(tmp_path / covidgr.FOLDER)
    assert list(plain["image_id"]) == list(cohort["image_id"])


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (covidgr_files(negatives=425), "425 images with label N, COVIDGR-1.0 has 426"),
        (covidgr_files(levels=LEVELS[1:]), "425 images with label P, COVIDGR-1.0 has 426"),
        (
            covidgr_files(levels=["MILD", *LEVELS[1:]]),
            "75 images with severity Normal-PCR\\+, COVIDGR-1.0 has 76",
        ),
        ({"README": "soon"}, "0 folders with N, P and severity.csv in it, not one"),
    ],
)
def test_covidgr_must_have_its_published_counts(files, message, server, monkeypatch, tmp_path):
    serve_release(server, monkeypatch, zipped(files))
    with pytest.raises(InputError, match=message):
        registry.get("covidgr", tmp_path)


def test_another_count_is_fine_in_a_folder_of_ones_own(tmp_path):
    for name, content in covidgr_files("", negatives=3, levels=LEVELS[:3]).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert len(load_cohort(tmp_path)) == 6


def test_a_release_that_lies_about_size_or_hash(server, monkeypatch, tmp_path):
    content = zipped(covidgr_files())
    serve_release(server, monkeypatch, content, size=len(content) + 1)
    with pytest.raises(InputError, match="size is"):
        registry.get("covidgr", tmp_path)
    serve_release(server, monkeypatch, content, digest="sha256:" + "0" * 64)
    with pytest.raises(InputError, match="sha256 is"):
        registry.get("covidgr", tmp_path)


def test_a_release_with_an_evil_zip(server, monkeypatch, tmp_path):
    serve_release(server, monkeypatch, zipped({"../../evil.txt": "evil"} | covidgr_files()))
    with pytest.raises(InputError, match="would be written outside the folder; nothing unpacked"):
        registry.get("covidgr", tmp_path / "data")
    names = {file.name for file in tmp_path.rglob("*") if file.is_file()}
    assert names == {"COVIDGR_1.0.zip", "COVIDGR_1.0.zip.json"}


@pytest.mark.parametrize(
    ("listing", "message"),
    [
        (b"[]", "no file like .* only nothing"),
        (b'[{"assets": [{"name": "other.zip"}]}]', "only other.zip"),
        (b'{"message": "rate limit"}', "no list of releases"),
        (b"<html>", "no list of releases"),
        (None, "no list of releases .*404"),
    ],
)
def test_no_such_release(listing, message, server, monkeypatch, tmp_path):
    monkeypatch.setattr(download, "GITHUB_API", server.url)
    if listing is not None:
        server.files["/repos/ari-dasci/OD-covidgr/releases"] = listing
    with pytest.raises(InputError, match=message):
        registry.get("covidgr", tmp_path)


# --- names and local copies

PUBLIC = [name for name in registry.names() if name not in registry.SYNTHETIC]


def local_copy(root, folder, rows):
    """Write a data set in the compact layout: metadata.csv beside images."""
    table = pd.DataFrame(rows)
    table["file"] = [f"images/{image_id}.png" for image_id in table["image_id"]]
    for number, file in enumerate(table["file"]):
        write_gray(root / folder / file, np.random.default_rng(abs(hash(folder)) + number).random((8, 8)))
    table.to_csv(root / folder / "metadata.csv", index=False)
    return root / folder


@pytest.mark.parametrize("name", PUBLIC)
def test_a_set_that_is_not_here_says_how_to_get_it(name, tmp_path):
    with pytest.raises(InputError, match=f"{name} is not in .*sdnet data get {name}.*--data DIR"):
        load_cohort(name, data=tmp_path)
    with pytest.raises(InputError, match=f"{name} is not in "):
        load_cohort(name)
    with pytest.raises(InputError, match="no such folder"):
        load_cohort(name, data=tmp_path / "nowhere")


def test_every_set_says_what_it_is():
    rows = registry.describe()
    assert [row.name for row in rows] == registry.names()
    assert len(set(registry.names())) == 12
    for row in rows:
        assert all(isinstance(value, str) and value and "\n" not in value for value in row)
    assert [row.where for row in rows if row.name == "covidgr"] == ["not here: sdnet data get covidgr"]


def test_unknown_and_synthetic_names():
    for function in (registry.get, registry.check):
        with pytest.raises(InputError, match="unknown data set 'imagenet': choose one of phantom"):
            function("imagenet")
    with pytest.raises(InputError, match="phantom is synthetic"):
        registry.get("phantom")


def test_a_group_is_a_patient_and_todo_stays_out(tmp_path):
    rows = [
        {"image_id": "a", "patient_id": 1, "group_id": "cxr-1", "finding": "COVID-19", "view": "PA"},
        {"image_id": "b", "patient_id": 2, "group_id": "cxr-1", "finding": "COVID-19, ARDS", "view": "AP"},
        {"image_id": "c", "patient_id": 3, "group_id": "cxr-3", "finding": "todo", "view": "PA"},
        {"image_id": "d", "patient_id": 4, "group_id": "cxr-4", "finding": "SARS", "view": "PA"},
    ]
    local_copy(tmp_path, "cxr_collection", rows)
    cohort = load_cohort("cxr-collection", data=tmp_path)
    assert list(cohort["image_id"]) == ["a", "b", "d"] and list(cohort["label"]) == ["P", "P", "N"]
    assert list(cohort["patient_id"]) == ["cxr-1", "cxr-1", "cxr-4"]


def test_an_error_names_the_row_of_the_metadata(tmp_path):
    rows = [{"image_id": f"i{n}", "group_id": n, "finding": "No_findings", "view": "PA"} for n in range(3)]
    folder = local_copy(tmp_path, chestxray8.FOLDER, rows)
    (folder / "images" / "i1.png").unlink()
    with pytest.raises(CohortError, match=r"metadata\.csv, row 3, column file: no such file"):
        load_cohort("chestxray8", data=tmp_path)


def test_matching_by_view_is_balanced_and_the_same_each_time(tmp_path):
    generator = np.random.default_rng(0)
    rows = [
        {
            "image_id": f"i{number:03}",
            "group_id": f"g{number // 2}",
            "finding": str(generator.choice(["No_findings", "Pneumonia"], p=[0.3, 0.7])),
            "view": str(generator.choice(["PA", "AP"], p=[0.8, 0.2])),
        }
        for number in range(60)
    ]
    local_copy(tmp_path, chestxray8.FOLDER, rows)
    cohort = load_cohort("nih-pneumonia", data=tmp_path)
    counts = cohort.groupby(["view", "label"]).size().unstack()
    assert (counts["N"] == counts["P"]).all() and len(cohort) > 10
    pd.testing.assert_frame_equal(cohort, load_cohort("nih-pneumonia", data=tmp_path, seed=5))
    both = {"N", "P"}
    for split in splits(cohort, 1, 2):
        assert not set(cohort["patient_id"].iloc[split.test]) & set(cohort["patient_id"].iloc[split.train])
        assert set(cohort["label"].iloc[split.test]) == both


def test_check_reads_every_image_and_mask(tmp_path):
    rows = [
        {"image_id": f"i{n}", "finding": n % 2, "source": "Shenzhen", "mask": f"masks/i{n}.png"}
        for n in range(4)
    ]
    folder = local_copy(tmp_path, "lung_segmentation", rows)
    for number in range(4):
        write_gray(folder / "masks" / f"i{number}.png", np.eye(8))
    said = registry.check("shenzhen", tmp_path)
    assert (
        said.startswith("4 images of 4 patients: 2 N, 2 P") and "the published set has 279 N, 287 P" in said
    )
    write_gray(folder / "masks" / "i2.png", np.eye(9))
    with pytest.raises(ImageError, match="a mask of another size"):
        registry.check("shenzhen", tmp_path)
    (folder / "masks" / "i2.png").write_text("no picture")
    with pytest.raises(ImageError, match="mask cannot be decoded"):
        registry.check("shenzhen", tmp_path)
    (folder / "images" / "i1.png").write_bytes(b"\x89PNG")
    with pytest.raises(ImageError, match=r"i1\.png"):
        registry.check("shenzhen", tmp_path)


# --- synthetic


def fake_phantom(monkeypatch, calls=None):
    """Put a maker of tiny cohorts in the place of the radiograph's physics."""
    from sdnet_lib.phantom import radiograph

    def make(kind, n, seed, out, *, size):
        if calls is not None:
            calls.append((kind, n, seed, size))
        rows = []
        for number in range(n):
            file = out / "images" / f"i{number}.png"
            write_gray(file, np.random.default_rng(seed * 1000 + number).random((8, 8)))
            rows.append((f"i{number}", f"images/i{number}.png", "NP"[number % 2]))
        pd.DataFrame(rows, columns=["image_id", "file", "label"]).to_csv(out / "cohort.csv", index=False)

    monkeypatch.setattr(radiograph, "homogeneous", functools.partial(make, "homogeneous"))
    monkeypatch.setattr(radiograph, "biased", functools.partial(make, "biased"))


def test_synthetic_cohorts_are_made_once(monkeypatch):
    calls = []
    fake_phantom(monkeypatch, calls)
    one = load_cohort("phantom", profile="smoke")
    pd.testing.assert_frame_equal(one, load_cohort("phantom", profile="smoke"))
    assert calls == [("homogeneous", 48, 0, 128)]
    load_cohort("phantom-biased", profile="smoke", seed=3)
    assert calls[1:] == [("biased", 48, 3, 128)]


def test_an_interrupted_maker_leaves_nothing(monkeypatch):
    from sdnet_lib import config
    from sdnet_lib.phantom import radiograph

    def interrupted(n, seed, out, *, size):
        (out / "cohort.csv").write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(radiograph, "homogeneous", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load_cohort("phantom", profile="smoke")
    assert list((config.cache_dir() / "phantom").iterdir()) == []


def _read_phantom(_):
    cohort = load_cohort("phantom", profile="smoke")
    return len(cohort), cohort["file"].iloc[0]


def test_two_processes_may_ask_at_once(monkeypatch):
    fake_phantom(monkeypatch)
    with multiprocessing.get_context("fork").Pool(3) as pool:
        answers = pool.map(_read_phantom, range(3), chunksize=1)
    assert len(set(answers)) == 1 and answers[0][0] == 48
