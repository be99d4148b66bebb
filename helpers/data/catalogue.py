"""The table of the three data sets: all that is particular to each of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torchvision.datasets import CIFAR10, MNIST

from helpers.data.download import Download, git_blob_is, md5_is
from helpers.data.formats import read_batches, read_mnist
from helpers.data.images import read_images
from helpers.data.samples import Splits
from helpers.data.stand_ins import SHAPES, digits_on_canvas, textured_shapes


@dataclass(frozen=True)
class Recipe:
    """Where to find one data set, how to read it, and what may take its place."""

    title: str
    classes: tuple[str, ...]
    places: Mapping[str, Callable[[Path], Splits]]  # each with its reader
    downloads: tuple[Download, ...]
    arrives_at: str  # the one of `places` that the downloads fill
    stand_in: Callable[[], Splits]
    stand_in_text: str
    stand_in_classes: tuple[str, ...]
    fingerprint: str | None = None  # where only one is genuine


_DIGITS = tuple("0123456789")
_OBJECTS = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)

_read_digits = partial(read_images, classes=_DIGITS, mode="L", resolutions=(32, 48, 64))
_read_objects = partial(read_images, classes=_OBJECTS, mode="RGB", resolutions=(32,))

RECIPES = {
    "mnist": Recipe(
        title="MNIST",
        classes=_DIGITS,
        places={"MNIST/raw": read_mnist},
        downloads=tuple(
            Download(
                f"MNIST/raw/{file_name}",
                tuple(mirror + file_name for mirror in MNIST.mirrors),
                md5_is(md5),
            )
            for file_name, md5 in MNIST.resources
        ),
        arrives_at="MNIST/raw",
        stand_in=partial(digits_on_canvas, (28,), centred=True),
        stand_in_text="1,797 handwritten digits of 8x8 px that come with scikit-learn, "
        "enlarged",
        stand_in_classes=_DIGITS,
        fingerprint="a0d41a1ab5ea3073",
    ),
    "varres": Recipe(
        title="variable-resolution MNIST",
        classes=_DIGITS,
        places={"mnist-varres.tgz": _read_digits, "mnist-varres": _read_digits},
        downloads=(
            Download(
                "mnist-varres.tgz",
                ("https://dlvu.github.io/data/mnist-varres.tgz",),
                git_blob_is("d9b1775678ff3a6ed4fa91f2c3821132a4dbe67b"),
            ),
        ),
        arrives_at="mnist-varres.tgz",
        stand_in=partial(digits_on_canvas, (32, 48, 64), centred=False),
        stand_in_text="1,797 handwritten digits of 8x8 px that come with scikit-learn, "
        "enlarged and set anywhere on canvases of 32, 48 and 64 px",
        stand_in_classes=_DIGITS,
    ),
    "cifar10": Recipe(
        title="CIFAR-10",
        classes=_OBJECTS,
        places={
            "cifar10.tgz": _read_objects,
            "cifar10": _read_objects,
            CIFAR10.filename: read_batches,
            CIFAR10.base_folder: read_batches,
        },
        downloads=(
            Download(CIFAR10.filename, (CIFAR10.url,), md5_is(CIFAR10.tgz_md5)),
        ),
        arrives_at=CIFAR10.filename,
        stand_in=textured_shapes,
        stand_in_text="2,500 generated images of ten textured shapes",
        stand_in_classes=tuple(SHAPES),
    ),
}
