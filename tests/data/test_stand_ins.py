"""The stand-ins: the same every time, of the right shape, and worth learning."""

import pytest
import torch

from helpers import data


@pytest.fixture
def quick(home, monkeypatch):
    monkeypatch.setenv("REPORT_PROFILE", "quick")
    home.rmdir()
    return home


@pytest.mark.parametrize(
    ("name", "train", "test"),
    [
        ("mnist", {28: (1437, 1)}, {28: (360, 1)}),
        (
            "varres",
            {32: (479, 1), 48: (479, 1), 64: (479, 1)},
            dict.fromkeys((32, 48, 64), (120, 1)),
        ),
        ("cifar10", {32: (2000, 3)}, {32: (500, 3)}),
    ],
)
def test_stand_ins(quick, name, train, test):
    loaded = data.load(name)
    assert loaded.stand_in
    assert loaded.source.startswith("a stand-in for ")
    assert data.load(name).fingerprint == loaded.fingerprint
    assert not quick.exists()  # no file read, none written
    samples = {}
    for part, expected in (("train", train), ("test", test)):
        splits = getattr(loaded, part)
        assert {r: tuple(s.images.shape[:2]) for r, s in splits.items()} == expected
        labels = torch.cat([split.labels for split in splits.values()])
        counts = labels.bincount(minlength=10)
        assert len(counts) == len(loaded.classes) == 10
        assert counts.min() > 0.9 * len(labels) / 10
        samples[part] = set()
        for split in splits.values():
            assert split.images.dtype == torch.uint8
            assert split.labels.dtype == torch.int64
            samples[part].update(image.numpy().tobytes() for image in split.images)
        assert len(samples[part]) == len(labels)
    assert not samples["train"] & samples["test"]


def digit_boxes(images):
    """First and last row and column that are not black, per image."""
    rows = images[:, 0].amax(2) > 0
    columns = images[:, 0].amax(1) > 0
    return [
        (r.nonzero().min(), r.nonzero().max(), c.nonzero().min(), c.nonzero().max())
        for r, c in zip(rows, columns, strict=True)
    ]


def test_stand_in_digits_sit_where_the_real_ones_do(quick):
    """20 px tall: in the middle of 28 px, anywhere on the larger canvases."""
    tops = torch.tensor(
        [box[:2] for box in digit_boxes(data.load("mnist").train[28].images)]
    )
    assert (tops == torch.tensor([4, 23])).all(1).float().mean() > 0.9
    for size, split in data.load("varres").train.items():
        boxes = torch.tensor(digit_boxes(split.images))
        heights = boxes[:, 1] - boxes[:, 0] + 1
        assert heights.max() == 20 and (heights == 20).float().mean() > 0.9
        assert boxes[:, 0].min() == 0 and boxes[:, 1].max() == size - 1
        assert boxes[:, 0].unique().numel() >= size - 20


def test_stand_in_digits_are_never_in_both_parts(quick):
    """Whatever its offset: a digit that was trained on is not tested on."""
    pixels = {"train": set(), "test": set()}
    loaded = data.load("varres")
    for part, found in pixels.items():
        for split in getattr(loaded, part).values():
            for image, (top, bottom, left, right) in zip(
                split.images, digit_boxes(split.images), strict=True
            ):
                found.add(
                    image[0, top : bottom + 1, left : right + 1].numpy().tobytes()
                )
    assert not pixels["train"] & pixels["test"]


def test_stand_in_shapes_need_more_than_a_linear_map(quick):
    """Colour says nothing about the class: mean colours of all classes are alike."""
    loaded = data.load("cifar10")
    assert "circle" in loaded.classes and "airplane" not in loaded.classes
    split = loaded.train[32]
    images = split.images.double()
    means = torch.stack([images[split.labels == c].mean((0, 2, 3)) for c in range(10)])
    assert (means - means.mean(0)).abs().max() < 20
    assert images.std((2, 3)).min() > 10  # a shape and a texture are in every image
