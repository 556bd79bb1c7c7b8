"""What lies beside the films of a release: counts, flow diagram, agreement of readers, and the data sheet."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from sdnet_lib import __version__, plots
from sdnet_lib.data.release import table3
from sdnet_lib.files import whole, write_json, write_text
from sdnet_lib.files.templates import environment
from sdnet_lib.names import csv_text

SHEET, FACTS = "data_sheet.md", "release.json"


def write(
    folder: Path,
    cohort: pd.DataFrame,
    flow: pd.DataFrame,
    agreement: pd.DataFrame,
    facts: dict,
    made: dict[str, dict],
) -> None:
    """Write ``flow.csv``, ``flow.png``, ``table3.csv``, ``agreement.csv``, `FACTS` and `SHEET`.

    Parameters
    ----------
    folder : Path
    cohort, flow, agreement : DataFrame
        Of `make`, `select.flow` and `readers.agreement`.
    facts : dict
        The protocol, counts of the source, a fingerprint of the salt.
    made : dict
        By image: ``masked`` lines of text and the ``laterality`` of its marker.
    """
    counts = table3(cohort)
    write_text(folder / "flow.csv", csv_text(flow))
    write_text(folder / "table3.csv", csv_text(counts.reset_index()))
    write_text(folder / "agreement.csv", csv_text(agreement.round(3)))
    released = {
        "negative": int((cohort["label"] == "N").sum()),
        "positive": int((cohort["label"] == "P").sum()),
    }
    with whole(folder / "flow.png") as part:
        plots.flow_diagram(flow, released).savefig(part, format="png", metadata={"Software": None})
    write_json(folder / FACTS, facts | {"version": __version__, "images": released})
    words = {
        **facts,
        "images": released,
        "patients": cohort["patient_id"].nunique(),
        "flow": flow,
        "table3": counts.reset_index(),
        "agreement": agreement.round(2),
        "ages": ages(cohort),
        "machines": cohort.groupby(["machine", "label"]).size().unstack(fill_value=0).reset_index(),
        "masked": sum(facts["masked"] for facts in made.values()),
        "markers": markers(cohort, made),
        "version": __version__,
    }
    template = environment(Path(__file__).parent).get_template("data_sheet.md.jinja")
    write_text(folder / SHEET, template.render(words) + "\n")


def ages(cohort: pd.DataFrame) -> pd.DataFrame:
    """Count films by decade of age and class; unknown ages have a row of their own."""
    decade = pd.to_numeric(cohort["age"], errors="coerce") // 10 * 10
    named = decade.map(lambda years: "unknown" if pd.isna(years) else f"{years:.0f} to {years + 9:.0f}")
    return cohort.groupby([named, "label"]).size().unstack(fill_value=0).rename_axis("age").reset_index()


def markers(cohort: pd.DataFrame, made: dict[str, dict]) -> pd.DataFrame:
    """Count films with a marker of laterality by class: a shortcut where the classes differ."""
    found = pd.Series([made[name]["laterality"] != "" for name in cohort["image_id"]], name="marker")
    return found.groupby(cohort["label"].to_numpy()).agg(["sum", "size"]).rename_axis("class").reset_index()
