"""The backward pass: Conv2DFunc, Conv2DLayer, fold_loops, conv_gradient_wrt_input."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import forward_ad, gradcheck, gradgradcheck

from helpers import conv, mutations
from helpers.conv import (
    Conv2DFunc,
    Conv2DLayer,
    conv_gradient_wrt_input,
    convolution_matrix,
    fold_loops,
    output_size,
)
from helpers.mutations import CHECKS, MUTATIONS, verdict, whole_numbers

quick = settings(max_examples=60, deadline=None, derandomize=True)


@st.composite
def convolutions(draw, largest_dilation: int = 2) -> dict:
    """Shapes of input and kernel, and a geometry in which the kernel fits."""

    def pair_of(smallest, largest):
        return draw(st.tuples(*[st.integers(smallest, largest)] * 2))

    batch, in_channels, out_channels = draw(st.tuples(*[st.integers(1, 3)] * 3))
    kernel_size, stride, padding = pair_of(1, 3), pair_of(1, 3), pair_of(0, 2)
    dilation, spare = pair_of(1, largest_dilation), pair_of(0, 3)
    size = tuple(
        max(1, d * (k - 1) + 1 - 2 * p) + extra
        for k, p, d, extra in zip(kernel_size, padding, dilation, spare, strict=True)
    )
    return {
        "input": (batch, in_channels, *size),
        "kernel": (out_channels, in_channels, *kernel_size),
        "geometry": (stride, padding, dilation),
    }


def random_case(case: dict, make=torch.randn) -> tuple:
    X = make(case["input"], dtype=torch.float64, requires_grad=True)
    K = make(case["kernel"], dtype=torch.float64, requires_grad=True)
    return X, K, *case["geometry"]


def conv2d(X, K, stride=1, padding=1, dilation=1):
    return F.conv2d(X, K, None, stride, padding, dilation)


# --- Derivatives, over a family of shapes ---------------------------------------------


@given(convolutions())
@quick
def test_gradcheck(case):
    assert gradcheck(Conv2DFunc.apply, random_case(case))


@given(convolutions())
@settings(quick, max_examples=25)
def test_gradgradcheck(case):
    assert gradgradcheck(Conv2DFunc.apply, random_case(case))


@given(convolutions())
@quick
def test_whole_numbers_agree_to_the_last_bit(case):
    X = whole_numbers(*case["input"]).requires_grad_()
    K = whole_numbers(*case["kernel"]).requires_grad_()
    ours = Conv2DFunc.apply(X, K, *case["geometry"])
    expected = conv2d(X, K, *case["geometry"])
    assert torch.equal(ours, expected)
    dY = whole_numbers(*expected.shape)
    for mine, autograds in zip(
        torch.autograd.grad(ours, (X, K), dY),
        torch.autograd.grad(expected, (X, K), dY),
        strict=True,
    ):
        assert torch.equal(mine, autograds)


@given(convolutions(largest_dilation=1))
@quick
def test_fold_is_the_adjoint_of_unfold(case):
    stride, padding, _ = case["geometry"]
    size, kernel_size = case["input"][2:], case["kernel"][2:]
    X = torch.randn(case["input"], dtype=torch.float64)
    U = F.unfold(X, kernel_size, stride=stride, padding=padding)
    V = torch.randn_like(U)
    folded = fold_loops(V, size, kernel_size, stride, padding)
    assert abs((U * V).sum() - (X * folded).sum()) < 1e-12
    library = F.fold(V, size, kernel_size, stride=stride, padding=padding)
    assert torch.allclose(folded, library, rtol=0, atol=1e-12)


@given(convolutions(largest_dilation=1))
@settings(quick, max_examples=25)
def test_input_gradient_is_the_transposed_matrix(case):
    X, K, stride, padding, _ = random_case(case)
    Y = Conv2DFunc.apply(X, K, stride, padding)
    dY = torch.randn_like(Y)
    (dX,) = torch.autograd.grad(Y, X, dY)
    A = convolution_matrix(K.detach(), case["input"][2:], stride, padding)
    assert torch.allclose(dX.flatten(1), dY.flatten(1) @ A, rtol=0, atol=1e-12)


# --- What autograd asks of a function -------------------------------------------------


def test_stride_and_padding_default_to_one():
    X, K = torch.randn(2, 3, 6, 5), torch.randn(4, 3, 3, 3)
    assert torch.allclose(Conv2DFunc.apply(X, K), F.conv2d(X, K, padding=1), atol=1e-5)


@pytest.mark.parametrize("needed", [(True, False), (False, True), (False, False)])
def test_only_the_needed_gradient_is_computed(needed, monkeypatch):
    """The input's gradient is the one that folds."""
    folds = []
    monkeypatch.setattr(F, "fold", lambda *a, fold=F.fold: folds.append(1) or fold(*a))
    X, K = (
        whole_numbers(*shape).requires_grad_(need)
        for shape, need in zip([(2, 3, 5, 5), (4, 3, 3, 3)], needed, strict=True)
    )
    Y = Conv2DFunc.apply(X, K)
    assert Y.requires_grad == any(needed)
    if any(needed):
        Y.sum().backward()
    assert (X.grad is not None, K.grad is not None) == needed
    assert len(folds) == needed[0]


