"""One product for each frequency: the transform turns shifts into factors."""

import math

import scipy.fft
import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.conv import Size
from helpers.ways.common import without_stride
from helpers.ways.guard import guarded
from helpers.ways.model import VALUE_BYTES, Case, Cost, Counts, Phase, stride_removed
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
    spectrum = torch.einsum(
        "bchw,ochw->bohw",
        torch.fft.rfft2(padded, size),
        torch.fft.rfft2(kernel, size).conj(),
    )
    Y = torch.fft.irfft2(spectrum, size)
    return Y[:, :, : h - k_h + 1, : w - k_w + 1].to(input_batch.dtype).contiguous()


def cost(case: Case) -> Cost:
    """Transforms of all planes, and one small complex product per frequency.

    A real plane of S = n x n values takes 5/4 S log2 S multiply-adds and has
    n (n/2 + 1) frequencies of two values each. The product takes 4 B C O multiply-adds
    for each of them, and copies the spectra into its order and back. Memory: Z and
    either all spectra, those of X and K twice, or the inverse transform: Y's spectrum
    twice, and S.
    """
    case, strided, kept = stride_removed(case)
    n = Counts(case)
    side = scipy.fft.next_fast_len(case.size + 2 * case.padding, real=True)
    S, frequencies = side**2, side * (side // 2 + 1)
    X, K, Y = case.batch * n.C, n.C * n.O, case.batch * n.O
    planes, spectrum = X + K + Y, 2 * frequencies
    macs = 4 * frequencies * case.batch * n.C * n.O
    phases = (
        *strided,
        Phase("copy", 2, n.X + n.Z + 2 * n.Y),
        Phase(
            "transform", 3, planes * (S + spectrum), planes * 1.25 * S * math.log2(S)
        ),
        Phase("copy", 3, 2 * planes * spectrum),
        Phase("matmul", frequencies, planes * spectrum, macs),
    )
    held = max((2 * X + 2 * K + Y) * spectrum, Y * (2 * spectrum + S))
    return Cost(phases, VALUE_BYTES * (kept + n.Z + held))


WAY = Way("FFT", convolve_fft, cost)
