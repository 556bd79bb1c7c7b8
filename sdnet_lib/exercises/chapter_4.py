"""Checks of chapter 4, FuCiTNet."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from sdnet_lib.exercises.checking import Step, array, number
from sdnet_lib.models.fucitnet import losses
from sdnet_lib.models.fucitnet.generators import generator


def exercise_4_1(per_pixel: int) -> Iterator[Step]:
    """Check multiplications of a generator for each pixel."""
    convolutions = [w.numel() for w in generator().parameters() if w.ndim == 4]
    every = sum(convolutions)
    one_each = every - 5 * convolutions[1]
    mistakes = {
        sum(
            w.numel() for w in generator().parameters()
        ): "Biases, normalisation and PReLU are not to be counted.",
        one_each: "Each of the five blocks has two convolutions.",
        every - convolutions[0]: "The head is missing.",
        every - convolutions[-1]: "The tail is missing.",
        every * 224**2: "That is for a whole image; the exercise asks for one pixel first.",
    }
    hint = "Add up window x window x maps in x maps out over all convolutions of head, blocks and tail."
    yield from number(per_pixel, every, hint, mistakes)


def exercise_4_2(answer: tuple[Tensor, Tensor], logits: Tensor, targets: Tensor) -> Iterator[Step]:
    """Check gradients of the summed cross-entropies in the paper's and in the program's way."""
    of = {}
    for variant in ("paper", "code"):
        loss = losses.cross_entropies(logits, targets, variant).sum()
        of[variant] = torch.autograd.grad(loss, logits)[0].numpy()
    for name, given, variant, other in zip(("of_paper", "of_code"), answer, of, reversed(of), strict=True):
        yield (
            isinstance(given, Tensor),
            f"`{name}` should be a tensor: `torch.autograd.grad` returns a tuple of them.",
        )
        mistakes = {
            f"`{name}` is the gradient of the other variant.": of[other],
            f"`{name}` is twice what it should be: was a gradient added to an older one?": 2 * of[variant],
        }
        hint = f"Another gradient was found for `{name}`: sum both losses, derive by `logits`."
        yield from array(given.detach().numpy(), of[variant], hint, mistakes)


def exercise_4_3(answer: tuple[float, int], network: nn.Module, images: Tensor) -> Iterator[Step]:
    """Check what a generator puts outside of black and white, and what 8 bits make of it."""
    beyond, stored = answer
    with torch.inference_mode():
        raw = torch.cat([network(batch) for batch in images.split(16)])  # at once: 16 GB at full size
    above, below = ((raw > 1).float().mean().item(), (raw < 0).float().mean().item())
    mistakes = {
        above: "Values below black count, too.",
        below: "Values above white count, too.",
        1 - above - below: "That is the fraction inside.",
        100 * (above + below): "A fraction is wanted, not percent.",
    }
    hint = "Another fraction was found: take what the generator returns, before `transform` clamps it."
    yield from number(float(beyond), above + below, hint, mistakes, within=1e-5)
    eight = "8 bits hold 0 to 255 and no more: what is left of a number that is larger?"
    mistakes = {260: eight, 260.1: eight, 255: "That would be clamped; the program does not clamp."}
    yield from number(stored, 4, "Multiply, cut off the fraction, and keep the last 8 bits.", mistakes)
