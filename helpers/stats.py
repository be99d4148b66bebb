"""The rule of inference of the whole report: `family`, and what stands beside it.

`family` compares: an interval over seeds and images, two tests, and one of four
verdicts. `accuracy_interval` is the interval of one named result, `failures` counts
networks that learnt nothing. The rest is thin over scipy.stats: a t interval for the
mean over seeds, Wilson's for a share of images, McNemar's test for two classifiers on
the same images. Everything is two-sided; `level` is the confidence, 0.95 unless told
otherwise, and the tests reject at 1 - level. What is not a finite number, or no level
between 0 and 1, raises ValueError everywhere: it can never become a verdict.
"""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special, stats

SEEDS_FOR_A_VERDICT = 10
SEEDS_FOR_A_LOOK = 5
POWER = 0.8  # of the difference that is called detectable

Images = Literal["same", "different"] | None


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


class Failures(NamedTuple):
    """Seeds that failed, of n; the interval of their share; the median of all values.

    low, high: Wilson's interval of the share of failures.
    """

    failed: int
    n: int
    low: float
    high: float
    median: float


class PValue(NamedTuple):
    """The p-value of one test, and the same adjusted to the family it belongs to."""

    raw: float
    adjusted: float


class Verdict(StrEnum):
    """All that a comparison can come to; `family` says when."""

    FOUND = "found"
    OTHER_WAY = "found, the other way"
    EQUAL = "equal within the margin"
    NOT_DECIDED = "not decided"


class _ImageNoise(NamedTuple):
    """What images add to the variance of a difference, and how well that is known.

    uncertainty: sum of mean square ** 2 / degrees of freedom, for Satterthwaite.
    """

    variance: float
    uncertainty: float


@dataclass(frozen=True)
class Finding:
    """What one comparison of a family came to; made by `family` and `compare`.

    difference, low, high: a - b and its interval, simultaneous over the family.
    by_seed: the difference of every seed, in order. images: how many images of each
    arm the interval covers, (10000,) if both arms share them, () if seeds alone.
    family: number of comparisons. tests: p-values by name of the test. of: "mean" or
    "median".
    """

    difference: float
    low: float
    high: float
    by_seed: tuple[float, ...]
    images: tuple[int, ...]
    family: int
    level: float
    margin: float | None
    tests: Mapping[str, PValue]
    of: str
    _noise: _ImageNoise = field(repr=False)

    @property
    def n(self) -> int:
        """Number of seeds."""
        return len(self.by_seed)

    @property
    def decidable(self) -> bool:
        """Whether so many seeds may decide anything in a family of this size."""
        return _decidable(self.n, self.family, self.level)

    @property
    def p(self) -> PValue:
        """The larger p-value where both tests count; it is <= 1 - level as often as
        the interval excludes zero. Without a verdict it is that of the t test.
        """
        deciding = [*self.tests.values()]
        if self.of == "mean" and not self.decidable:
            deciding = [self.tests["t test"]]
        return PValue(*map(max, zip(*deciding, strict=True)))

    @property
    def verdict(self) -> Verdict:
        """Read off the interval, which it therefore cannot contradict."""
        if not self.decidable:
            return Verdict.NOT_DECIDED
        if (
            self.margin is not None
            and -self.margin < self.low <= self.high < self.margin
        ):
            return Verdict.EQUAL
        if self.low > 0:
            return Verdict.FOUND
        return Verdict.OTHER_WAY if self.high < 0 else Verdict.NOT_DECIDED

    @property
    def worth_a_look(self) -> bool:
        """Too few seeds for a verdict, but a raw p-value that asks for more of them."""
        suggestive = self.n >= SEEDS_FOR_A_LOOK and self.p.raw <= 1 - self.level
        return suggestive and not self.decidable

    @cached_property
    def detectable(self) -> float:
        """The true difference that, at this n, spread and family, would be found.

        Found with a probability of 80 %, by the same rule, in 2,000 simulated
        repetitions: normal with the observed variances of seeds and images, of a
        median drawn from the observed differences. Where seeds are too few for a
        verdict: what would put zero outside of the interval.
        """
        generator, size = np.random.default_rng(0), (2_000, self.n)
        by_seed = np.array(self.by_seed)
        # A true difference moves the interval up by as much: it is found where it
        # exceeds what the interval of pure noise reaches below zero.
        if self.of == "median":
            drawn = generator.choice(by_seed - np.median(by_seed), size)
            reach = -_median_interval(drawn, self._error)[0]
        else:
            drawn = generator.normal(0, by_seed.std(ddof=1), size)
            drawn += generator.normal(0, math.sqrt(self._noise.variance), (size[0], 1))
            ends = [
                _mean_interval(block, self._noise, self._error, self.decidable)
                for block in np.array_split(drawn, 8)  # at once: gigabytes
            ]
            # Noise of the other sign is as likely, and exchanges the two ends.
            reach = np.concatenate([end for low, high in ends for end in (-low, high)])
        return max(0.0, float(np.quantile(reach, POWER, method="higher")))

    @property
    def _error(self) -> float:
        return (1 - self.level) / self.family


