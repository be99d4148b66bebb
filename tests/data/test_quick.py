"""The small sets: the same every time, of the right shape, and worth learning."""

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
        ("mnist", {28: (1200, 1)}, {28: (400, 1)}),
        (
            "varres",
            {32: (50, 1), 48: (51, 1), 64: (51, 1)},
            {32: (33, 1), 48: (34, 1), 64: (34, 1)},
        ),
        ("cifar10", {32: (2000, 3)}, {32: (500, 3)}),
    ],
)
def test_small_sets(quick, name, train, test):
    loaded = data.load(name)
    assert loaded.quick
    assert loaded.fingerprint == data.variant(name).fingerprint
    assert not quick.exists()  # no file written
    samples = {}
    for part, expected in (("train", train), ("test", test)):
        splits = getattr(loaded, part)
        assert {r: tuple(s.images.shape[:2]) for r, s in splits.items()} == expected
        labels = torch.cat([split.labels for split in splits.values()])
        counts = labels.bincount(minlength=10)
        assert len(counts) == len(loaded.classes) == 10
        assert counts.min() > 0.5 * len(labels) / 10
        samples[part] = set()
        for split in splits.values():
            assert split.images.dtype == torch.uint8
            assert split.labels.dtype == torch.int64
            samples[part].update(image.numpy().tobytes() for image in split.images)
        assert len(samples[part]) == len(labels)
    assert not samples["train"] & samples["test"]


def test_the_small_digits_are_real_ones(quick, monkeypatch):
    few = data.load("mnist").train[28]
    monkeypatch.delenv("REPORT_PROFILE")
    every = data.load("mnist").train[28]
    assert torch.equal(few.images, every.images[::50])
    assert torch.equal(few.labels, every.labels[::50])


def test_shapes_need_more_than_a_linear_map(quick):
    """Colour says nothing about the class: mean colours of all classes are alike."""
    loaded = data.load("cifar10")
    assert "circle" in loaded.classes and "airplane" not in loaded.classes
    split = loaded.train[32]
    images = split.images.double()
    means = torch.stack([images[split.labels == c].mean((0, 2, 3)) for c in range(10)])
    assert (means - means.mean(0)).abs().max() < 20
    assert images.std((2, 3)).min() > 10  # a shape and a texture are in every image
