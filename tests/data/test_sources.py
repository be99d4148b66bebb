"""load and locate: what they give, every source, every profile, the real data."""

import gzip
import io
import time
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
import torch
from data_files import (
    cifar_files,
    mnist_files,
    refuse_to_decode,
    varres_files,
    write_archive,
    write_mnist,
    write_tree,
)
from PIL import Image

from helpers import data
from helpers.data import embedded, images, settings

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
        assert data.RECIPES[name].shapes == tuple(s[1:] for s in expected.values())
        assert loaded.test.keys() == loaded.train.keys()
        for split in (*loaded.train.values(), *loaded.test.values()):
            assert split.images.dtype == torch.uint8 and split.images.is_contiguous()
            assert split.labels.dtype == torch.int64
            assert split.labels.shape == split.images.shape[:1]
        assert len(loaded.classes) == 10
        assert not loaded.quick
        assert len(loaded.fingerprint) == 16
        assert len(repr(loaded)) < 500  # no tensor is printed by accident


def test_a_data_set_is_frozen(home, monkeypatch):
    monkeypatch.setenv("REPORT_PROFILE", "quick")
    with pytest.raises(FrozenInstanceError):
        data.load("mnist").quick = False


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


def test_the_data_folder_is_the_one_of_the_repository():
    repository = Path(__file__).resolve().parents[2]
    assert settings.DATA_FOLDER.samefile(repository / "data")


def test_unknown_name(home):
    with pytest.raises(ValueError, match=r"'svhn'.*mnist, varres, cifar10"):
        data.load("svhn")


# --- Order of the sources, profiles ---------------------------------------------------


def test_sources_in_order(home, elsewhere):
    """Each source is taken once the ones before it are gone."""
    write_tree(elsewhere, varres_files())
    write_archive(elsewhere, "mnist-varres.tgz", varres_files())
    write_archive(home, "mnist-varres.tgz", varres_files())
    write_archive(elsewhere, "cifar10.tgz", cifar_files())
    seen = []
    for source in (
        *(elsewhere / "mnist-varres.tgz", elsewhere / "mnist-varres"),
        *(home / "mnist-varres.tgz", home / "nothing"),
    ):
        seen.append(str(data.locate("varres")))
        if source.exists():
            source.rename(source.with_name(f"former-{source.name}"))
    assert seen == [
        "MNIST in three resolutions (mnist-varres.tgz in the folder REPORT_DATA)",
        "MNIST in three resolutions (mnist-varres in the folder REPORT_DATA)",
        "MNIST in three resolutions (mnist-varres.tgz in data/)",
        "MNIST in three resolutions (comes with the code)",
    ]


@pytest.mark.parametrize("place", ["MNIST/raw", "MNIST", "raw", "."])
@pytest.mark.parametrize("packed", [False, True])
def test_mnist_in_every_folder(home, elsewhere, place, packed):
    files = {
        f"{place}/{name}{'.gz' * packed}": gzip.compress(content) if packed else content
        for name, content in mnist_files().items()
    }
    write_tree(elsewhere, files)
    where = "the folder REPORT_DATA" if place == "." else f"{place} in the folder"
    assert data.locate("mnist").place.startswith(where)
    assert len(data.load("mnist").train[28].labels) == 30


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
    assert "REPORT_DATA" in data.locate("mnist").place


def test_report_data_must_be_a_folder(home, monkeypatch, tmp_path):
    monkeypatch.setenv("REPORT_DATA", str(tmp_path / "misspelt"))
    with pytest.raises(data.DataError, match=r"misspelt.*no folder"):
        data.locate("mnist")


@pytest.mark.parametrize(
    "found",
    [
        ["data"],  # one folder off
        ["mnist", "CIFAR10.tgz"],  # other capitals
        ["train-images.idx3-ubyte", "t10k-labels.idx1-ubyte"],  # the names on Kaggle
        [],
    ],
)
def test_report_data_without_any_data_set_says_what_is_there(home, elsewhere, found):
    for name in found:
        (elsewhere / name).mkdir()
    (elsewhere / "data").mkdir(exist_ok=True)
    write_mnist(elsewhere / "data")
    for name in data.NAMES:
        with pytest.raises(data.DataError) as caught:
            data.locate(name)
        message = str(caught.value)
        for word in (*found, "train-images-idx3-ubyte", "MNIST/raw", "cifar10.tgz"):
            assert word in message


def test_report_data_may_hold_one_set_alone(home, elsewhere):
    write_archive(elsewhere, "cifar10.tgz", cifar_files())
    assert data.locate("mnist").place == "comes with the code"


def test_quick_takes_small_sets(home, monkeypatch):
    write_mnist(home)
    monkeypatch.setenv("REPORT_PROFILE", "quick")
    location = data.locate("mnist")
    assert location.quick
    assert str(location) == "a few images of MNIST (REPORT_PROFILE=quick asks for it)"
    assert data.load("mnist").quick


