"""The record of every training run: JSON lines, looked up, appended, summarised.

Runs on the real data stand in data/runs/ and belong to the report; runs on a stand-in
are kept in build/runs/. A record is one line of `<data set>.jsonl` and holds

    config, seed, fingerprint   what identifies the run; the fingerprint is the data's
    headline                    name of the result that it counts for, or null
    history                     one list per quantity, one value per epoch
    first_epoch_losses          mean loss of up to 250 stretches of the first epoch
    final                       loss and accuracy on train, validation (and test)
    test_predictions            headline runs: per resolution, one digit per test image
    weights                     first seed of a headline: a file in the folder weights/
    seconds, machine, versions  how long the epochs took, and on what
    stand_in                    whether the data only took the place of the real ones

A value that is not finite is null. `python -m helpers.runs` prints the headlines.
"""

import argparse
import json
import math
import os
import platform
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import torch
from filelock import FileLock

from helpers.stats import Interval, t_interval

ROOT = Path(__file__).resolve().parent.parent

Record = dict[str, Any]
IDENTITY = ("config", "seed", "fingerprint")


def folder(stand_in: bool) -> Path:
    """Where runs on the real data, or on a stand-in, are kept.

    The environment variable REPORT_RUNS names another folder for both.
    """
    if named := os.environ.get("REPORT_RUNS"):
        return Path(named).expanduser()
    return ROOT / ("build" if stand_in else "data") / "runs"


def read(folder: Path) -> list[Record]:
    """All records below `folder`, oldest first within a data set.

    A line that is no record is named in a warning and skipped.
    """
    return [
        record for path in sorted(folder.glob("*.jsonl")) for record in _lines(path)
    ]


class Index:
    """The records of a folder, read once, to find runs in.

    defaults: settings of a config that a record may be older than.
    """

    def __init__(self, folder: Path, defaults: dict[str, Any] | None = None) -> None:
        self.records: dict[str, Record] = {}
        for record in read(folder):
            config = {**(defaults or {}), **record["config"]}
            seed, fingerprint = record["seed"], record["fingerprint"]
            for headline in (None, record["headline"]):
                self.records[_key(config, seed, fingerprint, headline)] = record

    def find(
        self,
        config: dict[str, Any],
        seed: int,
        fingerprint: str,
        headline: str | None = None,
    ) -> Record | None:
        """The newest record of a run, or None; with a headline, of that name only."""
        return self.records.get(_key(config, seed, fingerprint, headline))


def append(folder: Path, record: Record) -> Record:
    """Add a record on a line of its own, whoever else is adding one.

    Returns the record as `read` will give it, without tuples and infinities. Raises
    ValueError when it lacks what identifies a run.
    """
    if missing := [name for name in (*IDENTITY, "headline") if name not in record]:
        raise ValueError(f"the record lacks {', '.join(missing)}; it holds {[*record]}")
    path = folder / f"{record['config']['data']}.jsonl"
    line = json.dumps(_finite(record), separators=(",", ":"), allow_nan=False)
    folder.mkdir(parents=True, exist_ok=True)
    with lock(path), path.open("ab+") as file:
        # A writer that was killed leaves half a line: it must not spoil this one.
        if file.tell():
            file.seek(-1, os.SEEK_END)
            line = line if file.read() == b"\n" else "\n" + line
        file.write(line.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return json.loads(line)


def lock(path: Path) -> FileLock:
    """What a process holds while it appends to `path`; it stands outside data/."""
    place = ROOT / "build" / "locks" / f"{path.stem}.lock"
    place.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(place)


def keep_weights(folder: Path, name: str, content: bytes) -> None:
    """Write a file into the folder weights/, where it appears whole and at once."""
    path = folder / "weights" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{name}-{os.getpid()}")
    draft.write_bytes(content)
    os.replace(draft, path)


def headlines(folder: Path) -> dict[str, Interval]:
    """Test accuracy of every headline: mean over seeds and 95 % t interval.

    Where a name has been trained in several configurations or on several data, the one
    recorded last counts. A name with one seed only is named in a warning and left out.
    """
    latest: dict[str, tuple[str, dict[int, float]]] = {}
    for record in read(folder):
        if name := record["headline"]:
            variant = _key(record["config"], 0, record["fingerprint"], name)
            if name not in latest or latest[name][0] != variant:
                latest[name] = (variant, {})
            latest[name][1][record["seed"]] = record["final"]["test"]["accuracy"]
    results = {}
    for name, (_, by_seed) in sorted(latest.items()):
        if len(by_seed) > 1:
            results[name] = t_interval(list(by_seed.values()))
        else:
            warnings.warn(f"{name} has one seed, so no interval yet", stacklevel=2)
    return results


def machine() -> dict[str, Any]:
    """Kind of machine and versions, as far as the numbers may depend on them."""
    return {
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "vector_instructions": torch.backends.cpu.get_cpu_capability(),
            "cores": os.cpu_count(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": numpy.__version__,
        },
    }


def _lines(path: Path) -> Iterator[Record]:
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            record = json.loads(line)
            if missing := {*IDENTITY, "headline"} - {*record}:
                raise ValueError(f"it lacks {', '.join(sorted(missing))}")
        except (ValueError, TypeError) as error:
            warnings.warn(
                f"{path.name}, line {number} is damaged and skipped ({error}); its run "
                "is trained again when it is needed. Remove the line to be rid of this",
                stacklevel=3,
            )
        else:
            yield record


def _key(
    config: dict[str, Any], seed: int, fingerprint: str, headline: str | None
) -> str:
    return json.dumps([config, seed, fingerprint, headline], sort_keys=True)


def _finite(value: Any) -> Any:
    """`value` with null for every number that JSON does not know."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m helpers.runs",
        description="Print every headline result of the recorded runs, one per line, "
        "tab-separated: name, n (number of seeds), mean test accuracy as a fraction, "
        "and the low and high end of its 95 % t interval over the seeds.",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="read build/runs (stand-in data) instead of data/runs (the report's)",
    )
    for name, result in headlines(folder(parser.parse_args().quick)).items():
        numbers = f"{result.mean:.6f}\t{result.low:.6f}\t{result.high:.6f}"
        print(f"{name}\t{result.n}\t{numbers}")


if __name__ == "__main__":
    main()
