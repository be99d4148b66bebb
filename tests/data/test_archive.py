"""Archives: nothing harmful, nothing endless, nothing that breaks off gets through."""

import contextlib
import gzip
import io
import tarfile

import numpy as np
import pytest
from data_files import (
    idx,
    png,
    tar,
    varres_files,
    varres_fingerprint,
    write_archive,
    write_mnist,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers import data


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
def test_harmful_members(home, special, message, assert_damaged):
    write_archive(home, "mnist-varres.tgz", varres_files(), special)
    assert_damaged("varres", message)


def test_unpacking_bombs(home, monkeypatch, assert_damaged):
    """Zeros pack a thousandfold: in a file that is skipped, or in a header."""
    monkeypatch.setattr("helpers.data.settings.MOST_FILE_BYTES", 2**20)
    skipped = member("mnist-varres/notes", size=2**21)
    header = member("mnist-varres/header", tarfile.XHDTYPE, size=2**21)
    for special in (skipped, header):
        write_archive(home, "mnist-varres.tgz", varres_files(), special)
        assert_damaged("varres", "unpacks to more than 1048576 bytes")
    write_mnist(home, train_labels_idx1_ubyte=None)
    path = home / "MNIST/raw/train-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(idx(np.zeros(2**22))))
    assert_damaged("mnist", "has 1048576 bytes, but announces")


def test_archive_that_breaks_off(home, assert_damaged):
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
        assert_damaged("varres")


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
