"""Figures of chapter 2: who touches whom, matrices and copies, checks and training.

One colour for each role: input blue, kernel orange, output green, gradient pink.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from numpy.typing import ArrayLike

from helpers import figures

Point = tuple[float, float]

INPUT, KERNEL, OUTPUT, GRADIENT, GREY, BLACK = (
    figures.COLOURS[role]
    for role in ("input", "kernel", "output", "gradient", "padding", "reference")
)


def arrows(
    x: Sequence[float], k: Sequence[float], y: Sequence[float], tap: int, pixel: int
) -> Figure:
    """All products of a convolution in one dimension, some of them highlighted.

    x: (pixels,). k: (taps,). y: (outputs,). Left the products of one `tap` stand out,
    right those of one `pixel`.
    """
    figure, axes = plt.subplots(1, 2, figsize=(figures.FULL_WIDTH, 1.9))
    places = [(i, p) for i in range(len(y)) for p in range(len(k))]
    chosen = (
        [(i, p) for i, p in places if p == tap],
        [(i, p) for i, p in places if i + p == pixel],
    )
    titles = (
        f"every output uses $k_{tap}$ once",
        f"$x_{pixel}$ reaches {len(chosen[1])} outputs",
    )
    for axis, marked, title in zip(axes, chosen, titles, strict=True):
        for i, p in places:
            start, end = (i + p, 1.0), (i + (len(k) - 1) / 2, 0.0)
            _arrow(axis, start, end, KERNEL if (i, p) in marked else None)
            if (i, p) in marked:
                middle = 0.55 * start[0] + 0.45 * end[0]
                _bubble(axis, middle, 0.55, f"$k_{p}$", KERNEL, frame=False)
        for i, value in enumerate(x):
            _bubble(axis, i, 1.0, f"$x_{i}$", INPUT)
            axis.text(
                i,
                1.28,
                f"{value:g}".replace("-", "−"),
                ha="center",
                color=INPUT,
                fontsize=8,
            )
        for i, value in enumerate(y):
            place = i + (len(k) - 1) / 2
            _bubble(axis, place, 0.0, f"$y_{i}$", OUTPUT)
            axis.text(
                place,
                -0.45,
                f"{value:g}".replace("-", "−"),
                ha="center",
                color=OUTPUT,
                fontsize=8,
            )
        axis.set(xlim=(-0.5, len(x) - 0.5), ylim=(-0.5, 1.5), title=title)
        axis.axis("off")
    return figure


def _arrow(axes: Axes, start: Point, end: Point, colour: str | None) -> None:
    axes.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle="-|>",
            mutation_scale=8,
            shrinkA=10,
            shrinkB=10,
            color=colour or "#c4c4c4",
            lw=1.6 if colour else 0.8,
            zorder=2 if colour else 1,
        )
    )


def _bubble(
    axes: Axes, x: float, y: float, text: str, colour: str, frame: bool = True
) -> None:
    box: dict[str, Any] = {"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none"}
    if frame:
        box |= {"boxstyle": "circle,pad=0.25", "ec": colour, "lw": 1.3}
    axes.text(
        x,
        y,
        text,
        bbox=box,
        color="black" if frame else colour,
        ha="center",
        va="center",
        fontsize=9,
        zorder=4,
    )


def products(
    panels: Sequence[tuple[str, ArrayLike, ArrayLike, str, str]],
    dense: Collection[int] = (),
) -> Figure:
    """Matrices times vectors, in numbers: matrix, vector, and what comes out.

    panels: for each a title, the matrix (rows, columns), the vector (columns,), and the
    roles (`figures.COLOURS`) of the vector and of the result. Zeros of the matrix are
    left empty, its other entries shaded; of the panels in `dense` all are written.
    """
    widths = [np.asarray(matrix).shape[1] + 3.2 for _, matrix, *_ in panels]
    figure, axes = plt.subplots(
        1, len(panels), figsize=(figures.FULL_WIDTH, 1.95), width_ratios=widths
    )
    tallest = max(max(np.asarray(matrix).shape) for _, matrix, *_ in panels)
    for number, axis in enumerate(axes):
        title, matrix, vector, before, after = panels[number]
        matrix, vector = np.asarray(matrix), np.asarray(vector)
        rows, columns = matrix.shape
        colours = [figures.COLOURS[role] for role in ("kernel", before, after)]
        _numbers(axis, matrix, 0, colours[0], shaded=True, every=number in dense)
        _numbers(axis, vector[:, None], columns + 0.4, colours[1])
        axis.text(columns + 1.25, rows / 2 - 0.5, "=", ha="center", va="center")
        result = (matrix @ vector)[:, None]
        _numbers(axis, result, columns + 2.1, colours[2])
        axis.set(xlim=(-0.6, columns + 2.7), ylim=(tallest - 0.3, -0.7))
        axis.set_aspect("equal", anchor="N")
        axis.set_title(title)
        axis.axis("off")
    return figure


def _numbers(
    axes: Axes,
    values: np.ndarray,
    left: float,
    colour: str,
    shaded: bool = False,
    every: bool = True,
) -> None:
    """A table of numbers whose first column stands at `left`."""
    rows, columns = values.shape
    for row in range(rows):
        for column in range(columns):
            value, place = values[row, column], left + column
            shown = every or value != 0
            face = to_rgba(colour, 0.22) if shaded and shown else "white"
            corner = (place - 0.5, row - 0.5)
            axes.add_patch(Rectangle(corner, 1, 1, fc=face, ec="#dddddd", lw=0.5))
            number = f"{value:g}".replace("-", "−") if shown else ""
            axes.text(place, row, number, ha="center", va="center", fontsize=7.5)
    outline = (left - 0.5, -0.5)
    axes.add_patch(Rectangle(outline, columns, rows, fill=False, ec=colour, lw=1.4))


def computation_graph(equations: Mapping[str, str]) -> Figure:
    """The tensors of a convolution, the steps between them and the way back.

    equations: what stands at the backward arrow of each edge, named by its two ends:
    "XU", "UP" (P: the product), "PY", "YL", "KW", "WP".
    """
    nodes = {
        "X": (0.0, 0.0, r"$\mathbf{X}$", "$(B, C, H, W)$", INPUT),
        "U": (2.1, 0.0, r"$\mathbf{U}$", "$(B, R, T)$", INPUT),
        "P": (4.2, 0.0, r"$\mathbf{Y}'$", "$(B, T, D)$", OUTPUT),
        "Y": (6.3, 0.0, r"$\mathbf{Y}$", r"$(B, D, H_{out}, W_{out})$", OUTPUT),
        "L": (8.1, 0.0, "$L$", "()", BLACK),
        "W": (4.2, 1.8, r"$\mathbf{W}$", "$(R, D)$", KERNEL),
        "K": (1.3, 1.8, r"$\mathbf{K}$", "$(D, C, k_h, k_w)$", KERNEL),
    }
    steps = {
        "XU": "unfold",
        "UP": "product",
        "PY": "reshape",
        "YL": "the rest",
        "KW": "reshape",
        "WP": "product",
    }
    figure, axes = plt.subplots(figsize=(figures.FULL_WIDTH, 2.2))
    for edge, step in steps.items():
        start, end = nodes[edge[0]][:2], nodes[edge[1]][:2]
        _both_ways(axes, start, end, step, equations[edge])
    for x, y, name, shape, colour in nodes.values():
        box: dict[str, Any] = {"boxstyle": "round,pad=0.45", "fc": "white"}
        box |= {"ec": colour, "lw": 1.4}
        centred: dict[str, Any] = {"ha": "center", "va": "center"}
        axes.text(x, y, name, fontsize=12, color=colour, bbox=box, **centred)
        beside = y + 0.5 if y else y - 0.56
        axes.text(x, beside, shape, fontsize=8, **centred)
    axes.set(xlim=(-0.8, 8.6), ylim=(-0.85, 2.5))
    axes.axis("off")
    return figure


def _both_ways(
    axes: Axes, start: Point, end: Point, forward: str, backward: str
) -> None:
    upright = start[0] == end[0]
    gap = np.array([0.1, 0]) if upright else np.array([0, 0.1])
    places = np.array([start, end])
    for sign, colour, line, label in (
        (1, BLACK, "-", forward),
        (-1, GRADIENT, "--", backward),
    ):
        tail, head = (places + sign * gap)[::sign]
        axes.add_patch(
            FancyArrowPatch(
                tuple(tail),
                tuple(head),
                color=colour,
                linestyle=line,
                arrowstyle="-|>",
                mutation_scale=9,
                shrinkA=19,
                shrinkB=19,
            )
        )
        x, y = places.mean(0) + sign * gap * np.array([3.2, 2.4])
        side = ("left" if sign > 0 else "right") if upright else "center"
        axes.text(x, y, label, ha=side, va="center", color=colour, fontsize=8)


def copy_counts(counts: Mapping[str, ArrayLike]) -> Figure:
    """How often each pixel is copied; pixels without a copy in bold.

    counts: name of the case -> whole numbers, (height, width).
    """
    figure, axes = plt.subplots(1, len(counts), figsize=(figures.FULL_WIDTH, 1.8))
    for axis, (name, values) in zip(axes, counts.items(), strict=True):
        values = np.asarray(values)
        figures.image(axis, values, name, cmap="Purples", vmin=0, vmax=14)
        for (row, column), count in np.ndenumerate(values):
            look = {} if count else {"color": KERNEL, "weight": "bold"}
            axis.text(column, row, int(count), ha="center", va="center", **look)
    return figure


def finite_differences(
    steps: Sequence[float],
    errors: Mapping[str, Sequence[float]],
    units: Mapping[str, float],
) -> Figure:
    """Relative error of central differences against the step, on logarithmic axes.

    errors: name of the curve -> one error for each step. units: name of the curve ->
    size of a rounding error, drawn as a dotted line divided by the step.
    """
    figure, axes = plt.subplots(figsize=(figures.FULL_WIDTH, 2.1))
    small = [step for step in steps if step < 0.1]
    for number, (name, curve) in enumerate(errors.items()):
        colour, marker = figures.SERIES[number], figures.MARKERS[number]
        axes.loglog(steps, curve, color=colour, marker=marker, ms=4, label=name)
        if name in units:
            line = [units[name] / step for step in small]
            axes.loglog(small, line, ":", color=colour, lw=1)
    axes.set(xlabel="step (grey values lie in 0 to 1)", ylabel="relative error")
    axes.set_ylim(1e-17, 30)
    figure.legend(loc="outside upper center", ncols=len(errors))
    return figure


def training(losses: Mapping[str, ArrayLike], apart: Mapping[str, ArrayLike]) -> Figure:
    """Left the loss curves of two networks, right how far apart they are.

    losses: name -> loss of every step. apart: precision -> absolute difference in every
    step, on a logarithmic axis whose lowest row means zero.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(figures.FULL_WIDTH, 2.0))
    looks = ({"lw": 2.5, "alpha": 0.5}, {"ls": "--", "lw": 1})
    for number, (name, curve) in enumerate(losses.items()):
        left.plot(curve, color=figures.SERIES[number], label=name, **looks[number])
    left.set(xlabel="step", ylabel="training loss", ylim=(0, None))
    left.legend()
    floor = 1e-18
    for number, (name, difference) in enumerate(apart.items()):
        shown = np.maximum(np.asarray(difference), floor)
        marker, colour = figures.MARKERS[number], figures.SERIES[number]
        right.semilogy(shown, marker, ms=2.5, color=colour, label=name)
    right.set(xlabel="step", ylabel="absolute difference")
    ticks = [1e-15, 1e-12, 1e-9, 1e-6, 1e-3]
    labels = [f"$10^{{{np.log10(tick):.0f}}}$" for tick in ticks]
    right.set_yticks([floor, *ticks], ["0", *labels])
    right.minorticks_off()
    right.legend(loc="center right")
    return figure


