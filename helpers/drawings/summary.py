"""The figure of chapter 0: every named result."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from helpers import figures
from helpers.stats import Interval

LEAST = 1e-4  # a logarithmic axis has no zero
OURS: dict[str, Any] = {"color": figures.SERIES[0], "marker": "o", "ms": 5, "lw": 1.4}


def results(rows: Sequence[tuple[str, str, Interval, Sequence[float]]]) -> Figure:
    """One row per result: mean, interval and seeds, as shares of errors.

    rows: data, title, accuracy with its interval, accuracy of every seed; those of the
    same data stand together, below their name.
    """
    groups = {data: [*found] for data, found in groupby(rows, lambda row: row[0])}
    height = 0.7 + 0.2 * (len(rows) + len(groups))
    figure, axes = plt.subplots(figsize=(figures.FULL_WIDTH, height))
    labels: list[str] = []
    for data, found in groups.items():
        axes.axhline(len(labels), color="0.9", lw=0.8, zorder=0)
        labels.append(data)
        for _, title, accuracy, seeds in found:
            place = len(labels)
            low, mean, high = map(_errors, (accuracy.high, accuracy.mean, accuracy.low))
            axes.plot(
                [low, high],
                [place] * 2,
                color=OURS["color"],
                lw=OURS["lw"],
                solid_capstyle="butt",
            )
            strokes = [_errors(seed) for seed in seeds]
            axes.plot(
                strokes, [place] * len(strokes), "|", color=OURS["color"], ms=7, mew=0.8
            )
            axes.plot(mean, place, **OURS)
            labels.append(title)
    axes.set_yticks(range(len(labels)), labels)
    for label in axes.get_yticklabels():
        label.set_fontweight("bold" if label.get_text() in groups else "normal")
    axes.set(xscale="log", xlabel="wrong test images, logarithmic; right is better")
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.invert_xaxis()
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(figures.as_percent)
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="y", length=0)
    handle = Line2D([], [], label="mean, 95 % interval, seeds", **OURS)
    axes.legend(handles=[handle], loc="lower right")
    return figure


def _errors(accuracy: float) -> float:
    return max(LEAST, 1 - accuracy)