def family(
    comparisons: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    images: Images | Mapping[str, Images] = None,
    of: Literal["mean", "median"] = "mean",
    margin: float | Mapping[str, float] | None = None,
    level: float = 0.95,
    size: int | None = None,
) -> dict[str, Finding]:
    """Compare in pairs, name -> (a, b), all questions of one table at once.

    a is the arm that is said to be better: a - b > 0 counts as found. Both hold either
    one number per seed, (seeds,), or truth values, (seeds, images), as from
    `runs.rightness`; then say whether both arms judge the `images` of the same order
    or different ones, and the interval covers the choice of images as well as that of
    seeds. Row i of a is paired with row i of b. Runs that have nothing in common may be
    paired, too, in an order fixed beforehand: it is valid and costs some power only.

    The interval. With d_i the difference of seed i, the variance of their mean is

        var(d) / n + image variance / N,

    the second term from the means of the single images, less what the interplay of
    image and seed adds to these and var(d) holds already; it is never below zero, and
    the sum over both arms where these have different images. The t quantile has
    Satterthwaite's degrees of freedom. A family of m has every interval at the level
    1 - (1 - level) / m, and every p-value times m (Bonferroni): the chance of any
    false finding is at most 1 - level, whatever the dependence. Holm's steps would
    find more, but no simple interval belongs to them, and then an interval without
    zero may stand beside "not decided".

    The tests. Beside the t test stands the exact sign-flip test, which needs no normal
    distribution: were a and b alike, every d_i might as well have the other sign, and p
    is the share of all 2 ** n choices of signs (of a sample of them beyond 20 seeds)
    whose mean is as far from zero. It speaks of seeds only; images are the t test's
    part. It inverts to an interval, too, from the means of all subsets of the d_i. The
    interval given is the hull of both; so it excludes zero exactly when both reject.

    The verdict, from the interval alone: "equal within the margin" when it lies inside
    -margin ... margin (two one-sided tests; asked only if a margin is stated, in the
    unit of the difference), else "found" when above zero, "found, the other way" when
    below, else "not decided". Fewer than 10 seeds, or so few that the sign-flip test
    cannot reach the level of the family, decide nothing: then the interval is the t
    test's, and `Finding.worth_a_look` says whether more seeds might.

    of="median", for one number per seed: where some networks learn nothing, the mean
    describes no network. The sign test and its interval, order statistics of the d_i,
    take the place of both tests.

    size: how many questions the family has, where some of them, or earlier looks at the
    same ones, are judged elsewhere; without it as many as are given.

    A family may be of mixed kinds: `images` and `margin` are then given as
    name -> value, for those comparisons that have one.

    Raises ValueError for an empty family, shapes that do not fit each other or
    `images`, a single seed or image, truth values other than 0 and 1, numbers that are
    not finite, a margin that is not above zero, a name that is no comparison, a size
    below the number of comparisons.
    """
    _check_level(level)
    if not comparisons:
        raise ValueError("the family is empty: give at least one name -> (a, b)")
    if of not in ("mean", "median"):
        raise ValueError(f'of={of!r} came in: it is "mean" or "median"')
    size = len(comparisons) if size is None else size
    if not isinstance(size, int) or size < len(comparisons):
        raise ValueError(
            f"the size is {size!r}: use a whole number from {len(comparisons)} up, the "
            "number of comparisons given"
        )
    images_of = _by_name(images, comparisons, "images")
    margin_of = _by_name(margin, comparisons, "margin")
    findings = {}
    for name, pair in comparisons.items():
        try:
            _check_kind(images_of[name], of, margin_of[name])
            by_seed, counts, noise = _pair(*pair, images_of[name])
        except (ValueError, TypeError) as error:
            raise ValueError(f"comparison {name!r}: {error}") from error
        findings[name] = _finding(
            by_seed, counts, noise, of, margin_of[name], size, level
        )
    return findings


