"""A way to compute a convolution: all that is to be known of it, in one record."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from helpers.checks import Size
from helpers.ways.model import Case, Cost


@dataclass(frozen=True)
class Way:
    """What computes a convolution, its cost, the layout that suits it, what it fits.

    A way is called as `convolve` is: with input, kernel, stride and padding. `cost`
    counts a forward pass, by the formulas in its docstring. `whole_pixels`: whether it
    reads all channels of a pixel at once, so that channels-last suits it. `fits`:
    whether it can compute a case.
    """

    name: str
    convolve: Callable[..., Tensor]
    cost: Callable[[Case], Cost]
    whole_pixels: Callable[[Case], bool] = lambda case: False
    fits: Callable[[Case], bool] = lambda case: True

    def __call__(self, *tensors_and_sizes: Tensor | Size, **sizes: Size) -> Tensor:
        return self.convolve(*tensors_and_sizes, **sizes)

    def layout(self, case: Case) -> torch.memory_format:
        """Return the order in memory in which input and kernel of a case suit it."""
        return (
            torch.channels_last if self.whole_pixels(case) else torch.contiguous_format
        )
