"""The table of the three data sets: all that is particular to each of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from helpers.data import embedded, quick
from helpers.data.download import Download
from helpers.data.formats import (
    CIFAR_ARCHIVE,
    CIFAR_FOLDER,
    MNIST_FILES,
    read_batches,
    read_mnist_folder,
)
from helpers.data.images import DIGITS, OBJECTS, read_canvases, read_objects
from helpers.data.samples import Splits


@dataclass(frozen=True)
class Place:
    """A file, or a folder that counts if it holds one of `files`, and its reader."""

    read: Callable[[Path], Splits]
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Variant:
    """One of the two sets that a name may stand for: the report's, or the quick one.

    source: what it is, in words. fingerprint: of the only one that is genuine.
    """

    source: str
    classes: tuple[str, ...]
    fingerprint: str


@dataclass(frozen=True)
class Recipe:
    """Where to find one data set, how to read it, and what is quicker to train on.

    shapes: of its images, (channels, height, width), once for each resolution.

    places: where it may lie, in a folder of data sets, in the order of preference.
    embedded: what reads the committed files, if it is among them. download: the
    published file, which is one of the places, if not.
    """

    full: Variant
    shapes: tuple[tuple[int, int, int], ...]
    places: Mapping[str, Place]
    quick: Variant
    read_quick: Callable[[], Splits]
    embedded: Callable[[], Splits] | None = None
    download: Download | None = None


_mnist_files = Place(
    read_mnist_folder, (*MNIST_FILES, *(f"{name}.gz" for name in MNIST_FILES))
)

RECIPES = {
    "mnist": Recipe(
        full=Variant("MNIST", DIGITS, "a0d41a1ab5ea3073"),
        shapes=((1, 28, 28),),
        places=dict.fromkeys(("MNIST/raw", "MNIST", "raw", "."), _mnist_files),
        embedded=embedded.read_mnist,
        quick=Variant("a few images of MNIST", DIGITS, "bc339877ec32315d"),
        read_quick=quick.few_digits,
    ),
    "varres": Recipe(
        full=Variant("MNIST in three resolutions", DIGITS, "3a80fe244a2e9c52"),
        shapes=tuple((1, side, side) for side in (32, 48, 64)),
        places=dict.fromkeys(
            ("mnist-varres.tgz", "mnist-varres"), Place(read_canvases)
        ),
        embedded=embedded.read_varres,
        quick=Variant(
            "a few images of MNIST in three resolutions", DIGITS, "ca3d1a734dab1a27"
        ),
        read_quick=quick.few_canvases,
    ),
    "cifar10": Recipe(
        full=Variant("CIFAR-10", OBJECTS, "78565cd27623ed07"),
        shapes=((3, 32, 32),),
        places={
            "cifar10.tgz": Place(read_objects),
            "cifar10": Place(read_objects),
            CIFAR_ARCHIVE: Place(read_batches),
            CIFAR_FOLDER: Place(read_batches),
        },
        download=Download(
            "https://www.cs.toronto.edu/~kriz/",
            CIFAR_ARCHIVE,
            "md5:c58f30108f718f92721af3b95e74349a",
        ),
        quick=Variant(
            "2,500 generated images of ten textured shapes",
            tuple(quick.SHAPES),
            "95cb163e0455a92f",
        ),
        read_quick=quick.textured_shapes,
    ),
}
