"""Figures of chapter 3: losses, settings that are compared, mistakes, calibration."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from numpy.typing import ArrayLike
from torch import nn

from helpers import figures
from helpers.models import TraceRow, count_parameters
from helpers.stats import wilson_interval

LAYER_COLUMNS = ["layer", "output", "parameters by Equation (3.1)", "counted"]
GREY = figures.COLOURS["padding"]


def grid_of_digits(grid: ArrayLike) -> Figure:
    """Many images as one: (height, width), values from 0 to 255."""
    figure, axes = plt.subplots(figsize=(6.5, 1.75))
    figures.image(axes, grid, vmin=0, vmax=255)
    return figure


def one_loss(reported: Mapping[str, Mapping[int, float]]) -> Figure:
    """The loss of one network by several ways to put batches together.

    reported: way -> batch size -> loss, the same sizes for all; both axes logarithmic.
    """
    figure, axes = plt.subplots(figsize=(6.5, 2.2))
    for number, (way, by_size) in enumerate(reported.items()):
        axes.loglog(
            [*by_size],
            [*by_size.values()],
            ("-", ":", "--")[number],
            marker=figures.MARKERS[number],
            ms=4,
            color=figures.SERIES[number],
            label=way,
        )
        axes.set_xticks([*by_size], map(str, by_size))
    axes.set(xlabel="batch size of the evaluation", ylabel="reported loss")
    axes.minorticks_off()
    axes.legend()
    return figure


def learning(
    losses: Mapping[str, ArrayLike],
    accuracies: Mapping[str, ArrayLike],
    seen: ArrayLike,
    stretches: ArrayLike,
    moving: ArrayLike,
) -> Figure:
    """Loss and accuracy by epoch, and the loss within the first epoch.

    losses, accuracies: which images -> (seeds, epochs). seen: training images seen at
    the end of each stretch of batches; stretches: their losses, (seeds, stretches).
    moving: moving averages of these, which end where the stretches end.
    """
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(6.5, 2.2))
    for axis, values in ((left, losses), (middle, accuracies)):
        for number, (part, by_seed) in enumerate(values.items()):
            figures.draw_band(axis, by_seed, number, part)
        axis.set_xlabel("epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
    left.set(ylabel="loss per image", ylim=(0, None))
    left.legend()
    middle.set_ylabel("accuracy")
    middle.yaxis.set_major_formatter(figures.as_percent)
    seen, stretches, moving = map(np.asarray, (seen, stretches, moving))
    ends = seen[-moving.shape[1] :]
    right.semilogy(seen, stretches[0], color=GREY, lw=0.6, label="one seed")
    right.semilogy(ends, moving[0], color=figures.SERIES[0], label="its moving average")
    right.fill_between(
        ends,
        moving.min(0),
        moving.max(0),
        color=figures.SERIES[1],
        alpha=0.25,
        lw=0,
        label="of all seeds",
    )
    right.set(xlabel="images seen, thousands", ylabel="loss, first epoch")
    right.xaxis.set_major_formatter(lambda images, _: f"{images / 1000:.0f}")
    right.legend(fontsize=7)
    return figure


def rates(
    losses: Mapping[float, ArrayLike], wrong: Mapping[float, np.ndarray]
) -> Figure:
    """Left the loss by epoch at each learning rate, right the errors at the end.

    losses: rate -> (seeds, epochs); thin lines are networks, thick ones their medians.
    wrong: rate -> share of wrong answers of each network.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.5, 2.4))
    for number, (rate, by_seed) in enumerate(losses.items()):
        by_seed = np.asarray(by_seed)
        epochs, median = range(1, by_seed.shape[1] + 1), np.median(by_seed, axis=0)
        colour = figures.SERIES[number]
        left.semilogy(epochs, by_seed.T, color=colour, lw=0.6, alpha=0.6)
        left.semilogy(
            epochs, median, color=colour, marker=figures.MARKERS[number], ms=4
        )
        left.annotate(
            decimal(rate),
            (epochs[-1], median[-1]),
            (5, 0),
            textcoords="offset points",
            va="center",
            color=colour,
            fontsize=8,
        )
    left.set(xlabel="epoch", ylabel="validation loss")
    left.set_xlim(right=epochs[-1] + 0.3 * len(epochs))
    left.xaxis.get_major_locator().set_params(integer=True)
    _errors(right, wrong)
    return figure


