"""The figures of chapter 2 show the values that they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.patches import FancyArrowPatch

from helpers.drawings import backward as drawings
from helpers.figures import use_house_style

rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def house_style():
    with plt.rc_context():
        use_house_style()
        yield
    plt.close("all")


def words(axes):
    return [text.get_text() for text in axes.texts]


def test_arrows_of_one_tap_and_of_one_pixel_stand_out():
    x, k, y = [1, 2, 3, 4, 5], [7, 8], [0, 1, 0, 6]
    tap, pixel = drawings.arrows(x, k, y, tap=1, pixel=4).axes
    for axes, marked in ((tap, 4), (pixel, 1)):
        arrows = [p for p in axes.patches if isinstance(p, FancyArrowPatch)]
        orange = to_rgba(drawings.KERNEL)
        assert len(arrows) == len(y) * len(k)
        assert [a.get_edgecolor() for a in arrows].count(orange) == marked
    assert words(tap).count("$k_1$") == 4 and "$k_0$" not in words(tap)
    assert words(pixel).count("$k_1$") == 1 and "$k_0$" not in words(pixel)
    assert {"$x_4$", "$y_3$", "5", "6"} <= {*words(tap)}


def test_products_show_matrix_vector_and_result():
    matrix, vector = np.array([[1, 0, 3], [0, -2, 5]]), np.array([4, 6, 7])
    panel = ("title", matrix, vector, "input", "output")
    left, right = drawings.products([panel, panel], dense=[1]).axes
    numbers = [word for word in words(left) if word and word != "="]
    assert numbers == ["1", "3", "−2", "5", "4", "6", "7", "25", "23"]
    assert words(right).count("0") == words(left).count("0") + 2 == 2
    assert left.get_title() == "title"


def test_the_graph_shows_all_equations_at_dashed_arrows():
    edges = dict.fromkeys(("XU", "UP", "PY", "YL", "KW", "WP"))
    equations = {edge: f"equation {edge}" for edge in edges}
    (axes,) = drawings.computation_graph(equations).axes
    assert {*equations.values()} <= {*words(axes)}
    dashed = [p for p in axes.patches if p.get_linestyle() == "--"]
    assert len(dashed) == len(edges) and len(axes.patches) == 2 * len(edges)


def test_copies_are_written_into_the_pixels():
    counts = rng.integers(0, 3, (4, 5))
    axes = drawings.copy_counts({"first": counts, "second": counts.T}).axes
    for axis, expected in zip(axes, (counts, counts.T), strict=True):
        assert words(axis) == [str(n) for n in expected.flatten()]
        bold = [text.get_weight() == "bold" for text in axis.texts]
        assert bold == [n == 0 for n in expected.flatten()]


def test_errors_are_drawn_over_the_steps_and_rounding_below():
    steps, errors = [1e-3, 1e-2, 1.0], {"one": [3, 2, 1], "two": [1, 5, 9]}
    (axes,) = drawings.finite_differences(steps, errors, {"two": 0.5}).axes
    one, two, dotted = axes.lines
    np.testing.assert_array_equal(one.get_xydata(), np.c_[steps, errors["one"]])
    np.testing.assert_array_equal(two.get_ydata(), errors["two"])
    np.testing.assert_allclose(dotted.get_ydata(), [500, 50])


def test_training_shows_both_curves_and_their_differences():
    losses = {"theirs": rng.random(6), "ours": rng.random(6)}
    apart = {"float32": np.array([1e-3, 0, 1e-6])}
    left, right = drawings.training(losses, apart).axes
    for line, values in zip(left.lines, losses.values(), strict=True):
        np.testing.assert_array_equal(line.get_ydata(), values)
    np.testing.assert_array_equal(right.lines[0].get_ydata(), [1e-3, 1e-18, 1e-6])


def test_signed_images_have_zero_in_the_middle_of_their_scale():
    image, signed = rng.random((4, 5)), rng.normal(size=(3, 4))
    pictures = drawings.gradient_image(image, signed, 2 * signed).axes[:3]
    for axes, values in zip(pictures, (image, signed, 2 * signed), strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), values)
    for axes in pictures[1:]:
        low, high = axes.images[0].get_clim()
        assert high == -low == np.abs(axes.images[0].get_array()).max()


def test_the_strongest_waves_are_marked():
    waves = np.zeros((8, 8))
    waves[4, 2] = waves[4, 6] = 64
    start, map_of_waves, _ = drawings.maximiser({"start": -np.eye(3)}, waves).axes
    np.testing.assert_array_equal(start.images[0].get_array(), -np.eye(3))
    marks = map_of_waves.lines[0].get_xydata()
    np.testing.assert_array_equal(marks, [[-0.25, 0], [0.25, 0]])
