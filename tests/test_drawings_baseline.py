"""The figures of chapter 3: what is handed in is what is drawn."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from helpers import figures
from helpers.drawings import baseline as drawings
from helpers.models import FixedNet, shape_trace

TWO_SEEDS = np.array([[0.5, 0.3, 0.2], [0.7, 0.5, 0.2]])


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def lines(axes, **wanted):
    """x and y of the lines whose properties are those wanted, in order of drawing."""
    return [
        (list(line.get_xdata()), list(line.get_ydata()))
        for line in axes.lines
        if all(getattr(line, f"get_{name}")() == x for name, x in wanted.items())
    ]


def test_a_grid_of_digits_has_one_scale():
    figure = drawings.grid_of_digits(np.arange(6).reshape(2, 3))
    (image,) = figure.axes[0].images
    assert image.get_clim() == (0, 255)
    assert np.asarray(image.get_array()).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_one_loss_draws_each_way_over_the_batch_sizes():
    reported = {"right": {1: 0.5, 16: 0.5}, "wrong": {1: 0.5, 16: 0.03125}}
    (axes,) = drawings.one_loss(reported).axes
    assert lines(axes, label="right") == [([1, 16], [0.5, 0.5])]
    assert lines(axes, label="wrong") == [([1, 16], [0.5, 0.03125])]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "16"]


def test_learning_ends_the_moving_average_where_the_stretches_end():
    figure = drawings.learning(
        {"training": TWO_SEEDS},
        {"validation": 1 - TWO_SEEDS},
        seen=[10, 20, 30],
        stretches=TWO_SEEDS,
        moving=TWO_SEEDS[:, :2],
    )
    left, middle, right = figure.axes
    assert lines(left, label="training")[0][1] == pytest.approx([0.6, 0.4, 0.2])
    assert lines(middle, label="validation")[0][1] == pytest.approx([0.4, 0.6, 0.8])
    assert lines(right, label="one seed") == [([10, 20, 30], [0.5, 0.3, 0.2])]
    assert lines(right, label="its moving average") == [([20, 30], [0.5, 0.3])]


def test_rates_draws_networks_and_their_median():
    losses = {1e-2: TWO_SEEDS, 1e-3: TWO_SEEDS / 10}
    wrong = {1e-2: [0.9, 0.1, 0.2], 1e-3: [0.02, 0.03, 0.04]}
    left, right = drawings.rates(losses, wrong).axes
    assert len(left.lines) == 2 * (len(TWO_SEEDS) + 1)
    medians = lines(left, marker=figures.MARKERS[1])
    assert medians == [([1, 2, 3], pytest.approx([0.06, 0.04, 0.02]))]
    assert [text.get_text() for text in left.texts] == ["0.01", "0.001"]
    assert [ring[1] for ring in lines(right, markersize=3)] == [*wrong.values()]
    assert [y for _, y in lines(right, markersize=6)] == [[0.2], [0.03]]


def test_losses_by_size_has_a_panel_per_title():
    panels = {"5 epochs": {2: TWO_SEEDS, 4: TWO_SEEDS}, "8 epochs": {16: TWO_SEEDS}}
    left, right = drawings.losses_by_size(panels).axes
    assert [axis.get_title() for axis in (left, right)] == ["5 epochs", "8 epochs"]
    assert len(lines(left)) == 2 and len(lines(right)) == 1
    assert lines(right, label="batches of 16")[0][1] == pytest.approx([0.6, 0.4, 0.2])


def test_mistakes_marks_those_that_are_marked():
    images = [np.full((2, 2), shade) for shade in range(15)]
    titles = [f"{n}→0 99" for n in range(15)]
    figure = drawings.mistakes(images, titles, [n == 14 for n in range(15)])
    drawn = [axis for axis in figure.axes if axis.images]
    assert [axis.get_title() for axis in drawn] == titles
    assert [axis.images[0].get_array()[0, 0] for axis in drawn] == [*range(15)]
    bold = [axis.title.get_weight() == "bold" for axis in drawn]
    assert bold == [False] * 14 + [True]


def test_confusion_keeps_the_diagonal_out_of_the_scale():
    figure = drawings.confusion([[98, 2], [0, 50]])
    axes, bar = figure.axes
    assert bar.get_ylim() == (0, 2)
    assert sorted(text.get_text() for text in axes.texts) == ["100.0%", "2", "98.0%"]


def test_calibration_leaves_out_bins_with_few_answers():
    tables = {"plain": [(5, 0.3, 0.4), (40, 0.6, 0.5), (60, 0.95, 0.9)]}
    stated = {"plain": np.linspace(0.01, 0.99, 30)}
    left, right = drawings.reliability(tables, stated, np.linspace(0, 1, 11), 20).axes
    assert ([0.6, 0.95], [0.5, 0.9]) in lines(left)
    assert sum(patch.get_xy()[:, 1].max() for patch in right.patches) == 3


def test_two_rates_draws_every_network_while_it_trains():
    wrong = {1e-2: [0.1, 0.2], 1e-3: [0.02, 0.04]}
    left, right = drawings.two_rates({1e-2: TWO_SEEDS, 1e-3: TWO_SEEDS}, wrong).axes
    assert [y for _, y in lines(left)] == [*TWO_SEEDS.tolist(), *TWO_SEEDS.tolist()]
    assert [text.get_text() for text in left.get_legend().texts] == ["0.01", "0.001"]
    assert [y[0] for _, y in lines(right, markersize=6)] == pytest.approx([0.15, 0.03])


@pytest.mark.parametrize("rate, spoken", [(0.01, "0.01"), (1e-5, "0.00001")])
def test_rates_are_spoken_without_exponents(rate, spoken):
    assert drawings.decimal(rate) == spoken


def test_layer_rows_tell_how_the_parameters_are_counted():
    network = FixedNet()
    rows = drawings.layer_rows(network, shape_trace(network, (1, 1, 28, 28)))
    assert rows[0][1:] == ["16 × 28 × 28", "16 (1·3·3 + 1)", "160"]
    assert rows[0][0].endswith(", ReLU") and len(rows[0]) == len(drawings.LAYER_COLUMNS)
    assert rows[-2][1:] == ["10", "10 (576 + 1)", "5,770"]
    assert rows[-1][-1] == "**29,066**"
