"""Archives that are never trusted: read straight through, nothing extracted to disk."""

import gzip
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, cast

from tqdm.auto import tqdm

from helpers.data import settings
from helpers.data.samples import DataError


def archive_members(
    path: Path, wanted: re.Pattern, most_bytes: int
) -> Iterator[tuple[re.Match, bytes]]:
    """Yield name (as a match of `wanted`) and content of the members of a .tgz file.

    Raises DataError for a member that would harm whoever extracted it, for one of more
    than `most_bytes`, and for an archive that breaks off.
    """
    size = path.stat().st_size
    with (
        path.open("rb") as file,
        tqdm.wrapattr(file, "read", total=size, desc=path.name, leave=False) as packed,
        gzip.open(packed) as unpacked,
    ):
        tape = _Tape(unpacked)
        # Of a stream, tarfile asks for nothing but read().
        with tarfile.open(fileobj=cast(IO[bytes], tape), mode="r|") as archive:
            for member in archive:
                name = PurePosixPath(member.name)
                if name.is_absolute() or ".." in name.parts:
                    raise DataError(f"member {member.name!r} leaves the archive")
                if not (member.isreg() or member.isdir()):
                    raise DataError(f"member {member.name!r} is no file and no folder")
                match = wanted.search(member.name)
                if not match or member.isdir():
                    continue
                if member.size > most_bytes:
                    raise DataError(
                        f"member {member.name!r} has {member.size} bytes; allowed are "
                        f"{most_bytes}"
                    )
                content = archive.extractfile(member)
                assert content is not None  # as it is for a file
                yield match, content.read()
            tape.finish(archive.offset)


class _Tape:
    """A stream that is read once, and watched while it is.

    Needed since tarfile takes a damaged header for the end of the archive, and reads
    whatever size a header announces.
    """

    def __init__(self, stream: gzip.GzipFile) -> None:
        self.stream = stream
        self.length = 0
        self.content_end = 0  # behind the last byte that is not zero

    def read(self, size: int) -> bytes:
        chunk = self.stream.read(size)
        if content := chunk.rstrip(b"\0"):
            self.content_end = self.length + len(content)
        self.length += len(chunk)
        if self.length > settings.MOST_FILE_BYTES:
            raise DataError(f"it unpacks to more than {settings.MOST_FILE_BYTES} bytes")
        return chunk

    def finish(self, end: int) -> None:
        """Raise DataError unless a block of zeros, and no content, follows `end`.

        Reading up to the last byte also makes gzip compare its checksum.
        """
        while self.read(2**20):
            pass
        if self.content_end > end or self.length < end + tarfile.BLOCKSIZE:
            raise DataError(f"it breaks off after {end} unpacked bytes")
