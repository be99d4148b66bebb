"""Steps that bring all images of a set to one size or place, without any chance in it.

Images are uint8, (n, channels, height, width), and so are the results.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from helpers.checks import whole

CHUNK = 1000  # images that are worked on at a time, to save memory


def resize(images: Tensor, *, size: int) -> Tensor:
    """Scale to `size` x `size` pixels: bilinear with anti-aliasing, as Resize does."""
    return transforms.resize(images, [size, size], antialias=True)


def pad(images: Tensor, *, size: int) -> Tensor:
    """Surround by black pixels up to `size` x `size`, the image in the middle.

    Raises ValueError for images that are larger.
    """
    height, width = images.shape[2:]
    if max(height, width) > size:
        raise ValueError(
            f"images of {height} x {width} pixels cannot be padded to {size}: give at "
            f"least {max(height, width)}, or resize them"
        )
    top, left = (size - height) // 2, (size - width) // 2
    return F.pad(images, (left, size - width - left, top, size - height - top))


def centre(images: Tensor) -> Tensor:
    """Shift each image so that the box around its ink is in the middle."""
    return _moved(images, *images.shape[2:])


def crop(images: Tensor, *, size: int) -> Tensor:
    """Cut out `size` x `size` pixels around the middle of the ink, without scaling."""
    return _moved(images, size, size)


def ink_boxes(images: Tensor) -> Tensor:
    """Top, bottom, left and right of the pixels above 0: int64, (n, 4).

    Bottom and right are exclusive. An empty image gets the box of the whole image.
    """
    ink = images.amax(1) > 0
    rows, columns = ink.any(2), ink.any(1)
    empty = ~rows.any(1, keepdim=True)
    sides = []
    for line in (rows | empty, columns | empty):
        first = line.int().argmax(1)
        last = line.shape[1] - line.flip(1).int().argmax(1)
        sides += [first, last]
    return torch.stack(sides, dim=1)


def _moved(images: Tensor, height: int, width: int) -> Tensor:
    """Windows of height x width around the middle of the ink; black outside."""
    top, bottom, left, right = ink_boxes(images).T
    first_row = -((height - top - bottom) // 2)
    first_column = -((width - left - right) // 2)
    margin = max(height, width)
    padded = F.pad(images, (margin,) * 4)
    rows = margin + first_row[:, None] + torch.arange(height)
    columns = margin + first_column[:, None] + torch.arange(width)
    index = torch.arange(len(images))[:, None, None]
    moved = padded.permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2).contiguous()


STEPS: dict[str, Callable[..., Tensor]] = {
    step.__name__: step for step in (resize, pad, centre, crop)
}


def check(steps: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Raise ValueError, naming what is allowed, for an unknown step or option."""
    if not isinstance(steps, Sequence) or isinstance(steps, str):
        raise ValueError(f"the steps are {steps!r}: give a list of pairs")
    for step in steps:
        try:
            name, options = step
            options = dict(options)
        except (TypeError, ValueError):
            raise ValueError(
                f"the step {step!r} is not a pair of a name and options: give one like "
                "('pad', {'size': 64})"
            ) from None
        if not isinstance(name, str) or name not in STEPS:
            raise ValueError(f"unknown preparation {name!r}: use {', '.join(STEPS)}")
        allowed = list(inspect.signature(STEPS[name]).parameters)[1:]
        if set(options) != set(allowed):
            raise ValueError(f"{name} got the options {[*options]}: it takes {allowed}")
        for option, value in options.items():
            whole(value, f"{option} of {name}", 1)


def prepare(images: Tensor, steps: Sequence[tuple[str, Mapping[str, Any]]]) -> Tensor:
    """Apply the steps, pairs of a name and its options, in their order.

    Raises ValueError for other steps, and for other images than the module says.
    """
    check(steps)
    if images.dtype != torch.uint8 or images.dim() != 4 or 0 in images.shape[1:]:
        raise ValueError(
            f"the images are {images.dtype} of shape {tuple(images.shape)}: use uint8 "
            "(n, channels, height, width), with pixels"
        )
    for name, options in steps:
        chunks = [STEPS[name](part, **dict(options)) for part in images.split(CHUNK)]
        images = torch.cat(chunks)
    return images
