"""The layers that the report derives: output size, Conv2D, MyLinear, MyConv2d.

Order of dimensions everywhere: (batch, channels, height, width). What the field calls
a convolution is, as in PyTorch, a cross-correlation: the kernel is not flipped.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Size = int | tuple[int, int]


def pair(value: Size, name: str, smallest: int) -> tuple[int, int]:
    """Return `value` as a (vertical, horizontal) pair of integers.

    Raises ValueError when it is neither an int nor a pair of ints, or below `smallest`.
    """
    both = tuple(value) if isinstance(value, tuple | list) else (value, value)
    whole = all(isinstance(v, int) and not isinstance(v, bool) for v in both)
    if len(both) != 2 or not whole or min(both) < smallest:
        raise ValueError(
            f"{name} is {value!r}: give one integer or a (height, width) pair of "
            f"integers, each at least {smallest}"
        )
    return both


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
    result = tuple(_positions(*axis) for axis in zip(*pairs, strict=True))
    return result[0] if all(isinstance(a, int) for a in arguments) else result


def _positions(n: int, k: int, stride: int, padding: int, dilation: int) -> int:
    reach = dilation * (k - 1) + 1
    if reach > n + 2 * padding:
        raise ValueError(
            f"a kernel of {k} with dilation {dilation} spans {reach} pixels, but the "
            f"image has {n} + 2 * {padding} = {n + 2 * padding}: use a smaller kernel "
            "or more padding"
        )
    return (n + 2 * padding - reach) // stride + 1


def check_input(input_batch: Tensor, in_channels: int) -> None:
    """Raise ValueError unless `input_batch` is (batch, in_channels, height, width)."""
    if input_batch.dim() != 4 or input_batch.shape[1] != in_channels:
        raise ValueError(
            f"the input has shape {tuple(input_batch.shape)}: this convolution takes "
            f"(batch, {in_channels}, height, width); its number of channels is fixed "
            "by the kernel"
        )


class Conv2D(nn.Module):
    """Convolution as one matrix product over unfolded patches, Equation (1.11).

    Input (batch, in_channels, height, width), output (batch, out_channels, h_out,
    w_out). `kernel` is the matrix W of the derivation, a Parameter of shape
    (in_channels * kernel_height * kernel_width, out_channels); there is no bias.
    Raises ValueError for impossible sizes and for input of another shape.
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
        self.in_channels = in_channels
        self.kernel_size = pair(kernel_size, "kernel_size", 1)
        self.stride = pair(stride, "stride", 1)
        self.padding = pair(padding, "padding", 0)
        values_per_patch = in_channels * math.prod(self.kernel_size)
        # The spread of nn.Conv2d's default: uniform within 1 / sqrt(fan in).
        bound = 1 / math.sqrt(values_per_patch)
        self.kernel = nn.Parameter(
            torch.empty(values_per_patch, out_channels).uniform_(-bound, bound)
        )

    def forward(self, input_batch: Tensor) -> Tensor:
        check_input(input_batch, self.in_channels)
        b, _, h, w = input_batch.size()
        k, c_out = self.kernel.size()
        h_out, w_out = output_size((h, w), self.kernel_size, self.stride, self.padding)
        p = h_out * w_out

        patches = F.unfold(
            input_batch, self.kernel_size, stride=self.stride, padding=self.padding
        )
        assert patches.size() == (b, k, p)
        rows = patches.transpose(1, 2).reshape(b * p, k)
        product = rows @ self.kernel
        assert product.size() == (b * p, c_out)
        output_batch = product.reshape(b, p, c_out).transpose(1, 2)
        return output_batch.reshape(b, c_out, h_out, w_out)


def convolution_matrix(
    kernel: Tensor, size: Size, stride: Size = 1, padding: Size = 0
) -> Tensor:
    """Return the matrix of the linear map that a convolution is, Equation (1.12).

    `kernel` is (out, in, kernel_height, kernel_width), `size` the (height, width) of
    the image. The result has one row per output value and one column per pixel: shape
    (out * h_out * w_out, in * height * width). Raises ValueError for impossible sizes.
    """
    c_out, c, kernel_height, kernel_width = kernel.shape
    h, w = pair(size, "size", 1)
    output_size((h, w), (kernel_height, kernel_width), stride, padding)
    # Unfold the pixels' own numbers, counted from 1: zero is left to mean padding.
    numbers = torch.arange(1.0, c * h * w + 1, dtype=torch.float64)
    source = F.unfold(
        numbers.view(1, c, h, w),
        (kernel_height, kernel_width),
        stride=stride,
        padding=padding,
    )[0].long()
    k, p = source.shape
    matrix = kernel.new_zeros(c_out, p, c * h * w + 1)
    matrix.scatter_(
        2,
        source.T.expand(c_out, p, k),
        kernel.reshape(c_out, 1, k).expand(c_out, p, k),
    )
    return matrix[:, :, 1:].reshape(c_out * p, c * h * w)


class MyLinear(nn.Module):
    """Fully connected layer, Equation (1.9): the twin of nn.Linear.

    Input (batch, in_features), output (batch, out_features); `weight` is
    (out_features, in_features) and `bias` (out_features,), so that it loads the
    state_dict of nn.Linear. Raises ValueError for input of another width.
    """

    def __init__(self, in_features: int, out_features: int, device=None):
        super().__init__()
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
        return x @ self.weight.T + self.bias


