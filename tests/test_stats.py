"""Intervals, tests and power against published values, scipy and simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as reference

from helpers import stats

# Student's own example: additional hours of sleep of ten patients on two drugs.
DRUG_1 = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
DRUG_2 = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]


def test_paired_t_gives_the_published_result_of_students_sleep_data():
    # R: t.test(extra ~ group, data = sleep, paired = TRUE)
    comparison = stats.paired_t(DRUG_1, DRUG_2)
    assert comparison.mean == pytest.approx(-1.58)
    assert comparison.low == pytest.approx(-2.4598858, abs=1e-7)
    assert comparison.high == pytest.approx(-0.7001142, abs=1e-7)
    assert comparison.p_value == pytest.approx(0.002833, abs=5e-7)
    assert comparison.n == 10


def test_prediction_interval_holds_the_next_value_as_often_as_it_says():
    draws = np.random.default_rng(0).normal(size=(4000, 6))
    found = [stats.prediction_interval(row[:5]) for row in draws]
    inside = [f.low <= row[5] <= f.high for f, row in zip(found, draws, strict=True)]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.012)
    assert found[0].n == 5 and found[0].mean == pytest.approx(draws[0, :5].mean())


def test_paired_t_of_equal_values_finds_no_difference():
    assert stats.paired_t([0.5, 0.75], [0.5, 0.75]) == (0, 0, 0, 1, 2)


def test_where_one_has_more_seeds_the_common_ones_are_paired():
    longer = [*DRUG_1, 99.0, -99.0]
    for pair in ((longer, DRUG_2), (np.array(longer), np.array(DRUG_2))):
        assert stats.paired_by_seed(*pair) == stats.paired_t(DRUG_1, DRUG_2)
        spread = np.std(np.subtract(DRUG_1, DRUG_2), ddof=1)
        expected = stats.smallest_detectable_difference(spread, 10)
        assert stats.detectable_by_seed(*pair) == pytest.approx(expected)


def test_t_interval_is_mean_and_t_quantile_times_standard_error():
    values = [0.9901, 0.9912, 0.9895, 0.9907, 0.9910]
    interval = stats.t_interval(values, level=0.95)
    half = 2.776445 * np.std(values, ddof=1) / math.sqrt(5)  # t table, 4 degrees
    assert interval.n == 5 and interval.mean == pytest.approx(np.mean(values))
    assert interval.high - interval.mean == pytest.approx(half, rel=1e-6)
    assert interval.mean - interval.low == pytest.approx(half, rel=1e-6)
    wider = stats.t_interval(values, level=0.99)
    assert wider.low < interval.low and interval.high < wider.high


@pytest.mark.filterwarnings("error")
def test_seeds_that_all_agree_have_an_interval_without_width_and_no_warning():
    assert stats.t_interval([0.9, 0.9, 0.9]) == (0.9, 0.9, 0.9, 3)
    steady = stats.paired_t([0.75, 0.5], [0.5, 0.25])
    assert steady == (0.25, 0.25, 0.25, 0.0, 2)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    # Newcombe, Two-sided confidence intervals for the single proportion, 1998, table I.
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_intervals_are_the_published_ones(successes, trials, low, high):
    interval = stats.wilson_interval(successes, trials)
    assert interval == pytest.approx((successes / trials, low, high, trials), abs=5e-5)


@pytest.mark.parametrize(("successes", "trials"), [(-1, 5), (6, 5), (0, 0)])
def test_wilson_refuses_impossible_counts(successes, trials):
    with pytest.raises(ValueError, match=f"{successes} successes in {trials} trials"):
        stats.wilson_interval(successes, trials)


def outcomes(both, only_a, only_b, neither):
    a = [True] * (both + only_a) + [False] * (only_b + neither)
    b = [True] * both + [False] * only_a + [True] * only_b + [False] * neither
    return a, b


@pytest.mark.parametrize(("only_b", "p_value"), [(70, 0.378688), (80, 0.089452)])
def test_mcnemar_gives_the_published_exact_p_values(only_b, p_value):
    # SPSS's results for two tables, as statsmodels' tests keep them.
    result = stats.mcnemar(*outcomes(101, 59, only_b, 33))
    assert (result.only_a, result.only_b) == (59, only_b)
    assert result.p_value == pytest.approx(p_value, abs=5e-7)


def test_mcnemar_without_a_differing_image_finds_no_difference():
    assert stats.mcnemar(*outcomes(5, 0, 0, 2)) == (0, 0, 1.0)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_mcnemar_is_symmetric(pairs):
    a, b = zip(*pairs, strict=True)
    forth, back = stats.mcnemar(a, b), stats.mcnemar(b, a)
    assert (forth.only_a, forth.only_b) == (back.only_b, back.only_a)
    assert forth.p_value == pytest.approx(back.p_value) and 0 < forth.p_value <= 1


def test_bootstrap_agrees_with_the_normal_interval_on_many_images():
    generator = np.random.default_rng(1)
    a, b = generator.random(2_000) < 0.99, generator.random(2_000) < 0.97
    interval = stats.paired_bootstrap(a, b)
    normal = stats.paired_t(a, b)
    assert interval.n == 2_000 and interval.mean == pytest.approx(normal.mean)
    assert interval.low == pytest.approx(normal.low, abs=7e-4)
    assert interval.high == pytest.approx(normal.high, abs=7e-4)
    assert interval == stats.paired_bootstrap(a, b)


def test_bootstrap_is_scipys_paired_one():
    a, b = np.array(DRUG_1), np.array(DRUG_2)
    interval = stats.paired_bootstrap(a, b)
    direct = reference.bootstrap(
        (a, b),
        lambda x, y, axis: (x - y).mean(axis=axis),
        paired=True,
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    assert interval[1:3] == pytest.approx((direct.low, direct.high), abs=0.05)


def test_holm_gives_the_textbook_values():
    # R: p.adjust(c(0.01, 0.04, 0.03, 0.005), method = "holm")
    assert stats.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx(
        [0.03, 0.06, 0.06, 0.02]
    )


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_no_correction_and_bonferroni_and_keeps_the_order(p_values):
    adjusted = stats.holm(p_values)
    bonferroni = [min(1, p * len(p_values)) for p in p_values]
    for raw, value, most in zip(p_values, adjusted, bonferroni, strict=True):
        assert raw <= value <= most or value == pytest.approx(most)
    assert adjusted[int(np.argmin(p_values))] == pytest.approx(min(bonferroni))
    ranked = np.array(adjusted)[np.argsort(p_values)]
    assert (np.diff(ranked) >= 0).all()


def test_smallest_difference_is_that_of_published_power_tables():
    # R: pwr.t.test(d = 0.5, power = 0.8, type = "one.sample") gives n = 33.36713.
    difference = stats.smallest_detectable_difference(1, n=33.36713)
    assert difference == pytest.approx(0.5, abs=1e-6)
    scaled = stats.smallest_detectable_difference(0.002, n=33.36713)
    assert scaled == pytest.approx(0.002 * difference)


def test_smallest_difference_is_found_with_the_promised_power():
    difference = stats.smallest_detectable_difference(2, 5)
    samples = np.random.default_rng(0).normal(difference, 2, (20_000, 5))
    found = reference.ttest_1samp(samples, 0, axis=1).pvalue < 0.05
    assert found.mean() == pytest.approx(0.8, abs=0.01)


def test_smallest_share_is_found_by_mcnemar_with_the_promised_power():
    share = stats.smallest_detectable_share(discordant=60, images=10_000)
    lead = share * 10_000  # of the images that only one gets right, on average
    only_a = np.random.default_rng(0).binomial(60, (1 + lead / 60) / 2, 5_000)
    p_values = {k: reference.binomtest(k, 60).pvalue for k in np.unique(only_a)}
    found = np.array([p_values[k] < 0.05 for k in only_a])
    assert found.mean() == pytest.approx(0.8, abs=0.02)


def test_five_differing_images_can_never_be_significant_and_six_can():
    assert stats.smallest_detectable_share(5, 100) == math.inf
    assert stats.smallest_detectable_share(6, 100) < 0.06


@pytest.mark.parametrize("values", [[], [0.99], [[0.1, 0.2], [0.3, 0.4]]])
def test_fewer_than_two_values_are_refused(values):
    with pytest.raises(ValueError, match="one row of at least two"):
        stats.t_interval(values)


def test_one_pair_has_no_power():
    with pytest.raises(ValueError, match="n is 1: a paired t test needs at least two"):
        stats.smallest_detectable_difference(1, 1)


@pytest.mark.parametrize(
    "compare", [stats.paired_t, stats.paired_bootstrap, stats.mcnemar]
)
def test_unequal_numbers_cannot_be_paired(compare):
    with pytest.raises(ValueError, match="3 values cannot be paired with 2"):
        compare([1, 0, 1], [1, 0])
