"""MNIST's idx files and CIFAR-10's batches: read right, damage found, never obeyed."""

import gzip
import hashlib
import io
import os
import pickle
import pickletools

import numpy as np
import pytest
import torch
from data_files import (
    RAW_FILES,
    cifar_files,
    idx,
    mnist_files,
    write_archive,
    write_mnist,
    write_tree,
)
from PIL import Image
from torchvision.datasets import CIFAR10

from helpers import data
from helpers.data.catalogue import RECIPES

# --- MNIST ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"t10k_labels_idx1_ubyte": None}, "t10k-labels-idx1-ubyte.* is missing"),
        ({"train_images_idx3_ubyte": b""}, "train-images-idx3-ubyte begins with b''"),
        (
            {"train_labels_idx1_ubyte": idx(np.zeros((30, 28, 28)))},
            "train-labels-idx1-ubyte begins with",
        ),
        (
            {"train_images_idx3_ubyte": mnist_files()[RAW_FILES[0]][:-1]},
            r"has 23535 bytes, but announces \[30, 28, 28\]",
        ),
        (
            {"train_images_idx3_ubyte": mnist_files()[RAW_FILES[0]] + b"0"},
            r"has 23537 bytes, but announces \[30, 28, 28\]",
        ),
        ({"train_images_idx3_ubyte": idx(np.zeros((30, 27, 28)))}, r"\(27, 28\) px"),
        ({"train_labels_idx1_ubyte": idx(np.zeros(29))}, "30 images, 29 labels"),
        ({"t10k_labels_idx1_ubyte": idx(np.full(20, 10))}, "label 10; allowed"),
        ({"t10k_labels_idx1_ubyte": idx(np.zeros(0))}, r"announces \[0\]"),
    ],
)
def test_damaged_mnist(home, changes, message, assert_damaged):
    write_mnist(home, **changes)
    assert_damaged("mnist", message)


def test_damaged_compressed_mnist(home, assert_damaged):
    write_mnist(home, train_images_idx3_ubyte=None)
    packed = gzip.compress(mnist_files()["train-images-idx3-ubyte"])
    path = home / "MNIST/raw/train-images-idx3-ubyte.gz"
    for content in (packed[:-9], packed[:500], packed[:-8] + bytes(8), b"junk"):
        path.write_bytes(content)
        assert_damaged("mnist")
    path.write_bytes(packed)
    assert not data.load("mnist").quick


# --- The official batches of CIFAR-10 -------------------------------------------------


def batch(images, labels):
    """A batch as Python 2 wrote it: byte strings, 0 and 1, numpy's former module."""
    entry = {"data": images, "labels": [int(label) for label in labels]}
    content = pickle.dumps(entry, protocol=3).replace(b"numpy._core", b"numpy.core")
    content = content.replace(b"\x89\x88\x87", b"K\x00K\x01\x87")
    codes = [(code.name, at) for code, _, at in pickletools.genops(content)]
    for at in [at for name, at in codes if name == "BINBYTES"]:
        content = content[:at] + b"T" + content[at + 1 :]
    return content


def cifar_batches(monkeypatch):
    """The tiny CIFAR-10 as batches, whose checksums become the published ones."""
    classes = RECIPES["cifar10"].full.classes
    samples = {"train": [], "test": []}
    for name, content in cifar_files().items():
        _, part, class_name, _ = name.split("/")
        pixels = np.asarray(Image.open(io.BytesIO(content))).transpose(2, 0, 1)
        samples[part].append((pixels.reshape(-1), classes.index(class_name)))
    contents = {}
    for listed, part in (("train_list", "train"), ("test_list", "test")):
        names = [name for name, _ in getattr(CIFAR10, listed)]
        for i, name in enumerate(names):
            images, labels = zip(*samples[part][i :: len(names)], strict=True)
            contents[name] = batch(np.stack(images), labels)
    publish(monkeypatch, contents)
    return contents


def publish(monkeypatch, contents):
    for listed in ("train_list", "test_list"):
        sums = [
            [name, hashlib.md5(contents[name]).hexdigest()]
            for name, _ in getattr(CIFAR10, listed)
        ]
        monkeypatch.setattr(CIFAR10, listed, sums)


def in_folder(contents):
    return {f"cifar-10-batches-py/{name}": c for name, c in contents.items()}


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.filterwarnings("error")
def test_batches_equal_the_images(home, monkeypatch, packed):
    write_archive(home, "cifar10.tgz", cifar_files())
    images = data.load("cifar10")
    (home / "cifar10.tgz").unlink()
    files = in_folder(cifar_batches(monkeypatch))
    if packed:
        write_archive(home, "cifar-10-python.tar.gz", files)
    else:
        write_tree(home, files)
    batches = data.load("cifar10")
    assert "cifar-10-" in data.locate("cifar10").place
    assert batches.fingerprint == images.fingerprint
    assert torch.equal(batches.train[32].images, images.train[32].images)
    assert torch.equal(batches.test[32].labels, images.test[32].labels)


@pytest.mark.parametrize("packed", [True, False])
def test_a_batch_is_missing_or_changed(home, monkeypatch, packed, assert_damaged):
    contents = cifar_batches(monkeypatch)
    missing = {k: v for k, v in contents.items() if k != "data_batch_3"}
    changed = contents | {"data_batch_3": contents["data_batch_2"]}
    for wrong in (missing, changed):
        if packed:
            write_archive(home, "cifar-10-python.tar.gz", in_folder(wrong))
        else:
            write_tree(home, in_folder(wrong))
        assert_damaged("cifar10", "data_batch_3")


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("published", [True, False])
def test_a_pickle_is_never_obeyed(
    home, monkeypatch, tmp_path, published, assert_damaged
):
    """Neither one with a wrong checksum nor, were there any, one with the right one."""
    contents = cifar_batches(monkeypatch)
    contents["data_batch_1"] = pickle.dumps(Trap(tmp_path / "sprung"), protocol=2)
    if published:
        publish(monkeypatch, contents)
    write_tree(home, in_folder(contents))
    assert_damaged("cifar10", "posix.mkdir" if published else "data_batch_1")
    assert not (tmp_path / "sprung").exists()
