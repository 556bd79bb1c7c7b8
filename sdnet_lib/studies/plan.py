"""A study's plan as text: which runs are done, which are to be done, and how long that may take."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sdnet_lib.studies.study import DAMAGED, DONE, MISSING, OLDER, UNCHECKED, Run


def describe(plan: pd.DataFrame, jobs: int) -> str:
    """Return a plan as text: how many runs are in which state, and the time that is still to be spent."""
    kinds = [DONE, OLDER, DAMAGED, MISSING]
    head = f"{'approach':24}{'done':>6}{'older code':>12}{'damaged':>9}{'missing':>9}"
    lines = [f"{head}{'s a run':>10}{'minutes left':>14}"]
    for name, runs in plan.groupby("approach", sort=False):
        done, *others = (int((runs["state"].replace(UNCHECKED, DONE) == kind).sum()) for kind in kinds)
        todo, mean = sum(others), runs["seconds"].mean()
        known = not np.isnan(mean)
        each = f"{mean:.0f}" if known else "unknown"
        left = f"{todo * mean / min(jobs, max(1, todo)) / 60:.1f}" if known else "unknown"
        older, damaged, missing = others
        lines.append(f"{name:24}{done:6}{older:12}{damaged:9}{missing:9}{each:>10}{left:>14}")
    for row in plan[plan["silent"] > 0].itertuples():
        run = Run(row.approach, row.repeat, row.fold)
        lines.append(f"no answer: {run} gave no number for {row.silent} images, which count nowhere")
    counts = plan["state"].value_counts()
    done, unchecked = (int(counts.get(state, 0)) for state in (DONE, UNCHECKED))
    if done + unchecked + counts.get(MISSING, 0) < len(plan):
        lines.append("runs of older code, and damaged ones, are done again")
    if unchecked:
        lines.append(
            f"{unchecked} of those done are of an early version, without checksum and version of code"
        )
    lines.append(f"{done + unchecked} of {len(plan)} runs done, {jobs} at a time")
    return "\n".join(lines)
