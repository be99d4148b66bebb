"""One product for each frequency: the transform turns shifts into factors."""

import math

import scipy.fft
import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.conv import Size
from helpers.ways.common import without_stride
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
def convolve_fft(
    input_batch: Tensor, kernel: Tensor, stride: Size = 1, padding: Size = 0
) -> Tensor:
    """Convolve by one product per frequency: the transform turns shifts into factors.

    The wrap-around of the transform only reaches positions that are cut off. Half
    precision is transformed as float32.
    """
    image, kernel, (above, left) = without_stride(input_batch, kernel, stride, padding)
    if image.dtype in (torch.float16, torch.bfloat16):
        image, kernel = image.float(), kernel.float()
    padded = F.pad(image, (left, left, above, above))
    (h, w), (k_h, k_w) = padded.shape[2:], kernel.shape[2:]
    # Lengths with a large prime factor are several times slower.
    size = [scipy.fft.next_fast_len(length, real=True) for length in (h, w)]
    spectrum = products(torch.fft.rfft2(padded, size), torch.fft.rfft2(kernel, size))
    Y = torch.fft.irfft2(spectrum, size)
    return Y[:, :, : h - k_h + 1, : w - k_w + 1].to(input_batch.dtype).contiguous()


def products(X: Tensor, K: Tensor) -> Tensor:
    """The sums over channels of X times conjugate K, at every frequency.

    X is (batch, channels, ...), K (out_channels, channels, ...), the result (batch,
    out_channels, ...). Complex numbers are pairs of real ones here, as PyTorch's
    products of many small complex matrices copy each of them.
    """
    x = torch.view_as_real(X).permute(2, 3, 0, 1, 4).flatten(0, 1).flatten(2)
    k = torch.view_as_real(K).permute(2, 3, 1, 0, 4).flatten(0, 1)
    real, imaginary = k.unbind(-1)
    # From (real, imaginary) of each channel to that of each output.
    rows = torch.stack([real, -imaginary], 3), torch.stack([imaginary, real], 3)
    Y = x @ torch.stack(rows, 2).flatten(3).flatten(1, 2)
    Y = Y.unflatten(2, (-1, 2)).unflatten(0, X.shape[2:]).permute(2, 3, 0, 1, 4)
    return torch.view_as_complex(Y.contiguous())


def cost(case: Case) -> Cost:
    """Transforms of all planes, and one small complex product per frequency.

    A real plane of S = n x n values takes 5/4 S log2 S multiply-adds and has
    n (n/2 + 1) frequencies of two values each. The product takes 4 B C O multiply-adds
    for each of them, of spectra copied into its order, those of K twice as large, and
    back. Memory: Z, and either all spectra, copied for the product, or the inverse
    transform: Y's spectrum twice, and S.
    """
    case, strided, kept = stride_removed(case)
    n = Counts(case)
    side = scipy.fft.next_fast_len(case.size + 2 * case.padding, real=True)
    S, frequencies = side**2, side * (side // 2 + 1)
    X, K, Y = case.batch * n.C, n.C * n.O, case.batch * n.O
    planes, spectrum = X + K + Y, 2 * frequencies
    macs = 4 * frequencies * case.batch * n.C * n.O
    phases = (
        Phase("guard", 1, 0),
        *strided,
        Phase("copy", 2, n.X + n.Z + 2 * n.Y),
        Phase(
            "transform", 3, planes * (S + spectrum), planes * 1.25 * S * math.log2(S)
        ),
        Phase("gather", 5, 2 * (X + 4 * K + Y) * spectrum),
        *matmul(1, X * spectrum, 2 * K * spectrum, Y * spectrum, macs),
    )
    multiplied = max(2 * X + 5 * K + Y, 2 * X + 3 * K + 2 * Y)
    held = max(multiplied * spectrum, Y * (2 * spectrum + S))
    return Cost(phases, VALUE_BYTES * (kept + n.Z + held))


WAY = Way("FFT", convolve_fft, cost)
