"""Images in memory: held-out share, fresh shuffle, slices, values between 0 and 1."""

import functools
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from helpers import data
from helpers.data import Split

Splits = Mapping[int, Split]  # resolution in pixels -> images and labels


@functools.cache
def load_data(name: str) -> data.DataSet:
    """`data.load`, once for all runs of this process."""
    return data.load(name)


def hold_out(
    splits: Splits, share: float, device: torch.device
) -> tuple[dict[int, Split], dict[int, Split]]:
    """Training and validation images on the device, the same ones for every seed.

    A resolution of which nothing is left is absent.
    """
    train, validation = {}, {}
    for resolution, split in splits.items():
        order = torch.from_numpy(
            np.random.default_rng(0).permutation(len(split.labels))
        )
        held_out = round(share * len(order))
        for part, rows in ((validation, order[:held_out]), (train, order[held_out:])):
            if len(rows):
                images, labels = split.images[rows], split.labels[rows]
                part[resolution] = Split(images.to(device), labels.to(device))
    return train, validation


def batches(
    splits: Splits, batch_size: int, rng: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield images and labels, shuffled; the last slice of a split takes what is left.

    Every batch is of one resolution; where there are several, the batches come in mixed
    order.
    """
    slices = []
    for split in splits.values():
        order = torch.from_numpy(rng.permutation(len(split.labels)))
        order = order.to(split.images.device)
        images, labels = split.images[order], split.labels[order]
        for start in range(0, len(order), batch_size):
            stop = start + batch_size
            slices.append((images[start:stop], labels[start:stop]))
    if len(splits) > 1:
        slices = [slices[position] for position in rng.permutation(len(slices))]
    yield from slices


def network_input(images: Tensor) -> Tensor:
    """uint8 images -> float32 between 0 and 1, channels last in memory for speed."""
    return images.to(torch.float32, memory_format=torch.channels_last).div_(255)
