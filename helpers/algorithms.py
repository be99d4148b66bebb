"""Six ways to compute the same convolution, from products, copies and transforms.

All take an input (batch, in_channels, height, width) and a kernel (out_channels,
in_channels, kernel_height, kernel_width), return (batch, out_channels, h_out, w_out),
can be differentiated, and raise ValueError for sizes that do not fit. Stride and
padding are one int or a (vertical, horizontal) pair; dilation and a bias are left to
the loops, which are the definition. What each way costs is predicted and measured in
`helpers.cost`.
"""

import itertools
from collections.abc import Iterator

import scipy.fft
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from helpers.conv import Size, check_input, output_size, pair

Pair = tuple[int, int]

# Small enough that patches are still in the cache when the product reads them, large
# enough that the call costs little beside its work.
BLOCK_BYTES = 3 * 2**20

# With fewer channels, image rows are longer runs of memory than pixels are.
FEW_CHANNELS = 16


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
    b, c, h, w = input_batch.shape
    c_out, _, k_h, k_w = kernel.shape
    h_out, w_out = output_size((h, w), (k_h, k_w), stride, padding, dilation)
    (s_h, s_w), (d_h, d_w) = pair(stride, "stride", 1), pair(dilation, "dilation", 1)
    p_h, p_w = pair(padding, "padding", 0)
    padded = F.pad(input_batch, (p_w, p_w, p_h, p_h))
    output = input_batch.new_empty(b, c_out, h_out, w_out)
    for a in range(b):
        for d in range(c_out):
            for i in range(h_out):
                for j in range(w_out):
                    total = 0.0 if bias is None else bias[d]
                    for channel in range(c):
                        for n in range(k_h):
                            for m in range(k_w):
                                row, column = i * s_h + n * d_h, j * s_w + m * d_w
                                pixel = padded[a, channel, row, column]
                                total = total + pixel * kernel[d, channel, n, m]
                    output[a, d, i, j] = total
    return output


def convolve_unfold(
    input_batch: Tensor, kernel: Tensor, stride: Size = 1, padding: Size = 0
) -> Tensor:
    """Convolve by one product of the kernel with the matrix of all patches."""
    stride, padding, size = geometry(input_batch, kernel, stride, padding)
    U = F.unfold(input_batch, kernel.shape[2:], stride=stride, padding=padding)
    return (kernel.flatten(1) @ U).unflatten(2, size)


def convolve_shifted(
    input_batch: Tensor, kernel: Tensor, stride: Size = 1, padding: Size = 0
) -> Tensor:
    """Convolve by one product per kernel entry (1 x 1 convolutions), shifted and added.

    Source: kn2row, arXiv:1704.04428, here in channels-last order.
    """
    image, kernel, padding = without_stride(input_batch, kernel, stride, padding)
    image = image.permute(0, 2, 3, 1)
    return ShiftedProducts.apply(image, kernel, padding).permute(0, 3, 1, 2)


def convolve_im2row(
    input_batch: Tensor, kernel: Tensor, stride: Size = 1, padding: Size = 0
) -> Tensor:
    """Convolve by products with as many patches at a time as the cache holds.

    The patches are rows in channels-last order, so that whole pixels are copied; where
    a pixel has few channels they are columns, so that whole image rows are.
    """
    image, kernel, padding = without_stride(input_batch, kernel, stride, padding)
    if kernel.shape[1] < FEW_CHANNELS:
        return PatchColumns.apply(image, kernel, padding)
    image = image.permute(0, 2, 3, 1)
    return PatchRows.apply(image, kernel, padding).permute(0, 3, 1, 2)


def convolve_fft(
    input_batch: Tensor, kernel: Tensor, stride: Size = 1, padding: Size = 0
) -> Tensor:
    """Convolve by one product per frequency: the transform turns shifts into factors.

    The wrap-around of the transform only reaches positions that are cut off.
    """
    image, kernel, (above, left) = without_stride(input_batch, kernel, stride, padding)
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
    return Y[:, :, : h - k_h + 1, : w - k_w + 1].contiguous()


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
    stride, (above, left), (h_out, w_out) = geometry(
        input_batch, kernel, stride, padding
    )
    if tuple(kernel.shape[2:]) != (3, 3) or stride != (1, 1):
        raise ValueError(
            f"the kernel is {tuple(kernel.shape[2:])}, the stride {stride}: Winograd "
            "F(2, 3) takes 3 x 3 kernels at stride 1; use another way"
        )
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


