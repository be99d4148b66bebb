"""The layers against PyTorch, and the checks themselves against planted mistakes.

Each check takes the module to be checked, so that it can also be shown to fail: see
`test_a_planted_mistake_is_caught` at the end.
"""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from mutants import mutant, thorough
from torch import nn

from helpers import conv

EXACT = dict(rtol=0, atol=1e-12)


def pairs(low, high):
    """A pair of integers, for (height, width)."""
    return st.tuples(st.integers(low, high), st.integers(low, high))


@st.composite
def geometries(draw):
    """Sizes of image and kernel, stride, padding: pairs with which a kernel fits."""
    kernel_size = draw(pairs(1, 4))
    padding = draw(pairs(0, 2))
    size = tuple(
        draw(st.integers(max(1, k - 2 * p), 8))
        for k, p in zip(kernel_size, padding, strict=True)
    )
    stride = draw(pairs(1, 3))
    return size, kernel_size, stride, padding


batches = st.integers(1, 3)
channels = st.integers(1, 3)


def random_input(b, c, size, contiguous):
    """Random doubles (b, c, *size); not contiguous: as a transpose delivers them."""
    if contiguous:
        return torch.randn(b, c, *size, dtype=torch.float64)
    return torch.randn(b, c, *size[::-1], dtype=torch.float64).transpose(2, 3)


# --- Checks ---------------------------------------------------------------------------


def check_output_size(module):
    """Compare with the shapes that F.conv2d gives to tensors without data."""

    @thorough(module)
    @given(pairs(1, 30), pairs(1, 7), pairs(1, 4), pairs(0, 4), pairs(1, 3))
    def check(size, kernel_size, stride, padding, dilation):
        image = torch.empty(1, 1, *size, device="meta")
        kernel = torch.empty(1, 1, *kernel_size, device="meta")
        try:
            expected = F.conv2d(image, kernel, None, stride, padding, dilation)
        except RuntimeError:
            with pytest.raises(ValueError, match="use a smaller kernel"):
                module.output_size(size, kernel_size, stride, padding, dilation)
        else:
            ours = module.output_size(size, kernel_size, stride, padding, dilation)
            assert ours == tuple(expected.shape[2:])

    check()


def check_conv2d_module(module):
    @thorough(module)
    @given(geometries(), batches, channels, channels, st.booleans())
    def check(geometry, b, c_in, c_out, contiguous):
        size, kernel_size, stride, padding = geometry
        layer = module.Conv2D(c_in, c_out, kernel_size, stride, padding).double()
        x = random_input(b, c_in, size, contiguous)
        weight = layer.kernel.T.reshape(c_out, c_in, *kernel_size)
        expected = F.conv2d(x, weight, None, stride, padding)
        torch.testing.assert_close(layer(x), expected, **EXACT)

    check()


def check_my_conv2d(module):
    @thorough(module)
    @given(geometries(), batches, channels, channels, st.booleans(), st.booleans())
    def check(geometry, b, c_in, c_out, contiguous, bias):
        size, *options = geometry
        twin = nn.Conv2d(c_in, c_out, *options, bias=bias).double()
        layer = module.MyConv2d(c_in, c_out, *options, bias=bias).double()
        layer.load_state_dict(twin.state_dict())
        x = random_input(b, c_in, size, contiguous)
        torch.testing.assert_close(layer(x), twin(x), **EXACT)

    check()


def check_my_linear(module):
    twin, layer = nn.Linear(5, 7).double(), module.MyLinear(5, 7).double()
    layer.load_state_dict(twin.state_dict())
    x = torch.randn(4, 5, dtype=torch.float64)
    torch.testing.assert_close(layer(x), twin(x), **EXACT)


def check_convolution_matrix(module):
    @thorough(module)
    @given(geometries(), channels, channels)
    def check(geometry, c_in, c_out):
        size, kernel_size, stride, padding = geometry
        kernel = torch.randn(c_out, c_in, *kernel_size, dtype=torch.float64)
        x = torch.randn(1, c_in, *size, dtype=torch.float64)
        matrix = module.convolution_matrix(kernel, size, stride, padding)
        expected = F.conv2d(x, kernel, None, stride, padding)
        torch.testing.assert_close(matrix @ x.flatten(), expected.flatten(), **EXACT)

    check()


