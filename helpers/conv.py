"""The layers that the report derives: output size, Conv2D, MyLinear, MyConv2d.

Order of dimensions everywhere: (batch, channels, height, width). What the field calls
a convolution is, as in PyTorch, a cross-correlation: the kernel is not flipped.
"""

import math
from typing import Any, overload

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.checks import Size, is_pair, pair, whole

Pair = tuple[int, int]


@overload
def output_size(
    size: int, kernel_size: int, stride: int = 1, padding: int = 0, dilation: int = 1
) -> int: ...


@overload
def output_size(
    size: tuple[int, int],
    kernel_size: Size,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
) -> tuple[int, int]: ...


@overload
def output_size(
    size: Size,
    kernel_size: Size,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
) -> Size: ...


def output_size(
    size: Size,
    kernel_size: Size,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
) -> Size:
    """Return the number of positions at which a kernel fits, Equation (1.7).

    All arguments are pixels, as one int or as a (height, width) pair; the result is an
    int when all arguments are ints, else a pair. Raises ValueError when an argument is
    out of range or the kernel does not fit into the padded image even once.
    """
    arguments = (size, kernel_size, stride, padding, dilation)
    names = ("size", "kernel_size", "stride", "padding", "dilation")
    pairs = map(pair, arguments, names, (1, 1, 1, 0, 1))
    height, width = (_positions(*axis) for axis in zip(*pairs, strict=True))
    return (height, width) if any(map(is_pair, arguments)) else height


def _positions(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    reach, padded = dilation * (kernel - 1) + 1, size + 2 * padding
    if reach > padded:
        raise ValueError(
            f"a kernel of {kernel} with dilation {dilation} spans {reach} pixels, but "
            f"the image has {size} + 2 * {padding} = {padded}: use a smaller kernel or "
            "more padding"
        )
    return (padded - reach) // stride + 1


def pairs(stride: Size, padding: Size, dilation: Size = 1) -> tuple[Pair, Pair, Pair]:
    """Return each as a (vertical, horizontal) pair.

    Raises ValueError when one is out of range.
    """
    return (
        pair(stride, "stride", 1),
        pair(padding, "padding", 0),
        pair(dilation, "dilation", 1),
    )


def check_tensors(
    input_batch: Tensor, kernel: Tensor, bias: Tensor | None = None
) -> None:
    """Raise ValueError unless image, kernel and bias fit each other in shape and type.

    The kernel must be (out_channels, in_channels, height, width), the bias
    (out_channels,), and the image as `check_input` says.
    """
    check_kernel(kernel)
    check_input(input_batch, kernel.shape[1], kernel)
    if bias is not None:
        if not isinstance(bias, Tensor) or bias.shape != kernel.shape[:1]:
            raise ValueError(
                f"the bias {_described(bias)}: give one value for each of the "
                f"{kernel.shape[0]} output channels"
            )
        check_type(bias, kernel, "bias")


def check_kernel(kernel: Tensor) -> None:
    """Raise ValueError unless it is (out_channels, in_channels, height, width)."""
    if not isinstance(kernel, Tensor) or kernel.dim() != 4 or 0 in kernel.shape:
        raise ValueError(
            f"the kernel {_described(kernel)}: give it as (out_channels, in_channels, "
            "height, width), each at least 1"
        )


def check_input(input_batch: Tensor, in_channels: int, weights: Tensor) -> None:
    """Raise ValueError unless `input_batch` is (batch, in_channels, height, width).

    Its values must be of the type of the weights, as `check_type` says.
    """
    shaped = isinstance(input_batch, Tensor) and input_batch.dim() == 4
    if not shaped or input_batch.shape[1] != in_channels:
        raise ValueError(
            f"the input {_described(input_batch)}: this convolution takes (batch, "
            f"{in_channels}, height, width); its number of channels is fixed by the "
            "kernel"
        )
    check_type(input_batch, weights)


def check_type(values: Tensor, weights: Tensor, name: str = "input") -> None:
    """Raise ValueError unless values and weights are real, floating point and alike.

    Sums of integers would wrap around. Autocast makes one type of two by itself.
    """
    if not values.is_floating_point():
        raise ValueError(
            f"the {name} is {values.dtype}, the weights are {weights.dtype}: this "
            "layer takes float16, bfloat16, float32 and float64; convert them, as by "
            "images.float()"
        )
    both = {values.dtype, weights.dtype}
    cast = weights.is_floating_point() and torch.float64 not in both
    if len(both) > 1 and not (cast and is_autocast(values)):
        raise ValueError(
            f"the {name} is {values.dtype}, the weights are {weights.dtype}: give both "
            "the same type"
        )


def is_autocast(values: Tensor) -> bool:
    """Whether PyTorch changes types by itself where these values are."""
    kind = values.device.type
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)


