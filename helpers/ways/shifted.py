"""One product for each kernel entry: no patches are copied."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.conv import Size
from helpers.ways import common
from helpers.ways.common import (
    Pair,
    StrideOne,
    adjoint,
    first_derivative,
    pad_pixels,
    product,
    slices,
    without_stride,
)
from helpers.ways.guard import guarded
from helpers.ways.model import VALUE_BYTES, Case, Cost, Counts, Phase, stride_removed
from helpers.ways.record import Way


@guarded
def convolve_shifted(
    input_batch: Tensor, kernel: Tensor, stride: Size = 1, padding: Size = 0
) -> Tensor:
    """Convolve by one product per kernel entry (1 x 1 convolutions), shifted and added.

    Source: kn2row, arXiv:1704.04428, here in channels-last order.
    """
    image, kernel, padding = without_stride(input_batch, kernel, stride, padding)
    return ShiftedProducts.apply(image, kernel, padding)


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
    def backward(ctx: Any, dY: Tensor) -> tuple[Tensor, Tensor, None]:
        image, kernel = ctx.saved_tensors
        image, dY = image.permute(0, 2, 3, 1), dY.permute(0, 2, 3, 1)
        c_out, c, k_h, k_w = kernel.shape
        dX = shifted_products(dY, *adjoint(kernel, ctx.padding))
        padded = pad_pixels(image, ctx.padding)
        pixels, shifts = padded.flatten(0, 2), row_shifts(k_h, k_w, padded.shape[2])
        count = len(pixels) - shifts[-1]
        # As wide as the padded image, so that output and pixel have the same row.
        dY = F.pad(dY, (0, 0, 0, k_w - 1, 0, k_h - 1)).flatten(0, 2)
        columns = dY[:count].T.contiguous()
        dK = torch.stack([product(columns, pixels[s : s + count]) for s in shifts])
        dK = dK.view(k_h, k_w, c_out, c).permute(2, 3, 0, 1)
        return dX.permute(0, 3, 1, 2), dK, None


def shifted_products(image: Tensor, kernel: Tensor, padding: Pair) -> Tensor:
    """Return the convolution of a channels-last image, channels last as well."""
    c_out, c, k_h, k_w = kernel.shape
    padded = pad_pixels(image, padding)
    b, h, w, _ = padded.shape
    pixels, shifts = padded.flatten(0, 2), row_shifts(k_h, k_w, w)
    entries = kernel.permute(2, 3, 1, 0).reshape(-1, c, c_out).contiguous()
    Y = pixels.new_zeros(len(pixels), c_out)
    # The last rows lack the pixel below the last kernel entry: they are cut off.
    count = len(pixels) - shifts[-1]
    for rows in slices(
        count, common.BLOCK_BYTES // (Y.element_size() * (c + 2 * c_out))
    ):
        for s, entry in zip(shifts, entries, strict=True):
            Y[rows] += product(pixels[rows.start + s : rows.stop + s], entry)
    return Y.view(b, h, w, c_out)[:, : h - k_h + 1, : w - k_w + 1].contiguous()


def row_shifts(k_h: int, k_w: int, width: int) -> list[int]:
    """Return how many pixels after the first one each kernel entry meets its pixel."""
    return [n * width + m for n in range(k_h) for m in range(k_w)]


def cost(case: Case) -> Cost:
    """N products per block of pixels (C + O each), added to the output (3 O).

    There are Q = Z / C pixels, and as many outputs, of which P are kept (2 Y). Memory:
    Z + K + Q O + Y. With a stride, the cost of `stride_removed` on top.
    """
    case, strided, kept = stride_removed(case)
    n = Counts(case)
    Q = n.Z // n.C
    # The last outputs have no pixel under the last kernel entry.
    side = case.size + 2 * case.padding
    Q_used = Q - (case.kernel_size - 1) * (side + 1)
    Q_block = common.BLOCK_BYTES // (VALUE_BYTES * (n.C + 2 * n.O))
    calls = n.N * math.ceil(Q_used / Q_block)
    phases = (
        *strided,
        Phase("copy", 3, n.X + n.Z + Q * n.O + 2 * n.Y),
        Phase("product", calls, n.N * Q_used * (n.C + n.O), n.K * Q_used),
        Phase("copy", calls, n.N * Q_used * 3 * n.O),
    )
    return Cost(phases, VALUE_BYTES * (kept + n.Z + n.K + Q * n.O + n.Y))


WAY = Way("shifted", convolve_shifted, cost, whole_pixels=lambda case: True)
