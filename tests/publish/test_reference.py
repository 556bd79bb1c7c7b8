"""The library reference shows what notebooks import, and its types lead to the right place offline."""

import importlib
import importlib.util
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("library_reference", ROOT / "book/_ext/library_reference.py")
library_reference = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(library_reference)
MODULES = [
    name
    for page in sorted((ROOT / "book/reference").glob("*.md"))
    for name in re.findall(r"automodule:: (\S+)", page.read_text())
]


@pytest.mark.parametrize(
    "type_, address",
    [
        ("pd.DataFrame", "https://pandas.pydata.org/docs/reference/api/pandas.DataFrame.html"),
        ("DataFrame", "https://pandas.pydata.org/docs/reference/api/pandas.DataFrame.html"),
        ("np.ndarray", "https://numpy.org/doc/stable/reference/generated/numpy.ndarray.html"),
        ("Path", "https://docs.python.org/3/library/pathlib.html#pathlib.Path"),
        ("nn.Module", "https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html"),
        ("Tensor", "https://docs.pytorch.org/docs/stable/tensors.html#torch.Tensor"),
        (
            "collections.abc.Mapping",
            "https://docs.python.org/3/library/collections.abc.html#collections.abc.Mapping",
        ),
        ("torch.device", "https://docs.pytorch.org/docs/stable/tensor_attributes.html#torch.device"),
        ("torch.nonsense", None),
        ("float array", None),
        ("optional", None),
    ],
)
def test_types_of_other_projects_have_addresses(type_, address):
    assert library_reference.address(type_) == address


def test_aliases_name_what_exists():
    for name in library_reference.ALIASES.values():
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name


def test_the_reference_shows_what_notebooks_import():
    asked = set()
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        text = notebook.read_text()
        for package, names in re.findall(r'"from (sdnet_lib\.[\w.]+) import ([\w, ]+)', text):
            for name in names.split(", "):
                full = f"{package}.{name.strip()}"
                asked.add(full if importlib.util.find_spec(package).submodule_search_locations else package)
    asked = {name for name in asked if importlib.util.find_spec(name)}
    assert asked - set(MODULES) - {"sdnet_lib.plots"} == set()


def test_every_page_of_the_reference_is_in_the_table_of_contents():
    toc = (ROOT / "_toc.yml").read_text()
    for page in (ROOT / "book/reference").glob("*.md"):
        assert f"book/reference/{page.stem}\n" in toc
        assert f"(reference/{page.name})" in (ROOT / "book/reference.md").read_text()


def test_the_page_on_citing_agrees_with_citation_cff():
    page, citation = (ROOT / "book/cite.md").read_text(), yaml.safe_load((ROOT / "CITATION.cff").read_text())
    paper = citation["preferred-citation"]
    for value in (citation["version"], citation["title"], paper["doi"], paper["journal"], paper["title"]):
        assert f"{{{value}}}" in page
    assert f"## {citation['version']}" in (ROOT / "book/changelog.md").read_text()
