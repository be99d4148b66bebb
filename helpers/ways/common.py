"""What several ways share: sizes, strides taken away, blocks, and the fast product.

A kernel is (out_channels, in_channels, kernel_height, kernel_width); stride and padding
are one int or a (vertical, horizontal) pair.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.nn import grad as derivable

from helpers.conv import Pair, Size, check_tensors, output_size, pairs

# Small enough that patches are still in the cache when the product reads them, large
# enough that the call costs little beside its work.
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


def without_stride(
    input_batch: Tensor, kernel: Tensor, stride: Size, padding: Size
) -> tuple[Tensor, Tensor, Pair]:
    """Return image, kernel and padding of the same convolution at stride 1.

    Cells of stride_h x stride_w pixels become single pixels with as many times more
    channels, in the image and, filled up with zeros, in the kernel. Raises ValueError
    when the tensors do not fit each other.
    """
    (down, right), padding, (h_out, w_out) = geometry(
        input_batch, kernel, stride, padding
    )
    if (down, right) == (1, 1):
        return input_batch, kernel, padding

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

    Shapes as everywhere in `helpers.ways`.
    """

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        image, kernel, ctx.padding = inputs
        ctx.save_for_backward(image, kernel)


def first_derivative(backward: Callable) -> Callable:
    """Mark a backward pass, written in place, that autograd cannot follow itself.

    Where gradients are to be differentiated again, as with create_graph=True and always
    in torch.func, PyTorch's own take its place.
    """

    @functools.wraps(backward)
    def chosen(ctx: Any, dY: Tensor) -> tuple[Tensor, Tensor, None]:
        if not torch.is_grad_enabled():
            return backward(ctx, dY)
        image, kernel = ctx.saved_tensors
        dX = derivable.conv2d_input(image.shape, kernel, dY, padding=ctx.padding)
        dK = derivable.conv2d_weight(image, kernel.shape, dY, padding=ctx.padding)
        return dX, dK, None

    return chosen


def adjoint(kernel: Tensor, padding: Pair) -> tuple[Tensor, Pair]:
    """Return kernel and padding of the stride-1 convolution that takes dY to dX."""
    (above, left), (k_h, k_w) = padding, kernel.shape[2:]
    flipped = kernel.flip(2, 3).transpose(0, 1)
    return flipped, (k_h - 1 - above, k_w - 1 - left)


def block_buffer(image: Tensor, rows: int, values_per_row: int) -> tuple[Tensor, int]:
    """Return memory for one block of at most BLOCK_BYTES, and its number of rows.

    Fresh memory for every block would have to be mapped, page by page, every time.
    """
    block_rows = BLOCK_BYTES // (values_per_row * image.element_size())
    at_once = min(rows, max(1, block_rows))
    return image.new_empty(at_once * values_per_row), at_once


def slices(length: int, at_once: int) -> Iterator[slice]:
    """Cut range(length) into slices of `at_once`, at least one, and a rest."""
    at_once = max(1, at_once)
    for start in range(0, length, at_once):
        yield slice(start, min(start + at_once, length))


def pad_pixels(image: Tensor, padding: Pair) -> Tensor:
    """Pad a channels-last image with zeros; a negative amount cuts off."""
    above, left = padding
    return F.pad(image, (0, 0, left, left, above, above)).contiguous()


def product(left: Tensor, right: Tensor) -> Tensor:
    """Return left @ right, computed by the library that also computes F.conv2d.

    In float32 on a CPU that is oneDNN. MKL, the library behind @, was measured to be
    only half as fast on a processor by AMD.
    """
    suits = left.is_cpu and left.dtype == torch.float32 and left.numel()
    if not (HAS_ONEDNN and suits):
        return left @ right
    if not (right.is_contiguous() or right.T.is_contiguous()):
        # oneDNN has no fast code for a matrix with gaps between its rows.
        right = right.contiguous()
    return torch.ops.mkldnn._linear_pointwise(left, right.T, None, "none", [], "")


HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(
    torch.ops.mkldnn, "_linear_pointwise"
)
