"""What the pages play with: pictures are synthetic and small, numbers are the library's."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from sdnet_lib.publish import course_toys


def test_a_patient_has_a_film_and_eight_layers():
    for page in (course_toys.severity_slider(1).data, course_toys.rale_parts(1).data):
        assert page.count("data:image/webp") == 9 and len(page) < 100_000
        assert "Score 4: Moderate" in page


def test_the_parts_lie_on_the_film():
    for left, top, width, height in course_toys._patient(2)["boxes"].values():
        assert 0 <= left < left + width <= 100 and 0 <= top < top + height <= 100


def test_measures_by_hand():
    images = pd.DataFrame({"label": list("NNNNPP"), "prob_P": [0.1, 0.2, 0.3, 0.9, 0.4, 0.8]})
    values = course_toys.measure(images, threshold=0.5, prevalence=0.5, cost=0.2)
    expected = [0.5, 0.75, 0.5 / 0.75, 0.75 / 1.25, 100 * (0.25 - 0.2 * 0.125)]
    assert list(values.values()) == pytest.approx(expected)


def test_the_page_has_the_predictions_and_escapes_names():
    images = pd.DataFrame({"label": ["N", "P"], "prob_P": [0.25, 0.75]})
    page = course_toys.threshold_sliders(images, "<b>ours").data
    assert json.loads(re.search(r"json\">(.*?)</script>", page)[1]) == {"N": [0.25], "P": [0.75]}
    assert "<b>" not in page


def test_heat_maps_are_transparent_where_they_are_zero():
    heat = np.zeros((32, 32))
    heat[:8] = 1
    page = course_toys.heat_maps(np.zeros((32, 32)), {"grad-cam": heat, "lrp": heat}).data
    assert page.count("toy-layer") == 2 and page.count("checked") == 1
