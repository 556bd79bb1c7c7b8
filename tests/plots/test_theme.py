import subprocess
import sys
from importlib import import_module

import matplotlib as mpl
import numpy as np
import pytest

from sdnet_lib import plots
from sdnet_lib.plots.colours import CLASS_COLOURS
from sdnet_lib.plots.theme import CYCLE, looks

PANEL = """
import sys
from pathlib import Path
import numpy as np
from sdnet_lib import plots
maps = np.zeros((2, 16, 16))
plots.write_panel(np.zeros((16, 16)), maps, "title", "P", "note", Path(sys.argv[1]), "warning")
print(*sorted({"matplotlib.pyplot", "seaborn", "pandas"} & set(sys.modules)))
"""


def test_every_name_of_the_package_can_be_used():
    for module in plots.MODULES:
        import_module(f"sdnet_lib.plots.{module}")  # a module of the same name would hide a figure
    assert all(callable(getattr(plots, name)) for name in dir(plots) if name.islower())
    with pytest.raises(AttributeError, match="no attribute 'pie'"):
        plots.pie  # noqa: B018


def test_a_panel_is_composed_without_a_plotting_library(tmp_path):
    file = tmp_path / "panel.png"
    done = subprocess.run([sys.executable, "-c", PANEL, file], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "" and file.stat().st_size


def test_style_leaves_no_trace():
    before = dict(mpl.rcParams)
    plots.contact_sheet([np.zeros((4, 4))], [""])
    assert dict(mpl.rcParams) == before


def test_no_two_of_ten_approaches_look_alike():
    names = [str(number) for number in range(10)]
    for second in ("marker", "linestyle"):
        found = looks(names, "color", second)
        assert len({(found["color"][name], found[second][name]) for name in names}) == 10
    assert len(set(CYCLE)) == len(CYCLE) and CLASS_COLOURS["N"] != CLASS_COLOURS["P"]
