"""House style of all figures, and show(): caption, alternative text, file, display."""

import base64
import html
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from helpers import compact, figure_data, project
from helpers.stats import Interval, t_interval

FULL_WIDTH = 6.5  # inches: the width of the text in the PDF
MIME_TYPES = {"svg": "image/svg+xml", "png": "image/png"}

# One colour per role, the same in all figures; Okabe and Ito's palette, which readers
# with any kind of colour vision can tell apart.
COLOURS = {
    "input": "#0072B2",
    "kernel": "#D55E00",
    "output": "#009E73",
    "gradient": "#CC79A7",
    "padding": "#999999",
    "highlight": "#E69F00",
    "reference": "#000000",
}
# For curves and bars that are not a role: colour and marker go together.
SERIES = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]


def use_house_style() -> None:
    """Set fonts, sizes, colours and the deterministic SVG output for this process."""
    sns.set_theme(style="ticks", context="paper", palette=SERIES)
    plt.rcParams.update(
        {
            "figure.figsize": (FULL_WIDTH, 3.2),
            "figure.constrained_layout.use": True,
            "figure.dpi": 100,
            "font.size": 9,
            "axes.titlesize": 9,
            "axes.labelsize": 9,
            "xtick.labelsize": 8,
            "ytick.labelsize": 8,
            "legend.fontsize": 8,
            "legend.frameon": False,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "image.interpolation": "nearest",
            "image.cmap": "gray",
            "svg.fonttype": "path",
            "svg.hashsalt": "convolution",
        }
    )


def image(axes: Axes, pixels: ArrayLike, title: str = "", **options: Any) -> None:
    """Draw `pixels` (height, width) or (height, width, 3) without axes or smoothing.

    `options` go to imshow: give vmin and vmax where several images share one scale.
    """
    axes.imshow(pixels, interpolation="nearest", **options)
    axes.set_title(title)
    axes.set_xticks([])
    axes.set_yticks([])
    sns.despine(ax=axes, left=True, bottom=True)


def draw_band(
    axes: Axes, values: ArrayLike, number: int, label: str, line: str = "-"
) -> None:
    """Draw the mean over seeds, epoch by epoch, and its 95 % t interval as a band.

    values: (seeds, epochs). number: which of `SERIES` and `MARKERS`. Raises ValueError
    for fewer than two seeds.
    """
    found = [t_interval(column) for column in np.asarray(values).T]
    epochs = range(1, len(found) + 1)
    axes.plot(
        epochs,
        [interval.mean for interval in found],
        line,
        color=SERIES[number],
        marker=MARKERS[number],
        ms=3,
        lw=1.2,
        label=label,
    )
    low, high = zip(*(interval[1:3] for interval in found), strict=True)
    axes.fill_between(epochs, low, high, color=SERIES[number], alpha=0.2, lw=0)


def whisker(
    axes: Axes,
    place: float,
    values: ArrayLike,
    number: int = 0,
    *,
    across: bool = False,
    interval: Interval | None = None,
    label: str | None = None,
) -> None:
    """Draw a mean with its 95 % interval, and the single values as grey rings.

    values: (seeds,). place: where, on the other axis; `across` lays the interval along
    the horizontal axis. interval: one that covers more than the seeds, where there is
    one; else the t interval of the values. number: which of `SERIES` and `MARKERS`.
    Raises ValueError for fewer than two values without an interval.
    """
    values = np.asarray(values, dtype=float)
    interval = interval or t_interval(values)
    error = [[interval.mean - interval.low], [interval.high - interval.mean]]
    rings = np.full(len(values), place), values
    mean = place, interval.mean
    axes.plot(
        *(rings[::-1] if across else rings),
        "o",
        ms=3,
        mfc="none",
        color=COLOURS["padding"],
    )
    axes.errorbar(
        *(mean[::-1] if across else mean),
        xerr=error if across else None,
        yerr=None if across else error,
        fmt=MARKERS[number % len(MARKERS)],
        color=SERIES[number % len(SERIES)],
        ms=4.5,
        capsize=3,
        label=label,
    )


