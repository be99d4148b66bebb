"""Mistakes that are easily made, made on purpose, and the checks that catch them.

A mutation changes the source text of the real function and executes it, so that it
cannot drift away from the code. `CHECKS` are short and exact: all numbers in them are
whole, so that a right gradient is equal to autograd's to the last bit.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers import conv

# All sizes differ, so that none can be taken for another.
STRIDE, PADDING = (2, 1), (1, 2)


@dataclass(frozen=True)
class Mutation:
    """One mistake: `target` of helpers.conv with `changes` (old text: new text).

    `caught_by` names the check that has to turn red.
    """

    mistake: str
    target: str
    changes: dict[str, str]
    caught_by: str

    def make(self) -> type | Callable:
        """Return the target with the mistake in it.

        Raises ValueError when an old text does not stand in the source exactly once.
        """
        source = inspect.getsource(getattr(conv, self.target))
        for old, new in self.changes.items():
            if source.count(old) != 1:
                raise ValueError(
                    f"{old!r} stands {source.count(old)} times in {self.target}, not "
                    f"once: adapt the mutation {self.mistake!r} to the code"
                )
            source = source.replace(old, new)
        namespace = dict(vars(conv))
        exec(compile(source, f"<{self.mistake}>", "exec"), namespace)
        return namespace[self.target]


def verdict(call: Callable, *arguments: object) -> str:
    """Return the error that `call(*arguments)` raises, in one line; "" if none."""
    try:
        call(*arguments)
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"
    return ""


def whole_numbers(*shape: int) -> Tensor:
    """Return the same random whole numbers from -4 to 4 for the same shape."""
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randint(-4, 5, shape, generator=generator).double()


def example() -> tuple[Tensor, Tensor]:
    """Return three images of 2 channels, 7 x 6 pixels, and 4 kernels of 3 x 2."""
    return (
        whole_numbers(3, 2, 7, 6).requires_grad_(),
        whole_numbers(4, 2, 3, 2).requires_grad_(),
    )


def assert_equal(ours: Tensor, expected: Tensor, name: str) -> None:
    """Raise AssertionError unless both are equal to the last bit."""
    assert ours.shape == expected.shape, (
        f"{name} has shape {tuple(ours.shape)}, expected {tuple(expected.shape)}"
    )
    wrong = int((ours != expected).sum())
    assert not wrong, f"{name}: {wrong} of {expected.numel()} values are wrong"


def output_equals_conv2d(function: type[torch.autograd.Function]) -> None:
    """The output is that of F.conv2d, stride and padding passed by position."""
    X, K = example()
    expected = F.conv2d(X, K, stride=STRIDE, padding=PADDING)
    assert_equal(function.apply(X, K, STRIDE, PADDING), expected, "output")


def gradients_equal_autograd(function: type[torch.autograd.Function]) -> None:
    """Both gradients are those that autograd finds for F.conv2d."""
    X, K = example()
    reference = F.conv2d(X, K, stride=STRIDE, padding=PADDING)
    dY = whole_numbers(*reference.shape)
    expected = torch.autograd.grad(reference, (X, K), dY)
    Y = function.apply(X, K, STRIDE, PADDING)
    ours = torch.autograd.grad(Y, (X, K), dY, materialize_grads=True)
    assert_equal(ours[0], expected[0], "input gradient")
    assert_equal(ours[1], expected[1], "kernel gradient")


def batch_adds_up(function: type[torch.autograd.Function]) -> None:
    """The kernel gradient of a batch is the sum of those of its images."""
    X, K = example()

    def kernel_gradient(images: Tensor) -> Tensor:
        return torch.autograd.grad(function.apply(images, K).sum(), K)[0]

    expected = torch.stack([kernel_gradient(image[None]) for image in X]).sum(0)
    assert_equal(kernel_gradient(X), expected, "kernel gradient of the batch")


def any_layout_is_taken(function: type[torch.autograd.Function]) -> None:
    """A gradient that is not contiguous in memory gives the same result."""
    X, K = example()
    Y = function.apply(X, K)
    dY = whole_numbers(*Y.shape)
    scattered = dY.transpose(2, 3).contiguous().transpose(2, 3)
    contiguous = torch.autograd.grad(Y, X, dY, retain_graph=True)[0]
    assert_equal(torch.autograd.grad(Y, X, scattered)[0], contiguous, "input gradient")


def fold_is_adjoint(fold: Callable) -> None:
    """The inner products of unfold X with V and of X with fold V are equal."""
    X = whole_numbers(3, 2, 7, 6)
    U = F.unfold(X, (3, 2), stride=STRIDE, padding=PADDING)
    V = whole_numbers(*U.shape)
    before = torch.are_deterministic_algorithms_enabled()
    # In this mode PyTorch fills fresh memory with NaN; it often happens to be zero.
    torch.use_deterministic_algorithms(True)
    try:
        folded = fold(V, (7, 6), (3, 2), STRIDE, PADDING)
    finally:
        torch.use_deterministic_algorithms(before)
    left, right = (U * V).sum().item(), (X * folded).sum().item()
    assert left == right, f"the inner products are {left:.0f} and {right:.0f}"


def any_shape_is_right(gradient: Callable) -> None:
    """The gradient by loops is autograd's on wide, square and tall images."""
    kernel = whole_numbers(3, 2)
    for shape in ((5, 9), (7, 7), (9, 5)):
        image = whole_numbers(*shape).requires_grad_()
        Y = F.conv2d(image[None, None], kernel[None, None])[0, 0]
        (expected,) = torch.autograd.grad(Y.square().sum(), image)
        ours = gradient(2 * Y.detach(), kernel)
        assert_equal(ours, expected, f"gradient of a {shape[0]} × {shape[1]} image")


