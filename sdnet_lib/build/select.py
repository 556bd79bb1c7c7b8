"""Which files of an archive become images of a release: the first rule that each breaks, none unexplained.

The rules of Section 3 of the paper on records are `data.release.judge`; here are those on files and tags that
come before it, and the draw that comes after.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from sdnet_lib.audit.same_films import pairs
from sdnet_lib.data import identifiers, release
from sdnet_lib.data.severity import POSITIVE_LEVELS
from sdnet_lib.files import InputError

DECADE = 10  # years that count as one age
JUDGED_BEFORE = ("not drawn when classes were balanced",)  # a rule of `judge` that `balance` takes over


def start(files: pd.DataFrame) -> pd.DataFrame:
    """Return the files of an archive with nothing decided: ``step, reason, detail`` are blank."""
    return files.assign(step="", reason="", detail="")


def leave_out(files: pd.DataFrame, step: str, reason: str, broken: pd.Series, detail: object = "") -> None:
    """Note the reason for those that break a rule and are still in; ``attrs["rules"]`` keeps the order."""
    files.attrs.setdefault("rules", []).append(reason)
    out = (files["reason"] == "") & broken.astype("boolean").fillna(False).astype(bool)
    files.loc[out, ["step", "reason"]] = step, reason
    files.loc[out, "detail"] = detail[out] if isinstance(detail, pd.Series) else detail


def by_tags(
    files: pd.DataFrame,
    *,
    views: Sequence[str] = ("PA",),
    machines: Sequence[str] = (),
    kvp: tuple[float, float] | None = None,
    burnt_in: bool = True,
) -> pd.DataFrame:
    """Leave out what the headers alone decide.

    Parameters
    ----------
    files : DataFrame
        Of `archive.inventory`.
    views : sequence of str
    machines : sequence of str
        Manufacturer, model and station as in ``machine``; by default the one with the most films.
    kvp : pair of float, optional
        The X-ray regime: lowest and highest tube voltage; any by default.
    burnt_in : bool
        Whether films may come whose header says that text is burnt in.

    Raises
    ------
    InputError
        A machine that no film has.
    """
    files = start(files)
    leave_out(files, "file", "no readable DICOM film", files["problem"] != "", files["problem"])
    leave_out(files, "tags", "not a plain X-ray", files["kind"] != "", files["kind"])
    leave_out(files, "tags", "part of the body not in the tags, or contradictory", files["body"] == "")
    leave_out(files, "tags", "not a chest", files["body"] != "CHEST", files["body"])
    leave_out(files, "tags", "view not in the tags, or contradictory", files["view"] == "")
    leave_out(files, "tags", f"view is not {' or '.join(views)}", ~files["view"].isin(views), files["view"])
    for column, reason in (
        ("patient_id", "no patient"),
        ("uid", "no SOPInstanceUID"),
        ("machine", "no machine"),
    ):
        leave_out(files, "tags", reason, files[column] == "")
    leave_out(files, "tags", "sex neither F nor M", ~files["sex"].isin(["F", "M"]))
    leave_out(files, "tags", "no time that can be trusted", files["taken"].isna())
    if not burnt_in:
        leave_out(files, "tags", "text burnt in, says the header", files["burnt_in"] == "YES")
    left = files["reason"] == ""
    owners = files[left].groupby("uid")["patient_id"].nunique()
    leave_out(files, "tags", "one film under two patients", files["uid"].map(owners) > 1)
    again = files[files["reason"] == ""]["uid"].duplicated().reindex(files.index, fill_value=False)
    leave_out(files, "tags", "same film in another file", again)
    left = files["reason"] == ""
    known = files.loc[left, "machine"]
    if unknown := sorted(set(machines) - set(known)):
        raise InputError(f"--machine {unknown[0]}: no such film; there are {', '.join(sorted(set(known)))}")
    kept = list(machines) or known.mode().tolist()[:1]
    leave_out(files, "tags", "another machine", ~files["machine"].isin(kept))
    if kvp is not None:
        leave_out(files, "tags", f"not {kvp[0]:g} to {kvp[1]:g} kV", ~files["kvp"].between(*kvp))
    return files


def by_records(
    files: pd.DataFrame,
    pcr: pd.DataFrame,
    readings: pd.DataFrame,
    signatures: dict[str, np.ndarray],
    **rules: object,
) -> pd.DataFrame:
    """Leave out what `data.release.judge` decides: twins, RT-PCR, readings, later films of a patient.

    Parameters
    ----------
    files : DataFrame
        Of `by_tags`.
    pcr, readings : DataFrame
        Of `tables`.
    signatures : dict of arrays
        By ``uid``, of the films that are still in; see `data.duplicates.signature`.
    **rules
        Of `judge`.

    Returns
    -------
    DataFrame
        With ``label, severity, rale`` too.
    """
    left = files[files["reason"] == ""]
    check_ids(left, pcr, readings)
    studies = left.assign(study_id=left["uid"], picture=pictures(left["uid"], signatures))
    views, machines = sorted(set(studies["view"])), sorted(set(studies["machine"]))
    judged = release.judge(
        studies.drop(columns=["step", "reason", "detail"]),
        pcr,
        matched(left, readings),
        views=views,
        machines=machines,
        balanced=False,
        **rules,
    )
    judged.index = left.index
    files = files.assign(label="", severity="", rale=pd.NA)
    files.loc[left.index, ["label", "severity"]] = judged[["label", "severity"]]
    files["rale"] = judged["rale"].reindex(files.index)
    for reason in judged["reason"].cat.categories.drop([release.RELEASED, *JUDGED_BEFORE]):
        leave_out(files, "records", reason, (judged["reason"] == reason).reindex(files.index))
    return files


def check_ids(files: pd.DataFrame, pcr: pd.DataFrame, readings: pd.DataFrame) -> None:
    """Refuse ids that may mean one patient but are written in two ways.

    Raises
    ------
    InputError
    """
    ids = list(dict.fromkeys([*files["patient_id"], *pcr["patient_id"], *readings["patient"]]))
    if found := identifiers.ambiguous(ids):
        one, two = (ids[place] for place in found)
        raise InputError(
            f"patients {one!r} and {two!r} may be one: write ids in tables and DICOM alike, "
            "or so that more than zeros and capitals differ"
        )


def matched(films: pd.DataFrame, readings: pd.DataFrame) -> pd.DataFrame:
    """Return the readings once for each film that they are about, with its ``study_id``.

    A reading names a study, by accession number, StudyInstanceUID or SOPInstanceUID, or a patient; if it
    names both, both must be the film's.
    """
    keys = ["accession", "study_uid", "uid"]
    named = films[[*keys, "patient_id"]].melt(["patient_id"], keys, value_name="study", ignore_index=False)
    named = named[named["study"] != ""].reset_index(names="film").drop_duplicates(["film", "study"])
    own = films.reset_index(names="film")[["film", "patient_id"]]
    by_study = readings[readings["study"] != ""].merge(named, on="study")
    by_patient = readings[readings["study"] == ""].merge(own, left_on="patient", right_on="patient_id")
    found = pd.concat([by_study, by_patient])
    found = found[(found["patient"] == "") | (found["patient"] == found["patient_id"])]
    found["study_id"] = films["uid"].reindex(found["film"]).to_numpy()
    return found[["study_id", "reader", "read_at", "score"]].reset_index(drop=True)


def pictures(uids: pd.Series, signatures: dict[str, np.ndarray]) -> pd.Series:
    """Give the films that are the same picture one number, chains included; missing where there is none."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if len(uids) < 2:
        return pd.Series(pd.NA, uids.index, dtype="Int64")
    same = pairs(np.array([signatures[uid] for uid in uids]))
    edges = (np.ones(len(same)), (same["first"], same["second"]))
    number = connected_components(coo_array(edges, shape=(len(uids),) * 2), directed=False)[1]
    groups = pd.Series(number, uids.index, dtype="Int64")
    return groups.where(groups.duplicated(keep=False))