def losses_by_size(panels: Mapping[str, Mapping[int, ArrayLike]]) -> Figure:
    """Validation loss by epoch, one panel per title, one band per batch size.

    panels: title -> batch size -> (seeds, epochs).
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(6.5, 2.3), squeeze=False)
    for axis, (title, by_size) in zip(axes[0], panels.items(), strict=True):
        for number, (size, by_seed) in enumerate(by_size.items()):
            figures.draw_band(axis, by_seed, number, f"batches of {size}")
        axis.set(xlabel="epoch", title=title, ylim=(0, None))
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.legend(loc="lower left", ncols=2, fontsize=7)
    axes[0, 0].set_ylabel("validation loss per image")
    return figure


def mistakes(
    images: Sequence[ArrayLike], titles: Sequence[str], marked: Sequence[bool]
) -> Figure:
    """Small images in rows of 14, each below its title; marked ones coloured and bold.

    images: (height, width) each, values from 0 to 255.
    """
    columns = 14
    rows = -(-len(images) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(6.5, 0.62 * rows + 0.1), squeeze=False
    )
    for axis in axes.flat:
        axis.axis("off")
    for axis, pixels, title, bold in zip(
        axes.flat, images, titles, marked, strict=False
    ):
        axis.imshow(pixels, interpolation="nearest", vmin=0, vmax=255)
        axis.set_title(
            title,
            fontsize=6.5,
            pad=2,
            color=figures.SERIES[1] if bold else "black",
            weight="bold" if bold else "normal",
        )
    return figure


def confusion(counts: ArrayLike) -> Figure:
    """How often each label was read as each answer; the diagonal as a share.

    counts: (labels, answers). The diagonal takes no part in the scale of colours.
    """
    counts = np.asarray(counts)
    diagonal = np.eye(len(counts), dtype=bool)
    figure, axes = plt.subplots(figsize=(5.6, 2.8))
    sns.heatmap(
        np.where(diagonal, 0, counts),
        mask=diagonal | (counts == 0),
        annot=True,
        fmt="d",
        cmap="YlOrBr",
        ax=axes,
        vmin=0,
        linewidths=0.5,
        linecolor="#dddddd",
        annot_kws={"size": 7.5},
        cbar_kws={"label": "mistakes"},
    )
    for digit, row in enumerate(counts):
        axes.add_patch(plt.Rectangle((digit, digit), 1, 1, color="#cccccc"))
        share, middle = row[digit] / row.sum(), digit + 0.5
        axes.text(
            middle, middle, f"{share:.1%}", ha="center", va="center", fontsize=6.5
        )
    axes.set(xlabel="answer", ylabel="label")
    axes.tick_params(axis="y", rotation=0)
    return figure


def reliability(
    tables: Mapping[str, np.ndarray],
    stated: Mapping[str, ArrayLike],
    edges: ArrayLike,
    fewest: int,
) -> Figure:
    """Left stated probability against the share of right answers, right how often.

    tables: recipe -> rows of (answers, mean probability, share of right answers); bins
    with less than `fewest` answers are left out. stated: recipe -> all probabilities.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.5, 2.4))
    left.plot([0, 1], [0, 1], color="black", lw=0.8, ls=":")
    for number, (name, rows) in enumerate(tables.items()):
        colour = figures.SERIES[number]
        n, probability, share = np.array([row for row in rows if row[0] >= fewest]).T
        around = [
            wilson_interval(round(count * part), int(count))
            for count, part in zip(n, share, strict=True)
        ]
        below = [max(0, x.mean - x.low) for x in around]
        above = [max(0, x.high - x.mean) for x in around]
        left.errorbar(
            probability,
            share,
            [below, above],
            fmt=figures.MARKERS[number] + "-",
            color=colour,
            ms=4,
            lw=1,
            capsize=2,
            label=name,
        )
        style = {"color": colour, "lw": 1.4, "ls": ("-", "--")[number], "log": True}
        right.hist(stated[name], edges, histtype="step", label=name, **style)
    for axis in (left, right):
        axis.set_xlabel("probability that the network states")
    left.set(ylabel="share of right answers", xlim=(0.2, 1.02), ylim=(0, 1.05))
    right.set(ylabel="answers", xlim=(0, 1.02))
    left.legend()
    return figure


