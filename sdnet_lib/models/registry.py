"""Every system that can be cross-validated: the paper's, those it compares with, and encoders of today.

A system's module has two functions, ``fit(task)`` and ``build(profile)``, and ``prepare`` if it prepares
images in a manner of its own. It is imported when one of them is asked for: this table itself needs no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from sdnet_lib.config import Profile
from sdnet_lib.files import InputError

if TYPE_CHECKING:
    from sdnet_lib.data.pixels import Prepare
    from sdnet_lib.models.predictors import Predictor
    from sdnet_lib.models.task import Task


class Approach(NamedTuple):
    """A system: what it is called, where its code is, what it sees, and what was reported for it.

    Attributes
    ----------
    name : str
        On the command line and in stored files.
    title : str
        In tables and figures.
    module : str
        Below `sdnet_lib.models`.
    image_size : int
        Height and width in pixels of what its paper feeds it; a small profile feeds less.
    crops : bool
        Whether it sees crops of the lungs or whole images.
    source, reported : str
        Where it comes from, and what Table 2, 4 or 5 of the paper reports for it.
    options : dict
        For the module's `fit` and `build`, where one module has several systems.
    training : dict
        For its `fit` alone.
    lacks : str
        Of a control, what COVID-SDNet has and it has not.
    from_scratch : bool
        Whether its paper starts from random weights and not from ImageNet's.
    third_class : bool
        Whether it can learn a class beside N and P, see `models.task.THIRD`.
    frozen : bool
        Whether it is an encoder with its own weights, which nobody trains here.
    package : str
        What must be installed for it besides; of the extra ``encoders``.
    """

    name: str
    title: str
    module: str
    image_size: int
    crops: bool
    source: str
    reported: str = ""
    options: Mapping[str, object] = {}
    training: Mapping[str, object] = {}
    lacks: str = ""
    from_scratch: bool = False
    third_class: bool = False
    frozen: bool = False
    package: str = ""

    @property
    def fit(self) -> Callable[[Task], tuple[Predictor, dict]]:
        """From a task to a trained predictor, and what the provenance says about its training."""
        return partial(self._imported().fit, **self.options, **self.training)

    @property
    def build(self) -> Callable[[Profile], Predictor]:
        """From a profile to an untrained predictor of the same kind, to be filled or counted."""
        return partial(self._imported().build, **self.options)

    @property
    def prepare(self) -> Prepare:
        """From an image, float (height, width), and an image size to uint8 (image_size, image_size)."""
        own = getattr(self._imported(), "prepare", None)
        return own or import_module("sdnet_lib.data.pixels").squeezed

    def _imported(self) -> ModuleType:
        return import_module(f"sdnet_lib.models.{self.module}")


def _covidnet(
    name: str, title: str, variant: str, image_size: int, release: str, reported: str = "", **training: object
) -> Approach:
    return Approach(
        name,
        title=f"COVID-Net (PEPX {title})",
        module="baselines.covidnet",
        image_size=image_size,
        crops=True,
        source=f"Wang et al. 2020; budget-matched to {release}",
        reported=reported,
        options={"variant": variant},
        training=training,
        from_scratch=True,
        third_class=True,
    )


def _control(name: str, title: str, lacks: str, module: str, **options: object) -> Approach:
    return Approach(name, title, module, 224, True, "a control", options=options, lacks=lacks)


def _covidcaps(name: str, title: str, source: str, reported: str, **training: object) -> Approach:
    options = {"training": training, "from_scratch": True}
    return Approach(name, title, "baselines.covidcaps", 224, True, source, reported, **options)


def _paper(name: str, title: str, module: str, crops: bool, reported: str, source: str = "") -> Approach:
    return Approach(name, title, module, 224, crops, source or PAPER, f"Table 5: accuracy {reported}")


def _probe(name: str, title: str, image_size: int, source: str, package: str = "") -> Approach:
    what = {"options": {"encoder": name.removesuffix("-probe")}, "frozen": True, "package": package}
    return Approach(name, f"{title}, frozen, linear probe", "probe", image_size, True, source, **what)


PAPER = "Tabik et al. 2020"
PUBLISHED_CAPS = "Afshar et al. 2020; the authors' weights"
APPROACHES = {
    approach.name: approach
    for approach in (
        _paper("resnet50", "ResNet-50 without segmentation", "cnn", False, "74.25"),
        _paper("resnet50-crop", "ResNet-50 with segmentation", "cnn", True, "74.60"),
        _paper("fucitnet", "FuCiTNet", "fucitnet.approach", True, "74.35", "Rey-Area et al. 2020"),
        _paper("covid-sdnet", "COVID-SDNet", "sdnet", True, "76.18"),
        Approach(
            "crop-matched",
            title="ResNet-50 with segmentation, matched steps",
            module="cnn",
            image_size=224,
            crops=True,
            source="a control",
            training={"matched": True},
            lacks="twins",
        ),
        _control("twins-copied", "Twins that are copies", "two different twins", "controls", kind="copies"),
        _control("twins-tinted", "Twins by fixed tints", "generators that learn", "controls", kind="tints"),
        _control("sdnet-plus", "COVID-SDNet, x+ alone", "the second opinion", "sdnet", decision="plus"),
        _control("sdnet-minus", "COVID-SDNet, x− alone", "the second opinion", "sdnet", decision="minus"),
        _control("sdnet-mean", "COVID-SDNet, mean of twins", "the maximum", "sdnet", decision="mean"),
        _covidnet(
            "covidnet",
            "a",
            "a",
            480,
            "COVIDNet-CXR3-A",
            "Table 2: sensitivity 87.1, accuracy 92.6; Table 4 retrained: accuracy 67.82",
        ),
        _covidnet("covidnet-balanced", "a, balanced", "a", 480, "COVIDNet-CXR3-A", balanced=True),
        _covidnet("covidnet-small", "small", "small", 224, "COVIDNet-CXR Small"),
        _covidnet("covidnet-large", "large", "large", 224, "COVIDNet-CXR Large"),
        _covidnet("covidnet-b", "b", "b", 480, "COVIDNet-CXR3-B"),
        _covidnet("covidnet-c", "c", "c", 480, "COVIDNet-CXR3-C"),
        _covidcaps(
            "covid-caps",
            "COVID-CAPS from scratch",
            "Afshar et al. 2020",
            "Table 2: sensitivity 90, accuracy 95.7",
        ),
        _covidcaps(
            "covid-caps-published",
            "COVID-CAPS as published",
            PUBLISHED_CAPS,
            "Table 4: sensitivity 69.01, accuracy 47.66",
            published=True,
            further=False,
        ),
        _covidcaps(
            "covid-caps-retrained",
            "COVID-CAPS retrained",
            PUBLISHED_CAPS,
            "Table 4: sensitivity 64.93, accuracy 65.34",
            published=True,
        ),
        Approach(
            "darkcovidnet",
            title="DarkCovidNet",
            module="baselines.darkcovidnet",
            image_size=256,
            crops=True,
            source="Ozturk et al. 2020",
            reported="Table 2: sensitivity 90.65, accuracy 98.08 (two classes)",
            from_scratch=True,
        ),
        Approach(
            "deepcovidexplainer",
            title="VGG-19 + DenseNet-161",
            module="baselines.deepcovidexplainer",
            image_size=224,
            crops=True,
            source="Karim et al. 2020",
            reported="Table 2: sensitivity 93, accuracy 96.77",
            from_scratch=True,
        ),
        Approach(
            "bayesian-resnet50v2",
            title="Bayesian ResNet50V2",
            module="baselines.bayesian",
            image_size=512,
            crops=True,
            source="Ghoshal and Tucker 2020",
            reported="Table 2: sensitivity 85.71, accuracy 89.82",
        ),
        Approach(
            "mobilenet",
            title="MobileNet",
            module="baselines.mobilenet",
            image_size=224,
            crops=True,
            source="Apostolopoulos and Mpesiana 2020",
            reported="Table 2: sensitivity 98.66, accuracy 96.78",
        ),
        _probe("lite0-probe", "EfficientNet-Lite0", 224, "Tan and Le 2019"),
        _probe("xrv-densenet121-probe", "XRV DenseNet-121", 224, "Cohen et al. 2022", "torchxrayvision"),
        _probe("rad-dino-probe", "RAD-DINO", 518, "Pérez-García et al. 2025", "transformers"),
    )
}
PRINTED_ONLY = {"covidnet-published": "COVID-Net as published"}  # a row of Table 4 whose weights are gone
# The rows of the paper's tables, in its order; systems that it does not have come last.
TABLE_4 = ("covidnet-published", "covidnet", "covid-caps-published", "covid-caps-retrained", "covid-caps")
ORDER = tuple(dict.fromkeys((*TABLE_4, *APPROACHES)))


# What COVID-SDNet is compared with to see where its gain comes from, from the plainest to the nearest.
CONTROLS = ("resnet50-crop", *(name for name, one in APPROACHES.items() if one.lacks), "fucitnet")


def find(name: str) -> Approach:
    """Return the approach called `name`.

    Raises
    ------
    InputError
        For any other name, and if a package is missing.
    """
    if name not in APPROACHES:
        raise InputError(f"unknown approach {name!r}: choose from {', '.join(APPROACHES)}")
    if missing := _missing(APPROACHES[name]):
        raise InputError(f"{name} needs a package that is not here: pip install {missing}")
    return APPROACHES[name]


def _missing(approach: Approach) -> str:
    """Return the package that an approach lacks; nothing is imported."""
    return approach.package if approach.package and find_spec(approach.package) is None else ""


def check_start(names: Sequence[str], weights: str | None = None) -> None:
    """Make sure, before a cohort is read, that frozen encoders have their weights; missing ones are fetched.

    Raises
    ------
    InputError
        If they cannot be had, or `weights` are ``none``.
    """
    for approach in map(find, names):
        if approach.frozen:
            approach._imported().load(weights=weights, **approach.options)


def title(name: str) -> str:
    """Return the title of an approach, or of a row that only stored and printed tables have; else `name`."""
    return APPROACHES[name].title if name in APPROACHES else PRINTED_ONLY.get(name, name)


def parameters(approach: Approach, profile: Profile) -> int:
    """Count the learned numbers that an approach predicts with, at its own image size.

    Batch normalisation's running statistics are not counted.
    """
    import torch

    with torch.device("meta"):
        predictor = approach.build(replace(profile, image_size=approach.image_size))
    return sum(p.numel() for p in predictor.parameters())


def describe(profile: Profile) -> str:
    """Return all approaches as text: name, parameters, image size, source, and what the paper reports."""
    lines = [f"{'approach':22}{'parameters':>12}{'side':>6}  source; what the paper reports"]
    for name, approach in APPROACHES.items():
        missing = _missing(approach)
        count = "–" if missing else f"{parameters(approach, profile):,}"
        said = (approach.source, approach.reported, missing and f"needs {missing}")
        origin = "; ".join(filter(None, said))
        lines.append(f"{name:22}{count:>12}{approach.image_size:6}  {origin}")
    return "\n".join(lines)
