"""Figures of chapter 5: images of several sizes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import ArrayLike

from helpers import figures
from helpers.stats import Interval, t_interval

Shape = str | Callable[[float, float], str]  # of the words at ticks
Pixels = ArrayLike  # grey levels from 0 to 255, (height, width)
FRAME = 110  # grey level of the line around a black image
LINES = ["-", "--", ":", "-."]
TICKS = (1, 2, 5)  # of every power of ten


def sample_grids(tiles: Mapping[int, np.ndarray], columns: int = 3) -> Figure:
    """One grid of images per resolution, all drawn to one scale.

    tiles: side -> (images, side, side); their number is a multiple of `columns`.
    """
    figure, axes = plt.subplots(
        1, len(tiles), figsize=(6.5, 1.75), width_ratios=[*tiles]
    )
    for axis, (side, images) in zip(axes, tiles.items(), strict=True):
        framed = [_framed(image) for image in images]
        starts = range(0, len(framed), columns)
        rows = [np.hstack(framed[i : i + columns]) for i in starts]
        _grey(axis, np.vstack(rows), f"{side} × {side}")
    return figure


def before_after(pairs: Mapping[int, Sequence[tuple[Pixels, Pixels]]]) -> Figure:
    """A row per canvas: each image beside what resizing makes of it, in one scale.

    pairs: side -> pairs of (side, side) and of a smaller square.
    """
    figure, axes = plt.subplots(len(pairs), 1, figsize=(6.5, 2.2))
    for axis, (side, found) in zip(axes, pairs.items(), strict=True):
        tiles = []
        for before, after in found:
            tiles += [_framed(before), _framed(after), np.full((side + 2, 4), 255)]
        _grey(axis, np.hstack([_raised(tile, side + 2) for tile in tiles]))
        axis.set_ylabel(f"{side} px", rotation=0, ha="right", va="center")
    return figure


def scale_cue(padded: Mapping[int, Pixels], resized: Mapping[int, Pixels]) -> Figure:
    """One digit from several canvases on equal squares, and a row through it.

    padded, resized: side it comes from -> (size, size). The row is the one whose grey
    levels vary most.
    """
    figure, axes = plt.subplots(
        2, len(padded) + 1, figsize=(6.5, 2.7), width_ratios=[*[1] * len(padded), 1.6]
    )
    for row, (name, images) in zip(
        axes, (("padded", padded), ("resized", resized)), strict=True
    ):
        row[0].set_ylabel(name)
        for number, (side, image) in enumerate(images.items()):
            pixels = np.asarray(image, dtype=float)
            _grey(row[number], pixels, f"from {side} px" if name == "padded" else "")
            row[-1].plot(
                pixels[pixels.std(1).argmax()],
                LINES[number],
                color=figures.SERIES[number],
                lw=1.1,
                label=f"{side} px",
            )
        row[-1].set(ylabel="grey level", xlim=(0, pixels.shape[1] - 1))
        row[-1].yaxis.tick_right()
        row[-1].yaxis.set_label_position("right")
    axes[1, -1].set_xlabel("column")
    _legend(figure, axes[1, -1], "outside lower right", len(padded))
    return figure


def pooling_curves(found: Mapping[str, Mapping[str, ArrayLike]]) -> Figure:
    """Losses and errors over epochs, training (dashed) and validation (solid).

    found: pooling -> "train_loss", "validation_loss", "train_accuracy" and
    "validation_accuracy" -> (seeds, epochs).
    """
    figure, axes = plt.subplots(1, 2, figsize=(6.5, 2.6))
    for number, (pooling, curves) in enumerate(found.items()):
        for part, line in (("train", "--"), ("validation", "-")):
            label = f"{pooling}, {'training' if part == 'train' else part}"
            losses = curves[f"{part}_loss"]
            errors = 1 - np.asarray(curves[f"{part}_accuracy"])
            figures.draw_band(axes[0], losses, number, label, line)
            figures.draw_band(axes[1], errors, number, label, line)
    shapes: dict[str, Shape] = {
        "loss per sample": "{x:g}",
        "errors": figures.as_percent,
    }
    for axis, (name, shape) in zip(axes, shapes.items(), strict=True):
        axis.set(xlabel="epoch", ylabel=name)
        axis.xaxis.get_major_locator().set_params(integer=True)
        _logarithmic(axis, TICKS, shape)
    _legend(figure, axes[0], "outside upper center", 4)
    return figure


def canvas_changes(
    sides: Sequence[int],
    lengths: Mapping[str, Sequence[float]],
    changes: Mapping[str, Sequence[float]],
) -> Figure:
    """What a larger canvas does to pooled features: their length, and their change.

    lengths, changes: pooling -> one number per side, both relative to one of the sides.
    """
    figure, axes = plt.subplots(1, 2, figsize=(6.5, 2.6))
    labels = ("length of the features", "change of the features")
    for axis, found, label in zip(axes, (lengths, changes), labels, strict=True):
        for number, (name, values) in enumerate(found.items()):
            _series(axis, sides, values, number, name)
        axis.set(xlabel="canvas, px", ylabel=label, xticks=sides)
    _legend(figure, axes[0], "outside upper center", len(lengths))
    return figure


def arms(
    values: Mapping[str, ArrayLike], intervals: Mapping[str, Interval], xlabel: str
) -> Figure:
    """A row per arm: mean with interval, and the single seeds as rings.

    values: arm -> one accuracy per seed. intervals: arm -> interval of their mean.
    """
    figure, axes = plt.subplots(figsize=(6.5, 0.6 + 0.25 * len(values)))
    for number, (name, seeds) in enumerate(values.items()):
        place, interval = -number, intervals[name]
        figures.whisker(axes, place, seeds, number, across=True, interval=interval)
    axes.set_yticks([-number for number in range(len(values))], list(values))
    axes.set(xlabel=xlabel)
    axes.xaxis.set_major_formatter(figures.as_percent)
    return figure


def causes(values: Mapping[str, ArrayLike]) -> Figure:
    """A row per way to show the digits: validation errors, logarithmic axis.

    values: name -> one accuracy per seed; names tell the network, which has a colour.
    """
    figure, axes = plt.subplots(figsize=(6.5, 0.6 + 0.22 * len(values)))
    for position, (name, seeds) in enumerate(values.items()):
        number = 0 if name.startswith("variable") else 1
        errors = 1 - np.asarray(seeds)
        figures.whisker(axes, -position, errors, number, across=True)
    axes.set_yticks([-position for position in range(len(values))], list(values))
    axes.set(xlabel="validation errors", xscale="log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 4, 5, 7)))
    axes.xaxis.set_major_formatter(figures.as_percent)
    axes.xaxis.set_minor_formatter(NullFormatter())
    return figure


def unseen_sizes(
    sides: Sequence[int],
    panels: Mapping[str, Mapping[str, Sequence[ArrayLike]]],
    trained: Sequence[int],
) -> Figure:
    """Accuracy over canvases, one panel per way to place the digit.

    panels: label of the axis -> arm -> one accuracy per seed, for each of `sides`.
    trained: the sides that were trained on, as dotted lines.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(6.5, 2.8), sharey=True)
    for axis, (label, found) in zip(axes, panels.items(), strict=True):
        for number, (name, values) in enumerate(found.items()):
            middle = [t_interval(seeds) for seeds in values]
            _series(axis, sides, [one.mean for one in middle], number, name)
            low, high = (
                [one.low for one in middle],
                [min(1, one.high) for one in middle],
            )
            axis.fill_between(
                sides, low, high, color=figures.SERIES[number], alpha=0.15, lw=0
            )
        for side in trained:
            axis.axvline(side, color=figures.COLOURS["padding"], lw=0.8, ls=":")
        axis.set(xlabel=label, ylim=(0, 1.02))
        axis.set_xticks(sides, sides, fontsize=7)
    axes[0].set_ylabel("accuracy")
    axes[0].yaxis.set_major_formatter(figures.as_percent)
    _legend(figure, axes[0], "outside upper center", 4)
    return figure


def _grey(axes: Axes, pixels: Pixels, title: str = "") -> None:
    figures.image(axes, np.asarray(pixels), title, vmin=0, vmax=255)


def _framed(pixels: Pixels) -> np.ndarray:
    return np.pad(np.asarray(pixels), 1, constant_values=FRAME)


def _raised(pixels: np.ndarray, height: int) -> np.ndarray:
    """White above the pixels, up to `height`."""
    return np.pad(pixels, ((height - pixels.shape[0], 0), (0, 0)), constant_values=255)


def _series(
    axes: Axes, places: ArrayLike, values: ArrayLike, number: int, name: str
) -> None:
    axes.plot(
        places,
        values,
        color=figures.SERIES[number],
        marker=figures.MARKERS[number],
        ms=4,
        lw=1.2,
        label=name,
    )


def _logarithmic(axes: Axes, ticks: Sequence[float], shape: Shape) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=ticks))
    axes.yaxis.set_major_formatter(shape)
    axes.yaxis.set_minor_formatter(NullFormatter())


def _legend(figure: Figure, axes: Axes, place: Any, columns: int) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc=place, ncols=columns)
