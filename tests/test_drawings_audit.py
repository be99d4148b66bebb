"""The figures of the audit draw what they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from helpers.drawings import audit

COUNTS = np.array([[3, 0], [0, 2], [1, 0]])


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_entries_by_kind_stand_in_their_cell_and_their_bar():
    figure = audit.kinds(COUNTS, ["rule", "loss", "chance"], ["lab sheet", "several"])
    left, right = figure.axes
    numbers = {(t.get_position()[::-1], t.get_text()) for t in left.texts}
    assert numbers == {((0, 0), "3"), ((1, 1), "2"), ((2, 0), "1")}
    assert [bar.get_width() for bar in right.patches] == [3, 2, 1]
    assert [t.get_text() for t in right.texts] == ["3", "2", "1"]
    assert [t.get_text() for t in left.get_yticklabels()] == ["rule", "loss", "chance"]
    assert left.get_ylim()[0] > left.get_ylim()[1]  # the first kind is on top


def test_replications_show_training_dashed_and_validation_solid():
    training, validation = np.array([[4, 2], [6, 2]]), np.array([[8, 4], [8, 6]])
    figure = audit.replications(
        {
            "loss": {"as printed": (training, validation)},
            "errors": {"a": (validation, training), "b": (training, training)},
        }
    )
    loss, errors = figure.axes
    drawn = {line.get_linestyle(): [*line.get_ydata()] for line in loss.get_lines()}
    assert drawn == {"--": [5, 2], "-": [8, 5]}
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "errors"]
    legends = [axes.get_legend().get_texts() for axes in (loss, errors)]
    names = [[text.get_text() for text in legend] for legend in legends]
    assert names == [["as printed"], ["a", "b"]]