WAYS = {
    "loops": convolve_loops,
    "unfold": convolve_unfold,
    "shifted": convolve_shifted,
    "im2row": convolve_im2row,
    "FFT": convolve_fft,
    "Winograd": convolve_winograd,
}


class ShiftedProducts(Function):
    """Stride-1 convolution of a channels-last image by one product per kernel entry.

    All pixels of the batch are the rows of one matrix, so that a shift of the image is
    a shift by rows, and no patches are copied.
    """

    @staticmethod
    def forward(ctx, image, kernel, padding):
        ctx.save_for_backward(image, kernel)
        ctx.padding = padding
        return shifted_products(image, kernel, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx, dY):
        image, kernel = ctx.saved_tensors
        c_out, c, k_h, k_w = kernel.shape
        dX = shifted_products(dY, *adjoint(kernel, ctx.padding))
        padded = pad_pixels(image, ctx.padding)
        pixels, shifts = padded.flatten(0, 2), row_shifts(k_h, k_w, padded.shape[2])
        count = len(pixels) - shifts[-1]
        # As wide as the padded image, so that output and pixel have the same row.
        dY = F.pad(dY, (0, 0, 0, k_w - 1, 0, k_h - 1)).flatten(0, 2)
        columns = dY[:count].T.contiguous()
        dK = torch.stack([product(columns, pixels[s : s + count]) for s in shifts])
        return dX, dK.view(k_h, k_w, c_out, c).permute(2, 3, 0, 1), None


