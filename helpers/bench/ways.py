"""The timings of chapter 1: the ways to compute a convolution, and F.conv2d.

`python -m helpers.bench.ways` measures anew, as `helpers.ways` does it, writes the
record and prints the tables.
"""

import argparse
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from helpers import bench, ways
from helpers.ways import common

NAME = "ways"
GROWING = ("unfold", "im2row", "FFT")
GROWTHS = {
    "size": (16, 32, 64, 128),
    "channels": (8, 16, 32, 64),
    "kernel_size": (3, 5, 9, 15),
}
ROUNDS = 15
FEWER_ROUNDS = 9  # for what is not compared way by way


@dataclass(frozen=True)
class Study:
    """What chapter 1 rests on; `where` says on which machine and day, in words.

    machines: the speeds of one thread, one machine per round. timings: all ways on
    `ways.CASES`; with_onednn: the same of im2row, with products by an operator
    that is not public.
    growths: one for each of GROWTHS. large_kernels: the FFT on `ways.LARGE_KERNELS`.
    """

    machines: list[ways.Machine]
    timings: list[ways.Timing]
    with_onednn: list[ways.Timing]
    growths: list[ways.Growth]
    large_kernels: list[ways.Timing]
    where: str = ""

    def seconds(self, case: ways.Case, way: str) -> float:
        """Median seconds of the forward pass of one way on one case."""
        (timing,) = (t for t in self.timings if (t.case, t.way) == (case, way))
        return statistics.median(timing.forward)


def by_way(
    ratios: Iterable[ways.Ratio], passes: str
) -> dict[str, dict[str, ways.Spread]]:
    """Way -> label of the case -> time over the library's; passes: forward or both."""
    found: dict[str, dict[str, ways.Spread]] = {}
    for ratio in ratios:
        found.setdefault(ratio.way, {})[ratio.case.label] = getattr(ratio, passes)
    return found


def typical(spreads: Mapping[str, ways.Spread]) -> float:
    """The median over the cases of the medians over the rounds."""
    return statistics.median(spread.median for spread in spreads.values())


def recorded() -> Study:
    """Return what was recorded, or measure it, which takes two minutes."""
    return _study(bench.recorded(NAME, _settings(), measure))


def measure(rounds: int = ROUNDS) -> dict[str, Any]:
    """Measure the fields of a `Study`, as JSON can hold them."""
    fewer = min(rounds, FEWER_ROUNDS)
    with _products_by_onednn():
        with_onednn = ways.measure(ways.CASES, ("im2row",), fewer)
    growths = [
        ways.growth(parameter, values, GROWING, rounds=fewer)
        for parameter, values in GROWTHS.items()
    ]
    measured = Study(
        machines=ways.measure_machine(rounds),
        timings=ways.measure(ways.CASES, ways.MEASURED, rounds),
        with_onednn=with_onednn,
        growths=growths,
        large_kernels=ways.measure(ways.LARGE_KERNELS, ("FFT",), fewer),
    )
    facts = asdict(measured)
    del facts["where"]
    return facts


@contextmanager
def _products_by_onednn() -> Iterator[None]:
    """Let products be computed by the library of `F.conv2d`, where it can be had."""
    common.ONEDNN = common.HAS_ONEDNN
    try:
        yield
    finally:
        common.ONEDNN = False


def _settings() -> dict[str, Any]:
    """What is measured: the record of something else does not fit."""
    return {
        "cases": [asdict(case) for case in ways.CASES],
        "ways": ways.MEASURED,
        "growing": GROWING,
        "growths": GROWTHS,
        "growth base": asdict(ways.GROWTH_BASE),
        "large kernels": [asdict(case) for case in ways.LARGE_KERNELS],
    }


def _study(record: bench.Record) -> Study:
    values = record.values
    return Study(
        machines=[ways.Machine(**facts) for facts in values["machines"]],
        timings=_timings(values["timings"]),
        with_onednn=_timings(values["with_onednn"]),
        growths=[_growth(facts) for facts in values["growths"]],
        large_kernels=_timings(values["large_kernels"]),
        where=str(record),
    )


def _timings(items: Iterable[Mapping[str, Any]]) -> list[ways.Timing]:
    return [
        ways.Timing(
            ways.Case(**facts["case"]),
            facts["way"],
            tuple(facts["forward"]),
            tuple(facts["both"]),
        )
        for facts in items
    ]


def _growth(facts: Mapping[str, Any]) -> ways.Growth:
    seconds = {
        way: tuple(tuple(rounds) for rounds in taken)
        for way, taken in facts["seconds"].items()
    }
    return ways.Growth(facts["parameter"], tuple(facts["values"]), seconds)


# --- Command line ---------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, record, and print both tables: realistic shapes, and large kernels."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers.bench.ways",
        description="Time the ways to compute a convolution against F.conv2d: forward "
        "and forward + backward, float32, one thread, side by side in every round.",
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=ROUNDS,
        help=f"rounds per shape (default: {ROUNDS})",
    )
    rounds = parser.parse_args(arguments).rounds
    if rounds < 1:
        parser.error(f"--rounds is {rounds}: give at least 1")
    study = _study(bench.renew(NAME, _settings(), lambda: measure(rounds)))
    print(f"Measured on {study.where}")
    print("Time as a multiple of F.conv2d's: forward / forward + backward")
    print(shapes_table(study.timings))
    print()
    print("Large kernels, forward / forward + backward")
    print(kernels_table(study.large_kernels))


def shapes_table(timings: Sequence[ways.Timing]) -> str:
    """Return the ratios of all ways by case, the best ones, and their medians."""
    compared = ways.ratios(timings)
    by_cell = {(ratio.case, ratio.way): ratio for ratio in compared}
    names = list(dict.fromkeys(ratio.way for ratio in compared))
    forward, both = ways.best(compared, "forward"), ways.best(compared, "both")
    rows = [["shape", "F.conv2d, ms", *names, "best"]]
    for case in forward:
        cells = [by_cell.get((case, way)) for way in names]
        rows.append(
            [
                case.label,
                _milliseconds(*ways.fastest_reference(timings, case)),
                *("-" if cell is None else _medians(cell, cell) for cell in cells),
                _medians(forward[case], both[case]),
            ]
        )
    medians = _two(
        *(ways.median_of_best(compared, which) for which in ("forward", "both"))
    )
    rows.append(["median", *[""] * (len(names) + 1), medians])
    return _aligned(rows)


def kernels_table(timings: Sequence[ways.Timing]) -> str:
    """Return milliseconds of F.conv2d and of the FFT by case, and their ratio."""
    rows = [["shape", "F.conv2d, ms", "FFT, ms", "FFT / F.conv2d"]]
    ours = [timing for timing in timings if timing.way == "FFT"]
    for timing, ratio in zip(ours, ways.ratios(timings), strict=True):
        rows.append(
            [
                timing.case.label,
                _milliseconds(*ways.fastest_reference(timings, timing.case)),
                _milliseconds(timing.forward, timing.both),
                _medians(ratio, ratio),
            ]
        )
    return _aligned(rows)


def _milliseconds(forward: Sequence[float], both: Sequence[float]) -> str:
    return _two(1000 * statistics.median(forward), 1000 * statistics.median(both))


def _medians(forward: ways.Ratio, both: ways.Ratio) -> str:
    return _two(forward.forward.median, both.both.median)


def _two(forward: float, both: float) -> str:
    return f"{forward:.2f} / {both:.2f}"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        [row[0].ljust(widths[0])]
        + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        for row in rows
    )
    return "\n".join("  ".join(line).rstrip() for line in lines)


if __name__ == "__main__":
    main()
