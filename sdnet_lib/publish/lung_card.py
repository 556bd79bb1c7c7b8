"""The model card of the lung U-Nets, which lies beside their weights; its numbers are measured by `lungs`."""

from __future__ import annotations

import json
from pathlib import Path

from sdnet_lib.evaluation.render import Table
from sdnet_lib.files import write_text
from sdnet_lib.lungs.unet import WEIGHTS
from sdnet_lib.publish.templates import fill


def write(folder: Path = WEIGHTS) -> None:
    """Write the card, ``lungs.md``, beside new numbers."""
    write_text(folder / "lungs.md", card(folder))


def card(folder: Path = WEIGHTS) -> str:
    """Return the card as Markdown.

    Parameters
    ----------
    folder : Path
        That has ``lungs.json``, from `lungs.evaluation.evaluate`. What other networks reached is in
        ``compared.json`` beside the weights.
    """
    results = json.loads((folder / "lungs.json").read_text(encoding="utf-8"))
    compared = json.loads((WEIGHTS / "compared.json").read_text(encoding="utf-8"))
    networks, external = results["networks"], results["external"]
    return fill(
        "lungs",
        trained=networks["lungs"],
        unseen_folds=[_folds(found) for found in networks.values()],
        networks=_networks(networks),
        sources=_sources(results["unseen"]),
        external=_external(external),
        external_images=external["all"]["images"],
        compared=_compared(compared),
        epochs_compared=compared[0]["epochs"],
    )


def _folds(network: dict) -> str:
    return ",".join(map(str, network["unseen_folds"]))


def _dice(found: dict) -> list[str]:
    return [str(found["images"]), f"{found['dice_mean']:.4f}", f"{found['dice_5th_percentile']:.4f}"]


def _networks(networks: dict[str, dict]) -> Table:
    rows = []
    for name, found in networks.items():
        cost = [str(found["learned_from"]), str(found["seconds"]), f"{found['bytes'] / 1e6:.2f}"]
        rows.append([name, _folds(found), *cost, *_dice(found)])
    header = ["network", "folds not seen", "learned from", "seconds", "MB", "images", "Dice"]
    return Table("", [*header, "5th percentile"], rows)


def _sources(sources: dict[str, dict]) -> Table:
    rows = [[name, *_dice(found)] for name, found in sources.items()]
    return Table("", ["source (all folds)", "images", "Dice", "5th percentile"], rows)


def _external(parts: dict[str, dict]) -> Table:
    rows = []
    for name, found in parts.items():
        overlaps = [f"{found[column]:.3f}" for column in ("iou_median", "iou_tight_median")]
        covered, missed = f"{100 * found['covered']:.1f} %", str(found["lungs_not_found"])
        rows.append([name, str(found["images"]), covered, *overlaps, missed, f"{found['dice_mean']:.3f}"])
    return Table("", ["images", "number", "covered", "IoU", "tight IoU", "lungs not found", "Dice"], rows)


def _compared(compared: list[dict]) -> Table:
    rows = [
        [row["network"], f"{row['parameters']:,}", str(row["megabytes"]), f"{row['dice']:.4f}"]
        for row in compared
    ]
    return Table("", ["network", "parameters", "MB", "Dice"], rows)
