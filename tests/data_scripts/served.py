"""What data sets are fetched from: a server on this machine that can misbehave, and small public sets."""

import functools
import http.server
import io
import threading
import zipfile

import numpy as np
import pandas as pd
from PIL import Image

from sdnet_lib.data.images import write_gray


class Server:
    """Serve byte strings by path on 127.0.0.1; `moods` says how a path misbehaves, `asked` what was asked."""

    def __init__(self, context=None):
        self.files, self.moods, self.asked = {}, {}, []
        handler = type("Handler", (_Handler,), {"server_state": self})
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        if context:  # for TLS
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self.http.server_port}"
        # how often, in seconds, it looks whether it is to end; else each test would wait for half a second
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def add_repository(self, repository, files):
        """Serve a GitHub repository's master branch; `files` are texts and bytes by path."""
        top = repository.split("/")[1] + "-master/"
        content = zipped({top + name: files[name] for name in files})
        self.files[f"/{repository}/zip/refs/heads/master"] = content


class _Handler(http.server.BaseHTTPRequestHandler):
    server_state = None

    def do_GET(self):  # noqa: N802
        state = self.server_state
        wanted = self.headers.get("Range")
        state.asked.append((self.path, wanted))
        mood = state.moods.get(self.path, {})
        if "redirect" in mood:
            self.send_response(302)
            self.send_header("Location", mood["redirect"])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
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


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@functools.cache
def picture(number, suffix=".png"):
    pixels = np.random.default_rng(number).integers(0, 255, (10, 12), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format={".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}[suffix])
    return buffer.getvalue()


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


def local_copy(root, folder, rows):
    """Write a data set in the compact layout: metadata.csv beside images."""
    table = pd.DataFrame(rows)
    table["file"] = [f"images/{image_id}.png" for image_id in table["image_id"]]
    for number, file in enumerate(table["file"]):
        write_gray(root / folder / file, np.random.default_rng(abs(hash(folder)) + number).random((8, 8)))
    table.to_csv(root / folder / "metadata.csv", index=False)
    return root / folder