def two_rates(
    curves: Mapping[float, ArrayLike], wrong: Mapping[float, np.ndarray]
) -> Figure:
    """Left the accuracy while training, network by network; right errors at the end.

    curves: rate -> (seeds, epochs). wrong: as for `rates`.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.5, 2.3))
    for number, (rate, by_seed) in enumerate(curves.items()):
        for seed, values in enumerate(np.asarray(by_seed)):
            left.plot(
                range(1, len(values) + 1),
                values,
                figures.MARKERS[number] + "-",
                color=figures.SERIES[number],
                lw=0.8,
                ms=3,
                label=None if seed else decimal(rate),
            )
    left.set(xlabel="epoch", ylabel="accuracy while training")
    left.yaxis.set_major_formatter(figures.as_percent)
    left.legend(title="learning rate")
    _errors(right, wrong)
    return figure


def layer_rows(model: nn.Sequential, trace: Sequence[TraceRow]) -> list[list[str]]:
    """Cells of a table of layers, for `LAYER_COLUMNS`; a ReLU joins the layer before.

    trace: that of `shape_trace`; shapes are told without the batch. The last row is the
    sum of all parameters.
    """
    rows: list[list[str]] = []
    for layer, row in zip(model, trace, strict=True):
        if isinstance(layer, nn.ReLU):
            rows[-1][0] += ", ReLU"
            continue
        shape = " × ".join(map(str, row.output_shape[1:]))
        count = f"{row.parameters:,}" if row.parameters else ""
        rows.append([row.layer, shape, _formula(layer), count])
    return [*rows, ["**sum**", "", "", f"**{count_parameters(model):,}**"]]


def _formula(layer: nn.Module) -> str:
    match layer:
        case nn.Conv2d():
            window = "·".join(map(str, layer.kernel_size))
            return f"{layer.out_channels} ({layer.in_channels}·{window} + 1)"
        case nn.Linear():
            return f"{layer.out_features} ({layer.in_features} + 1)"
    return ""


def decimal(rate: float) -> str:
    """A learning rate as people write it: 0.00001 and not 1e-05."""
    return f"{rate:.6f}".rstrip("0")


def _errors(axes: Axes, wrong: Mapping[float, np.ndarray]) -> None:
    """Errors on logarithmic axes: a ring for each network, a marker at the median."""
    for number, (rate, values) in enumerate(wrong.items()):
        style = {"color": GREY, "mfc": "none", "ms": 3}
        axes.loglog([1.3 * rate] * len(np.asarray(values)), values, "o", **style)
        axes.loglog(
            rate,
            np.median(values),
            figures.MARKERS[number],
            color=figures.SERIES[number],
            ms=6,
        )
    axes.set_xticks([*wrong], [decimal(rate) for rate in wrong])
    axes.set_yticks([0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1])
    axes.yaxis.set_major_formatter(figures.as_percent)
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.minorticks_off()
    axes.set(xlabel="learning rate", ylabel="wrong on validation images")
