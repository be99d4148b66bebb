"""Figures of chapter 4: digits that are changed at random."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import ArrayLike

from helpers import figures
from helpers.stats import Interval, accuracy_interval

# One scale for all images, whose values are 0 to 1.
GREY: dict[str, Any] = {"vmin": 0, "vmax": 1}


def strengths(original: ArrayLike, paths: Mapping[str, Mapping[float, Any]]) -> Figure:
    """One column per transform: the original above, then growing strength.

    original: (height, width). paths: name -> strength -> (height, width), as many
    strengths in every column; each stands below its image.
    """
    rows = 1 + len(next(iter(paths.values())))
    figure, axes = plt.subplots(rows, len(paths), figsize=(6.5, 0.72 * rows))
    for column, (name, path) in zip(axes.T, paths.items(), strict=True):
        figures.image(column[0], original, name, **GREY)
        for axis, (strength, pixels) in zip(column[1:], path.items(), strict=True):
            figures.image(axis, pixels, **GREY)
            axis.set_xlabel(f"{strength:g}", fontsize=7, labelpad=1)
    return figure


def rows_of_digits(rows: Mapping[str, Iterable[ArrayLike]], height: float) -> Figure:
    """One row of images per name, side by side.

    rows: name -> images (height, width). height: of a row, in inches.
    """
    figure, axes = plt.subplots(len(rows), 1, figsize=(6.5, height * len(rows)))
    for axis, (name, images) in zip(np.atleast_1d(axes), rows.items(), strict=True):
        figures.image(axis, np.hstack([*images]), **GREY)
        axis.set_ylabel(name, rotation=0, ha="right", va="center")
    return figure


def two_ways_to_turn(images: Mapping[str, ArrayLike]) -> Figure:
    """Images in a row, each with its name above it, pixel by pixel.

    images: name -> (height, width).
    """
    figure, axes = plt.subplots(1, len(images), figsize=(4.8, 1.8))
    for axis, (name, pixels) in zip(axes, images.items(), strict=True):
        figures.image(axis, pixels, name, **GREY)
    return figure


def by_policy(
    values: Mapping[str, ArrayLike],
    quantity: str,
    *,
    intervals: Mapping[str, Interval] | None = None,
    draws: Mapping[str, Sequence[float]] | None = None,
    chosen: str = "",
    line: float | None = None,
) -> Figure:
    """One row per policy, the first on top: mean, interval, and single networks.

    values: policy -> accuracy of each network. quantity: what the axis shows.
    intervals: those that cover more than the seeds. draws: policy -> accuracy in each
    draw, as strokes above the row. chosen: the policy in another colour. line: an
    accuracy to compare with, dotted.
    """
    figure = figures.rows_of_whiskers(
        values, quantity, intervals=intervals, chosen=chosen, line=line
    )
    (axes,) = figure.axes
    for row, name in enumerate(values):
        strokes = (draws or {}).get(name, [])
        axes.plot(strokes, [row - 0.3] * len(strokes), "|", ms=6, color="black")
    return figure


def flips(
    rows: Mapping[str, Iterable[ArrayLike]], right: Mapping[str, ArrayLike]
) -> Figure:
    """Left the digits, one row per flip; right the share of right answers to each.

    rows: flip -> ten images (height, width). right: flip -> ten shares.
    """
    figure, (left, table) = plt.subplots(
        1, 2, figsize=(6.5, 2.0), width_ratios=[1, 1.25]
    )
    grid = np.vstack([np.hstack([*images]) for images in rows.values()])
    figures.image(left, grid, aspect="auto", **GREY)
    side = len(grid) / len(rows)
    left.set_yticks([side * (row + 0.5) for row in range(len(rows))], rows)
    left.tick_params(length=0)
    sns.heatmap(
        [100 * np.asarray(right[name]) for name in rows],
        annot=True,
        fmt=".0f",
        cmap="Blues",
        vmin=0,
        vmax=100,
        ax=table,
        cbar=False,
        annot_kws={"size": 8},
        linewidths=0.5,
    )
    table.set(xlabel="digit", yticks=[], title="right answers, %")
    return figure


def training_curves(
    training: Mapping[str, ArrayLike], validation: Mapping[str, ArrayLike]
) -> Figure:
    """Errors over epochs, one curve per policy: training left, validation right.

    training, validation: policy -> share of wrong answers, (seeds, epochs).
    """
    figure, axes = plt.subplots(1, 2, figsize=(6.5, 2.3))
    parts = {"training errors": training, "validation errors": validation}
    for axis, (name, curves) in zip(axes, parts.items(), strict=True):
        for number, (policy, values) in enumerate(curves.items()):
            figures.draw_band(axis, values, number, policy)
        axis.set(xlabel="epoch", ylabel=name, yscale="log")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        # As many digits as each tick needs: rounded to one, 0.05% reads 0.1%.
        axis.yaxis.set_major_formatter(figures.as_percent)
        axis.yaxis.set_minor_formatter(NullFormatter())
    axes[1].legend()
    return figure


def robustness(
    measured: Mapping[str, Mapping[str, Mapping[float, ArrayLike]]],
    guessing: float = 0.1,
) -> Figure:
    """One panel per kind of change: accuracy against its strength.

    measured: networks -> change -> strength -> whether each answer is right, (seeds,
    images); the same changes for all. The bands are 95 % intervals over both.
    """
    changes = [*next(iter(measured.values()))]
    figure, axes = plt.subplots(1, len(changes), figsize=(6.5, 2.1), sharey=True)
    for axis, change in zip(axes, changes, strict=True):
        for number, (name, found) in enumerate(measured.items()):
            _curve(axis, found[change], number, name)
        axis.axhline(guessing, color="black", lw=0.8, ls=":")
        axis.set(xlabel=change, ylim=(0, 1.03))
    axes[0].set_ylabel("accuracy")
    axes[0].yaxis.set_major_formatter(figures.as_percent)
    handles = axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=2)
    return figure


def _curve(
    axes: Axes, found: Mapping[float, ArrayLike], number: int, label: str
) -> None:
    """Means over strengths, and their intervals as a band."""
    strengths = sorted(found)
    intervals = [accuracy_interval(found[strength]) for strength in strengths]
    colour = figures.SERIES[number]
    axes.plot(
        strengths,
        [interval.mean for interval in intervals],
        color=colour,
        marker=figures.MARKERS[number],
        ms=3,
        lw=1.2,
        label=label,
    )
    low = [interval.low for interval in intervals]
    high = [min(interval.high, 1) for interval in intervals]
    axes.fill_between(strengths, low, high, color=colour, alpha=0.2, lw=0)