def compare(
    a: ArrayLike,
    b: ArrayLike,
    *,
    images: Images = None,
    of: Literal["mean", "median"] = "mean",
    margin: float | None = None,
    level: float = 0.95,
    size: int = 1,
) -> Finding:
    """`family` of `size`, of which one is asked here; else of this one alone."""
    (found,) = family(
        {"a - b": (a, b)}, images=images, of=of, margin=margin, level=level, size=size
    ).values()
    return found


def accuracy_interval(right: ArrayLike, level: float = 0.95) -> Interval:
    """Mean of truth values (seeds, images), with an interval that covers both.

    The accuracy meant is that of any seed on any image of the same kind; the variances
    are those that `family` describes. Raises ValueError as `family`.
    """
    _check_level(level)
    right = _truth_values(right)
    by_seed, noise = right.mean(1), _image_noise(right)
    low, high = _mean_interval(by_seed, noise, 1 - level, exact=False)
    return Interval(by_seed.mean().item(), float(low), float(high), len(by_seed))


def failures(values: ArrayLike, below: float, level: float = 0.95) -> Failures:
    """How many of `values`, one per seed, lie below a limit, such as 0.2 of accuracy.

    To compare the failures of two arms, give `mcnemar` their truth values by seed.
    Raises ValueError for fewer than two values.
    """
    values = _one_row(values)
    if not math.isfinite(below):
        raise ValueError(f"below is {below}: give the limit as a finite number")
    failed = int((values < below).sum())
    share = wilson_interval(failed, len(values), level)
    return Failures(failed, share.n, share.low, share.high, float(np.median(values)))


