"""Timing the ways and F.conv2d in rounds in which all take turns; memory, and speeds.

Everything is float32 on one CPU thread. `helpers.bench.ways` keeps what was measured.
"""

import itertools
import json
import math
import os
import statistics
import time
import warnings
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from tqdm.auto import tqdm

from helpers.ways.all import COMPILED, MEASURED, WAYS, computes, predict
from helpers.ways.common import workspace
from helpers.ways.guard import guarded
from helpers.ways.model import (
    CASES,
    GROWTH_BASE,
    VALUE_BYTES,
    Case,
    Counts,
    Machine,
    vary,
)
from helpers.ways.table import REFERENCES, Growth, Timing

LANES = {"AVX512": 16, "AVX2": 8}  # numbers of 32 bits in a register; others hold four


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


Name = TypeVar("Name", bound=Hashable)


def take_turns(
    calls: Mapping[Name, Callable[[], object]], rounds: int
) -> dict[Name, tuple[float, ...]]:
    """Return the seconds of every call on one thread, one value per round.

    Other work on the machine slows all of them alike, as they alternate in each round;
    short calls first run once untimed. A call that has taken more than a second sits
    out after its fifth round.
    """
    taken: dict[Name, list[float]] = {key: [] for key in calls}
    with one_thread():
        numbers = {key: _calls_per_sample(call) for key, call in calls.items()}
        for turn in range(rounds):
            for key, call in calls.items():
                if turn < 5 or sum(taken[key]) < 1:
                    if numbers[key] > 1:
                        call()
                    taken[key].append(seconds(call, numbers[key]))
    return {key: tuple(values) for key, values in taken.items()}


def passes(
    case: Case, way: str, device: torch.device | str = "cpu"
) -> tuple[Callable[[], Tensor], Callable[[], tuple]]:
    """Return the forward pass, and forward + backward, as calls without arguments.

    Each own way gets its input in the memory layout that suits it.
    """
    known = WAYS | COMPILED
    function = known.get(way, F.conv2d)
    layout = known[way].layout(case) if way in known else REFERENCES[way]
    X, K = (tensor.to(device, memory_format=layout) for tensor in case.tensors())
    options = {"stride": case.stride, "padding": case.padding}

    def forward() -> Tensor:
        with torch.no_grad():
            return function(X, K, **options)

    leaves = X.detach().requires_grad_(), K.detach().requires_grad_()
    dY = torch.randn_like(forward())

    def both() -> tuple[Tensor, ...]:
        return torch.autograd.grad(function(*leaves, **options), leaves, dY)

    return forward, both


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


def measure_memory(case: Case, way: str, backward: bool = False) -> int:
    """Return the peak of allocated bytes above input and kernel; the output counts.

    PyTorch's allocations are seen, the scratch memory inside libraries is not.
    """
    # Without this the profiler reports the absence of a GPU as an error.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    call = passes(case, way)[backward]
    workspace.kept.clear()
    with one_thread(), TemporaryDirectory() as folder, warnings.catch_warnings():
        # PyTorch 2.11 warns of what several cycles would lose; here is one.
        warnings.filterwarnings("ignore", "Warning: Profiler clears events")
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
            result = call()
        path = Path(folder) / "trace.json"
        record.export_chrome_trace(str(path))
        events = json.loads(path.read_text())["traceEvents"]
    del result
    changes = [event for event in events if event["name"] == "[memory]"]
    changes.sort(key=lambda event: event["ts"])
    return max(itertools.accumulate(event["args"]["Bytes"] for event in changes))


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


def measure_machine(rounds: int = 9) -> list[Machine]:
    """Measure the speeds that `Cost.seconds` needs on one thread, in every round."""
    tiny, square = torch.ones(2, 4, 4), torch.randn(512, 512)
    planes, mixed = torch.randn(64, 64, 64), torch.randn(64, 60, 60)
    total = torch.empty_like(square)
    image = torch.randn(1, 32, 34, 34)
    patches = image[0].unfold(1, 3, 1).unfold(2, 3, 1).permute(0, 3, 4, 1, 2)
    block, large = torch.empty(patches.shape), torch.randn(2**24)
    spectra = torch.randn(8, 8, 60, 31, dtype=torch.complex64)
    channel = spectra[:, :1], spectra[:, 0].conj()
    library = Case(1, 32, 56, 9, 32, padding=4)
    small = Case(1, 2, 6, 3, 2)
    X, K = small.tensors()
    wide_X, wide_K = library.tensors()
    first, second = tiny
    few = torch.fft.rfft2(first)
    calls = {
        "loop": lambda: WAYS["loops"](X, K, padding=1),
        "matmul": lambda: torch.mm(square, square, out=total),
        "add": lambda: torch.add(square, square, alpha=2, out=total),
        "transform": lambda: torch.fft.rfft2(planes),
        "mixed transform": lambda: torch.fft.rfft2(mixed),
        "unfold": lambda: F.unfold(image, 3),
        "complex": lambda: torch.addcmul(spectra, *channel),
        "library": lambda: F.conv2d(wide_X, wide_K, padding=library.padding),
        "copy": lambda: block.copy_(patches),
        "copy large": large.clone,
        "guard": lambda: guarded(lambda image, *_: image)(X, K),
        # As the ways call: with parts of tensors, which are made first.
        "tiny matmul": lambda: torch.mm(first[1:], second, out=total[:3, :4]),
        "tiny add": lambda: torch.add(first[1:], second[1:], out=total[:3, :4]),
        "tiny transform": lambda: torch.fft.rfft2(first),
        "tiny mixed transform": lambda: torch.fft.rfft2(total[:6, :6]),
        "tiny copy": lambda: total[:3, :4].copy_(first[1:]),
        "tiny unfold": lambda: F.unfold(tiny[None], 3),
        "tiny complex": lambda: torch.addcmul(few, few, few),
        "tiny library": lambda: F.conv2d(X, K),
    }
    with torch.no_grad():
        taken = take_turns(calls, rounds)
    turns = zip(*taken.values(), strict=True)
    work = {
        "matmul": 512**3,
        "add": square.numel(),
        "transform": planes.numel() * 1.25 * math.log2(64 * 64),
        "mixed transform": mixed.numel() * 1.25 * math.log2(60 * 60),
        "complex": 4 * spectra.numel(),
        "library": Counts(library).macs,
    }
    return [
        Machine(
            macs_per_second={kind: amount / s[kind] for kind, amount in work.items()},
            seconds_per_call={
                "loop": s["loop"] / predict(small, "loops").calls,
                "guard": s["guard"],
                "pack": 0.0,  # in the calls of "matmul"
                **{kind: s[f"tiny {kind}"] for kind in (*work, "copy", "unfold")},
            },
            bytes_per_second=2 * VALUE_BYTES * patches.numel() / s["copy"],
            bytes_per_second_large=2 * VALUE_BYTES * large.numel() / s["copy large"],
            bytes_by_kind={
                "unfold": 2 * VALUE_BYTES * patches.numel() / s["unfold"],
            },
            lanes=LANES.get(torch.backends.cpu.get_cpu_capability(), 4),
        )
        for s in (dict(zip(taken, turn, strict=True)) for turn in turns)
    ]
