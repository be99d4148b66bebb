"""Figures of chapter 7: what the sources say."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import ArrayLike

from helpers import figures


def kinds(counts: ArrayLike, names: Sequence[str], groups: Sequence[str]) -> Figure:
    """Entries by kind and source as a table of shades, and the sum of each kind.

    counts: (kinds, groups), drawn from top to bottom and left to right as given.
    """
    counts = np.asarray(counts)
    sums = counts.sum(axis=1)
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(6.5, 2.4), width_ratios=[3, 1.2], sharey=True
    )
    left.imshow(counts, cmap="Blues", vmin=0, vmax=1.3 * counts.max(), aspect="auto")
    for row, column in np.argwhere(counts):
        left.text(column, row, counts[row, column], ha="center", va="center")
    labels = [name.replace(" assignment", "\nassignment") for name in groups]
    left.set_xticks(range(len(groups)), labels, rotation=30, ha="right")
    plt.setp(left.get_xticklabels(), rotation_mode="anchor")
    left.set_yticks(range(len(names)), names)
    left.tick_params(length=0)
    right.barh(range(len(names)), sums, color=figures.SERIES[0])
    for row, count in enumerate(sums):
        right.text(count + 0.2, row, count, va="center")
    right.set(xlabel="entries", xlim=(0, 1.15 * sums.max()))
    right.tick_params(axis="y", length=0)
    return figure


def replications(panels: Mapping[str, Mapping[str, Sequence[ArrayLike]]]) -> Figure:
    """Curves of runs with the settings of a source, a panel for each kind of quantity.

    panels: what the vertical axis shows -> name of the setting -> values of training
    images (dashed) and of validation images, both (seeds, epochs).
    """
    figure, row = plt.subplots(1, len(panels), figsize=(6.5, 2.4), squeeze=False)
    for axes, (quantity, settings) in zip(row[0], panels.items(), strict=True):
        for number, (name, (training, validation)) in enumerate(settings.items()):
            figures.draw_band(axes, training, number, "_training", "--")
            figures.draw_band(axes, validation, number, name)
        axes.set(xlabel="epoch", ylabel=quantity, yscale="log")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.yaxis.set_major_locator(plt.LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.legend(fontsize=7)
    return figure
