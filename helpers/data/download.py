"""The official downloads: complete and genuine, or none of it."""

import hashlib
import http.client
import os
import queue
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torchvision.datasets.utils import check_integrity
from tqdm.auto import tqdm

from helpers.data import settings

# A server that cannot be reached is asked once, so that a machine without network gives
# up fast; a transfer that breaks off is tried again.
CONNECT_SECONDS = 10
STALL_SECONDS = 10
ATTEMPTS = 3
PAUSE_SECONDS = 1


@dataclass(frozen=True)
class Download:
    """A file of an official download; `place` is its path below data/."""

    place: str
    addresses: tuple[str, ...]
    is_genuine: Callable[[Path], bool]


def md5_is(md5: str) -> Callable[[Path], bool]:
    """Compare with a published checksum."""
    return partial(check_integrity, md5=md5)


def git_blob_is(blob: str) -> Callable[[Path], bool]:
    """Compare with the name that git gives to a file's content."""

    def is_genuine(path: Path) -> bool:
        start = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: start).hexdigest() == blob

    return is_genuine


def download(files: Iterable[Download], arrives_at: str) -> None:
    """Download all files of a data set into data/, or none of them.

    arrives_at: the path below data/ of the one file, or of the folder that holds all.
    Raises OSError, whose message names every address that was tried.
    """
    folder = settings.DATA_FOLDER
    target = folder / arrives_at
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as workplace:
        draft = Path(workplace) / arrives_at
        for file in files:
            _fetch_from_any(file, Path(workplace) / file.place)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.replace(draft, target)
        except OSError:
            if not target.exists():  # else another process was faster: just as well
                raise


def _fetch_from_any(file: Download, draft: Path) -> None:
    draft.parent.mkdir(parents=True, exist_ok=True)
    failures = []
    for address in file.addresses:
        try:
            _fetch(address, draft)
            if file.is_genuine(draft):
                return
            failures.append(f"{address} (its checksum is not the published one)")
        except (OSError, http.client.HTTPException) as error:
            failures.append(f"{address} ({str(error).strip('<>')})")
    raise OSError("; ".join(failures))


def _fetch(address: str, draft: Path) -> None:
    for attempt in range(ATTEMPTS):
        time.sleep(PAUSE_SECONDS * attempt)
        try:
            with _open(address) as response:
                _receive(response, draft)
            return
        except _Interrupted:
            if attempt == ATTEMPTS - 1:
                raise


class _Interrupted(OSError):
    """A failure after the server was reached: another attempt may well succeed."""


def _open(address: str) -> http.client.HTTPResponse:
    """Open an address within CONNECT_SECONDS in all.

    The time-out of urlopen holds for each address of a server anew, and not at all for
    the name server; hence the thread, which is left behind when time is up.
    """
    answers = queue.Queue()

    def ask() -> None:
        try:
            answers.put(urllib.request.urlopen(address, timeout=STALL_SECONDS))
        except Exception as error:
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=CONNECT_SECONDS)
    except queue.Empty:
        raise TimeoutError(f"no answer within {CONNECT_SECONDS} s") from None
    if isinstance(answer, urllib.error.HTTPError) and answer.code >= 500:
        raise _Interrupted(str(answer))
    if isinstance(answer, Exception):
        raise answer
    return answer


def _receive(response: http.client.HTTPResponse, draft: Path) -> None:
    style = {"unit": "B", "unit_scale": True, "leave": False}
    with (
        draft.open("wb") as file,
        tqdm(desc=draft.name, total=response.length, **style) as bar,
    ):
        try:
            while file.tell() < settings.MOST_FILE_BYTES and (
                chunk := response.read(2**16)
            ):
                file.write(chunk)
                bar.update(len(chunk))
        except (OSError, http.client.HTTPException) as error:
            raise _Interrupted(f"the transfer broke off: {error}") from error
    if response.length:  # what is still to come, once nothing comes
        raise _Interrupted(f"the transfer broke off {response.length} bytes early")
