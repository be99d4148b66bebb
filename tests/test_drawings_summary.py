"""The figure of chapter 0: what is handed in is what is drawn."""

import matplotlib.pyplot as plt
import pytest

from helpers.drawings import summary
from helpers.stats import Interval

ROWS = [
    ("digits", "plain", Interval(0.99, 0.985, 0.995, 2), [0.989, 0.991]),
    ("digits", "perfect", Interval(1.0, 0.998, 1.0, 2), [1.0, 1.0]),
    ("photographs", "best", Interval(0.7, 0.68, 0.72, 3), [0.69, 0.70, 0.71]),
]


@pytest.fixture
def axes():
    figure = summary.results(ROWS)
    yield figure.axes[0]
    plt.close(figure)


def at(axes, place, marker):
    """x of what is drawn in this row with this marker."""
    lines = [line for line in axes.lines if line.get_marker() == marker]
    return [line.get_xdata() for line in lines if {*line.get_ydata()} == {place}]


def test_every_result_stands_below_the_name_of_its_data(axes):
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["digits", "plain", "perfect", "photographs", "best"]
    weights = [label.get_fontweight() for label in axes.get_yticklabels()]
    assert [labels[i] for i, weight in enumerate(weights) if weight == "bold"] == [
        "digits",
        "photographs",
    ]


def test_mean_seeds_and_interval_are_errors_in_the_row_of_their_result(axes):
    (mean,), (seeds,) = at(axes, 4, "o"), at(axes, 4, "|")
    assert list(mean) == pytest.approx([0.3])
    assert list(seeds) == pytest.approx([0.31, 0.30, 0.29])
    (interval,) = at(axes, 1, "None")
    assert sorted(interval) == pytest.approx([0.005, 0.015])


def test_no_errors_at_all_stay_on_the_logarithmic_axis(axes):
    (mean,) = at(axes, 2, "o")
    assert list(mean) == [summary.LEAST]


def test_right_is_better_and_the_first_row_is_on_top(axes):
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    assert left > right and bottom > top
