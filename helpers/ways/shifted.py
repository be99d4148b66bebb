"""One product for each kernel entry: no patches are copied."""

import math
from typing import Any

import torch
from torch import Tensor

from helpers.conv import Size
from helpers.ways import common
from helpers.ways.common import (
    Pair,
    StrideOne,
    adjoint,
    even_share,
    first_derivative,
    places,
    product,
    slices,
    without_stride,
    without_surplus,
    workspace,
)
from helpers.ways.guard import guarded
from helpers.ways.model import (
    VALUE_BYTES,
    Case,
    Cost,
    Counts,
    Phase,
    matmul,
    stride_removed,
)
from helpers.ways.record import Way


@guarded
def convolve_shifted(
    input_batch: Tensor, kernel: Tensor, stride: Size = 1, padding: Size = 0
) -> Tensor:
    """Convolve by one product per kernel entry (1 x 1 convolutions), shifted and added.

    Source: kn2row, arXiv:1704.04428, here in channels-last order.
    """
    image, kernel, padding = without_stride(input_batch, kernel, stride, padding)
    return ShiftedProducts.compute(image, kernel, padding)


class ShiftedProducts(StrideOne):
    """Stride-1 convolution, channels last inside, by one product per kernel entry.

    All pixels of the batch are the rows of one matrix, so that a shift of the image is
    a shift by rows, and no patches are copied.
    """

    @staticmethod
    def forward(image: Tensor, kernel: Tensor, padding: Pair) -> Tensor:
        image = image.permute(0, 2, 3, 1)
        return shifted_products(image, kernel, padding).permute(0, 3, 1, 2)

    @staticmethod
    @first_derivative
    def backward(ctx: Any, dY: Tensor) -> tuple[Tensor, Tensor]:
        image, kernel = ctx.saved_tensors
        image, dY = image.permute(0, 2, 3, 1), dY.permute(0, 2, 3, 1)
        c_out, c, k_h, k_w = kernel.shape
        dX = shifted_products(dY, *adjoint(kernel, ctx.padding))
        pixels, (b, rows, pitch) = pixel_rows(image, (k_h, k_w), ctx.padding)
        # As high and wide as the image with its zeros: output and pixel share a row.
        gradient = dY.new_zeros(b, rows, pitch, c_out)
        gradient[:, : dY.shape[1], : dY.shape[2]] = dY
        columns, dK = gradient.view(-1, c_out).T, kernel.new_empty(k_h * k_w, c_out, c)
        for s, entry in zip(row_shifts(k_h, k_w, pitch), dK, strict=True):
            product(columns, pixels[s : s + columns.shape[1]], out=entry)
        dK = dK.view(k_h, k_w, c_out, c).permute(2, 3, 0, 1)
        return dX.permute(0, 3, 1, 2), dK


def shifted_products(image: Tensor, kernel: Tensor, padding: Pair) -> Tensor:
    """Return the convolution of a channels-last image, channels last as well."""
    c_out, c, k_h, k_w = kernel.shape
    pixels, (b, rows, pitch) = pixel_rows(image, (k_h, k_w), padding)
    shifts = row_shifts(k_h, k_w, pitch)
    entries = kernel.permute(2, 3, 1, 0).reshape(-1, c, c_out).contiguous()
    Y = workspace.take("wide output", image, b * rows * pitch, c_out)
    block = common.BLOCK_BYTES // (Y.element_size() * (c + c_out))
    for part in slices(len(Y), even_share(len(Y), block)):
        product(pixels[part], entries[0], out=Y[part])
        for s, entry in zip(shifts[1:], entries[1:], strict=True):
            Y[part].addmm_(pixels[part.start + s : part.stop + s], entry)
    h_out, w_out = places(image.shape[1:3], (k_h, k_w), padding)
    return Y.view(b, rows, pitch, c_out)[:, :h_out, :w_out].clone(
        memory_format=torch.contiguous_format
    )


def pixel_rows(
    image: Tensor, kernel_size: Pair, padding: Pair
) -> tuple[Tensor, tuple[int, int, int]]:
    """Return all pixels of a channels-last batch as rows of a matrix, and its shape.

    The shape is (images, rows, pixels in a row). The zeros before a row of pixels are
    also those behind the row above, and those above an image end the one before.
    """
    image, (above, left) = without_surplus(image, padding)
    (b, h, w, c), (k_h, k_w) = image.shape, kernel_size
    h_out, w_out = places((h, w), kernel_size, (above, left))
    rows, pitch = max(h + above, h_out), max(w + left, w_out)
    number = b * rows * pitch + (k_h - 1) * pitch + k_w - 1
    pixels = workspace.take("padded", image, number, c).zero_()
    inside = pixels[: b * rows * pitch].view(b, rows, pitch, c)
    inside[:, above : above + h, left : left + w] = image
    return pixels, (b, rows, pitch)


def row_shifts(k_h: int, k_w: int, width: int) -> list[int]:
    """Return how many pixels after the first one each kernel entry meets its pixel."""
    return [n * width + m for n in range(k_h) for m in range(k_w)]


def cost(case: Case) -> Cost:
    """N products per block of pixels, each added to the output (C + 2 O values).

    There are Q pixels with their zeros, and as many outputs, of which P are kept (2 Y).
    Memory: Q C + K + Q O + Y. With a stride, the cost of `stride_removed` on top.
    """
    case, strided, kept = stride_removed(case)
    n = Counts(case)
    Q = case.batch * max(case.size + case.padding, case.size_out) ** 2
    blocks = math.ceil(Q / (common.BLOCK_BYTES // (VALUE_BYTES * (n.C + n.O))))
    phases = (
        Phase("guard", 1, 0),
        *strided,
        Phase("copy", 2, n.X + Q * n.C + 2 * n.Y),
        *matmul(n.N * blocks, n.N * Q * n.C, n.K, 2 * n.N * Q * n.O, n.K * Q),
    )
    return Cost(phases, VALUE_BYTES * (kept + Q * n.C + n.K + Q * n.O + n.Y))


WAY = Way("shifted", convolve_shifted, cost, whole_pixels=lambda case: True)
