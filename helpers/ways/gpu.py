"""A convolution as implicit products, in Triton: windows are read in place, in tiles.

On a graphics card; on a processor only where TRITON_INTERPRET=1 was set before the
import, slowly, for tests. Elsewhere the definition computes, and a warning says so.
"""

import os
import warnings
from typing import Any

import torch
from torch import Tensor

from helpers.conv import Size
from helpers.ways.common import (
    StrideOne,
    adjoint,
    first_derivative,
    places,
    without_stride,
)
from helpers.ways.guard import guarded
from helpers.ways.unfold import convolve_unfold

try:
    import triton
    import triton.language as tl
except ImportError:  # comes with PyTorch for graphics cards
    triton = None
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"

if triton is not None:
    # fmt: off
    @triton.jit
    def write_outputs(  # type: ignore[no-untyped-def]
        x, k, y, positions, h, w, c, h_out, w_out, d, k_w, above, left, R,
        POSITIONS: tl.constexpr, CHANNELS: tl.constexpr,
        VALUES: tl.constexpr, SUM: tl.constexpr,
    ):
        """A tile of y (positions, d): windows of x (images, h, w, c) times k (R, d)."""
        rows = tl.program_id(0) * POSITIONS + tl.arange(0, POSITIONS)
        columns = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
        n, i, j = rows // (h_out * w_out), rows // w_out % h_out, rows % w_out
        total = tl.zeros((POSITIONS, CHANNELS), SUM)
        for start in range(0, R, VALUES):
            r = start + tl.arange(0, VALUES)  # of a window: row, column and channel
            u = i[:, None] + r[None, :] // (k_w * c) - above
            v = j[:, None] + r[None, :] // c % k_w - left
            inside = (u >= 0) & (u < h) & (v >= 0) & (v < w) & (r < R)[None, :]
            inside &= (rows < positions)[:, None]
            at = ((n[:, None] * h + u) * w + v) * c + r[None, :] % c
            window = tl.load(x + at, mask=inside, other=0.0)
            known = (r < R)[:, None] & (columns < d)[None, :]
            place = k + r[:, None] * d + columns[None, :]
            entry = tl.load(place, mask=known, other=0.0)
            total = tl.dot(window, entry, total, input_precision="ieee", out_dtype=SUM)
        place = y + rows[:, None] * d + columns[None, :]
        known = (rows < positions)[:, None] & (columns < d)[None, :]
        tl.store(place, total.to(y.dtype.element_ty), mask=known)

    @triton.jit
    def add_products(  # type: ignore[no-untyped-def]
        x, dy, dk, positions, h, w, c, h_out, w_out, d, k_w, above, left, R, share,
        POSITIONS: tl.constexpr, CHANNELS: tl.constexpr,
        VALUES: tl.constexpr, SUM: tl.constexpr,
    ):
        """A tile of dk (R, d) from a share of the positions: windows times dy."""
        r = tl.program_id(0) * VALUES + tl.arange(0, VALUES)
        columns = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
        first = tl.program_id(2) * share
        total = tl.zeros((VALUES, CHANNELS), SUM)
        for start in range(first, first + share, POSITIONS):
            rows = start + tl.arange(0, POSITIONS)
            n, i, j = rows // (h_out * w_out), rows // w_out % h_out, rows % w_out
            u = i[None, :] + r[:, None] // (k_w * c) - above
            v = j[None, :] + r[:, None] // c % k_w - left
            inside = (u >= 0) & (u < h) & (v >= 0) & (v < w) & (r < R)[:, None]
            inside &= (rows < positions)[None, :]
            at = ((n[None, :] * h + u) * w + v) * c + r[:, None] % c
            window = tl.load(x + at, mask=inside, other=0.0)
            known = (rows < positions)[:, None] & (columns < d)[None, :]
            place = dy + rows[:, None] * d + columns[None, :]
            change = tl.load(place, mask=known, other=0.0)
            total = tl.dot(window, change, total, input_precision="ieee", out_dtype=SUM)
        place = dk + r[:, None] * d + columns[None, :]
        tl.atomic_add(place, total, mask=(r < R)[:, None] & (columns < d)[None, :])
    # fmt: on


