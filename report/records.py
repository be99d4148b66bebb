"""Records: each printed result is linked to the training runs that it rests on.

A named result is known by the form in which the report prints it, its mean with both
ends of the interval. Behind it comes a mark that leads to an appendix, with what its
runs were trained with, from which seeds, on which machines, and where they were kept.
"""

import json
import subprocess
from dataclasses import dataclass
from functools import cache
from typing import Any

from pandocfilters import Div, Header, Link, Para, Space, Str, Strong, Superscript

from helpers import claims, runs, text
from report import pandoc, project
from report.document import together
from report.pandoc import Element

BLANKS = ("Space", "SoftBreak")


@dataclass(frozen=True)
class Named:
    """A named result: its mark, the words that it is printed in, and its records."""

    mark: str
    name: str
    printed: tuple[str, ...]
    records: tuple[runs.Record, ...]

    @property
    def identifier(self) -> str:
        return f"record-{self.name.replace('/', '-')}"


@cache
def results() -> tuple[Named, ...]:
    """Return all named results that have recorded runs, in the order of the report."""
    found = runs.headlines(runs.RECORDED, images=True)
    records = runs.named(runs.RECORDED)
    names = [result.name for result in claims.results() if result.name in found]
    return tuple(
        Named(
            f"r{number}",
            name,
            tuple(text.percent(found[name]).split(" ")),
            tuple(records[name]),
        )
        for number, name in enumerate(names, 1)
    )


def linked(blocks: list) -> list:
    """Return `blocks` with a mark behind each named result, and with the appendix.

    Without a result nothing is added.
    """
    met: dict[str, Named] = {}

    def action(kind: str, content: Any) -> Element | None:
        if kind not in ("Para", "Plain"):
            return None
        return {"t": kind, "c": _marked(content, met)}

    blocks = pandoc.transformed(blocks, action)
    return [*blocks, *_appendix(met)] if met else blocks


def _marked(inlines: list, met: dict[str, Named]) -> list:
    marked, at = [], 0
    while at < len(inlines):
        named = next((n for n in results() if _stands(n.printed, inlines, at)), None)
        length = 2 * len(named.printed) - 1 if named else 1
        marked += inlines[at : at + length]
        if named:
            met[named.name] = named
            marked.append(_mark(named))
        at += length
    return marked


def _stands(printed: tuple[str, ...], inlines: list, at: int) -> bool:
    """Whether a result is printed from this inline on; a sign may follow it."""
    some = inlines[at : at + 2 * len(printed) - 1]
    words = [i["c"] for i in some[::2] if i["t"] == "Str"]
    return (
        len(words) == len(printed)
        and all(blank["t"] in BLANKS for blank in some[1::2])
        and words[:-1] == list(printed[:-1])
        and words[-1].startswith(printed[-1])
    )


def _mark(named: Named) -> Element:
    told = [["aria-label", f"{named.mark}, record of {named.name}"]]  # as it is seen
    words = [Superscript([Str(named.mark)])]
    return Link(["", ["mark"], told], words, [f"#{named.identifier}", ""])


def _appendix(met: dict[str, Named]) -> list:
    intro = (
        "What the marked results rest on: settings, seeds, machines and versions of "
        "their training runs, and the commits that brought the records."
    )
    return [
        Header(1, ["records", [], []], pandoc.words("Records")),
        Para(pandoc.words(intro)),
        *(
            Div([named.identifier, ["record"], []], [_entry(named)])
            for named in results()
            if named.name in met
        ),
    ]


def _entry(named: Named) -> Element:
    first = named.records[0]
    seeds = ", ".join(str(record["seed"]) for record in named.records)
    machines = together(_machine(record) for record in named.records)
    versions = together(
        ", ".join(f"{name} {version}" for name, version in r["versions"].items())
        for r in named.records
    )
    commits = together(_commits().get(_identity(r), "none yet") for r in named.records)
    file = f"data/runs/{first['config']['data']}.jsonl"
    told = (
        f"seeds {seeds}; {_settings(first['config'])}; data {first['fingerprint']}; "
        f"{machines}; {versions}; in {file}, commits {commits}."
    )
    title = Strong([Str(named.mark), Space(), *pandoc.words(f"{named.name}:")])
    return Para([title, Space(), *pandoc.words(told)])


def _settings(config: dict) -> str:
    """The settings of a run as words; those that are empty were not used."""
    used = {name: value for name, value in config.items() if value not in (0, [], {})}
    return ", ".join(f"{name} {_spoken(v)}" for name, v in used.items()).replace(
        "_", " "
    )


def _spoken(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)


def _machine(record: runs.Record) -> str:
    machine = record["machine"]
    kind = machine.get("gpu") or machine.get("processor") or machine["system"]
    return f"{kind}, {machine['cores']} cores"


def _identity(record: runs.Record) -> str:
    return json.dumps([record[name] for name in runs.IDENTITY], sort_keys=True)


@cache
def _commits() -> dict[str, str]:
    """Identity of a record -> the commit that its line came with, where git knows."""
    found = {}
    for file in sorted(runs.RECORDED.glob("*.jsonl")):
        command = ["git", "blame", "-s", "--abbrev=7", "--", str(file)]
        try:
            told = subprocess.run(
                command, cwd=project.ROOT, capture_output=True, text=True, check=True
            ).stdout
        except (OSError, subprocess.CalledProcessError):
            continue  # no git, or no repository: a copy of the files alone
        for line in told.splitlines():
            commit, _, rest = line.partition(" ")
            try:
                record = json.loads(rest[rest.index("{") :])
            except ValueError:
                continue
            found[_identity(record)] = commit.lstrip("^")[:7]
    return found
