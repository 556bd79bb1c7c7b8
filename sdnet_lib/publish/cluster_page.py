"""The page ``book/cluster``: a study on many machines, and what the paper's protocol costs there."""

from __future__ import annotations

from sdnet_lib.config import get_profile
from sdnet_lib.evaluation.render import Table, number
from sdnet_lib.models.registry import title
from sdnet_lib.publish.templates import fill
from sdnet_lib.studies import budget, chapters, schedule

GPUS = (1, 8)
PROFILE = "paper"


def write() -> str:
    """Return the page as Markdown."""
    profile = get_profile(PROFILE)
    names, studies = chapters.approaches(PROFILE), budget.images_of_studies(profile)
    return fill(
        "cluster",
        costs=costs(),
        systems=", ".join(title(name) for name in names),
        runs=len(names) * profile.repeats * profile.folds * len(studies),
        repeats=profile.repeats,
        folds=profile.folds,
        devices=[budget.DEVICES[name] for name in budget.DEVICES],
    )


def costs() -> Table:
    """Return a row for each device: hours on one GPU and on several, and how much of these is work."""
    rows = []
    for device in budget.DEVICES:
        row = [device]
        for gpus in GPUS:
            ends, works = schedule.hours(device, gpus, get_profile(PROFILE))
            row += [number(ends, 1, 1), number(works / gpus / ends, 0)]
        rows.append(row)
    header = ["Device", *(text for n in GPUS for text in (f"Hours, GPUs: {n}", "Busy, %"))]
    return Table("The studies of chapters 6 to 8 in the profile paper, by a simulated schedule", header, rows)
