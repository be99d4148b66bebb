"""bfloat16 on any processor: in its own units where it has them, else by rounding."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

PRODUCTS = (F.conv2d, F.linear)  # what autocast computes in bfloat16 in our networks


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 by itself, and not element by element.

    A processor without such units takes some thirty times as long for a convolution in
    bfloat16 as for the same one in float32.
    """
    if device.type != "cpu":
        return True
    try:
        return torch.ops.mkldnn._is_mkldnn_bf16_supported()
    except AttributeError:  # a PyTorch without oneDNN
        return False


def reduced(precision: str, device: torch.device) -> AbstractContextManager:
    """A context in which a network computes in that precision.

    precision: "float32", or "bfloat16", which is PyTorch's autocast on a device that
    has bfloat16 and `Rounded` on others.
    """
    if precision == "float32":
        return nullcontext()
    if has_bfloat16(device):
        on_cpu = device.type == "cpu"  # the step of a GPU is captured without a cache
        return torch.autocast(device.type, torch.bfloat16, cache_enabled=on_cpu)
    return Rounded()


class Rounded(TorchFunctionMode):
    """Convolutions and linear layers as if in bfloat16, by arithmetic in float32.

    Units for bfloat16 multiply rounded numbers, add up in float32, and round the sum.
    The same is done here, forward and, as a rounding rounds the gradient too, backward.
    Only the order in which the products are added differs.
    """

    def __torch_function__(
        self,
        function: Callable,
        types: Iterable[type],
        args: tuple = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if function not in PRODUCTS:
            return function(*args, **kwargs)
        args = tuple(map(_rounded, args))
        kwargs = {name: _rounded(value) for name, value in kwargs.items()}
        return _rounded(function(*args, **kwargs))


def _rounded(value: Any) -> Any:
    return value.bfloat16().float() if isinstance(value, Tensor) else value
