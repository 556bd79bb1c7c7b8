import pytest

from sdnet_lib.lungs import unet
from sdnet_lib.phantom import cohorts


@pytest.fixture(scope="session")
def model():
    return unet.load()


@pytest.fixture(scope="session")
def cohort(tmp_path_factory):
    return cohorts.homogeneous(6, 5, tmp_path_factory.mktemp("phantoms") / "cohort", size=200, workers=1)