def t_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Mean of `values`, one per seed, with Student's t interval.

    Raises ValueError for fewer than two values: one seed has no spread.
    """
    _check_level(level)
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
    _check_level(level)
    whole = successes == successes // 1 and trials == trials // 1
    if not (whole and 0 <= successes <= trials and trials >= 1):
        raise ValueError(
            f"{successes} successes in {trials} trials: give whole numbers, at least "
            "one trial, and no more successes than trials"
        )
    test = stats.binomtest(int(successes), int(trials))
    low, high = test.proportion_ci(level, method="wilson")
    return Interval(successes / trials, float(low), float(high), trials)


def paired_t(a: ArrayLike, b: ArrayLike, level: float = 0.95) -> Comparison:
    """Mean of a - b over the same seeds, with t interval and paired t test.

    Raises ValueError unless a and b hold equally many values, at least two.
    """
    _check_level(level)
    differences = _differences(a, b)
    test = _t_test(differences)
    low, high = test.confidence_interval(level)
    # Of differences that are all the same, scipy makes 0 / 0.
    p_value = 1.0 if not differences.any() else float(test.pvalue)
    return Comparison(
        differences.mean().item(), float(low), float(high), p_value, len(differences)
    )


def mcnemar(a_is_right: ArrayLike, b_is_right: ArrayLike) -> McNemar:
    """Exact McNemar test: do a and b err equally often on the same images?

    a_is_right, b_is_right: one truth value per test image, in the same order. Raises
    ValueError unless both hold equally many, at least one, and nothing but 0 and 1.
    """
    a, b = (_zero_or_one(values).astype(bool) for values in (a_is_right, b_is_right))
    _check_pairs(a, b)
    if a.ndim != 1 or not a.size:
        raise ValueError(
            f"truth values of shape {a.shape} came in: give one row, one per image"
        )
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    discordant = only_a + only_b
    p_value = stats.binomtest(only_a, discordant).pvalue if discordant else 1.0
    return McNemar(only_a, only_b, float(p_value))


def smallest_detectable_difference(
    standard_deviation: float, n: float, level: float = 0.95, power: float = 0.8
) -> float:
    """The true mean difference that a paired t test of n pairs finds with `power`.

    standard_deviation: that of the differences, in whose unit the answer is. Raises
    ValueError for fewer than two pairs.
    """
    _check_level(level)
    _check_power(level, power)
    if not 2 <= n < math.inf:
        raise ValueError(f"n is {n}: a paired t test needs at least two pairs")
    if not 0 <= standard_deviation < math.inf:
        raise ValueError(
            f"the standard deviation is {standard_deviation}: it must be finite, and "
            "not below zero"
        )
    critical = stats.t.isf((1 - level) / 2, n - 1)

    def shortfall(effect: float) -> float:
        # The other tail adds to the power only where there is hardly any.
        return power - stats.nct.sf(critical, n - 1, effect * math.sqrt(n))

    # With few pairs the quantile of t is far out: there is no simple bound.
    largest = 2 * (critical + stats.norm.isf(1 - power) + 1) / math.sqrt(n)
    while shortfall(largest) > 0:
        largest *= 2
    return standard_deviation * optimize.brentq(shortfall, 0, largest)


def smallest_detectable_share(
    discordant: int, images: int, level: float = 0.95, power: float = 0.8
) -> float:
    """The difference in accuracy that McNemar's exact test finds with `power`.

    discordant: images on which exactly one of the two classifiers is right, of `images`
    in all. Returns infinity when they are so few that the test can never reject.
    Raises ValueError for more discordant images than images.
    """
    _check_level(level)
    _check_power(level, power)
    if not (0 <= discordant <= images and 1 <= images < math.inf) or discordant % 1:
        raise ValueError(
            f"{discordant} discordant of {images} images: give whole numbers, at least "
            "one image, and no more discordant ones than images"
        )
    counts = np.arange(discordant // 2 + 1)
    rejected = counts[2 * stats.binom.cdf(counts, discordant, 0.5) <= 1 - level]
    if not rejected.size:
        return math.inf

    def shortfall(probability: float) -> float:
        return power - stats.binom.cdf(rejected[-1], discordant, probability)

    probability = optimize.brentq(shortfall, 0, 0.5)
    return (1 - 2 * probability) * discordant / images


def _by_name(value: Any, comparisons: Mapping[str, Any], what: str) -> dict[str, Any]:
    """One value for each comparison, where it is the same for all or none for some."""
    if not isinstance(value, Mapping):
        return dict.fromkeys(comparisons, value)
    if unknown := [name for name in value if name not in comparisons]:
        raise ValueError(
            f"{what} is given for {unknown}, which the family does not compare: its "
            f"comparisons are {[*comparisons]}"
        )
    return {name: value.get(name) for name in comparisons}


def _check_kind(images: Images, of: str, margin: float | None) -> None:
    if images not in (None, "same", "different"):
        raise ValueError(
            f'images={images!r} came in: it is "same", "different" or None'
        )
    if margin is not None and not 0 < margin < math.inf:
        raise ValueError(
            f"margin is {margin}: give the smallest difference that matters, above zero"
        )
    if of == "median" and images:
        raise ValueError("a median is over seeds alone: give one number per seed")


def _pair(
    a: ArrayLike, b: ArrayLike, images: Images
) -> tuple[np.ndarray, tuple[int, ...], _ImageNoise]:
    """Difference by seed, number of images, and the noise of these."""
    if images is None:
        for values in (a, b):
            if np.asarray(values).dtype == bool or np.ndim(values) == 2:
                raise ValueError(
                    f"values of shape {np.shape(values)} came in: give one number per "
                    "seed, or truth values (seeds, images) and say whether both arms "
                    'judge the same images, images="same" or images="different"'
                )
        return _differences(a, b), (), _ImageNoise(0.0, 0.0)
    a, b = _truth_values(a), _truth_values(b)
    if len(a) != len(b):
        raise ValueError(
            f"{len(a)} seeds cannot be paired with {len(b)}: give the same seeds in "
            "the same order"
        )
    if images == "same":
        _check_pairs(a, b)
        return (a - b).mean(1), (a.shape[1],), _image_noise(a - b)
    variances, uncertainties = zip(_image_noise(a), _image_noise(b), strict=True)
    noise = _ImageNoise(sum(variances), sum(uncertainties))
    return a.mean(1) - b.mean(1), (a.shape[1], b.shape[1]), noise


def _image_noise(values: np.ndarray) -> _ImageNoise:
    """Analysis of variance of (seeds, images), both drawn at random, one value each."""
    seeds, images = values.shape
    by_seed, by_image = values.mean(1), values.mean(0)
    rest = np.square(values).sum() + values.size * by_seed.mean() ** 2
    rest -= images * np.square(by_seed).sum() + seeds * np.square(by_image).sum()
    freedom = (seeds - 1) * (images - 1)
    interplay = max(0.0, float(rest)) / freedom / values.size
    between = float(by_image.var(ddof=1)) / images
    return _ImageNoise(
        max(0.0, between - interplay),
        between**2 / (images - 1) + interplay**2 / freedom,
    )


def _finding(
    by_seed: np.ndarray,
    images: tuple[int, ...],
    noise: _ImageNoise,
    of: str,
    margin: float | None,
    family: int,
    level: float,
) -> Finding:
    error = (1 - level) / family
    if of == "median":
        difference = np.median(by_seed)
        low, high = _median_interval(by_seed, error)
        raw = {"sign test": _sign_p(by_seed)}
    else:
        difference = by_seed.mean()
        exact = _decidable(len(by_seed), family, level)
        low, high = _mean_interval(by_seed, noise, error, exact)
        raw = {"t test": _t_p(by_seed, noise), "sign-flip test": _flip_p(by_seed)}
    return Finding(
        float(difference),
        float(low),
        float(high),
        tuple(by_seed.tolist()),
        images,
        family,
        level,
        margin,
        {test: PValue(p, min(1.0, family * p)) for test, p in raw.items()},
        of,
        noise,
    )


def _decidable(n: int, family: int, level: float) -> bool:
    """Ten seeds, and signs enough for the exact tests to reach the family's level."""
    return n >= SEEDS_FOR_A_VERDICT and family * 2.0 ** (1 - n) <= 1 - level


