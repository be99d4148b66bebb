"""The record of every training run: JSON lines, looked up, appended, summarised.

The runs that the report rests on stand in data/runs/, and whoever trains further ones
finds them in build/runs/, see `project.folders`. A record is one line of
`<data set>.jsonl` and holds

    config, seed, fingerprint   what identifies the run; the fingerprint is the data's
    headline                    name of the result that it counts for, or null
    history                     one list per quantity, one value per epoch
    first_epoch_losses          mean loss of up to 250 stretches of the first epoch
    final                       loss and accuracy on train, validation (and test)
    test_predictions            headline runs: per resolution, one digit per test image
    weights                     headline runs: a file in the folder weights/
    seconds, machine, versions  how long the epochs took, and on what
    bfloat16                    "rounded" where the machine had no units for it

A value that is not finite is null. The labels of the test images, in the order of the
predictions, stand in data/runs/labels/: so a recorded answer is judged without images.

`python -m helpers.runs` prints the headlines, with `--compare FOLDER` what training the
same runs again came to; `--labels` writes the labels anew.
"""

import argparse
import json
import math
import os
import platform
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy
import torch
from filelock import FileLock

from helpers import data, project
from helpers.data import DataSet, Split
from helpers.device import gpu, processor
from helpers.stats import Interval, accuracy_interval, paired_t, t_interval

ROOT = project.ROOT
RECORDED = project.DATA / "runs"  # what the report rests on
LABELS = RECORDED / "labels"

Record = dict[str, Any]
IDENTITY = ("config", "seed", "fingerprint")


def folders() -> list[Path]:
    """Where runs are looked for; new ones are added to the last of these folders."""
    return project.folders("runs")


def weights_file(record: Record) -> Path:
    """The file that holds the weights of a recorded run.

    Raises ValueError for a run that kept none, or whose file is gone.
    """
    if not record.get("weights"):
        raise ValueError(
            f"the run of seed {record['seed']} kept no weights: only runs that count "
            "for a headline do"
        )
    for folder in folders():
        if (path := folder / "weights" / record["weights"]).exists():
            return path
    places = ", ".join(f"{project.spoken(folder)}/weights" for folder in folders())
    raise ValueError(
        f"the weights {record['weights']} of a recorded run are in none of {places}: "
        "get them from the repository, or remove the record, so that the run is "
        "trained again"
    )


def read(folder: Path) -> list[Record]:
    """All records below `folder`, oldest first within a data set.

    A line that is no record is named in a warning and skipped.
    """
    return [
        record for path in sorted(folder.glob("*.jsonl")) for record in _lines(path)
    ]


class Index:
    """The records of some folders, read once, to find runs in.

    defaults: settings of a config that a record may be older than.
    """

    def __init__(
        self, folders: Iterable[Path], defaults: dict[str, Any] | None = None
    ) -> None:
        self.records: dict[str, Record] = {}
        for record in (record for folder in folders for record in read(folder)):
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
    place = project.ROOT / "build" / "locks" / f"{path.stem}.lock"
    place.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(place)


def diverged(record: Record) -> bool:
    """Whether a loss of the run is no finite number: what it says is chance."""
    losses = [
        *(
            v
            for k, row in record.get("history", {}).items()
            for v in row
            if "loss" in k
        ),
        *(part["loss"] for part in record.get("final", {}).values() if "loss" in part),
    ]
    return any(loss is None or not math.isfinite(loss) for loss in losses)


def keep_weights(folder: Path, name: str, content: bytes) -> None:
    """Write a file into the folder weights/, where it appears whole and at once."""
    project.write_whole(folder / "weights" / name, content)


def curves(
    records: Iterable[Record], quantity: str, epochs: int | None = None
) -> numpy.ndarray:
    """One row per record, one column per epoch, of one quantity; nan for null."""
    return numpy.array(
        [record["history"][quantity][:epochs] for record in records], dtype=float
    )


def last_epoch(
    records: Iterable[Record],
    quantity: str = "validation_accuracy",
    epochs: int | None = None,
) -> numpy.ndarray:
    """One value per record: the quantity after the last epoch, or after `epochs`."""
    return curves(records, quantity, epochs)[:, -1]


