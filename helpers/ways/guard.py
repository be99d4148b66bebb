"""What every way to convolve passes through: its arguments, and values not finite.

A way that transforms values, or fills up with zeros, would let a single NaN or infinity
spoil all of an image. By definition it spoils what it touches. So each result is looked
at, and each gradient that comes in; where one is not finite, the definition computes.
It also does where nothing can be looked at: in torch.vmap, and while PyTorch traces,
exports or compiles, when the size of the image is not known either; and in forward
mode, which a backward pass by hand knows nothing of.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function, forward_ad
from torch.nn import grad as derivable

from helpers.conv import Pair, Size, is_autocast
from helpers.ways.common import geometry
from helpers.ways.unfold import convolve_unfold


def guarded(convolve: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Check what a way is given, and keep what is not finite where it belongs."""

    @functools.wraps(convolve)
    def checked(
        input_batch: Tensor, kernel: Tensor, stride: Size = 1, padding: Size = 0
    ) -> Tensor:
        stride, padding, _ = geometry(input_batch, kernel, stride, padding)
        given = (*_alike(input_batch, kernel), stride, padding)
        if _seen(*given[:2]) and finite(result := convolve(*given)):
            return _Definition.apply(result, *given) if result.requires_grad else result
        return convolve_unfold(*given)

    return checked


def finite(values: Tensor) -> bool:
    """Tell whether neither NaN nor infinity is among them; False if that is not known.

    Finite values whose sum overflows count as infinite.
    """
    try:
        total = values.sum(dtype=torch.promote_types(values.dtype, torch.float32))
        return math.isfinite(total.item())
    except RuntimeError:  # of torch.vmap, when gradients are computed in it
        return False


def _seen(*tensors: Tensor) -> bool:
    """Tell whether there are values, and Python can look at them."""
    forward_mode = forward_ad._current_level >= 0
    if forward_mode or torch.jit.is_tracing() or torch.compiler.is_compiling():
        return False
    try:
        return all(t.numel() and t[0, 0, 0, 0].item() is not None for t in tensors)
    except RuntimeError:  # of torch.vmap, and of tensors of shapes alone
        return False


def _alike(image: Tensor, kernel: Tensor) -> tuple[Tensor, Tensor]:
    """Both in the type that autocast chooses, as F.conv2d has them."""
    if not is_autocast(image) or image.dtype == torch.float64:
        return image, kernel
    chosen = torch.get_autocast_dtype(image.device.type)
    return image.to(chosen), kernel.to(chosen)


class _Definition(Function):
    """A result as it came; a gradient that is not finite goes by the definition."""

    @staticmethod
    def forward(
        result: Tensor, image: Tensor, kernel: Tensor, stride: Pair, padding: Pair
    ) -> Tensor:
        return result.view_as(result)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        _, image, kernel, *ctx.geometry = inputs
        ctx.save_for_backward(image, kernel)

    @staticmethod
    def backward(ctx: Any, dY: Tensor) -> tuple[Tensor | None, ...]:
        if finite(dY):
            return dY, None, None, None, None
        image, kernel = ctx.saved_tensors
        dX = derivable.conv2d_input(image.shape, kernel, dY, *ctx.geometry)
        dK = derivable.conv2d_weight(image, kernel.shape, dY, *ctx.geometry)
        return None, dX, dK, None, None
