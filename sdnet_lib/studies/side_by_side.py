"""How many runs of a study go side by side: one per core, and on a GPU what fills it and its memory holds.

Runs that share a card must not shrink each other's batches (`models.micro_batches`), or numbers would depend
on how many there are: so the last to begin must still find twice what it needs. No GPU has tried it yet.
"""

from __future__ import annotations

from collections.abc import Sequence

from joblib import cpu_count

from sdnet_lib.config import Profile, pick_device
from sdnet_lib.models import batches, registry
from sdnet_lib.studies import crossval
from sdnet_lib.studies.study import Study

UNCOUNTED = ("bayesian-resnet50v2",)  # timm builds its backbone from values, which a budget's tensors lack
ASKING = 0.015  # seconds that a processor takes to ask a GPU for a step, however short: assumed


def at_a_time(study: Study, approaches: Sequence[str]) -> int:
    """Return how many runs of a study go side by side if nobody says; at least one."""
    if pick_device().type != "cuda":
        return crossval.default_jobs()
    from sdnet_lib.studies import budget  # takes seconds

    free, rate, found = batches.free_memory(pick_device()), budget.device().rate, [cpu_count()]
    for approach in map(registry.find, approaches):
        if approach.frozen or approach.name in UNCOUNTED:  # what asks and hardly learns: one after the other
            return 1
        own = study.profile_of(approach)
        fit = fitting(free, needed(approach.name, own, len(study.cohort)))
        found += [fit, filling(budget.longest_step(approach.name, own).operations, rate)]
    return min(found)


def needed(name: str, profile: Profile, images: int) -> float:
    """Return the bytes that a run of an approach takes of a GPU."""
    from sdnet_lib.studies import budget

    cost = budget.study([name], profile, images, budget.Setting.of(profile, mixed=True))
    return budget.memory(cost, mixed=True)


def fitting(free: float, run: float) -> int:
    """Return how many runs of so many bytes fit, of which the last finds twice its own; at least one."""
    return max(1, int(free / run) - 1)


def filling(operations: float, rate: float) -> int:
    """Return how many steps of so many operations a GPU does while a processor asks for one; at least one."""
    return max(1, int(ASKING * rate / operations))
