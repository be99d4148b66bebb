"""The figures of chapter 4: what is handed in is what is drawn."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from helpers import figures
from helpers.drawings import augmentation as drawings
from helpers.stats import Interval

IMAGES = [np.full((4, 4), shade) for shade in (0.0, 0.25, 0.5, 1.0)]


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def pixels(axes):
    (shown,) = axes.images
    return np.asarray(shown.get_array())


def interval(mean):
    return Interval(mean, mean - 0.01, mean + 0.02, 5)


def squares(axes, fmt):
    """x and y of every single marker of this kind, in the order of drawing."""
    found = [line for line in axes.lines if line.get_marker() == fmt]
    return [(line.get_xdata()[0], line.get_ydata()[0]) for line in found]


def test_strengths_shows_the_original_above_every_path():
    paths = {
        "turn": {10: IMAGES[1], 20: IMAGES[2]},
        "shift": {1: IMAGES[3], 2.5: IMAGES[0]},
    }
    figure = drawings.strengths(IMAGES[0], paths)
    axes = np.reshape(figure.axes, (3, 2))
    shades = [[pixels(axis)[0, 0] for axis in row] for row in axes]
    assert shades == [[0, 0], [0.25, 1], [0.5, 0]]
    assert [axis.get_title() for axis in axes[0]] == ["turn", "shift"]
    assert [axis.get_xlabel() for axis in axes[2]] == ["20", "2.5"]


def test_rows_of_digits_sets_the_images_side_by_side_in_one_scale():
    figure = drawings.rows_of_digits({"as is": IMAGES[:2], "changed": IMAGES[2:]}, 0.5)
    assert [axis.get_ylabel() for axis in figure.axes] == ["as is", "changed"]
    assert pixels(figure.axes[1])[0].tolist() == [0.5] * 4 + [1.0] * 4
    assert {axis.images[0].get_clim() for axis in figure.axes} == {(0, 1)}


def test_two_ways_to_turn_names_each_image():
    figure = drawings.two_ways_to_turn({"a": IMAGES[1], "b": IMAGES[3]})
    assert [axis.get_title() for axis in figure.axes] == ["a", "b"]
    assert pixels(figure.axes[1]).mean() == 1


def test_by_policy_puts_the_first_on_top_and_marks_the_chosen():
    values = {"none": [0.9, 0.92], "turn": [0.95, 0.97]}
    figure = drawings.by_policy(
        values, "accuracy", draws={"turn": [0.8, 0.85]}, chosen="turn", line=0.91
    )
    (axes,) = figure.axes
    bottom, top = axes.get_ylim()
    assert bottom > top
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["none", "turn (chosen)"]
    assert squares(axes, figures.MARKERS[1]) == [(pytest.approx(0.96), 1)]
    strokes = [line.get_xdata() for line in axes.lines if line.get_color() == "black"]
    assert [0.8, 0.85] in [list(x) for x in strokes]
    assert [0.91, 0.91] in [list(x) for x in strokes]


def test_by_policy_draws_the_interval_that_it_is_given():
    wide = {"none": interval(0.5)}
    figure = drawings.by_policy({"none": [0.4, 0.6]}, "accuracy", intervals=wide)
    bars = figure.axes[0].collections[0].get_segments()
    assert np.allclose(bars[0][:, 0], [0.49, 0.52])


def test_flips_shows_each_flip_beside_its_shares():
    rows = {"as it is": IMAGES, "mirrored": IMAGES[::-1]}
    right = {"mirrored": [0.5] * 4, "as it is": [1, 0.99, 0.5, 0.25]}
    figure = drawings.flips(rows, right)
    left, table = figure.axes
    assert pixels(left).shape == (8, 16) and pixels(left)[4, 0] == 1
    assert [text.get_text() for text in table.texts] == (
        ["100", "99", "50", "25"] + ["50"] * 4
    )


def test_training_curves_are_in_the_panel_of_their_name():
    training = {"none": np.full((3, 2), 0.1), "turn": np.full((3, 2), 0.2)}
    validation = {"none": np.full((3, 2), 0.03), "turn": np.full((3, 2), 0.04)}
    figure = drawings.training_curves(training, validation)
    left, right = figure.axes
    assert [line.get_ydata()[0] for line in left.lines] == pytest.approx([0.1, 0.2])
    assert [line.get_ydata()[0] for line in right.lines] == pytest.approx([0.03, 0.04])
    assert left.get_ylabel() == "training errors"


@pytest.mark.parametrize("least", [0.0001, 0.0004, 0.003, 0.05])
def test_training_curves_label_each_tick_with_its_own_value(least):
    curves = {"none": np.tile(np.geomspace(least, 0.4, 6), (3, 1))}
    figure = drawings.training_curves(curves, curves)
    figure.canvas.draw()
    ticks = [
        (place, float(label.get_text().removesuffix("%")) / 100)
        for axis in (figure.axes[0].yaxis, figure.axes[1].yaxis)
        for place, label in zip(
            axis.get_majorticklocs(), axis.get_majorticklabels(), strict=True
        )
    ]
    assert ticks and [place for place, _ in ticks] == pytest.approx(
        [labelled for _, labelled in ticks]
    )


def test_robustness_has_a_panel_for_every_change_and_bands_up_to_one():
    changes = ("shift", "turn", "zoom")
    all_right, half = np.ones((3, 40)), np.tile([0, 1], (3, 20))
    measured = {
        name: {change: {2: worst, 0: all_right} for change in changes}
        for name, worst in {"without": half, "with": all_right}.items()
    }
    figure = drawings.robustness(measured)
    assert [axes.get_xlabel() for axes in figure.axes] == [*changes]
    for axes in figure.axes:
        drawn = [list(line.get_ydata()) for line in axes.lines[:2]]
        assert drawn == [[1, 0.5], [1, 1]]
        assert list(axes.lines[0].get_xdata()) == [0, 2]
        heights = [band.get_paths()[0].vertices[:, 1] for band in axes.collections]
        assert max(map(max, heights)) == 1 and min(heights[0]) < 0.4
