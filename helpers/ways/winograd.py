"""Winograd's F(2, 3): 16 instead of 36 products for 2 x 2 outputs."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.conv import Pair, Size
from helpers.ways.common import geometry
from helpers.ways.guard import guarded
from helpers.ways.model import VALUE_BYTES, Case, Cost, Counts, Phase
from helpers.ways.record import Way

# Outputs, tiles and kernels of 1-dimensional F(2, 3).
WINOGRAD_A = torch.tensor([[1.0, 1, 1, 0], [0, 1, -1, -1]])
WINOGRAD_B = torch.tensor([[1.0, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
WINOGRAD_G = torch.tensor([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])


def convolve_winograd(
    input_batch: Tensor, kernel: Tensor, stride: Size = 1, padding: Size = 0
) -> Tensor:
    """Convolve 3 x 3 kernels with 16 instead of 36 products per 2 x 2 outputs.

    Y = A [(G K G^T) * (B d B^T)] A^T for every 4 x 4 tile d, as one product each with
    the Kronecker squares of A, B and G. Raises ValueError for other kernels and for
    strides but 1. Source: F(2 x 2, 3 x 3) of arXiv:1509.09308.
    """
    stride, padding, _ = geometry(input_batch, kernel, stride, padding)
    if tuple(kernel.shape[2:]) != (3, 3) or stride != (1, 1):
        raise ValueError(
            f"the kernel is {tuple(kernel.shape[2:])}, the stride {stride}: Winograd "
            "F(2, 3) takes 3 x 3 kernels at stride 1; use another way"
        )
    return _by_tiles(input_batch, kernel, stride, padding)


@guarded
def _by_tiles(
    input_batch: Tensor, kernel: Tensor, stride: Pair, padding: Pair
) -> Tensor:
    """Convolve a 3 x 3 kernel at stride 1."""
    _, (above, left), (h_out, w_out) = geometry(input_batch, kernel, stride, padding)
    (b, c, h, w), c_out = input_batch.shape, kernel.shape[0]
    A, B, G = (
        torch.kron(M, M).to(kernel) for M in (WINOGRAD_A, WINOGRAD_B, WINOGRAD_G)
    )
    rows, columns = -(-h_out // 2), -(-w_out // 2)
    right, below = 2 * columns + 2 - w - left, 2 * rows + 2 - h - above
    padded = F.pad(input_batch, (left, right, above, below))

    tiles = padded.unfold(2, 4, 2).unfold(3, 4, 2).permute(4, 5, 0, 2, 3, 1)
    tiles = (B @ tiles.reshape(16, -1)).view(16, -1, c)
    weights = (G @ kernel.permute(2, 3, 1, 0).reshape(9, -1)).view(16, c, c_out)
    Y = (A @ (tiles @ weights).view(16, -1)).view(2, 2, b, rows, columns, c_out)
    Y = Y.permute(2, 5, 3, 0, 4, 1).reshape(b, c_out, 2 * rows, 2 * columns)
    return Y[:, :, :h_out, :w_out].contiguous()


def cost(case: Case) -> Cost:
    """16 products C O per tile of 2 x 2 outputs, T tiles, instead of 36.

    Tiles are copied (2 x 16 T C), transformed by a 16 x 16 matrix (2 x 16 T C),
    multiplied (16 T (C + O)), transformed back by a 4 x 16 matrix (20 T O) and copied
    (2 Y). Memory: Z + 16 T C + 16 C O + 20 T O.
    """
    n = Counts(case)
    tiles = math.ceil(case.size_out / 2)
    T = case.batch * tiles**2
    Z = case.batch * n.C * (2 * tiles + 2) ** 2
    phases = (
        Phase("copy", 3, n.X + Z + 32 * T * n.C + 2 * n.Y),
        Phase("matmul", 1, 32 * T * n.C, 16 * 16 * T * n.C),
        Phase("matmul", 1, 25 * n.C * n.O, 16 * 9 * n.C * n.O),
        Phase("matmul", 16, 16 * (T * n.C + n.C * n.O + T * n.O), 16 * T * n.C * n.O),
        Phase("matmul", 1, 20 * T * n.O, 4 * 16 * T * n.O),
    )
    memory = Z + 16 * T * n.C + 16 * n.C * n.O + 20 * T * n.O
    return Cost(phases, VALUE_BYTES * memory)


WAY = Way(
    "Winograd",
    convolve_winograd,
    cost,
    fits=lambda case: (case.kernel_size, case.stride) == (3, 1),
)
