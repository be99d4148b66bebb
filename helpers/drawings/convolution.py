"""Figures of chapter 1: windows, channels, sizes, matrices, and what the ways cost.

One colour for each role: input blue, kernel orange, output green. Frames and shades
mark the same window wherever it appears.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from helpers import figures
from helpers.conv import output_size

INPUT, KERNEL, OUTPUT, GREY, HIGHLIGHT = (
    figures.COLOURS[role]
    for role in ("input", "kernel", "output", "padding", "highlight")
)
# Pixels, pale enough to write on.
INK: dict[str, Any] = {"cmap": "Blues", "vmin": 0, "vmax": 1.6}

# Two windows, told apart by colour, style of the frame and shade.
WINDOWS = ((KERNEL, "-"), (OUTPUT, "--"))


def numbers(
    axes: Axes,
    values: ArrayLike,
    title: str = "",
    colour: str = GREY,
    shaded: Sequence[tuple[int, int]] = (),
    size: float = 8,
) -> None:
    """Draw a table of numbers, rows downwards; `shaded` cells (row, column) in colour.

    values: (rows, columns), NaN for an empty cell. size: of the letters, in points.
    """
    values = np.asarray(values)
    rows, columns = values.shape
    for row in range(rows):
        for column in range(columns):
            face = to_rgba(colour, 0.3) if (row, column) in shaded else "white"
            cell = (column - 0.5, row - 0.5)
            axes.add_patch(Rectangle(cell, 1, 1, fc=face, ec=GREY, lw=0.6))
            value = values[row, column]
            number = "" if np.isnan(value) else f"{value:g}".replace("-", "−")
            axes.text(column, row, number, ha="center", va="center", fontsize=size)
    outline = Rectangle((-0.5, -0.5), columns, rows, fill=False, ec=colour, lw=1.5)
    axes.add_patch(outline)
    axes.set(xlim=(-0.6, columns - 0.4), ylim=(rows - 0.4, -0.6), aspect="equal")
    axes.set_title(title)
    axes.axis("off")


def window(top: int, left: int, height: int, width: int) -> list[tuple[int, int]]:
    """All cells (row, column) of a window."""
    rows, columns = range(top, top + height), range(left, left + width)
    return [(row, column) for row in rows for column in columns]


def _frame(
    axes: Axes,
    top: float,
    left: float,
    height: float,
    width: float,
    number: int,
    inset: float = 0.0,
) -> None:
    """Frame a window in the style of `WINDOWS[number]`."""
    colour, line = WINDOWS[number]
    corner = (left - 0.5 + inset, top - 0.5 + inset)
    size = (width - 2 * inset, height - 2 * inset)
    axes.add_patch(Rectangle(corner, *size, fill=False, ec=colour, lw=2, ls=line))


def shifted_digit(
    images: Sequence[ArrayLike],
    scores: Sequence[ArrayLike],
    maps: Sequence[ArrayLike],
    shares: Mapping[str, Sequence[float]],
) -> Figure:
    """A digit, the same digit shifted, and what two kinds of layer make of them.

    images: two of (height, width). scores: for each, one of every class. maps: for
    each, the answers of one kernel, its largest marked. shares: name -> share of right
    answers when shifted by 0, 1, 2, ... pixels.
    """
    figure = plt.figure(figsize=(figures.FULL_WIDTH, 2.3))
    grid = figure.add_gridspec(2, 4, width_ratios=[0.8, 1.1, 0.9, 1.7])
    for row, (image, score, answers) in enumerate(
        zip(images, scores, maps, strict=True)
    ):
        axes = [figure.add_subplot(grid[row, column]) for column in range(3)]
        titles = ("image", "fully connected", "shared kernel") if row == 0 else [""] * 3
        figures.image(axes[0], image, titles[0], cmap="Blues")
        score = np.asarray(score)
        colours = [GREY] * len(score)
        colours[int(score.argmax())] = KERNEL
        axes[1].bar(range(len(score)), score, color=colours)
        axes[1].set(ylim=(-0.5, 1.1), yticks=[0, 1], title=titles[1])
        axes[1].set_xticks(range(len(score)), map(str, range(len(score))), fontsize=6)
        answers = np.asarray(answers)
        figures.image(axes[2], answers, titles[2], cmap="Greens", vmin=0)
        top, left = np.unravel_index(answers.argmax(), answers.shape)
        axes[2].plot(left, top, "o", ms=7, mfc="none", color=KERNEL)
    axes[1].set_xlabel("class")
    curve = figure.add_subplot(grid[:, 3])
    for number, (name, values) in enumerate(shares.items()):
        curve.plot(
            [100 * value for value in values],
            label=name,
            marker=figures.MARKERS[number],
            color=figures.SERIES[number],
            ms=4,
        )
    curve.set(xlabel="shift to the right in pixels", ylabel="right answers, %")
    curve.set(ylim=(0, 100))
    curve.legend(loc="lower left")
    return figure


def sliding(image: ArrayLike, kernel: ArrayLike, output: ArrayLike) -> Figure:
    """Image, kernel and output in numbers, with the first and the last window shaded.

    image: (H, W). kernel: (k_h, k_w). output: (H_out, W_out).
    """
    image, kernel, output = map(np.asarray, (image, kernel, output))
    figure, axes = plt.subplots(
        1,
        3,
        figsize=(4.6, 1.75),
        width_ratios=[a.shape[1] for a in (image, kernel, output)],
    )
    numbers(axes[0], image, "image X", INPUT, size=9)
    numbers(axes[1], kernel, "kernel K", KERNEL, size=9)
    numbers(axes[2], output, "output Y", OUTPUT, size=9)
    last = output.shape[0] - 1, output.shape[1] - 1
    for number, (i, j) in enumerate([(0, 0), last]):
        colour, _ = WINDOWS[number]
        for axis, (k_h, k_w) in ((axes[0], kernel.shape), (axes[2], (1, 1))):
            corner = (j - 0.5, i - 0.5)
            axis.add_patch(Rectangle(corner, k_w, k_h, fc=to_rgba(colour, 0.22)))
            _frame(axis, i, j, k_h, k_w, number, inset=0.06)
    for axis in axes[1:]:
        axis.set_ylim(image.shape[0] - 0.4, -0.6)  # cells of one size in all three
    return figure


def sobel(image: ArrayLike, changes: Sequence[ArrayLike], edges: ArrayLike) -> Figure:
    """A photograph, its two derivatives on one scale, and the strength of its edges.

    All (height, width); edges between 0 and 1, drawn dark where they are strong. The
    scale ends at half of the largest change, so that the weaker ones are seen.
    """
    figure, axes = plt.subplots(1, 4, figsize=(figures.FULL_WIDTH, 1.9))
    limit = max(float(np.abs(np.asarray(change)).max()) for change in changes) / 2
    figures.image(axes[0], image, "image X")
    for axis, change, name in zip(axes[1:3], changes, "xy", strict=True):
        title = f"$\\mathbf{{G}}_{name} * \\mathbf{{X}}$"
        figures.image(axis, change, title, cmap="coolwarm", vmin=-limit, vmax=limit)
    figures.image(axes[3], 1 - np.asarray(edges), "edges E (dark: strong)")
    return figure


def positions(
    pixels: ArrayLike, kernel_size: int, kinds: Mapping[str, Mapping[str, int]]
) -> Figure:
    """First and last window on an image with its padding, beside the output's cells.

    pixels: (size, size), without padding. kinds: title -> stride, padding and dilation,
    where they are not the usual ones. Hatched: what no window reaches.
    """
    figure, axes = plt.subplots(
        1, 2 * len(kinds), figsize=(figures.FULL_WIDTH, 1.45), squeeze=False
    )
    pairs = zip(axes[0, ::2], axes[0, 1::2], strict=True)
    for (left, right), (title, kind) in zip(pairs, kinds.items(), strict=True):
        _positions(left, right, np.asarray(pixels), kernel_size, title, **kind)
    return figure


def _positions(
    left: Axes,
    right: Axes,
    pixels: np.ndarray,
    kernel_size: int,
    title: str,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
) -> None:
    size, whole = len(pixels), len(pixels) + 2 * padding
    count = output_size(size, kernel_size, stride, padding, dilation)
    last = (count - 1) * stride
    used = last + dilation * (kernel_size - 1) + 1
    figures.image(left, np.pad(pixels, padding), title, **INK)
    corner = (padding - 0.5, padding - 0.5)
    left.add_patch(Rectangle(corner, size, size, fill=False, ec=INPUT))
    if used < whole:
        hatched: dict[str, Any] = dict(fc=GREY, ec="none", alpha=0.5, hatch="//")
        rest = whole - used
        left.add_patch(Rectangle((used - 0.5, -0.5), rest, whole, **hatched))
        left.add_patch(Rectangle((-0.5, used - 0.5), used, rest, **hatched))
    numbers(right, np.full((count, count), np.nan), f"{count} outputs", OUTPUT)
    right.set(xlim=left.get_xlim(), ylim=left.get_ylim())
    for number, (start, place) in enumerate([(0, 0), (last, count - 1)]):
        for p, q in np.ndindex(kernel_size, kernel_size):
            top, beside = start + p * dilation, start + q * dilation
            _frame(left, top, beside, 1, 1, number, inset=0.08)
        _frame(right, place, place, 1, 1, number, inset=0.08)


def channels(image: ArrayLike, kernel: ArrayLike, output: ArrayLike) -> Figure:
    """All maps of an image, all tables of its kernels and all maps of the output.

    image: (C, H, W). kernel: (D, C, k_h, k_w). output: (D, H_out, W_out). The window
    of the first output value is shaded, and so are the kernel that it meets and it.
    """
    image, kernel, output = map(np.asarray, (image, kernel, output))
    (C, *_), (D, _, k_h, k_w) = image.shape, kernel.shape
    figure = plt.figure(figsize=(5.6, 2.3))
    ratios = [image.shape[2], *[k_w + 0.6] * D, output.shape[2]]
    columns = figure.add_gridspec(1, D + 2, width_ratios=ratios)
    seen = window(0, 0, k_h, k_w)
    rows = columns[0].subgridspec(C, 1)
    for c in range(C):
        axis = figure.add_subplot(rows[c])
        numbers(axis, image[c], "", INPUT, seen)
        axis.text(-1.8, 1, f"$c = {c}$", ha="center", va="center", fontsize=9)
    for d in range(D):
        rows = columns[1 + d].subgridspec(C, 1)
        for c in range(C):
            title = f"kernel $d = {d}$" if c == 0 else ""
            shaded = seen if d == 0 else ()
            numbers(figure.add_subplot(rows[c]), kernel[d, c], title, KERNEL, shaded)
    rows = columns[D + 1].subgridspec(D, 1)
    for d in range(D):
        title = f"output $d = {d}$"
        shaded = [(0, 0)] if d == 0 else ()
        numbers(figure.add_subplot(rows[d]), output[d], title, OUTPUT, shaded)
    return figure


def connections(kinds: Mapping[str, ArrayLike]) -> Figure:
    """Which input channel reaches which output channel, for several kinds of layer.

    kinds: title -> (D, C), true where input channel c reaches output channel d.
    """
    figure, axes = plt.subplots(
        1, len(kinds), figsize=(figures.FULL_WIDTH, 1.4), squeeze=False
    )
    for axis, (title, reaches) in zip(axes[0], kinds.items(), strict=True):
        reaches = np.asarray(reaches)
        D, C = reaches.shape
        for d, c in zip(*np.nonzero(reaches), strict=True):
            axis.plot([0, 1], [c, d], color=KERNEL, lw=1)
        axis.plot([0] * C, range(C), "o", color=INPUT, ms=6)
        axis.plot([1] * D, range(D), "s", color=OUTPUT, ms=6)
        axis.set(ylim=(max(C, D) - 0.5, -0.5), xlim=(-0.2, 1.2), title=title)
        axis.axis("off")
    return figure


def unfolded(image: ArrayLike, source: ArrayLike) -> Figure:
    """An image with numbered pixels beside its unfolded matrix of the same numbers.

    image: (H, W). source: (R, T), which pixel, counted from 1, stands where; its first
    and its last column, and the windows that they are, are framed.
    """
    image, source = np.asarray(image), np.asarray(source)
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(5.0, 2.0), width_ratios=[1, 0.75]
    )
    figures.image(left, image, "image X, pixels numbered", **INK)
    for place, (i, j) in enumerate(np.ndindex(image.shape), start=1):
        left.text(j, i, place, ha="center", va="center", fontsize=9)
    figures.image(right, image.flatten()[source - 1], "U", **INK)
    for (r, t), number in np.ndenumerate(source):
        right.text(t, r, int(number), ha="center", va="center", fontsize=7)
    right.set(aspect="auto", ylabel="value in the window, r", xlabel="window, t")
    for number, t in enumerate((0, source.shape[1] - 1)):
        rows, columns = np.unravel_index(source[:, t] - 1, image.shape)
        height, width = int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1
        _frame(left, rows.min(), columns.min(), height, width, number, inset=0.06)
        _frame(right, 0, t, len(source), 1, number, inset=0.06)
    return figure


def matrices(named: Mapping[str, ArrayLike]) -> Figure:
    """Matrices of convolutions side by side: each kernel entry has its own colour.

    named: title -> (outputs, pixels), holding the number of a kernel entry, from 1 to
    9, or zero. The three rows of the kernel are three colours, its columns shades.
    """
    rows = [figures.COLOURS[role] for role in ("input", "kernel", "output")]
    shades = [to_rgba(colour, alpha) for colour in rows for alpha in (1, 0.65, 0.35)]
    heights = [np.asarray(matrix).shape[0] for matrix in named.values()]
    figure, axes = plt.subplots(1, len(named), figsize=(figures.FULL_WIDTH, 2.0))
    for axis, (title, matrix) in zip(axes, named.items(), strict=True):
        matrix = np.asarray(matrix).astype(int)
        colours = np.array([(1, 1, 1, 1), *shades])[matrix]
        axis.imshow(colours, interpolation="nearest")
        axis.set(title=f"{title}: {matrix.shape[0]} × {matrix.shape[1]}")
        axis.set(xlabel="pixel", ylim=(max(heights) - 0.5, -0.5))
        axis.spines[["left", "bottom"]].set_visible(False)
    axes[0].set_ylabel("output value")
    return figure


def pooling(image: ArrayLike, pooled: Mapping[str, ArrayLike]) -> Figure:
    """An image in numbers and its poolings, with the first and the last window framed.

    image: (H, W). pooled: title -> (H_out, W_out), of windows that do not overlap.
    """
    image = np.asarray(image)
    figure, axes = plt.subplots(1, 1 + len(pooled), figsize=(4.2, 1.45))
    numbers(axes[0], image, "image", INPUT, size=9)
    for axis, (title, values) in zip(axes[1:], pooled.items(), strict=True):
        values = np.asarray(values)
        numbers(axis, values, title, OUTPUT, size=9)
        axis.set_xlim(-0.6, image.shape[1] - 0.4)
        axis.set_ylim(image.shape[0] - 0.4, -0.6)
        size = image.shape[0] // values.shape[0], image.shape[1] // values.shape[1]
        for number, (i, j) in enumerate(
            [(0, 0), (values.shape[0] - 1, values.shape[1] - 1)]
        ):
            _frame(axes[0], i * size[0], j * size[1], *size, number, inset=0.08)
            _frame(axis, i, j, 1, 1, number, inset=0.08)
    return figure


def receptive_fields(stacks: Mapping[str, Sequence[np.ndarray]]) -> Figure:
    """What one value of the last layer sees of the layers below, in one dimension.

    stacks: title -> one mask for each layer, the input first: true where a value is
    seen. Layers are drawn from the bottom up.
    """
    figure, axes = plt.subplots(
        1, len(stacks), figsize=(figures.FULL_WIDTH, 1.35), squeeze=False
    )
    for axis, (title, layers) in zip(axes[0], stacks.items(), strict=True):
        widest = max(len(layer) for layer in layers)
        for height, layer in enumerate(layers):
            layer = np.asarray(layer, dtype=bool)
            step = widest / len(layer)
            for place, seen in enumerate(layer):
                colour = INPUT if height == 0 else OUTPUT
                face = to_rgba(colour, 0.45) if seen else "white"
                corner = (place * step + 0.04, height + 0.1)
                size = (step - 0.08, 0.62)
                axis.add_patch(Rectangle(corner, *size, fc=face, ec=GREY, lw=0.5))
            name = "input" if height == 0 else f"layer {height}: {int(layer.sum())}"
            name = f"input: {int(layer.sum())}" if height == 0 else name
            axis.text(-0.3, height + 0.4, name, ha="right", va="center", fontsize=8)
        axis.set(xlim=(-0.05 * widest, widest), ylim=(0, len(layers)), title=title)
        axis.axis("off")
    return figure


def relative_times(
    shapes: Sequence[str],
    panels: Mapping[str, Mapping[str, Mapping[str, Any]]],
    names: Mapping[str, str],
) -> Figure:
    """Times as multiples of the library's: a line per shape, a panel per pass.

    panels: title -> way -> shape -> spread with `low`, `median` and `high`; a way may
    lack shapes. names: the ways to draw, and what to call them.
    """
    figure, axes = plt.subplots(
        1, len(panels), figsize=(figures.FULL_WIDTH, 2.1), sharey=True, squeeze=False
    )
    for axis, (title, ways) in zip(axes[0], panels.items(), strict=True):
        axis.axvline(1, color=figures.COLOURS["reference"], lw=1)
        for number, (way, name) in enumerate(names.items()):
            offset = 0.14 * (number - (len(names) - 1) / 2)
            spreads = ways[way].values()
            axis.errorbar(
                [spread.median for spread in spreads],
                [shapes.index(shape) + offset for shape in ways[way]],
                xerr=[
                    [spread.median - spread.low for spread in spreads],
                    [spread.high - spread.median for spread in spreads],
                ],
                fmt=figures.MARKERS[number],
                color=figures.SERIES[number],
                ms=4,
                lw=1,
                label=name,
            )
        axis.set(xscale="log", xlabel="time / time of F.conv2d", title=title)
        ticks = [1, 2, 5, 10] + ([100] if axis.get_xlim()[1] > 50 else [])
        axis.set_xticks(ticks, ticks)
        axis.minorticks_off()
    axes[0, 0].set_yticks(range(len(shapes)), shapes)
    axes[0, 0].invert_yaxis()
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def growth(
    labels: Sequence[str], growths: Sequence[Any], names: Mapping[str, str]
) -> Figure:
    """Times as one quantity grows, both axes logarithmic, a panel for each quantity.

    labels: of the horizontal axes. growths: with `values` and `medians`, way -> seconds
    at each value. names: what to call the ways.
    """
    figure, axes = plt.subplots(
        1, len(growths), figsize=(figures.FULL_WIDTH, 1.9), sharey=True
    )
    for axis, label, found in zip(axes, labels, growths, strict=True):
        for number, (way, seconds) in enumerate(found.medians.items()):
            colour = "black" if way == "F.conv2d" else figures.SERIES[number]
            style = dict(marker=figures.MARKERS[number], color=colour, ms=4, lw=1)
            shown = [1000 * second for second in seconds]
            axis.plot(found.values, shown, label=names[way], **style)
        axis.set(xscale="log", yscale="log", xlabel=label)
        axis.set_xticks(found.values, found.values)
        axis.minorticks_off()
    axes[0].set_ylabel("forward, ms")
    handles, drawn = axes[0].get_legend_handles_labels()
    figure.legend(handles, drawn, loc="outside lower center", ncols=len(drawn))
    return figure


def cells(before: ArrayLike, after: ArrayLike) -> Figure:
    """An image whose cells become channels: how a stride is taken away.

    before: (H, W). after: (channels, H / s, W / s). Cell (0, 0) is shaded in both.
    """
    before, after = np.asarray(before), np.asarray(after)
    s = before.shape[0] // after.shape[1]
    figure, axes = plt.subplots(
        1, 1 + len(after), figsize=(5.6, 1.5), width_ratios=[2, *[1] * len(after)]
    )
    numbers(axes[0], before, "one channel", INPUT, window(0, 0, s, s))
    for channel, (axis, values) in enumerate(zip(axes[1:], after, strict=True)):
        numbers(axis, values, f"channel {channel}", OUTPUT, [(0, 0)])
    return figure
