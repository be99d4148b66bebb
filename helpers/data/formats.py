"""The published files of MNIST and CIFAR-10, in the layouts that torchvision keeps."""

import gzip
import hashlib
import io
import math
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from helpers.data import settings
from helpers.data.archive import archive_members
from helpers.data.samples import DataError, Split, Splits, in_canonical_order

# --- MNIST: files of bytes in the idx format ------------------------------------------

MNIST_FILES = (
    *("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    *("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
)


def read_mnist_folder(folder: Path) -> Splits:
    """Read the four files of MNIST, plain or as .gz, in their published order."""
    return mnist_from(*mnist_contents(folder))


def mnist_contents(folder: Path) -> list[bytes]:
    """The contents of the four files, unpacked, in the order of `MNIST_FILES`."""
    return [_content(folder / name) for name in MNIST_FILES]


def mnist_from(*contents: bytes) -> Splits:
    """MNIST from the contents of its four files."""
    arrays = [
        _idx_array(name, content, dimensions)
        for name, content, dimensions in zip(
            MNIST_FILES, contents, (3, 1, 3, 1), strict=True
        )
    ]
    splits: Splits = {}
    for part, (images, labels) in {"train": arrays[:2], "test": arrays[2:]}.items():
        if images.shape[1:] != (28, 28):
            raise DataError(f"{part} images are {images.shape[1:]} px, not (28, 28)")
        if len(images) != len(labels):
            raise DataError(f"{part} has {len(images)} images, {len(labels)} labels")
        if labels.max() > 9:
            raise DataError(f"{part} has the label {labels.max()}; allowed are 0 to 9")
        pixels, numbers = torch.from_numpy(images), torch.from_numpy(labels)
        splits[part] = {28: Split(pixels.unsqueeze(1), numbers.long())}
    return splits


def idx_length(content: bytes) -> int:
    """How many bytes the idx file has that `content` begins with.

    Raises DataError where none begins.
    """
    if len(content) < 4 or content[:3] != bytes((0, 0, 8)):
        raise DataError(f"no file in the idx format begins with {content[:4]!r}")
    return 4 + 4 * content[3] + math.prod(_idx_shape(content, content[3]))


def _idx_shape(content: bytes, dimensions: int) -> list[int]:
    return [int.from_bytes(content[i : i + 4]) for i in range(4, 4 + 4 * dimensions, 4)]


def _content(path: Path) -> bytes:
    packed = path.with_name(path.name + ".gz")
    if path.exists():
        return path.read_bytes()
    if packed.exists():
        with gzip.open(packed) as file:
            return file.read(settings.MOST_FILE_BYTES)
    raise DataError(f"{path.name} or {packed.name} is missing")


def _idx_array(name: str, content: bytes, dimensions: int) -> np.ndarray:
    """The unsigned bytes of a file in the idx format."""
    header_size = 4 + 4 * dimensions
    magic = bytes((0, 0, 8, dimensions))  # 8: unsigned bytes
    if content[:4] != magic:
        raise DataError(f"{name} begins with {content[:4]!r}, not with {magic!r}")
    shape = _idx_shape(content, dimensions)
    if len(content) != header_size + math.prod(shape) or 0 in shape:
        raise DataError(f"{name} has {len(content)} bytes, but announces {shape}")
    return np.frombuffer(content, np.uint8, offset=header_size).reshape(shape).copy()


# --- CIFAR-10: batches, which are pickles ---------------------------------------------

CIFAR_ARCHIVE, CIFAR_FOLDER = "cifar-10-python.tar.gz", "cifar-10-batches-py"
_BATCH_NAME = re.compile(rf"(?:^|/){CIFAR_FOLDER}/([^/]+)$")
_MOST_BATCH_BYTES = 2**26  # twice what a real batch has


def read_batches(path: Path) -> Splits:
    """Read the official batches from their folder or from their archive."""
    from torchvision.datasets import CIFAR10  # slow to import

    if path.is_dir():
        names = [name for name, _ in CIFAR10.train_list + CIFAR10.test_list]
        contents = {name: (path / name).read_bytes() for name in names}
    else:
        members = archive_members(path, _BATCH_NAME, _MOST_BATCH_BYTES)
        contents = {match[1]: content for match, content in members}
    splits: Splits = {}
    for part, listed in (("train", CIFAR10.train_list), ("test", CIFAR10.test_list)):
        batches = [
            _unpickled(contents.get(name, b""), name, md5) for name, md5 in listed
        ]
        images = np.concatenate([batch["data"] for batch in batches])
        labels = torch.tensor([label for batch in batches for label in batch["labels"]])
        split = Split(torch.from_numpy(images.reshape(-1, 3, 32, 32)), labels)
        splits[part] = {32: in_canonical_order(split)}
    return splits


def _unpickled(content: bytes, name: str, md5: str) -> dict:
    """Read one batch, which is a pickle: only the published bytes, only as arrays."""
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
        raise DataError(f"{name} is missing or is not the published file")
    return _ArrayUnpickler(io.BytesIO(content), encoding="latin1").load()


# All that a pickled array needs; nothing else that a pickle may name gets called.
_ARRAY_PARTS: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Callable:
        if (module, name) not in _ARRAY_PARTS:
            raise DataError(
                f"it asks for {module}.{name}, which is no part of an array"
            )
        return _ARRAY_PARTS[module, name]
