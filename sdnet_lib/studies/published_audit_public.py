"""What `sdnet audit` says of public data sets, of a drawn hospital and of drawn sets that were pooled.

The stored table has a row per question asked of a cohort: `cohort`, `images`, `patients`, `verdict`, `word`,
and of the finding its `name`, `level`, `goes_with`, and, where something was guessed, `auc, low, high`.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from tqdm import tqdm

from data_scripts.registry import load_cohort
from sdnet_lib.audit import findings, questions
from sdnet_lib.code_version import code_version
from sdnet_lib.config import cache_dir
from sdnet_lib.data.cohort import fingerprint
from sdnet_lib.studies.published import kept

COHORTS = (
    "covidx-mini",
    "actualmed",
    "shenzhen",
    "montgomery",
    "nih-pneumonia",
    "phantom",
    "phantom-biased",
)


def compute(data: Path) -> tuple[dict[str, pd.DataFrame], dict]:
    """Audit each cohort; see `published.store` for what is returned.

    Parameters
    ----------
    data : Path
        The folder that holds the public data sets.
    """
    code, tables, prints = code_version("sdnet_lib.audit.questions"), [], {}
    for name in tqdm(COHORTS, "cohorts audited", disable=None):
        cohort = load_cohort(name, data=data)
        prints[name] = fingerprint(cohort)
        file = cache_dir() / "audit-public" / f"{name}-{prints[name]}-{code}.parquet"
        tables.append(kept(file, lambda name=name, cohort=cohort: _rows(name, cohort)))
    return {"": pd.concat(tables, ignore_index=True)}, {"code": code, "fingerprints": prints}


def _rows(name: str, cohort: pd.DataFrame) -> pd.DataFrame:
    """Audit a cohort and return a row for each question."""
    found = questions.audit(cohort).findings
    shared = {
        "cohort": name,
        "images": len(cohort),
        "patients": cohort["patient_id"].nunique(),
        "verdict": findings.verdict(found),
        "word": findings.word(found),
    }
    guessed = ("auc", "low", "high")
    return pd.DataFrame(
        [
            shared
            | {"name": one.name, "level": one.level, "goes_with": one.goes_with}
            | {number: one.numbers.get(number) for number in guessed}
            for one in found
        ]
    )
