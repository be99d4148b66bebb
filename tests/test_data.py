"""helpers.data: every source, every kind of damage, the cache, the downloads."""

import contextlib
import gzip
import hashlib
import http.server
import io
import os
import pickle
import pickletools
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import time
import zlib
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.datasets import CIFAR10

from helpers import data

ROOT = Path(__file__).resolve().parent.parent
RAW_FILES = (
    *("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    *("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
)


# --- Tiny data sets -------------------------------------------------------------------


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty data/ folder, no variable set, and downloads that are refused."""
    monkeypatch.delenv("REPORT_DATA", raising=False)
    monkeypatch.delenv("REPORT_PROFILE", raising=False)
    monkeypatch.setattr(data, "DATA_FOLDER", tmp_path / "data")
    monkeypatch.setattr(data, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(data, "STALL_SECONDS", 0.3)
    for name in data._RECIPES:
        download_from(monkeypatch, name, "http://127.0.0.1:9")  # nobody listens there
    change_recipe(monkeypatch, "mnist", fingerprint=None)
    data.DATA_FOLDER.mkdir()
    return data.DATA_FOLDER


def change_recipe(monkeypatch, name, **changes):
    recipe = replace(data._RECIPES[name], **changes)
    monkeypatch.setattr(data, "_RECIPES", {**data._RECIPES, name: recipe})


def download_from(monkeypatch, name, *servers, content=None):
    """Let a data set come from `servers`; files whose `content` is given must match."""
    downloads = []
    for download in data._RECIPES[name].downloads:
        file_name = Path(download.place).name
        wanted = content and content[file_name]
        downloads.append(
            replace(
                download,
                addresses=tuple(f"{server}/{file_name}" for server in servers),
                is_genuine=lambda path, wanted=wanted: path.read_bytes() == wanted,
            )
        )
    change_recipe(monkeypatch, name, downloads=tuple(downloads))


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
        for label, name in enumerate(data._RECIPES["cifar10"].classes)
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


# --- What load gives ------------------------------------------------------------------


def test_all_sets_have_one_structure(home):
    write_mnist(home)
    write_archive(home, "mnist-varres.tgz", varres_files())
    write_archive(home, "cifar10.tgz", cifar_files())
    shapes = {
        "mnist": {28: (30, 1, 28, 28)},
        "varres": {size: (10, 1, size, size) for size in (32, 48, 64)},
        "cifar10": {32: (30, 3, 32, 32)},
    }
    for name, expected in shapes.items():
        loaded = data.load(name)
        assert {r: tuple(s.images.shape) for r, s in loaded.train.items()} == expected
        assert loaded.test.keys() == loaded.train.keys()
        for split in (*loaded.train.values(), *loaded.test.values()):
            assert split.images.dtype == torch.uint8 and split.images.is_contiguous()
            assert split.labels.dtype == torch.int64
            assert split.labels.shape == split.images.shape[:1]
        assert len(loaded.classes) == 10
        assert not loaded.stand_in
        assert len(loaded.fingerprint) == 16
        assert len(repr(loaded)) < 500  # no tensor is printed by accident


def test_a_data_set_is_frozen(home, monkeypatch):
    monkeypatch.setenv("REPORT_PROFILE", "quick")
    with pytest.raises(FrozenInstanceError):
        data.load("mnist").stand_in = False


def test_mnist_keeps_its_order_and_its_pixels(home):
    write_mnist(home)
    split = data.load("mnist").train[28]
    files = mnist_files()
    assert split.images.numpy().tobytes() == files["train-images-idx3-ubyte"][16:]
    assert bytes(split.labels.tolist()) == files["train-labels-idx1-ubyte"][8:]


def test_images_keep_their_pixels_and_labels(home):
    """Rows, columns and channels are where they were; the label is the folder's."""
    files = cifar_files()
    write_archive(home, "cifar10.tgz", files)
    loaded = data.load("cifar10")
    expected = set()
    for name, content in files.items():
        pixels = np.asarray(Image.open(io.BytesIO(content)))
        if "/train/" in name:
            expected.add((name.split("/")[2], pixels.transpose(2, 0, 1).tobytes()))
    split = loaded.train[32]
    found = {
        (loaded.classes[label], image.numpy().tobytes())
        for image, label in zip(split.images, split.labels, strict=True)
    }
    assert found == expected


def test_unknown_name(home):
    with pytest.raises(ValueError, match=r"'svhn'.*mnist, varres, cifar10"):
        data.load("svhn")


# --- Order of the sources, profiles ---------------------------------------------------


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.setenv("REPORT_DATA", str(folder))
    return folder


def test_sources_in_order(home, elsewhere):
    """Each source is taken once the ones before it are gone."""
    write_tree(elsewhere, varres_files())
    write_archive(elsewhere, "mnist-varres.tgz", varres_files())
    write_archive(home, "mnist-varres.tgz", varres_files())
    seen = []
    for source in (
        *(elsewhere / "mnist-varres.tgz", elsewhere / "mnist-varres"),
        *(home / "mnist-varres.tgz", home / "nothing"),
    ):
        seen.append(str(data.locate("varres")))
        if source.exists():
            source.rename(source.with_name(f"former-{source.name}"))
    assert seen[0].startswith(
        "variable-resolution MNIST from mnist-varres.tgz in the folder REPORT_DATA ("
    )
    assert " from mnist-varres in the folder REPORT_DATA (" in seen[1]
    assert " from mnist-varres.tgz in data/ (" in seen[2]
    assert seen[3].startswith("a stand-in for variable-resolution MNIST: ")
    assert "no mnist-varres.tgz or mnist-varres in the folder REPORT_DATA" in seen[3]
    assert "http://127.0.0.1:9/mnist-varres.tgz" in seen[3]
    for sentence in seen:  # they reach the report, where local paths must not
        assert str(home.parent) not in sentence


@pytest.mark.parametrize("name", ["mnist", "varres", "cifar10"])
def test_every_layout_gives_the_same_set(home, name, monkeypatch):
    """Archive, folder, compressed and plain files: same samples, order, fingerprint."""
    layouts = []
    if name == "mnist":
        layouts.append(lambda: write_mnist(home))
        layouts.append(
            lambda: write_tree(
                home,
                {
                    f"MNIST/raw/{file}.gz": gzip.compress(content)
                    for file, content in mnist_files().items()
                },
            )
        )
    else:
        stem = "mnist-varres" if name == "varres" else "cifar10"
        files = varres_files() if name == "varres" else cifar_files()
        backwards = dict(reversed(files.items()))
        dotted = {f"./{name}": content for name, content in files.items()}
        junk = {f"{stem}/train/0/._1.png": b"junk", f"{stem}/README": b"text"}
        layouts.append(lambda: write_archive(home, f"{stem}.tgz", files))
        layouts.append(lambda: write_archive(home, f"{stem}.tgz", backwards))
        layouts.append(lambda: write_archive(home, f"{stem}.tgz", dotted | junk))
        layouts.append(lambda: write_tree(home, files))
    loaded = []
    for write in layouts:
        write()
        loaded.append(data.load(name))
        for path in home.iterdir():
            path.rename(home.parent / f"{len(loaded)}-{path.name}")
    first = loaded[0]
    for other in loaded[1:]:
        assert other.fingerprint == first.fingerprint
        for part in ("train", "test"):
            for resolution, split in getattr(first, part).items():
                same = getattr(other, part)[resolution]
                assert torch.equal(split.images, same.images)
                assert torch.equal(split.labels, same.labels)


def test_a_home_directory_in_report_data(home, monkeypatch, elsewhere):
    monkeypatch.setenv("HOME", str(elsewhere.parent))
    monkeypatch.setenv("REPORT_DATA", "~/elsewhere")
    write_mnist(elsewhere)
    assert "REPORT_DATA" in data.load("mnist").source


def test_report_data_must_be_a_folder(home, monkeypatch, tmp_path):
    monkeypatch.setenv("REPORT_DATA", str(tmp_path / "misspelt"))
    with pytest.raises(data.DataError, match=r"misspelt.*no folder"):
        data.locate("mnist")


def test_quick_forces_the_stand_in(home, monkeypatch):
    write_mnist(home)
    monkeypatch.setenv("REPORT_PROFILE", "quick")
    location = data.locate("mnist")
    assert location.stand_in and location.profile == "quick"
    assert location.reason == "REPORT_PROFILE=quick asks for it"
    assert data.load("mnist").stand_in


def test_full_forbids_the_stand_in(home, elsewhere, monkeypatch):
    monkeypatch.setenv("REPORT_PROFILE", "full")
    with pytest.raises(data.DataError) as caught:
        data.load("cifar10")
    message = str(caught.value)
    for tried in (
        *("cifar10.tgz", "cifar-10-batches-py", "the folder REPORT_DATA", "data/"),
        *("http://127.0.0.1:9/cifar-10-python.tar.gz", "refused", "by hand"),
    ):
        assert tried in message
    write_archive(elsewhere, "cifar10.tgz", cifar_files())
    assert data.locate("cifar10").profile == "full"
    assert not data.load("cifar10").stand_in


def test_unset_profile_takes_the_best_and_says_why(home):
    assert "download failed" in data.locate("mnist").reason
    write_mnist(home)
    location = data.locate("mnist")
    assert location.profile == "full"
    assert str(location) == "MNIST from MNIST/raw in data/ (a local copy comes first)"


def test_unknown_profile(home, monkeypatch):
    monkeypatch.setenv("REPORT_PROFILE", "fast")
    with pytest.raises(ValueError, match=r"'fast'.*quick or full"):
        data.load("mnist")


def test_locate_does_not_look_inside(home):
    (home / "cifar10.tgz").write_bytes(b"damaged")
    assert not data.locate("cifar10").stand_in
    with pytest.raises(data.DataError):
        data.load("cifar10")


# --- Fingerprint and order ------------------------------------------------------------


def some_splits():
    generator = torch.Generator().manual_seed(0)
    return {
        part: {
            size: data.Split(
                torch.randint(0, 3, (8, 1, size, size), generator=generator).byte(),
                torch.randint(0, 10, (8,), generator=generator),
            )
            for size in (2, 3)
        }
        for part in ("train", "test")
    }


def changed(splits, part, size, split):
    return {**splits, part: {**splits[part], size: split}}


@given(order=st.permutations(range(8)))
def test_fingerprint_and_canonical_order_ignore_the_order(order):
    splits = some_splits()
    split = splits["train"][3]
    shuffled = data.Split(split.images[order], split.labels[order])
    again = changed(splits, "train", 3, shuffled)
    assert data._fingerprint(again) == data._fingerprint(splits)
    expected, found = map(data._in_canonical_order, (split, shuffled))
    assert torch.equal(found.images, expected.images)
    assert torch.equal(found.labels, expected.labels)


@given(
    part=st.sampled_from(["train", "test"]),
    size=st.sampled_from([2, 3]),
    sample=st.integers(0, 7),
    kind=st.sampled_from(["images", "labels"]),
)
def test_fingerprint_sees_every_pixel_and_label(part, size, sample, kind):
    splits = some_splits()
    split = splits[part][size]
    values = {"images": split.images.clone(), "labels": split.labels.clone()}
    flat = values[kind][sample : sample + 1].view(-1)
    flat[-1] = (flat[-1] + 1) % 10
    again = changed(splits, part, size, data.Split(**values))
    assert data._fingerprint(again) != data._fingerprint(splits)


def test_fingerprint_sees_where_a_label_belongs_and_the_split():
    splits = some_splits()
    split = splits["train"][2]
    swapped = data.Split(split.images, split.labels.roll(1))
    again = changed(splits, "train", 2, swapped)
    exchanged = {"train": splits["test"], "test": splits["train"]}
    assert data._fingerprint(again) != data._fingerprint(splits)
    assert data._fingerprint(exchanged) != data._fingerprint(splits)


def test_fingerprint_sees_where_a_part_ends():
    """The same samples in the same order, cut in two at another place."""
    whole = data._in_canonical_order(some_splits()["train"][2])
    fingerprints = {
        data._fingerprint(
            {
                "train": {2: data.Split(whole.images[:cut], whole.labels[:cut])},
                "test": {2: data.Split(whole.images[cut:], whole.labels[cut:])},
            }
        )
        for cut in range(1, 8)
    }
    assert len(fingerprints) == 7


# --- Damaged files --------------------------------------------------------------------


def assert_damaged(name, home, message=None):
    """load names the file and the damage, leaves nothing behind, takes nothing else."""
    before = everything_in(home)
    with pytest.raises(data.DataError, match=message) as caught:
        data.load(name)
    assert "cannot be used" in str(caught.value)
    assert everything_in(home) == before


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
def test_damaged_mnist(home, changes, message):
    write_mnist(home, **changes)
    assert_damaged("mnist", home, message)


def test_damaged_compressed_mnist(home):
    write_mnist(home, train_images_idx3_ubyte=None)
    packed = gzip.compress(mnist_files()["train-images-idx3-ubyte"])
    path = home / "MNIST/raw/train-images-idx3-ubyte.gz"
    for content in (packed[:-9], packed[:500], packed[:-8] + bytes(8), b"junk"):
        path.write_bytes(content)
        assert_damaged("mnist", home)
    path.write_bytes(packed)
    assert not data.load("mnist").stand_in


def test_mnist_must_be_the_published_one(home, monkeypatch):
    write_mnist(home)
    change_recipe(monkeypatch, "mnist", fingerprint=data.load("mnist").fingerprint)
    content = bytearray(mnist_files()["t10k-images-idx3-ubyte"])
    data.load("mnist")
    content[5000] ^= 1
    write_mnist(home, t10k_images_idx3_ubyte=bytes(content))
    assert_damaged("mnist", home, "not the published ones")


def without(part, class_name):
    files = varres_files()
    return {k: v for k, v in files.items() if f"{part}/{class_name}/" not in k}


def announcing(width, height):
    """A PNG file whose header announces a size that its content doesn't have."""
    content = png(32)
    header = b"IHDR" + struct.pack(">II", width, height) + content[24:29]
    return content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (without("train", 3), "train has no image of class 3"),
        (without("test", 9), "test has no image of class 9"),
        ({k: v for k, v in varres_files().items() if "48" not in k}, "no image of 48"),
        ({}, "train has no image of class 0, 1"),
        ({"mnist-varres/train/ten/1.png": png(32)}, "no known class"),
        ({"mnist-varres/train/0/1.png": png(31)}, r"0/1.png' has size \(31, 31\)"),
        ({"mnist-varres/train/0/1.png": png(32, "RGB")}, "mode RGB; .*mode L"),
        ({"mnist-varres/train/0/1.png": png(32, "RGBA")}, "mode RGBA; .*mode L"),
        ({"mnist-varres/train/0/1.png": b"GIF89a"}, "no.* readable PNG"),
        ({"mnist-varres/train/0/1.png": png(32)[:-40]}, "no.* readable PNG"),
        ({"mnist-varres/train/0/1.png": announcing(64, 64)}, "no.* readable PNG"),
        ({"mnist-varres/train/0/1.png": announcing(9000, 9000)}, r"\(9000, 9000\)"),
        ({"mnist-varres/train/0/1.png": announcing(60000, 60000)}, "bomb"),
        ({"mnist-varres/train/0/1.png": bytes(2**16 + 1)}, "65537 bytes; allowed"),
    ],
)
@pytest.mark.parametrize("packed", [True, False])
def test_damaged_images(home, files, message, packed):
    if len(files) == 1:
        files = varres_files() | files
    if packed:
        write_archive(home, "mnist-varres.tgz", files)
    else:
        (home / "mnist-varres").mkdir()
        write_tree(home, files)
    assert_damaged("varres", home, message)


