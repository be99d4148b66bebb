"""Images that nearly all have their own size: which to batch, how to pad and mask.

>>> for rows in size_buckets(sizes, batch_size=64, rng=rng):
...     batch, true_sizes = padded_batch([images[row] for row in rows])
...     scores = masked_forward(model, batch, true_sizes)

Every image gets the scores that it would get alone. Nested tensors do not help: those
of PyTorch 2.15 have no convolution in their strided layout, and their jagged layout
allows for one dimension that varies, not for height and width.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from helpers.models import VariableNet, active_area, receptive_field


def size_buckets(
    sizes: Sequence[tuple[int, int]],
    batch_size: int,
    rng: np.random.Generator,
    pool: int = 100,
    multiple: int = 8,
) -> list[list[int]]:
    """Batches of images of similar size for one epoch: every index exactly once.

    sizes: height and width of each image. The images are shuffled; `pool` batches at a
    time are sorted into strips of similar height, these by width, and cut; then the
    batches are shuffled. A larger pool means less padding and less chance. Sizes that
    `padded_batch` rounds up to the same `multiple` count as equal, so that chance
    decides between them. One batch at most is smaller than the others. Raises
    ValueError for a batch_size, pool or multiple below 1.
    """
    if min(batch_size, pool, multiple) < 1:
        raise ValueError(
            f"batch_size is {batch_size}, pool {pool} and multiple {multiple}: use "
            "whole numbers from 1 up"
        )
    heights, widths = -(-np.asarray(sizes, dtype=int).reshape(-1, 2).T // multiple)
    batches = []
    for drawn in _slices(rng.permutation(len(heights)), pool * batch_size):
        strip_size = batch_size * math.ceil(math.sqrt(len(drawn) / batch_size))
        for strip in _slices(_sorted(drawn, heights), strip_size):
            batches += _slices(_sorted(strip, widths), batch_size)
    return [batches[position].tolist() for position in rng.permutation(len(batches))]


def _sorted(indexes: np.ndarray, sides: np.ndarray) -> np.ndarray:
    return indexes[sides[indexes].argsort(kind="stable")]


def _slices(indexes: np.ndarray, size: int) -> list[np.ndarray]:
    return [indexes[start : start + size] for start in range(0, len(indexes), size)]


class PaddedBatch(NamedTuple):
    """Images of (batch, channels, height, width), and their true sizes.

    sizes: height and width, int64, (batch, 2).
    """

    images: Tensor
    sizes: Tensor


def padded_batch(images: Sequence[Tensor], multiple: int = 8) -> PaddedBatch:
    """Put images of (channels, height, width) into one batch, zeros below and right.

    The batch is as high and as wide as the largest of them, rounded up to a multiple of
    `multiple`, which is the stride of the network. Raises ValueError for no images and
    for unequal numbers of channels.
    """
    channels = {image.shape[0] for image in images}
    if len(channels) != 1:
        raise ValueError(
            f"the images have {sorted(channels)} channels: give one or more images, "
            "with equally many"
        )
    sizes = torch.tensor([image.shape[1:] for image in images])
    height, width = (-(-side // multiple) * multiple for side in sizes.amax(0).tolist())
    batch = images[0].new_zeros(len(images), *channels, height, width)
    for place, image in zip(batch, images, strict=True):
        place[:, : image.shape[1], : image.shape[2]] = image
    return PaddedBatch(batch, sizes.to(batch.device))


def inside(sizes: Tensor, height: int, width: int) -> Tensor:
    """True within the heights and widths of `sizes`: bool, (batch, height, width)."""
    rows = torch.arange(height, device=sizes.device) < sizes[:, :1]
    columns = torch.arange(width, device=sizes.device) < sizes[:, 1:]
    return rows[:, :, None] & columns[:, None, :]


def masked_forward(model: VariableNet, batch: Tensor, sizes: Tensor) -> Tensor:
    """The scores that every image would get alone: (batch, classes).

    batch: (batch, channels, height, width), zero outside `sizes`, int64, (batch, 2).
    Raises ValueError for images that are too small for the network.
    """
    *layers, pool, linear = model
    smallest = receptive_field(layers).stride
    if sizes.min() < smallest:
        raise ValueError(
            f"an image has a side of {sizes.min()} pixels, of which pooling leaves "
            f"nothing: this network needs at least {smallest}"
        )
    features = batch
    for layer in layers:
        features = layer(features)
        if isinstance(layer, nn.MaxPool2d):
            sizes = sizes // layer.stride
            where = inside(sizes, *features.shape[2:])
            # Alone, an image is surrounded by the zeros of the padding. Here, bias and
            # ReLU made other values there, which the next convolution would see.
            features = features * where[:, None]
    if pool.pooling == "active mean":
        where = where & active_area(batch, layers)
    return linear(pool(features, where))
