"""The choice of the source: local files, the committed ones, the official download."""

import os
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from helpers.data import settings
from helpers.data.catalogue import RECIPES, Place, Recipe, Variant
from helpers.data.download import Download, download
from helpers.data.formats import MNIST_FILES
from helpers.data.samples import DataError, DataMissing, DataSet, Splits, fingerprint
from helpers.project import variable

MOST_ENTRIES_NAMED = 8


@dataclass(frozen=True)
class Location:
    """Where a data set comes from; `set` says what it is, `quick` if the small one."""

    set: Variant
    place: str
    quick: bool
    read: Callable[[], Splits] = field(repr=False)

    def __str__(self) -> str:
        return f"{self.set.source} ({self.place})"


def load(name: str) -> DataSet:
    """Load "mnist", "varres" (MNIST in 32, 48 and 64 px) or "cifar10".

    MNIST keeps its published order. The other sets come in the order of their samples'
    digests, so that a seed picks the same samples however the files were packed.

    Raises ValueError for an unknown name or profile; DataError when the files are there
    but damaged; DataMissing, which is one, when there are none and none can be had.
    """
    location = locate(name)
    try:
        splits = location.read()
        found = fingerprint(splits)
        _check_genuine(found, location.set)
    except (ValueError, OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise DataError(
            f"{location} cannot be used: {error}. Put a sound copy in its place (see "
            "data/README.md), or remove it so that the next source is tried."
        ) from error
    return DataSet(
        name=name,
        classes=location.set.classes,
        source=location.set.source,
        quick=location.quick,
        fingerprint=found,
        train=splits["train"],
        test=splits["test"],
    )


def _check_genuine(found: str, wanted: Variant) -> None:
    if found != wanted.fingerprint:
        raise DataError("its images and labels are not the published ones")


def variant(name: str) -> Variant:
    """What `load(name)` will give, without looking for it: source and fingerprint.

    Raises ValueError for an unknown name or profile.
    """
    recipe = _recipe(name)
    return recipe.quick if quick_profile() else recipe.full


def quick_profile() -> bool:
    """Whether REPORT_PROFILE asks for small sets; raises ValueError if misspelt."""
    profile = variable("PROFILE") or "full"
    if profile not in ("quick", "full"):
        raise ValueError(
            f"REPORT_PROFILE is {profile!r}: use quick or full, or leave it unset"
        )
    return profile == "quick"


def locate(name: str) -> Location:
    """Find out where `load(name)` takes its images from, without decoding any.

    CIFAR-10 is downloaded where there is no copy: only that tells whether it can be
    had. Raises as `load` does, except for damage inside the files.
    """
    recipe = _recipe(name)
    if quick_profile():
        asked = "REPORT_PROFILE=quick asks for it"
        return Location(recipe.quick, asked, True, recipe.read_quick)
    found = partial(Location, recipe.full, quick=False)
    for spoken, folder in _folders().items():
        for name_of_place, place in recipe.places.items():
            if _holds(folder / name_of_place, place):
                where = (
                    spoken if name_of_place == "." else f"{name_of_place} in {spoken}"
                )
                read = partial(place.read, folder / name_of_place)
                return found(where, read=read)
    if recipe.embedded:
        return found("comes with the code", read=recipe.embedded)
    assert recipe.download is not None  # where nothing comes with the code
    _fetch(recipe, recipe.download)
    file = recipe.download.name
    read = partial(recipe.places[file].read, settings.DATA_FOLDER / file)
    return found("just downloaded", read=read)


def _recipe(name: str) -> Recipe:
    if name not in RECIPES:
        raise ValueError(
            f"unknown data set {name!r}: choose one of {', '.join(RECIPES)}"
        )
    return RECIPES[name]


def _holds(path: Path, place: Place) -> bool:
    # A dangling link counts: it is damage, and no reason to look elsewhere.
    if place.files and path.exists():
        return any(os.path.lexists(path / file) for file in place.files)
    return os.path.lexists(path)


def _fetch(recipe: Recipe, published: Download) -> None:
    try:
        download(published)
    except OSError as error:
        # With strerror it comes from the disk, and its message would hold a local path.
        disk = error.strerror and f"data/ cannot be written: {error.strerror}"
        address = published.folder + published.name
        raise DataMissing(
            recipe.full.source,
            disk or f"no answer from {address}, or not the published file",
            f"To run with it, put {' or '.join(recipe.places)} into data/ or into the "
            "folder that REPORT_DATA names (see data/README.md); to try out all code "
            "without it, set REPORT_PROFILE=quick.",
        ) from error


def _folders() -> dict[str, Path]:
    """The folders to look into, in order, under the names that sentences give them."""
    folders = {"data/": settings.DATA_FOLDER}
    if named := variable("DATA"):
        folder = Path(named).expanduser()
        if not folder.is_dir():
            raise DataError(
                f"REPORT_DATA is {named!r}, which is no folder: name the folder that "
                "holds the data sets, or leave it unset"
            )
        _check_that_it_is_of_use(named, folder)
        folders = {"the folder REPORT_DATA": folder, **folders}
    return folders


def _check_that_it_is_of_use(named: str, folder: Path) -> None:
    """Raise DataError for a folder that holds none of the sets: it was not meant."""
    places = {
        name: p for recipe in RECIPES.values() for name, p in recipe.places.items()
    }
    if any(_holds(folder / name, place) for name, place in places.items()):
        return
    there = sorted(path.name for path in folder.iterdir())
    shown = ", ".join(there[:MOST_ENTRIES_NAMED]) or "nothing"
    if (more := len(there) - MOST_ENTRIES_NAMED) > 0:
        shown += f" and {more} more"
    wanted = [name for name, place in places.items() if not place.files]
    raise DataError(
        f"REPORT_DATA is {named!r}, in which no data set was found. There is {shown}. "
        f"Looked for were {', '.join(wanted)}, and the four files of MNIST, "
        f"{MNIST_FILES[0]} and so on, plain or as .gz, in the folder itself, in MNIST/ "
        "or in MNIST/raw/. Name the folder that holds one of these, or leave "
        "REPORT_DATA unset."
    )