def test_only_input_and_kernel_are_saved():
    """Unfolded patches would be k_h * k_w times the size of the input."""
    saved = []
    X, K = torch.randn(2, 3, 8, 8, requires_grad=True), torch.randn(4, 3, 3, 3)
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: saved.append(tuple(tensor.shape)) or tensor,
        lambda tensor: tensor,
    ):
        Conv2DFunc.apply(X, K)
    assert saved == [tuple(X.shape), tuple(K.shape)]


@pytest.mark.parametrize("layout", ["expanded", "transposed", "strided"])
def test_gradient_of_any_layout(layout):
    X, K = mutations.example()
    Y = Conv2DFunc.apply(X, K)
    dY = {
        "expanded": torch.ones(1, dtype=Y.dtype).expand_as(Y),
        "transposed": whole_numbers(*Y.mT.shape).mT,
        "strided": whole_numbers(*Y.shape, 2)[..., 0],
    }[layout]
    assert not dY.is_contiguous()
    ours = torch.autograd.grad(Y, (X, K), dY)
    expected = torch.autograd.grad(conv2d(X, K), (X, K), dY.contiguous())
    assert all(map(torch.equal, ours, expected))


def test_errors_say_what_fits():
    with pytest.raises(ValueError, match=r"\(batch, 3, height, width\)"):
        Conv2DFunc.apply(torch.zeros(1, 2, 5, 5), torch.zeros(1, 3, 3, 3))
    with pytest.raises(ValueError, match="smaller kernel or more padding"):
        Conv2DFunc.apply(torch.zeros(1, 1, 5, 5), torch.zeros(1, 1, 8, 3))


# --- Reduced precision, vmap, compile -------------------------------------------------


def trained_once(layer, x, precision, autocast):
    """Return output and gradients of one step of `layer` in a reduced precision."""
    x = x.detach().clone().requires_grad_()
    layer.zero_grad()
    if autocast:
        with torch.autocast("cpu", dtype=precision):
            y = layer(x)
    else:
        y = layer.to(precision)(x.to(precision))
    y.float().square().mean().backward()
    return {"y": y, "dx": x.grad, **{n: p.grad for n, p in layer.named_parameters()}}


@pytest.mark.parametrize("autocast", [True, False])
@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_reduced_precision_behaves_as_nn_conv2d(precision, autocast):
    torch.manual_seed(0)
    theirs = nn.Conv2d(3, 4, (3, 2), stride=(2, 1), padding=(1, 0))
    ours = Conv2DLayer(3, 4, (3, 2), stride=(2, 1), padding=(1, 0))
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 3, 7, 6)
    expected = trained_once(theirs, x, precision, autocast)
    # Two roundings apart: the library adds the bias before it rounds.
    tolerance = 2 * torch.finfo(precision).eps
    for name, mine in trained_once(ours, x, precision, autocast).items():
        assert mine.dtype == expected[name].dtype, name
        difference = (mine.float() - expected[name].float()).abs().max()
        assert difference <= tolerance * expected[name].float().abs().max(), name


