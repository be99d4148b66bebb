"""The cost model against counts and allocations, and the measurement itself."""

import cmath
import statistics
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from helpers import ways
from helpers.ways import Case, fft

TINY = Case(2, 3, 6, 3, 4)
KINDS = (
    "loop",
    "matmul",
    "add",
    "transform",
    "mixed transform",
    "unfold",
    "complex",
    "copy",
    "pack",
    "guard",
)

SPEEDS = ("matmul", "add", "transform", "mixed transform", "complex")


class Executed(TorchDispatchMode):
    """The multiply-adds of products and sums and the planes of transforms, executed."""

    def __init__(self):
        super().__init__()
        self.scalar_products = self.macs = 0
        self.planes = []  # sides of the transformed planes

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        name = function.overloadpacket.__name__
        if name == "mul" and result.numel() == 1:
            self.scalar_products += 1
        if name in ("mm", "bmm"):
            self.macs += result.numel() * args[0].shape[-1]
        if name in ("mul", "addcmul") and result.is_complex():
            self.macs += 4 * result.numel()  # a complex product is four real ones
        if name in ("addmm_", "baddbmm_"):
            self.macs += result.numel() * args[1].shape[-1]
        if name in ("add", "sub", "add_", "sub_"):
            self.macs += result.numel()
        if name in ("_fft_r2c", "_fft_c2r"):
            real = args[0] if name == "_fft_r2c" else result
            self.planes += [real.shape[-1]] * (real.numel() // real.shape[-1] ** 2)
        return result


def executed(way, case):
    X, K = case.tensors()
    with Executed() as counter:
        ways.WAYS[way](X, K, case.stride, case.padding)
    return counter


def test_the_loops_multiply_as_often_as_predicted():
    case = Case(1, 2, 5, 3, 2)
    by_hand = 1 * 2 * 5 * 5 * 2 * 3 * 3
    counted = executed("loops", case).scalar_products
    assert counted == by_hand == ways.predict(case, "loops").macs


def transformed(values):
    """The Fourier transform of complex numbers, and its multiply-adds.

    By halves. Joining two values takes a complex product and two complex sums: 4
    products and 6 sums of real numbers, which are 5 multiply-adds of 2 operations.
    """
    n = len(values)
    if n == 1:
        return values, 0
    (even, first), (odd, second) = transformed(values[::2]), transformed(values[1::2])
    turned = [odd[k] * cmath.exp(-2j * cmath.pi * k / n) for k in range(n // 2)]
    sums = [a + b for a, b in zip(even, turned, strict=True)]
    differences = [a - b for a, b in zip(even, turned, strict=True)]
    return sums + differences, first + second + 5 * n // 2


def macs_of_a_real_plane(side):
    """A transform for every row and every column, half of it as the plane is real."""
    row = torch.randn(side, dtype=torch.complex128)
    found, macs = transformed(row.tolist())
    torch.testing.assert_close(torch.tensor(found).to(row), torch.fft.fft(row))
    return 2 * side * macs / 2


# With sides of 8 and 16 under the transform, powers of two.
@pytest.mark.parametrize(
    "case", [TINY, Case(3, 17, 14, 3, 5), Case(2, 3, 14, 3, 4, stride=2)]
)
@pytest.mark.parametrize("way", [way for way in ways.WAYS if way != "loops"])
def test_each_way_multiplies_as_often_as_predicted(way, case):
    if not ways.computes(way, case):
        case = replace(case, stride=1)
    counted = executed(way, case)
    macs = counted.macs + sum(map(macs_of_a_real_plane, counted.planes))
    assert macs == pytest.approx(ways.predict(case, way).macs, rel=1e-9)
    assert (len(counted.planes) > 0) == (way == "FFT")


def test_sizes_and_labels():
    strided = Case(16, 3, 224, 7, 64, stride=2, padding=3)
    assert (TINY.size_out, strided.size_out) == (6, 112)
    assert strided.label == "16×3×224 k7 s2>64"
    X, K = strided.tensors()
    assert X.shape == (16, 3, 224, 224) and K.shape == (64, 3, 7, 7)
    assert torch.equal(X, strided.tensors()[0])


def test_unfold_takes_the_memory_of_its_two_tensors():
    X, K = TINY.tensors()
    U, Y = F.unfold(X, 3, padding=1), F.conv2d(X, K, padding=1)
    assert U.nbytes == 9 * X.nbytes
    predicted = ways.predict(TINY, "unfold").extra_memory
    assert predicted == U.nbytes + Y.nbytes
    measured = ways.measure_memory(TINY, "unfold")
    assert predicted <= measured <= predicted + 4096


# Four images of each shape: they tell as much as sixty-four.
FEW = [replace(case, batch=min(case.batch, 4)) for case in ways.CASES]


@pytest.mark.parametrize(
    ("case", "way"),
    [(c, way) for c in FEW for way in ways.MEASURED if ways.computes(way, c)],
    ids=lambda value: getattr(value, "label", value),
)
def test_memory_is_predicted(case, way):
    predicted = ways.predict(case, way).extra_memory
    assert 0.9 < ways.measure_memory(case, way) / predicted < 1.4


@pytest.mark.parametrize("way", [way for way in ways.WAYS if way != "FFT"])
def test_no_way_but_the_transforms_multiplies_less_except_winograd(way):
    case = ways.CASES[3]
    macs = ways.predict(case, way).macs
    definition = ways.Counts(case).macs
    assert (macs < definition) == (way == "Winograd")


def test_every_way_has_a_model_and_costs_something():
    machine = ways.Machine(
        macs_per_second=dict.fromkeys(SPEEDS, 1e10),
        seconds_per_call=dict.fromkeys(KINDS, 1e-6),
        bytes_per_second=1e11,
        bytes_per_second_large=1e10,
        bytes_by_kind={},
    )
    for way in ways.WAYS:
        predicted = ways.predict(TINY, way)
        assert predicted.calls > 0 and predicted.bytes > 0
        assert predicted.seconds(machine, backward=True) == 3 * predicted.seconds(
            machine
        )


MACHINE = ways.Machine(
    macs_per_second=dict.fromkeys(SPEEDS, 1e10) | {"matmul": 5e10},
    seconds_per_call=dict.fromkeys(KINDS, 5e-6) | {"pack": 0.0},
    bytes_per_second=8e10,
    bytes_per_second_large=4e9,
    bytes_by_kind={"unfold": 5e9},
)


@pytest.mark.parametrize("case", ways.CASES)
def test_the_way_chosen_is_that_of_the_fewest_seconds_and_above_the_floor(case):
    chosen = ways.fastest(case, MACHINE)
    able = [way for way in ways.MEASURED if ways.computes(way, case)]
    seconds = {way: ways.predict(case, way).seconds(MACHINE) for way in able}
    assert seconds[chosen] == min(seconds.values())
    assert seconds[chosen] > ways.floor(case, MACHINE)
    assert ways.fastest(case, MACHINE, ["unfold"]) == "unfold"


@pytest.mark.parametrize(
    ("channels", "share"), [(1, 1 / 16), (2, 1 / 8), (16, 1), (17, 17 / 32)]
)
def test_the_library_fills_its_registers_with_output_channels(channels, share):
    machine = replace(MACHINE, macs_per_second={"library": 1e9}, lanes=16)
    case = Case(4, 8, 32, 9, channels, padding=4)
    macs = ways.library(case, machine).macs
    assert ways.Counts(case).macs / macs == pytest.approx(share)
    assert ways.library(case, replace(machine, lanes=1)).macs < macs or share == 1


def test_planes_are_filled_up_to_a_fast_length():
    for length in range(1, 300):
        found = fft.fast_length(length)
        assert length <= found <= max(1.4 * length, 4)
        assert found % 2 == 0 or found == 1
        rest = found
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        assert rest == 1
    assert [fft.fast_length(n) for n in (50, 54, 56, 63, 75, 125)] == [
        50,
        64,
        64,
        64,
        80,
        128,
    ]


def test_the_roofline_takes_the_slower_of_computing_and_moving():
    machine = ways.Machine(
        {"matmul": 100.0}, {"matmul": 0.5}, 40.0, 4.0, {"unfold": 2.0}
    )
    computing = ways.Phase("matmul", 1, values=10, macs=1000)
    moving = ways.Phase("matmul", 1, values=1000, macs=10)
    assert computing.seconds(machine) == 1000 / 100 + 0.5
    assert moving.seconds(machine) == 1000 * ways.VALUE_BYTES / 40 + 0.5
    large = ways.Phase("matmul", 1, values=ways.CACHE_BYTES, macs=0)
    assert large.seconds(machine) == ways.CACHE_BYTES * ways.VALUE_BYTES / 4 + 0.5
    machine.seconds_per_call["unfold"] = 0.5
    apart = ways.Phase("unfold", 1, values=1000)
    assert apart.seconds(machine) == 1000 * ways.VALUE_BYTES / 2 + 0.5


def test_factors_are_packed_before_they_are_multiplied():
    packing, product = ways.matmul(2, left=100, right=10, result=1000, macs=5)
    assert (packing.values, packing.macs, packing.calls) == (220, 0, 2)
    assert (product.values, product.macs, product.calls) == (1110, 5, 2)


def test_the_machine_is_measured_in_every_round():
    machines = ways.measure_machine(rounds=2)
    assert len(machines) == 2
    for machine in machines:
        speeds = [*machine.macs_per_second.values(), machine.bytes_per_second]
        assert all(speed > 1e7 for speed in speeds)
        assert all(0 <= seconds < 0.1 for seconds in machine.seconds_per_call.values())


def test_the_typical_machine_is_that_of_the_medians():
    machines = [
        ways.Machine({"matmul": a, "copy": 9.0}, {"matmul": b}, c, 1.0, {"unfold": a})
        for a, b, c in [(1.0, 6.0, 7.0), (3.0, 4.0, 8.0), (2.0, 5.0, 9.0)]
    ]
    expected = ways.Machine(
        {"matmul": 2.0, "copy": 9.0}, {"matmul": 5.0}, 8.0, 1.0, {"unfold": 2.0}
    )
    assert ways.typical(machines) == expected


@pytest.mark.parametrize("fails", [False, True])
def test_the_number_of_threads_is_restored(fails):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with ways.one_thread():
            assert torch.get_num_threads() == 1
            if fails:
                raise KeyError
    except KeyError:
        pass
    finally:
        assert torch.get_num_threads() == 2
        torch.set_num_threads(before)


def test_ways_are_compared_with_the_faster_layout_of_the_same_round():
    first, last = ways.REFERENCES
    timings = [
        ways.Timing(TINY, first, (1.0, 4.0, 1.0), (8.0, 8.0, 8.0)),
        ways.Timing(TINY, last, (2.0, 2.0, 2.0), (4.0, 4.0, 4.0)),
        ways.Timing(TINY, "unfold", (3.0, 8.0, 3.0), (4.0, 2.0, 6.0)),
        ways.Timing(TINY, "im2row", (2.0, 4.0, 1.0), (8.0, 8.0, 8.0)),
    ]
    unfold, im2row = ratios = ways.ratios(timings)
    assert unfold.forward.median == 3.0  # 3/1, 8/4, 3/1: not 3/2 of the slower layout
    assert unfold.both == ways.Spread(0.75, 1.0, 1.25)
    assert ways.best(ratios, "forward") == {TINY: im2row}
    assert ways.best(ratios, "both") == {TINY: unfold}
    assert ways.median_of_best(ratios, "forward") == 1.0


def test_growth_fits_slopes_on_logarithmic_axes():
    assert ways.slope([1, 2, 4], [3.0, 12.0, 48.0]) == pytest.approx(2)
    base = Case(1, 2, 8, 3, 2)
    growth = ways.growth("channels", (2, 4), ("unfold",), base, rounds=2)
    assert growth.values == (2, 4)
    assert growth.seconds.keys() == growth.slopes.keys() == {"unfold", "F.conv2d"}
    assert [len(rounds) for rounds in growth.seconds["unfold"]] == [2, 2]
    assert ways.vary(base, "kernel_size", 7) == Case(1, 2, 8, 7, 2, padding=3)
    with pytest.raises(ValueError, match="choose size, channels or kernel_size"):
        ways.growth("stride", (1, 2))


def test_slopes_are_those_of_rounds():
    # Slopes of 1, 2 and 3; one call sat out after three rounds.
    seconds = ((1.0, 2.0, 4.0, 9.0), (2.0, 8.0, 32.0))
    growth = ways.Growth("size", (1, 2), {"unfold": seconds})
    assert growth.medians == {"unfold": [3.0, 8.0]}
    assert growth.slopes["unfold"] == pytest.approx((1.5, 2.0, 2.5))


def test_large_kernels_belong_to_the_transform():
    # By counts: how much faster it is depends on the processor.
    cases = [Case(8, 4, 64, k, 4, padding=k // 2) for k in (5, 9, 15, 21)]
    shares = [ways.predict(case, "FFT").macs / ways.Counts(case).macs for case in cases]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0.5 and shares[-1] < 0.1


def test_medians_are_taken_over_rounds():
    (timing,) = [
        t
        for t in ways.measure([TINY], ("im2row",), rounds=3, quiet=True)
        if t.way == "im2row"
    ]
    assert len(timing.forward) == len(timing.both) == 3
    assert 0 < statistics.median(timing.forward) < statistics.median(timing.both)