def test_grey_images_are_no_cifar10(home):
    write_archive(
        home, "cifar10.tgz", cifar_files() | {"cifar10/train/cat/9.png": png(32)}
    )
    assert_damaged("cifar10", home, "mode L; .*mode RGB")


def member(name, kind=tarfile.REGTYPE, size=0):
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, "mnist-varres/train/0/32.png"
    return info


@pytest.mark.parametrize(
    ("special", "message"),
    [
        (member("mnist-varres/train/0/x.png", tarfile.SYMTYPE), "no file and no"),
        (member("mnist-varres/train/0/x.png", tarfile.LNKTYPE), "no file and no"),
        (member("mnist-varres/README", tarfile.SYMTYPE), "no file and no folder"),
        (member("mnist-varres/null", tarfile.CHRTYPE), "no file and no folder"),
        (member("mnist-varres/disk", tarfile.BLKTYPE), "no file and no folder"),
        (member("mnist-varres/pipe", tarfile.FIFOTYPE), "no file and no folder"),
        (member("../train/0/x.png"), "leaves the archive"),
        (member("mnist-varres/../../x"), "leaves the archive"),
        (member("/train/0/x.png"), "leaves the archive"),
        (member("..", tarfile.DIRTYPE), "leaves the archive"),
    ],
)
def test_harmful_members(home, special, message):
    write_archive(home, "mnist-varres.tgz", varres_files(), special)
    assert_damaged("varres", home, message)


