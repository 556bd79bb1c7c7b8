"""Batches that do not fit into memory are trained on part by part, with the gradient of the whole.

Running out of memory halves the parts and the step is done again; once halved they stay so. Without batch
normalisation, and with a loss that is a mean over images, the numbers are those of the whole batch, up to
rounding. With it they are not: a part is
normalised by its own statistics, which also enter the running averages, once a part; and dropout draws anew
when a step is repeated. No part is smaller than `LEAST` where a batch normalisation is trained.
"""

from __future__ import annotations

import logging

import torch
from fastai.callback.core import CancelStepException
from fastai.learner import Learner
from fastai.torch_core import to_float
from torch import nn

from sdnet_lib.files import InputError

LEAST = 4  # images whose statistics still mean something; what has none may go down to one
_log = logging.getLogger("sdnet_lib")


class PartsLearner(Learner):
    """fastai's Learner, whose training steps go part by part where memory is short.

    Attributes
    ----------
    part : int or None
        Most images in a part; None is the whole batch.
    """

    part: int | None = None

    def _do_one_batch(self) -> None:
        """Train on a batch, or validate on it as fastai does."""
        if not self.training:
            super()._do_one_batch()
            return
        while True:
            try:
                self._forward_and_backward()
                break
            except torch.OutOfMemoryError:
                self._halve()
        self("after_pred")
        self("after_loss")  # leaves autocast, if that is on
        self._with_events(self._step, "step", CancelStepException)
        self.opt.zero_grad()

    def _forward_and_backward(self) -> None:
        """Add up the gradients of all parts, each weighed by its number of images."""
        images, targets = self.xb[0], self.yb[0]
        size, losses, outputs = self.part or len(images), [], []
        scaler = getattr(self, "scaler", None)
        for x, y in zip(images.split(size), targets.split(size), strict=True):
            output = to_float(self.model(x)) if scaler else self.model(x)
            loss = self.loss_func(output, y)
            if len(x) < len(images):
                loss = loss * (len(x) / len(images))
            with torch.autocast(images.device.type, enabled=False):
                (scaler.scale(loss) if scaler else loss).backward()
            losses.append(loss.detach())
            outputs.append(output.detach())
        whole = len(losses) == 1
        self.loss_grad = self.loss = losses[0].clone() if whole else torch.stack(losses).sum()
        self.pred = outputs[0] if whole else torch.cat(outputs)

    def _halve(self) -> None:
        """Forget the step so far and make parts smaller; `InputError` if they are as small as can be."""
        size = self.part or len(self.xb[0])
        norms = any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in self.model.modules())
        least = LEAST if norms else 1
        self.opt.zero_grad()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if size <= least:
            raise InputError(
                f"not enough memory for {size} images at a time: choose smaller images"
            ) from None
        self.part = max(least, -(-size // 2))
        _log.warning("memory is short: batches go in parts of %d images", self.part)
