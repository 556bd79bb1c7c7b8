"""No damage passes; `python -m tests.faults.damage` tries a thousand of each kind."""

import pytest

from tests.faults import damage


@pytest.mark.long
def test_no_damage_passes_unnoticed():
    found = damage.table(20).set_index("kind")
    assert set(found.index) == set(damage.KINDS) and (found["tried"] == 20).all()
    assert (found["noticed"] + found["harmless"] == 20).all(), found.to_string()
    assert (found["noticed"] >= 18).all(), found.to_string()  # what is harmless is rare
