"""Tiny data sets, in all the layouts that helpers.data accepts."""

import gzip
import io
import struct
import tarfile
from dataclasses import replace

import numpy as np
import torch
from PIL import Image

from helpers import data
from helpers.data.catalogue import RECIPES
from helpers.data.download import Download
from helpers.data.samples import fingerprint

RAW_FILES = (
    *("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    *("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
)


def change_recipe(monkeypatch, name, **changes):
    recipe = replace(RECIPES[name], **changes)
    monkeypatch.setitem(RECIPES, name, recipe)


UNREACHABLE = Download("http://127.0.0.1:9/", "cifar-10-python.tar.gz", "md5:0")


def png(size, mode="L", seed=0):
    shape = (size, size) if mode == "L" else (size, size, len(mode))
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return encode(Image.fromarray(pixels))


def encode(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def varres_files():
    sizes = (32, 48, 64)
    return {
        f"mnist-varres/{part}/{digit}/{size}.png": png(size, seed=seed * 100 + digit)
        for part, seed in (("train", 1), ("test", 2))
        for digit in range(10)
        for size in sizes
    }


def cifar_files():
    return {
        f"cifar10/{part}/{name}/{i}.png": png(32, "RGB", seed=seed + 10 * label + i)
        for part, seed in (("train", 1000), ("test", 2000))
        for label, name in enumerate(RECIPES["cifar10"].full.classes)
        for i in range(3)
    }


def tar(files, *special):
    """The bytes of an uncompressed archive: `special` members first, then `files`."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for member in special:
            archive.addfile(member, io.BytesIO(bytes(member.size)))
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def write_archive(folder, name, files, *special):
    path = folder / name
    path.write_bytes(gzip.compress(tar(files, *special), 1))
    return path


def write_tree(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def idx(array):
    header = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def mnist_files():
    generator = np.random.default_rng(0)
    arrays = (
        generator.integers(0, 256, (30, 28, 28)),
        generator.permutation(30) % 10,
        generator.integers(0, 256, (20, 28, 28)),
        generator.permutation(20) % 10,
    )
    return {name: idx(array) for name, array in zip(RAW_FILES, arrays, strict=True)}


def write_mnist(folder, **changes):
    """Write MNIST's files below `folder`; a change to None leaves that file out."""
    files = mnist_files() | {k.replace("_", "-"): v for k, v in changes.items()}
    kept = {f"MNIST/raw/{k}": v for k, v in files.items() if v is not None}
    write_tree(folder, kept)


def everything_in(folder):
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def refuse_to_decode(*_):
    raise AssertionError("decoded although there is a cache")


def varres_fingerprint():
    files = {
        k: np.asarray(Image.open(io.BytesIO(v))) for k, v in varres_files().items()
    }
    splits = {}
    for part in ("train", "test"):
        splits[part] = {}
        for size in (32, 48, 64):
            names = [f"mnist-varres/{part}/{digit}/{size}.png" for digit in range(10)]
            images = torch.from_numpy(np.stack([files[name] for name in names]))
            splits[part][size] = data.Split(images[:, None], torch.arange(10))
    return fingerprint(splits)
