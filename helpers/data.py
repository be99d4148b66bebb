"""The three data sets of the report, as tensors in memory.

>>> digits = load("mnist")
>>> digits.train[28].images  # uint8, (60000, 1, 28, 28)
>>> digits.train[28].labels  # int64, (60000,)

All three have this one structure: `train` and `test` map a resolution in pixels to a
`Split`. MNIST has 28, CIFAR-10 has 32, the variable-resolution MNIST has 32, 48, 64.

`locate` says where a set comes from: local files first (in the folder that the
environment variable REPORT_DATA names, then in data/), then the official download into
data/, then a small stand-in that needs no file. REPORT_PROFILE=quick asks for the
stand-in, REPORT_PROFILE=full rules it out. data/README.md lists the accepted files.
"""

import gzip
import hashlib
import http.client
import io
import math
import os
import pickle
import queue
import re
import tarfile
import tempfile
import threading
import time
import urllib.error
import urllib.request
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torchvision.datasets import CIFAR10, MNIST
from torchvision.datasets.utils import check_integrity
from tqdm.auto import tqdm

DATA_FOLDER = Path(__file__).resolve().parent.parent / "data"

# A server that cannot be reached is asked once, so that a machine without network gives
# up fast; a transfer that breaks off is tried again.
CONNECT_SECONDS = 10
STALL_SECONDS = 10
ATTEMPTS = 3
PAUSE_SECONDS = 1

# Sizes that the real files stay far below, and a decompression bomb does not.
MOST_IMAGE_BYTES = 2**16
MOST_BATCH_BYTES = 2**26
MOST_FILE_BYTES = 2**29


class DataError(ValueError):
    """A data set is there but damaged, or cannot be had at all."""


@dataclass(frozen=True, eq=False)
class Split:
    """Images of one resolution with their labels.

    images: uint8, (samples, channels, height, width). labels: int64, (samples,),
    positions in the `classes` of the data set.
    """

    images: Tensor
    labels: Tensor


Splits = dict[str, dict[int, Split]]  # "train" or "test" -> resolution -> Split


@dataclass(frozen=True, eq=False)
class DataSet:
    """A loaded data set.

    train, test: resolution in pixels -> `Split`. source: where the images come from, in
    words. stand_in: whether they merely take the place of the real ones. fingerprint:
    16 hexadecimal digits that depend on the pixels and labels alone, not on the order
    of the samples nor on how they were packed.
    """

    name: str
    classes: tuple[str, ...]
    source: str
    stand_in: bool
    fingerprint: str
    train: Mapping[int, Split] = field(repr=False)
    test: Mapping[int, Split] = field(repr=False)


@dataclass(frozen=True)
class Location:
    """Where a data set comes from, and why from there."""

    source: str
    reason: str
    stand_in: bool
    read: Callable[[], Splits] = field(repr=False)

    @property
    def profile(self) -> str:
        """The profile that results: "quick" on a stand-in, "full" on the real data."""
        return "quick" if self.stand_in else "full"

    def __str__(self) -> str:
        return f"{self.source} ({self.reason})"


@dataclass(frozen=True)
class _Download:
    """A file of an official download; `place` is its path below data/."""

    place: str
    addresses: tuple[str, ...]
    is_genuine: Callable[[Path], bool]


@dataclass(frozen=True)
class _Recipe:
    """All that is particular to one data set (the table stands at the end)."""

    title: str
    classes: tuple[str, ...]
    channels: int
    resolutions: tuple[int, ...]
    places: Mapping[str, Callable[[Path, "_Recipe"], Splits]]  # each with its reader
    downloads: tuple[_Download, ...]
    arrives_at: str  # the one of `places` that the downloads fill
    stand_in: Callable[[], Splits]
    stand_in_text: str
    stand_in_classes: tuple[str, ...]
    fingerprint: str | None = None  # where only one is genuine


