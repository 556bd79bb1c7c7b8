from collections.abc import Callable

import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure


@pytest.fixture
def drawn() -> Callable[[Figure], Figure]:
    """Draw a figure, so that errors that appear only in drawing are met; check what holds for all figures."""

    def draw(figure: Figure) -> Figure:
        figure.canvas.draw()
        assert not plt.get_fignums()  # a notebook would show it twice
        texts = figure.findobj(lambda artist: hasattr(artist, "get_fontsize"))
        assert all(text.get_fontsize() >= 9 for text in texts if text.get_text())
        inches = figure.dpi_scale_trans.inverted()
        for key in figure.legends:
            place = key.get_window_extent().transformed(inches)
            assert place.x0 > -0.1 and place.x1 < figure.get_figwidth() + 0.1  # nothing is cut off
            assert not any(place.overlaps(axis.bbox.transformed(inches)) for axis in figure.axes)
        return figure

    return draw
