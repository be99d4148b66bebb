"""Images in archives and folders: every kind of damage that an image can have."""

import struct
import zlib

import pytest
from data_files import cifar_files, png, varres_files, write_archive, write_tree


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
def test_damaged_images(home, files, message, packed, assert_damaged):
    if len(files) == 1:
        files = varres_files() | files
    if packed:
        write_archive(home, "mnist-varres.tgz", files)
    else:
        (home / "mnist-varres").mkdir()
        write_tree(home, files)
    assert_damaged("varres", message)


def test_grey_images_are_no_cifar10(home, assert_damaged):
    write_archive(
        home, "cifar10.tgz", cifar_files() | {"cifar10/train/cat/9.png": png(32)}
    )
    assert_damaged("cifar10", "mode L; .*mode RGB")
