"""The definition: seven nested loops."""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.checks import whole
from helpers.conv import Size, check_tensors, output_size, pairs
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
    """Convolve by definition, in seven nested loops, Equation (1.8).

    torch.export cannot leave the sizes open here: the loops run over them.
    """
    check_tensors(input_batch, kernel, bias)
    (B, C, h, w), (D, _, k_h, k_w) = input_batch.shape, kernel.shape
    whole(B, "the number of images", 1)
    h_out, w_out = output_size((h, w), (k_h, k_w), stride, padding, dilation)
    (s_h, s_w), (P_h, P_w), (d_h, d_w) = pairs(stride, padding, dilation)
    padded = F.pad(input_batch, (P_w, P_w, P_h, P_h))
    bias, output = kernel.new_zeros(D) if bias is None else bias, []
    for n, d, i, j in itertools.product(*map(range, (B, D, h_out, w_out))):
        total = bias[d]
        for c, p, q in itertools.product(range(C), range(k_h), range(k_w)):
            pixel = padded[n, c, i * s_h + p * d_h, j * s_w + q * d_w]
            total = total + pixel * kernel[d, c, p, q]
        output.append(total)
    return torch.stack(output).reshape(B, D, h_out, w_out)


def cost(case: Case) -> Cost:
    """P N C O multiply-adds, each of four calls: two look-ups, a product, a sum.

    Each reads two values, then reads and writes the sum. Memory: Z + Y.
    """
    n = Counts(case)
    work = Phase("loop", 4 * n.macs, 4 * n.macs, n.macs)
    return Cost((work,), VALUE_BYTES * (n.Z + n.Y))


WAY = Way("loops", convolve_loops, cost)