def test_unpacking_bombs(home, monkeypatch):
    """Zeros pack a thousandfold: in a file that is skipped, or in a header."""
    monkeypatch.setattr(data, "MOST_FILE_BYTES", 2**20)
    skipped = member("mnist-varres/notes", size=2**21)
    header = member("mnist-varres/header", tarfile.XHDTYPE, size=2**21)
    for special in (skipped, header):
        write_archive(home, "mnist-varres.tgz", varres_files(), special)
        assert_damaged("varres", home, "unpacks to more than 1048576 bytes")
    write_mnist(home, train_labels_idx1_ubyte=None)
    path = home / "MNIST/raw/train-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(idx(np.zeros(2**22))))
    assert_damaged("mnist", home, "has 1048576 bytes, but announces")


def test_archive_that_breaks_off(home):
    """Also where it was packed anew afterwards, so that gzip finds nothing wrong."""
    # Without its last member the set would still be complete.
    plain = tar(varres_files() | {"mnist-varres/train/0/more.png": png(32, seed=9)})
    packed = gzip.compress(plain, 1)
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        boundary = archive.getmembers()[-1].offset
    garbled = bytearray(plain)
    garbled[boundary] ^= 1
    path = home / "mnist-varres.tgz"
    for content in (
        b"",
        packed[: len(packed) // 2],
        packed[:-8],
        packed[:-4],
        packed[:-8] + bytes(8),
        packed + b"more",
        plain,
        gzip.compress(b""),
        gzip.compress(plain[:boundary]),
        gzip.compress(plain[: boundary + 100]),
        gzip.compress(bytes(garbled)),
    ):
        path.write_bytes(content)
        assert_damaged("varres", home)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), repack=...)
