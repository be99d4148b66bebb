"""What the ways of `helpers.algorithms` cost: predicted, and measured side by side.

`predict` counts multiply-adds, bytes and library calls of one forward pass, and turns
them into seconds by a roofline. `measure` times the ways and F.conv2d in rounds in
which all take turns, `measure_memory` reads the allocations, `growth` fits slopes.
Everything is float32 on one CPU thread. `helpers.bench.ways` keeps what was measured.
"""

import itertools
import json
import math
import os
import statistics
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import scipy.fft
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from tqdm.auto import tqdm

from helpers import algorithms
from helpers.conv import output_size

VALUE_BYTES = 4

# What one call moves stays in the cache up to about this size.
CACHE_BYTES = 16 * 2**20

# Loops would take minutes: they are timed on a small convolution only.
MEASURED = tuple(way for way in algorithms.WAYS if way != "loops")

REFERENCES = {
    "F.conv2d, channels first": torch.contiguous_format,
    "F.conv2d, channels last": torch.channels_last,
}


@dataclass(frozen=True)
class Case:
    """One convolution of square images with square kernels; sizes are in pixels."""

    batch: int
    in_channels: int
    size: int
    kernel_size: int
    out_channels: int
    stride: int = 1
    padding: int = 1

    @property
    def label(self) -> str:
        """Batch x channels x size, kernel size, stride unless 1 > out_channels."""
        stride = f" s{self.stride}" if self.stride > 1 else ""
        return (
            f"{self.batch}x{self.in_channels}x{self.size} "
            f"k{self.kernel_size}{stride}>{self.out_channels}"
        )

    @property
    def size_out(self) -> int:
        return output_size(self.size, self.kernel_size, self.stride, self.padding)

    def tensors(self) -> tuple[Tensor, Tensor]:
        """Return a random input and kernel, the same at every call."""
        random = torch.Generator().manual_seed(0)
        shape = (self.batch, self.in_channels, self.size, self.size)
        kernel_size = (self.kernel_size, self.kernel_size)
        kernel_shape = (self.out_channels, self.in_channels, *kernel_size)
        return (
            torch.randn(shape, generator=random),
            torch.randn(kernel_shape, generator=random),
        )


CASES = (
    Case(16, 3, 32, 3, 16),
    Case(32, 1, 28, 3, 16),
    Case(64, 16, 28, 3, 32),
    Case(64, 32, 14, 3, 64),
    Case(1, 64, 56, 3, 64),
    Case(16, 3, 224, 7, 64, stride=2, padding=3),
)

GROWTH_BASE = Case(8, 16, 32, 3, 16)