CHECKS = {
    check.__name__: check
    for check in (
        output_equals_conv2d,
        gradients_equal_autograd,
        batch_adds_up,
        any_layout_is_taken,
        fold_is_adjoint,
        any_shape_is_right,
    )
}

MUTATIONS = [
    Mutation(
        "saved tensors overwritten by a second save_for_backward",
        "Conv2DFunc",
        {
            "ctx.save_for_backward(input_batch, kernel)": (
                "ctx.save_for_backward(input_batch); ctx.save_for_backward(kernel)"
            )
        },
        "gradients_equal_autograd",
    ),
    Mutation(
        "stride and padding in the other order",
        "Conv2DFunc",
        {
            "stride=1, padding=1, dilation=1):": "padding=1, stride=1, dilation=1):",
            "ctx.stride, ctx.padding, ctx.dilation =": (
                "ctx.padding, ctx.stride, ctx.dilation ="
            ),
        },
        "output_equals_conv2d",
    ),
    Mutation(
        "C where D belongs",
        "Conv2DFunc",
        {"dY.reshape(B, D, h_out * w_out)": "dY.reshape(B, X.shape[1], -1)"},
        "gradients_equal_autograd",
    ),
    Mutation(
        "factors of the kernel gradient swapped",
        "Conv2DFunc",
        {"U @ dY_prime": "dY_prime.transpose(1, 2) @ U.transpose(1, 2)"},
        "gradients_equal_autograd",
    ),
    Mutation(
        "sum over the batch forgotten",
        "Conv2DFunc",
        {".sum(dim=0)": "[0]"},
        "batch_adds_up",
    ),
    Mutation(
        "gradient of the input only",
        "Conv2DFunc",
        {"return dX, dK,": "return dX, None,"},
        "gradients_equal_autograd",
    ),
    Mutation(
        "view on a gradient that is not contiguous",
        "Conv2DFunc",
        {"dY.reshape(": "dY.view("},
        "any_layout_is_taken",
    ),
    Mutation(
        "fold that puts values back instead of adding them",
        "fold_loops",
        {"+= windows": "= windows"},
        "fold_is_adjoint",
    ),
    Mutation(
        "fold into uninitialised memory",
        "fold_loops",
        {"new_zeros": "new_empty"},
        "fold_is_adjoint",
    ),
    Mutation(
        "the output's column computed from the pixel's row",
        "conv_gradient_wrt_input",
        {"i, j = row - p, column - q": "i, j = row - p, row - q"},
        "any_shape_is_right",
    ),
    Mutation(
        "the kernel slides over the gradient without being turned",
        "conv_gradient_wrt_input",
        {"kernel[p, q]": "kernel[-1 - p, -1 - q]"},
        "any_shape_is_right",
    ),
]
