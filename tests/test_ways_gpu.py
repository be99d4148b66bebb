"""The programs for a graphics card, in Triton's interpreter, against F.conv2d."""

import importlib.util
import inspect

import pytest
import torch
import torch.nn.functional as F

from helpers import ways
from helpers.ways import gpu

needs_triton = pytest.mark.skipif(gpu.triton is None, reason="Triton is not installed")
pytestmark = pytest.mark.machine

# batch, channels, size, out channels, kernel size, stride, padding
SHAPES = [
    (2, 3, (9, 8), 5, (3, 3), (1, 1), (1, 1)),
    (1, 17, (7, 6), 33, (3, 2), (2, 1), (1, 0)),
    (2, 2, (5, 4), 3, (2, 2), (1, 1), (3, 0)),
    (3, 1, (12, 11), 2, (1, 4), (3, 2), (0, 2)),
]


@pytest.fixture
def load(monkeypatch, tmp_path):
    """Load the module to be interpreted, with a mistake in it on request."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")

    def loaded(right="", wrong=""):
        source = inspect.getsource(gpu)
        assert right in source, "the text to be mutated has changed: adapt it"
        path = tmp_path / "interpreted.py"
        path.write_text(source.replace(right, wrong) if right else source)
        spec = importlib.util.spec_from_file_location("interpreted", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return loaded


def apart(module, shape, dtype=torch.float64):
    """The largest differences to F.conv2d: of values, and of both gradients."""
    b, c, size, d, kernel_size, *options = shape
    random = torch.Generator().manual_seed(0)
    X = torch.randn(b, c, *size, dtype=dtype, generator=random).requires_grad_()
    K = torch.randn(d, c, *kernel_size, dtype=dtype, generator=random).requires_grad_()
    found = []
    for convolve in (module.convolve_triton, lambda X, K, *o: F.conv2d(X, K, None, *o)):
        Y = convolve(X, K, *options)
        found.append([Y, *torch.autograd.grad(Y.square().sum(), (X, K))])
    return max((a - b).abs().max().item() for a, b in zip(*found, strict=True))


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_torch(load, shape):
    module = load()
    assert apart(module, shape) < 1e-11
    assert apart(module, shape, torch.float32) < 2e-3


@needs_triton
@pytest.mark.slow
def test_gradients_pass_gradcheck(load):
    module = load()
    X = torch.randn(1, 2, 4, 3, dtype=torch.float64, requires_grad=True)
    K = torch.randn(2, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    convolve = lambda X, K: module.convolve_triton(X, K, (2, 1), 1)  # noqa: E731
    assert torch.autograd.gradcheck(convolve, (X, K))
    assert torch.autograd.gradgradcheck(convolve, (X, K))


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("// c % k_w - left", "// c % k_w"),
        ("dy + rows[:, None] * d + columns[None, :]", "dy + rows[:, None] * d"),
        ("first = tl.program_id(2) * share", "first = 0"),
        ("tl.atomic_add(place, total,", "tl.store(place, total,"),
        ("*adjoint(kernel, ctx.padding)", "kernel.transpose(0, 1), ctx.padding"),
    ],
)
def test_a_planted_mistake_is_caught(load, right, wrong):
    module = load(right, wrong)
    # Positions in several shares, the last of them not full.
    assert apart(module, (2, 3, (9, 8), 5, (3, 3), (1, 1), (1, 1))) > 1e-6


def test_without_a_card_the_definition_computes_and_says_so(monkeypatch):
    monkeypatch.setattr(gpu, "INTERPRETED", False)
    X, K = torch.randn(1, 2, 5, 4), torch.randn(3, 2, 3, 3)
    with pytest.warns(UserWarning, match="needs a graphics card, or TRITON_INTERPRET"):
        Y = gpu.convolve_triton(X, K, 1, 1)
    torch.testing.assert_close(Y, ways.convolve_unfold(X, K, 1, 1))
