"""Patches in blocks that stay in the cache, one product for each block."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.conv import Size, output_size
from helpers.ways import common
from helpers.ways.common import (
    Pair,
    StrideOne,
    adjoint,
    block_buffer,
    first_derivative,
    pad_pixels,
    product,
    slices,
    without_stride,
)
from helpers.ways.guard import guarded
from helpers.ways.model import VALUE_BYTES, Case, Cost, Counts, Phase, stride_removed
from helpers.ways.record import Way

# With fewer channels, image rows are longer runs of memory than pixels are.
FEW_CHANNELS = 16


@guarded
def convolve_im2row(
    input_batch: Tensor, kernel: Tensor, stride: Size = 1, padding: Size = 0
) -> Tensor:
    """Convolve by products with as many patches at a time as the cache holds.

    The patches are rows in channels-last order, so that whole pixels are copied; where
    a pixel has few channels they are columns, so that whole image rows are.
    """
    image, kernel, padding = without_stride(input_batch, kernel, stride, padding)
    few = kernel.shape[1] < FEW_CHANNELS
    return (PatchColumns if few else PatchRows).apply(image, kernel, padding)


class PatchRows(StrideOne):
    """Stride-1 convolution, channels last inside, with its patches as rows."""

    @staticmethod
    def forward(image: Tensor, kernel: Tensor, padding: Pair) -> Tensor:
        image = image.permute(0, 2, 3, 1)
        (b, h, w, _), (c_out, _, k_h, k_w) = image.shape, kernel.shape
        Y = image.new_empty(b, *output_size((h, w), (k_h, k_w), 1, padding), c_out)
        W = kernel.permute(2, 3, 1, 0).reshape(-1, c_out)
        for images, rows, U in patch_rows(image, (k_h, k_w), padding):
            part = Y[images, rows]
            part.copy_(product(U, W).view_as(part))
        return Y.permute(0, 3, 1, 2)

    @staticmethod
    @first_derivative
    def backward(ctx: Any, dY: Tensor) -> tuple[Tensor, Tensor, None]:
        image, kernel = ctx.saved_tensors
        image, dY = image.permute(0, 2, 3, 1), dY.permute(0, 2, 3, 1)
        c_out, c, k_h, k_w = kernel.shape
        flipped, padding = adjoint(kernel, ctx.padding)
        W = flipped.permute(2, 3, 1, 0).reshape(-1, c)
        dX, dW = torch.empty_like(image), W.new_zeros(c, len(W))
        # One copy of the patches of dY serves both gradients.
        for images, rows, U in patch_rows(dY, (k_h, k_w), padding):
            part = dX[images, rows]
            part.copy_(product(U, W).view_as(part))
            dW += product(image[images, rows].reshape(-1, c).T, U)
        dK = dW.view(c, k_h, k_w, c_out).flip(1, 2).permute(3, 0, 1, 2)
        return dX.permute(0, 3, 1, 2), dK, None


def patch_rows(
    image: Tensor, kernel_size: Pair, padding: Pair
) -> Iterator[tuple[slice, slice, Tensor]]:
    """Yield images, rows of the output and their patches (positions, k), in blocks.

    All blocks are written to the same memory, one after the other.
    """
    (b, h, w, c), (k_h, k_w), (above, left) = image.shape, kernel_size, padding
    h_out, w_out = h + 2 * above - k_h + 1, w + 2 * left - k_w + 1
    buffer, at_once = block_buffer(image, b * h_out, w_out * k_h * k_w * c)
    for images in slices(b, at_once // h_out):
        # A view (b, h, w_out, k_w * c): neighbouring pixels are one run of memory.
        runs = pad_pixels(image[images], padding).flatten(2).unfold(2, k_w * c, c)
        for rows in slices(h_out, at_once):
            parts = [runs[:, rows.start + n : rows.stop + n] for n in range(k_h)]
            block = buffer[: k_h * parts[0].numel()].view(*parts[0].shape[:3], -1)
            yield images, rows, torch.cat(parts, 3, out=block).flatten(0, 2)


class PatchColumns(StrideOne):
    """Stride-1 convolution of an image with its patches as columns."""

    @staticmethod
    def forward(image: Tensor, kernel: Tensor, padding: Pair) -> Tensor:
        (b, _, h, w), (c_out, _, k_h, k_w) = image.shape, kernel.shape
        size = output_size((h, w), (k_h, k_w), 1, padding)
        Y = image.new_empty(b, c_out, *size).transpose(0, 1)
        for images, rows, U in patch_columns(image, (k_h, k_w), padding):
            part = Y[:, images, rows]
            part.copy_(product(kernel.flatten(1), U).view_as(part))
        return Y.transpose(0, 1)

    @staticmethod
    @first_derivative
    def backward(ctx: Any, dY: Tensor) -> tuple[Tensor, Tensor, None]:
        image, kernel = ctx.saved_tensors
        (b, c, h, w), (c_out, _, k_h, k_w) = image.shape, kernel.shape
        (above, left), w_out = ctx.padding, dY.shape[3]
        W = kernel.flatten(1)
        dX = image.new_zeros(b, c, h + 2 * above, w + 2 * left).transpose(0, 1)
        dW = torch.zeros_like(W)
        for images, rows, U in patch_columns(image, (k_h, k_w), ctx.padding):
            part = dY.transpose(0, 1)[:, images, rows]
            dY_part = part.reshape(c_out, -1)
            dW += product(dY_part, U.T)
            dU = product(W.T, dY_part).view(c, k_h, k_w, *part.shape[1:])
            for n, m in itertools.product(range(k_h), range(k_w)):
                reached = slice(rows.start + n, rows.stop + n)
                dX[:, images, reached, m : m + w_out] += dU[:, n, m]
        dX = dX.transpose(0, 1)[:, :, above : above + h, left : left + w]
        return dX.contiguous(), dW.view_as(kernel), None


def patch_columns(
    image: Tensor, kernel_size: Pair, padding: Pair
) -> Iterator[tuple[slice, slice, Tensor]]:
    """Yield images, rows of the output and their patches (k, positions), in blocks.

    All blocks are written to the same memory, one after the other.
    """
    (b, c, h, w), (k_h, k_w), (above, left) = image.shape, kernel_size, padding
    h_out, w_out = h + 2 * above - k_h + 1, w + 2 * left - k_w + 1
    buffer, at_once = block_buffer(image, b * h_out, w_out * k_h * k_w * c)
    for images in slices(b, at_once // h_out):
        padded = F.pad(image[images], (left, left, above, above))
        # A view (c, k_h, k_w, b, h_out, w_out) of all patches.
        windows = padded.unfold(2, k_h, 1).unfold(3, k_w, 1).permute(1, 4, 5, 0, 2, 3)
        for rows in slices(h_out, at_once):
            part = windows[..., rows, :]
            block = buffer[: part.numel()].view(part.shape).copy_(part)
            yield images, rows, block.view(c * k_h * k_w, -1)


def cost(case: Case) -> Cost:
    """As unfold, in blocks: copy (2 U), product (U + K + Y), copy to its place (2 Y).

    Memory: Y, and Z + U + Y of one block. With a stride, the cost of `stride_removed`
    on top.
    """
    case, strided, kept = stride_removed(case)
    n = Counts(case)
    row_bytes = VALUE_BYTES * n.U // (case.batch * case.size_out)
    at_once = common.BLOCK_BYTES // row_bytes
    images = list(slices(case.batch, at_once // case.size_out))
    rows = list(slices(case.size_out, at_once))
    blocks = len(images) * len(rows)
    copies = 1 if n.C < FEW_CHANNELS else case.kernel_size
    phases = (
        *strided,
        Phase("copy", len(images), n.X + n.Z),
        Phase("copy", blocks * copies, 2 * n.U),
        Phase("product", blocks, n.U + n.K + n.Y, n.macs),
        Phase("copy", blocks, 2 * n.Y),
    )
    block = Counts(replace(case, batch=images[0].stop))
    held = block.Z + (block.U + block.Y) * rows[0].stop / case.size_out
    return Cost(phases, round(VALUE_BYTES * (kept + n.Y + held)))


WAY = Way(
    "im2row",
    convolve_im2row,
    cost,
    whole_pixels=lambda case: case.in_channels >= FEW_CHANNELS,
)
