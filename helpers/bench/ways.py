"""The timings of chapter 1: the ways to compute a convolution, and F.conv2d.

`python -m helpers.bench.ways` measures anew, as `helpers.ways` does it, writes the
record and prints the tables.
"""

import argparse
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from typing import Any

from helpers import bench, ways
from helpers.stats import Interval, t_interval
from helpers.ways import common

NAME = "ways"
TIMED = (*ways.MEASURED, *ways.COMPILED)
GROWING = ("unfold", "im2row", "FFT")
GROWTHS = {
    "size": (16, 32, 64, 128),
    "channels": (8, 16, 32, 64),
    "kernel_size": (3, 5, 9, 15),
}
# As many processes, one after the other; in each all take turns for a few rounds.
PROCESSES = 5
ROUNDS = 5
MORE_ROUNDS = 9  # for what is measured in one process


@dataclass(frozen=True)
class Study:
    """What chapter 1 rests on; `where` says on which machine and day, in words.

    machines: the speeds of one thread, one machine per round. repeats: all ways on
    `ways.CASES`, once per process, with the compiled one where numba is there;
    with_onednn: im2row, with products by an operator that is not public. growths: one
    for each of GROWTHS.
    """

    machines: list[ways.Machine]
    repeats: list[list[ways.Timing]]
    with_onednn: list[ways.Timing]
    growths: list[ways.Growth]
    where: str = ""

    @property
    def machine(self) -> ways.Machine:
        return ways.typical(self.machines)

    @property
    def timings(self) -> list[ways.Timing]:
        """The timings of all processes, one after the other; no compiled ways."""
        return [t for t in self._all_timings() if t.way not in ways.COMPILED]

    @property
    def compiled(self) -> list[ways.Ratio]:
        """The compiled way over the library; empty where numba was missing."""
        compared = ways.ratios(self._all_timings())
        return [ratio for ratio in compared if ratio.way in ways.COMPILED]

    def _all_timings(self) -> list[ways.Timing]:
        return [
            ways.Timing(
                parts[0].case,
                parts[0].way,
                tuple(seconds for part in parts for seconds in part.forward),
                tuple(seconds for part in parts for seconds in part.both),
            )
            for parts in zip(*self.repeats, strict=True)
        ]

    def seconds(self, case: ways.Case, way: str) -> float:
        """Median seconds of the forward pass of one way on one case."""
        (timing,) = (t for t in self.timings if (t.case, t.way) == (case, way))
        return statistics.median(timing.forward)

    def chosen(self) -> dict[ways.Case, str]:
        """The way that the model chooses for every case, without these timings."""
        cases = dict.fromkeys(timing.case for timing in self.repeats[0])
        return {case: ways.fastest(case, self.machine) for case in cases}

    def interval(self, ways_of_cases: Mapping[ways.Case, str], passes: str) -> Interval:
        """Time over the library's: the median over cases, 95 % over processes."""
        return t_interval(
            [
                statistics.median(
                    getattr(ratio, passes).median
                    for ratio in ways.ratios(timings)
                    if ways_of_cases.get(ratio.case) == ratio.way
                )
                for timings in self.repeats
            ]
        )

    def named_right(self, passes: str) -> tuple[int, int]:
        """In how many pairs of ways the model names the faster one, and of how many."""

        def predicted(case: ways.Case, way: str) -> float:
            return ways.predict(case, way).seconds(self.machine)

        return ways.pairs_named(self.timings, predicted, passes)

    def floor(self, case: ways.Case) -> float:
        """What `ways.floor` says, as a multiple of the library's median seconds."""
        forward, _ = ways.fastest_reference(self.timings, case)
        return ways.floor(case, self.machine) / statistics.median(forward)


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
    """Return what was recorded, or measure it, which takes minutes."""
    return _study(bench.recorded(NAME, _settings(), measure))


def on_all_processors() -> list[Study]:
    """What was recorded, one for each kind of processor."""
    return [_study(record) for record in bench.on_all_processors(NAME, _settings())]


