"""The cost model against counts and allocations, and the measurement itself."""

import statistics

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from helpers import algorithms, cost
from helpers.cost import Case

TINY = Case(2, 3, 6, 3, 4)
SMALL = (Case(2, 3, 12, 3, 4), Case(2, 17, 10, 3, 4))


class CountCalls(TorchDispatchMode):
    """Counts the calls of each operator that PyTorch really executes."""

    def __init__(self):
        super().__init__()
        self.calls = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        self.calls[name] = self.calls.get(name, 0) + 1
        return function(*args, **(kwargs or {}))


def test_the_loops_multiply_as_often_as_predicted():
    X, K = TINY.tensors()
    with CountCalls() as counter:
        algorithms.convolve_loops(X, K, padding=1)
    by_hand = 2 * 4 * 6 * 6 * 3 * 3 * 3
    assert counter.calls["mul"] == by_hand == cost.predict(TINY, "loops").macs


@pytest.mark.parametrize("way", ["unfold", "im2row"])
def test_patches_are_multiplied_as_often_as_the_definition_asks(way):
    assert cost.predict(TINY, way).macs == 2 * 4 * 6 * 6 * 3 * 3 * 3


def test_sizes_and_labels():
    strided = Case(16, 3, 224, 7, 64, stride=2, padding=3)
    assert (TINY.size_out, strided.size_out) == (6, 112)
    assert strided.label == "16x3x224 k7 s2>64"
    X, K = strided.tensors()
    assert X.shape == (16, 3, 224, 224) and K.shape == (64, 3, 7, 7)
    assert torch.equal(X, strided.tensors()[0])


def test_unfold_takes_the_memory_of_its_two_tensors():
    X, K = TINY.tensors()
    U, Y = F.unfold(X, 3, padding=1), F.conv2d(X, K, padding=1)
    assert U.nbytes == 9 * X.nbytes
    predicted = cost.predict(TINY, "unfold").extra_memory
    assert predicted == U.nbytes + Y.nbytes
    measured = cost.measure_memory(TINY, "unfold")
    assert predicted <= measured <= predicted + 4096


@pytest.mark.parametrize("case", cost.CASES, ids=lambda case: case.label)
@pytest.mark.parametrize("way", cost.MEASURED)
def test_memory_is_predicted(case, way):
    if not cost.computes(way, case):
        pytest.skip("Winograd takes 3 x 3 kernels at stride 1")
    predicted = cost.predict(case, way).extra_memory
    assert 0.9 < cost.measure_memory(case, way) / predicted < 1.4


@pytest.mark.parametrize("way", [way for way in algorithms.WAYS if way != "FFT"])
def test_no_way_but_the_transforms_multiplies_less_except_winograd(way):
    case = cost.CASES[3]
    macs = cost.predict(case, way).macs
    definition = cost.Counts(case).macs
    assert (macs < definition) == (way == "Winograd")


def test_every_way_has_a_model_and_costs_something():
    machine = cost.Machine(
        macs_per_second={"matmul": 1e10, "product": 1e11, "transform": 1e10},
        seconds_per_call=dict.fromkeys(
            ("loop", "matmul", "product", "transform", "copy"), 1e-6
        ),
        bytes_per_second=1e11,
        bytes_per_second_large=1e10,
    )
    for way in algorithms.WAYS:
        predicted = cost.predict(TINY, way)
        assert predicted.calls > 0 and predicted.bytes > 0
        assert predicted.seconds(machine, backward=True) == 3 * predicted.seconds(
            machine
        )


def test_the_roofline_takes_the_slower_of_computing_and_moving():
    machine = cost.Machine({"product": 100.0}, {"product": 0.5}, 40.0, 4.0)
    computing = cost.Phase("product", 1, values=10, macs=1000)
    moving = cost.Phase("product", 1, values=1000, macs=10)
    assert computing.seconds(machine) == 1000 / 100 + 0.5
    assert moving.seconds(machine) == 1000 * cost.VALUE_BYTES / 40 + 0.5
    large = cost.Phase("product", 1, values=cost.CACHE_BYTES, macs=0)
    assert large.seconds(machine) == cost.CACHE_BYTES * cost.VALUE_BYTES / 4 + 0.5


