"""Steps on whole sets of images: size, place, and what stays untouched."""

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import Resize

from helpers import canvas


def digits(n=30, size=40, side=9, seed=0):
    """Squares of noise on black, and the rows and columns where they begin."""
    rng = np.random.default_rng(seed)
    images = torch.zeros(n, 1, size, size, dtype=torch.uint8)
    places = rng.integers(0, size - side + 1, (n, 2))
    for image, (row, column) in zip(images, places, strict=True):
        ink = torch.from_numpy(rng.integers(1, 256, (side, side), np.uint8))
        image[0, row : row + side, column : column + side] = ink
    return images, places


def test_resize_is_torchvisions():
    images, _ = digits(n=1_003)
    resized = canvas.prepare(images, [("resize", {"size": 28})])
    assert resized.dtype == torch.uint8
    assert torch.equal(resized, Resize((28, 28), antialias=True)(images))


@pytest.mark.parametrize("size", [40, 41, 64])
def test_pad_keeps_every_pixel_and_adds_black_around(size):
    images, _ = digits()
    padded = canvas.pad(images, size=size)
    assert padded.shape == (30, 1, size, size)
    before = (size - 40) // 2
    inside = padded[:, :, before : before + 40, before : before + 40]
    assert torch.equal(inside, images)
    assert padded.sum() == images.sum()
    with pytest.raises(ValueError, match="40 x 40 pixels cannot be padded to 39"):
        canvas.pad(images, size=39)


def test_boxes_are_those_of_the_ink():
    images, places = digits()
    boxes = canvas.ink_boxes(images)
    rows, columns = torch.from_numpy(places).T
    expected = torch.stack([rows, rows + 9, columns, columns + 9], dim=1)
    assert torch.equal(boxes, expected)
    empty = torch.zeros(1, 1, 5, 7, dtype=torch.uint8)
    assert canvas.ink_boxes(empty).tolist() == [[0, 5, 0, 7]]


def test_centre_moves_the_ink_and_nothing_else():
    images, _ = digits()
    centred = canvas.centre(images)
    assert centred.shape == images.shape
    boxes = canvas.ink_boxes(centred)
    assert boxes.unique(dim=0).tolist() == [[15, 24, 15, 24]]
    for image, before in zip(centred, images, strict=True):
        assert torch.equal(image[image > 0], before[before > 0])


def test_crop_cuts_around_the_ink_without_scaling():
    images, places = digits()
    cut = canvas.crop(images, size=9)
    for image, before, (row, column) in zip(cut, images, places, strict=True):
        assert torch.equal(image, before[:, row : row + 9, column : column + 9])
    larger = canvas.crop(images, size=60)
    assert larger.shape[2:] == (60, 60) and larger.sum() == images.sum()


def test_steps_are_applied_in_their_order():
    images, _ = digits()
    steps = [("crop", {"size": 11}), ("resize", {"size": 22})]
    expected = canvas.resize(canvas.crop(images, size=11), size=22)
    assert torch.equal(canvas.prepare(images, steps), expected)