def test_what_a_set_will_be_is_known_without_a_file(home, monkeypatch):
    assert data.variant("cifar10").fingerprint == "78565cd27623ed07"
    monkeypatch.setenv("REPORT_PROFILE", "quick")
    assert data.variant("cifar10").fingerprint == data.load("cifar10").fingerprint
    with pytest.raises(ValueError, match=r"'svhn'.*mnist, varres, cifar10"):
        data.variant("svhn")


def test_without_any_copy_it_is_said_what_to_do(home, elsewhere):
    write_mnist(elsewhere)
    with pytest.raises(data.DataMissing) as caught:
        data.load("cifar10")
    for tried in ("cifar10.tgz", "cifar-10-batches-py", "REPORT_DATA", "data/"):
        assert tried in str(caught.value)
    write_archive(elsewhere, "cifar10.tgz", cifar_files())
    assert not data.load("cifar10").quick


def test_unknown_profile(home, monkeypatch):
    monkeypatch.setenv("REPORT_PROFILE", "fast")
    with pytest.raises(ValueError, match=r"'fast'.*quick or full"):
        data.load("mnist")


def test_locate_does_not_look_inside(home):
    (home / "cifar10.tgz").write_bytes(b"damaged")
    assert not data.locate("cifar10").quick
    with pytest.raises(data.DataError):
        data.load("cifar10")


# --- Damage ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", data.NAMES)
def test_only_the_published_images_are_taken(home, name, monkeypatch):
    monkeypatch.undo()
    monkeypatch.delenv("REPORT_PROFILE", raising=False)
    folder = home.parent / "others"
    write_mnist(folder)
    write_archive(folder, "mnist-varres.tgz", varres_files())
    write_archive(folder, "cifar10.tgz", cifar_files())
    monkeypatch.setenv("REPORT_DATA", str(folder))
    with pytest.raises(data.DataError, match="not the published ones"):
        data.load(name)


@pytest.mark.parametrize("place", ["mnist-varres.tgz", "mnist-varres"])
def test_a_dangling_link_is_damage(home, place):
    (home / place).symlink_to(home / "nowhere")
    with pytest.raises(data.DataError, match="cannot be used"):
        data.load("varres")


def test_damage_never_falls_back(home, elsewhere, assert_damaged):
    """Neither to the sound copy in data/ nor to the committed one."""
    write_archive(home, "mnist-varres.tgz", varres_files())
    (elsewhere / "mnist-varres.tgz").write_bytes(b"damaged")
    assert_damaged("varres", "mnist-varres.tgz in the folder REPORT_DATA")


# --- The real data sets ---------------------------------------------------------------


def real(name, monkeypatch, placed=False):
    """Load a real data set; `placed`: from the folder REPORT_DATA."""
    monkeypatch.delenv("REPORT_PROFILE", raising=False)
    try:
        location = data.locate(name)
    except data.DataMissing as error:
        pytest.skip(f"real data missing: {error}")
    if placed and location.place == "comes with the code":
        pytest.skip(f"real data missing: REPORT_DATA names no folder with {name}")
    return data.load(name)


@pytest.mark.real
def test_real_mnist(monkeypatch):
    loaded = real("mnist", monkeypatch)
    assert loaded.train[28].images.shape == (60000, 1, 28, 28)
    assert loaded.test[28].images.shape == (10000, 1, 28, 28)
    assert loaded.train[28].labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert loaded.fingerprint == "a0d41a1ab5ea3073"


@pytest.mark.real
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


@pytest.mark.real
def test_real_cifar10(monkeypatch):
    loaded = real("cifar10", monkeypatch)
    assert loaded.train[32].images.shape == (50000, 3, 32, 32)
    assert loaded.test[32].images.shape == (10000, 3, 32, 32)
    assert loaded.train[32].labels.bincount().tolist() == [5000] * 10
    assert loaded.test[32].labels.bincount().tolist() == [1000] * 10


@pytest.mark.real
def test_the_rebuilt_canvases_are_those_of_the_archive(monkeypatch):
    """All 70,000 images, each bit, in the same order."""
    archive = real("varres", monkeypatch, placed=True)
    rebuilt = embedded.read_varres()
    for part, splits in rebuilt.items():
        for side, split in splits.items():
            published = getattr(archive, part)[side]
            assert torch.equal(split.images, published.images)
            assert torch.equal(split.labels, published.labels)


@pytest.mark.real
@pytest.mark.timing
def test_a_second_load_takes_about_a_second(monkeypatch):
    real("varres", monkeypatch, placed=True)
    monkeypatch.setattr(images, "_decode", refuse_to_decode)
    start = time.monotonic()
    real("varres", monkeypatch, placed=True)
    assert time.monotonic() - start < 5