def test_accuracy(records: Iterable[Record]) -> list[float]:
    """The accuracy on the test images, one per record of a headline."""
    return [record["final"]["test"]["accuracy"] for record in records]


def answers(
    records: Iterable[Record], test: Mapping[int, Split] | None = None
) -> tuple[numpy.ndarray, numpy.ndarray]:
    """The digits on the test images, (images,), and what was answered, (records, ...).

    test: resolution -> images and labels, in whose order the images come. Without it
    the recorded labels count, which need no images; this raises ValueError for records
    of different data sets, and of data that are not the report's.
    """
    records = list(records)
    labels = (
        _recorded_labels(records)
        if test is None
        else {str(side): split.labels.numpy() for side, split in test.items()}
    )
    said = [
        _digits("".join(record["test_predictions"][side] for side in labels))
        for record in records
    ]
    return numpy.concatenate([*labels.values()]), numpy.array(said)


def rightness(
    records: Iterable[Record], test: Mapping[int, Split] | None = None
) -> numpy.ndarray:
    """(records, images): 1.0 where the answer is right, else 0.0; see `answers`."""
    labels, said = answers(records, test)
    return (said == labels).astype(float)


def named(folder: Path) -> dict[str, list[Record]]:
    """The runs of every headline, by name, each in the order of the seeds.

    Where a name has been trained in several configurations or on several data, the one
    recorded last counts; where a seed has been trained twice, the later run.
    """
    return {
        name: [by_seed[seed] for seed in sorted(by_seed)]
        for name, by_seed in _headline_runs(folder).items()
    }


def headlines(folder: Path, images: bool = False) -> dict[str, Interval]:
    """Test accuracy of every headline: mean over seeds, with 95 % interval.

    images: whether the interval covers the choice of the test images, too, as that of
    `stats.accuracy_interval` does; else it is the t interval over seeds. The runs are
    those of `named`. A name with one seed only is named in a warning and left out.
    Raises ValueError as `rightness` does where images count.
    """
    results = {}
    for name, records in named(folder).items():
        if len(records) < 2:
            warnings.warn(f"{name} has one seed, so no interval yet", stacklevel=2)
        elif images:
            results[name] = accuracy_interval(rightness(records))
        else:
            results[name] = t_interval(test_accuracy(records))
    return results