def test_a_flipped_bit_never_changes_the_data(home, where: float, bit, repack: bool):
    """Wherever it is, it is either noticed or of no consequence (a date, say)."""
    plain = tar(varres_files())
    content = bytearray(plain if repack else gzip.compress(plain, 1, mtime=0))
    content[int(where * len(content))] ^= 1 << bit
    path = home / "mnist-varres.tgz"
    path.write_bytes(gzip.compress(bytes(content), 1) if repack else bytes(content))
    with contextlib.suppress(data.DataError):
        assert data.load("varres").fingerprint == varres_fingerprint()


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
    return data._fingerprint(splits)


@pytest.mark.parametrize("place", ["mnist-varres.tgz", "mnist-varres"])
def test_a_dangling_link_is_damage(home, place):
    (home / place).symlink_to(home / "nowhere")
    with pytest.raises(data.DataError, match="cannot be used"):
        data.load("varres")


def test_damage_never_falls_back(home, elsewhere):
    """Neither to the sound copy in data/ nor to the stand-in."""
    write_archive(home, "mnist-varres.tgz", varres_files())
    (elsewhere / "mnist-varres.tgz").write_bytes(b"damaged")
    assert_damaged("varres", home, "mnist-varres.tgz in the folder REPORT_DATA")


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
    classes = data._RECIPES["cifar10"].classes
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
    assert "cifar-10-" in batches.source
    assert batches.fingerprint == images.fingerprint
    assert torch.equal(batches.train[32].images, images.train[32].images)
    assert torch.equal(batches.test[32].labels, images.test[32].labels)


