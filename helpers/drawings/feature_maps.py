"""The figures of chapter 6, Feature maps: one function each, given computed values."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from helpers.figures import (
    COLOURS,
    FULL_WIDTH,
    MARKERS,
    SERIES,
    as_percent,
    draw_band,
    image,
    whisker,
)
from helpers.stats import Interval, t_interval


def samples(images: ArrayLike, names: Sequence[str]) -> Figure:
    """One strip of photographs for each class, in two columns.

    images: (classes, count, height, width, 3). names: of the classes.
    """
    images = np.asarray(images)
    figure, axes = plt.subplots(-(-len(images) // 2), 2, figsize=(FULL_WIDTH, 1.75))
    for axis in axes.flat:
        axis.axis("off")
    for axis, strip, name in zip(axes.T.flat, images, names, strict=False):
        axis.axis("on")
        image(axis, np.concatenate([*strip], axis=1))
        _beside(axis, name)
    return figure


def learning(arms: Mapping[str, Mapping[tuple[str, str], ArrayLike]]) -> Figure:
    """Loss above accuracy, a column for each arm, with bands over the seeds.

    arms: name -> {(quantity, split): (seeds, epochs)}, with the quantities "loss" and
    "accuracy" and the splits "train" and "validation".
    """
    size = (FULL_WIDTH, 2.8)
    figure, axes = plt.subplots(2, len(arms), figsize=size, sharex="col", sharey="row")
    styles = {"train": ("--", "training"), "validation": ("-", "validation")}
    for column, (name, curves) in zip(axes.T, arms.items(), strict=True):
        for axis, quantity in zip(column, ("loss", "accuracy"), strict=True):
            for number, (split, (line, spoken)) in enumerate(styles.items()):
                draw_band(axis, curves[quantity, split], number, spoken, line)
        column[0].set_title(name)
        column[1].set_xlabel("epoch")
    axes[0, 0].set_ylabel("cross-entropy")
    axes[1, 0].set_ylabel("accuracy")
    axes[1, 0].yaxis.set_major_formatter(as_percent)
    axes[0, 0].legend()
    return figure


def fields_of_view(
    photograph: ArrayLike,
    seen: Mapping[str, ArrayLike],
    fields: Mapping[str, tuple[int, int]],
) -> Figure:
    """A photograph, and what one value of each map sees of it, with its field as frame.

    photograph: (height, width, 3). seen: map -> (height, width), zero where nothing is
    seen. fields: map -> width of the field and step, in pixels.
    """
    figure, axes = plt.subplots(1, 1 + len(seen), figsize=(FULL_WIDTH, 1.7))
    image(axes[0], photograph, "a photograph")
    for axis, (name, values) in zip(axes[1:], seen.items(), strict=True):
        image(axis, values, name, cmap="Greys", vmin=0)
        size, step = fields[name]
        top, left = (np.nonzero(np.asarray(values).sum(a))[0][0] for a in (1, 0))
        _frame(axis, left, top, size, COLOURS["kernel"])
        axis.set_xlabel(f"{size} px, step {step}", fontsize=8)
    return figure


def maps(
    photographs: np.ndarray,
    names: Sequence[str],
    shown: Mapping[str, ArrayLike],
    channels: int = 5,
) -> Figure:
    """The first channels of every map: left each scaled by itself, right one scale.

    photographs: (images, height, width, 3). names: of what they show. shown: map ->
    (images, channels, height, width). A constant map has no scale of its own and is
    drawn as an empty frame. The common scale of a layer is symmetric about zero.
    """
    rows, columns = len(names) * len(shown), 2 * channels + 2
    ratios = [1, *[1] * channels, 0.15, *[1] * channels]
    figure, axes = plt.subplots(
        rows, columns, figsize=(FULL_WIDTH, 4.9), width_ratios=ratios, squeeze=False
    )
    layout = figure.get_layout_engine()
    assert isinstance(layout, ConstrainedLayoutEngine)  # by the house style
    layout.set(h_pad=0.01, w_pad=0.01, hspace=0, wspace=0.01)
    for axis in (*axes[:, 0], *axes[:, channels + 1]):
        axis.axis("off")
    for row, axis in enumerate(axes):
        number, place = divmod(row, len(shown))
        layer, values = [*shown.items()][place]
        limit = max(np.abs(values).max(), 1e-6)
        if place == 0:
            axis[0].axis("on")
            image(axis[0], photographs[number], names[number])
        _beside(axis[1], f"{layer}\n± {limit:.1f}", fontsize=6)
        for channel, raw in enumerate(np.asarray(values)[number, :channels]):
            left, right = axis[1 + channel], axis[2 + channels + channel]
            if raw.max() > raw.min():
                image(left, raw)
            else:
                image(left, np.ones_like(raw), vmin=0, vmax=1)
            image(right, raw, cmap="PuOr_r", vmin=-limit, vmax=limit)
            for each in (left, right):
                each.spines[:].set(visible=True, lw=0.3)
                if row == 0:
                    each.set_title(channel + 1, fontsize=8)
    return figure


def shifts(
    sizes: Sequence[int],
    errors: Mapping[str, ArrayLike],
    steps: Mapping[str, int],
    slides: Sequence[int],
    stays: Mapping[str, ArrayLike],
) -> Figure:
    """How far the maps fail to follow a shift, and how many answers stay.

    sizes, slides: shifts in pixels. errors: map -> (shifts,). steps: map -> pixels.
    stays: arm -> (seeds, shifts), shares of the images.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(FULL_WIDTH, 2.1))
    for number, (name, values) in enumerate(errors.items()):
        style = {"color": SERIES[number], "marker": MARKERS[number], "ms": 4, "lw": 1}
        left.plot(sizes, values, label=f"{name}, step {steps[name]}", **style)
    left.set(xlabel="shift, pixels", ylabel="error of the maps", ylim=(-0.03, None))
    left.legend(fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    for number, (name, values) in enumerate(stays.items()):
        found = [t_interval(column) for column in np.asarray(values).T]
        style = {"color": SERIES[number], "marker": MARKERS[number], "ms": 4, "lw": 1}
        right.plot(slides, [f.mean for f in found], label=name, **style)
        low, high = zip(*((f.low, f.high) for f in found), strict=True)
        right.fill_between(slides, low, high, color=SERIES[number], alpha=0.15, lw=0)
    right.set(xlabel="shift, pixels", ylabel="answers that stay", ylim=(0, 1.03))
    right.yaxis.set_major_formatter(as_percent)
    right.legend(fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    return figure


def strengths(groups: Mapping[str, ArrayLike], label: str) -> Figure:
    """A row of rings for each group, one ring a value, and a bar at their median.

    groups: name -> values of any shape. label: of the axis.
    """
    figure, axes = plt.subplots(figsize=(FULL_WIDTH, 0.45 + 0.22 * len(groups)))
    scatter = np.random.default_rng(1)
    for place, values in enumerate(map(np.ravel, groups.values())):
        heights = place + scatter.uniform(-0.22, 0.22, len(values))
        colour, marker = SERIES[place % len(SERIES)], MARKERS[place % len(MARKERS)]
        axes.plot(values, heights, marker, ms=3, mfc="none", color=colour)
        axes.plot(np.median(values), place, "|", ms=15, mew=2, color="black")
    axes.set_yticks(range(len(groups)), [*groups])
    axes.set(xlabel=label, ylim=(len(groups) - 0.5, -0.5))
    return figure


def patches(strips: Mapping[str, np.ndarray], columns: int, height: float) -> Figure:
    """A strip of patches for each channel, in columns from top to bottom.

    strips: label of the channel -> (count, side, side, 3).
    """
    rows = -(-len(strips) // columns)
    size = (FULL_WIDTH, height)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, (label, strip) in zip(axes.T.flat, strips.items(), strict=False):
        gap = np.ones_like(np.asarray(strip)[0][:, :1])
        axis.axis("on")
        image(axis, np.concatenate([p for q in strip for p in (q, gap)][:-1], axis=1))
        _beside(axis, label)
    return figure


def silenced(
    changes: ArrayLike, channels: Sequence[str], rows: Sequence[str], first: int
) -> Figure:
    """Change of the accuracy of each row by silencing each channel, as a matrix.

    changes: (rows, channels) in points; the last row, of all classes, stands apart.
    first: number of channels of the first convolution, which a line ends.
    """
    limit = np.abs(changes).max()
    figure, axes = plt.subplots(figsize=(FULL_WIDTH, 2.1))
    style = {"cmap": "PuOr_r", "vmin": -limit, "vmax": limit, "aspect": "auto"}
    drawn = axes.imshow(changes, **style)
    axes.axvline(first - 0.5, color="black", lw=0.8)
    axes.axhline(len(rows) - 1.5, color="black", lw=0.8)
    axes.set_xticks(range(len(channels)), channels, rotation=90, fontsize=7)
    axes.set_yticks(range(len(rows)), rows)
    axes.set(xlabel="silenced channel (convolution.number)")
    figure.colorbar(drawn, label="change of accuracy, points")
    return figure


def looked_at(
    photographs: np.ndarray, titles: Sequence[str], rows: Mapping[str, np.ndarray]
) -> Figure:
    """Photographs, and on grey copies the maps that explain an answer, bright for much.

    photographs: (images, height, width, 3). titles: the answers. rows: name -> (images,
    height, width), never negative; a map of zeros is said to be empty.
    """
    count = len(titles)
    size = (FULL_WIDTH, 0.76 * (1 + len(rows)))
    figure, axes = plt.subplots(1 + len(rows), count, figsize=size)
    for axis, photograph, title in zip(axes[0], photographs, titles, strict=True):
        image(axis, photograph, title)
        axis.title.set_fontsize(7)
    for axis_row, (name, these) in zip(axes[1:], rows.items(), strict=True):
        for axis, photograph, values in zip(axis_row, photographs, these, strict=True):
            image(axis, np.asarray(photograph).mean(2), vmin=0, vmax=1)
            middle = len(values) / 2
            if values.max() > 0:
                axis.imshow(values, cmap="inferno", alpha=0.55, vmin=0)
            else:
                axis.text(middle, middle, "empty", ha="center", fontsize=7)
        _beside(axis_row[0], name)
    return figure


def covered(changed: Mapping[str, tuple[ArrayLike, Interval]]) -> Figure:
    """How many answers change, a row for each choice of what is covered.

    changed: name -> shares by seed, (seeds,), and their interval.
    """
    figure, axes = plt.subplots(figsize=(FULL_WIDTH, 0.45 + 0.22 * len(changed)))
    for place, (values, interval) in enumerate(changed.values()):
        whisker(axes, place, values, place, across=True, interval=interval)
    axes.set_yticks(range(len(changed)), [*changed])
    axes.set(xlabel="changed answers", ylim=(len(changed) - 0.5, -0.5))
    axes.xaxis.set_major_formatter(as_percent)
    return figure


def _beside(axis: Axes, label: str, **options: Any) -> None:
    """Write a label to the left of an image."""
    options = {"fontsize": 8} | options
    axis.set_ylabel(label, rotation=0, ha="right", va="center", **options)


def _frame(axis: Axes, left: float, top: float, size: int, colour: str) -> None:
    """Frame `size` pixels in both directions, from a pixel on."""
    corner = (left - 0.5, top - 0.5)
    axis.add_patch(Rectangle(corner, size, size, fill=False, ec=colour, lw=1.2))
