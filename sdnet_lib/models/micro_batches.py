"""Batches that do not fit into memory are trained on part by part, with the gradient of the whole.

How many images go at once is decided when training begins, by what a few of them would keep for the backward
pass and by the memory that is free. Running out of it all the same halves the parts, and the step is done
again; once halved they stay so. Without batch normalisation, and with a loss that is a mean over images, the
numbers are those of the whole batch, up to rounding. With it they are not: a part is normalised by its own
statistics, which also enter the running averages, once a part; so no part is smaller than what batch
normalisation may train on. A step that is repeated draws dropout anew. FuCiTNet's generators have batch
normalisation and keep the numbers of the whole: see `fucitnet.loop`.
"""

from __future__ import annotations

import copy
import gc
import logging
from collections.abc import Callable

import torch
from fastai.callback.core import CancelStepException
from fastai.learner import Learner
from fastai.torch_core import no_random, to_float
from torch import Tensor, nn

from sdnet_lib.files import InputError
from sdnet_lib.models import batches, training_config

SHARE = 0.5  # of the free memory, what is kept for the backward pass may take: gradients come on top
TRIED = 2, 3  # images; what three keep more than two is that of one, without weights
_log = logging.getLogger("sdnet_lib")


def has_norms(network: nn.Module) -> bool:
    """Say whether a network has batch normalisation."""
    return any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in network.modules())


def at_once(forward: Callable[[int], object], images: Tensor) -> int:
    """Return how many of these images fit at once into the memory that is free; at least one.

    Parameters
    ----------
    forward : callable
        Takes so many of them through what is trained, and leaves nothing changed.
    images : Tensor, (n, ...)
        Where they lie is where memory is looked at.
    """
    free = batches.free_memory(images.device)
    if free == float("inf"):  # a CPU: nothing to find out
        return len(images)
    try:
        with no_random():
            fewer, more = (_kept(forward, count) for count in TRIED)
    except torch.OutOfMemoryError:
        fewer, more = 0, free
    _clear()
    return max(1, int(min(len(images), SHARE * free / max(more - fewer, 1))))


def _kept(forward: Callable[[int], object], count: int) -> int:
    """Return the bytes that a forward pass keeps for its backward pass."""
    storages = {}

    def note(tensor: Tensor) -> Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor.detach()  # itself would hold on to its own graph

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        result = forward(count)  # as long as it is there, so are they
    del result
    return sum(storages.values())


def persist(work: Callable[[], None], less: Callable[[], None]) -> None:
    """Do some work, again and again with `less` as long as memory runs out; `less` ends it by an error."""
    while True:
        try:
            return work()
        except torch.OutOfMemoryError:
            pass  # until here the error holds on to what the work had
        _clear()
        less()


def _clear() -> None:
    """Give back what nobody needs any more, errors and copies with circles too."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def too_large(size: int) -> InputError:
    """Return the error for a part that cannot be made smaller."""
    return InputError(f"not enough memory for {size} images at a time: choose smaller images")


class PartsLearner(Learner):
    """fastai's Learner, whose training steps go part by part where memory is short.

    Attributes
    ----------
    part : int or None
        Most images in a part; None is the whole batch.
    """

    part: int | None = None

    def _do_one_batch(self) -> None:
        """Train on a batch, or validate on it."""
        if not self.training:
            self._validate()
            return
        if self.train_iter == 0 and not self.part:
            self._fit_to_memory()
        persist(self._forward_and_backward, self._halve)
        self("after_pred")
        self("after_loss")  # leaves autocast, if that is on
        self._with_events(self._step, "step", CancelStepException)
        self.opt.zero_grad()

    def _validate(self) -> None:
        """Do what fastai does, in parts."""
        answers = [self.model(x) for x in self.xb[0].tensor_split(self._parts())]
        self.pred = answers[0] if len(answers) == 1 else torch.cat(answers)
        self("after_pred")
        self.loss_grad = self.loss_func(self.pred, *self.yb)
        self.loss = self.loss_grad.clone()
        self("after_loss")

    def _fit_to_memory(self) -> None:
        """Choose the size of parts; what a network is asked for that, its copy answers."""
        images = self.xb[0]
        self._choose(at_once(lambda count: copy.deepcopy(self.model)(images[:count]), images))

    def _choose(self, size: int) -> None:
        """Let parts have at most so many images, or as few as batch normalisation allows."""
        images, before = len(self.xb[0]), self._parts()
        self.part = size
        self.part = -(-images // self._parts())
        if self._parts() > before:
            _log.warning("memory is short: batches go in parts of %d images", self.part)

    def _parts(self) -> int:
        """Return how many parts the batch has, all of about the same size."""
        images = len(self.xb[0])
        most = images // training_config.LEAST if has_norms(self.model) else images
        return max(1, min(-(-images // (self.part or images)), most))

    def _forward_and_backward(self) -> None:
        """Add up the gradients of all parts, each weighed by its number of images."""
        images, targets = self.xb[0], self.yb[0]
        count, losses, outputs = self._parts(), [], []
        scaler = getattr(self, "scaler", None)
        for x, y in zip(images.tensor_split(count), targets.tensor_split(count), strict=True):
            output = to_float(self.model(x)) if scaler else self.model(x)
            loss = self.loss_func(output, y)
            if count > 1:
                loss = loss * (len(x) / len(images))
            with torch.autocast(images.device.type, enabled=False):
                (scaler.scale(loss) if scaler else loss).backward()
            losses.append(loss.detach())
            outputs.append(output.detach())
        self.loss_grad = self.loss = losses[0].clone() if count == 1 else torch.stack(losses).sum()
        self.pred = outputs[0] if count == 1 else torch.cat(outputs)

    def _halve(self) -> None:
        """Forget the step so far and make parts smaller; `InputError` if they are as small as can be."""
        self.opt.zero_grad()
        before = self._parts()
        size = -(-len(self.xb[0]) // before)
        self._choose(-(-size // 2))
        if self._parts() == before:
            raise too_large(size)
