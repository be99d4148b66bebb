"""Figures of chapter 1: the values handed in are the values drawn."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import same_color
from matplotlib.patches import Rectangle

from helpers.drawings import convolution as drawings


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def texts(axes):
    """Number written in each cell: (column, row) -> text."""
    return {
        (round(t.get_position()[0]), round(t.get_position()[1])): t.get_text()
        for t in axes.texts
    }


def frames(axes, number):
    """Corners of the frames in the style of a window."""
    colour, line = drawings.WINDOWS[number]
    return [
        tuple(round(x + 0.5) for x in patch.get_xy())
        for patch in axes.patches
        if isinstance(patch, Rectangle)
        and not patch.get_fill()
        and patch.get_linestyle() in (line, {"-": "solid", "--": "dashed"}[line])
        and patch.get_linewidth() == 2
        and same_color(patch.get_edgecolor(), colour)
    ]


def drawn(axes, name):
    """Points of the curve called `name`."""
    (line,) = (line for line in axes.lines if line.get_label() == name)
    return list(line.get_xdata()), list(line.get_ydata())


def test_numbers_stand_in_their_cells():
    _, axes = plt.subplots()
    drawings.numbers(axes, [[1, -2, 0.5], [3, np.nan, 5]])
    assert texts(axes) == {
        (0, 0): "1",
        (1, 0): "−2",
        (2, 0): "0.5",
        (0, 1): "3",
        (1, 1): "",
        (2, 1): "5",
    }


def test_only_the_shaded_cells_are_shaded():
    _, axes = plt.subplots()
    drawings.numbers(axes, np.zeros((3, 4)), shaded=drawings.window(1, 2, 2, 2))
    cells = [patch for patch in axes.patches if patch.get_fill()]
    shaded = {
        tuple(round(x + 0.5) for x in cell.get_xy())
        for cell in cells
        if not same_color(cell.get_facecolor(), "white")
    }
    assert len(cells) == 12 and shaded == {(2, 1), (3, 1), (2, 2), (3, 2)}


def test_sliding_frames_the_first_and_the_last_window():
    figure = drawings.sliding(
        np.arange(20).reshape(4, 5), np.ones((3, 2)), np.ones((2, 4))
    )
    image, kernel, output = figure.axes
    assert texts(image)[4, 3] == "19" and len(texts(kernel)) == 6
    assert frames(image, 0) == [(0, 0)] and frames(image, 1) == [(3, 1)]
    assert frames(output, 0) == [(0, 0)] and frames(output, 1) == [(3, 1)]


def test_positions_draws_the_taps_of_first_and_last_window():
    kinds = {"s": {"stride": 2}, "d": {"dilation": 2}, "P": {"padding": 1}}
    axes = drawings.positions(np.zeros((8, 8)), 3, kinds).axes
    strided, dilated, padded = axes[::2]
    assert frames(strided, 0)[-1] == (2, 2) and frames(strided, 1)[0] == (4, 4)
    assert frames(dilated, 0)[-1] == (4, 4) and frames(dilated, 1)[0] == (3, 3)
    assert frames(padded, 1)[-1] == (9, 9)
    assert [axis.get_title() for axis in axes[1::2]] == [
        "3 outputs",
        "4 outputs",
        "8 outputs",
    ]
    hatched = [[p for p in axis.patches if p.get_hatch()] for axis in axes[::2]]
    assert [len(patches) for patches in hatched] == [2, 0, 0]


def test_channels_shows_every_table():
    image = np.arange(27).reshape(3, 3, 3)
    kernel, output = np.arange(24).reshape(2, 3, 2, 2), np.arange(8).reshape(2, 2, 2)
    figure = drawings.channels(image, kernel, output)
    written = sorted(
        int(text.get_text())
        for axis in figure.axes
        for text in axis.texts
        if "c" not in text.get_text()
    )
    assert written == sorted([*range(27), *range(24), *range(8)])


def test_connections_join_what_reaches_what():
    reaches = np.array([[1, 0, 0], [0, 1, 1]])
    (axis,) = drawings.connections({"some": reaches}).axes
    joined = {
        tuple(line.get_ydata())
        for line in axis.lines
        if len(line.get_xdata()) == 2 and list(line.get_xdata()) == [0, 1]
    }
    assert joined == {(0, 0), (1, 1), (2, 1)}


def test_unfolded_writes_the_numbers_and_frames_their_windows():
    source = np.array([[1, 2, 4, 5], [2, 3, 5, 6], [4, 5, 7, 8], [5, 6, 8, 9]])
    left, right = drawings.unfolded(np.zeros((3, 3)), source).axes
    assert texts(right)[3, 0] == "5" and texts(right)[0, 3] == "5"
    assert texts(left)[2, 2] == "9"
    assert frames(left, 0) == [(0, 0)] and frames(left, 1) == [(1, 1)]


def test_matrices_colour_each_entry_of_the_kernel_apart():
    matrix = np.arange(10).reshape(1, 10)
    first, _ = drawings.matrices({"a": matrix, "b": matrix}).axes
    pixels = first.images[0].get_array()[0]
    assert same_color(pixels[0], "white")
    assert len({tuple(pixel) for pixel in pixels.tolist()}) == 10


def test_pooling_frames_a_window_and_its_value():
    values = np.arange(4).reshape(2, 2)
    image, pooled = drawings.pooling(np.arange(16).reshape(4, 4), {"max": values}).axes
    assert frames(image, 1) == [(2, 2)] and frames(pooled, 1) == [(1, 1)]
    assert texts(pooled)[1, 1] == "3"


def test_receptive_fields_colour_what_is_seen():
    layers = [np.array([0, 1, 1, 1, 0]), np.array([0, 1, 0])]
    (axis,) = drawings.receptive_fields({"a": layers}).axes
    seen = [not same_color(p.get_facecolor(), "white") for p in axis.patches]
    assert seen == [False, True, True, True, False, False, True, False]
    assert [text.get_text() for text in axis.texts] == ["input: 3", "layer 1: 1"]


def test_shifted_digit_marks_the_largest_and_draws_the_shares():
    image, scores, answers = np.zeros((4, 4)), [0, 0.2, 0.9], np.zeros((3, 3))
    answers[2, 1] = 1
    shares = {"fully connected": [0.9, 0.5], "shared kernels": [0.8, 0.8]}
    figure = drawings.shifted_digit(
        [image, image], [scores, scores], [answers, answers], shares
    )
    bars, rings, curve = figure.axes[1], figure.axes[2], figure.axes[-1]
    colours = [bar.get_facecolor() for bar in bars.patches]
    assert same_color(colours[2], drawings.KERNEL)
    assert not same_color(colours[1], drawings.KERNEL)
    assert [list(d) for d in rings.lines[0].get_data()] == [[1], [2]]
    assert drawn(curve, "fully connected") == ([0, 1], [90, 50])


def spread(low, median, high):
    return SimpleNamespace(low=low, median=median, high=high)


def test_relative_times_stand_at_their_medians():
    ways = {
        "a": {"x": spread(1, 2, 4), "y": spread(3, 5, 6)},
        "b": {"y": spread(7, 8, 9)},
    }
    axes = drawings.relative_times(
        ["x", "y"], {"forward": ways}, {"a": "A", "b": "B"}
    ).axes
    medians = [list(c.lines[0].get_xdata()) for c in axes[0].containers]
    rows = [[round(y) for y in c.lines[0].get_ydata()] for c in axes[0].containers]
    assert medians == [[2, 5], [8]] and rows == [[0, 1], [1]]
    segments = axes[0].containers[0].lines[2][0].get_segments()
    assert [list(segment[:, 0]) for segment in segments] == [[1, 4], [3, 6]]


def test_growth_draws_milliseconds():
    found = SimpleNamespace(values=(1, 2), medians={"w": [0.001, 0.003]})
    figure = drawings.growth(("size", "channels"), (found, found), {"w": "a way"})
    assert drawn(figure.axes[1], "a way") == ([1, 2], [1, 3])


def test_cells_shades_the_first_cell_in_both():
    before = np.arange(16).reshape(4, 4)
    after = np.stack([before[i::2, j::2] for i in (0, 1) for j in (0, 1)])
    left, *rest = drawings.cells(before, after).axes
    shaded = [
        p
        for p in left.patches
        if p.get_fill() and not same_color(p.get_facecolor(), "white")
    ]
    assert len(shaded) == 4 and len(rest) == 4
    assert [texts(axis)[0, 0] for axis in rest] == ["0", "1", "4", "5"]