def measure(rounds: int = ROUNDS) -> dict[str, Any]:
    """Measure the fields of a `Study`, as JSON can hold them."""
    more = min(rounds + 4, MORE_ROUNDS)
    with _products_by_onednn():
        with_onednn = ways.measure(ways.CASES, ("im2row",), more)
    growths = [
        ways.growth(parameter, values, GROWING, rounds=more)
        for parameter, values in GROWTHS.items()
    ]
    measured = Study(
        machines=ways.measure_machine(more),
        repeats=_in_processes(rounds),
        with_onednn=with_onednn,
        growths=growths,
    )
    facts = asdict(measured)
    del facts["where"]
    return facts


def _in_processes(rounds: int) -> list[list[ways.Timing]]:
    """Time all ways, in processes of their own: each maps its memory in its own way."""
    with ProcessPoolExecutor(
        1, mp_context=get_context("spawn"), max_tasks_per_child=1
    ) as pool:
        runs = [
            pool.submit(ways.measure, ways.CASES, TIMED, rounds)
            for _ in range(PROCESSES)
        ]
        return [run.result() for run in runs]


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
        "ways": TIMED,
        "processes": PROCESSES,
        "growing": GROWING,
        "growths": GROWTHS,
        "growth base": asdict(ways.GROWTH_BASE),
    }


def _study(record: bench.Record) -> Study:
    values = record.values
    return Study(
        machines=[ways.Machine(**facts) for facts in values["machines"]],
        repeats=[_timings(items) for items in values["repeats"]],
        with_onednn=_timings(values["with_onednn"]),
        growths=[_growth(facts) for facts in values["growths"]],
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
    """Measure, record, and print a table, and what the model's choice comes to."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers.bench.ways",
        description="Time the ways to compute a convolution against F.conv2d: forward "
        "and forward + backward, float32, one thread, side by side in every round.",
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=ROUNDS,
        help=f"rounds in each of {PROCESSES} processes (default: {ROUNDS})",
    )
    rounds = parser.parse_args(arguments).rounds
    if rounds < 1:
        parser.error(f"--rounds is {rounds}: give at least 1")
    study = _study(bench.renew(NAME, _settings(), lambda: measure(rounds)))
    print(f"Measured on {study.where}")
    print("Time as a multiple of F.conv2d's: forward / forward + backward")
    print(shapes_table(study))
    print()
    for passes, title in (("forward", "forward"), ("both", "forward + backward")):
        right, pairs = study.named_right(passes)
        print(
            f"Chosen by the model, median of the shapes, {title}: "
            f"{_interval(study.interval(study.chosen(), passes))}; the model names the "
            f"faster of two ways in {right} of {pairs} pairs"
        )


def shapes_table(study: Study) -> str:
    """Return the ratios of all ways by case, that of the chosen one, and its floor."""
    timings, chosen = study.timings, study.chosen()
    compared = ways.ratios(timings) + study.compiled
    by_cell = {(ratio.case, ratio.way): ratio for ratio in compared}
    names = list(dict.fromkeys(ratio.way for ratio in compared))
    rows = [["shape", "F.conv2d, ms", *names, "chosen", "95 %, forward", "floor"]]
    for case, choice in chosen.items():
        cells = [by_cell.get((case, way)) for way in names]
        best = by_cell[case, choice]
        interval = study.interval({case: choice}, "forward")
        rows.append(
            [
                case.label,
                _milliseconds(*ways.fastest_reference(timings, case)),
                *("-" if cell is None else _medians(cell, cell) for cell in cells),
                f"{choice} {_medians(best, best)}",
                _interval(interval),
                f"{study.floor(case):.2f}",
            ]
        )
    return _aligned(rows)


def _interval(interval: Interval) -> str:
    return f"{interval.mean:.2f} ({interval.low:.2f} – {interval.high:.2f})"


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
