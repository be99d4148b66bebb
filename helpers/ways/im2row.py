"""Patches in blocks that stay in the cache, one product for each block."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from helpers.conv import Size, pairs
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
    if kernel.shape[1] < FEW_CHANNELS:
        stride, padding, _ = pairs(stride, padding)
        return PatchColumns.compute(input_batch, kernel, padding, stride)
    return PatchRows.compute(*without_stride(input_batch, kernel, stride, padding))


class PatchRows(StrideOne):
    """Stride-1 convolution, channels last inside, with its patches as rows."""

    @staticmethod
    def forward(image: Tensor, kernel: Tensor, padding: Pair) -> Tensor:
        image = image.permute(0, 2, 3, 1)
        (c_out, _, k_h, k_w), size = kernel.shape, image.shape[1:3]
        h_out, w_out = places(size, (k_h, k_w), padding)
        Y = image.new_empty(len(image), h_out, w_out, c_out)
        W = kernel.permute(2, 3, 1, 0).reshape(-1, c_out)
        for images, rows, U in patch_rows(image, (k_h, k_w), padding):
            product(U, W, out=Y[images, rows].view(-1, c_out))
        return Y.permute(0, 3, 1, 2)

    @staticmethod
    @first_derivative
    def backward(ctx: Any, dY: Tensor) -> tuple[Tensor, Tensor]:
        image, kernel = ctx.saved_tensors
        image, dY = image.permute(0, 2, 3, 1), dY.permute(0, 2, 3, 1)
        c_out, c, k_h, k_w = kernel.shape
        flipped, padding = adjoint(kernel, ctx.padding)
        W = flipped.permute(2, 3, 1, 0).reshape(-1, c)
        dX, dW = image.new_empty(image.shape), W.new_zeros(c, len(W))
        # One copy of the patches of dY serves both gradients.
        for images, rows, U in patch_rows(dY, (k_h, k_w), padding):
            product(U, W, out=dX[images, rows].view(-1, c))
            dW.addmm_(image[images, rows].reshape(-1, c).T, U)
        dK = dW.view(c, k_h, k_w, c_out).flip(1, 2).permute(3, 0, 1, 2)
        return dX.permute(0, 3, 1, 2), dK


def patch_rows(
    image: Tensor, kernel_size: Pair, padding: Pair
) -> Iterator[tuple[slice, slice, Tensor]]:
    """Yield images, rows of the output and their patches (positions, k), in blocks.

    All blocks are written to the same memory, one after the other: fresh memory would
    have to be mapped, page by page, every time.
    """
    image, (above, left) = without_surplus(image, padding)
    (b, h, w, c), (k_h, k_w) = image.shape, kernel_size
    h_out, w_out = places((h, w), kernel_size, (above, left))
    values = w_out * k_h * k_w * c  # of the patches of a row
    images_at_once, rows_at_once = block_size(b, h_out, values * image.element_size())
    values *= images_at_once * rows_at_once
    buffer = workspace.take("patches", image, values)
    size = h + 2 * above, w + 2 * left
    padded = workspace.take("padded", image, images_at_once, *size, c).zero_()
    # A view (images, h, w_out, k_w * c): neighbouring pixels are one run of memory.
    runs = padded.flatten(2).unfold(2, k_w * c, c)
    for images in slices(b, images_at_once):
        n = images.stop - images.start
        padded[:n, above : above + h, left : left + w] = image[images]
        for rows in slices(h_out, rows_at_once):
            parts = [runs[:n, rows.start + p : rows.stop + p] for p in range(k_h)]
            block = buffer[: k_h * parts[0].numel()].view(*parts[0].shape[:3], -1)
            yield images, rows, torch.cat(parts, 3, out=block).flatten(0, 2)


class PatchColumns(StrideOne):
    """Convolution of an image, at any stride, with its patches as columns."""

    @staticmethod
    def forward(image: Tensor, kernel: Tensor, padding: Pair, stride: Pair) -> Tensor:
        size = places(image.shape[2:], kernel.shape[2:], padding, stride)
        Y, W = image.new_empty(len(image), len(kernel), *size), kernel.flatten(1)
        for images, rows, U in patch_columns(image, kernel.shape[2:], padding, stride):
            multiply(W, U, out=positions(Y, images, rows))
        return Y

    @staticmethod
    @first_derivative
    def backward(ctx: Any, dY: Tensor) -> tuple[Tensor, Tensor]:
        image, kernel = ctx.saved_tensors
        (k_h, k_w), right = kernel.shape[2:], ctx.stride[1]
        W, dY, dX = kernel.flatten(1), dY.contiguous(), image.new_empty(image.shape)
        dW = torch.zeros_like(W)
        sizes = (k_h, k_w), ctx.padding, ctx.stride
        for images, rows, U in patch_columns(image, *sizes):
            part = positions(dY, images, rows)
            for dY_of_image, U_of_image in zip(part, U, strict=True):
                dW.addmm_(dY_of_image, U_of_image.T)
            dU = workspace.take("gradient of patches", U, *U.shape)
            multiply(W.T, part, out=dU)
            if rows.start == 0:
                cells = image_cells("gradient", image[images], ctx.padding, right)
            spread = dU.view(len(U), -1, k_h, k_w, rows.stop - rows.start, dY.shape[3])
            for r, windows in enumerate(
                window_views(cells, (k_h, k_w), ctx.stride, dY.shape[3])
            ):
                for p, q in itertools.product(range(k_h), range(windows.shape[3])):
                    windows[:, :, p, q, rows] += spread[:, :, p, q * right + r]
            if rows.stop == dY.shape[2]:
                for columns, place in columns_of_cells(cells, image, ctx.padding):
                    dX[images, ..., columns] = place
        return dX, dW.view_as(kernel)


def patch_columns(
    image: Tensor, kernel_size: Sequence[int], padding: Pair, stride: Pair
) -> Iterator[tuple[slice, slice, Tensor]]:
    """Yield images, rows of the output and patches (images, k, positions), in blocks.

    All blocks are written to the same memory, one after the other.
    """
    (b, c), (k_h, k_w) = image.shape[:2], kernel_size
    h_out, w_out = places(image.shape[2:], kernel_size, padding, stride)
    values = w_out * k_h * k_w * c  # of the patches of a row
    images_at_once, rows_at_once = block_size(b, h_out, values * image.element_size())
    values *= images_at_once * rows_at_once
    buffer = workspace.take("patches", image, values)
    all_cells = image_cells("padded", image[:images_at_once], padding, stride[1])
    for images in slices(b, images_at_once):
        cells = all_cells[: images.stop - images.start]
        for columns, place in columns_of_cells(cells, image, padding):
            place.copy_(image[images, ..., columns])
        views = window_views(cells, kernel_size, stride, w_out)
        for rows in slices(h_out, rows_at_once):
            shape = len(cells), c, k_h, k_w, rows.stop - rows.start, w_out
            U = buffer[: math.prod(shape)].view(shape)
            for r, windows in enumerate(views):
                U[:, :, :, r :: stride[1]] = windows[..., rows, :]
            yield images, rows, U.view(len(cells), c * k_h * k_w, -1)


def image_cells(name: str, image: Tensor, padding: Pair, right: int) -> Tensor:
    """Zeros (images, channels, padded rows, right, columns) for an image with padding.

    Every column of pixels has its place with those that lie whole steps of the stride
    from it, so that a row of windows reads neighbours.
    """
    (b, c, h, w), (above, left) = image.shape, padding
    wide = -(-(w + 2 * left) // right)
    return workspace.take(name, image, b, c, h + 2 * above, right, wide).zero_()


def columns_of_cells(
    cells: Tensor, image: Tensor, padding: Pair
) -> Iterator[tuple[slice, Tensor]]:
    """Yield columns of an image, and the place where `cells` hold them."""
    (h, w), (above, left), right = image.shape[2:], padding, cells.shape[3]
    for r in range(right):
        first = (r - left) % right
        start, number = (first + left) // right, len(range(first, w, right))
        place = cells[:, :, above : above + h, r, start : start + number]
        yield slice(first, None, right), place


def window_views(
    cells: Tensor, kernel_size: Sequence[int], stride: Pair, w_out: int
) -> list[Tensor]:
    """Views (images, c, k_h, q, h_out, w_out) for kernel columns q, q + stride, ..."""
    (k_h, k_w), (down, right) = kernel_size, stride
    return [
        cells[:, :, :, r]
        .unfold(2, k_h, down)
        .unfold(3, len(range(r, k_w, right)), 1)[:, :, :, :w_out]
        .permute(0, 1, 4, 5, 2, 3)
        for r in range(min(right, k_w))
    ]


def positions(Y: Tensor, images: slice, rows: slice) -> Tensor:
    """A view (images, channels, positions) of some rows of some images."""
    w = Y.shape[3]
    return Y.flatten(2)[images, :, rows.start * w : rows.stop * w]


def multiply(left: Tensor, right: Tensor, out: Tensor) -> None:
    """Write the products of one matrix with several."""
    if len(right) == 1:
        product(left, right[0], out=out[0])
    else:
        torch.bmm(left.expand(len(right), -1, -1), right, out=out)


def block_size(images: int, rows: int, row_bytes: int) -> tuple[int, int]:
    """How many images, or how many rows of one, a block holds; at least one.

    Half of BLOCK_BYTES are patches: the product makes a copy of its own of them.
    """
    fitting = common.BLOCK_BYTES // 2 // row_bytes
    if fitting < rows:
        return 1, even_share(rows, fitting)
    return even_share(images, fitting // rows), rows


def cost(case: Case) -> Cost:
    """As unfold, in blocks: copy (2 U), product (U + K + Y) to its place.

    Memory: Y, and Z + U of one block. Where patches are rows, a stride costs what
    `stride_removed` says on top, and each row of the kernel is a copy of its own;
    where they are columns, each step of a stride.
    """
    few = case.in_channels < FEW_CHANNELS
    copies = min(case.stride, case.kernel_size)
    strided: tuple[Phase, ...] = ()
    kept = 0
    if not few:
        case, strided, kept = stride_removed(case)
        copies = case.kernel_size
    n = Counts(case)
    row_values = n.U // (case.batch * case.size_out)
    images, rows = block_size(case.batch, case.size_out, VALUE_BYTES * row_values)
    groups = math.ceil(case.batch / images)
    blocks = groups * math.ceil(case.size_out / rows)
    phases = (
        Phase("guard", 1, 0),
        *strided,
        Phase("copy", groups, n.X + n.Z),
        Phase("copy", blocks * copies, 2 * n.U),
        *matmul(blocks, n.U, n.K, n.Y, n.macs),
    )
    held = n.Z // case.batch * images + row_values * images * rows
    return Cost(phases, VALUE_BYTES * (kept + n.Y + held))


WAY = Way(
    "im2row",
    convolve_im2row,
    cost,
    whole_pixels=lambda case: case.in_channels >= FEW_CHANNELS,
)
