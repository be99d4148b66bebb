"""What is committed with the code: MNIST, and how to make its three resolutions."""

import lzma

import numpy as np
import pytest
import torch

from helpers import data
from helpers.data import embedded, settings


@pytest.fixture
def committed(tmp_path, monkeypatch):
    """The committed files, where a test may spoil them."""
    for name in (embedded.MNIST_FILE, embedded.VARRES_FILE):
        (tmp_path / name).write_bytes((settings.EMBEDDED_FOLDER / name).read_bytes())
    monkeypatch.setattr(settings, "EMBEDDED_FOLDER", tmp_path)
    monkeypatch.setattr(settings, "DATA_FOLDER", tmp_path / "data")
    monkeypatch.delenv("REPORT_DATA", raising=False)
    monkeypatch.delenv("REPORT_PROFILE", raising=False)
    return tmp_path


def few_digits():
    generator = np.random.default_rng(0)
    splits = {}
    for part, n in (("train", 6), ("test", 4)):
        images = generator.integers(1, 256, (n, 1, 28, 28), dtype=np.uint8)
        images[:, :, :3] = images[:, :, :, :5] = 0
        labels = torch.from_numpy(generator.integers(0, 10, n))
        splits[part] = {28: data.Split(torch.from_numpy(images), labels)}
    return splits


def test_a_recipe_rebuilds_what_it_was_read_from():
    mnist = few_digits()
    generator = np.random.default_rng(1)
    sides = np.array([2, 3, 4, 4, 3, 2, 3, 4, 2, 4])
    tops, lefts = (generator.integers(0, 16 * sides - 28 + 1) for _ in range(2))
    canvases = embedded.on_canvases(mnist, sides, tops, lefts)
    assert {r: len(s.labels) for r, s in canvases["train"].items()} == {
        32: 2,
        48: 2,
        64: 2,
    }
    recipe = embedded.recipe_of(mnist, canvases)
    assert recipe.tolist() == [sides.tolist(), tops.tolist(), lefts.tolist()]
    first = mnist["train"][28].images[0, 0].numpy()
    drawn = np.rint(first.astype(float) ** 2 / 255)
    whole = np.zeros((32, 32))
    whole[tops[0] : tops[0] + 28, lefts[0] : lefts[0] + 28] = drawn
    assert any(
        (image[0].numpy() == whole).all() for image in canvases["train"][32].images
    )


def test_images_that_do_not_match_one_to_one_have_no_recipe():
    mnist = few_digits()
    corner = np.full(10, 2), np.zeros(10, int), np.zeros(10, int)
    canvases = embedded.on_canvases(mnist, *corner)
    only = canvases["train"][32]
    only.images[0, 0, 20, 20] ^= 1
    with pytest.raises(ValueError, match="of 32 px is none of MNIST"):
        embedded.recipe_of(mnist, canvases)
    only.images[0] = only.images[1]
    only.labels[0] = only.labels[1]
    with pytest.raises(ValueError, match="or one twice"):
        embedded.recipe_of(mnist, canvases)
    canvases["train"][32] = data.Split(only.images[1:], only.labels[1:])
    with pytest.raises(ValueError, match="1 images of MNIST are on no canvas"):
        embedded.recipe_of(mnist, canvases)


@pytest.mark.parametrize("name", ["mnist", "varres"])
def test_a_damaged_file_is_named(committed, name):
    path = committed / f"{name}.xz"
    whole = path.read_bytes()
    unpacked = bytearray(lzma.decompress(whole))
    unpacked[-1] ^= 1
    swapped = lzma.compress(bytes(unpacked), preset=0)
    for content in (whole[:-100], b"junk", swapped, lzma.compress(b"")):
        path.write_bytes(content)
        with pytest.raises(data.DataError, match="cannot be used"):
            data.load(name)
    path.unlink()
    with pytest.raises(data.DataError, match=rf"data/{name}\.xz is missing"):
        data.load(name)
