"""Every figure of the book, in one style: data in, a matplotlib Figure out.

All figures are names of this package, and each loads its module when it is first used: a process that only
draws the panels of `sdnet predict` does not wait for seaborn and pandas, which it does not need.
"""

from importlib import import_module

MODULES = {
    "cohorts": ("extents", "flow_diagram"),
    "colours": ("CLASS_COLOURS", "COLOURS"),
    "explanations": ("explanation_rows", "method_maps"),
    "lines": ("change_curves", "loss_terms", "margins", "training_runs"),
    "pictures": ("contact_sheet", "lung_outlines", "lung_parts"),
    "refreshers": (
        "augmented",
        "dealt_patients",
        "kept_and_new",
        "nearest_films",
        "rib_edge",
        "shuffled_differences",
        "ten_patients",
        "two_games",
    ),
    "results": (
        "comparison",
        "decision_curves",
        "gains",
        "precision_recall_curves",
        "reliability_diagram",
        "roc_curves",
        "run_spread",
        "severity_accuracy",
    ),
    "panel": ("write_panel",),
    "theme": ("canvas", "style"),
    "twins": ("twin_answers", "twin_rows"),
}
HOMES = {name: module for module, names in MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(HOMES)
