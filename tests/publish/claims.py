"""What the chapters say whatever the seed: planned failures, repairs and conclusions, by the glued numbers.

Sentences that a run chooses itself (`evaluation.verdicts`) cannot be wrong and are not here. A claim holds in
the `quick` profile, on the synthetic cohort; `tests.publish.seeds` runs the chapters with several seeds and
looks. Ranks and differences that the chapters call undecided are no claims.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

NUMBER = re.compile(r"[-−]?\d+(?:\.\d+)?")


class Claim(NamedTuple):
    """A sentence of a chapter, and whether its numbers bear it out."""

    sentence: str
    holds: Callable[[Glued], bool]


class Glued(dict):
    """The texts that an executed chapter glued, by name without the chapter's prefix."""

    def number(self, name: str, place: int = 0) -> float:
        """Return the first number of a text, or a later one, such as a bound."""
        return float(NUMBER.findall(self[name])[place].replace("−", "-"))

    def above(self, *names: str) -> bool:
        """Say whether each of these numbers is above the next."""
        values = [self.number(name) for name in names]
        return all(one > other for one, other in zip(values, values[1:], strict=False))


def read(notebook: Path, chapter: str) -> Glued:
    """Return what an executed notebook glued."""
    found = Glued()
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        for output in cell.get("outputs", []):
            if name := output.get("metadata", {}).get("scrapbook", {}).get("name"):
                text = "".join(next(iter(output["data"].values())))
                found[name.removeprefix(f"c{int(chapter)}_")] = text.strip("'")
    return found


CLAIMS: Mapping[str, tuple[Claim, ...]] = {
    "01": (
        Claim("the place alone tells the label", lambda n: n.number("place_tells") > 75),
        Claim("the network does well at home", lambda n: n.number("auc") > 0.9),
        Claim("and nearly as well without lungs", lambda n: n.number("blank_auc") > 0.8),
        Claim("in another hospital it falls", lambda n: n.above("auc", "away_auc")),
        Claim("in the mixture the border gives the label away", lambda n: n.number("here_border") > 0.8),
        Claim("and so does the unopened file", lambda n: n.number("here_file") > 0.9),
        Claim(
            "in the honest cohort the border gives less", lambda n: n.above("here_border", "elsewhere_border")
        ),
        Claim("and so does the file", lambda n: n.above("here_file", "elsewhere_file")),
        Claim("the audit says red of the mixture", lambda n: n["audit_here"] == "red"),
        Claim("and not of the honest cohort", lambda n: n["audit_elsewhere"] != "red"),
    ),
    "02": (
        Claim(
            "of a careless cohort view and machine tell the label", lambda n: n.number("careless_guess") > 0.6
        ),
        Claim("and some labels are wrong", lambda n: n.number("careless_wrong") > 5),
        Claim("the rules repair them", lambda n: n.above("careless_wrong", "rules_wrong")),
        Claim("likeness finds copies that bytes miss", lambda n: n.above("copies_seen", "copies_bytes")),
        Claim("the severe pay for it", lambda n: n.above("severe_archive", "severe_release")),
        Claim("extent and density rise together", lambda n: n.number("spearman") > 0.8),
    ),
    "03": (
        Claim("the U-Net finds lungs that it has never seen", lambda n: n.number("dice") > 0.9),
        Claim("with the paper's margin lungs stay whole", lambda n: n.number("whole") > 95),
        Claim("a good part of the film goes", lambda n: n.number("image_kept") < 80),
        Claim("lungs are found in all", lambda n: n.number("found") == n.number("found", 1)),
        Claim(
            "the biased cohort is easier than the honest one",
            lambda n: n.above("auc_biased_whole", "auc_honest_whole"),
        ),
    ),
    "04": (
        Claim("more lambda, more change", lambda n: n.above("change_high", "change_low")),
        Claim("the leak looks better than the originals", lambda n: n.above("own", "auc_originals")),
        Claim("with the other generator the answer turns round", lambda n: n.number("crossed") < 0.5),
    ),
    "05": (
        Claim("augmented as one, twins stay as they were", lambda n: n.number("gap_together") == 0),
        Claim("apart, they differ", lambda n: n.above("gap_apart", "gap_together")),
        Claim("apart, by more than by their generators", lambda n: n.above("gap_apart", "gap_generators")),
        Claim("the sign is read nearly always", lambda n: n.number("sign") > 95),
        Claim("the letter less often", lambda n: n.above("sign", "letter")),
        Claim(
            "the three cases are all patients",
            lambda n: sum(n.number(f"case_{case}") for case in "abc") == n.number("tested"),
        ),
        Claim("calibrated probabilities are better", lambda n: n.above("brier_fusion", "calibrated")),
    ),
    "06": (
        Claim("splits disagree about segmentation", lambda n: n.number("best") - n.number("worst") >= 5),
        Claim(
            "a repetition varies less than a split",
            lambda n: (
                n.number("long_split", 1) - n.number("long_split")
                > n.number("long_repetition", 1) - n.number("long_repetition")
            ),
        ),
        Claim("the plain t-test cries wolf", lambda n: n.number("plain") > 15),
        Claim("the corrected one does as it promises", lambda n: 2 <= n.number("corrected") <= 9),
    ),
    "07": (
        Claim("some printed numbers do not fit their neighbours", lambda n: n.number("found") > 0),
        Claim("most of them do", lambda n: n.number("cells") > 5 * n.number("found")),
        Claim(
            "patients who are not counted raise the accuracy",
            lambda n: n.above("accuracy_not_counted", "accuracy_everybody"),
        ),
        Claim(
            "trained without them, networks find fewer of the others",
            lambda n: n.above("sensitivity_not_counted", "sensitivity_anew"),
        ),
        Claim(
            "and raise fewer false alarms", lambda n: n.above("specificity_anew", "specificity_not_counted")
        ),
    ),
    "08": (
        Claim("a network that looks blind at one half ranks", lambda n: n.number("shy_auc", 1) > 0.5),
        Claim("the best ranks better than a coin", lambda n: n.number("auc", 1) > 0.7),
        Claim("where half are ill most alarms are right", lambda n: n.number("half") > 50),
        Claim("where illness is rare most alarms are false", lambda n: n.number("rare") < 50),
    ),
    "09": (
        Claim("the expert knows more than the beginner", lambda n: n.above("auc_expert", "auc_beginner")),
        Claim("Grad-CAM points better than chance", lambda n: n.above("cam_hit", "floor")),
        Claim("its energy is above the area of lesions", lambda n: n.above("cam_energy", "floor")),
        Claim("the best order falls before a random one", lambda n: n.above("random_area", "falls_area")),
        Claim("the planted network looks good", lambda n: n.number("as_learned") > 0.9),
        Claim("without the plate it is worse", lambda n: n.above("as_learned", "removed")),
        Claim("with the plate on the negatives it is upside down", lambda n: n.number("moved", 2) < 0.5),
        Claim("some map convicts it", lambda n: n["convict"] != "none"),
        Claim("the plate is inside some crops", lambda n: n.number("in_crops") > 0),
    ),
    "10": (
        Claim("a planted marker condemns the cohort", lambda n: n["faulty"] == "red"),
        Claim("and is called by its name", lambda n: "marker" in n["named"].split(", ")),
        Claim(
            "after the repair it knows nothing", lambda n: n["left"] == "nothing" or n.number("left") < 0.65
        ),
    ),
}


def contradictions(chapter: str, glued: Glued) -> list[str]:
    """Return the sentences of a chapter that its numbers contradict."""
    return [claim.sentence for claim in CLAIMS[chapter] if not claim.holds(glued)]