def shifted_products(image: Tensor, kernel: Tensor, padding: Pair) -> Tensor:
    """Return the convolution of a channels-last image, channels last as well."""
    c_out, c, k_h, k_w = kernel.shape
    padded = pad_pixels(image, padding)
    b, h, w, _ = padded.shape
    pixels, shifts = padded.flatten(0, 2), row_shifts(k_h, k_w, w)
    entries = kernel.permute(2, 3, 1, 0).reshape(-1, c, c_out).contiguous()
    Y = pixels.new_zeros(len(pixels), c_out)
    # The last rows lack the pixel below the last kernel entry: they are cut off.
    count = len(pixels) - shifts[-1]
    for rows in slices(count, BLOCK_BYTES // (Y.element_size() * (c + 2 * c_out))):
        for s, entry in zip(shifts, entries, strict=True):
            Y[rows] += product(pixels[rows.start + s : rows.stop + s], entry)
    return Y.view(b, h, w, c_out)[:, : h - k_h + 1, : w - k_w + 1].contiguous()


def row_shifts(k_h: int, k_w: int, width: int) -> list[int]:
    """Return how many pixels after the first one each kernel entry meets its pixel."""
    return [n * width + m for n in range(k_h) for m in range(k_w)]


def pad_pixels(image: Tensor, padding: Pair) -> Tensor:
    """Pad a channels-last image with zeros; a negative amount cuts off."""
    above, left = padding
    return F.pad(image, (0, 0, left, left, above, above)).contiguous()


class PatchRows(Function):
    """Stride-1 convolution of a channels-last image with its patches as rows."""

    @staticmethod
    def forward(ctx, image, kernel, padding):
        ctx.save_for_backward(image, kernel)
        ctx.padding = padding
        (b, h, w, _), (c_out, _, k_h, k_w) = image.shape, kernel.shape
        Y = image.new_empty(b, *output_size((h, w), (k_h, k_w), 1, padding), c_out)
        W = kernel.permute(2, 3, 1, 0).reshape(-1, c_out)
        for images, rows, U in patch_rows(image, (k_h, k_w), padding):
            part = Y[images, rows]
            part.copy_(product(U, W).view_as(part))
        return Y

    @staticmethod
    @once_differentiable
    def backward(ctx, dY):
        image, kernel = ctx.saved_tensors
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
        return dX, dK, None


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


class PatchColumns(Function):
    """Stride-1 convolution of an image with its patches as columns."""

    @staticmethod
    def forward(ctx, image, kernel, padding):
        ctx.save_for_backward(image, kernel)
        ctx.padding = padding
        (b, _, h, w), (c_out, _, k_h, k_w) = image.shape, kernel.shape
        size = output_size((h, w), (k_h, k_w), 1, padding)
        Y = image.new_empty(b, c_out, *size).transpose(0, 1)
        for images, rows, U in patch_columns(image, (k_h, k_w), padding):
            part = Y[:, images, rows]
            part.copy_(product(kernel.flatten(1), U).view_as(part))
        return Y.transpose(0, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx, dY):
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


def block_buffer(image: Tensor, rows: int, values_per_row: int) -> tuple[Tensor, int]:
    """Return memory for one block of at most BLOCK_BYTES, and its number of rows.

    Fresh memory for every block would have to be mapped, page by page, every time.
    """
    block_rows = BLOCK_BYTES // (values_per_row * image.element_size())
    at_once = min(rows, max(1, block_rows))
    return image.new_empty(at_once * values_per_row), at_once


def slices(length: int, at_once: int) -> Iterator[slice]:
    """Cut range(length) into slices of `at_once`, at least one, and a rest."""
    at_once = max(1, at_once)
    for start in range(0, length, at_once):
        yield slice(start, min(start + at_once, length))


def geometry(
    input_batch: Tensor, kernel: Tensor, stride: Size, padding: Size
) -> tuple[Pair, Pair, Pair]:
    """Return stride, padding and output size as pairs.

    Raises ValueError when the shapes do not fit each other.
    """
    if kernel.dim() != 4:
        raise ValueError(
            f"the kernel has shape {tuple(kernel.shape)}: give it as (out_channels, "
            "in_channels, height, width)"
        )
    check_input(input_batch, kernel.shape[1])
    size, kernel_size = tuple(input_batch.shape[2:]), tuple(kernel.shape[2:])
    size = output_size(size, kernel_size, stride, padding)
    return pair(stride, "stride", 1), pair(padding, "padding", 0), size


def without_stride(
    input_batch: Tensor, kernel: Tensor, stride: Size, padding: Size
) -> tuple[Tensor, Tensor, Pair]:
    """Return image, kernel and padding of the same convolution at stride 1.

    Cells of stride_h x stride_w pixels become single pixels with as many times more
    channels, in the image and, filled up with zeros, in the kernel. Raises ValueError
    when the shapes do not fit each other.
    """
    (down, right), padding, (h_out, w_out) = geometry(
        input_batch, kernel, stride, padding
    )
    if (down, right) == (1, 1):
        return input_batch, kernel, padding

    def cells(pixels: Tensor, before: Pair, height: int, width: int) -> Tensor:
        # A negative amount of padding cuts off what no output needs.
        below = height * down - pixels.shape[2] - before[0]
        beyond = width * right - pixels.shape[3] - before[1]
        pixels = F.pad(pixels, (before[1], beyond, before[0], below))
        pixels = pixels.unflatten(3, (width, right)).unflatten(2, (height, down))
        return pixels.permute(0, 1, 3, 5, 2, 4).flatten(1, 3)

    k_h, k_w = -(-kernel.shape[2] // down), -(-kernel.shape[3] // right)
    image = cells(input_batch, padding, h_out + k_h - 1, w_out + k_w - 1)
    return image, cells(kernel, (0, 0), k_h, k_w), (0, 0)


def adjoint(kernel: Tensor, padding: Pair) -> tuple[Tensor, Pair]:
    """Return kernel and padding of the stride-1 convolution that takes dY to dX."""
    (above, left), (k_h, k_w) = padding, kernel.shape[2:]
    flipped = kernel.flip(2, 3).transpose(0, 1)
    return flipped, (k_h - 1 - above, k_w - 1 - left)


def product(left: Tensor, right: Tensor) -> Tensor:
    """Return left @ right, computed by the library that also computes F.conv2d.

    In float32 on a CPU that is oneDNN. MKL, the library behind @, was measured to be
    only half as fast on a processor by AMD.
    """
    if not (HAS_ONEDNN and left.is_cpu and left.dtype == torch.float32):
        return left @ right
    if not (right.is_contiguous() or right.T.is_contiguous()):
        # oneDNN has no fast code for a matrix with gaps between its rows.
        right = right.contiguous()
    return torch.ops.mkldnn._linear_pointwise(left, right.T, None, "none", [], "")


HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(
    torch.ops.mkldnn, "_linear_pointwise"
)
