"""Images with their labels: how they are held, ordered and told apart."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor


class DataError(ValueError):
    """A data set is there but damaged, or cannot be had at all."""


class DataMissing(DataError):
    """A data set is nowhere to be had.

    title: of the set. why: in a few words, without paths of this machine. remedy: what
    to do, as a sentence.
    """

    def __init__(self, title: str, why: str, remedy: str) -> None:
        super().__init__(f"{title} could not be had ({why}). {remedy}")
        self.title, self.why, self.remedy = title, why, remedy


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

    train, test: resolution in pixels -> `Split`. source: what it is, in words for a
    caption. quick: whether this is the small set that REPORT_PROFILE=quick asks for,
    and not the report's. fingerprint: 16 hexadecimal digits that depend on the pixels
    and labels alone, not on the order of the samples nor on how they were packed.
    """

    name: str
    classes: tuple[str, ...]
    source: str
    quick: bool
    fingerprint: str
    train: Mapping[int, Split] = field(repr=False)
    test: Mapping[int, Split] = field(repr=False)


def fingerprint(splits: Splits) -> str:
    """Return the `fingerprint` of a data set with these samples."""
    whole = hashlib.sha256()
    for part, by_resolution in splits.items():
        for resolution, split in by_resolution.items():
            whole.update(f"{part} {resolution} {len(split.labels)} ".encode())
            whole.update(b"".join(sorted(_digests(split))))
    return whole.hexdigest()[:16]


def in_canonical_order(split: Split) -> Split:
    """Sort the samples by their digests, so that any order of them becomes the same."""
    digests = _digests(split)
    positions = sorted(range(len(digests)), key=digests.__getitem__)
    order = torch.tensor(positions, dtype=torch.int64)
    return Split(split.images[order], split.labels[order])


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
