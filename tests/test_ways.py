"""Every way to compute a convolution against F.conv2d, in values and gradients.

Each check takes the module to be checked, so that it can also be shown to fail.
"""

import importlib
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from mutants import mutant, thorough, unaided

from helpers import ways
from helpers.ways import common, winograd

# Transforms round more often than a sum of products does.
TOLERANCE = {"FFT": 1e-11, "Winograd": 1e-11}

small = st.integers(1, 3)


@st.composite
def problems(draw, way):
    """An input, a kernel, a stride and a padding that `way` can compute, as doubles."""

    def pair(low, high):
        return draw(st.tuples(st.integers(low, high), st.integers(low, high)))

    winograd = way == "Winograd"
    kernel_size = (3, draw(st.integers(1, 4))) if winograd else pair(1, 4)
    # Half of them without a stride: with one, some ways go about the padding otherwise.
    stride = (1, 1) if winograd or draw(st.booleans()) else pair(1, 3)
    padding = pair(0, 2)
    size = tuple(
        draw(st.integers(max(1, k - 2 * p), 6 if way == "loops" else 9))
        for k, p in zip(kernel_size, padding, strict=True)
    )
    # Both sides of FEW_CHANNELS: there the blocks change their layout.
    c_in = draw(small if way == "loops" else st.sampled_from([1, 2, 3, 17]))
    b, c_out = draw(small), draw(small)
    X = torch.randn(b, c_in, *size, dtype=torch.float64)
    if draw(st.booleans()):
        X = X.transpose(2, 3).contiguous().transpose(2, 3)
    K = torch.randn(c_out, c_in, *kernel_size, dtype=torch.float64)
    return X, K, stride, padding


def module_of(way):
    return importlib.import_module(f"helpers.ways.{way.lower()}")


def check(module, way):
    tolerance = TOLERANCE.get(way, 1e-12)

    @thorough(module)
    @given(problems(way))
    def equals_torch(problem):
        X, K, *options = problem
        X.requires_grad_(), K.requires_grad_()
        expected = F.conv2d(X, K, None, *options)
        ours = module.WAY(X, K, *options)
        assert ours.shape == expected.shape
        dY = torch.randn_like(expected)
        pairs = zip(
            (ours, *torch.autograd.grad(ours, (X, K), dY)),
            (expected, *torch.autograd.grad(expected, (X, K), dY)),
            strict=True,
        )
        for mine, theirs in pairs:
            scale = max(1.0, theirs.abs().max().item())
            assert (mine - theirs).abs().max() <= tolerance * scale

    with unaided():
        equals_torch()


@pytest.mark.parametrize("way", ways.WAYS)
def test_equals_torch(way):
    check(module_of(way), way)


BY_HAND = ("shifted", "im2row", "Winograd")


@pytest.mark.parametrize("way", BY_HAND)
@pytest.mark.parametrize("channels", [2, 17])
def test_gradients_written_by_hand_pass_gradcheck(way, channels):
    X = torch.randn(2, channels, 5, 4, dtype=torch.float64, requires_grad=True)
    K = torch.randn(2, channels, 3, 2, dtype=torch.float64, requires_grad=True)
    stride = (1, 1) if way == "Winograd" else (2, 1)

    def convolve(X, K):
        return ways.WAYS[way](X, K, stride, (1, 0))

    assert torch.autograd.gradcheck(convolve, (X, K))


@pytest.mark.parametrize("block_bytes", [1, 700, 5_000])
@pytest.mark.parametrize("way", BY_HAND)
def test_the_size_of_a_block_changes_nothing(way, block_bytes, monkeypatch):
    monkeypatch.setattr(common, "BLOCK_BYTES", block_bytes)
    check(module_of(way), way)


@pytest.mark.parametrize("way", ways.WAYS)
def test_single_precision_stays_close(way):
    X, K = torch.randn(2, 17, 12, 11), torch.randn(5, 17, 3, 3)
    ours = ways.WAYS[way](X[:, :2], K[:, :2], padding=1)
    expected = F.conv2d(X[:, :2], K[:, :2], padding=1)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-4)
    if way != "loops":
        ours = ways.WAYS[way](X, K, padding=1)
        expected = F.conv2d(X, K, padding=1)
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-3)


def test_winograds_additions_are_its_matrices():
    pixels, points = torch.randn(6, 5).double(), torch.empty(6, 5).double()
    winograd.pixels_to_points(pixels, points)
    torch.testing.assert_close(points, ways.WINOGRAD_B.double() @ pixels)
    outputs = torch.empty(4, 5).double()
    expected = ways.WINOGRAD_A.double() @ points
    winograd.points_to_outputs(points.clone(), outputs)
    torch.testing.assert_close(outputs, expected)
    winograd.outputs_to_points(outputs, points)
    torch.testing.assert_close(points, ways.WINOGRAD_A.double().T @ outputs)


@pytest.mark.parametrize("way", BY_HAND)
def test_results_share_no_memory_with_later_calls(way):
    for kernel_size, c, padding in ((3, 17, 1), (3, 2, 0), (1, 17, 0), (1, 2, 0)):
        if way == "Winograd" and kernel_size == 1:
            continue
        X = torch.randn(2, c, 6, 5, dtype=torch.float64, requires_grad=True)
        K = torch.randn(3, c, kernel_size, kernel_size, dtype=torch.float64)
        K.requires_grad_()
        found = []
        for sign in (1, -1, 1):
            Y = ways.WAYS[way](sign * X, K, 1, padding)
            found.append([Y, *torch.autograd.grad(Y.square().sum(), (X, K))])
        for first, second in zip(found[0], found[2], strict=True):
            torch.testing.assert_close(first, second, rtol=0, atol=0)
            assert first.data_ptr() != second.data_ptr()