def gradient_image(image: ArrayLike, answer: ArrayLike, gradient: ArrayLike) -> Figure:
    """An image, a kernel's answer to it, and the gradient, each signed one on a scale.

    image, gradient: (height, width). answer: a little smaller.
    """
    figure, axes = plt.subplots(1, 3, figsize=(figures.FULL_WIDTH, 2.0))
    figures.image(axes[0], image, r"image $\mathbf{X}$")
    for axis, values, name in (
        (axes[1], answer, r"$\mathbf{Y} = \mathbf{G}_x * \mathbf{X}$"),
        (axes[2], gradient, r"gradient $\nabla \mathbf{X}$"),
    ):
        limit = float(np.abs(np.asarray(values)).max())
        scale = {"cmap": "coolwarm", "vmin": -limit, "vmax": limit}
        figures.image(axis, values, name, **scale)
        figure.colorbar(
            axis.images[0], ax=axis, shrink=0.6, location="bottom", aspect=15
        )
    return figure


def maximiser(pictures: Mapping[str, ArrayLike], waves: ArrayLike) -> Figure:
    """Images side by side, each on its own scale, and how much each wave is amplified.

    pictures: title -> (height, width). waves: amplification over the frequencies from
    -0.5 to 0.5 periods per pixel, vertical ones down the rows; its maxima are marked.
    """
    figure, axes = plt.subplots(
        1,
        len(pictures) + 1,
        figsize=(figures.FULL_WIDTH, 1.9),
        width_ratios=[1] * len(pictures) + [1.5],
    )
    for axis, (name, picture) in zip(axes, pictures.items(), strict=False):
        span = float(np.abs(np.asarray(picture)).max())
        figures.image(axis, picture, name, vmin=-span, vmax=span)
    waves = np.asarray(waves)
    heat = axes[-1].imshow(waves, extent=(-0.5, 0.5, 0.5, -0.5), cmap="viridis")
    rows, columns = np.nonzero(waves > waves.max() - 1e-9)
    places = columns / waves.shape[1] - 0.5, rows / waves.shape[0] - 0.5
    axes[-1].plot(*places, "+", color="white", ms=8)
    ticks = [-0.25, 0, 0.25]
    axes[-1].set(xticks=ticks, yticks=ticks, title="amplification")
    axes[-1].set(xlabel="$f_x$ (periods per pixel)", ylabel="$f_y$")
    figure.colorbar(heat, ax=axes[-1], shrink=0.6)
    return figure
