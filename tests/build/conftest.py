"""A small simulated archive, and the release that is built from it, once for all tests."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

from sdnet_lib.build import make
from sdnet_lib.build.protocol import Protocol
from sdnet_lib.phantom import archive

PROTOCOL = Protocol(burnt_in="absent", dicom=True)


class Built(NamedTuple):
    source: Path
    planted: pd.DataFrame
    salt: Path
    out: Path
    files: pd.DataFrame


def build(source, out, salt, protocol=PROTOCOL, **options):
    """Build a release of an archive that `phantom.archive.write` has written."""
    tables = (source / archive.PCR, source / archive.READINGS)
    options = {"jobs": 1} | options
    return make.build(source / archive.FILMS, *tables, out, salt=salt, protocol=protocol, **options)


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("build")
    planted = archive.write(folder / "source", patients=25, size=80)
    salt = folder / "salt"
    files = build(folder / "source", folder / "release", salt)
    return Built(folder / "source", planted, salt, folder / "release", files)
