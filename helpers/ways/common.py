"""What several ways share: sizes, strides taken away, blocks, and the fast product.

A kernel is (out_channels, in_channels, kernel_height, kernel_width); stride and padding
are one int or a (vertical, horizontal) pair.
"""

import functools
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.nn import grad as derivable

from helpers.conv import Pair, Size, check_tensors, output_size, pairs

# Small enough that a block is still in the cache when the product reads it, large
# enough that the calls cost little beside their work.
BLOCK_BYTES = 3 * 2**20


def geometry(
    input_batch: Tensor, kernel: Tensor, stride: Size, padding: Size
) -> tuple[Pair, Pair, Pair]:
    """Return stride, padding and output size as pairs.

    Raises ValueError when the tensors do not fit each other in shape or type.
    """
    check_tensors(input_batch, kernel)
    (h, w), (k_h, k_w) = input_batch.shape[2:], kernel.shape[2:]
    size = output_size((h, w), (k_h, k_w), stride, padding)
    stride, padding, _ = pairs(stride, padding)
    return stride, padding, size


def places(
    size: Sequence[int],
    kernel_size: Sequence[int],
    padding: Pair,
    stride: Pair = (1, 1),
) -> Pair:
    """As `output_size`, but a negative padding cuts off, and nothing is checked."""
    axes = zip(size, kernel_size, padding, stride, strict=True)
    height, width = ((n + 2 * p - k) // s + 1 for n, k, p, s in axes)
    return height, width


def without_stride(
    input_batch: Tensor, kernel: Tensor, stride: Size, padding: Size
) -> tuple[Tensor, Tensor, Pair]:
    """Return image, kernel and padding of the same convolution at stride 1.

    Cells of stride_h x stride_w pixels become single pixels with as many times more
    channels, in the image and, filled up with zeros, in the kernel. Raises ValueError
    when the tensors do not fit each other.
    """
    if stride == (1, 1) and isinstance(padding, tuple):  # as `guarded` has them
        return input_batch, kernel, padding
    (down, right), padding, (h_out, w_out) = geometry(
        input_batch, kernel, stride, padding
    )

    def cells(pixels: Tensor, before: Pair, height: int, width: int) -> Tensor:
        # A negative amount of padding cuts off what no output needs.
        below = height * down - pixels.shape[2] - before[0]
        beyond = width * right - pixels.shape[3] - before[1]
        pixels = F.pad(pixels, (before[1], beyond, before[0], below))
        pixels = pixels.unflatten(3, (width, right)).unflatten(2, (height, down))
        return pixels.permute(0, 1, 3, 5, 2, 4).flatten(1, 3)

    k_h, k_w = -(-kernel.shape[2] // down), -(-kernel.shape[3] // right)
    image = cells(input_batch, padding, h_out + k_h - 1, w_out + k_w - 1)
    return image, cells(kernel, (0, 0), k_h, k_w), (0, 0)


class StrideOne(Function):
    """A convolution (image, kernel, padding) at stride 1 with a backward pass by hand.

    Shapes as everywhere in `helpers.ways`; a stride that is known may follow.
    """

    @classmethod
    def compute(cls, image: Tensor, kernel: Tensor, *sizes: Pair) -> Tensor:
        """As `apply`, without its price where no gradient will be asked for."""
        if torch.is_grad_enabled() and (image.requires_grad or kernel.requires_grad):
            return cls.apply(image, kernel, *sizes)
        return cls.forward(image, kernel, *sizes)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        image, kernel, ctx.padding, *strides = inputs
        ctx.stride = strides[0] if strides else (1, 1)
        ctx.save_for_backward(image, kernel)


def first_derivative(backward: Callable) -> Callable:
    """Mark a backward pass, written in place, that autograd cannot follow itself.

    Where gradients are to be differentiated again, as with create_graph=True and always
    in torch.func, PyTorch's own take its place.
    """

    @functools.wraps(backward)
    def chosen(ctx: Any, dY: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            image, kernel = ctx.saved_tensors
            geometry = ctx.stride, ctx.padding
            dX = derivable.conv2d_input(image.shape, kernel, dY, *geometry)
            dK = derivable.conv2d_weight(image, kernel.shape, dY, *geometry)
        else:
            dX, dK = backward(ctx, dY)
        return dX, dK, *[None] * (len(ctx.needs_input_grad) - 2)

    return chosen


def adjoint(kernel: Tensor, padding: Pair) -> tuple[Tensor, Pair]:
    """Return kernel and padding of the stride-1 convolution that takes dY to dX."""
    (above, left), (k_h, k_w) = padding, kernel.shape[2:]
    flipped = kernel.flip(2, 3).transpose(0, 1)
    return flipped, (k_h - 1 - above, k_w - 1 - left)


def slices(length: int, at_once: int) -> Iterator[slice]:
    """Cut range(length) into slices of `at_once`, at least one, and a rest."""
    at_once = max(1, at_once)
    for start in range(0, length, at_once):
        yield slice(start, min(start + at_once, length))


def even_share(number: int, at_most: int) -> int:
    """The size of equal blocks, none above `at_most` unless of 1; the last has less."""
    return -(-number // -(-number // max(1, at_most)))


def without_surplus(image: Tensor, padding: Pair) -> tuple[Tensor, Pair]:
    """Cut off what a negative padding cuts off a channels-last image."""
    above, left = (min(0, amount) for amount in padding)
    cut = F.pad(image, (0, 0, left, left, above, above)) if above or left else image
    return cut, (padding[0] - above, padding[1] - left)


class Workspace(threading.local):
    """Memory for blocks, kept from call to call: fresh memory has to be mapped first.

    Mapping, page by page, can take longer than the work on it. Each thread has its own,
    for tensors on the CPU and of a few blocks at most; larger ones are made anew.
    """

    def __init__(self) -> None:
        self.kept: dict[tuple[str, torch.dtype], Tensor] = {}

    def take(self, name: str, like: Tensor, *shape: int) -> Tensor:
        """Memory of a type and shape; the same for the same name, not initialised."""
        values = math.prod(shape)
        if not like.is_cpu or values * like.element_size() > 4 * BLOCK_BYTES:
            return like.new_empty(shape)
        key = name, like.dtype
        if key not in self.kept or self.kept[key].numel() < values:
            with torch.inference_mode(False):
                self.kept[key] = torch.empty(values, dtype=like.dtype)
        return self.kept[key][:values].view(shape)


workspace = Workspace()


def product(left: Tensor, right: Tensor, out: Tensor) -> Tensor:
    """Write left @ right to `out`, whose rows may have gaps between them.

    With `ONEDNN` in float32 on a CPU, by an operator of PyTorch that is not public: the
    product of the library that also computes F.conv2d.
    """
    if ONEDNN and left.is_cpu and left.dtype == torch.float32:
        right = right.T.contiguous()
        operator = torch.ops.mkldnn._linear_pointwise
        return out.copy_(operator(left, right, None, "none", [], ""))
    return torch.mm(left, right, out=out)


ONEDNN = False
HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(
    torch.ops.mkldnn, "_linear_pointwise"
)
