"""One copy of all patches, one product."""

import torch.nn.functional as F
from torch import Tensor

from helpers.conv import Size
from helpers.ways.common import geometry
from helpers.ways.model import VALUE_BYTES, Case, Cost, Counts, Phase, matmul
from helpers.ways.record import Way


def convolve_unfold(
    input_batch: Tensor, kernel: Tensor, stride: Size = 1, padding: Size = 0
) -> Tensor:
    """Convolve by one product of the kernel with the matrix of all patches."""
    stride, padding, size = geometry(input_batch, kernel, stride, padding)
    U = F.unfold(input_batch, kernel.shape[2:], stride=stride, padding=padding)
    return (kernel.flatten(1) @ U).unflatten(2, size)


def cost(case: Case) -> Cost:
    """One copy (2 U) and one product (U + K + Y, P N C O multiply-adds).

    Memory: U + Y. At stride 1, with padding that keeps the size, U is N times X.
    """
    n = Counts(case)
    copy = Phase("unfold", 1, 2 * n.U)
    phases = copy, *matmul(1, n.U, n.K, n.Y, n.macs)
    return Cost(phases, VALUE_BYTES * (n.U + n.Y))


WAY = Way("unfold", convolve_unfold, cost)
