"""Decoded images, kept from run to run: one file per data set, without pickle."""

import os
import tempfile
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file

from helpers.data.samples import DataError, Split, Splits, fingerprint


def read_cache(cache: Path, resolutions: tuple[int, ...]) -> Splits:
    """Read what `write_cache` wrote.

    Raises DataError, SafetensorError or OSError for any other file, or for none.
    """
    with safe_open(cache, "pt") as file:
        splits = {
            part: {
                resolution: Split(
                    file.get_tensor(f"{part}/{resolution}/images"),
                    file.get_tensor(f"{part}/{resolution}/labels"),
                )
                for resolution in resolutions
            }
            for part in ("train", "test")
        }
        if file.metadata()["fingerprint"] != fingerprint(splits):
            raise DataError("the cache is damaged")
    return splits


def write_cache(cache: Path, splits: Splits) -> None:
    """Write the file `cache`; raises OSError or SafetensorError, and leaves nothing."""
    tensors = {
        f"{part}/{resolution}/{kind}": getattr(split, kind)
        for part, by_resolution in splits.items()
        for resolution, split in by_resolution.items()
        for kind in ("images", "labels")
    }
    cache.parent.mkdir(parents=True, exist_ok=True)
    # The file appears under its name whole and at once, whoever else writes it too.
    with tempfile.TemporaryDirectory(prefix=".", dir=cache.parent) as workplace:
        draft = Path(workplace) / cache.name
        save_file(tensors, draft, {"fingerprint": fingerprint(splits)})
        os.replace(draft, cache)