CHECKS = [
    check_output_size,
    check_conv2d_module,
    check_my_conv2d,
    check_my_linear,
    check_convolution_matrix,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_equals_torch(check):
    check(conv)


# --- What is refused, and what users rely on ------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((4, 5), r"spans 5 pixels, but the image has 4 \+ 2 \* 0 = 4"),
        ((4, 3, 1, 0, 2), "dilation 2 spans 5 pixels"),
        ((0, 1), "size is 0"),
        ((8, 0), "kernel_size is 0"),
        ((8, 3, 0), "stride is 0"),
        ((8, 3, 1, -1), "padding is -1"),
        ((8, 3, 1, 0, 0), "dilation is 0"),
        ((8, (3, 3, 3)), r"kernel_size is \(3, 3, 3\): give one integer or"),
        ((8, 3.5), "kernel_size is 3.5"),
        ((8, (3, True)), r"kernel_size is \(3, True\)"),
        ((8, "3"), "kernel_size is '3'"),
    ],
)
def test_impossible_sizes_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        conv.output_size(*arguments)


def test_output_size_answers_ints_with_an_int_and_pairs_with_a_pair():
    assert conv.output_size(32, 3, 1, 1) == 32
    assert conv.output_size((768, 1024), 5, stride=2, padding=1) == (383, 511)


@pytest.mark.parametrize("layer", [conv.Conv2D(3, 4), conv.MyConv2d(3, 4, 3)])
@pytest.mark.parametrize("shape", [(2, 8, 9, 9), (3, 9, 9), (2, 3, 9)])
def test_layers_refuse_input_of_another_shape(layer, shape):
    with pytest.raises(ValueError, match=r"takes \(batch, 3, height, width\)"):
        layer(torch.zeros(shape))


@pytest.mark.parametrize("layer", [conv.Conv2D(1, 1, 5, 1, 0), conv.MyConv2d(1, 1, 5)])
def test_layers_refuse_an_image_smaller_than_the_kernel(layer):
    with pytest.raises(ValueError, match="use a smaller kernel or more padding"):
        layer(torch.zeros(1, 1, 4, 9))


def test_my_linear_refuses_another_width():
    with pytest.raises(ValueError, match=r"takes \(batch, 5\)"):
        conv.MyLinear(5, 7)(torch.zeros(2, 6))


def test_conv2d_learns():
    layer = conv.Conv2D(3, 8)
    assert [tuple(p.shape) for p in layer.parameters()] == [(27, 8)]
    layer(torch.randn(2, 3, 5, 5)).square().sum().backward()
    assert layer.kernel.grad.abs().sum() > 0


def test_my_layers_make_their_parameters_on_the_device_asked_for():
    layers = [conv.MyLinear(2, 3, device="meta"), conv.MyConv2d(2, 3, 3, device="meta")]
    assert all(p.is_meta for layer in layers for p in layer.parameters())


# --- The checks against planted mistakes ----------------------------------------------

MISTAKES = {
    "missing floor": (
        check_output_size,
        "// stride + 1",
        "/ stride + 1",
    ),
    "missing floor: rounded to the nearest": (
        check_output_size,
        "return (padded - reach) // stride + 1",
        "return round((padded - reach) / stride) + 1",
    ),
    "padding counted on one side": (
        check_output_size,
        "size + 2 * padding\n",
        "size + padding\n",
    ),
    "dilation forgotten": (
        check_output_size,
        "dilation * (kernel - 1)",
        "(kernel - 1)",
    ),
    "swapped h and w in the module": (
        check_conv2d_module,
        "output_batch.reshape(B, D, h_out, w_out)",
        "output_batch.reshape(B, D, w_out, h_out)",
    ),
    "no transpose before the last reshape": (
        check_conv2d_module,
        "reshape(B, T, D).transpose(1, 2)",
        "reshape(B, D, T)",
    ),
    "flipped sign of the bias": (check_my_conv2d, "y + self.bias", "y - self.bias"),
    "swapped paddings": (
        check_my_conv2d,
        "(P_w, P_w, P_h, P_h)",
        "(P_h, P_h, P_w, P_w)",
    ),
    "swapped strides": (
        check_my_conv2d,
        "slice(i * s_h, i * s_h",
        "slice(i * s_w, i * s_w",
    ),
    "kernel flipped": (
        check_my_conv2d,
        "window, self.weight",
        "window, self.weight.flip(2, 3)",
    ),
    "weights not transposed": (
        check_my_linear,
        "self.weight.T",
        "self.weight.reshape(5, 7)",
    ),
    "flipped sign in the linear layer": (
        check_my_linear,
        "T + self.bias",
        "T - self.bias",
    ),
    "pixels numbered from zero": (
        check_convolution_matrix,
        "torch.arange(1.0, C * h * w + 1,",
        "torch.arange(0.0, C * h * w,",
    ),
    "swapped h and w in the matrix": (
        check_convolution_matrix,
        ".view(1, C, h, w)",
        ".view(1, C, w, h)",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_planted_mistake_is_caught(name):
    check, right, wrong = MISTAKES[name]
    mistaken = mutant(conv, right, wrong)
    with pytest.raises((Exception, pytest.fail.Exception)):
        check(mistaken)
