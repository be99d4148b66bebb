"""Every type of number, special values and no images at all, through every way."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from helpers import conv, ways

WAYS = {
    **ways.WAYS,
    "Conv2DFunc": lambda X, K, s=1, p=0: conv.Conv2DFunc.apply(X, K, s, p),
}
LAYERS = (conv.Conv2D, conv.MyConv2d, conv.Conv2DLayer)
every_way = pytest.mark.parametrize("way", WAYS)

FLOATING = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
OTHERS = (torch.bool, torch.uint8, torch.int16, torch.int64, torch.complex64)


@every_way
@pytest.mark.parametrize("dtype", FLOATING)
def test_floating_point_numbers_are_convolved_as_by_pytorch(way, dtype):
    X = torch.arange(32.0).reshape(1, 2, 4, 4).to(dtype)
    K = torch.ones(1, 2, 3, 3, dtype=dtype)
    ours, expected = WAYS[way](X, K, 1, 1), F.conv2d(X, K, padding=1)
    assert ours.dtype == dtype
    tolerance = 4 * torch.finfo(dtype).eps * expected.abs().max().item()
    torch.testing.assert_close(ours, expected, rtol=0, atol=tolerance)


@every_way
@pytest.mark.parametrize("dtype", OTHERS)
def test_other_numbers_are_refused(way, dtype):
    X, K = torch.ones(1, 1, 4, 4).to(dtype), torch.ones(1, 1, 3, 3).to(dtype)
    with pytest.raises(ValueError, match="takes float16, bfloat16, float32 and"):
        WAYS[way](X, K)


@pytest.mark.parametrize("way", [way for way in ways.WAYS if way != "loops"])
def test_mixed_types_are_refused(way):
    X, K = torch.ones(1, 1, 4, 4), torch.ones(1, 1, 3, 3)
    for mixed in ((X, K.double()), (X.half(), K), (X, K.long())):
        with pytest.raises(ValueError, match="give both the same type"):
            ways.WAYS[way](*mixed)


@pytest.mark.parametrize("layer", LAYERS)
def test_layers_refuse_images_that_are_not_divided_yet(layer):
    with pytest.raises(ValueError, match=r"input is torch.uint8: .* images.float\(\)"):
        layer(1, 2, 3)(torch.ones(1, 1, 8, 8, dtype=torch.uint8))


SPECIAL = st.sampled_from([float("nan"), float("inf"), -float("inf")])
PLACES = st.tuples(st.just(0), st.integers(0, 1), st.integers(0, 6), st.integers(0, 6))


@every_way
@settings(max_examples=10, deadline=None)
@given(SPECIAL, PLACES, st.integers(1, 2), st.integers(0, 1))
@example(float("inf"), (0, 0, 3, 3), 1, 1)
@example(float("nan"), (0, 0, 0, 2), 2, 1)  # found
def test_a_special_value_spoils_what_it_touches_and_no_more(
    way, value, place, stride, padding
):
    if way == "Winograd":
        stride = 1
    X, K = torch.randn(1, 2, 7, 7), torch.randn(1, 2, 3, 3)
    X[place] = value
    ours = WAYS[way](X, K, stride, padding)
    expected = F.conv2d(X.double(), K.double(), None, stride, padding).float()
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4, equal_nan=True)


@pytest.mark.parametrize("way", [*ways.MEASURED])
@pytest.mark.parametrize("c_in", [2, 17])
@pytest.mark.parametrize("stride", [1, 2])
def test_without_images_gradients_are_zeros(way, c_in, stride):
    if way == "Winograd":
        stride = 1
    X = torch.zeros(0, c_in, 5, 5, requires_grad=True)
    K = torch.randn(3, c_in, 3, 3, requires_grad=True)
    Y = ways.WAYS[way](X, K, stride, 1)
    assert Y.shape == F.conv2d(X, K, stride=stride, padding=1).shape
    Y.sum().backward()
    assert X.grad.shape == X.shape and torch.equal(K.grad, torch.zeros_like(K))


@every_way
def test_without_pixels_or_kernels_there_is_no_convolution(way):
    for X_shape, K_shape in (
        ((1, 1, 0, 4), (1, 1, 3, 3)),
        ((1, 1, 4, 4), (1, 1, 0, 3)),
    ):
        with pytest.raises(ValueError, match="each at least 1"):
            WAYS[way](torch.zeros(X_shape), torch.zeros(K_shape))


WHOLE = (np.int64, np.uint8, np.array, torch.tensor)


@given(
    st.sampled_from(WHOLE),
    st.tuples(*(st.integers(*ends) for ends in ((5, 30), (1, 5), (1, 3), (0, 2)))),
)
def test_whole_numbers_of_every_library_are_whole_numbers(kind, numbers):
    ours = conv.output_size(*map(kind, numbers))
    assert type(ours) is int and ours == conv.output_size(*numbers)
    pairs = [kind([number, number + 1]) for number in numbers if kind in WHOLE[2:]]
    if pairs:
        expected = [(number, number + 1) for number in numbers]
        assert conv.output_size(*pairs) == conv.output_size(*expected)


@pytest.mark.parametrize(
    "number",
    [
        *(True, np.True_, torch.tensor(True), 3.0, np.float64(3), torch.tensor(3.0)),
        *("3", None, (1, 2, 3), [], torch.tensor([[3]]), 0, -1, np.int64(0)),
    ],
    ids=repr,
)
def test_what_is_no_whole_number_is_refused_with_words(number):
    for make in (
        lambda: conv.output_size(28, number),
        lambda: conv.MyConv2d(1, 1, number),
        lambda: conv.MyConv2d(1, 1, 3, stride=number),
    ):
        with pytest.raises(ValueError, match=r"give one integer or a .* at least 1"):
            make()
    for make in (
        lambda: conv.MyConv2d(number, 1, 3),
        lambda: conv.MyConv2d(1, number, 3),
        lambda: conv.MyLinear(number, 1),
        lambda: conv.MyLinear(1, number),
    ):
        with pytest.raises(ValueError, match="use a whole number from 1 up"):
            make()


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("layer", LAYERS)
def test_layers_are_traced(layer):
    model, X = layer(2, 3, 3, padding=1).eval(), torch.randn(2, 2, 7, 6)
    traced = torch.jit.trace(model, X)
    torch.testing.assert_close(traced(2 * X), model(2 * X))


@pytest.mark.slow
@pytest.mark.parametrize("layer", [conv.Conv2D, conv.Conv2DLayer, nn.Conv2d])
def test_layers_are_exported_for_images_of_any_size(layer):
    model, sizes = layer(2, 3, 3, padding=1).eval(), [torch.export.Dim(n) for n in "hw"]
    shapes = ({2: sizes[0], 3: sizes[1]},)
    program = torch.export.export(
        model, (torch.randn(2, 2, 7, 6),), dynamic_shapes=shapes
    )
    for height, width in ((5, 9), (12, 4)):
        X = torch.randn(2, 2, height, width)
        torch.testing.assert_close(program.module()(X), model(X))
