"""The definition: seven nested loops."""

import itertools

import torch.nn.functional as F
from torch import Tensor

from helpers.conv import Size, check_input, output_size, pair
from helpers.ways.model import VALUE_BYTES, Case, Cost, Counts, Phase
from helpers.ways.record import Way


def convolve_loops(
    input_batch: Tensor,
    kernel: Tensor,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
    bias: Tensor | None = None,
) -> Tensor:
    """Convolve by definition, in seven nested loops, Equation (1.8)."""
    check_input(input_batch, kernel.shape[1])
    (B, C, h, w), (D, _, k_h, k_w) = input_batch.shape, kernel.shape
    h_out, w_out = output_size((h, w), (k_h, k_w), stride, padding, dilation)
    (s_h, s_w), (d_h, d_w) = pair(stride, "stride", 1), pair(dilation, "dilation", 1)
    P_h, P_w = pair(padding, "padding", 0)
    padded = F.pad(input_batch, (P_w, P_w, P_h, P_h))
    output = input_batch.new_empty(B, D, h_out, w_out)
    for n, d, i, j in itertools.product(*map(range, output.shape)):
        total = 0.0 if bias is None else bias[d]
        for c, p, q in itertools.product(range(C), range(k_h), range(k_w)):
            pixel = padded[n, c, i * s_h + p * d_h, j * s_w + q * d_w]
            total = total + pixel * kernel[d, c, p, q]
        output[n, d, i, j] = total
    return output


def cost(case: Case) -> Cost:
    """P N C O multiply-adds, each of four calls: two look-ups, a product, a sum.

    Each reads two values, then reads and writes the sum. Memory: Z + Y.
    """
    n = Counts(case)
    work = Phase("loop", 4 * n.macs, 4 * n.macs, n.macs)
    return Cost((work,), VALUE_BYTES * (n.Z + n.Y))


WAY = Way("loops", convolve_loops, cost)
