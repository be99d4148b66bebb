"""Recorded timings: what a chapter says on speed, with machine, versions and day.

A measurement wants a machine that does nothing else, and minutes. So it is made once
and kept as `<name>.json`, from which the chapters read. Those of the report stand in
data/bench/; a reader's own land in build/bench/, see `project.folders`:
REPORT_BENCH=data/bench replaces the report's own records, REPORT_BENCH=build/bench
shows a reader's in the chapters. A record holds

    settings            what was measured; with other settings a record does not fit
    values              one for each round, so that every reader can take its intervals
    date                the day, as 2026-11-25
    machine, versions   where, as in `helpers.runs`

`python -m helpers.bench.ways` and `python -m helpers.bench.pipelines` measure anew;
`python -m helpers.bench.gpu` measures what a graphics card does.
"""

import datetime
import json
import re
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from helpers import project, runs


@dataclass(frozen=True)
class Record:
    """What was measured, when and where; `values` as JSON knows them."""

    settings: Any
    values: Any
    date: str
    machine: dict[str, Any]
    versions: dict[str, str]

    def __str__(self) -> str:
        """Machine, version of torch and day, to be set into a sentence."""
        day = datetime.date.fromisoformat(self.date)
        return (
            f"{self.machine['processor']} ({self.machine['cores']} cores, "
            f"{self.machine['vector_instructions']}, torch {self.versions['torch']}), "
            f"{day.day} {day:%B %Y}"
        )


def folders() -> list[Path]:
    """Where timings are looked for; new ones go to the last of these folders."""
    return project.folders("bench")


def recorded(name: str, settings: Any, measure: Callable[[], Any]) -> Record:
    """Return the record of this name, or measure when none was made with `settings`."""
    if found := on_all_processors(name, settings):
        return found[0]
    print(f"No recorded timings of {name} fit: they are measured now.", flush=True)
    return renew(name, settings, measure)


def on_all_processors(name: str, settings: Any) -> list[Record]:
    """The records of this name made with `settings`, one per kind of machine."""
    found: dict[str, Record] = {}
    for record in _all_made(name):
        if record.settings == _as_json(settings):
            found.setdefault(_kind(record.machine), record)
    return list(found.values())


def renew(name: str, settings: Any, measure: Callable[[], Any]) -> Record:
    """Measure and write a record, say where, and return it."""
    values = measure()
    record = Record(
        settings=_as_json(settings),
        values=_as_json(values),
        date=datetime.date.today().isoformat(),
        **runs.machine(),
    )
    path = _place(folders()[-1], name, _kind(record.machine))
    facts = [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in asdict(record).items()]
    project.write_whole(path, ("{\n" + ",\n".join(facts) + "\n}\n").encode())
    print(f"Written to {project.spoken(path)}.", flush=True)
    return record


def made(name: str) -> Record | None:
    """Return the newest record of this name with any settings; None without one."""
    return max(_all_made(name), key=lambda record: record.date, default=None)


def _all_made(name: str) -> list[Record]:
    """What was recorded under this name; in each folder, first what has it alone."""
    paths = [
        path
        for folder in folders()
        for path in (folder / f"{name}.json", *sorted(folder.glob(f"{name} on *.json")))
    ]
    return [record for record in map(_read, paths) if record]


def _kind(machine: dict[str, Any]) -> str:
    """What tells machines apart: the processor, and the graphics card if any."""
    return " with ".join(filter(None, (machine["processor"], machine.get("gpu"))))


def _place(folder: Path, name: str, kind: str) -> Path:
    """The file for a record: that of a second kind of machine replaces none."""
    path = folder / f"{name}.json"
    before = _read(path) if path.exists() else None
    if before is None or _kind(before.machine) == kind:
        return path
    words = re.sub(r"[^A-Za-z0-9]+", " ", kind).strip()
    return folder / f"{name} on {words}.json"


def _read(path: Path) -> Record | None:
    """The record in a file; without the file, or with a damaged one, None."""
    if not path.exists():
        return None
    try:
        return Record(**json.loads(path.read_text("utf-8")))
    except (ValueError, TypeError) as error:
        warnings.warn(
            f"{path.name} is damaged and not used ({error}): remove it, or measure "
            "anew by `make bench`",
            stacklevel=3,
        )
        return None


def _as_json(value: Any) -> Any:
    """`value` as it comes back from a file: tuples as lists, keys as text."""
    return json.loads(json.dumps(value))
