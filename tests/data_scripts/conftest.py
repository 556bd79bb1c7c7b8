"""A cache for each test, and a server on this machine in GitHub's place."""

import pytest

from data_scripts import download
from tests.data_scripts.served import Server


@pytest.fixture(autouse=True)
def empty_cache(tmp_path_factory, monkeypatch):
    """An empty cache for each test, and no waiting between tries."""
    monkeypatch.setenv("SDNET_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr(download, "WAIT", 0.0)


@pytest.fixture
def server(monkeypatch):
    made = Server()
    for address in ("GITHUB_API", "GITHUB_ARCHIVES", "GITHUB_FILES"):
        monkeypatch.setattr(download, address, made.url)
    yield made
    made.http.shutdown()
    made.http.server_close()