def test_blocks_are_kept_from_call_to_call_and_by_thread():
    X, K = torch.randn(2, 17, 6, 5), torch.randn(3, 17, 3, 3)
    with torch.inference_mode():
        ways.convolve_im2row(X, K)
    before = {name: kept.data_ptr() for name, kept in common.workspace.kept.items()}
    ways.convolve_im2row(X, K.requires_grad_()).sum().backward()
    assert (
        before.items()
        <= {
            name: kept.data_ptr() for name, kept in common.workspace.kept.items()
        }.items()
    )
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: common.workspace.kept).result() == {}


def test_the_loops_offer_dilation_and_bias():
    X = torch.randn(1, 2, 7, 6, dtype=torch.float64)
    K, bias = torch.randn(2, 2, 3, 2).double(), torch.randn(2).double()
    options = dict(stride=(1, 2), padding=(2, 1), dilation=(2, 3))
    ours = ways.convolve_loops(X, K, bias=bias, **options)
    expected = F.conv2d(X, K, bias, **options)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("way", ways.WAYS)
@pytest.mark.parametrize(
    ("X_shape", "K_shape", "message"),
    [
        ((1, 2, 5, 5), (1, 3, 3, 3), r"takes \(batch, 3, height, width\)"),
        ((2, 5, 5), (1, 2, 3, 3), r"takes \(batch, 2, height, width\)"),
        ((1, 2, 2, 5), (1, 2, 3, 3), "use a smaller kernel or more padding"),
    ],
)
def test_what_does_not_fit_is_refused(way, X_shape, K_shape, message):
    with pytest.raises(ValueError, match=message):
        ways.WAYS[way](torch.zeros(X_shape), torch.zeros(K_shape))


@pytest.mark.parametrize(("kernel_size", "stride"), [((5, 3), 1), ((3, 3), 2)])
def test_winograd_refuses_other_kernels_and_strides(kernel_size, stride):
    X, K = torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, *kernel_size)
    with pytest.raises(ValueError, match="takes kernels of 3 rows at stride 1"):
        ways.convolve_winograd(X, K, stride)


MISTAKES = {
    "swapped strides in the loops": (
        "loops",
        "i * s_h + p * d_h, j * s_w + q * d_w",
        "i * s_w + p * d_h, j * s_h + q * d_w",
    ),
    "flipped kernel in the loops": (
        "loops",
        "kernel[d, c, p, q]",
        "kernel[d, c, k_h - 1 - p, q]",
    ),
    "the kernel's spectrum not conjugated": (
        "FFT",
        "return sums_of_products(X, K.conj())",
        "return sums_of_products(X, K)",
    ),
    "a channel left out of the products": (
        "FFT",
        "range(1, left.shape[1])",
        "range(2, left.shape[1])",
    ),
    "a gradient of the products not conjugated": (
        "FFT",
        "dY.conj().transpose(0, 1)",
        "dY.transpose(0, 1)",
    ),
    "planes so small that the kernel wraps around": (
        "FFT",
        "fast_length(length) for length",
        "fast_length(length - 1) for length",
    ),
    "swapped paddings under the transform": (
        "FFT",
        "F.pad(image, (left, left, above, above))",
        "F.pad(image, (above, above, left, left))",
    ),
    "flipped sign in a transform of Winograd's": (
        "Winograd",
        "torch.sub(x[5], odd, alpha=4, out=odd)",
        "torch.add(x[5], odd, alpha=4, out=odd)",
    ),
    "Winograd's points of the kernel in another order": (
        "Winograd",
        '"pn,mpco->ocnm", WINOGRAD_G',
        '"pn,mpco->ocnm", WINOGRAD_G.flip(0)',
    ),
    "the zeros behind the last row forgotten by Winograd": (
        "Winograd",
        "pitch = -(-h_out // 4), max(w + left, w_out)",
        "pitch = -(-h_out // 4), max(w, w_out)",
    ),
    "columns of a strided image put where the padding belongs": (
        "im2row",
        "start, number = (first + left) // right",
        "start, number = first // right",
    ),
    "gradients of patches put back instead of added": (
        "im2row",
        "windows[:, :, p, q, rows] += spread",
        "windows[:, :, p, q, rows] = spread",
    ),
    "rows of pixels without the zeros between them": (
        "shifted",
        "rows, pitch = max(h + above, h_out), max(w + left, w_out)",
        "rows, pitch = max(h + above, h_out), max(w, w_out)",
    ),
    "gradient with the kernel not flipped": (
        "shifted",
        "shifted_products(dY, *adjoint(kernel, ctx.padding))",
        "shifted_products(dY, kernel.transpose(0, 1), adjoint(kernel, ctx.padding)[1])",
    ),
    "gradient with the channels not exchanged": (
        "im2row",
        "flipped, padding = adjoint(kernel, ctx.padding)",
        "flipped, padding = kernel.flip(2, 3), adjoint(kernel, ctx.padding)[1]",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_planted_mistake_is_caught(name):
    way, right, wrong = MISTAKES[name]
    mistaken = mutant(module_of(way), right, wrong)
    with pytest.raises((Exception, pytest.fail.Exception)):
        check(mistaken, way)
