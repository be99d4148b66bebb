"""The cache: used when sound, rebuilt when not, and no obstacle."""

import os

import pytest
import torch
from data_files import (
    everything_in,
    png,
    refuse_to_decode,
    varres_files,
    varres_fingerprint,
    write_archive,
    write_tree,
)
from safetensors.torch import save_file

from helpers import data
from helpers.data import images


@pytest.fixture(params=["archive", "tree"])
def varres(request, home, elsewhere):
    """The tiny variable-resolution MNIST, and a function that changes one image."""

    def write(files):
        if request.param == "archive":
            return write_archive(elsewhere, "mnist-varres.tgz", files)
        write_tree(elsewhere, files)
        return elsewhere / "mnist-varres/train/0/32.png"

    write(varres_files())
    return write


def test_the_cache_is_one_file_and_is_used(varres, home, monkeypatch):
    first = data.load("varres")
    (cache,) = everything_in(home)
    assert cache.startswith("cache/mnist-varres-")
    assert cache.endswith(".safetensors")
    monkeypatch.setattr(images, "_decode", refuse_to_decode)
    second = data.load("varres")
    assert second.fingerprint == first.fingerprint
    for resolution, split in first.train.items():
        assert torch.equal(split.images, second.train[resolution].images)
        assert torch.equal(split.labels, second.train[resolution].labels)


def test_a_change_is_never_served_from_the_cache(varres):
    """Not even when size and date stay the same."""
    first = data.load("varres")
    path = varres(varres_files())
    date = path.stat().st_mtime_ns
    files = varres_files()
    images = [f"mnist-varres/train/0/{size}.png" for size in (32, 48)]
    content = bytearray(path.read_bytes())
    swapped = files | {images[0]: png(32, seed=7)}
    path = varres(swapped)
    path.write_bytes(path.read_bytes().ljust(len(content), b"\0"))
    os.utime(path, ns=(date, date))
    assert data.load("varres").fingerprint != first.fingerprint


@pytest.mark.parametrize("damage", ["empty", "short", "garbage", "flipped", "foreign"])
def test_a_damaged_cache_is_rebuilt(varres, home, damage):
    first = data.load("varres")
    (cache,) = (home / "cache").iterdir()
    sound = cache.read_bytes()
    flipped = bytearray(sound)
    flipped[-100] ^= 1
    if damage == "foreign":  # a sound file with other tensors
        save_file({"x": torch.zeros(1)}, cache)
    else:
        cache.write_bytes(
            {
                "empty": b"",
                "short": sound[:-1],
                "garbage": b"\xff" * 1000,
                "flipped": bytes(flipped),
            }[damage]
        )
    assert data.load("varres").fingerprint == first.fingerprint
    assert cache.read_bytes() == sound
    assert len(everything_in(home)) == 1


def test_an_unwritable_cache_is_no_obstacle(varres, home):
    (home / "cache").write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="decoded again next time"):
        loaded = data.load("varres")
    assert loaded.fingerprint == varres_fingerprint()
    assert everything_in(home) == {"cache"}


def test_a_cache_that_cannot_be_finished_leaves_nothing(varres, home, monkeypatch):
    def disk_full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", disk_full)
    with pytest.warns(UserWarning, match="No space left"):
        data.load("varres")
    assert everything_in(home) == set()
    assert list((home / "cache").iterdir()) == []