def keep_labels(dataset: DataSet, folder: Path = LABELS) -> Path:
    """Write the labels of the test images, for `rightness`; return the file."""
    content = {
        "fingerprint": dataset.fingerprint,
        "labels": {
            str(side): "".join(map(str, split.labels.tolist()))
            for side, split in dataset.test.items()
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{dataset.name}.json"
    path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    return path


def _recorded_labels(records: list[Record]) -> dict[str, numpy.ndarray]:
    sets = {(record["config"]["data"], record["fingerprint"]) for record in records}
    if len(sets) != 1:
        spoken = ", ".join(sorted(name for name, _ in sets)) or "none"
        raise ValueError(f"runs of {spoken} came in: give those of one data set")
    ((name, fingerprint),) = sets
    path = LABELS / f"{name}.json"
    content = json.loads(path.read_text("utf-8")) if path.exists() else {}
    if content.get("fingerprint") != fingerprint:
        raise ValueError(
            f"the runs are on data {fingerprint} by the name of {name!r}, whose labels "
            "are not recorded: give the test images that they were judged on"
        )
    return {side: _digits(digits) for side, digits in content["labels"].items()}


def _digits(digits: str) -> numpy.ndarray:
    return numpy.frombuffer(digits.encode("ascii"), numpy.uint8) - ord("0")


def compare(recorded: Path, reproduced: Path) -> Iterator[str]:
    """Yield a few lines per headline: the runs of one folder beside those of another.

    Seeds are paired. Machines that round differently give different weights: then the
    95 % interval of the mean difference says whether chance explains the rest.
    """
    old_runs, new_runs = _headline_runs(recorded), _headline_runs(reproduced)
    for name in sorted({*old_runs, *new_runs}):
        yield name
        before, after = old_runs.get(name, {}), new_runs.get(name, {})
        seeds = [seed for seed in before if seed in after]
        if len(seeds) < 2:
            yield (
                f"  not compared: {len(before)} seeds recorded, {len(after)} trained "
                f"again, {len(seeds)} in common"
            )
            continue
        pairs = [(before[seed], after[seed]) for seed in seeds]
        if not all(_same_settings(*pair) for pair in pairs):
            yield "  not compared: trained again with other settings or on other data"
            continue
        old, new = (test_accuracy(part) for part in zip(*pairs, strict=True))
        yield f"  recorded    {_percent(t_interval(old))}"
        yield f"  reproduced  {_percent(t_interval(new))}"
        if all(_outcome(one) == _outcome(other) for one, other in pairs):
            yield f"  equal to the last bit, all {len(seeds)} seeds"
            continue
        change = paired_t(new, old)
        verdict = "within chance" if change.low <= 0 <= change.high else "beyond chance"
        yield (
            f"  difference  {100 * change.mean:+.3f} points "
            f"[{100 * change.low:+.3f}, {100 * change.high:+.3f}], "
            f"{len(seeds)} seeds: {verdict}"
        )


def machine() -> dict[str, Any]:
    """Kind of machine and versions, as far as the numbers may depend on them."""
    return {
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "vector_instructions": torch.backends.cpu.get_cpu_capability(),
            "processor": processor(),
            "cores": os.cpu_count(),
            "gpu": gpu(),
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


def _headline_runs(folder: Path) -> dict[str, dict[int, Record]]:
    """By name and seed, the runs of the configuration that was recorded last.

    A run that diverged carries no headline: it is named in a warning and left out.
    """
    latest: dict[str, dict[int, Record]] = {}
    for record in read(folder):
        if name := record["headline"]:
            if diverged(record):
                seed = record["seed"]
                warnings.warn(f"{name}, seed {seed}, diverged: left out", stacklevel=4)
                continue
            by_seed = latest.get(name)
            if not by_seed or not _same_settings(next(iter(by_seed.values())), record):
                by_seed = latest[name] = {}
            by_seed[record["seed"]] = record
    return dict(sorted(latest.items()))


def _same_settings(one: Record, other: Record) -> bool:
    """Compare data and config; a setting that one is older than does not count."""
    shared = one["config"].keys() & other["config"].keys()
    same = all(one["config"][name] == other["config"][name] for name in shared)
    return same and one["fingerprint"] == other["fingerprint"]


def _outcome(record: Record) -> Record:
    """What must come out the same on the same machine."""
    history = {k: v for k, v in record["history"].items() if k != "seconds"}
    names = ("first_epoch_losses", "final", "test_predictions")
    return {"history": history} | {name: record[name] for name in names}


def _percent(result: Interval) -> str:
    mean, low, high = (100 * value for value in result[:3])
    return f"{mean:.3f} % [{low:.3f}, {high:.3f}]"


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
        "--runs",
        type=Path,
        default=RECORDED,
        metavar="FOLDER",
        help="read these records instead of the report's, data/runs",
    )
    parser.add_argument(
        "--compare",
        type=Path,
        metavar="FOLDER",
        help="set the headlines of runs that were trained again beside the recorded",
    )
    parser.add_argument(
        "--labels",
        action="store_true",
        help="write the labels of all test images anew into data/runs/labels",
    )
    chosen = parser.parse_args()
    if chosen.labels:
        if data.quick_profile():
            parser.error("REPORT_PROFILE=quick has other test images: leave it unset")
        for name in data.NAMES:
            print(project.spoken(keep_labels(data.load(name))))
        return
    if chosen.compare:
        for line in compare(chosen.runs, chosen.compare):
            print(line)
        return
    for name, result in headlines(chosen.runs).items():
        numbers = f"{result.mean:.6f}\t{result.low:.6f}\t{result.high:.6f}"
        print(f"{name}\t{result.n}\t{numbers}")


if __name__ == "__main__":
    main()
