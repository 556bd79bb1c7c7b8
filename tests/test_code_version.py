"""The version of code follows what code does, and nothing else."""

import pytest

from sdnet_lib import code_version

SOURCE = '''"""What it is for."""
from sdnet_lib.b import two


def one(x):
    """Return x."""
    return f"{x!r} {two:.2f}"
'''


@pytest.fixture
def version(tmp_path, monkeypatch):
    """Write modules and return the version of `sdnet_lib.a`."""
    monkeypatch.setattr(code_version, "ROOT", tmp_path)

    def of(**modules: str) -> str:
        for name, text in ({"a": SOURCE, "b": "two = 2", "files": "", "other": ""} | modules).items():
            file = tmp_path / "sdnet_lib" / f"{name}.py"
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        code_version._module.cache_clear()
        return code_version.code_version("sdnet_lib.a")

    yield of
    code_version._module.cache_clear()


def test_a_comment_a_docstring_and_the_layout_do_not_count(version):
    first = version()
    assert version(a=SOURCE.replace("def one(x)", "# why\ndef one(\n    x,\n)")) == first
    assert version(a=SOURCE.replace("Return x.", "Return the x.").replace("What it", "All that it")) == first
    assert version(a=SOURCE.replace('    """Return x."""\n', "")) == first
    assert version(other="x = 1") == first


@pytest.mark.parametrize(("old", "new"), [("x!r", "x!s"), (".2f", ".3f"), ("(x)", "(x=1)"), ("one", "once")])
def test_what_code_does_counts(version, old, new):
    assert version(a=SOURCE.replace(old, new)) != version()


def test_what_is_imported_counts_at_any_depth_but_not_what_cannot_alter_a_number(version):
    first = version()
    assert version(b="two = 3") != first
    through = {"b": "from sdnet_lib import c\ntwo = 2\n\n\ndef late():\n    import sdnet_lib.d"}
    deep = version(**through, c="c = 1", d="d = 1")
    assert deep != first and version(**through, c="c = 2", d="d = 1") != deep
    assert version(**through, c="c = 1", d="d = 2") != deep
    writing = version(b="from sdnet_lib import files\ntwo = 2", files="x = 1")
    assert version(b="from sdnet_lib import files\ntwo = 2", files="x = 2") == writing


def test_the_version_of_a_run_follows_its_own_approach_and_what_all_share():
    from sdnet_lib.studies.provenance import code_of

    cnn, crop, caps = (code_of(name) for name in ("resnet50", "resnet50-crop", "covid-caps"))
    assert cnn == crop and cnn["shared"] == caps["shared"] and cnn["hash"] != caps["hash"]
