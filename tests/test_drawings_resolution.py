"""The figures of chapter 5: what is handed in is what is drawn, and where."""

import numpy as np
import pytest
from matplotlib import pyplot as plt

from helpers.drawings import resolution as drawings
from helpers.stats import Interval


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def line(axes, label):
    (found,) = [line for line in axes.lines if line.get_label() == label]
    return [np.asarray(values, dtype=float).tolist() for values in found.get_data()]


def pixels(axes):
    (image,) = axes.images
    assert image.get_clim() == (0, 255)
    return np.asarray(image.get_array())


def test_sample_grids_hold_every_image_in_order():
    tiles = {side: np.zeros((4, side, side), int) for side in (3, 5)}
    for images in tiles.values():
        images += np.arange(4)[:, None, None]
    figure = drawings.sample_grids(tiles, columns=2)
    for axes, side in zip(figure.axes, tiles, strict=True):
        assert axes.get_title() == f"{side} × {side}"
        grid = pixels(axes)
        assert grid.shape == (2 * (side + 2), 2 * (side + 2))
        middles = grid[1 + side // 2 :: side + 2, 1 + side // 2 :: side + 2]
        assert middles.tolist() == [[0, 1], [2, 3]]


def test_before_and_after_stand_side_by_side_on_one_line():
    pair = (np.full((6, 6), 7), np.full((2, 2), 9))
    figure = drawings.before_after({6: [pair], 4: [(np.full((4, 4), 5), pair[1])]})
    drawn = pixels(figure.axes[0])
    assert (drawn == 7).sum() == 36 and (drawn == 9).sum() == 4
    assert set(np.argwhere(drawn == 9)[:, 0]) == {5, 6}  # at the bottom, above a frame
    assert [axes.get_ylabel() for axes in figure.axes] == ["6 px", "4 px"]


def test_scale_cue_draws_the_row_that_varies_most():
    image = np.zeros((4, 4))
    image[2] = [0, 9, 0, 9]
    figure = drawings.scale_cue({32: image}, {32: 2 * image})
    profiles = [axes for axes in figure.axes if axes.lines]
    assert [line(axes, "32 px")[1] for axes in profiles] == [
        [0, 9, 0, 9],
        [0, 18, 0, 18],
    ]


def test_pooling_curves_show_errors_beside_losses():
    values = np.array([[0.5, 0.25], [0.5, 0.25]])
    names = ("train_loss", "validation_loss", "train_accuracy", "validation_accuracy")
    figure = drawings.pooling_curves({"max": dict.fromkeys(names, values)})
    assert line(figure.axes[0], "max, training")[1] == [0.5, 0.25]
    assert line(figure.axes[1], "max, validation")[1] == [0.5, 0.75]


def test_canvas_changes_and_lengths_keep_to_their_panels():
    figure = drawings.canvas_changes((32, 64), {"max": [1, 2]}, {"max": [3, 4]})
    assert [line(axes, "max") for axes in figure.axes] == [
        [[32, 64], [1, 2]],
        [[32, 64], [3, 4]],
    ]


def test_arms_stand_from_top_to_bottom_at_their_means():
    values = {"a": [0.9, 0.92], "b": [0.8, 0.8]}
    intervals = {"a": Interval(0.91, 0.85, 0.97, 2), "b": Interval(0.8, 0.7, 0.9, 2)}
    (axes,) = drawings.arms(values, intervals, "accuracy").axes
    means = [c.lines[0] for c in axes.containers]
    assert [one.get_xdata()[0] for one in means] == [0.91, 0.8]
    assert [one.get_ydata()[0] for one in means] == [0, -1]
    ends = [c.lines[2][0].get_segments()[0][:, 0].tolist() for c in axes.containers]
    assert ends == [pytest.approx([0.85, 0.97]), pytest.approx([0.7, 0.9])]


def test_causes_are_errors_and_colours_tell_the_networks():
    values = {"fixed, both": [0.9, 0.8], "variable, both": [0.95, 0.95]}
    (axes,) = drawings.causes(values).axes
    means = [c.lines[0] for c in axes.containers]
    assert [one.get_xdata()[0] for one in means] == pytest.approx([0.15, 0.05])
    assert means[0].get_color() != means[1].get_color()
    assert [label.get_text() for label in axes.get_yticklabels()] == list(values)


def test_unseen_sizes_have_a_panel_per_way_and_a_line_per_trained_side():
    found = {"variable": [[0.9, 0.8], [0.5, 0.7]]}
    figure = drawings.unseen_sizes((28, 96), {"padded": found, "scaled": found}, [32])
    for axes, label in zip(figure.axes, ("padded", "scaled"), strict=True):
        assert axes.get_xlabel() == label
        assert line(axes, "variable") == [[28, 96], pytest.approx([0.85, 0.6])]
        assert [one.get_xdata()[0] for one in axes.lines[1:]] == [32]