def load(name: str) -> DataSet:
    """Load "mnist", "varres" (MNIST in 32, 48 and 64 px) or "cifar10".

    MNIST keeps its published order. The other sets come in the order of their samples'
    digests, so that a seed picks the same samples however the files were packed.

    Raises ValueError for an unknown name or profile; DataError when the files are there
    but damaged, or when REPORT_PROFILE=full and there are none.
    """
    location = locate(name)
    recipe = _RECIPES[name]
    try:
        splits = location.read()
        fingerprint = _fingerprint(splits)
        if not location.stand_in and recipe.fingerprint not in (None, fingerprint):
            raise DataError("its images and labels are not the published ones")
    except (ValueError, OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise DataError(
            f"{location.source} cannot be used: {error}. Put a sound copy in its place "
            "(see data/README.md), or remove it so that the next source is tried."
        ) from error
    return DataSet(
        name=name,
        classes=recipe.stand_in_classes if location.stand_in else recipe.classes,
        source=location.source,
        stand_in=location.stand_in,
        fingerprint=fingerprint,
        train=splits["train"],
        test=splits["test"],
    )


def locate(name: str) -> Location:
    """Find out where `load(name)` takes its images from, without decoding any.

    Without a local copy this downloads the set: only that tells whether it can be had.
    Raises as `load` does, except for damage inside the files.
    """
    if name not in _RECIPES:
        raise ValueError(
            f"unknown data set {name!r}: choose one of {', '.join(_RECIPES)}"
        )
    profile = os.environ.get("REPORT_PROFILE") or None
    if profile not in (None, "quick", "full"):
        raise ValueError(
            f"REPORT_PROFILE is {profile!r}: use quick or full, or leave it unset"
        )
    if profile == "quick":
        return _stand_in(name, "REPORT_PROFILE=quick asks for it")

    recipe = _RECIPES[name]
    folders = _folders()
    for spoken, folder in folders.items():
        for place in recipe.places:
            # A dangling link counts: it is damage, and no reason to look elsewhere.
            if os.path.lexists(folder / place):
                return _local(name, place, spoken, folder, "a local copy comes first")
    try:
        _download(recipe)
    except OSError as error:
        # With strerror it comes from the disk, and its message would hold a local path.
        failure = error.strerror and f"cannot write to data/ ({error.strerror})"
        tried = (
            f"there is no {' or '.join(recipe.places)} in {' or '.join(folders)}, and "
            f"the download failed: {failure or error}"
        )
        if profile == "full":
            raise DataError(
                f"REPORT_PROFILE=full needs the real {recipe.title}, but {tried}. To "
                "place it by hand, put one of those into data/ or into a folder that "
                "REPORT_DATA names (see data/README.md)."
            ) from error
        return _stand_in(name, tried)
    return _local(name, recipe.arrives_at, "data/", DATA_FOLDER, "just downloaded")


def _folders() -> dict[str, Path]:
    """The folders to look into, in order, under the names that sentences give them."""
    folders = {"data/": DATA_FOLDER}
    if named := os.environ.get("REPORT_DATA"):
        folder = Path(named).expanduser()
        if not folder.is_dir():
            raise DataError(
                f"REPORT_DATA is {named!r}, which is no folder: name the folder that "
                "holds the data sets, or leave it unset"
            )
        folders = {"the folder REPORT_DATA": folder, **folders}
    return folders


def _local(name: str, place: str, spoken: str, folder: Path, reason: str) -> Location:
    recipe = _RECIPES[name]
    return Location(
        source=f"{recipe.title} from {place} in {spoken}",
        reason=reason,
        stand_in=False,
        read=partial(recipe.places[place], folder / place, recipe),
    )


def _stand_in(name: str, reason: str) -> Location:
    recipe = _RECIPES[name]
    return Location(
        source=f"a stand-in for {recipe.title}: {recipe.stand_in_text}",
        reason=reason,
        stand_in=True,
        read=recipe.stand_in,
    )


# --- Order and fingerprint ------------------------------------------------------------


def _digests(split: Split) -> list[bytes]:
    """One SHA-256 digest per sample, over its label, shape and pixels."""
    shape = tuple(split.images.shape[1:])
    starts = [hashlib.sha256(f"{label} {shape}".encode()) for label in range(10)]
    digests = []
    rows = split.images.flatten(1).numpy()
    for pixels, label in zip(rows, split.labels.tolist(), strict=True):
        digest = starts[label].copy()
        digest.update(pixels)
        digests.append(digest.digest())
    return digests


def _fingerprint(splits: Splits) -> str:
    whole = hashlib.sha256()
    for part, by_resolution in splits.items():
        for resolution, split in by_resolution.items():
            whole.update(f"{part} {resolution} {len(split.labels)} ".encode())
            whole.update(b"".join(sorted(_digests(split))))
    return whole.hexdigest()[:16]


def _in_canonical_order(split: Split) -> Split:
    digests = _digests(split)
    order = torch.tensor(sorted(range(len(digests)), key=digests.__getitem__))
    return Split(split.images[order], split.labels[order])


# --- MNIST's own format ---------------------------------------------------------------


def _read_mnist(folder: Path, recipe: _Recipe) -> Splits:
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
            content = file.read(MOST_FILE_BYTES)
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


# --- Archives -------------------------------------------------------------------------


def _archive_members(
    path: Path, wanted: re.Pattern, most_bytes: int
) -> Iterator[tuple[re.Match, bytes]]:
    """Yield name (as a match of `wanted`) and content of the members of a .tgz file.

    Nothing is extracted to disk. Raises DataError for a member that would harm whoever
    extracted it, for one of more than `most_bytes`, and for an archive that breaks off.
    """
    size = path.stat().st_size
    with (
        path.open("rb") as file,
        tqdm.wrapattr(file, "read", total=size, desc=path.name, leave=False) as packed,
        gzip.open(packed) as unpacked,
    ):
        tape = _Tape(unpacked)
        with tarfile.open(fileobj=tape, mode="r|") as archive:
            for member in archive:
                name = PurePosixPath(member.name)
                if name.is_absolute() or ".." in name.parts:
                    raise DataError(f"member {member.name!r} leaves the archive")
                if not (member.isreg() or member.isdir()):
                    raise DataError(f"member {member.name!r} is no file and no folder")
                match = wanted.search(member.name)
                if not match or member.isdir():
                    continue
                if member.size > most_bytes:
                    raise DataError(
                        f"member {member.name!r} has {member.size} bytes; allowed are "
                        f"{most_bytes}"
                    )
                yield match, archive.extractfile(member).read()
            tape.finish(archive.offset)


class _Tape:
    """A stream that is read once, and watched while it is.

    Needed since tarfile takes a damaged header for the end of the archive, and reads
    whatever size a header announces.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.length = 0
        self.content_end = 0  # behind the last byte that is not zero

    def read(self, size: int) -> bytes:
        chunk = self.stream.read(size)
        if content := chunk.rstrip(b"\0"):
            self.content_end = self.length + len(content)
        self.length += len(chunk)
        if self.length > MOST_FILE_BYTES:
            raise DataError(f"it unpacks to more than {MOST_FILE_BYTES} bytes")
        return chunk

    def finish(self, end: int) -> None:
        """Raise DataError unless a block of zeros, and no content, follows `end`.

        Reading up to the last byte also makes gzip compare its checksum.
        """
        while self.read(2**20):
            pass
        if self.content_end > end or self.length < end + tarfile.BLOCKSIZE:
            raise DataError(f"it breaks off after {end} unpacked bytes")


# --- PNG files, in an archive or in a folder ------------------------------------------

_IMAGE_NAME = re.compile(r"(?:^|/)(train|test)/([^/]+)/(?!\.)[^/]+\.png$")


def _read_images(path: Path, recipe: _Recipe) -> Splits:
    """Decode images, or take them from the file that an earlier run left in data/cache.

    The name of that file holds a digest of the packed images, so that other images are
    decoded anew, and the file holds a fingerprint, so that a damaged one is too.
    """
    cache_name = f"{path.name.partition('.')[0]}-{_packed_digest(path)}.safetensors"
    cache = DATA_FOLDER / "cache" / cache_name
    try:
        return _read_cache(cache, recipe)
    except (OSError, SafetensorError, ValueError, LookupError):
        splits = _decode(path, recipe)
    try:
        _write_cache(cache, splits)
    except (OSError, SafetensorError) as error:
        warnings.warn(
            f"{recipe.title} will be decoded again next time, as its decoded images "
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


def _read_cache(cache: Path, recipe: _Recipe) -> Splits:
    with safe_open(cache, "pt") as file:
        splits = {
            part: {
                resolution: Split(
                    file.get_tensor(f"{part}/{resolution}/images"),
                    file.get_tensor(f"{part}/{resolution}/labels"),
                )
                for resolution in recipe.resolutions
            }
            for part in ("train", "test")
        }
        if file.metadata()["fingerprint"] != _fingerprint(splits):
            raise DataError("the cache is damaged")
    return splits


def _write_cache(cache: Path, splits: Splits) -> None:
    tensors = {
        f"{part}/{resolution}/{kind}": getattr(split, kind)
        for part, by_resolution in splits.items()
        for resolution, split in by_resolution.items()
        for kind in ("images", "labels")
    }
    cache.parent.mkdir(parents=True, exist_ok=True)
    # The file appears under its name whole and at once, whoever else writes it too.
    with tempfile.TemporaryDirectory(prefix=".", dir=cache.parent) as workplace:
        draft = Path(workplace) / cache.name
        save_file(tensors, draft, {"fingerprint": _fingerprint(splits)})
        os.replace(draft, cache)


def _folder_members(path: Path) -> Iterator[tuple[re.Match, bytes]]:
    """Yield name and content of the images below a folder."""
    for file in tqdm(sorted(path.rglob("*.png")), desc=path.name, leave=False):
        if match := _IMAGE_NAME.search(file.relative_to(path).as_posix()):
            if (size := file.stat().st_size) > MOST_IMAGE_BYTES:
                raise DataError(
                    f"{match[0]!r} has {size} bytes; allowed are {MOST_IMAGE_BYTES}"
                )
            yield match, file.read_bytes()


def _decode(path: Path, recipe: _Recipe) -> Splits:
    """Decode all images of an archive or a folder, in canonical order."""
    members = (
        _folder_members(path)
        if path.is_dir()
        else _archive_members(path, _IMAGE_NAME, MOST_IMAGE_BYTES)
    )
    samples = {
        part: {resolution: ([], []) for resolution in recipe.resolutions}
        for part in ("train", "test")
    }
    for match, content in members:
        part, class_name = match.groups()
        if class_name not in recipe.classes:
            raise DataError(
                f"{match[0]!r} belongs to no known class; the classes are "
                f"{', '.join(recipe.classes)}"
            )
        pixels = _pixels(match[0], content, recipe)
        images, labels = samples[part][pixels.shape[0]]
        images.append(pixels)
        labels.append(recipe.classes.index(class_name))

    splits = {}
    for part, by_resolution in samples.items():
        present = {label for _, labels in by_resolution.values() for label in labels}
        absent = [c for i, c in enumerate(recipe.classes) if i not in present]
        if absent:
            raise DataError(f"{part} has no image of class {', '.join(absent)}")
        splits[part] = {}
        for resolution, (images, labels) in by_resolution.items():
            if not images:
                raise DataError(f"{part} has no image of {resolution} px")
            stack = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
            splits[part][resolution] = _in_canonical_order(
                Split(stack, torch.tensor(labels))
            )
    return splits


def _pixels(name: str, content: bytes, recipe: _Recipe) -> np.ndarray:
    """Decode one PNG file: uint8, (height, width, channels)."""
    mode = "L" if recipe.channels == 1 else "RGB"
    sizes = [(resolution, resolution) for resolution in recipe.resolutions]
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            # Up to here Pillow has read the header only, whatever size it announces.
            if image.mode == mode and image.size in sizes:
                return np.asarray(image).reshape(*image.size, recipe.channels)
    except Exception as error:  # Pillow raises many kinds on damaged files
        raise DataError(f"{name!r} is not a readable PNG file: {error}") from error
    raise DataError(
        f"{name!r} has size {image.size} and mode {image.mode}; allowed are the sizes "
        f"{sizes} and the mode {mode}"
    )


# --- CIFAR-10 as torchvision keeps it -------------------------------------------------

_BATCH_NAME = re.compile(rf"(?:^|/){CIFAR10.base_folder}/([^/]+)$")


def _read_batches(path: Path, recipe: _Recipe) -> Splits:
    """Read the official batches from their folder or from their archive."""
    if path.is_dir():
        names = [name for name, _ in CIFAR10.train_list + CIFAR10.test_list]
        contents = {name: (path / name).read_bytes() for name in names}
    else:
        members = _archive_members(path, _BATCH_NAME, MOST_BATCH_BYTES)
        contents = {match[1]: content for match, content in members}
    splits = {}
    for part, listed in (("train", CIFAR10.train_list), ("test", CIFAR10.test_list)):
        batches = [
            _unpickled(contents.get(name, b""), name, md5) for name, md5 in listed
        ]
        images = np.concatenate([batch["data"] for batch in batches])
        labels = torch.tensor([label for batch in batches for label in batch["labels"]])
        split = Split(torch.from_numpy(images.reshape(-1, 3, 32, 32)), labels)
        splits[part] = {32: _in_canonical_order(split)}
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


# --- Downloads ------------------------------------------------------------------------


def _download(recipe: _Recipe) -> None:
    """Download all files of a data set into data/, or none of them.

    Raises OSError, whose message names every address that was tried.
    """
    target = DATA_FOLDER / recipe.arrives_at
    DATA_FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".download-", dir=DATA_FOLDER) as workplace:
        draft = Path(workplace) / recipe.arrives_at
        for download in recipe.downloads:
            _fetch_from_any(download, Path(workplace) / download.place)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.replace(draft, target)
        except OSError:
            if not target.exists():  # else another process was faster: just as well
                raise


def _fetch_from_any(download: _Download, draft: Path) -> None:
    draft.parent.mkdir(parents=True, exist_ok=True)
    failures = []
    for address in download.addresses:
        try:
            _fetch(address, draft)
            if download.is_genuine(draft):
                return
            failures.append(f"{address} (its checksum is not the published one)")
        except (OSError, http.client.HTTPException) as error:
            failures.append(f"{address} ({str(error).strip('<>')})")
    raise OSError("; ".join(failures))


def _fetch(address: str, draft: Path) -> None:
    for attempt in range(ATTEMPTS):
        time.sleep(PAUSE_SECONDS * attempt)
        try:
            with _open(address) as response:
                _receive(response, draft)
            return
        except _Interrupted:
            if attempt == ATTEMPTS - 1:
                raise


class _Interrupted(OSError):
    """A failure after the server was reached: another attempt may well succeed."""


def _open(address: str) -> http.client.HTTPResponse:
    """Open an address within CONNECT_SECONDS in all.

    The time-out of urlopen holds for each address of a server anew, and not at all for
    the name server; hence the thread, which is left behind when time is up.
    """
    answers = queue.Queue()

    def ask() -> None:
        try:
            answers.put(urllib.request.urlopen(address, timeout=STALL_SECONDS))
        except Exception as error:
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=CONNECT_SECONDS)
    except queue.Empty:
        raise TimeoutError(f"no answer within {CONNECT_SECONDS} s") from None
    if isinstance(answer, urllib.error.HTTPError) and answer.code >= 500:
        raise _Interrupted(str(answer))
    if isinstance(answer, Exception):
        raise answer
    return answer


def _receive(response: http.client.HTTPResponse, draft: Path) -> None:
    style = {"unit": "B", "unit_scale": True, "leave": False}
    with (
        draft.open("wb") as file,
        tqdm(desc=draft.name, total=response.length, **style) as bar,
    ):
        try:
            while file.tell() < MOST_FILE_BYTES and (chunk := response.read(2**16)):
                file.write(chunk)
                bar.update(len(chunk))
        except (OSError, http.client.HTTPException) as error:
            raise _Interrupted(f"the transfer broke off: {error}") from error
    if response.length:  # what is still to come, once nothing comes
        raise _Interrupted(f"the transfer broke off {response.length} bytes early")


# --- Stand-ins ------------------------------------------------------------------------


def _digits_on_canvas(sizes: tuple[int, ...], centred: bool) -> Splits:
    """scikit-learn's digits, enlarged from 8 to 20 px, shared out among canvases.

    They stand in the middle, as in MNIST, or anywhere, as in its variable-resolution
    version.
    """
    # Slow to import, and rarely needed.
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    small = load_digits()
    digits = np.stack(
        [
            Image.fromarray(np.uint8(digit * 255 / 16)).resize((20, 20), Image.BICUBIC)
            for digit in small.images
        ]
    )
    train, test = train_test_split(
        np.arange(len(digits)), test_size=0.2, stratify=small.target, random_state=0
    )
    generator = np.random.default_rng(0)
    splits = {"train": {}, "test": {}}
    for part, chosen in (("train", train), ("test", test)):
        for size, rows in zip(sizes, np.array_split(chosen, len(sizes)), strict=True):
            room = size - 20
            low, high = (room // 2, room // 2) if centred else (0, room)
            corners = generator.integers(low, high, (len(rows), 2), endpoint=True)
            images = np.zeros((len(rows), 1, size, size), np.uint8)
            for image, row, (top, left) in zip(images, rows, corners, strict=True):
                image[0, top : top + 20, left : left + 20] = digits[row]
            labels = torch.from_numpy(small.target[rows])
            splits[part][size] = Split(torch.from_numpy(images), labels)
    return splits


# Whether a point belongs to a shape; u and v run from -1 to 1, r is u^2 + v^2.
_SHAPES = {
    "circle": lambda u, v, r: r < 0.7,
    "ring": lambda u, v, r: (r > 0.3) & (r < 0.9),
    "crescent": lambda u, v, r: (r < 0.8) & ((u - 0.4) ** 2 + v**2 > 0.5),
    "half disc": lambda u, v, r: (r < 0.9) & (v > 0),
    "square": lambda u, v, r: (abs(u) < 0.7) & (abs(v) < 0.7),
    "triangle": lambda u, v, r: (v > -0.6) & (v + 1.8 * abs(u) < 0.9),
    "cross": lambda u, v, r: (r < 0.9) & ((abs(u) < 0.25) | (abs(v) < 0.25)),
    "bar": lambda u, v, r: (abs(u) < 0.25) & (abs(v) < 0.9),
    "corner": lambda u, v, r: (
        (abs(u) < 0.7) & (abs(v) < 0.7) & ((u < -0.2) | (v > 0.2))
    ),
    "hourglass": lambda u, v, r: (abs(v) < 0.8) & (abs(u) < abs(v)),
}


def _textured_shapes() -> Splits:
    generator = np.random.default_rng(0)
    return {
        "train": {32: _in_canonical_order(_draw_shapes(200, generator))},
        "test": {32: _in_canonical_order(_draw_shapes(50, generator))},
    }


def _draw_shapes(number_per_class: int, generator: np.random.Generator) -> Split:
    """Shapes of random place, size, tilt, colour and texture on a striped ground.

    Only operations that round alike on every machine (no sine, no cosine).
    """
    labels = np.repeat(np.arange(len(_SHAPES)), number_per_class)

    def uniform(low: float, high: float) -> np.ndarray:
        return generator.uniform(low, high, (len(labels), 1, 1))

    row, column = np.mgrid[:32, :32]
    size = uniform(9, 13)
    x = (column - 15.5 - uniform(-4, 4)) / size
    y = (row - 15.5 - uniform(-4, 4)) / size
    tangent = uniform(-0.4, 0.4)  # of half the tilt: up to 44 degrees either way
    cosine, sine = (1 - tangent**2) / (1 + tangent**2), 2 * tangent / (1 + tangent**2)
    u, v = cosine * x + sine * y, cosine * y - sine * x
    inside = np.empty(u.shape, bool)
    for label, belongs in enumerate(_SHAPES.values()):
        rows = labels == label
        inside[rows] = belongs(u[rows], v[rows], u[rows] ** 2 + v[rows] ** 2)

    def striped_colour(colour: np.ndarray) -> np.ndarray:
        waves = row * generator.integers(-2, 3, (len(labels), 1, 1))
        waves = waves + column * generator.integers(-2, 3, (len(labels), 1, 1))
        return colour + 40 * (waves % 8 < 4)[:, None]

    colour = generator.integers(0, 256, (len(labels), 3, 1, 1))
    opposite = (colour + generator.integers(78, 178, colour.shape)) % 256
    images = np.where(inside[:, None], striped_colour(colour), striped_colour(opposite))
    images = images + generator.integers(-30, 31, images.shape)
    return Split(
        torch.from_numpy(np.uint8(images.clip(0, 255))), torch.from_numpy(labels)
    )


# --- The three data sets --------------------------------------------------------------

_DIGITS = tuple("0123456789")


def _md5_is(md5: str) -> Callable[[Path], bool]:
    return partial(check_integrity, md5=md5)


def _git_blob_is(blob: str) -> Callable[[Path], bool]:
    """Compare with the name that git gives to a file's content."""

    def is_genuine(path: Path) -> bool:
        start = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: start).hexdigest() == blob

    return is_genuine