class MyConv2d(nn.Module):
    """Convolution by a loop over output pixels, Equation (1.8): twin of nn.Conv2d.

    Input (batch, in_channels, height, width), output (batch, out_channels, h_out,
    w_out); `weight` is (out_channels, in_channels, kernel_height, kernel_width) and
    `bias` (out_channels,) or None, so that it loads the state_dict of nn.Conv2d.
    Raises ValueError for impossible sizes and for input of another shape.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        bias: bool = True,
        device=None,
    ):
        super().__init__()
        self.kernel_size = pair(kernel_size, "kernel_size", 1)
        self.stride = pair(stride, "stride", 1)
        self.padding = pair(padding, "padding", 0)
        bound = 1 / math.sqrt(in_channels * math.prod(self.kernel_size))
        weight = torch.empty(
            out_channels, in_channels, *self.kernel_size, device=device
        )
        self.weight = nn.Parameter(weight.uniform_(-bound, bound))
        if bias:
            values = torch.empty(out_channels, device=device)
            self.bias = nn.Parameter(values.uniform_(-bound, bound))
        else:
            self.register_parameter("bias", None)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, self.weight.shape[1])
        (kernel_height, kernel_width), (down, right) = self.kernel_size, self.stride
        h_out, w_out = output_size(
            tuple(x.shape[2:]), self.kernel_size, self.stride, self.padding
        )
        above, left = self.padding
        padded = F.pad(x, (left, left, above, above))
        y = x.new_empty(x.shape[0], self.weight.shape[0], h_out, w_out)
        for i in range(h_out):
            for j in range(w_out):
                rows = slice(i * down, i * down + kernel_height)
                columns = slice(j * right, j * right + kernel_width)
                y[:, :, i, j] = torch.einsum(
                    "bcnm,dcnm->bd", padded[:, :, rows, columns], self.weight
                )
        return y if self.bias is None else y + self.bias.view(1, -1, 1, 1)


def fold_loops(
    U: Tensor, size: Size, kernel_size: Size, stride: Size = 1, padding: Size = 0
) -> Tensor:
    """Add every entry of U to the pixel it was copied from, Equation (2.12).

    `U` is (batch, k, p) as F.unfold returns it, `size` the (height, width) of the
    images; the result is (batch, channels, height, width). This is the adjoint of
    F.unfold, and what F.fold computes. Raises ValueError for impossible sizes.
    """
    (h, w), (k_h, k_w) = pair(size, "size", 1), pair(kernel_size, "kernel_size", 1)
    (s_h, s_w), (p_h, p_w) = pair(stride, "stride", 1), pair(padding, "padding", 0)
    h_out, w_out = output_size((h, w), (k_h, k_w), stride, padding)
    windows = U.reshape(U.shape[0], -1, k_h, k_w, h_out, w_out)
    X = U.new_zeros(*windows.shape[:2], h + 2 * p_h, w + 2 * p_w)
    for i in range(h_out):
        for j in range(w_out):
            rows = slice(i * s_h, i * s_h + k_h)
            columns = slice(j * s_w, j * s_w + k_w)
            X[:, :, rows, columns] += windows[..., i, j]
    return X[:, :, p_h : p_h + h, p_w : p_w + w]


class Conv2DFunc(torch.autograd.Function):
    """Convolution with its own backward pass, Equations (2.7) to (2.12).

    `Conv2DFunc.apply(input_batch, kernel, stride=1, padding=1, dilation=1)` takes
    input (batch, in_channels, height, width) and kernel (out_channels, in_channels,
    kernel_height, kernel_width), returns (batch, out_channels, h_out, w_out). Raises
    ValueError for impossible sizes.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(input_batch, kernel, stride=1, padding=1, dilation=1):
        check_input(input_batch, kernel.shape[1])
        (b, _, *size), (c_out, _, *kernel_size) = input_batch.shape, kernel.shape
        h_out, w_out = output_size(
            tuple(size), tuple(kernel_size), stride, padding, dilation
        )
        U = F.unfold(input_batch, kernel_size, dilation, padding, stride)
        W = kernel.flatten(1).T
        Y_prime = U.transpose(1, 2) @ W
        return Y_prime.transpose(1, 2).reshape(b, c_out, h_out, w_out)

    @staticmethod
    def setup_context(ctx, inputs, output):
        # torch.compile passes on no defaults; all three of them are 1.
        inputs = (*inputs, 1, 1, 1)[:5]
        input_batch, kernel, ctx.stride, ctx.padding, ctx.dilation = inputs
        ctx.save_for_backward(input_batch, kernel)

    @staticmethod
    def backward(ctx, dY):
        # Under autocast dY has the reduced precision, what was saved has not.
        X, K = (saved.to(dY.dtype) for saved in ctx.saved_tensors)
        (b, _, *size), (c_out, _, *kernel_size) = X.shape, K.shape
        geometry = (kernel_size, ctx.dilation, ctx.padding, ctx.stride)
        dY_prime = dY.reshape(b, c_out, -1).transpose(1, 2)
        dX = dK = None
        if ctx.needs_input_grad[0]:
            W = K.flatten(1).T
            dU = W @ dY_prime.transpose(1, 2)
            dX = F.fold(dU, size, *geometry)
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
    """Return the gradient with respect to the image, Equation (2.19), by loops.

    One channel, no padding, stride 1: `dloss_dy` is (h_out, w_out), `kernel` any
    rectangle; the result has the size of the image.
    """
    (h_out, w_out), (k_h, k_w) = dloss_dy.shape, kernel.shape
    h, w = h_out + k_h - 1, w_out + k_w - 1
    gradient = dloss_dy.new_zeros(h, w)
    for i in range(h):
        for j in range(w):
            # The kernel entries that pixel (i, j) meets, counted from zero.
            for n in range(max(0, i - h + k_h), min(k_h, i + 1)):
                for m in range(max(0, j - w + k_w), min(k_w, j + 1)):
                    a = i - n
                    b = j - m
                    gradient[i, j] += dloss_dy[a, b] * kernel[n, m]
    return gradient
