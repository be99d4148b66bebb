"""The choice of the source: local files, the official download, or a stand-in."""

import os
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from helpers.data import settings
from helpers.data.catalogue import RECIPES, Recipe
from helpers.data.download import download
from helpers.data.samples import DataError, DataSet, Splits, fingerprint


@dataclass(frozen=True)
class Location:
    """Where a data set comes from, and why from there."""

    source: str
    reason: str
    stand_in: bool
    read: Callable[[], Splits] = field(repr=False)

    @property
    def profile(self) -> str:
        """The profile that results: "quick" on a stand-in, "full" on the real data."""
        return "quick" if self.stand_in else "full"

    def __str__(self) -> str:
        return f"{self.source} ({self.reason})"


def load(name: str) -> DataSet:
    """Load "mnist", "varres" (MNIST in 32, 48 and 64 px) or "cifar10".

    MNIST keeps its published order. The other sets come in the order of their samples'
    digests, so that a seed picks the same samples however the files were packed.

    Raises ValueError for an unknown name or profile; DataError when the files are there
    but damaged, or when REPORT_PROFILE=full and there are none.
    """
    location = locate(name)
    recipe = RECIPES[name]
    try:
        splits = location.read()
        found = fingerprint(splits)
        if not location.stand_in and recipe.fingerprint not in (None, found):
            raise DataError("its images and labels are not the published ones")
    except (ValueError, OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise DataError(
            f"{location.source} cannot be used: {error}. Put a sound copy in its place "
            "(see data/README.md), or remove it so that the next source is tried."
        ) from error
    return DataSet(
        name=name,
        classes=recipe.stand_in_classes if location.stand_in else recipe.classes,
        source=location.source,
        stand_in=location.stand_in,
        fingerprint=found,
        train=splits["train"],
        test=splits["test"],
    )


def locate(name: str) -> Location:
    """Find out where `load(name)` takes its images from, without decoding any.

    Without a local copy this downloads the set: only that tells whether it can be had.
    Raises as `load` does, except for damage inside the files.
    """
    if name not in RECIPES:
        raise ValueError(
            f"unknown data set {name!r}: choose one of {', '.join(RECIPES)}"
        )
    recipe = RECIPES[name]
    profile = os.environ.get("REPORT_PROFILE") or None
    if profile not in (None, "quick", "full"):
        raise ValueError(
            f"REPORT_PROFILE is {profile!r}: use quick or full, or leave it unset"
        )
    if profile == "quick":
        return _stand_in(recipe, "REPORT_PROFILE=quick asks for it")

    folders = _folders()
    for spoken, folder in folders.items():
        for place in recipe.places:
            # A dangling link counts: it is damage, and no reason to look elsewhere.
            if os.path.lexists(folder / place):
                return _local(recipe, place, spoken, folder, "a local copy comes first")
    try:
        download(recipe.downloads, recipe.arrives_at)
    except OSError as error:
        # With strerror it comes from the disk, and its message would hold a local path.
        failure = error.strerror and f"cannot write to data/ ({error.strerror})"
        tried = (
            f"there is no {' or '.join(recipe.places)} in {' or '.join(folders)}, and "
            f"the download failed: {failure or error}"
        )
        if profile == "full":
            raise DataError(
                f"REPORT_PROFILE=full needs the real {recipe.title}, but {tried}. To "
                "place it by hand, put one of those into data/ or into a folder that "
                "REPORT_DATA names (see data/README.md)."
            ) from error
        return _stand_in(recipe, tried)
    return _local(
        recipe, recipe.arrives_at, "data/", settings.DATA_FOLDER, "just downloaded"
    )


def _folders() -> dict[str, Path]:
    """The folders to look into, in order, under the names that sentences give them."""
    folders = {"data/": settings.DATA_FOLDER}
    if named := os.environ.get("REPORT_DATA"):
        folder = Path(named).expanduser()
        if not folder.is_dir():
            raise DataError(
                f"REPORT_DATA is {named!r}, which is no folder: name the folder that "
                "holds the data sets, or leave it unset"
            )
        folders = {"the folder REPORT_DATA": folder, **folders}
    return folders


def _local(
    recipe: Recipe, place: str, spoken: str, folder: Path, reason: str
) -> Location:
    return Location(
        source=f"{recipe.title} from {place} in {spoken}",
        reason=reason,
        stand_in=False,
        read=partial(recipe.places[place], folder / place),
    )


def _stand_in(recipe: Recipe, reason: str) -> Location:
    return Location(
        source=f"a stand-in for {recipe.title}: {recipe.stand_in_text}",
        reason=reason,
        stand_in=True,
        read=recipe.stand_in,
    )
