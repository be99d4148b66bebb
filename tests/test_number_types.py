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


ANY = (*FLOATING, *OTHERS)


@every_way
@settings(max_examples=12, deadline=None)
@given(st.sampled_from(ANY), st.sampled_from(ANY))
@example(torch.float32, torch.float16)  # found: other types than those of PyTorch
@example(torch.float16, torch.complex64)
def test_two_types_are_refused_as_by_pytorch(way, image, weights):
    X, K = torch.ones(1, 1, 4, 4).to(image), torch.ones(1, 1, 3, 3).to(weights)
    if image == weights in FLOATING:
        assert WAYS[way](X, K).dtype == image
    else:
        with pytest.raises(ValueError, match=r"takes float16|the same type"):
            WAYS[way](X, K)


@every_way
@pytest.mark.parametrize(
    "dtypes", [(torch.bfloat16, torch.float32), (torch.float32, torch.bfloat16)]
)
def test_autocast_makes_one_type_of_two(way, dtypes):
    X, K = (torch.ones(1, 1, n, n).to(t) for n, t in zip((4, 3), dtypes, strict=True))
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(
            WAYS[way](X, K).float(), torch.full((1, 1, 2, 2), 9.0)
        )


@pytest.mark.parametrize("layer", [*LAYERS, conv.MyLinear])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float64, *OTHERS])
def test_layers_refuse_another_type_than_their_weights(layer, dtype):
    is_linear = layer is conv.MyLinear
    model = layer(4, 2) if is_linear else layer(1, 2, 3)
    images = torch.ones((3, 4) if is_linear else (1, 1, 5, 5))
    with pytest.raises(ValueError, match=r"takes float16|the same type"):
        model(images.to(dtype))
    assert torch.is_tensor(model(images))


def test_the_loops_refuse_another_bias_and_no_images():
    X, K = torch.ones(1, 1, 4, 4), torch.ones(2, 1, 3, 3)
    for bias in (torch.ones(1), torch.ones(3), torch.ones(2, 1), 1.0):
        with pytest.raises(ValueError, match="one value for each of the 2 output"):
            ways.convolve_loops(X, K, bias=bias)
    with pytest.raises(ValueError, match="the number of images is 0"):
        ways.convolve_loops(X[:0], K)


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
    with pytest.raises(ValueError, match=r"input is torch.uint8, .* images.float\(\)"):
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


@every_way
@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from(["image", "kernel", "gradient"]),
    SPECIAL,
    st.tuples(*[st.integers(0, 5)] * 2),
    st.sampled_from([2, 17]),
    st.integers(1, 2),
    st.integers(0, 1),
)
@example("gradient", float("nan"), (1, 1), 2, 2, 1)  # found
@example("image", float("inf"), (0, 0), 2, 1, 0)  # met by the zeros beside an output
@example("kernel", float("inf"), (0, 2), 17, 2, 1)
def test_gradients_are_spoilt_no_more_than_by_definition(
    way, where, value, place, channels, stride, padding
):
    channels = 2 if way == "loops" else channels
    stride = 1 if way == "Winograd" else stride
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape):
        return torch.randn(shape, dtype=torch.float64, generator=generator)

    X, K = drawn(1, channels, 6, 6), drawn(2, channels, 3, 3)
    dY = drawn(*F.conv2d(X, K, None, stride, padding).shape)
    spoilt = {"image": X, "kernel": K, "gradient": dY}[where][0, 0]
    spoilt[place[0] % len(spoilt), place[1] % len(spoilt)] = value
    X.requires_grad_(), K.requires_grad_()

    def all_of(convolve):
        Y = convolve(X, K, stride, padding)
        return Y, *torch.autograd.grad(Y, (X, K), dY)

    expected = all_of(lambda X, K, s, p: F.conv2d(X, K, None, s, p))
    torch.testing.assert_close(all_of(WAYS[way]), expected, equal_nan=True)


@every_way
def test_what_would_overflow_on_the_way_only_does_not(way):
    for largest, dtype in ((6e4, torch.float16), (3e38, torch.float32)):
        X, K = torch.full((1, 1, 4, 4), largest).to(dtype), torch.zeros(1, 1, 3, 3)
        K[..., 1, 1] = 1
        assert torch.equal(WAYS[way](X, K.to(dtype), 1, 1), X)


@pytest.mark.parametrize("way", [w for w in WAYS if w != "loops"])
@pytest.mark.parametrize("c_in", [2, 17])
@pytest.mark.parametrize("stride", [1, 2])
def test_without_images_gradients_are_zeros(way, c_in, stride):
    if way == "Winograd":
        stride = 1
    X = torch.zeros(0, c_in, 5, 5, requires_grad=True)
    K = torch.randn(3, c_in, 3, 3, requires_grad=True)
    Y = WAYS[way](X, K, stride, 1)
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


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("way", [w for w in WAYS if w != "loops"])
def test_what_was_traced_takes_any_size(way):
    K = torch.randn(3, 2, 3, 3)
    traced = torch.jit.trace(lambda X: WAYS[way](X, K, 1, 1), torch.randn(1, 2, 5, 6))
    for size in ((9, 7), (300, 200)):  # the second takes more than one block
        X = torch.randn(2, 2, *size)
        expected = F.conv2d(X, K, padding=1)
        torch.testing.assert_close(traced(X), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("way", [w for w in WAYS if w != "loops"])
def test_ways_are_exported_for_images_of_any_size(way):
    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.kernel = nn.Parameter(torch.randn(3, 2, 3, 3))

        def forward(self, images):
            return WAYS[way](images, self.kernel, 1, 1)

    model, sizes = Layer().eval(), [torch.export.Dim(name) for name in "hw"]
    program = torch.export.export(
        model,
        (torch.randn(2, 2, 7, 6),),
        dynamic_shapes=({2: sizes[0], 3: sizes[1]},),
    )
    X = torch.randn(2, 2, 12, 9)
    torch.testing.assert_close(program.module()(X), model(X), rtol=1e-4, atol=1e-4)


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
