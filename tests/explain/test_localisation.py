import numpy as np
import pandas as pd
import pytest

from sdnet_lib.explain import localisation


def made(seed: int, n: int = 60, **means: float) -> pd.DataFrame:
    """Energies of several methods for the same images, two images a patient."""
    rng = np.random.default_rng(seed)
    image = rng.normal(0, 0.3, n)
    ids = [f"i{number}" for number in range(n)]
    parts = [
        pd.DataFrame(
            {
                "image_id": ids,
                "patient_id": [f"p{number // 2}" for number in range(n)],
                "method": method,
                "energy_lesions": mean + image + rng.normal(0, 0.02, n),
            }
        )
        for method, mean in means.items()
    ]
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("seed", range(5))
def test_methods_are_compared_with_the_baselines_image_by_image(seed):
    """Images differ far more than methods do; pairs show it all the same."""
    table = made(seed, good=0.5, poor=0.3, uniform=0.3, edges=0.35)
    found = localisation.less_baselines(table, ["energy_lesions"]).set_index(["method", "baseline"])
    assert set(found.index) == {(a, b) for a in ("good", "poor") for b in ("uniform", "edges")}
    assert found.loc[("good", "uniform"), "mean"] == pytest.approx(0.2, abs=0.02)
    assert (found.loc["good", "low"] > 0.1).all()
    assert found.loc[("poor", "edges"), "high"] < 0
    assert found.loc[("poor", "uniform"), "mean"] == pytest.approx(0, abs=0.01)


def test_a_map_without_anything_points_nowhere():
    table = made(0, good=0.5, uniform=0.3, edges=0.3)
    blank = table.copy()
    blank.loc[blank["method"] == "good", "energy_lesions"] = np.nan
    found = localisation.less_baselines(blank, ["energy_lesions"])
    expected = -table.loc[table["method"] == "uniform", "energy_lesions"].mean()
    assert found["mean"].iloc[0] == pytest.approx(expected) and (found["images"] == 60).all()


@pytest.mark.parametrize("seed", range(5))
def test_two_networks_are_compared_image_by_image(seed):
    """What knows no network is the same for both; a map without anything counts as zero."""
    suspect = made(seed, guilty=0.5, fair=0.3, edges=0.35)
    innocent = made(seed, guilty=0.3, fair=0.3, edges=0.35).sample(frac=1, random_state=seed)
    innocent.loc[innocent["method"] == "edges", "energy_lesions"] = np.nan
    edges = suspect.loc[suspect["method"] == "edges", "energy_lesions"]
    found = localisation.less_another(suspect, innocent, ["energy_lesions"]).set_index("method")
    assert found.loc["guilty", "low"] > 0.1 and abs(found.loc["fair", "mean"]) < 0.01
    assert found.loc["edges", "mean"] == pytest.approx(edges.mean()) and (found["images"] == 60).all()