def _mean_interval(
    by_seed: np.ndarray, noise: _ImageNoise, error: float, exact: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The t interval of (..., seeds); with `exact` its hull with the sign-flip one."""
    mean = by_seed.mean(-1)
    deviation, freedom = _standard_error(by_seed, noise)
    half = -special.stdtrit(freedom, error / 2) * deviation
    low, high = mean - half, mean + half
    if not exact:
        return low, high
    # Kept smaller for many repetitions at once, which only a simulation asks for.
    means = _subset_means(by_seed, 2**20 if by_seed.ndim == 1 else 2**12)
    rank = _whole((means.shape[-1] + 1) * error / 2)
    if not rank:
        return np.full_like(low, -math.inf), np.full_like(high, math.inf)
    means = np.partition(means, (rank - 1, means.shape[-1] - rank), axis=-1)
    return np.minimum(low, means[..., rank - 1]), np.maximum(high, means[..., -rank])


def _standard_error(
    by_seed: np.ndarray, noise: _ImageNoise
) -> tuple[np.ndarray, np.ndarray]:
    """That of the mean of (..., seeds), and its degrees of freedom."""
    n = by_seed.shape[-1]
    seeds = by_seed.var(-1, ddof=1) / n
    variance = seeds + noise.variance
    uncertainty = seeds**2 / (n - 1) + noise.uncertainty
    freedom = np.full_like(variance, n - 1)
    np.divide(variance**2, uncertainty, out=freedom, where=uncertainty > 0)
    return np.sqrt(variance), freedom


def _t_p(by_seed: np.ndarray, noise: _ImageNoise) -> float:
    deviation, freedom = _standard_error(by_seed, noise)
    mean = abs(by_seed.mean())
    if not deviation:
        return 0.0 if mean else 1.0
    return float(2 * special.stdtr(freedom, -mean / deviation))


def _flip_p(by_seed: np.ndarray) -> float:
    # To flip the signs of a subset gives a mean as far above zero as the observed one,
    # or farther, exactly when the mean of that subset is not above zero. The empty
    # subset, which flips nothing, is the one more.
    means = _subset_means(by_seed, 2**20)
    tail = 1 + min((means <= 0).sum(), (means >= 0).sum())
    return min(1.0, 2 * float(tail) / (len(means) + 1))


def _subset_means(values: np.ndarray, most: int) -> np.ndarray:
    """Means of all subsets of (..., n) but the empty one.

    Where there are more than `most`, a sample of them, the same in every call.
    """
    n = values.shape[-1]
    if 2**n <= most:
        sums, sizes = np.zeros((*values.shape[:-1], 1)), np.zeros(1)
        for value in np.moveaxis(values, -1, 0):
            sums = np.concatenate([sums, sums + value[..., None]], -1)
            sizes = np.concatenate([sizes, sizes + 1])
        means = sums[..., 1:] / sizes[1:]
    else:
        chosen = np.random.default_rng(0).random((min(most, 2**16) - 1, n)) < 0.5
        chosen[~chosen.any(1)] = True
        means = values @ (chosen / chosen.sum(1, keepdims=True)).T
    # Rounding must not break a tie: a mean that ought to be zero is made zero.
    means[np.abs(means) <= 1e-9 * np.abs(values).max(-1, keepdims=True)] = 0
    return means


def _median_interval(
    by_seed: np.ndarray, error: float
) -> tuple[np.ndarray, np.ndarray]:
    """Order statistics of (..., seeds): the interval that belongs to the sign test."""
    n = by_seed.shape[-1]
    rank = int((_sign_tail(np.arange(n), n) <= error / 2).sum())
    if not rank:
        infinite = np.full(by_seed.shape[:-1], math.inf)
        return -infinite, infinite
    ordered = np.sort(by_seed, -1)
    return ordered[..., rank - 1], ordered[..., -rank]


def _sign_p(by_seed: np.ndarray) -> float:
    fewer = min((by_seed <= 0).sum(), (by_seed >= 0).sum())
    return min(1.0, 2 * float(_sign_tail(fewer, len(by_seed))))


def _sign_tail(count: ArrayLike, n: int) -> np.ndarray:
    return stats.binom.cdf(count, n, 0.5)


def _whole(number: float) -> int:
    """The whole part; what lacks nothing but rounding counts as whole."""
    return math.floor(number * (1 + 1e-12))


def _t_test(values: np.ndarray) -> Any:
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
    if not (finite := np.isfinite(values)).all():
        raise ValueError(
            f"{values[~finite][0]} came in at position {int((~finite).argmax())}: give "
            "finite numbers, and count what has none by itself"
        )
    return values


def _truth_values(values: ArrayLike) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim != 2 or min(values.shape) < 2:
        raise ValueError(
            f"truth values of shape {values.shape} came in: give (seeds, images), at "
            "least two of each"
        )
    return _zero_or_one(values).astype(np.int8)  # small: sums over them are quick


def _zero_or_one(values: ArrayLike) -> np.ndarray:
    values = np.asarray(values)
    if values.dtype != bool and not (allowed := (values == 0) | (values == 1)).all():
        raise ValueError(
            f"{values[~allowed][0]} came in as a truth value: give 1 for right and 0 "
            "for wrong, not the class that was answered"
        )
    return values


def _differences(a: ArrayLike, b: ArrayLike) -> np.ndarray:
    a, b = _one_row(a), _one_row(b)
    _check_pairs(a, b)
    differences = a - b
    # 0.1 + 0.2 is not 0.3: what rounding leaves of equal values is no difference.
    differences[np.abs(differences) <= 1e-14 * np.maximum(np.abs(a), np.abs(b))] = 0
    return differences


def _check_pairs(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape != b.shape:
        raise ValueError(
            f"{a.size} values cannot be paired with {b.size}: give the same seeds, or "
            "the same images, in the same order"
        )


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level is {level}: give a confidence between 0 and 1")


def _check_power(level: float, power: float) -> None:
    if not (1 - level) / 2 < power < 1:
        raise ValueError(
            f"power is {power}: give a probability below 1, and above the "
            f"{(1 - level) / 2:.3g} with which chance alone would find it"
        )
