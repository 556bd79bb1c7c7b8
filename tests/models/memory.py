"""A small memory on a CPU: tensors that hold more than a limit are refused, as a GPU refuses them."""

import torch

from sdnet_lib.studies.operations import _Held


class Limit(_Held):
    """A memory of so many bytes, for all tensors that operations make within it."""

    def __init__(self, limit: float, *given: object) -> None:
        self.limit = limit
        super().__init__(*given)

    def _note(self, tensors):
        before = self.peak
        super()._note(tensors)
        if self.now > self.limit:
            self.peak = before
            raise torch.OutOfMemoryError(f"{self.now} bytes of {self.limit}")

    def free(self, _: torch.device) -> float:
        """Return what is free."""
        return self.limit - self.now