_RECIPES = {
    "mnist": _Recipe(
        title="MNIST",
        classes=_DIGITS,
        channels=1,
        resolutions=(28,),
        places={"MNIST/raw": _read_mnist},
        downloads=tuple(
            _Download(
                f"MNIST/raw/{file_name}",
                tuple(mirror + file_name for mirror in MNIST.mirrors),
                _md5_is(md5),
            )
            for file_name, md5 in MNIST.resources
        ),
        arrives_at="MNIST/raw",
        stand_in=partial(_digits_on_canvas, (28,), centred=True),
        stand_in_text="1,797 handwritten digits of 8x8 px that come with scikit-learn, "
        "enlarged",
        stand_in_classes=_DIGITS,
        fingerprint="a0d41a1ab5ea3073",
    ),
    "varres": _Recipe(
        title="variable-resolution MNIST",
        classes=_DIGITS,
        channels=1,
        resolutions=(32, 48, 64),
        places={"mnist-varres.tgz": _read_images, "mnist-varres": _read_images},
        downloads=(
            _Download(
                "mnist-varres.tgz",
                ("https://dlvu.github.io/data/mnist-varres.tgz",),
                _git_blob_is("d9b1775678ff3a6ed4fa91f2c3821132a4dbe67b"),
            ),
        ),
        arrives_at="mnist-varres.tgz",
        stand_in=partial(_digits_on_canvas, (32, 48, 64), centred=False),
        stand_in_text="1,797 handwritten digits of 8x8 px that come with scikit-learn, "
        "enlarged and set anywhere on canvases of 32, 48 and 64 px",
        stand_in_classes=_DIGITS,
    ),
    "cifar10": _Recipe(
        title="CIFAR-10",
        classes=(
            *("airplane", "automobile", "bird", "cat", "deer"),
            *("dog", "frog", "horse", "ship", "truck"),
        ),
        channels=3,
        resolutions=(32,),
        places={
            "cifar10.tgz": _read_images,
            "cifar10": _read_images,
            CIFAR10.filename: _read_batches,
            CIFAR10.base_folder: _read_batches,
        },
        downloads=(
            _Download(CIFAR10.filename, (CIFAR10.url,), _md5_is(CIFAR10.tgz_md5)),
        ),
        arrives_at=CIFAR10.filename,
        stand_in=_textured_shapes,
        stand_in_text="2,500 generated images of ten textured shapes",
        stand_in_classes=tuple(_SHAPES),
    ),
}
