"""A product at each frequency: the transform turns shifts into factors."""

import math
from typing import Any

import scipy.fft
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from helpers.conv import Size
from helpers.ways.common import without_stride
from helpers.ways.guard import guarded
from helpers.ways.model import (
    VALUE_BYTES,
    Case,
    Cost,
    Counts,
    Phase,
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
    size = [fast_length(length) for length in (h, w)]
    spectrum = Products.apply(
        torch.fft.rfft2(padded, size), torch.fft.rfft2(kernel, size)
    )
    Y = torch.fft.irfft2(spectrum, size)
    return Y[:, :, : h - k_h + 1, : w - k_w + 1].to(input_batch.dtype).contiguous()


def fast_length(length: int) -> int:
    """The length to which planes are filled up, as not all are equally fast.

    A large prime factor takes several times as long, an odd length twice as long; the
    next power of two, where it is less than a fifth larger, half as long.
    """
    even = 2 * scipy.fft.next_fast_len(math.ceil(length / 2), real=True)
    power = 2 ** (length - 1).bit_length()
    return power if power <= 1.2 * even else even


class Products(Function):
    """The sums over channels of X times conjugate K, at every frequency.

    X is (batch, channels, ...), K (out_channels, channels, ...), the result (batch,
    out_channels, ...).
    """

    @staticmethod
    def forward(X: Tensor, K: Tensor) -> Tensor:
        return sums_of_products(X, K.conj())

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        (dY,), (X, K) = gradients, ctx.saved_tensors
        dX = sums_of_products(dY, K.transpose(0, 1))
        dK = sums_of_products(dY.conj().transpose(0, 1), X.transpose(0, 1))
        return dX, dK


def sums_of_products(left: Tensor, right: Tensor) -> Tensor:
    """(P, S, ...) and (Q, S, ...) -> (P, Q, ...): the sums over S of their products.

    One summand after the other, as matrices, one for each frequency, are many and
    small, and would have to be copied into that order first.
    """
    total = left[:, None, 0] * right[:, 0]
    for s in range(1, left.shape[1]):
        total = torch.addcmul(total, left[:, None, s], right[:, s])
    return total


def cost(case: Case) -> Cost:
    """Transforms of all planes, and sums of their products over channels.

    A real plane of S = n x n values takes 5/4 S log2 S multiply-adds and has
    n (n/2 + 1) frequencies of two values each; a complex product takes 4 B C O for each
    of them. Every channel reads Y's spectrum, writes it anew, and reads its own parts
    of the others, in five calls with the views of these parts. Five copies: the image
    is padded, image and kernel are filled up to the planes, the inverse transform
    spares what it is given, and the output is cut out. Memory: Z, and the largest of
    three: X's spectrum beside K with its zeros, S per plane, and its spectrum; all
    spectra, that of Y twice; or Y's spectrum, a copy of it, and its planes.
    """
    case, strided, kept = stride_removed(case)
    n = Counts(case)
    side = fast_length(case.size + 2 * case.padding)
    S, frequencies = side**2, side * (side // 2 + 1)
    X, K, Y = case.batch * n.C, n.C * n.O, case.batch * n.O
    planes, spectrum = X + K + Y, 2 * frequencies
    macs = 4 * frequencies * case.batch * n.C * n.O
    kind = "transform" if math.log2(side).is_integer() else "mixed transform"
    filled = n.X + 2 * n.Z + X * S + n.K + K * S
    phases = (
        Phase("guard", 1, 0),
        *strided,
        Phase("copy", 5, filled + 2 * Y * spectrum + 2 * n.Y),
        Phase(kind, 3, planes * (S + spectrum), planes * 1.25 * S * math.log2(S)),
        Phase("complex", 5 * n.C, (X + K + 2 * n.C * Y) * spectrum, macs),
    )
    transformed = X * spectrum + K * (S + spectrum)
    multiplied = (X + K + 2 * Y) * spectrum
    held = max(transformed, multiplied, Y * (2 * spectrum + S))
    return Cost(phases, VALUE_BYTES * (kept + n.Z + held))


WAY = Way("FFT", convolve_fft, cost)
