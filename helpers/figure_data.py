"""The data of a figure as CSV: what was drawn, in the coordinates of its axes.

One row for each point, bar, end of an interval, number or pixel, with the panel that it
stands in and the name that it has in the legend.
"""

import csv
from collections.abc import Iterator
from io import StringIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import (
    Collection,
    LineCollection,
    PathCollection,
    QuadMesh,
)
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

HEADER = ("panel", "kind", "name", "x", "y", "value")
MOST_PIXELS = 400  # a matrix; what has more is a picture, and its pixels are its data

Row = tuple[str, str, str, object, object, object]


def table(figure: Figure) -> str:
    """Return what a figure shows as CSV, its first line the names of the columns."""
    buffer = StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(HEADER)
    for number, axes in enumerate(figure.axes, 1):
        title = axes.get_title() or axes.get_ylabel() or axes.get_xlabel()
        panel = " ".join(f"{number} {title}".split())
        for kind, name, x, y, value in _drawn(axes):
            writer.writerow([panel, kind, _named(name), *map(_plain, (x, y, value))])
    return buffer.getvalue()


def _drawn(axes: Axes) -> Iterator[tuple[str, str, object, object, object]]:
    """Everything in one panel: kind, name, x, y, value."""
    for line in axes.lines:
        if line.get_transform().contains_branch(axes.transData):
            for x, y in np.asarray(line.get_xydata(), dtype=float):
                yield "point", str(line.get_label()), x, y, ""
    for container in axes.containers:
        if isinstance(container, BarContainer):
            for bar in container.patches:
                box = bar.get_bbox()
                middle = ((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2)
                across = container.orientation == "horizontal"
                size = box.width if across else box.height
                yield "bar", str(container.get_label()), *middle, size
    grids = [mesh for mesh in axes.collections if isinstance(mesh, QuadMesh)]
    for collection in axes.collections:
        if collection in grids:
            continue  # a heat map: one value for each of its cells
        name = str(collection.get_label())
        for kind, x, y in _of_collection(collection):
            yield kind, name, x, y, ""
    for image in (*axes.images, *grids):
        values = np.asarray(image.get_array())
        if values.ndim == 2 and values.size <= MOST_PIXELS:
            for (row, column), value in np.ndenumerate(values):
                yield "pixel", "", column, row, value
    for words in axes.texts:
        if words.get_text().strip():
            yield "text", "", *words.get_position(), words.get_text()


def _of_collection(collection: Collection) -> Iterator[tuple[str, object, object]]:
    if isinstance(collection, PathCollection):
        for x, y in np.ma.filled(collection.get_offsets(), np.nan):
            yield "point", x, y
    else:
        kind = "interval" if isinstance(collection, LineCollection) else "area"
        for path in collection.get_paths():
            for x, y in np.asarray(path.vertices, dtype=float):
                yield kind, x, y


def _named(label: str) -> str:
    """A name as the legend has it; matplotlib's own ones begin with a line below."""
    return "" if label.startswith("_") else label


def _plain(value: object) -> object:
    """Numbers with six digits: more than a figure shows."""
    return f"{value:.6g}" if isinstance(value, float | np.floating) else value
