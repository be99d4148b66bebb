"""Intervals, paired tests and power, thin over scipy.stats.

Seeds are few: their mean gets a t interval. Test images are many: a share of them gets
a Wilson interval, and two classifiers are compared on the same images by McNemar's test
or a paired bootstrap. Everything is two-sided; `level` is the confidence, 0.95 unless
told otherwise, and the tests reject at 1 - level.
"""

import math
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats


class Interval(NamedTuple):
    """An estimate from n observations, and its confidence interval."""

    mean: float
    low: float
    high: float
    n: int


class Comparison(NamedTuple):
    """A difference a - b with its interval, the p-value of "no difference", and n."""

    mean: float
    low: float
    high: float
    p_value: float
    n: int


class McNemar(NamedTuple):
    """Images that only a, or only b, classifies rightly, and the exact p-value."""

    only_a: int
    only_b: int
    p_value: float


def t_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Mean of `values`, one per seed, with Student's t interval.

    Raises ValueError for fewer than two values: one seed has no spread.
    """
    values = _one_row(values)
    low, high = _t_test(values).confidence_interval(level)
    return Interval(values.mean().item(), float(low), float(high), len(values))


def prediction_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Mean of `values`, one per seed, and where one further value is expected.

    Wider than `t_interval` by the spread of a single run (Student's t, normal values).
    Raises ValueError for fewer than two values.
    """
    mean = t_interval(values, level)
    wider = math.sqrt(mean.n + 1)
    return Interval(
        mean.mean,
        mean.mean - wider * (mean.mean - mean.low),
        mean.mean + wider * (mean.high - mean.mean),
        mean.n,
    )


def wilson_interval(successes: int, trials: int, level: float = 0.95) -> Interval:
    """Share of successes, as of right answers on a test set, with Wilson's interval."""
    if not 0 <= successes <= trials or trials < 1:
        raise ValueError(
            f"{successes} successes in {trials} trials: there must be at least one "
            "trial, and no more successes than trials"
        )
    test = stats.binomtest(successes, trials)
    low, high = test.proportion_ci(level, method="wilson")
    return Interval(successes / trials, float(low), float(high), trials)


def paired_t(a: ArrayLike, b: ArrayLike, level: float = 0.95) -> Comparison:
    """Mean of a - b over the same seeds, with t interval and paired t test.

    Raises ValueError unless a and b hold equally many values, at least two.
    """
    differences = _differences(a, b)
    test = _t_test(differences)
    low, high = test.confidence_interval(level)
    # Of differences that are all the same, scipy makes 0 / 0.
    p_value = 1.0 if not differences.any() else float(test.pvalue)
    return Comparison(
        differences.mean().item(), float(low), float(high), p_value, len(differences)
    )


def paired_by_seed(
    a: Sequence[float], b: Sequence[float], level: float = 0.95
) -> Comparison:
    """`paired_t` over the seeds that both have; each holds those from the first on."""
    common = min(len(a), len(b))
    return paired_t(a[:common], b[:common], level)


def paired_bootstrap(
    a: ArrayLike, b: ArrayLike, level: float = 0.95, resamples: int = 9_999
) -> Interval:
    """Mean of a - b over the same test images, with a percentile bootstrap interval.

    For hundreds of images or more, not for a handful of seeds, where it comes out too
    narrow. The resampling starts from a fixed seed. Raises ValueError as `paired_t`.
    """
    differences = _differences(a, b)
    result = stats.bootstrap(
        (differences,),
        np.mean,
        n_resamples=resamples,
        batch=100,  # all at once would take resamples x images values of memory
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    low, high = result.confidence_interval
    return Interval(differences.mean().item(), float(low), float(high), len(a))


def mcnemar(a_is_right: ArrayLike, b_is_right: ArrayLike) -> McNemar:
    """Exact McNemar test: do a and b err equally often on the same images?

    a_is_right, b_is_right: one truth value per test image, in the same order. Raises
    ValueError unless both hold equally many.
    """
    a, b = np.asarray(a_is_right, bool), np.asarray(b_is_right, bool)
    _check_pairs(a, b)
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    discordant = only_a + only_b
    p_value = stats.binomtest(only_a, discordant).pvalue if discordant else 1.0
    return McNemar(only_a, only_b, float(p_value))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values of a family of tests, in the order given.

    Rejecting those at most 0.05 keeps the chance of any false alarm at 5 %. Source:
    S. Holm, A simple sequentially rejective multiple test procedure, 1979.
    """
    order = np.argsort(p_values)
    factors = len(p_values) - np.arange(len(p_values))
    ascending = np.maximum.accumulate(np.asarray(p_values)[order] * factors)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(ascending, 1)
    return adjusted.tolist()


def smallest_detectable_difference(
    standard_deviation: float, n: float, level: float = 0.95, power: float = 0.8
) -> float:
    """The true mean difference that a paired t test of n pairs finds with `power`.

    standard_deviation: that of the differences, in whose unit the answer is. Raises
    ValueError for fewer than two pairs.
    """
    if n < 2:
        raise ValueError(f"n is {n}: a paired t test needs at least two pairs")
    critical = stats.t.isf((1 - level) / 2, n - 1)

    def shortfall(effect: float) -> float:
        # The other tail adds to the power only where there is hardly any.
        return power - stats.nct.sf(critical, n - 1, effect * math.sqrt(n))

    largest = 2 * (critical + stats.norm.isf(1 - power) + 1) / math.sqrt(n)
    return standard_deviation * optimize.brentq(shortfall, 0, largest)


def detectable_by_seed(
    a: Sequence[float], b: Sequence[float], level: float = 0.95, power: float = 0.8
) -> float:
    """The true mean of a - b that `paired_by_seed` would find with `power`."""
    common = min(len(a), len(b))
    spread = np.std(_differences(a[:common], b[:common]), ddof=1)
    return smallest_detectable_difference(spread, common, level, power)


def smallest_detectable_share(
    discordant: int, images: int, level: float = 0.95, power: float = 0.8
) -> float:
    """The difference in accuracy that McNemar's exact test finds with `power`.

    discordant: images on which exactly one of the two classifiers is right, of `images`
    in all. Returns infinity when they are so few that the test can never reject.
    """
    counts = np.arange(discordant // 2 + 1)
    rejected = counts[2 * stats.binom.cdf(counts, discordant, 0.5) <= 1 - level]
    if not rejected.size:
        return math.inf

    def shortfall(probability: float) -> float:
        return power - stats.binom.cdf(rejected[-1], discordant, probability)

    probability = optimize.brentq(shortfall, 0, 0.5)
    return (1 - 2 * probability) * discordant / images


def _t_test(values: np.ndarray):
    """Of values that are all the same scipy warns, though its interval is right."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return stats.ttest_1samp(values, 0)


def _one_row(values: ArrayLike) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(
            f"values of shape {values.shape} came in: give one row of at least two"
        )
    return values


def _differences(a: ArrayLike, b: ArrayLike) -> np.ndarray:
    a, b = _one_row(a), _one_row(b)
    _check_pairs(a, b)
    return a - b


def _check_pairs(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape != b.shape:
        raise ValueError(
            f"{a.size} values cannot be paired with {b.size}: give the same seeds, or "
            "the same images, in the same order"
        )
