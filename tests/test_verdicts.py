"""Claims of the sources: the rule by which they are judged, and their table."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import claims, stats, text, verdicts
from helpers.claims import Claim

TEN = np.linspace(0.97, 0.98, 10)


@pytest.fixture
def shown(monkeypatch):
    tables = []
    monkeypatch.setattr(text, "table", lambda *content: tables.append(content))
    return tables


def judge(monkeypatch, *entries):
    listed = tuple(
        Claim(topic="t", source="s", says="so", **entry) for entry in entries
    )
    monkeypatch.setattr(claims, "claims", lambda: listed)
    return verdicts.Judge("t")


@pytest.mark.parametrize(
    ("shift", "margin", "verdict"),
    [
        (0.01, None, verdicts.HOLDS),
        (-0.01, None, verdicts.FAILS),
        (0.0, None, verdicts.OPEN),
        (0.01, 0.001, verdicts.FAILS),
        (0.0, 0.01, verdicts.HOLDS),
    ],
)
def test_a_direction_holds_when_it_is_found_and_likeness_within_its_margin(
    shift, margin, verdict
):
    noise = np.random.default_rng(0).normal(0, 0.001, 10)
    finding = stats.compare(TEN + shift + noise - noise.mean(), TEN, margin=margin)
    assert verdicts.of_finding(finding) == verdict


@pytest.mark.parametrize(
    ("n", "value", "own", "verdict"),
    [
        (10, 0.975, False, verdicts.HOLDS),
        (10, 0.90, False, verdicts.FAILS),
        (10, 0.90, True, verdicts.LOST),
        (9, 0.90, False, verdicts.OPEN),
        (9, 0.90, True, verdicts.LOST),
        (9, 0.975, True, verdicts.OPEN),
    ],
)
def test_an_amount_is_judged_by_where_one_more_run_is_expected(n, value, own, verdict):
    expected = verdicts.one_more(TEN[:n])
    assert verdicts.of_amount(expected, value, own) == verdict


def test_other_images_widen_the_range_by_their_sampling():
    ours, theirs = verdicts.one_more(TEN), verdicts.one_more(TEN, other_images=100)
    assert ours == stats.prediction_interval(TEN)
    assert theirs.mean == ours.mean
    widened = (theirs.high - theirs.mean) ** 2 - (ours.high - ours.mean) ** 2
    quantile = (ours.high - ours.mean) / np.sqrt(TEN.var(ddof=1) * 1.1)
    assert widened == pytest.approx(quantile**2 * 2 * ours.mean * (1 - ours.mean) / 100)


def test_all_claims_of_a_topic_stand_in_one_table_as_one_family(monkeypatch, shown):
    judge_ = judge(
        monkeypatch,
        {"id": "told", "measured": "elsewhere", "verdict": "a trap"},
        {"id": "up", "measured": "a − b"},
        {"id": "down"},
        {"id": "lost"},
        {"id": "open"},
        {"id": "much", "reported": 0.5},
        {"id": "count"},
    )
    judge_.direction("up", TEN + np.linspace(0.01, 0.02, 10), TEN)
    judge_.direction("down", TEN, TEN + np.linspace(0.01, 0.02, 10))
    judge_.direction("lost", TEN, TEN - 0.8 + TEN, "not reproduced")
    judge_.direction("open", TEN, TEN[::-1])
    judge_.amount("much", TEN, own_settings=True)
    judge_.computed("count", "29,066", True)
    assert judge_.table("key", "Caption.") == {
        "told": "a trap",
        "up": "holds",
        "down": "does not hold",
        "lost": "not reproduced",
        "open": "not decided",
        "much": "not reproduced",
        "count": "holds",
    }
    ((key, caption, header, rows),) = shown
    assert key == "key" and len(rows) == 7 and len(header) == len(rows[0])
    assert "times 4" in caption and "over 1 amount" in caption
    assert rows[0][1:] == ["elsewhere", "**a trap**"]
    assert rows[1][1].startswith("a − b: +1.50 (+") and "n = 10; p " in rows[1][1]
    assert "would have been found" in rows[4][1]
    assert "would have been found" not in rows[1][1]


def test_a_claim_that_was_not_judged_or_is_not_listed_is_refused(monkeypatch, shown):
    forgotten = judge(monkeypatch, {"id": "one"})
    with pytest.raises(ValueError, match="one"):
        forgotten.table("key", "Caption.")
    forgotten.computed("one", "1", True)
    forgotten.computed("other", "2", True)
    with pytest.raises(ValueError, match="other"):
        forgotten.table("key", "Caption.")
    assert not shown


def test_an_amount_that_the_source_does_not_report_is_refused(monkeypatch, shown):
    judge_ = judge(monkeypatch, {"id": "much"})
    judge_.amount("much", TEN)
    with pytest.raises(ValueError, match="much does not say"):
        judge_.table("key", "Caption.")
    assert not shown


def test_runs_are_paired_by_their_seeds():
    a, b = ([{"seed": seed} for seed in seeds] for seeds in ((0, 1, 2), (1, 2, 3)))
    seeds = verdicts.paired(lambda part: [one["seed"] for one in part], a, b)
    assert seeds == [[1, 2], [1, 2]]


def test_recorded_runs_are_found_by_their_settings(monkeypatch):
    records = [
        {"config": {"batch_size": 2}, "seed": 1, "final": "old"},
        {"config": {"batch_size": 2}, "seed": 1, "final": "new"},
        {"config": {"batch_size": 2}, "seed": 0, "final": "zero"},
        {"config": {"batch_size": 4}, "seed": 0, "final": "other"},
    ]
    monkeypatch.setattr(verdicts, "_records", lambda: records)
    found = verdicts.trained(verdicts.Config(batch_size=4), batch_size=2)
    assert [record["final"] for record in found] == ["zero", "new"]


@given(
    st.lists(
        st.sampled_from(
            [
                *(verdicts.HOLDS, verdicts.FAILS, verdicts.OPEN),
                *(verdicts.LOST, verdicts.UNTESTED, "a trap", "holds for 28"),
                verdicts.OPEN + verdicts.WORTH_A_LOOK,
            ]
        )
    )
)
def test_every_verdict_is_counted_once(given_verdicts):
    counts = verdicts.counted(given_verdicts)
    assert sum(counts.values()) == len(given_verdicts)
    begins = sum(verdict.startswith(verdicts.OPEN) for verdict in given_verdicts)
    assert counts[verdicts.OPEN] == begins
    assert counts[verdicts.HOLDS] == given_verdicts.count(verdicts.HOLDS)


@pytest.mark.parametrize("n", [9, 10])
def test_a_row_of_too_few_seeds_says_so(monkeypatch, shown, n):
    judge_ = judge(monkeypatch, {"id": "up"}, {"id": "much", "reported": 0.5})
    judge_.direction("up", TEN[:n] + 0.01, TEN[:n])
    judge_.amount("much", TEN[:n])
    judge_.table("key", "Caption.")
    ((_, _, _, rows),) = shown
    for _, measured, _ in rows:
        assert ("too few to decide" in measured) == (n < stats.SEEDS_FOR_A_VERDICT)