def test_vmap_and_per_image_gradients():
    torch.manual_seed(0)
    X = torch.randn(5, 2, 3, 6, 5, dtype=torch.float64)
    K = torch.randn(5, 4, 3, 3, 2, dtype=torch.float64)
    together = torch.vmap(Conv2DFunc.apply)(X, K)
    one_by_one = torch.stack([conv2d(x, k) for x, k in zip(X, K, strict=True)])
    assert torch.allclose(together, one_by_one, rtol=0, atol=1e-12)

    def kernel_gradient(function):
        gradient = torch.func.grad(lambda k, x: function(x, k, 2, 1).square().sum())
        return torch.vmap(gradient, in_dims=(None, 0))(K[0], X)

    ours, expected = kernel_gradient(Conv2DFunc.apply), kernel_gradient(conv2d)
    assert torch.allclose(ours, expected, rtol=0, atol=1e-10)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")
def test_forward_mode_is_refused_with_a_clear_error():
    X, K = torch.randn(1, 1, 4, 4), torch.randn(1, 1, 3, 3)
    with forward_ad.dual_level(), pytest.raises(NotImplementedError, match="jvp"):
        Conv2DFunc.apply(forward_ad.make_dual(X, X), K)


@pytest.mark.parametrize("geometry", [(), (2,), ((2, 1), (1, 0), (1, 2))])
def test_compiles_without_a_graph_break(geometry):
    X, K = mutations.example()
    dY = whole_numbers(*conv2d(X, K, *geometry).shape)
    compiled = torch.compile(Conv2DFunc.apply, backend="aot_eager", fullgraph=True)
    ours = torch.autograd.grad(compiled(X, K, *geometry), (X, K), dY)
    expected = torch.autograd.grad(conv2d(X, K, *geometry), (X, K), dY)
    assert all(map(torch.equal, ours, expected))


# --- The layer ------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("in_channels, batch", [(1, 1), (3, 2)])
def test_layer_is_the_twin_of_nn_conv2d(bias, in_channels, batch):
    torch.manual_seed(0)
    arguments = (in_channels, 4, (3, 2), (2, 1), (1, 0))
    theirs = nn.Conv2d(*arguments, bias=bias).double()
    ours = Conv2DLayer(*arguments, bias=bias).double()
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(batch, in_channels, 7, 6, dtype=torch.float64)
    assert torch.allclose(ours(x), theirs(x), rtol=0, atol=1e-12)
    assert gradcheck(ours, x.requires_grad_())
    ours(x).square().sum().backward()
    theirs(x).square().sum().backward()
    for mine, reference in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(mine.grad, reference.grad, rtol=0, atol=1e-10)


# --- By loops -------------------------------------------------------------------------


@given(*[st.integers(1, 4)] * 4)
@settings(quick, max_examples=25)
def test_gradient_by_loops(h_out, w_out, k_h, k_w):
    image = whole_numbers(h_out + k_h - 1, w_out + k_w - 1).requires_grad_()
    kernel = whole_numbers(k_h, k_w)
    Y = F.conv2d(image[None, None], kernel[None, None])[0, 0]
    Y.square().sum().backward()
    assert torch.equal(conv_gradient_wrt_input(2 * Y.detach(), kernel), image.grad)


def test_bounds_of_the_sum():
    """max(0, i - n + k) to min(k - 1, i) are all taps for which the window exists."""
    for n, k in itertools.product(range(1, 9), range(1, 9)):
        if k > n:
            continue
        windows = output_size(n, k)
        for i in range(n):
            meets = [tap for tap in range(k) if 0 <= i - tap < windows]
            assert meets == list(range(max(0, i - n + k), min(k, i + 1)))


# --- Mistakes turn checks red ---------------------------------------------------------


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.mistake)
def test_each_mistake_is_caught(mutation):
    check = CHECKS[mutation.caught_by]
    assert verdict(check, getattr(conv, mutation.target)) == ""
    assert verdict(check, mutation.make()) != ""


@pytest.mark.parametrize("name", CHECKS)
def test_each_check_is_needed(name):
    assert any(mutation.caught_by == name for mutation in MUTATIONS)


def test_a_mutation_that_no_longer_fits_is_refused():
    stale = mutations.Mutation("stale", "fold_loops", {"no such text": ""}, "-")
    with pytest.raises(ValueError, match="adapt the mutation"):
        stale.make()