def _described(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"has shape {tuple(value.shape)}"
    return f"is {type(value).__name__}, no tensor"


class Conv2D(nn.Module):
    """Convolution as one matrix product over unfolded patches, Equation (1.11).

    Input (batch, in_channels, height, width), output (batch, out_channels, h_out,
    w_out). `kernel` is the matrix W, a Parameter of shape (in_channels *
    kernel_height * kernel_width, out_channels); there is no bias. Raises ValueError
    for impossible sizes and for input of another shape.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size = (3, 3),
        stride: Size = 1,
        padding: Size = 1,
    ):
        super().__init__()
        self.in_channels = whole(in_channels, "in_channels", 1)
        out_channels = whole(out_channels, "out_channels", 1)
        self.kernel_size = pair(kernel_size, "kernel_size", 1)
        self.stride = pair(stride, "stride", 1)
        self.padding = pair(padding, "padding", 0)
        R = self.in_channels * math.prod(self.kernel_size)
        bound = 1 / math.sqrt(R)  # as nn.Conv2d begins
        kernel = torch.empty(R, out_channels).uniform_(-bound, bound)
        self.kernel = nn.Parameter(kernel)

    def forward(self, input_batch: Tensor) -> Tensor:
        check_input(input_batch, self.in_channels, self.kernel)
        B, _, h, w = input_batch.size()
        R, D = self.kernel.size()
        h_out, w_out = output_size((h, w), self.kernel_size, self.stride, self.padding)
        T = h_out * w_out

        geometry = dict(stride=self.stride, padding=self.padding)
        U = F.unfold(input_batch, self.kernel_size, **geometry)
        assert U.size() == (B, R, T)
        rows = U.transpose(1, 2).reshape(B * T, R)
        product = rows @ self.kernel
        assert product.size() == (B * T, D)
        output_batch = product.reshape(B, T, D).transpose(1, 2)
        return output_batch.reshape(B, D, h_out, w_out)


def convolution_matrix(
    kernel: Tensor, size: Size, stride: Size = 1, padding: Size = 0
) -> Tensor:
    """Return the matrix of the linear map that a convolution is, Equation (1.12).

    `kernel` is (out, in, kernel_height, kernel_width), `size` the (height, width) of
    the image. The result has one row per output value and one column per pixel: shape
    (out * h_out * w_out, in * height * width). Raises ValueError for impossible sizes.
    """
    check_kernel(kernel)
    stride, padding, _ = pairs(stride, padding)
    (D, C, k_h, k_w), (h, w) = kernel.shape, pair(size, "size", 1)
    output_size((h, w), (k_h, k_w), stride, padding)
    # Unfold the pixels' own numbers, counted from 1: zero is left to mean padding.
    numbers = torch.arange(1.0, C * h * w + 1, dtype=torch.float64).view(1, C, h, w)
    U = F.unfold(numbers, (k_h, k_w), stride=stride, padding=padding)[0].long()
    R, T = U.shape
    matrix = kernel.new_zeros(D, T, C * h * w + 1)
    weights = kernel.reshape(D, 1, R).expand(D, T, R)
    matrix.scatter_(2, U.T.expand(D, T, R), weights)
    return matrix[:, :, 1:].reshape(D * T, C * h * w)


class MyLinear(nn.Module):
    """Fully connected layer, Equation (1.9): the twin of nn.Linear.

    Input (batch, in_features), output (batch, out_features); `weight` is
    (out_features, in_features) and `bias` (out_features,), so that it loads the
    state_dict of nn.Linear. Raises ValueError for impossible sizes and for input of
    another width.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        device: torch.device | str | None = None,
    ):
        super().__init__()
        in_features = whole(in_features, "in_features", 1)
        out_features = whole(out_features, "out_features", 1)
        bound = 1 / math.sqrt(in_features)
        weight = torch.empty(out_features, in_features, device=device)
        bias = torch.empty(out_features, device=device)
        self.weight = nn.Parameter(weight.uniform_(-bound, bound))
        self.bias = nn.Parameter(bias.uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() == 0 or x.shape[-1] != self.weight.shape[1]:
            raise ValueError(
                f"the input has shape {tuple(x.shape)}: this layer takes "
                f"(batch, {self.weight.shape[1]})"
            )
        check_type(x, self.weight)
        return x @ self.weight.T + self.bias


class MyConv2d(nn.Module):
    """Convolution by a loop over output pixels, Equation (1.8): twin of nn.Conv2d.

    Input (batch, in_channels, height, width), output (batch, out_channels, h_out,
    w_out); `weight` is (out_channels, in_channels, kernel_height, kernel_width) and
    `bias` (out_channels,) or None, so that it loads the state_dict of nn.Conv2d. What
    is traced or exported of the loop holds for one size of image. Raises ValueError for
    impossible sizes and for input of another shape or type.
    """

    bias: Tensor | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        bias: bool = True,
        device: torch.device | str | None = None,
    ):
        super().__init__()
        self.kernel_size = pair(kernel_size, "kernel_size", 1)
        self.stride = pair(stride, "stride", 1)
        self.padding = pair(padding, "padding", 0)
        in_channels = whole(in_channels, "in_channels", 1)
        out_channels = whole(out_channels, "out_channels", 1)
        bound = 1 / math.sqrt(in_channels * math.prod(self.kernel_size))
        shape = (out_channels, in_channels, *self.kernel_size)
        weight, values = (torch.empty(s, device=device) for s in (shape, out_channels))
        self.weight = nn.Parameter(weight.uniform_(-bound, bound))
        parameter = nn.Parameter(values.uniform_(-bound, bound)) if bias else None
        self.register_parameter("bias", parameter)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, self.weight.shape[1], self.weight)
        (k_h, k_w), (s_h, s_w) = self.kernel_size, self.stride
        (P_h, P_w), (h, w) = self.padding, x.shape[2:]
        h_out, w_out = map(
            int, output_size((h, w), self.kernel_size, self.stride, self.padding)
        )
        padded = F.pad(x, (P_w, P_w, P_h, P_h))
        pixels = []
        for i in range(h_out):
            for j in range(w_out):
                rows = slice(i * s_h, i * s_h + k_h)
                columns = slice(j * s_w, j * s_w + k_w)
                window = padded[:, :, rows, columns]
                pixels.append(torch.einsum("ncpq,dcpq->nd", window, self.weight))
        y = torch.stack(pixels, 2).unflatten(2, (h_out, w_out))
        return y if self.bias is None else y + self.bias.view(1, -1, 1, 1)


