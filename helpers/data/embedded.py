"""The data sets that are committed with the code: MNIST, and the recipe of varres.

`mnist.xz` holds the four published files of MNIST, one behind the other, compressed.

`varres.xz` holds, for each image of MNIST in its published order, the side of the
canvas that it stands on in the variable-resolution MNIST, in units of 16 pixels, and
the row and column of its upper left corner there: one byte each, all sides first. The
grey values g of MNIST appear on the canvas as round(g^2 / 255).

Both are read into memory, never unpacked to disk. They were made from the published
files by `python -m helpers.data.embedded`.
"""

import argparse
import lzma
from pathlib import Path

import numpy as np
import torch

from helpers.data import settings
from helpers.data.formats import (
    MNIST_FILES,
    idx_length,
    mnist_contents,
    mnist_from,
    read_mnist_folder,
)
from helpers.data.images import read_canvases
from helpers.data.samples import DataError, Split, Splits, in_canonical_order

MNIST_FILE, VARRES_FILE = "mnist.xz", "varres.xz"
SIDES = (32, 48, 64)
SIDE_UNIT = 16
MNIST_SIDE = 28
PARTS = {"train": 60_000, "test": 10_000}


def read_mnist() -> Splits:
    """MNIST in its published order; raises DataError for a damaged or missing file."""
    content, files = _unpacked(MNIST_FILE), []
    for _ in MNIST_FILES:
        length = idx_length(content)
        files.append(content[:length])
        content = content[length:]
    return mnist_from(*files)


def read_varres() -> Splits:
    """MNIST in three resolutions, rebuilt from MNIST and the recipe."""
    recipe = np.frombuffer(_unpacked(VARRES_FILE), np.uint8)
    if len(recipe) != 3 * sum(PARTS.values()):
        raise DataError(f"{VARRES_FILE} has {len(recipe)} bytes")
    return on_canvases(read_mnist(), *recipe.reshape(3, -1))


def on_canvases(
    mnist: Splits, sides: np.ndarray, tops: np.ndarray, lefts: np.ndarray
) -> Splits:
    """Put each image of MNIST on its canvas; one entry per image, training first.

    sides: of the canvas, in units of 16 px. tops, lefts: of the corner, in px.
    """
    splits: Splits = {}
    first = 0
    for part, by_resolution in mnist.items():
        digits = on_canvas_values(by_resolution[MNIST_SIDE].images[:, 0].numpy())
        labels = by_resolution[MNIST_SIDE].labels
        here = slice(first, first + len(labels))
        first += len(labels)
        splits[part] = {}
        for side in SIDES:
            rows = np.flatnonzero(sides[here] == side // SIDE_UNIT)
            images = np.zeros((len(rows), 1, side, side), np.uint8)
            inside = np.arange(MNIST_SIDE)
            images[
                np.arange(len(rows))[:, None, None],
                0,
                tops[here][rows, None, None] + inside[:, None],
                lefts[here][rows, None, None] + inside,
            ] = digits[rows]
            split = Split(torch.from_numpy(images), labels[rows])
            splits[part][side] = in_canonical_order(split)
    return splits


def on_canvas_values(grey: np.ndarray) -> np.ndarray:
    """The grey values that the variable-resolution set has for those of MNIST."""
    values = np.rint(np.arange(256) ** 2 / 255).astype(np.uint8)
    return values[grey]


def recipe_of(mnist: Splits, varres: Splits) -> np.ndarray:
    """Find each image of MNIST in the variable-resolution set: uint8, (3, images).

    Raises ValueError unless the two match one to one within each part.
    """
    return np.concatenate(
        [_recipe_of_part(mnist[part][MNIST_SIDE], varres[part]) for part in PARTS], 1
    )


def _recipe_of_part(digits: Split, canvases: dict[int, Split]) -> np.ndarray:
    places: dict[tuple, tuple[int, int, int]] = {}
    for index, image in enumerate(on_canvas_values(digits.images[:, 0].numpy())):
        key, top, left = _ink(image, int(digits.labels[index]))
        if places.setdefault(key, (index, top, left))[0] != index:
            raise ValueError(f"images {places[key][0]} and {index} of MNIST are alike")
    recipe = np.zeros((3, len(digits.labels)), np.uint8)
    for side, split in canvases.items():
        for image, label in zip(split.images[:, 0].numpy(), split.labels, strict=True):
            key, top, left = _ink(image, int(label))
            place = places.pop(key, None)
            if place is None:
                raise ValueError(
                    f"an image of {side} px is none of MNIST, or one twice"
                )
            index, top_within, left_within = place
            recipe[:, index] = side // SIDE_UNIT, top - top_within, left - left_within
    if places:
        raise ValueError(f"{len(places)} images of MNIST are on no canvas")
    return recipe


def _ink(image: np.ndarray, label: int) -> tuple[tuple, int, int]:
    """What is drawn, wherever it stands; and the first row and column of it."""
    rows, columns = np.nonzero(image)
    top, left = rows.min(), columns.min()
    drawn = image[top : rows.max() + 1, left : columns.max() + 1]
    return (label, drawn.shape, drawn.tobytes()), int(top), int(left)


def _unpacked(name: str) -> bytes:
    try:
        with lzma.open(settings.EMBEDDED_FOLDER / name) as file:
            return file.read(settings.MOST_FILE_BYTES)
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise DataError(f"data/{name} is missing or damaged ({error})") from error


def _pack(name: str, content: bytes) -> None:
    path = settings.EMBEDDED_FOLDER / name
    path.write_bytes(lzma.compress(content, preset=9 | lzma.PRESET_EXTREME))
    print(f"data/{name}: {path.stat().st_size:,} bytes")


def main() -> None:
    """Make both files from the published ones that the command line names."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers.data.embedded",
        description="Make data/mnist.xz and data/varres.xz from the published files.",
    )
    parser.add_argument("mnist", type=Path, help="folder of MNIST's four files")
    parser.add_argument("varres", type=Path, help="mnist-varres.tgz, or that unpacked")
    chosen = parser.parse_args()
    mnist, varres = read_mnist_folder(chosen.mnist), read_canvases(chosen.varres)
    _pack(MNIST_FILE, b"".join(mnist_contents(chosen.mnist)))
    _pack(VARRES_FILE, recipe_of(mnist, varres).tobytes())


if __name__ == "__main__":
    main()
