"""The published files of MNIST and CIFAR-10, in the layouts that torchvision keeps."""

import gzip
import hashlib
import io
import math
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torchvision.datasets import CIFAR10

from helpers.data import settings
from helpers.data.archive import archive_members
from helpers.data.samples import DataError, Split, Splits, in_canonical_order

# --- MNIST: files of bytes in the idx format ------------------------------------------


def read_mnist(folder: Path) -> Splits:
    """Read the four files of MNIST, in their published order."""
    splits = {}
    for part, prefix in (("train", "train"), ("test", "t10k")):
        images = _read_idx(folder / f"{prefix}-images-idx3-ubyte", dimensions=3)
        labels = _read_idx(folder / f"{prefix}-labels-idx1-ubyte", dimensions=1)
        if images.shape[1:] != (28, 28):
            raise DataError(f"{part} images are {images.shape[1:]} px, not (28, 28)")
        if len(images) != len(labels):
            raise DataError(f"{part} has {len(images)} images, {len(labels)} labels")
        if labels.max() > 9:
            raise DataError(f"{part} has the label {labels.max()}; allowed are 0 to 9")
        images, labels = torch.from_numpy(images), torch.from_numpy(labels)
        splits[part] = {28: Split(images.unsqueeze(1), labels.long())}
    return splits


def _read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Read a file of unsigned bytes in the idx format, compressed by gzip or not."""
    packed = path.with_name(path.name + ".gz")
    if path.exists():
        content = path.read_bytes()
    elif packed.exists():
        with gzip.open(packed) as file:
            content = file.read(settings.MOST_FILE_BYTES)
    else:
        raise DataError(f"{path.name} or {packed.name} is missing")
    header_size = 4 + 4 * dimensions
    magic = bytes((0, 0, 8, dimensions))  # 8: unsigned bytes
    if content[:4] != magic:
        raise DataError(f"{path.name} begins with {content[:4]!r}, not with {magic!r}")
    shape = [int.from_bytes(content[i : i + 4]) for i in range(4, header_size, 4)]
    if len(content) != header_size + math.prod(shape) or 0 in shape:
        raise DataError(f"{path.name} has {len(content)} bytes, but announces {shape}")
    return np.frombuffer(content, np.uint8, offset=header_size).reshape(shape).copy()


# --- CIFAR-10: batches, which are pickles ---------------------------------------------

_BATCH_NAME = re.compile(rf"(?:^|/){CIFAR10.base_folder}/([^/]+)$")
_MOST_BATCH_BYTES = 2**26  # twice what a real batch has


def read_batches(path: Path) -> Splits:
    """Read the official batches from their folder or from their archive."""
    if path.is_dir():
        names = [name for name, _ in CIFAR10.train_list + CIFAR10.test_list]
        contents = {name: (path / name).read_bytes() for name in names}
    else:
        members = archive_members(path, _BATCH_NAME, _MOST_BATCH_BYTES)
        contents = {match[1]: content for match, content in members}
    splits = {}
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
_ARRAY_PARTS = {
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
