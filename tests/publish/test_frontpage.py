"""The picture of the front page."""

from sdnet_lib.publish import frontpage


def test_the_front_page_shows_one_patient_at_each_severity():
    figure = frontpage.draw(size=64)
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["Negative", "Mild", "Moderate", "Severe"]
    assert all(len(axis.patches) == 1 for axis in figure.axes)
    lesions = [len(axis.collections) - 1 for axis in figure.axes]
    assert lesions == [0, 1, 1, 1]