def rows_of_whiskers(
    values: Mapping[str, ArrayLike],
    quantity: str,
    *,
    intervals: Mapping[str, Interval] | None = None,
    chosen: str = "",
    line: float | None = None,
) -> Figure:
    """One row per name, the first on top: mean, interval, and single networks.

    values: name -> accuracy of each network. quantity: what the axis shows. intervals:
    those that cover more than the seeds. chosen: the name in another colour. line: an
    accuracy to compare with, dotted.
    """
    names = [*values]
    figure, axes = plt.subplots(figsize=(FULL_WIDTH, 0.65 + 0.19 * len(names)))
    for row, name in enumerate(names):
        interval = intervals[name] if intervals else None
        whisker(
            axes, row, values[name], int(name == chosen), across=True, interval=interval
        )
    if line is not None:
        axes.axvline(line, color="black", lw=0.8, ls=":", zorder=0)
    labels = [f"{name} (chosen)" if name == chosen else name for name in names]
    axes.set_yticks(range(len(names)), labels)
    axes.set(xlabel=quantity, ylim=(len(names) - 0.4, -0.6))
    axes.xaxis.set_major_formatter(as_percent)
    return figure


def as_percent(share: float, _position: float | None = None) -> str:
    """What a tick at a share says, exactly, on axes of any scale: 0.015 is 1.5%."""
    return f"{100 * share:.6g}%"


def show(figure: Figure, key: str, caption: str, alt: str, format: str = "svg") -> None:
    """Write a figure to its file and display it with caption and alternative text.

    The file lies in build/figures, or in the folder that REPORT_FIGURES names, and what
    was drawn beside it, as CSV.
    `key` names it (`<key>.svg`) and the anchor (`#fig-<key>`); `caption`
    is Markdown and states the claim, n and the data set; `alt` describes axes, trend
    and extremes for a reader who cannot see the figure. `format` is "svg", or "png"
    for figures that are mostly photographs. Raises ValueError for a key that cannot
    name a file, when caption or alt is empty, or the figure is wider than the page.
    """
    project.check_key(key)
    width = figure.get_size_inches()[0]
    if not caption.strip() or not alt.strip():
        raise ValueError(f"figure {key!r} needs a caption and an alternative text")
    if width > FULL_WIDTH:
        raise ValueError(
            f"figure {key!r} is {width} inches wide: the page has {FULL_WIDTH}"
        )
    if format not in MIME_TYPES:
        raise ValueError(f"format is {format!r}: use 'svg' or 'png'")
    buffer = BytesIO()
    figure.savefig(buffer, format=format, dpi=200)
    picture = compact.picture(buffer.getvalue(), format)
    values = figure_data.table(figure)
    plt.close(figure)

    folder = project.figures()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{key}.{format}").write_bytes(picture)
    (folder / f"{key}.csv").write_text(values, "utf-8")

    bundle = {
        "text/plain": f"Figure: {caption}",
        "text/html": element(picture, format, key, caption, alt),
    }
    report = {
        "kind": "figure",
        "key": key,
        "caption": caption,
        "alt": alt,
        "width": float(width),
        "data": values,
    }
    display(bundle, metadata={"report": report}, raw=True)


def element(picture: bytes, format: str, key: str, caption: str, alt: str) -> str:
    """Return the HTML in which a notebook keeps a figure: the only copy of the picture.

    Viewers of notebooks show one representation of each output. HTML alone has room for
    caption and alternative text; and an image/svg+xml is set among the elements of the
    page by some viewers, where their filters spoil it. An address in base64 is the form
    that all are known to show.
    """
    encoded = base64.b64encode(picture).decode()
    return (
        f'<figure id="fig-{key}"><img src="data:{MIME_TYPES[format]};base64,{encoded}" '
        f'alt="{html.escape(alt)}" style="max-width:100%;background:white"/>'
        f"<figcaption>{html.escape(caption, quote=False)}</figcaption></figure>"
    )