LARGE_KERNELS = tuple(Case(8, 4, 64, k, 4, padding=k // 2) for k in (5, 9, 15, 21))


# --- Prediction -----------------------------------------------------------------------


@dataclass(frozen=True)
class Machine:
    """What one thread of this machine reaches, by kind of work; see `measure_machine`.

    Kinds: "loop" (Python on single tensor elements), "matmul" (the operator @),
    "product" (`algorithms.product`), "transform" (Fourier), "copy". Bytes count when
    read and when written: of patches in the cache, and of large tensors outside.
    """

    macs_per_second: dict[str, float]
    seconds_per_call: dict[str, float]
    bytes_per_second: float
    bytes_per_second_large: float


@dataclass(frozen=True)
class Phase:
    """Library calls of one kind: how many, values read and written, multiply-adds."""

    kind: str
    calls: int
    values: float
    macs: float = 0

    def seconds(self, machine: Machine) -> float:
        """Return the roofline: computing or moving, whichever is slower, plus calls."""
        moved = self.values * VALUE_BYTES
        in_cache = moved <= self.calls * CACHE_BYTES
        speed = machine.bytes_per_second if in_cache else machine.bytes_per_second_large
        computing = self.macs / machine.macs_per_second.get(self.kind, math.inf)
        calling = self.calls * machine.seconds_per_call[self.kind]
        return max(computing, moved / speed) + calling


@dataclass(frozen=True)
class Cost:
    """What one forward pass takes: its phases, and `extra_memory` in bytes.

    Extra memory is the peak above input and kernel; the output counts.
    """

    phases: tuple[Phase, ...]
    extra_memory: int

    @property
    def macs(self) -> int:
        """Multiply-adds of all phases."""
        return round(sum(phase.macs for phase in self.phases))

    @property
    def bytes(self) -> int:
        """Bytes read plus bytes written by all phases."""
        return round(VALUE_BYTES * sum(phase.values for phase in self.phases))

    @property
    def calls(self) -> int:
        """Library calls of all phases."""
        return sum(phase.calls for phase in self.phases)

    def seconds(self, machine: Machine, backward: bool = False) -> float:
        """Return the predicted seconds of a forward pass, or with the backward pass.

        A lower bound, as small products and copies stay below the peaks. Each of the
        two gradients is a convolution of the same size: hence times three.
        """
        forward = sum(phase.seconds(machine) for phase in self.phases)
        return 3 * forward if backward else forward


class Counts:
    """Numbers of values of one case, by the letters of the formulas below.

    C and O channels, N kernel entries, P output positions, X input, Z padded input, K
    kernel, Y output, U all patches; `macs` = P N C O, the multiply-adds of the
    definition.
    """

    def __init__(self, case: Case):
        self.C, self.O = case.in_channels, case.out_channels
        self.N = case.kernel_size**2
        self.P = case.batch * case.size_out**2
        self.X = case.batch * self.C * case.size**2
        self.Z = case.batch * self.C * (case.size + 2 * case.padding) ** 2
        self.K = self.N * self.C * self.O
        self.Y, self.U = self.P * self.O, self.P * self.N * self.C
        self.macs = self.P * self.K


def predict(case: Case, way: str) -> Cost:
    """Return what `way` costs; the docstrings of MODELS hold its formulas."""
    return MODELS[way](case)


def loops(case: Case) -> Cost:
    """P N C O multiply-adds, each of four calls: two look-ups, a product, a sum.

    Each reads two values, then reads and writes the sum. Memory: Z + Y.
    """
    n = Counts(case)
    work = Phase("loop", 4 * n.macs, 4 * n.macs, n.macs)
    return Cost((work,), VALUE_BYTES * (n.Z + n.Y))


def unfold(case: Case) -> Cost:
    """One copy (2 U) and one product (U + K + Y, P N C O multiply-adds).

    Memory: U + Y. At stride 1, with padding that keeps the size, U is N times X.
    """
    n = Counts(case)
    copy = Phase("copy", 1, 2 * n.U)
    product = Phase("matmul", 1, n.U + n.K + n.Y, n.macs)
    return Cost((copy, product), VALUE_BYTES * (n.U + n.Y))


def shifted(case: Case) -> Cost:
    """N products per block of pixels (C + O each), added to the output (3 O).

    There are Q = Z / C pixels, and as many outputs, of which P are kept (2 Y). Memory:
    Z + K + Q O + Y. With a stride, the cost of `_without_stride` on top.
    """
    case, strided, kept = _without_stride(case)
    n = Counts(case)
    Q = n.Z // n.C
    # The last outputs have no pixel under the last kernel entry.
    side = case.size + 2 * case.padding
    Q_used = Q - (case.kernel_size - 1) * (side + 1)
    Q_block = algorithms.BLOCK_BYTES // (VALUE_BYTES * (n.C + 2 * n.O))
    calls = n.N * math.ceil(Q_used / Q_block)
    phases = (
        *strided,
        Phase("copy", 3, n.X + n.Z + Q * n.O + 2 * n.Y),
        Phase("product", calls, n.N * Q_used * (n.C + n.O), n.K * Q_used),
        Phase("copy", calls, n.N * Q_used * 3 * n.O),
    )
    return Cost(phases, VALUE_BYTES * (kept + n.Z + n.K + Q * n.O + n.Y))


def im2row(case: Case) -> Cost:
    """As unfold, in blocks: copy (2 U), product (U + K + Y), copy to its place (2 Y).

    Memory: Y, and Z + U + Y of one block. With a stride, the cost of `_without_stride`
    on top.
    """
    case, strided, kept = _without_stride(case)
    n = Counts(case)
    row_bytes = VALUE_BYTES * n.U // (case.batch * case.size_out)
    at_once = algorithms.BLOCK_BYTES // row_bytes
    images = list(algorithms.slices(case.batch, at_once // case.size_out))
    rows = list(algorithms.slices(case.size_out, at_once))
    blocks = len(images) * len(rows)
    copies = 1 if n.C < algorithms.FEW_CHANNELS else case.kernel_size
    phases = (
        *strided,
        Phase("copy", len(images), n.X + n.Z),
        Phase("copy", blocks * copies, 2 * n.U),
        Phase("product", blocks, n.U + n.K + n.Y, n.macs),
        Phase("copy", blocks, 2 * n.Y),
    )
    block = Counts(replace(case, batch=images[0].stop))
    held = block.Z + (block.U + block.Y) * rows[0].stop / case.size_out
    return Cost(phases, round(VALUE_BYTES * (kept + n.Y + held)))


def fft(case: Case) -> Cost:
    """Transforms of all planes, and one small complex product per frequency.

    A real plane of S = n x n values takes 5/4 S log2 S multiply-adds and has
    n (n/2 + 1) frequencies of two values each. The product takes 4 B C O multiply-adds
    for each of them, and copies the spectra into its order and back. Memory: Z and
    either all spectra, those of X and K twice, or the inverse transform: Y's spectrum
    twice, and S.
    """
    case, strided, kept = _without_stride(case)
    n = Counts(case)
    side = scipy.fft.next_fast_len(case.size + 2 * case.padding, real=True)
    S, frequencies = side**2, side * (side // 2 + 1)
    X, K, Y = case.batch * n.C, n.C * n.O, case.batch * n.O
    planes, spectrum = X + K + Y, 2 * frequencies
    macs = 4 * frequencies * case.batch * n.C * n.O
    phases = (
        *strided,
        Phase("copy", 2, n.X + n.Z + 2 * n.Y),
        Phase(
            "transform", 3, planes * (S + spectrum), planes * 1.25 * S * math.log2(S)
        ),
        Phase("copy", 3, 2 * planes * spectrum),
        Phase("matmul", frequencies, planes * spectrum, macs),
    )
    held = max((2 * X + 2 * K + Y) * spectrum, Y * (2 * spectrum + S))
    return Cost(phases, VALUE_BYTES * (kept + n.Z + held))


def winograd(case: Case) -> Cost:
    """16 products C O per tile of 2 x 2 outputs, T tiles, instead of 36.

    Tiles are copied (2 x 16 T C), transformed by a 16 x 16 matrix (2 x 16 T C),
    multiplied (16 T (C + O)), transformed back by a 4 x 16 matrix (20 T O) and copied
    (2 Y). Memory: Z + 16 T C + 16 C O + 20 T O.
    """
    n = Counts(case)
    tiles = math.ceil(case.size_out / 2)
    T = case.batch * tiles**2
    Z = case.batch * n.C * (2 * tiles + 2) ** 2
    phases = (
        Phase("copy", 3, n.X + Z + 32 * T * n.C + 2 * n.Y),
        Phase("matmul", 1, 32 * T * n.C, 16 * 16 * T * n.C),
        Phase("matmul", 1, 25 * n.C * n.O, 16 * 9 * n.C * n.O),
        Phase("matmul", 16, 16 * (T * n.C + n.C * n.O + T * n.O), 16 * T * n.C * n.O),
        Phase("matmul", 1, 20 * T * n.O, 4 * 16 * T * n.O),
    )
    memory = Z + 16 * T * n.C + 16 * n.C * n.O + 20 * T * n.O
    return Cost(phases, VALUE_BYTES * memory)


def _without_stride(case: Case) -> tuple[Case, tuple[Phase, ...], int]:
    """Return the stride-1 case that the way computes, what making it costs, and keeps.

    The image is padded, then rearranged: X + 3 Z' values for an image of Z'.
    """
    if case.stride == 1:
        return case, (), 0
    kernel_size = math.ceil(case.kernel_size / case.stride)
    channels = case.in_channels * case.stride**2
    size = case.size_out + kernel_size - 1
    cells = Case(case.batch, channels, size, kernel_size, case.out_channels, padding=0)
    Z = Counts(cells).X
    return cells, (Phase("copy", 2, Counts(case).X + 3 * Z),), Z


MODELS = {
    "loops": loops,
    "unfold": unfold,
    "shifted": shifted,
    "im2row": im2row,
    "FFT": fft,
    "Winograd": winograd,
}


# --- Measurement ----------------------------------------------------------------------


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread, and on as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def seconds(call: Callable[[], object], number: int = 1) -> float:
    """Return the mean seconds of `number` calls in a row.

    The processor's seconds: those in which it worked for other programs do not count.
    """
    start = time.process_time()
    for _ in range(number):
        call()
    return (time.process_time() - start) / number


def _calls_per_sample(call: Callable[[], object]) -> int:
    """Warm up, then return how many calls make up five milliseconds."""
    call()
    return math.ceil(5e-3 / seconds(call))


def measure_machine(rounds: int = 9) -> list[Machine]:
    """Measure the speeds that `Cost.seconds` needs on one thread, in every round."""
    tiny, square = torch.ones(2, 2), torch.randn(512, 512)
    planes = square.view(256, 32, 32)
    patches = torch.randn(32, 34, 34).unfold(1, 3, 1).unfold(2, 3, 1)
    patches = patches.permute(0, 3, 4, 1, 2)
    large = torch.randn(2**24)
    small = Case(1, 2, 6, 3, 2)
    X, K = small.tensors()
    calls = {
        "loop": lambda: algorithms.convolve_loops(X, K, padding=1),
        "matmul": lambda: square @ square,
        "product": lambda: algorithms.product(square, square),
        "transform": lambda: torch.fft.rfft2(planes),
        "copy": patches.contiguous,
        "copy large": large.clone,
        "tiny matmul": lambda: tiny @ tiny,
        "tiny product": lambda: algorithms.product(tiny, tiny),
        "tiny transform": lambda: torch.fft.rfft2(tiny),
        "tiny copy": tiny.clone,
    }
    with torch.no_grad():
        taken = take_turns(calls, rounds)
    turns = zip(*taken.values(), strict=True)
    transformed = planes.numel() * 1.25 * math.log2(32 * 32)
    tiny_kinds = ("matmul", "product", "transform", "copy")
    return [
        Machine(
            macs_per_second={
                "matmul": 512**3 / s["matmul"],
                "product": 512**3 / s["product"],
                "transform": transformed / s["transform"],
            },
            seconds_per_call={
                "loop": s["loop"] / predict(small, "loops").calls,
                **{kind: s[f"tiny {kind}"] for kind in tiny_kinds},
            },
            bytes_per_second=2 * VALUE_BYTES * patches.numel() / s["copy"],
            bytes_per_second_large=2 * VALUE_BYTES * large.numel() / s["copy large"],
        )
        for s in (dict(zip(taken, turn, strict=True)) for turn in turns)
    ]


def typical(machines: Sequence[Machine]) -> Machine:
    """Return the machine of the medians over rounds."""

    def median(values: Iterable) -> Any:
        values = list(values)
        if isinstance(values[0], dict):
            return {key: median(value[key] for value in values) for key in values[0]}
        return statistics.median(values)

    names = [field.name for field in fields(Machine)]
    return Machine(**{n: median(getattr(m, n) for m in machines) for n in names})


def passes(case: Case, way: str) -> tuple[Callable[[], Tensor], Callable[[], tuple]]:
    """Return the forward pass, and forward + backward, as calls without arguments.

    Each own way gets its input in the memory layout that suits it.
    """
    function = algorithms.WAYS.get(way, F.conv2d)
    whole_pixels = way == "shifted" or (
        way == "im2row" and case.in_channels >= algorithms.FEW_CHANNELS
    )
    own_layout = torch.channels_last if whole_pixels else torch.contiguous_format
    layout = REFERENCES.get(way, own_layout)
    X, K = (tensor.to(memory_format=layout) for tensor in case.tensors())
    options = {"stride": case.stride, "padding": case.padding}

    def forward() -> Tensor:
        with torch.no_grad():
            return function(X, K, **options)

    leaves = X.detach().requires_grad_(), K.detach().requires_grad_()
    dY = torch.randn_like(forward())

    def both() -> tuple[Tensor, Tensor]:
        return torch.autograd.grad(function(*leaves, **options), leaves, dY)

    return forward, both


def computes(way: str, case: Case) -> bool:
    """Tell whether `way` can compute `case`: Winograd takes 3 x 3 at stride 1 only."""
    return way != "Winograd" or (case.kernel_size, case.stride) == (3, 1)


@dataclass(frozen=True)
class Timing:
    """Seconds of one way on one case, one value per round.

    `way` is a key of algorithms.WAYS or of REFERENCES; `both` is forward + backward,
    with the gradients of input and kernel.
    """

    case: Case
    way: str
    forward: tuple[float, ...]
    both: tuple[float, ...]


def measure(
    cases: Sequence[Case] = CASES,
    ways: Sequence[str] = MEASURED,
    rounds: int = 20,
    quiet: bool = False,
) -> list[Timing]:
    """Time F.conv2d, in both memory layouts, and `ways` on one thread, in turns.

    Ways that cannot compute a case are left out. `quiet` hides the progress bar.
    """
    timings = []
    for case in tqdm(cases, "measuring", unit="shape", disable=quiet):
        able = [way for way in (*REFERENCES, *ways) if computes(way, case)]
        calls = {way: passes(case, way) for way in able}
        taken = take_turns(
            {(way, i): call for way in able for i, call in enumerate(calls[way])},
            rounds,
        )
        timings += [Timing(case, way, taken[way, 0], taken[way, 1]) for way in able]
    return timings


def take_turns(
    calls: Mapping[Hashable, Callable[[], object]], rounds: int
) -> dict[Hashable, tuple[float, ...]]:
    """Return the seconds of every call on one thread, one value per round.

    Other work on the machine slows all of them alike, as they alternate in each round;
    short calls first run once untimed. A call that has taken more than a second sits
    out after its fifth round.
    """
    taken = {key: [] for key in calls}
    with one_thread():
        numbers = {key: _calls_per_sample(call) for key, call in calls.items()}
        for turn in range(rounds):
            for key, call in calls.items():
                if turn < 5 or sum(taken[key]) < 1:
                    if numbers[key] > 1:
                        call()
                    taken[key].append(seconds(call, numbers[key]))
    return {key: tuple(values) for key, values in taken.items()}


class Spread(NamedTuple):
    """Quartiles over rounds."""

    low: float
    median: float
    high: float


def spread(values: Iterable[float]) -> Spread:
    """Return the quartiles of some values, one per round."""
    return Spread(*np.quantile(list(values), [0.25, 0.5, 0.75]).tolist())


@dataclass(frozen=True)
class Ratio:
    """Time of a way as a multiple of F.conv2d's time in the same round."""

    case: Case
    way: str
    forward: Spread
    both: Spread


def ratios(timings: Sequence[Timing]) -> list[Ratio]:
    """Compare every own way with F.conv2d in its faster layout for that case."""
    result = []
    for timing in timings:
        if timing.way not in REFERENCES:
            reference = fastest_reference(timings, timing.case)
            spreads = map(_spread, (timing.forward, timing.both), reference)
            result.append(Ratio(timing.case, timing.way, *spreads))
    return result


def fastest_reference(
    timings: Sequence[Timing], case: Case
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the seconds of F.conv2d, forward and both, each in its faster layout."""
    references = [t for t in timings if t.case == case and t.way in REFERENCES]
    forward = min((t.forward for t in references), key=statistics.median)
    both = min((t.both for t in references), key=statistics.median)
    return forward, both


def _spread(ours: Sequence[float], reference: Sequence[float]) -> Spread:
    # A way that sat out is compared in the rounds that both have played.
    return spread(a / b for a, b in zip(ours, reference, strict=False))


def best(ratios: Sequence[Ratio], passes: str) -> dict[Case, Ratio]:
    """Return the fastest own way for every case, in passes "forward" or "both"."""
    fastest = {}
    for ratio in ratios:
        rival = fastest.setdefault(ratio.case, ratio)
        if getattr(ratio, passes).median < getattr(rival, passes).median:
            fastest[ratio.case] = ratio
    return fastest


def median_of_best(ratios: Sequence[Ratio], passes: str) -> float:
    """Return the median over the cases of the fastest own way's ratio."""
    fastest = best(ratios, passes).values()
    return statistics.median(getattr(ratio, passes).median for ratio in fastest)


def measure_memory(case: Case, way: str, backward: bool = False) -> int:
    """Return the peak of allocated bytes above input and kernel; the output counts.

    PyTorch's allocations are seen, the scratch memory inside libraries is not.
    """
    # Without this the profiler reports the absence of a GPU as an error.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    call = passes(case, way)[backward]
    with one_thread(), TemporaryDirectory() as folder:
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
            result = call()
        path = Path(folder) / "trace.json"
        record.export_chrome_trace(str(path))
        events = json.loads(path.read_text())["traceEvents"]
    del result
    changes = [event for event in events if event["name"] == "[memory]"]
    changes.sort(key=lambda event: event["ts"])
    return max(itertools.accumulate(event["args"]["Bytes"] for event in changes))


@dataclass(frozen=True)
class Growth:
    """Forward seconds as one parameter grows: way -> value -> one per round."""

    parameter: str
    values: tuple[int, ...]
    seconds: dict[str, tuple[tuple[float, ...], ...]]

    @property
    def medians(self) -> dict[str, list[float]]:
        """Seconds of every way, one per value."""
        return {
            way: [statistics.median(rounds) for rounds in taken]
            for way, taken in self.seconds.items()
        }

    @property
    def slopes(self) -> dict[str, Spread]:
        """Slopes of every way on log-log axes, over rounds.

        A slope of 2 means: twice the value, four times the time.
        """
        return {
            way: spread(slope(self.values, turn) for turn in zip(*taken, strict=False))
            for way, taken in self.seconds.items()
        }


def growth(
    parameter: str,
    values: Sequence[int],
    ways: Sequence[str] = MEASURED,
    base: Case = GROWTH_BASE,
    rounds: int = 9,
) -> Growth:
    """Measure the forward pass as "size", "channels" or "kernel_size" grows.

    "channels" are those of input and output; a larger kernel gets the padding that
    keeps the size. F.conv2d is measured along, in its faster layout; ways that cannot
    compute all values are left out. Raises ValueError for another parameter.
    """
    cases = [vary(base, parameter, value) for value in values]
    able = [way for way in ways if all(computes(way, case) for case in cases)]
    calls = {
        (way, case): passes(case, way)[0]
        for case in cases
        for way in (*REFERENCES, *able)
    }
    taken = take_turns(calls, rounds)
    measured = {way: tuple(taken[way, case] for case in cases) for way in able}
    measured["F.conv2d"] = tuple(
        min((taken[layout, case] for layout in REFERENCES), key=statistics.median)
        for case in cases
    )
    return Growth(parameter, tuple(values), measured)


def vary(base: Case, parameter: str, value: int) -> Case:
    """Return `base` with another "size", "channels" or "kernel_size".

    Raises ValueError for another parameter.
    """
    if parameter == "size":
        return replace(base, size=value)
    if parameter == "channels":
        return replace(base, in_channels=value, out_channels=value)
    if parameter == "kernel_size":
        return replace(base, kernel_size=value, padding=value // 2)
    raise ValueError(f"cannot vary {parameter!r}: choose size, channels or kernel_size")


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Return the slope of the straight line through the points on log-log axes."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])
