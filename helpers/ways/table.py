"""What was timed, and what it says: quartiles, ratios to F.conv2d, slopes."""

import itertools
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from helpers.ways.model import Case

REFERENCES = {
    "F.conv2d, channels first": torch.contiguous_format,
    "F.conv2d, channels last": torch.channels_last,
}


class Spread(NamedTuple):
    """Quartiles over rounds."""

    low: float
    median: float
    high: float


def spread(values: Iterable[float]) -> Spread:
    """Return the quartiles of some values, one per round.

    Raises ValueError for no values, and for what is no finite number.
    """
    return Spread(*np.quantile(_finite(values), [0.25, 0.5, 0.75]).tolist())


@dataclass(frozen=True)
class Timing:
    """Seconds of one way on one case, one value per round.

    `way` is a key of WAYS or of REFERENCES; `both` is forward + backward,
    with the gradients of input and kernel.
    """

    case: Case
    way: str
    forward: tuple[float, ...]
    both: tuple[float, ...]


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
    fastest: dict[Case, Ratio] = {}
    for ratio in ratios:
        rival = fastest.setdefault(ratio.case, ratio)
        if getattr(ratio, passes).median < getattr(rival, passes).median:
            fastest[ratio.case] = ratio
    return fastest


def median_of_best(ratios: Sequence[Ratio], passes: str) -> float:
    """Return the median over the cases of the fastest own way's ratio."""
    fastest = best(ratios, passes).values()
    return statistics.median(getattr(ratio, passes).median for ratio in fastest)


def pairs_named(
    timings: Sequence[Timing], seconds: Callable[[Case, str], float], passes: str
) -> tuple[int, int]:
    """In how many pairs of ways that with fewer `seconds` was faster; of how many."""
    right = total = 0
    ours = [timing for timing in timings if timing.way not in REFERENCES]
    for one, other in itertools.combinations(ours, 2):
        if one.case == other.case:
            predicted = seconds(one.case, one.way) < seconds(other.case, other.way)
            medians = [statistics.median(getattr(t, passes)) for t in (one, other)]
            right += predicted == (medians[0] < medians[1])
            total += 1
    return right, total


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Return the slope of the straight line through the points on log-log axes.

    Raises ValueError for what is no finite number above zero, for fewer than two
    points, and unequally many x and y.
    """
    x, y = _finite(x), _finite(y)
    if len(x) != len(y) or len(x) < 2 or min(*x, *y) <= 0:
        raise ValueError(
            f"{len(x)} x and {len(y)} y came in: give as many of both, at least two, "
            "all above zero"
        )
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def _finite(values: Iterable[float]) -> list[float]:
    values = list(values)
    if not values or not np.isfinite(values).all():
        raise ValueError(f"{values} came in: give finite numbers, one or more")
    return values
