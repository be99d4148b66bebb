"""Images as PNG files, in an archive or in a folder."""

import hashlib
import io
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from tqdm.auto import tqdm

from helpers.data import settings
from helpers.data.archive import archive_members
from helpers.data.cache import read_cache, write_cache
from helpers.data.samples import DataError, Split, Splits, in_canonical_order

_IMAGE_NAME = re.compile(r"(?:^|/)(train|test)/([^/]+)/(?!\.)[^/]+\.png$")
_MOST_BYTES = 2**16  # far more than any real image has


DIGITS = tuple("0123456789")
OBJECTS = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)


def read_canvases(path: Path) -> Splits:
    """Read the variable-resolution MNIST: grey digits of 32, 48 and 64 px."""
    return read_images(path, DIGITS, "L", (32, 48, 64))


def read_objects(path: Path) -> Splits:
    """Read CIFAR-10 as images: coloured, 32 px."""
    return read_images(path, OBJECTS, "RGB", (32,))


def read_images(
    path: Path, classes: tuple[str, ...], mode: str, resolutions: tuple[int, ...]
) -> Splits:
    """Decode images, or take them from the file that an earlier run left in data/cache.

    The name of that file holds a digest of the packed images, so that other images are
    decoded anew, and the file holds a fingerprint, so that a damaged one is too.

    The images' names end in train/<class>/<file>.png or test/<class>/<file>.png. mode
    is Pillow's: "L" for grey, "RGB" for colour. Raises DataError for an image of
    another class, mode or size, and when a class or a resolution has no image.
    """
    cache_name = f"{path.name.partition('.')[0]}-{_packed_digest(path)}.safetensors"
    cache = settings.DATA_FOLDER / "cache" / cache_name
    try:
        return read_cache(cache, resolutions)
    except (OSError, SafetensorError, ValueError, LookupError):
        splits = _decode(path, classes, mode, resolutions)
    try:
        write_cache(cache, splits)
    except (OSError, SafetensorError) as error:
        warnings.warn(
            f"{path.name} will be decoded again next time, as its decoded images "
            f"cannot be kept: {error}",
            stacklevel=3,
        )
    return splits


def _packed_digest(path: Path) -> str:
    if path.is_dir():
        digest = hashlib.sha256()
        for match, content in _folder_members(path):
            digest.update(f"{match[0]} {len(content)} ".encode() + content)
    else:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
    return digest.hexdigest()[:16]


def _folder_members(path: Path) -> Iterator[tuple[re.Match, bytes]]:
    """Yield name and content of the images below a folder."""
    for file in tqdm(sorted(path.rglob("*.png")), desc=path.name, leave=False):
        if match := _IMAGE_NAME.search(file.relative_to(path).as_posix()):
            if (size := file.stat().st_size) > _MOST_BYTES:
                raise DataError(
                    f"{match[0]!r} has {size} bytes; allowed are {_MOST_BYTES}"
                )
            yield match, file.read_bytes()


def _decode(
    path: Path, classes: tuple[str, ...], mode: str, resolutions: tuple[int, ...]
) -> Splits:
    """Decode all images of an archive or a folder, in canonical order."""
    members = (
        _folder_members(path)
        if path.is_dir()
        else archive_members(path, _IMAGE_NAME, _MOST_BYTES)
    )
    samples: dict[str, dict[int, tuple[list[np.ndarray], list[int]]]] = {
        part: {resolution: ([], []) for resolution in resolutions}
        for part in ("train", "test")
    }
    for match, content in members:
        part, class_name = match.groups()
        if class_name not in classes:
            raise DataError(
                f"{match[0]!r} belongs to no known class; the classes are "
                f"{', '.join(classes)}"
            )
        pixels = _pixels(match[0], content, mode, resolutions)
        images, labels = samples[part][pixels.shape[0]]
        images.append(pixels)
        labels.append(classes.index(class_name))

    splits: Splits = {}
    for part, by_resolution in samples.items():
        present = {label for _, labels in by_resolution.values() for label in labels}
        absent = [c for i, c in enumerate(classes) if i not in present]
        if absent:
            raise DataError(f"{part} has no image of class {', '.join(absent)}")
        splits[part] = {}
        for resolution, (images, labels) in by_resolution.items():
            if not images:
                raise DataError(f"{part} has no image of {resolution} px")
            stack = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
            splits[part][resolution] = in_canonical_order(
                Split(stack, torch.tensor(labels))
            )
    return splits


def _pixels(
    name: str, content: bytes, mode: str, resolutions: tuple[int, ...]
) -> np.ndarray:
    """Decode one PNG file: uint8, (height, width, channels)."""
    sizes = [(resolution, resolution) for resolution in resolutions]
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            # Up to here Pillow has read the header only, whatever size it announces.
            if image.mode == mode and image.size in sizes:
                return np.asarray(image).reshape(*image.size, -1)
    except Exception as error:  # Pillow raises many kinds on damaged files
        raise DataError(f"{name!r} is not a readable PNG file: {error}") from error
    raise DataError(
        f"{name!r} has size {image.size} and mode {image.mode}; allowed are the sizes "
        f"{sizes} and the mode {mode}"
    )