@pytest.mark.parametrize("packed", [True, False])
def test_a_batch_is_missing_or_changed(home, monkeypatch, packed):
    contents = cifar_batches(monkeypatch)
    missing = {k: v for k, v in contents.items() if k != "data_batch_3"}
    changed = contents | {"data_batch_3": contents["data_batch_2"]}
    for wrong in (missing, changed):
        if packed:
            write_archive(home, "cifar-10-python.tar.gz", in_folder(wrong))
        else:
            write_tree(home, in_folder(wrong))
        assert_damaged("cifar10", home, "data_batch_3")


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("published", [True, False])
def test_a_pickle_is_never_obeyed(home, monkeypatch, tmp_path, published):
    """Neither one with a wrong checksum nor, were there any, one with the right one."""
    contents = cifar_batches(monkeypatch)
    contents["data_batch_1"] = pickle.dumps(Trap(tmp_path / "sprung"), protocol=2)
    if published:
        publish(monkeypatch, contents)
    write_tree(home, in_folder(contents))
    assert_damaged("cifar10", home, "posix.mkdir" if published else "data_batch_1")
    assert not (tmp_path / "sprung").exists()


# --- The cache ------------------------------------------------------------------------


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
    monkeypatch.setattr(data, "_decode", refuse_to_decode)
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
        data.save_file({"x": torch.zeros(1)}, cache)
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

    monkeypatch.setattr(data.os, "replace", disk_full)
    with pytest.warns(UserWarning, match="No space left"):
        data.load("varres")
    assert everything_in(home) == set()
    assert list((home / "cache").iterdir()) == []


