"""Every figure of the book, in one style: data in, a matplotlib Figure out."""

from sdnet_lib.plots.explanations import change_curves, explanation_rows, method_maps, write_panel
from sdnet_lib.plots.pictures import (
    comparison,
    contact_sheet,
    extents,
    flow_diagram,
    lung_outlines,
    lung_parts,
    margins,
)
from sdnet_lib.plots.results import (
    decision_curves,
    precision_recall_curves,
    reliability_diagram,
    roc_curves,
    run_spread,
    severity_accuracy,
)
from sdnet_lib.plots.style import CLASS_COLOURS, COLOURS, CYCLE, MARKERS, WIDTH, canvas, style
from sdnet_lib.plots.twins import loss_terms, training_runs, twin_answers, twin_rows

__all__ = [
    "CLASS_COLOURS",
    "COLOURS",
    "CYCLE",
    "MARKERS",
    "WIDTH",
    "canvas",
    "change_curves",
    "comparison",
    "contact_sheet",
    "decision_curves",
    "explanation_rows",
    "extents",
    "flow_diagram",
    "loss_terms",
    "lung_outlines",
    "lung_parts",
    "margins",
    "method_maps",
    "precision_recall_curves",
    "reliability_diagram",
    "roc_curves",
    "run_spread",
    "severity_accuracy",
    "style",
    "training_runs",
    "twin_answers",
    "twin_rows",
    "write_panel",
]
