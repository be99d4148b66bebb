"""Intervals, tests and power against published values, scipy and simulation."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats as reference

from helpers import stats
from helpers.stats import Verdict

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


@pytest.mark.slow
def test_prediction_interval_holds_the_next_value_as_often_as_it_says():
    draws = np.random.default_rng(0).normal(size=(4000, 6))
    found = [stats.prediction_interval(row[:5]) for row in draws]
    inside = [f.low <= row[5] <= f.high for f, row in zip(found, draws, strict=True)]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.012)
    assert found[0].n == 5 and found[0].mean == pytest.approx(draws[0, :5].mean())


def test_paired_t_of_equal_values_finds_no_difference():
    assert stats.paired_t([0.5, 0.75], [0.5, 0.75]) == (0, 0, 0, 1, 2)


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


@given(
    st.integers(2, 30),
    st.sampled_from([0.9, 0.95, 0.999]),
    st.sampled_from([0.06, 0.5, 0.8, 0.99]),
)
@settings(max_examples=20, deadline=None)
@example(2, 0.95, 0.99)
def test_smallest_difference_has_the_power_that_was_asked_for(n, level, power):
    effect = stats.smallest_detectable_difference(1.0, n, level, power)
    critical = reference.t.isf((1 - level) / 2, n - 1)
    found = reference.nct.sf(critical, n - 1, effect * math.sqrt(n))
    assert found == pytest.approx(power, abs=1e-6)


def test_one_pair_has_no_power():
    with pytest.raises(ValueError, match="n is 1: a paired t test needs at least two"):
        stats.smallest_detectable_difference(1, 1)


@pytest.mark.parametrize("compare", [stats.paired_t, stats.mcnemar])
def test_unequal_numbers_cannot_be_paired(compare):
    with pytest.raises(ValueError, match="3 values cannot be paired with 2"):
        compare([1, 0, 1], [1, 0])


# --- One rule for every comparison ----------------------------------------------------

# Darwin's 15 pairs of maize, crossed less self-fertilised, in eighths of an inch.
MAIZE = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
ACCURACY = [
    0.9901,
    0.9905,
    0.9899,
    0.9912,
    0.9908,
    0.9903,
    0.9910,
    0.9900,
    0.9907,
    0.99,
]
shares = st.floats(0, 1).map(lambda share: round(share, 3))


def by_seed(differences, **options):
    differences = np.asarray(differences, float)
    return stats.compare(differences, np.zeros_like(differences), **options)


def decisive(n):
    """n differences so clear that no size of family alone leaves them undecided."""
    return 0.01 + 0.0001 * np.arange(n)


def test_darwins_maize_gives_fishers_two_published_results_and_so_no_verdict():
    # Fisher, The design of experiments, section 21: t = 2.148; of the 2 ** 15 signs
    # 863 give a sum as high. One test finds a difference at 5 %, the other does not.
    finding = by_seed(MAIZE)
    assert finding.tests["sign-flip test"].raw == 2 * 863 / 2**15
    assert finding.tests["t test"].raw == pytest.approx(0.04970, abs=5e-6)
    assert finding.verdict is Verdict.NOT_DECIDED and finding.low < 0
    assert finding.p.raw == 2 * 863 / 2**15 and finding.n == 15


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(-3, 3), min_size=2, max_size=8))
def test_sign_flip_p_is_the_share_of_all_signs_that_reach_as_far(differences):
    signs = np.array(list(itertools.product((-1, 1), repeat=len(differences))))
    reached = np.abs(signs @ differences) >= abs(sum(differences))
    # In tenths the same ties are blurred by rounding.
    for scale in (1, 0.1):
        found = by_seed(scale * np.array(differences)).tests["sign-flip test"]
        assert found.raw == pytest.approx(reached.mean())


def test_beyond_twenty_seeds_a_sample_of_signs_comes_near_the_normal_p_value():
    differences = np.random.default_rng(2).normal(0.4, 1, 40)
    finding = by_seed(differences)
    exact, drawn = finding.tests["t test"].raw, finding.tests["sign-flip test"].raw
    assert drawn == pytest.approx(exact, rel=0.15) and 0.001 < exact < 0.2
    assert finding == by_seed(differences)


@settings(deadline=None, max_examples=80)
@given(
    st.lists(
        st.lists(st.integers(-4, 9), min_size=10, max_size=12), min_size=1, max_size=4
    ),
    st.sampled_from([0.9, 0.95, 0.99]),
    st.sampled_from(["mean", "median"]),
    st.sampled_from([None, 0.5, 3.0]),
)
def test_a_verdict_never_contradicts_its_interval_or_its_p_values(
    rows, level, of, margin
):
    pairs = {str(i): (row, np.zeros(len(row))) for i, row in enumerate(rows)}
    for finding in stats.family(pairs, of=of, level=level, margin=margin).values():
        assert finding.low <= finding.difference <= finding.high
        outside = finding.low > 0 or finding.high < 0
        both = all(test.adjusted <= 1 - level for test in finding.tests.values())
        assert outside == both == (finding.p.adjusted <= 1 - level)
        inside = margin is not None and -margin < finding.low <= finding.high < margin
        assert finding.verdict is (
            Verdict.EQUAL
            if inside
            else Verdict.FOUND
            if finding.low > 0
            else Verdict.OTHER_WAY
            if finding.high < 0
            else Verdict.NOT_DECIDED
        )


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(-5, 5), min_size=10, max_size=11), st.integers(1, 4))
def test_the_interval_holds_just_the_differences_that_are_not_rejected(values, size):
    values = np.array(values, float)
    others = {f"other {i}": (values, 0 * values) for i in range(size - 1)}
    finding = stats.family({"asked": (values, 0 * values), **others})["asked"]
    for end, inwards in ((finding.low, 1), (finding.high, -1)):
        for step, rejected in ((-0.001, True), (0.001, False)):
            moved = by_seed(values - (end + inwards * step))
            assert (size * moved.p.raw <= 0.05) == rejected or not np.ptp(values)


@given(st.lists(shares, min_size=10, max_size=10), st.lists(shares, min_size=10))
@settings(deadline=None, max_examples=40)
def test_exchanged_arms_turn_everything_round(a, b):
    forth, back = stats.compare(a, b[:10]), stats.compare(b[:10], a)
    assert (back.difference, back.low, back.high) == pytest.approx(
        (-forth.difference, -forth.high, -forth.low)
    )
    turned = {Verdict.FOUND: Verdict.OTHER_WAY, Verdict.OTHER_WAY: Verdict.FOUND}
    assert back.verdict is turned.get(forth.verdict, forth.verdict)


def test_a_family_pays_for_its_size_in_p_interval_and_detectable_difference():
    a, b = np.array(ACCURACY), np.array(ACCURACY[::-1]) - 0.0004
    alone = stats.compare(a, b)
    family = stats.family({str(i): (a, b) for i in range(8)})
    one = family["3"]
    assert len(family) == one.family == 8 and alone.family == 1
    for name, test in one.tests.items():
        assert test.raw == alone.tests[name].raw
        assert test.adjusted == pytest.approx(min(1, 8 * test.raw))
    assert stats.compare(a, b, size=8) == one
    for size in (0, 7, 8.0):
        with pytest.raises(ValueError, match=r"the size is .*from 8 up"):
            stats.family({str(i): (a, b) for i in range(8)}, size=size)
    half = reference.t.isf(0.05 / 16, 9) * reference.sem(a - b)  # 5 %, 8, two sides
    assert one.high - one.difference == pytest.approx(half, rel=0.15)
    assert one.high - one.difference >= half * (1 - 1e-9)
    spread = np.std(a - b, ddof=1)
    for finding, level in ((alone, 0.95), (one, 1 - 0.05 / 8)):
        by_t = stats.smallest_detectable_difference(spread, 10, level)
        # A little more, as the sign-flip test has to find it, too.
        assert 0.98 * by_t < finding.detectable < 1.2 * by_t


@pytest.mark.parametrize("n", [2, 4, 5, 9])
def test_few_seeds_give_no_verdict_and_from_five_on_a_hint(n):
    finding = by_seed(decisive(n), margin=1)
    assert finding.low > 0 and finding.p.adjusted < 0.05  # by the t test alone
    assert finding.verdict is Verdict.NOT_DECIDED and not finding.decidable
    assert finding.worth_a_look == (n >= 5)
    assert not by_seed([-0.1, 0.1] * 3).worth_a_look
    assert np.isfinite([finding.low, finding.high, finding.detectable]).all()


def test_ten_seeds_decide_and_in_a_family_that_is_too_large_they_do_not():
    assert by_seed(decisive(10)).verdict is Verdict.FOUND
    assert by_seed(-decisive(10)).verdict is Verdict.OTHER_WAY
    assert not by_seed(decisive(10)).worth_a_look
    pair = (decisive(10), np.zeros(10))
    for size, verdict in ((25, Verdict.FOUND), (26, Verdict.NOT_DECIDED)):
        family = stats.family({str(i): pair for i in range(size)})
        # With 10 signs no p-value is below 2 / 1024, which times 26 is above 5 %.
        assert {finding.verdict for finding in family.values()} == {verdict}
        assert family["0"].worth_a_look == (verdict is Verdict.NOT_DECIDED)


def test_equal_needs_a_margin_and_an_interval_inside_of_it():
    a = np.array(ACCURACY)
    b = a + 0.0001 * np.array([1, -1, 2, -2, 1, -1, 2, -2, 1, -2])
    assert stats.compare(a, b).verdict is Verdict.NOT_DECIDED
    assert stats.compare(a, b, margin=0.001).verdict is Verdict.EQUAL
    assert stats.compare(a, b, margin=0.00005).verdict is Verdict.NOT_DECIDED
    # Smaller than what matters, though not zero: the stated question is answered.
    assert by_seed(decisive(10), margin=0.02).verdict is Verdict.EQUAL
    assert by_seed(decisive(10), margin=0.005).verdict is Verdict.FOUND


def test_a_family_of_mixed_kinds_judges_each_as_a_family_of_its_kind_would():
    """One size for all; images and margin only where they are given."""
    seeds = (np.array(ACCURACY) + 1e-4, np.array(ACCURACY))
    pairs = {"of images": (RIGHT, RIGHT[::-1]), "of seeds": seeds, "alike": seeds}
    mixed = stats.family(pairs, images={"of images": "same"}, margin={"alike": 0.001})
    of_images = stats.family(
        {name: pairs["of images"] for name in pairs}, images="same"
    )
    of_seeds = stats.family({name: seeds for name in pairs})
    alike = stats.family({name: seeds for name in pairs}, margin=0.001)
    assert mixed["of images"] == of_images["of images"]
    assert mixed["of seeds"] == of_seeds["of seeds"]
    assert mixed["alike"] == alike["alike"]
    assert mixed["alike"].verdict is Verdict.EQUAL
    assert mixed["of seeds"].verdict is Verdict.FOUND
    assert {finding.family for finding in mixed.values()} == {3}


def test_equal_values_are_no_finding():
    finding = stats.compare(ACCURACY, ACCURACY)
    assert (finding.difference, finding.low, finding.high) == (0, 0, 0)
    assert finding.p == (1, 1) and finding.detectable == 0
    assert finding.verdict is Verdict.NOT_DECIDED
    # What rounding leaves is none, either.
    assert stats.compare([0.1 + 0.2] * 10, [0.3] * 10).verdict is Verdict.NOT_DECIDED
    right = np.ones((10, 50), bool)
    assert stats.compare(right, right, images="same").p == (1, 1)


# --- Seeds and images -----------------------------------------------------------------


def mean_squares(values):
    """Of a two-way table, by its residuals: seeds, images, interplay."""
    n, images = values.shape
    rows, columns = values.mean(1, keepdims=True), values.mean(0, keepdims=True)
    rest = values - rows - columns + values.mean()
    return (
        images * rows.var(ddof=1),
        n * columns.var(ddof=1),
        (rest**2).sum() / ((n - 1) * (images - 1)),
    )


def half_width(terms, level):
    """Of an interval, by terms of (sign, mean square / count, degrees of freedom)."""
    variance = sum(sign * value for sign, value, _ in terms)
    freedom = variance**2 / sum(value**2 / free for _, value, free in terms)
    return reference.t.isf((1 - level) / 2, freedom) * math.sqrt(variance)


def hard_and_easy(generator, n, images):
    difficulty = generator.beta(0.3, 1, images)
    return generator.random((n, images)) > difficulty


def test_interval_over_seeds_and_the_same_images_is_that_of_the_two_way_table():
    generator = np.random.default_rng(3)
    a, b = hard_and_easy(generator, 6, 400), hard_and_easy(generator, 6, 400)
    finding = stats.compare(a, b, images="same")
    seeds, images, rest = mean_squares(a.astype(float) - b)
    cells = a.size
    half = half_width(
        [(1, seeds / cells, 5), (1, images / cells, 399), (-1, rest / cells, 5 * 399)],
        0.95,
    )
    assert finding.difference == pytest.approx(a.mean() - b.mean())
    assert finding.high - finding.difference == pytest.approx(half)
    assert finding.images == (400,) and finding.by_seed == pytest.approx(
        a.mean(1) - b.mean(1)
    )
    over_seeds = stats.paired_t(a.mean(1), b.mean(1))
    assert half > over_seeds.high - over_seeds.mean


def test_interval_over_different_images_adds_the_noise_of_both_sets():
    generator = np.random.default_rng(4)
    a, b = hard_and_easy(generator, 6, 300), hard_and_easy(generator, 6, 500)
    finding = stats.compare(a, b, images="different")
    terms = [(1, (a.mean(1) - b.mean(1)).var(ddof=1) / 6, 5)]
    for arm in (a.astype(float), b.astype(float)):
        _, images, rest = mean_squares(arm)
        free = arm.shape[1] - 1
        terms += [(1, images / arm.size, free), (-1, rest / arm.size, 5 * free)]
    half = half_width(terms, 0.95)
    assert finding.high - finding.difference == pytest.approx(half)
    assert finding.images == (300, 500)


def test_order_of_images_matters_only_where_both_arms_share_them():
    generator = np.random.default_rng(5)
    shared = generator.beta(0.3, 1, 400)
    a, b = (generator.random((10, 400)) > shared for _ in "ab")
    mixed = b[:, generator.permutation(400)]

    def width(arm, images):
        finding = stats.compare(a, arm, images=images)
        return finding.high - finding.low

    assert width(b, "same") < 0.8 * width(mixed, "same")
    assert width(b, "different") == pytest.approx(width(mixed, "different"))


def test_interval_of_an_accuracy_covers_seeds_and_images():
    generator = np.random.default_rng(6)
    right = hard_and_easy(generator, 7, 300)
    interval = stats.accuracy_interval(right, 0.9)
    seeds, images, rest = mean_squares(right.astype(float))
    terms = [(1, seeds, 6), (1, images, 299), (-1, rest, 6 * 299)]
    half = half_width([(s, v / right.size, f) for s, v, f in terms], 0.9)
    assert interval.mean == pytest.approx(right.mean()) and interval.n == 7
    assert interval.high - interval.mean == pytest.approx(half)
    assert interval.mean - interval.low == pytest.approx(half)


def test_interval_of_an_accuracy_holds_the_true_one_as_often_as_it_says():
    generator, truth, held = np.random.default_rng(7), 1 - 0.3 / 1.3, []
    for _ in range(1500):
        difficulty = generator.beta(0.3, 1, 300)
        better = generator.normal(0, 0.02, (10, 1))
        right = generator.random((10, 300)) > difficulty * (1 + better)
        interval = stats.accuracy_interval(right)
        held.append(interval.low <= truth <= interval.high)
    assert np.mean(held) == pytest.approx(0.95, abs=0.018)  # three standard errors


# --- Simulated families ---------------------------------------------------------------

IMAGES, HARD, SEEDS = 10_000, 400, 10


def arms(generator, count, seed_noise, image_noise, gain=0.0):
    """`count` arms and a baseline with 99 % of 10,000 images right, truth values.

    All mistakes fall on 400 hard images. seed_noise: standard deviation of a network's
    errors, as a share. image_noise: whether each arm finds other images hard. gain: the
    accuracy by which all arms beat the baseline.
    """
    difficulty = generator.beta(0.6, 1.8, HARD)  # on average one quarter
    for number in range(count + 1):
        if image_noise:
            difficulty = generator.beta(0.6, 1.8, HARD)
        errors = 1 + generator.normal(0, seed_noise, (SEEDS, 1))
        if number:
            errors -= gain * IMAGES / (HARD / 4)
        right = np.ones((SEEDS, IMAGES), bool)
        right[:, :HARD] = generator.random((SEEDS, HARD)) > difficulty * errors
        yield right


def simulated(generator, size, seed_noise, image_noise, gain=0.0):
    baseline, *others = arms(generator, size, seed_noise, image_noise, gain)
    pairs = {str(number): (arm, baseline) for number, arm in enumerate(others)}
    return stats.family(pairs, images="same")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "seed_noise", "image_noise"),
    [
        (1, 0.1, False),
        (1, 0.0, True),
        (3, 0.1, True),
        (8, 0.1, True),
    ],
)
def test_without_an_effect_at_most_five_families_of_a_hundred_find_one(
    size, seed_noise, image_noise
):
    generator = np.random.default_rng(8)
    found = [
        any(
            finding.verdict is not Verdict.NOT_DECIDED
            for finding in simulated(generator, size, seed_noise, image_noise).values()
        )
        for _ in range(2_000)
    ]
    share, error = np.mean(found), math.sqrt(0.05 * 0.95 / 2_000)
    print(f"{size}, {seed_noise}, {image_noise}: found in {share:.2%} of the families")
    assert 0.005 < share < 0.05 + 2.5 * error


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "seed_noise", "image_noise"),
    [(1, 0.1, False), (1, 0.1, True), (8, 0.1, True)],
)
def test_an_effect_of_the_detectable_size_is_found_in_about_eighty_of_a_hundred(
    size, seed_noise, image_noise
):
    generator = np.random.default_rng(9)
    # What is stated varies with the spread that a table happens to have: the mean of
    # several, and once more, as the gain itself takes errors and so noise away.
    gain = 0.0
    for tables in (6, 30):
        stated = [
            simulated(generator, size, seed_noise, image_noise, gain)["0"].detectable
            for _ in range(tables)
        ]
        gain = float(np.sqrt(np.mean(np.square(stated))))
    found = [
        finding.verdict is Verdict.FOUND
        for _ in range(2_000 // size)
        for finding in simulated(
            generator, size, seed_noise, image_noise, gain
        ).values()
    ]
    print(f"{size}, {seed_noise}, {image_noise}: {np.mean(found):.2%} of {gain:.3%}")
    assert 0.75 < np.mean(found) < 0.86


@pytest.mark.parametrize("size", [1, 8, 20])
def test_the_detectable_difference_is_right_for_the_rule_of_both_tests(size):
    # Seeds alone, normal, the spread known: no other error than that of simulation.
    generator = np.random.default_rng(10)
    noise = generator.normal(size=10)
    noise = (noise - noise.mean()) / noise.std(ddof=1)
    pairs = {str(number): (noise, np.zeros(10)) for number in range(size)}
    effect = stats.family(pairs)["0"].detectable
    # To be one of a family is to be judged at its level.
    found = [
        by_seed(draw, level=1 - 0.05 / size).verdict is Verdict.FOUND
        for draw in generator.normal(effect, 1, (2_000, 10))
    ]
    print(f"{size}: {np.mean(found):.2%} of {effect:.3f} standard deviations")
    assert np.mean(found) == pytest.approx(0.8, abs=0.03)


# --- Networks that learn nothing ------------------------------------------------------


def test_failures_are_counted_and_a_median_is_not_moved_by_them():
    healthy = np.array(ACCURACY)
    ill = healthy[::-1] - 0.002
    ill[[1, 5]] = 0.1
    counted = stats.failures(ill, below=0.2)
    assert counted[:2] == (2, 10) and counted.median == np.median(ill)
    assert (counted.low, counted.high) == stats.wilson_interval(2, 10)[1:3]
    assert stats.compare(healthy, ill).verdict is Verdict.NOT_DECIDED
    finding = stats.compare(healthy, ill, of="median")
    assert finding.verdict is Verdict.FOUND
    assert finding.difference == pytest.approx(0.002, abs=0.0005)
    # Sign test: 10 of 10 on one side; its interval: the second of ten from either end.
    assert finding.tests["sign test"].raw == 2 / 1024
    ordered = np.sort(healthy - ill)
    assert (finding.low, finding.high) == (ordered[1], ordered[-2])
    assert 0 < finding.detectable < 0.002
    failed = stats.mcnemar(healthy >= 0.2, ill >= 0.2)
    assert failed == (2, 0, 0.5)


@given(st.lists(st.integers(-2, 3), min_size=2, max_size=14))
@settings(deadline=None, max_examples=40)
def test_sign_test_is_scipys(differences):
    ours = by_seed(differences, of="median").tests["sign test"].raw
    theirs = reference.quantile_test(differences, q=0, p=0.5).pvalue
    assert ours == pytest.approx(theirs)


# --- What is no number never becomes a verdict ----------------------------------------

RIGHT = np.ones((10, 20), bool)
BAD = st.sampled_from([math.nan, math.inf, -math.inf])


@settings(deadline=None, max_examples=60)
@given(st.lists(shares, min_size=10, max_size=12), BAD, st.integers(0, 9))
def test_what_is_not_finite_is_refused_everywhere(values, bad, place):
    spoilt = list(values)
    spoilt[place] = bad
    calls = [
        lambda: stats.t_interval(spoilt),
        lambda: stats.prediction_interval(spoilt),
        lambda: stats.failures(spoilt, 0.2),
        lambda: stats.failures(values, bad),
        lambda: stats.wilson_interval(bad, 10),
        lambda: stats.wilson_interval(3, bad),
        lambda: stats.smallest_detectable_difference(bad, 10),
        lambda: stats.smallest_detectable_difference(1, bad),
        lambda: stats.smallest_detectable_share(bad, 10),
        lambda: stats.smallest_detectable_share(3, bad),
        lambda: stats.accuracy_interval([spoilt, values]),
        lambda: stats.compare(values, values, margin=bad),
        lambda: stats.compare([spoilt, values], [values, values], images="same"),
    ]
    for compare in (
        stats.paired_t,
        stats.mcnemar,
        stats.compare,
        lambda a, b: stats.compare(a, b, of="median"),
    ):
        calls += [
            lambda f=compare: f(spoilt, values),
            lambda f=compare: f(values, spoilt),
        ]
    for level in (bad, 0, 1, 95):
        calls += [
            lambda x=level: stats.t_interval(values, x),
            lambda x=level: stats.prediction_interval(values, x),
            lambda x=level: stats.wilson_interval(3, 10, x),
            lambda x=level: stats.paired_t(values, values, x),
            lambda x=level: stats.smallest_detectable_difference(1, 10, x),
            lambda x=level: stats.smallest_detectable_difference(1, 10, power=x),
            lambda x=level: stats.smallest_detectable_share(20, 100, x),
            lambda x=level: stats.smallest_detectable_share(20, 100, power=x),
            lambda x=level: stats.compare(values, values, level=x),
            lambda x=level: stats.accuracy_interval(RIGHT, x),
            lambda x=level: stats.failures(values, 0.2, x),
        ]
    for call in calls:
        with pytest.raises(ValueError):
            call()


@settings(deadline=None)
@given(st.integers(2, 9) | st.integers(-9, -1) | st.floats(0.01, 0.99))
def test_class_numbers_are_no_truth_values(answer):
    classes = RIGHT.astype(float)
    classes[3, 7] = answer
    for call in (
        lambda: stats.mcnemar(classes[3], RIGHT[3]),
        lambda: stats.mcnemar(RIGHT[3], classes[3]),
        lambda: stats.accuracy_interval(classes),
        lambda: stats.compare(classes, RIGHT, images="same"),
        lambda: stats.compare(RIGHT, classes, images="different"),
    ):
        with pytest.raises(ValueError, match="came in as a truth value: give 1 for"):
            call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: stats.family({}), "the family is empty"),
        (lambda: stats.compare([0.9], [0.8]), r"shape \(1,\) came in"),
        (lambda: stats.compare([0.9] * 3, [0.8] * 2), "3 values cannot be paired"),
        (lambda: stats.compare(RIGHT, RIGHT), "say whether both arms judge the same"),
        (lambda: stats.compare(RIGHT[0], RIGHT[0]), r"shape \(20,\) came in: give one"),
        (
            lambda: stats.compare(ACCURACY, ACCURACY, images="same"),
            r"\(seeds, images\)",
        ),
        (
            lambda: stats.compare(RIGHT, RIGHT[:, :9], images="same"),
            "200 values cannot be paired with 90",
        ),
        (
            lambda: stats.compare(RIGHT, RIGHT[:4], images="different"),
            "10 seeds cannot be paired with 4",
        ),
        (lambda: stats.compare(RIGHT[:1], RIGHT[:1], images="same"), "two of each"),
        (lambda: stats.accuracy_interval(RIGHT[:, :1]), "two of each"),
        (lambda: stats.compare(RIGHT, RIGHT, images="other"), "images='other'"),
        (lambda: stats.compare(ACCURACY, ACCURACY, of="mode"), "of='mode'"),
        (
            lambda: stats.compare(RIGHT, RIGHT, images="same", of="median"),
            "a median is over seeds alone",
        ),
        (lambda: stats.compare(ACCURACY, ACCURACY, margin=-0.1), "margin is -0.1"),
        (
            lambda: stats.family({"a": (RIGHT, RIGHT)}, images={"b": "same"}),
            r"images is given for \['b'\], which the family does not compare",
        ),
        (
            lambda: stats.family({"a": (ACCURACY, ACCURACY)}, margin={"a": 0}),
            "comparison 'a': margin is 0",
        ),
        (lambda: stats.compare(ACCURACY, ACCURACY, margin=0), "margin is 0"),
        (lambda: stats.mcnemar([], []), "give one row, one per image"),
        (lambda: stats.mcnemar(RIGHT, RIGHT), "give one row, one per image"),
        (lambda: stats.wilson_interval(2.5, 5), "give whole numbers"),
        (lambda: stats.smallest_detectable_share(11, 10), "11 discordant of 10"),
        (lambda: stats.smallest_detectable_difference(-1, 5), "deviation is -1"),
    ],
)
def test_what_makes_no_sense_is_refused_with_words(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_an_error_in_a_family_names_the_comparison():
    pairs = {"good": (ACCURACY, ACCURACY), "bad": (ACCURACY, ACCURACY[:3])}
    with pytest.raises(
        ValueError, match="comparison 'bad': 10 values cannot be paired"
    ):
        stats.family(pairs)
