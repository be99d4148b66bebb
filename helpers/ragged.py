"""Images that nearly all have their own size: which to batch, how to pad and mask.

>>> for rows in size_buckets(sizes, batch_size=64, rng=rng):
...     batch, true_sizes = padded_batch([images[row] for row in rows])
...     scores = masked_forward(model, batch, true_sizes)

Every image gets the scores that it would get alone. Nested tensors do not help: those
of PyTorch 2.15 have no convolution in their strided layout, and their jagged layout
allows for one dimension that varies, not for height and width.
"""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.checks import pair, whole
from helpers.conv import MyLinear
from helpers.models import (
    GlobalPool,
    VariableNet,
    Window,
    active_area,
    check_images,
    flat,
    windows,
)

# Layers behind which there are no maps any more.
NO_MAPS = (nn.Flatten, nn.Linear, MyLinear, GlobalPool, nn.BatchNorm1d)


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
    batch_size = whole(batch_size, "batch_size", 1)
    pool, multiple = whole(pool, "pool", 1), whole(multiple, "multiple", 1)
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
    `multiple`, which is the stride of the network. The batch takes part in gradients of
    the images. Raises ValueError for no images, for one of another form or without
    pixels, for unequal numbers of channels, types or devices, and for a multiple below
    1.
    """
    multiple = whole(multiple, "multiple", 1)
    for image in images:
        if image.dim() != 3 or not image.numel():
            raise ValueError(
                f"an image has shape {tuple(image.shape)}: give (channels, height, "
                "width), each at least 1"
            )
    channels = {image.shape[0] for image in images}
    if len(channels) != 1:
        raise ValueError(
            f"the images have {sorted(channels)} channels: give one or more images, "
            "with equally many"
        )
    kinds = {f"{image.dtype} on {image.device}" for image in images}
    if len(kinds) != 1:
        raise ValueError(
            f"the images are {' and '.join(sorted(kinds))}: give all in one type, in "
            "one range of values, on one device"
        )
    sizes = torch.tensor([image.shape[1:] for image in images])
    height, width = (-(-side // multiple) * multiple for side in sizes.amax(0).tolist())
    batch = torch.stack(
        [
            F.pad(image, (0, width - image.shape[2], 0, height - image.shape[1]))
            for image in images
        ]
    )
    return PaddedBatch(batch, sizes.to(batch.device))


def inside(sizes: Tensor, height: int, width: int) -> Tensor:
    """True within the heights and widths of `sizes`: bool, (batch, height, width)."""
    rows = torch.arange(height, device=sizes.device) < sizes[:, :1]
    columns = torch.arange(width, device=sizes.device) < sizes[:, 1:]
    return rows[:, :, None] & columns[:, None, :]


def masked_forward(model: VariableNet, batch: Tensor, sizes: Tensor) -> Tensor:
    """The scores that every image would get alone: (batch, classes).

    batch: (batch, channels, height, width), zero outside `sizes`, int64, (batch, 2).
    Layers may be changed for others of `models.WINDOWED`. Raises ValueError for images
    that are too small for the network, sizes that do not fit the batch, and for layers
    that would see the padding in a batch and not alone.
    """
    check_images(model, batch)
    *layers, pool, linear = model
    layers = list(flat(layers))
    steps = list(windows(layers))
    _check_sizes(batch, sizes, steps)
    features, padding_is_zero = batch, True
    where = inside(sizes, *batch.shape[2:])
    for layer, window in zip(layers, steps, strict=True):
        _check_layer(layer, window)
        # Alone, an image is surrounded by the zeros of the padding. Here, bias and
        # ReLU made other values there, which a convolution that pads would see.
        if window and window.padding and not padding_is_zero:
            features = features * where[:, None]
        features, padding_is_zero = layer(features), False
        if window:
            sizes = window.positions(sizes)
            where = inside(sizes, *features.shape[2:])
    if pool.pooling == "active mean":
        where = where & active_area(batch, layers)
    return linear(pool(features, where))


def _check_sizes(batch: Tensor, sizes: Tensor, steps: Sequence[Window | None]) -> None:
    limits = torch.tensor(batch.shape[2:], device=sizes.device)
    if sizes.shape != (len(batch), 2) or (sizes > limits).any():
        raise ValueError(
            f"sizes of shape {tuple(sizes.shape)} came with a batch of shape "
            f"{tuple(batch.shape)}: give height and width of each image, as "
            "padded_batch returns them"
        )
    smallest = next(side for side in itertools.count(1) if _remains(side, steps))
    if len(sizes) and sizes.min() < smallest:
        raise ValueError(
            f"an image has a side of {sizes.min()} pixels, of which pooling leaves "
            f"nothing: this network needs at least {smallest}"
        )


def _remains(side: int, steps: Sequence[Window | None]) -> bool:
    """Whether every map of an image of this side holds something."""
    for window in filter(None, steps):
        side = window.positions(side)
    return side >= 1


def _check_layer(layer: nn.Module, window: Window | None) -> None:
    pads_below_zero = isinstance(layer, nn.MaxPool2d) and window and window.padding
    counts_padding = isinstance(layer, nn.BatchNorm2d) and layer.training
    pads_with_image = getattr(layer, "padding_mode", "zeros") != "zeros"
    leaves_padding_out = not getattr(layer, "count_include_pad", True) and any(
        pair(layer.padding, "padding", 0)
    )
    if (
        pads_below_zero
        or counts_padding
        or pads_with_image
        or leaves_padding_out
        or isinstance(layer, NO_MAPS)
        or getattr(layer, "ceil_mode", False)
    ):
        raise ValueError(
            f"{layer} gives an image in a batch other values than alone: use padding "
            "with zeros, which averages count, max pooling without padding, no "
            "ceil_mode, batch norm in evaluation, and nothing that flattens the maps"
        )
