"""Winograd's F(4, 3), down the image: 6 products instead of 12 for 4 rows."""

from collections.abc import Iterator, Sequence
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
    geometry,
    places,
    slices,
    without_surplus,
    workspace,
)
from helpers.ways.guard import guarded
from helpers.ways.model import VALUE_BYTES, Case, Cost, Counts, Phase, matmul
from helpers.ways.record import Way

# y = A [(G k) * (B x)]: four outputs y of a kernel of three over six pixels x.
WINOGRAD_A = torch.tensor(
    [
        [1.0, 1, 1, 1, 1, 0],
        [0, 1, -1, 2, -2, 0],
        [0, 1, 1, 4, 4, 0],
        [0, 1, -1, 8, -8, 1],
    ]
)
WINOGRAD_B = torch.tensor(
    [
        [4.0, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
WINOGRAD_G = (
    torch.tensor(
        [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]
    ).double()
    / 24
)  # divided in double precision, as 1/6 is rounded


def convolve_winograd(
    input_batch: Tensor, kernel: Tensor, stride: Size = 1, padding: Size = 0
) -> Tensor:
    """Convolve kernels of 3 rows with 6 instead of 12 products per 4 rows of outputs.

    Half precision is transformed as float32. Raises ValueError for other kernels and
    for strides but 1. Source: F(4, 3) of arXiv:1509.09308, along one axis.
    """
    stride, padding, _ = geometry(input_batch, kernel, stride, padding)
    if kernel.shape[2] != 3 or stride != (1, 1):
        raise ValueError(
            f"the kernel is {tuple(kernel.shape[2:])}, the stride {stride}: Winograd "
            "F(4, 3) takes kernels of 3 rows at stride 1; use another way"
        )
    return _by_points(input_batch, kernel, stride, padding)


@guarded
def _by_points(image: Tensor, kernel: Tensor, stride: Pair, padding: Pair) -> Tensor:
    """Convolve a kernel of 3 rows at stride 1."""
    if image.dtype in (torch.float16, torch.bfloat16):
        with torch.autocast(image.device.type, enabled=False):
            Y = WinogradRows.compute(image.float(), kernel.float(), padding)
        return Y.to(image.dtype)
    return WinogradRows.compute(image, kernel, padding)


class WinogradRows(StrideOne):
    """Stride-1 convolution, channels last inside, of a kernel of 3 rows."""

    @staticmethod
    def forward(image: Tensor, kernel: Tensor, padding: Pair) -> Tensor:
        Y = winograd_rows(image.permute(0, 2, 3, 1), kernel, padding)
        return Y.permute(0, 3, 1, 2)

    @staticmethod
    @first_derivative
    def backward(ctx: Any, dY: Tensor) -> tuple[Tensor, Tensor]:
        image, kernel = ctx.saved_tensors
        image, dY = image.permute(0, 2, 3, 1), dY.permute(0, 2, 3, 1)
        c_out, c, _, k_w = kernel.shape
        dX = winograd_rows(dY, *adjoint(kernel, ctx.padding))
        dW = kernel.new_zeros(k_w, 6, c, c_out)
        for images, (n, rows, pitch), taps in transformed(image, kernel, ctx.padding):
            parts = workspace.take("parts", dY, n, rows, 4, pitch, c_out).zero_()
            parts.flatten(1, 2)[:, : dY.shape[1], : dY.shape[2]] = dY[images]
            points = workspace.take("points", dY, 6, n, rows, pitch, c_out)
            outputs_to_points(parts.unbind(2), points)
            for tap, total in zip(taps, dW, strict=True):
                total.baddbmm_(tap.transpose(1, 2), points.view(6, -1, c_out))
        dK = torch.einsum("pn,mpco->ocnm", WINOGRAD_G.to(kernel), dW)
        return dX.permute(0, 3, 1, 2), dK


def winograd_rows(image: Tensor, kernel: Tensor, padding: Pair) -> Tensor:
    """Return the convolution of a channels-last image, channels last as well."""
    c_out, size = len(kernel), places(image.shape[1:3], kernel.shape[2:], padding)
    Y = image.new_empty(len(image), *size, c_out)
    weights = torch.einsum("pn,ocnm->mpco", WINOGRAD_G.to(kernel), kernel).contiguous()
    for images, (n, rows, pitch), taps in transformed(image, kernel, padding):
        points = workspace.take("points", image, 6, n, rows, pitch, c_out)
        product = points.view(6, -1, c_out)
        torch.bmm(taps[0], weights[0], out=product)
        for tap, weight in zip(taps[1:], weights[1:], strict=True):
            product.baddbmm_(tap, weight)
        part = Y[images]
        if size[0] % 4:  # the last tile has rows that are cut off
            part = workspace.take("parts", image, n, 4 * rows, size[1], c_out)
        outputs = part.unflatten(1, (rows, 4)).unbind(2)
        points_to_outputs(points[..., : size[1], :], outputs)
        if size[0] % 4:
            Y[images] = part[:, : size[0]]
    return Y


def transformed(
    image: Tensor, kernel: Tensor, padding: Pair
) -> Iterator[tuple[slice, tuple[int, int, int], list[Tensor]]]:
    """Yield images, their (number, tiles down, pixels in a row), and `taps`, in blocks.

    A tap (6, positions, channels) is the image at the six points, for one column of the
    kernel: all taps lie in the same memory, each starting one pixel later.
    """
    image, (above, left) = without_surplus(image, padding)
    (b, h, w, c), (c_out, _, _, k_w) = image.shape, kernel.shape
    h_out, w_out = places((h, w), (3, k_w), (above, left))
    # The zeros before a row of pixels are also those behind the row above.
    rows, pitch = -(-h_out // 4), max(w + left, w_out)
    at_once = images_at_once(b, rows * pitch, max(c, c_out), image.element_size())
    padded = workspace.take("padded", image, at_once, 4 * rows + 2, pitch, c).zero_()
    buffer = workspace.take("pixels", image, 6 * at_once * rows * pitch + k_w - 1, c)
    for images in slices(b, at_once):
        n = images.stop - images.start
        padded[:n, above : above + h, left : left + w] = image[images]
        count = 6 * n * rows * pitch
        taps = [buffer[m : m + count].view(6, -1, c) for m in range(k_w)]
        pixels = [padded[:n, k : k + 4 * rows - 3 : 4] for k in range(6)]
        pixels_to_points(pixels, taps[0].view(6, n, rows, pitch, c))
        buffer[count : count + k_w - 1] = 0
        yield images, (n, rows, pitch), taps


def images_at_once(batch: int, positions: int, channels: int, value_bytes: int) -> int:
    """How many images a block holds, of some positions at six points."""
    return even_share(
        batch, common.BLOCK_BYTES // (6 * positions * channels * value_bytes)
    )


def pixels_to_points(x: Sequence[Tensor], points: Tensor) -> None:
    """Write B x, of six pixels, by twelve additions; 0 and 5 hold what two share."""
    even, odd = points[0], points[5]
    torch.sub(x[4], x[2], alpha=4, out=even)
    torch.sub(x[3], x[1], alpha=4, out=odd)
    torch.add(even, odd, out=points[1])
    torch.sub(even, odd, out=points[2])
    torch.sub(x[4], x[2], out=even)
    torch.sub(x[3], x[1], out=odd)
    torch.add(even, odd, alpha=2, out=points[3])
    torch.sub(even, odd, alpha=2, out=points[4])
    even.add_(x[0], alpha=4).sub_(x[2], alpha=4)
    torch.sub(x[5], odd, alpha=4, out=odd).sub_(x[3])


def points_to_outputs(points: Tensor, y: Sequence[Tensor]) -> None:
    """Write A p, of the values p at six points, by ten additions; overwrites p."""
    p = points
    torch.add(p[1], p[2], out=y[0])
    torch.add(p[3], p[4], out=y[2])
    p[1].sub_(p[2])
    p[3].sub_(p[4])
    torch.add(p[1], p[3], alpha=2, out=y[1])
    torch.add(p[1], p[3], alpha=8, out=y[3]).add_(p[5])
    torch.add(y[0], y[2], out=p[2])
    torch.add(y[0], y[2], alpha=4, out=y[2])
    torch.add(p[0], p[2], out=y[0])


def outputs_to_points(y: Sequence[Tensor], points: Tensor) -> None:
    """Write y A, of four gradients y, by eight additions and two copies."""
    even, odd = points[0], points[5]
    torch.add(y[0], y[2], out=even)
    torch.add(y[1], y[3], out=odd)
    torch.add(even, odd, out=points[1])
    torch.sub(even, odd, out=points[2])
    torch.add(y[0], y[2], alpha=4, out=even)
    torch.add(y[1], y[3], alpha=4, out=odd)
    torch.add(even, odd, alpha=2, out=points[3])
    torch.sub(even, odd, alpha=2, out=points[4])
    even.copy_(y[0])
    odd.copy_(y[3])


def cost(case: Case) -> Cost:
    """Products at 6 points for 4 rows of outputs, C O for each column of a kernel.

    There are L positions, of tiles of 4 rows and padded columns. The image is padded
    (X + Z), taken to the points (12 additions of L C), multiplied (18 L C O), taken
    back (10 additions of the outputs' positions), and copied to its place (2 Y) where
    tiles do not fit. Memory: Y, 18 C O, and Z + 6 L (C + O) of one block, and its
    outputs once more.
    """
    n = Counts(case)
    tiles, pitch = -(-case.size_out // 4), max(case.size + case.padding, case.size_out)
    at_once = images_at_once(case.batch, tiles * pitch, max(n.C, n.O), VALUE_BYTES)
    blocks = -(-case.batch // at_once)
    per_image = tiles * pitch
    kept = case.batch * tiles * case.size_out
    L, Z = case.batch * per_image, case.batch * (4 * tiles + 2) * pitch * n.C
    phases = (
        Phase("guard", 1, 0),
        Phase("matmul", 1, 27 * n.C * n.O, 54 * n.C * n.O),
        Phase("copy", blocks, n.X + Z),
        Phase("add", 12 * blocks, 36 * L * n.C, 12 * L * n.C),
        *matmul(
            3 * blocks, 18 * L * n.C, 18 * n.C * n.O, 36 * L * n.O, 18 * L * n.C * n.O
        ),
        Phase("add", 10 * blocks, 30 * kept * n.O, 10 * kept * n.O),
        Phase("copy", blocks, 2 * n.Y * (case.size_out % 4 > 0)),
    )
    block = at_once * per_image
    held = Z * at_once // case.batch + 6 * block * (n.C + n.O)
    if case.size_out % 4:
        held += 4 * at_once * tiles * case.size_out * n.O
    return Cost(phases, VALUE_BYTES * (n.Y + 18 * n.C * n.O + held))


WAY = Way(
    "Winograd",
    convolve_winograd,
    cost,
    whole_pixels=lambda case: True,
    fits=lambda case: (case.kernel_size, case.stride) == (3, 1),
)