def fold_loops(
    U: Tensor, size: Size, kernel_size: Size, stride: Size = 1, padding: Size = 0
) -> Tensor:
    """Add every entry of U to the pixel it was copied from, Equation (2.10).

    `U` is (batch, R, T) as F.unfold returns it, `size` the (height, width) of the
    images; the result is (batch, channels, height, width). This is the adjoint of
    F.unfold, and what F.fold computes. Raises ValueError for impossible sizes.
    """
    (h, w), (k_h, k_w) = pair(size, "size", 1), pair(kernel_size, "kernel_size", 1)
    (s_h, s_w), (P_h, P_w), _ = pairs(stride, padding)
    h_out, w_out = output_size((h, w), (k_h, k_w), stride, padding)
    check_columns(U, k_h * k_w, h_out * w_out)
    windows = U.unflatten(2, (h_out, w_out)).unflatten(1, (-1, k_h, k_w))
    X = U.new_zeros(*windows.shape[:2], h + 2 * P_h, w + 2 * P_w)
    for i in range(h_out):
        for j in range(w_out):
            rows = slice(i * s_h, i * s_h + k_h)
            columns = slice(j * s_w, j * s_w + k_w)
            X[:, :, rows, columns] += windows[..., i, j]
    return X[:, :, P_h : P_h + h, P_w : P_w + w]


