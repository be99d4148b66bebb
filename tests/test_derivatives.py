"""Second derivatives, and those of torch.func, through every way to convolve."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st

from helpers import ways
from helpers.conv import Conv2D, Conv2DFunc, Conv2DLayer, MyConv2d


def reference(X, K, stride=1, padding=0):
    return F.conv2d(X, K, None, stride, padding)


def functions(*left_out):
    found = {**ways.WAYS, "Conv2DFunc": Conv2DFunc.apply}
    return {name: way for name, way in found.items() if name not in left_out}


def tensors(batch, c_in, c_out, side, kernel_size):
    X = torch.randn(batch, c_in, side, side, dtype=torch.float64)
    K = torch.randn(c_out, c_in, kernel_size, kernel_size, dtype=torch.float64)
    return X.requires_grad_(), K.requires_grad_()


def penalised(convolve, X, K, stride, padding, squared):
    """Gradients of a loss with a gradient penalty, as critics are trained with."""
    Y = convolve(X, K, stride, padding)
    loss = Y.square().mean() if squared else Y.mean()
    (g,) = torch.autograd.grad(Y.sum(), X, create_graph=True)
    loss = loss + (g.norm() - 1) ** 2
    return torch.autograd.grad(loss, (X, K), allow_unused=True, materialize_grads=True)


@pytest.mark.parametrize("way", functions())
@settings(max_examples=8, deadline=None)
@given(
    st.sampled_from([1, 2, 17]),  # im2row does not work alike with many channels
    st.integers(1, 2),
    st.integers(1, 2),
    st.integers(0, 2),
    st.booleans(),
)
@example(2, 2, 1, 1, False)
@example(17, 2, 1, 1, True)
def test_a_gradient_penalty_is_that_of_pytorch(
    way, c_in, c_out, stride, padding, squared
):
    if way == "loops":
        c_in = min(c_in, 2)
    if way == "Winograd":
        stride = 1
    X, K = tensors(1, c_in, c_out, 4, 3)
    geometry = (stride, padding)
    ours = penalised(functions()[way], X, K, *geometry, squared)
    expected = penalised(reference, X, K, *geometry, squared)
    torch.testing.assert_close(ours, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("way", ["shifted", "im2row", "Winograd"])
@pytest.mark.parametrize("c_in", [2, 16])
def test_second_derivatives_pass_gradgradcheck(way, c_in):
    X, K = tensors(1, c_in, 1, 4, 3 if way == "Winograd" else 2)
    stride = (1, 1) if way == "Winograd" else (2, 1)
    assert torch.autograd.gradgradcheck(
        lambda X, K: ways.WAYS[way](X, K, stride, 1), (X, K)
    )


@pytest.mark.parametrize("way", functions())
@pytest.mark.parametrize("stride", [1, 2])
def test_forward_mode_is_that_of_pytorch_or_refused(way, stride):
    stride = 1 if way == "Winograd" else stride
    X, K = (t.detach() for t in tensors(1, 2, 1, 4, 3))

    def derivatives(convolve):
        def loss(K):
            return convolve(X, K, stride, 1).pow(3).sum()

        moved = torch.func.jvp(lambda *t: convolve(*t, stride, 1), (X, K), (-X, K + 1))
        return *moved, torch.func.hessian(loss)(K)

    if way == "Conv2DFunc":
        with pytest.raises(NotImplementedError, match="jvp"):
            derivatives(functions()[way])
        return
    ours, expected = derivatives(functions()[way]), derivatives(reference)
    torch.testing.assert_close(ours, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("layer", [Conv2D, MyConv2d, Conv2DLayer])
def test_many_networks_and_single_samples_are_mapped(layer):
    model = layer(2, 3, 3, padding=1).double()
    weights = {name: value.detach() for name, value in model.named_parameters()}
    X = torch.randn(3, 2, 5, 5, dtype=torch.float64)

    def call(weights, X):
        return torch.func.functional_call(model, weights, (X,))

    def loss(weights, x):
        return call(weights, x[None]).square().sum()

    both = {name: torch.stack([value, -value]) for name, value in weights.items()}
    found = torch.func.vmap(lambda w: call(w, X))(both)
    minus = {name: -value for name, value in weights.items()}
    expected = torch.stack([call(weights, X), call(minus, X)])
    torch.testing.assert_close(found, expected)
    per_sample = torch.func.vmap(torch.func.grad(loss), (None, 0))(weights, X)
    for row, x in enumerate(X):
        alone = torch.func.grad(loss)(weights, x)
        for name, gradient in alone.items():
            torch.testing.assert_close(per_sample[name][row], gradient)


@pytest.mark.parametrize("way", functions())
@pytest.mark.parametrize("c_in", [2, 17])
def test_derivatives_by_torch_func_are_those_of_pytorch(way, c_in):
    c_in = 2 if way == "loops" else c_in
    X, K = (t.detach() for t in tensors(3, c_in, 2, 5, 3))

    def derivatives(convolve):
        def loss(K, image):
            return convolve(image[None], K, 1, 1).square().sum()

        per_sample = torch.func.vmap(torch.func.grad(loss), (None, 0))
        rows = torch.func.jacrev(lambda K: convolve(X, K, 1, 1).sum((2, 3)))
        one_by_one = torch.func.vmap(torch.func.vmap(lambda K: convolve(X, K, 1, 1)))
        return per_sample(K, X), rows(K), one_by_one(torch.stack([K, -K])[None])

    ours, expected = derivatives(functions()[way]), derivatives(reference)
    torch.testing.assert_close(ours, expected, rtol=1e-8, atol=1e-8)
