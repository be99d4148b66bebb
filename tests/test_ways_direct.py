"""The compiled way against F.conv2d, and what is said where numba is missing."""

import pytest
import torch
from mutants import mutant, unaided
from test_ways import check

from helpers import ways
from helpers.ways import direct

numba = pytest.mark.skipif(direct.njit is None, reason="numba is not installed")
pytestmark = pytest.mark.machine


@numba
@pytest.mark.slow
def test_equals_torch():
    check(direct, "direct")


@numba
def test_gradients_written_by_hand_pass_gradcheck():
    X = torch.randn(2, 3, 5, 4, dtype=torch.float64, requires_grad=True)
    K = torch.randn(5, 3, 3, 2, dtype=torch.float64, requires_grad=True)
    arguments = lambda X, K: ways.convolve_direct(X, K, (2, 1), (1, 0))  # noqa: E731
    assert torch.autograd.gradcheck(arguments, (X, K))
    assert torch.autograd.gradgradcheck(arguments, (X[:1, :, :3, :3], K[:1]))


MISTAKES = [
    ("x, n, i + p, at + 3 * c, w", "x, n, i + p, at + 2 * c, w"),
    ("x, n, i + p, at + 3, w", "x, n, i, at + 3, w"),
    ("store(y, n, i, j + t, d * lanes, a)", "store(y, n, i, j + t, 0, a)"),
]


@numba
@pytest.mark.slow
@pytest.mark.parametrize(("right", "wrong"), MISTAKES)
def test_a_planted_mistake_is_caught(right, wrong):
    X = torch.randn(2, 4, 9, 8, dtype=torch.float64, requires_grad=True)
    K = torch.randn(37, 4, 3, 3, dtype=torch.float64, requires_grad=True)

    def compute(convolve):
        Y = convolve(X, K, padding=1)
        return [Y, *torch.autograd.grad(Y.square().sum(), (X, K))]

    with unaided():
        expected = compute(torch.nn.functional.conv2d)
        torch.testing.assert_close(compute(direct.convolve_direct), expected)
        mistaken = mutant(direct, right, wrong)
        with pytest.raises(AssertionError):
            torch.testing.assert_close(compute(mistaken.convolve_direct), expected)


@numba
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_refused(dtype):
    X, K = torch.ones(1, 1, 4, 4, dtype=dtype), torch.ones(1, 1, 3, 3, dtype=dtype)
    with pytest.raises(ValueError, match="takes float32 and float64 on a CPU"):
        ways.convolve_direct(X, K)


def test_without_numba_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setattr(direct, "njit", None)
    with pytest.raises(
        RuntimeError, match=r"pip install 'convolution-report\[compiled"
    ):
        ways.convolve_direct(torch.ones(1, 1, 4, 4), torch.ones(1, 1, 3, 3))
    assert not ways.computes("direct", ways.CASES[0])