def test_the_machine_is_measured():
    machine = cost.measure_machine()
    speeds = [*machine.macs_per_second.values(), machine.bytes_per_second]
    assert all(speed > 1e8 for speed in speeds)
    assert all(0 < seconds < 0.1 for seconds in machine.seconds_per_call.values())


@pytest.mark.parametrize("fails", [False, True])
def test_the_number_of_threads_is_restored(fails):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with cost.one_thread():
            assert torch.get_num_threads() == 1
            if fails:
                raise KeyError
    except KeyError:
        pass
    finally:
        assert torch.get_num_threads() == 2
        torch.set_num_threads(before)


def test_ways_are_compared_with_the_faster_layout_of_the_same_round():
    first, last = cost.REFERENCES
    timings = [
        cost.Timing(TINY, first, (1.0, 4.0, 1.0), (8.0, 8.0, 8.0)),
        cost.Timing(TINY, last, (2.0, 2.0, 2.0), (4.0, 4.0, 4.0)),
        cost.Timing(TINY, "unfold", (3.0, 8.0, 3.0), (4.0, 2.0, 6.0)),
        cost.Timing(TINY, "im2row", (2.0, 4.0, 1.0), (8.0, 8.0, 8.0)),
    ]
    unfold, im2row = ratios = cost.ratios(timings)
    assert unfold.forward.median == 3.0  # 3/1, 8/4, 3/1: not 3/2 of the slower layout
    assert unfold.both == cost.Spread(0.75, 1.0, 1.25)
    assert cost.best(ratios, "forward") == {TINY: im2row}
    assert cost.best(ratios, "both") == {TINY: unfold}
    assert cost.median_of_best(ratios, "forward") == 1.0


def test_growth_fits_slopes_on_logarithmic_axes():
    assert cost.slope([1, 2, 4], [3.0, 12.0, 48.0]) == pytest.approx(2)
    base = Case(1, 2, 8, 3, 2)
    growth = cost.growth("channels", (2, 4), ("unfold",), base, rounds=2)
    assert growth.values == (2, 4)
    assert growth.seconds.keys() == growth.slopes.keys() == {"unfold", "F.conv2d"}
    assert cost.vary(base, "kernel_size", 7) == Case(1, 2, 8, 7, 2, padding=3)
    with pytest.raises(ValueError, match="choose size, channels or kernel_size"):
        cost.growth("stride", (1, 2))


def test_large_kernels_belong_to_the_transform():
    case = cost.LARGE_KERNELS[-1]
    (ratio,) = cost.ratios(cost.measure([case], ("FFT",), rounds=5, quiet=True))
    assert case.kernel_size == 21
    # Forward alone the library's fastest layout wins on some processors, by factors.
    assert ratio.both.median < 1


def test_the_command_prints_both_tables(capsys, monkeypatch):
    monkeypatch.setattr(cost, "CASES", SMALL)
    monkeypatch.setattr(cost, "LARGE_KERNELS", (Case(1, 2, 16, 5, 2, padding=2),))
    cost.main(["--rounds", "2"])
    printed = capsys.readouterr().out
    for expected in [*(case.label for case in SMALL), "1x2x16 k5>2", "median"]:
        assert expected in printed
    for way in cost.MEASURED:
        assert way in printed


@pytest.mark.parametrize(
    ("arguments", "status"), [(["--rounds", "0"], 2), (["--help"], 0)]
)
def test_the_command_explains_itself(arguments, status, capsys):
    with pytest.raises(SystemExit) as exit:
        cost.main(arguments)
    assert exit.value.code == status
    assert "--rounds" in "".join(capsys.readouterr())


def test_medians_are_taken_over_rounds():
    (timing,) = [
        t
        for t in cost.measure([TINY], ("im2row",), rounds=3, quiet=True)
        if t.way == "im2row"
    ]
    assert len(timing.forward) == len(timing.both) == 3
    assert 0 < statistics.median(timing.forward) < statistics.median(timing.both)