def check_columns(U: Tensor, entries: int, positions: int) -> None:
    """Raise ValueError unless U is (batch, channels * entries, positions)."""
    if U.dim() != 3 or U.shape[1] % entries or U.shape[2] != positions:
        raise ValueError(
            f"U has shape {tuple(U.shape)}: give (batch, R, T), with a multiple of the "
            f"kernel's {entries} entries for R, and T the {positions} positions"
        )


class Conv2DFunc(torch.autograd.Function):
    """Convolution with its own backward pass, Equations (2.12) to (2.17).

    Input (batch, in_channels, height, width), kernel (out_channels, in_channels,
    kernel_height, kernel_width), output (batch, out_channels, h_out, w_out). Raises
    ValueError for impossible sizes.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(input_batch, kernel, stride=1, padding=1, dilation=1):
        check_tensors(input_batch, kernel)
        (B, _, *size), (D, _, *kernel_size) = input_batch.shape, kernel.shape
        shape = output_size(tuple(size), tuple(kernel_size), stride, padding, dilation)
        stride, padding, dilation = pairs(stride, padding, dilation)
        U = F.unfold(input_batch, kernel_size, dilation, padding, stride)
        W = kernel.flatten(1).T
        Y_prime = U.transpose(1, 2) @ W
        return Y_prime.transpose(1, 2).reshape(B, D, *shape)

    @staticmethod
    def setup_context(ctx, inputs, output):
        # torch.compile passes on no defaults.
        input_batch, kernel, *sizes = (*inputs, 1, 1, 1)[:5]
        ctx.stride, ctx.padding, ctx.dilation = pairs(*sizes)
        ctx.save_for_backward(input_batch, kernel)

    @staticmethod
    def backward(ctx, dY):
        # Under autocast dY has the reduced precision, what was saved has not.
        X, K = (saved.to(dY.dtype) for saved in ctx.saved_tensors)
        (B, D, h_out, w_out), (_, _, *kernel_size) = dY.shape, K.shape
        geometry = (kernel_size, ctx.dilation, ctx.padding, ctx.stride)
        dY_prime = dY.reshape(B, D, h_out * w_out).transpose(1, 2)
        dX = dK = None
        if ctx.needs_input_grad[0]:
            dU = K.flatten(1).T @ dY_prime.transpose(1, 2)
            dX = F.fold(dU, X.shape[2:], *geometry)
        if ctx.needs_input_grad[1]:
            U = F.unfold(X, *geometry)
            dW = (U @ dY_prime).sum(dim=0)
            dK = dW.T.reshape(K.shape)
        return dX, dK, None, None, None


class Conv2DLayer(MyConv2d):
    """Convolution on `Conv2DFunc`: twin of nn.Conv2d, with our own backward pass.

    Takes the arguments of MyConv2d, has its parameters `weight` and `bias`, and so
    loads the state_dict of nn.Conv2d. Raises ValueError for impossible sizes and for
    input of another shape.
    """

    def forward(self, x: Tensor) -> Tensor:
        y = Conv2DFunc.apply(x, self.weight, self.stride, self.padding)
        if self.bias is None:
            return y
        return y + self.bias.to(y.dtype).view(1, -1, 1, 1)


def conv_gradient_wrt_input(dloss_dy: Tensor, kernel: Tensor) -> Tensor:
    """Return the gradient with respect to the image, Equation (2.6), by loops.

    One channel, no padding, stride 1: `dloss_dy` is (h_out, w_out), `kernel` any
    rectangle; the result has the size of the image.
    """
    (h_out, w_out), (k_h, k_w) = dloss_dy.shape, kernel.shape
    h, w = h_out + k_h - 1, w_out + k_w - 1
    gradient = dloss_dy.new_zeros(h, w)
    for row in range(h):
        for column in range(w):
            for p in range(max(0, row - h + k_h), min(k_h, row + 1)):
                for q in range(max(0, column - w + k_w), min(k_w, column + 1)):
                    i, j = row - p, column - q
                    gradient[row, column] += dloss_dy[i, j] * kernel[p, q]
    return gradient
