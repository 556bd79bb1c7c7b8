"""What a card decides for `sdnet predict`: from which probability on an image is P, and the kind of map."""

from __future__ import annotations

from collections.abc import Sequence

from sdnet_lib.studies.model_file import Model

SPECIFICITY = 0.95  # that the label keeps, if the card has a threshold for it
HALF = 0.5  # where the label turns if no card says better


def _stated(models: Sequence[Model]) -> dict | None:
    """Return the card's row for `SPECIFICITY`; none for several models, whose mean nobody has tested."""
    rows = models[0].card.get("thresholds", []) if len(models) == 1 else []
    return next((row for row in rows if row["specificity"] == SPECIFICITY), None)


def turns_at(models: Sequence[Model]) -> float:
    """Return the probability of P from which on an image is labelled P."""
    row = _stated(models)
    return row["threshold"] if row else HALF


def said(models: Sequence[Model]) -> str:
    """Say where the label turns, and what that is worth."""
    row = _stated(models)
    if row is None:
        return f"Label P from a probability of {HALF} on: no card states a threshold."
    shares = {name: part["called"] / part["images"] for name, part in row["found"].items()}
    called = ", ".join(f"{100 * share:.1f} % of {name}" for name, share in shares.items())
    return (
        f"Label P from a probability of {row['threshold']:.2f} on, chosen for a specificity of "
        f"{100 * SPECIFICITY:.0f} %: in the model's test it called P {called}."
    )


def drawn_by(model: Model) -> str:
    """Return the method of the maps: the card's choice, by what it measured, or the paper's."""
    return next((row["method"] for row in model.card.get("maps", [])), "grad-cam")
