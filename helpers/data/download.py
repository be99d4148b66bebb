"""The one download: CIFAR-10, complete and genuine, or none of it."""

from dataclasses import dataclass

import pooch

from helpers.data import settings

SECONDS_TO_ANSWER = 10
FURTHER_ATTEMPTS = 1


@dataclass(frozen=True)
class Download:
    """A published file: the address of its folder, its name and its checksum."""

    folder: str
    name: str
    checksum: str  # as in "md5:..."


def download(file: Download) -> None:
    """Fetch a file into data/, where it appears once its checksum is right.

    Raises OSError when it cannot be had, or is not the published one.
    """
    store = pooch.create(
        settings.DATA_FOLDER,
        file.folder,
        registry={file.name: file.checksum},
        retry_if_failed=FURTHER_ATTEMPTS,
    )
    pooch.get_logger().setLevel("WARNING")
    transfer = pooch.HTTPDownloader(progressbar=True, timeout=SECONDS_TO_ANSWER)
    try:
        store.fetch(file.name, downloader=transfer)
    except ValueError as error:  # of the checksum
        raise OSError(f"{file.folder}{file.name} is not the published file") from error