# --- Downloads ------------------------------------------------------------------------


class Server(http.server.ThreadingHTTPServer):
    """Serves `files` from 127.0.0.1; `moods` says how the next requests go wrong."""

    daemon_threads = True

    def __init__(self, files):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.moods, self.requests = files, [], []
        self.closing = threading.Event()
        self.before_answer = lambda: None
        self.address = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_):
        pass  # clients that hang up are part of the tests


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        name = self.path.lstrip("/")
        server.requests.append(name)
        mood = server.moods.pop(0) if server.moods else "well"
        server.before_answer()
        if mood == "silent":
            server.closing.wait(30)
        elif mood in ("404", "503"):
            self.send_error(int(mood))
        else:
            content = server.files[name]
            if mood == "tampered":
                content = content[:-1] + bytes([content[-1] ^ 1])
            self.send_response(200)
            if mood != "endless":
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            half = content[: len(content) // 2]
            self.wfile.write(half if mood in ("breaks off", "stalls") else content)
            self.wfile.flush()
            while mood == "endless":
                self.wfile.write(bytes(2**16))
            if mood == "stalls":
                server.closing.wait(30)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    files = {
        "mnist-varres.tgz": gzip.compress(tar(varres_files()), 1),
        **{f"{k}.gz": gzip.compress(v) for k, v in mnist_files().items()},
    }
    with Server(files) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.closing.set()
        server.shutdown()


@pytest.fixture
def varres_online(home, server, monkeypatch):
    download_from(monkeypatch, "varres", server.address, content=server.files)
    return server


def test_download(home, varres_online, capsys):
    location = data.locate("varres")
    assert str(location) == (
        "variable-resolution MNIST from mnist-varres.tgz in data/ (just downloaded)"
    )
    assert "mnist-varres.tgz" in capsys.readouterr().err  # the progress bar
    assert everything_in(home) == {"mnist-varres.tgz"}
    assert data.load("varres").fingerprint == varres_fingerprint()
    assert data.locate("varres").reason == "a local copy comes first"
    assert varres_online.requests == ["mnist-varres.tgz"]


@pytest.mark.parametrize("mood", ["503", "breaks off", "stalls"])
def test_another_attempt_after_an_interruption(home, varres_online, mood):
    varres_online.moods = [mood, mood]
    assert not data.locate("varres").stand_in
    assert len(varres_online.requests) == 3
    assert data.load("varres").fingerprint == varres_fingerprint()


@pytest.mark.parametrize(
    ("mood", "requests", "reason"),
    [
        ("503", 3, "503"),
        ("breaks off", 3, "bytes early"),
        ("stalls", 3, "timed out"),
        ("404", 1, "404"),
        ("tampered", 1, "checksum is not the published one"),
        ("endless", 1, "checksum is not the published one"),
        ("silent", 1, "timed out"),
    ],
)
def test_a_download_that_fails(
    home, varres_online, monkeypatch, mood, requests, reason
):
    """Nothing is left behind, and the sentence says where it was tried and why not."""
    monkeypatch.setattr(data, "MOST_FILE_BYTES", 2**21)
    varres_online.moods = [mood] * 10
    start = time.monotonic()
    location = data.locate("varres")
    assert time.monotonic() - start < 4
    assert location.stand_in
    assert f"{varres_online.address}/mnist-varres.tgz (" in location.reason
    assert reason in location.reason
    assert len(varres_online.requests) == requests
    assert list(home.iterdir()) == []
    monkeypatch.setenv("REPORT_PROFILE", "full")
    with pytest.raises(data.DataError, match=reason):
        data.load("varres")


def test_a_black_hole_costs_one_waiting_time(home, monkeypatch):
    """Neither many addresses of a server nor a dead name server can prolong it."""
    monkeypatch.setattr(data, "CONNECT_SECONDS", 0.3)
    monkeypatch.setattr(data, "STALL_SECONDS", 60)
    with socket.create_server(("127.0.0.1", 0)) as hole:  # connects, never answers
        address = f"http://127.0.0.1:{hole.getsockname()[1]}"
        download_from(monkeypatch, "varres", address)
        start = time.monotonic()
        location = data.locate("varres")
        assert time.monotonic() - start < 3
    assert "no answer within 0.3 s" in location.reason


def test_giving_up_takes_well_under_a_minute():
    """The waiting times as they are, over all mirrors of the first file of each set."""
    for recipe in data._RECIPES.values():
        assert len(recipe.downloads[0].addresses) * data.CONNECT_SECONDS <= 30


def test_the_second_mirror(home, server, monkeypatch):
    files = server.files
    refused = "http://127.0.0.1:9"
    download_from(monkeypatch, "mnist", refused, server.address, content=files)
    loaded = data.load("mnist")
    assert not loaded.stand_in
    assert everything_in(home) == {f"MNIST/raw/{name}.gz" for name in RAW_FILES}


def test_all_files_of_a_set_or_none(home, server, monkeypatch):
    download_from(monkeypatch, "mnist", server.address, content=server.files)
    server.moods = ["well", "well", "404"]
    assert data.locate("mnist").stand_in
    assert list(home.iterdir()) == []
    assert not data.locate("mnist").stand_in


def test_another_process_is_faster(home, server, monkeypatch):
    """Its files stay, ours go."""
    download_from(monkeypatch, "mnist", server.address, content=server.files)
    server.before_answer = lambda: write_mnist(home)
    assert not data.load("mnist").stand_in
    assert everything_in(home) == {f"MNIST/raw/{name}" for name in RAW_FILES}
    assert [path.name for path in home.iterdir()] == ["MNIST"]


def test_an_unwritable_data_folder(home, varres_online, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("where a folder should be")
    monkeypatch.setattr(data, "DATA_FOLDER", tmp_path / "file" / "data")
    location = data.locate("varres")
    assert location.stand_in
    assert "cannot write to data/ (Not a directory)" in location.reason
    assert str(tmp_path) not in str(location)


def test_the_official_checksums(tmp_path):
    """git's name for a content, and torchvision's md5, tell a copy from a forgery."""
    path = tmp_path / "file"
    path.write_bytes(b"what is up, doc?")
    blob = data._git_blob_is("bd9dbf5aae1a3862dd1526723246b20206e5fc37")
    md5 = data._md5_is(hashlib.md5(b"what is up, doc?").hexdigest())
    assert blob(path) and md5(path)
    path.write_bytes(b"what is up, Doc?")
    assert not blob(path) and not md5(path)


def test_the_official_addresses():
    addresses = {
        name: [d.addresses for d in recipe.downloads]
        for name, recipe in data._RECIPES.items()
    }
    assert addresses["varres"] == [("https://dlvu.github.io/data/mnist-varres.tgz",)]
    assert addresses["cifar10"] == [(CIFAR10.url,)]
    assert len(addresses["mnist"]) == 4
    for mirrors in addresses["mnist"]:
        assert all(address.endswith("-ubyte.gz") for address in mirrors)
    for recipe in data._RECIPES.values():
        assert recipe.arrives_at in recipe.places


# --- Two processes at once ------------------------------------------------------------

LOADER = """
import sys
from dataclasses import replace
from pathlib import Path
from helpers import data

data.DATA_FOLDER = Path(sys.argv[1])
recipe = data._RECIPES["varres"]
download = replace(
    recipe.downloads[0], addresses=(sys.argv[2],), is_genuine=lambda path: True
)
data._RECIPES["varres"] = replace(recipe, downloads=(download,))
print("ready", flush=True)
sys.stdin.readline()
print(data.load("varres").fingerprint)
"""


def test_two_processes_at_once(home, server):
    """Both download, decode and cache; one archive and one cache are left."""
    gate = threading.Barrier(2)  # neither gets the archive before both asked for it
    server.before_answer = lambda: gate.wait(30)
    address = f"{server.address}/mnist-varres.tgz"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", LOADER, str(home), address],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert outputs == [varres_fingerprint()] * 2
    assert len(server.requests) == 2
    left = everything_in(home)
    assert len(left) == 2 and "mnist-varres.tgz" in left
    assert {path.name for path in home.iterdir()} == {"mnist-varres.tgz", "cache"}


# --- Stand-ins ------------------------------------------------------------------------


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


# --- The real data sets ---------------------------------------------------------------


def real(name, monkeypatch):
    """Load a real data set from REPORT_DATA, with the project's own cache, or skip."""
    monkeypatch.delenv("REPORT_PROFILE", raising=False)
    folder = os.environ.get("REPORT_DATA")
    places = data._RECIPES[name].places
    if not folder or not any((Path(folder) / place).exists() for place in places):
        pytest.skip(f"REPORT_DATA names no folder with the real {name}")
    return data.load(name)


def test_real_mnist(monkeypatch):
    loaded = real("mnist", monkeypatch)
    assert loaded.train[28].images.shape == (60000, 1, 28, 28)
    assert loaded.test[28].images.shape == (10000, 1, 28, 28)
    assert loaded.train[28].labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert loaded.fingerprint == "a0d41a1ab5ea3073"
    assert not loaded.stand_in


def test_real_varres(monkeypatch):
    loaded = real("varres", monkeypatch)
    train = {r: tuple(s.images.shape) for r, s in loaded.train.items()}
    test = {r: tuple(s.images.shape) for r, s in loaded.test.items()}
    assert train == {
        32: (19913, 1, 32, 32),
        48: (20080, 1, 48, 48),
        64: (20007, 1, 64, 64),
    }
    assert test == {
        32: (3269, 1, 32, 32),
        48: (3381, 1, 48, 48),
        64: (3350, 1, 64, 64),
    }
    assert not loaded.stand_in


def test_real_cifar10(monkeypatch):
    loaded = real("cifar10", monkeypatch)
    assert loaded.train[32].images.shape == (50000, 3, 32, 32)
    assert loaded.test[32].images.shape == (10000, 3, 32, 32)
    assert loaded.train[32].labels.bincount().tolist() == [5000] * 10
    assert loaded.test[32].labels.bincount().tolist() == [1000] * 10
    assert not loaded.stand_in


def test_a_second_load_takes_about_a_second(monkeypatch):
    real("varres", monkeypatch)
    monkeypatch.setattr(data, "_decode", refuse_to_decode)
    start = time.monotonic()
    real("varres", monkeypatch)
    assert time.monotonic() - start < 5