TILE = {"POSITIONS": 64, "CHANNELS": 32, "VALUES": 32}
SHARES = 32  # of the positions, so that a small kernel keeps all of a card busy


@guarded
def convolve_triton(
    input_batch: Tensor, kernel: Tensor, stride: Size = 1, padding: Size = 0
) -> Tensor:
    """Convolve by products whose windows are gathered tile by tile, without a copy.

    Where there is no Triton or no graphics card, unfold computes, after a warning.
    """
    if triton is None or not (input_batch.is_cuda or INTERPRETED):
        warnings.warn(
            "Triton needs a graphics card, or TRITON_INTERPRET=1 before the import: "
            "unfold computes this convolution",
            stacklevel=3,
        )
        return convolve_unfold(input_batch, kernel, stride, padding)
    return Implicit.compute(*without_stride(input_batch, kernel, stride, padding))


class Implicit(StrideOne):
    """Stride-1 convolution, channels last inside, by tiles of implicit windows."""

    @staticmethod
    def forward(image: Tensor, kernel: Tensor, padding: tuple[int, int]) -> Tensor:
        return implicit(image, kernel, padding)

    @staticmethod
    @first_derivative
    def backward(ctx: Any, dY: Tensor) -> tuple[Tensor, Tensor]:
        image, kernel = ctx.saved_tensors
        (d, c, k_h, k_w), dX = kernel.shape, implicit(dY, *adjoint(kernel, ctx.padding))
        sizes = numbers(image, kernel, ctx.padding)
        share = triton.cdiv(triton.cdiv(sizes[0], SHARES), TILE["POSITIONS"])
        share *= TILE["POSITIONS"]
        dK = torch.zeros(sizes[-1], d, dtype=sums(kernel)[0], device=kernel.device)
        grid = (
            triton.cdiv(sizes[-1], TILE["VALUES"]),
            triton.cdiv(d, TILE["CHANNELS"]),
            triton.cdiv(sizes[0], share),
        )
        add_products[grid](
            pixels(image), pixels(dY), dK, *sizes, share, **TILE, SUM=sums(kernel)[1]
        )
        return dX, dK.to(kernel.dtype).view(k_h, k_w, c, d).permute(3, 2, 0, 1)


def implicit(image: Tensor, kernel: Tensor, padding: tuple[int, int]) -> Tensor:
    """Return the stride-1 convolution of an image, channels last in memory."""
    sizes = numbers(image, kernel, padding)
    positions, _, _, _, h_out, w_out, d, *_ = sizes
    Y = image.new_empty(len(image), h_out, w_out, d)
    entries = kernel.permute(2, 3, 1, 0).contiguous()
    grid = triton.cdiv(positions, TILE["POSITIONS"]), triton.cdiv(d, TILE["CHANNELS"])
    write_outputs[grid](pixels(image), entries, Y, *sizes, **TILE, SUM=sums(kernel)[1])
    return Y.permute(0, 3, 1, 2)


def sums(kernel: Tensor) -> tuple[torch.dtype, Any]:
    """The type in which products are added up, of PyTorch and of Triton."""
    if kernel.dtype == torch.float64:
        return torch.float64, tl.float64
    return torch.float32, tl.float32


def pixels(image: Tensor) -> Tensor:
    """The same, channels last as Triton reads it."""
    return image.permute(0, 2, 3, 1).contiguous()


def numbers(image: Tensor, kernel: Tensor, padding: tuple[int, int]) -> tuple[int, ...]:
    """What both programs are told: positions, sizes, padding, values of a window."""
    (b, c, h, w), (d, _, k_h, k_w) = image.shape, kernel.shape
    h_out, w_out = places((h, w), (k_h, k_w), padding)
    return b * h_out * w_out, h, w, c, h_out, w_out, d, k_w, *padding, k_h * k_w * c