def balance(files: pd.DataFrame, keys: Sequence[str], salt_order: pd.Series) -> pd.DataFrame:
    """Leave out what a draw does not take, so that classes are alike in what is asked.

    First, if ``severity`` is asked, each level of the positives is cut to the smallest. Then, within each sex
    or decade of age that is asked, each class is cut to the smaller one.

    Parameters
    ----------
    files : DataFrame
        Of `by_records`.
    keys : sequence of str
        From `protocol.BALANCE`; none for no draw.
    salt_order : Series
        Who comes first: the order of pseudonyms, which nobody chose.
    """
    if "severity" in keys:
        levels = files["severity"].where((files["reason"] == "") & (files["label"] == "P"))
        counts = [(levels == level).sum() for level in POSITIVE_LEVELS]
        least = min(filter(None, counts), default=0)
        leave_out(files, "balance", "not drawn: levels alike", _place(files, levels, salt_order) >= least)
    if set(keys) - {"severity"}:
        stratum = _strata(files, keys)
        place = _place(files, stratum + files["label"], salt_order)
        left = files[files["reason"] == ""]
        counts = left.groupby([stratum, "label"]).size().unstack(fill_value=0).reindex(columns=["N", "P"])
        least = stratum.map(counts.fillna(0).min(axis=1)).fillna(0)
        asked = [key for key in keys if key in ("sex", "age")]
        words = f" in {' and '.join(asked)}" if asked else ""
        leave_out(files, "balance", f"not drawn: classes alike{words}", place >= least)
    return files


def _strata(files: pd.DataFrame, keys: Sequence[str]) -> pd.Series:
    stratum = pd.Series("", files.index)
    if "sex" in keys:
        stratum += files["sex"] + " "
    if "age" in keys:
        stratum += (pd.to_numeric(files["age"], errors="coerce") // DECADE).astype(str) + " "
    return stratum


def _place(files: pd.DataFrame, group: pd.Series, order: pd.Series) -> pd.Series:
    """Return the place of each file that is still in within its group, from 0; NaN for others."""
    left = group[(files["reason"] == "") & group.notna()]
    sorted_ = left.loc[order.loc[left.index].sort_values().index]
    return sorted_.groupby(sorted_).cumcount().reindex(files.index)


def flow(files: pd.DataFrame) -> pd.DataFrame:
    """Count the rules that left something out, in their order, as `data.release.flow` does."""
    counts = files["reason"].value_counts()
    rules = [rule for rule in dict.fromkeys(files.attrs["rules"]) if rule in counts]
    excluded = [0, *counts[rules]]
    left = len(files) - np.cumsum(excluded)
    return pd.DataFrame({"rule": ["in the archive", *rules], "excluded": excluded, "left": left})
