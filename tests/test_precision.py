"""bfloat16 by rounding is the bfloat16 of PyTorch, but for the order of its sums."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from helpers.models import NETWORKS
from helpers.training import precision
from helpers.training.precision import Rounded, has_bfloat16, reduced

ONE_ROUNDING = 2**-8  # relative, of bfloat16
CPU = torch.device("cpu")


def trained(context, name, options, channels, side, seed):
    """Scores of one batch, and the gradient of every weight."""
    torch.manual_seed(seed)
    net = NETWORKS[name](**options)
    images = torch.rand(8, channels, side, side)
    with context:
        scores = net(images)
    F.cross_entropy(scores.float(), torch.arange(8)).backward()
    return scores.detach().float(), torch.cat(
        [p.grad.ravel() for p in net.parameters()]
    )


def distance(found, expected):
    return ((found - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize(
    ("name", "options", "channels", "side"),
    [
        ("FixedNet", {"image_size": 28}, 1, 28),
        ("VariableNet", {"last_channels": 12}, 1, 32),
        ("VariableNet", {"last_channels": 12, "pooling": "mean"}, 1, 24),
        ("CifarNet", {"standardised": True}, 3, 32),
    ],
)
def test_rounding_is_nearer_to_autocast_than_float32_is(name, options, channels, side):
    networks = name, options, channels, side, 0
    half = trained(torch.autocast("cpu", torch.bfloat16), *networks)
    rounded = trained(Rounded(), *networks)
    full = trained(reduced("float32", CPU), *networks)
    for mine, autocast, single in zip(rounded, half, full, strict=True):
        assert distance(mine, autocast) < max(
            ONE_ROUNDING, distance(single, autocast) / 2
        )
        assert distance(mine, autocast) < 5 * ONE_ROUNDING


@given(st.integers(0, 1000), st.integers(1, 5), st.booleans())
def test_what_a_layer_returns_and_receives_is_bfloat16(seed, channels, linear):
    draws = torch.Generator().manual_seed(seed)
    x, weight = (
        torch.randn(shape, generator=draws).requires_grad_()
        for shape in ((2, channels, 4, 4), (3, channels, 3, 3))
    )
    if linear:
        x, weight = (value.detach().flatten(1) for value in (x, weight))
        weight = weight[:, :1].expand(-1, x.shape[1]).clone().requires_grad_()
        x.requires_grad_()
    layer = F.linear if linear else F.conv2d
    with Rounded():
        y = layer(x, weight)
    y.sin().sum().backward()
    for value in (y, x.grad, weight.grad):
        assert value.dtype == torch.float32
        assert value.equal(value.bfloat16().float())
    exact = layer(x.bfloat16().double(), weight.bfloat16().double())
    torch.testing.assert_close(y.double(), exact, rtol=2**-7, atol=1e-3)


@pytest.mark.parametrize("native", [True, False])
def test_a_device_that_lacks_bfloat16_rounds(monkeypatch, native):
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: native)
    context = reduced("bfloat16", CPU)
    assert isinstance(context, torch.autocast if native else Rounded)


def test_gpus_are_taken_to_have_bfloat16():
    assert has_bfloat16(torch.device("cuda"))
    assert has_bfloat16(CPU) in (True, False)
