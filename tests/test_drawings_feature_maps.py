"""The figures of chapter 6 show the values that they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from helpers.drawings import feature_maps as drawings
from helpers.figures import use_house_style
from helpers.stats import Interval

rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def house_style():
    with plt.rc_context():
        use_house_style()
        yield
    plt.close("all")


def labels(axes):
    return [tick.get_text() for tick in axes]


def test_samples_are_laid_side_by_side():
    images = rng.random((3, 3, 4, 4, 3))
    axes = drawings.samples(images, ["cat", "dog", "ship"]).axes
    assert [each.get_ylabel() for each in axes] == ["cat", "ship", "dog", ""]
    strip = axes[0].images[0].get_array()
    np.testing.assert_array_equal(strip[:, 4:8], images[0, 1])


def test_learning_draws_the_means_over_seeds():
    curves = {
        (quantity, split): rng.random((3, 5))
        for quantity in ("loss", "accuracy")
        for split in ("train", "validation")
    }
    figure = drawings.learning({"plain": curves, "better": curves})
    loss, _, accuracy, _ = figure.axes
    for axes, quantity in ((loss, "loss"), (accuracy, "accuracy")):
        dashed, solid = axes.lines
        np.testing.assert_allclose(
            dashed.get_ydata(), curves[quantity, "train"].mean(0)
        )
        np.testing.assert_allclose(
            solid.get_ydata(), curves[quantity, "validation"].mean(0)
        )


def test_fields_of_view_are_framed_where_they_are():
    seen = np.zeros((32, 32))
    seen[10:15, 12:17] = 1
    figure = drawings.fields_of_view(
        np.zeros((32, 32, 3)), {"pooling 1": seen}, {"pooling 1": (5, 2)}
    )
    (frame,) = figure.axes[1].patches
    assert frame.get_xy() == (11.5, 9.5)
    assert (frame.get_width(), frame.get_height()) == (5, 5)


def test_maps_have_their_own_scale_left_and_one_scale_right():
    values = np.array([[[[0.0, 1], [2, 3]], [[-6, -4], [-2, 0]], [[1, 1], [1, 1]]]])
    figure = drawings.maps(
        np.zeros((1, 4, 4, 3)), ["cat"], {"convolution 1": values}, 3
    )
    drawn = [axes for axes in figure.axes if axes.images][1:]
    assert len(drawn) == 6
    own = [axes.images[0].get_clim() for axes in drawn[:2]]
    assert own == [(0, 3), (-6, 0)]
    assert {axes.images[0].get_clim() for axes in drawn[3:]} == {(-6, 6)}
    np.testing.assert_array_equal(drawn[4].images[0].get_array(), values[0, 1])
    assert (drawn[2].images[0].get_array() == 1).all()  # constant: an empty frame


def test_shifts_draw_errors_and_mean_shares():
    stays = np.array([[1, 0.9], [1, 0.7]])
    left, right = drawings.shifts(
        [0, 1], {"pooling 1": [0, 0.5]}, {"pooling 1": 2}, [0, 4], {"plain": stays}
    ).axes
    assert left.lines[0].get_ydata().tolist() == [0, 0.5]
    assert left.lines[0].get_label() == "pooling 1, step 2"
    assert right.lines[0].get_xdata().tolist() == [0, 4]
    np.testing.assert_allclose(right.lines[0].get_ydata(), [1, 0.8])


def test_strengths_show_every_value_and_the_median():
    (axes,) = drawings.strengths({"a": [[0.1, 0.4], [0.2, 0.2]], "b": [0.3]}, "x").axes
    rings, bar = axes.lines[:2]
    assert sorted(rings.get_xdata()) == [0.1, 0.2, 0.2, 0.4]
    assert bar.get_xdata() == [0.2]
    assert labels(axes.get_yticklabels()) == ["a", "b"]


def test_patches_stand_in_columns_from_top_to_bottom():
    strips = {f"1.{n}": rng.random((2, 5, 5, 3)) for n in range(3)}
    figure = drawings.patches(strips, 2, 1.0)
    names = [axes.get_ylabel() for axes in figure.axes]
    assert names == ["1.0", "1.2", "1.1", ""]
    strip = figure.axes[0].images[0].get_array()
    assert strip.shape == (5, 11, 3)
    np.testing.assert_array_equal(strip[:, 6:], strips["1.0"][1])


def test_silenced_is_symmetric_about_zero():
    changes = np.array([[-5.0, 1], [2, 0], [-1, 0.5]])
    axes, _ = drawings.silenced(changes, ["1.1", "2.1"], ["cat", "dog", "all"], 1).axes
    assert axes.images[0].get_clim() == (-5, 5)
    np.testing.assert_array_equal(axes.images[0].get_array(), changes)
    assert axes.lines[0].get_xdata()[0] == 0.5 and axes.lines[1].get_ydata()[0] == 1.5


def test_looked_at_says_which_maps_are_empty():
    maps = np.stack([np.zeros((4, 4)), np.eye(4)])
    figure = drawings.looked_at(rng.random((2, 4, 4, 3)), ["cat", "dog"], {"map": maps})
    empty, full = figure.axes[2:]
    assert [text.get_text() for text in empty.texts] == ["empty"]
    assert not full.texts
    np.testing.assert_array_equal(full.images[1].get_array(), maps[1])


def test_covered_draws_shares_and_their_intervals():
    changed = {
        "bright": ([0.2, 0.4], Interval(0.3, 0.1, 0.5, 2)),
        "dark": ([0.1, 0.1], Interval(0.1, 0.05, 0.2, 2)),
    }
    (axes,) = drawings.covered(changed).axes
    assert [bars.lines[0].get_xdata()[0] for bars in axes.containers] == [0.3, 0.1]
    assert sorted(axes.lines[0].get_xdata()) == [0.2, 0.4]
    assert labels(axes.get_yticklabels()) == ["bright", "dark"]
