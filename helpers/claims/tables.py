"""The lists of the audit as tables: what each function shows, its docstring says."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from helpers import claims, text
from helpers.stats import Interval


def sources() -> None:
    """The sources, the digest of our copy of each, and how many errata they have."""
    entries = Counter(erratum.source for erratum in claims.errata())
    text.table(
        "sources",
        "The sources, the beginning of the SHA-256 digest of the copy that we read, "
        "and their entries in the list of errata.",
        ["source", "what it is", "digest", "entries"],
        [[s.name, s.what, f"`{s.digest}`", entries[s.name]] for s in claims.sources()],
    )


def reported(
    beside: Iterable[tuple[claims.Result, claims.Reported, Interval]],
    measured: Mapping[str, Interval],
) -> None:
    """Accuracies of the sources, each with our result and the range of one more run.

    measured: name of the result -> mean and interval.
    """
    text.table(
        "reported",
        "Reported accuracies, and ours: mean, 95 % interval over n seeds and test "
        "images, and where 95 % of further runs are expected, each by itself.",
        ["result", "reported, of which images", "ours", "n", "one more run"],
        [
            [
                f"{result.data}: {result.title}",
                f"{one.source}: {one.accuracy:.2%}, {one.images}",
                text.percent(measured[result.name]),
                further.n,
                f"{further.low:.2%} – {min(further.high, 1):.2%}",
            ]
            for result, one, further in beside
        ],
    )


def instructive(kinds: Sequence[str]) -> None:
    """One erratum that teaches of each kind, in the order of `kinds`."""
    text.table(
        "instructive",
        "Ten instructive entries.",
        ["kind", "where, and what it says", "what is right", "what it teaches, proof"],
        [
            [
                kind,
                f"*{e.source}, {e.where}:* {e.claim}",
                e.correct,
                f"{e.lesson}; {claims.links(e.id, most=1)}",
            ]
            for kind in kinds
            for e in claims.errata()
            if e.kind == kind and e.lesson
        ],
    )


def errata() -> None:
    """All errata, on the page alone."""
    entries = claims.errata()
    text.table(
        "errata",
        f"All {len(entries)} entries. ‡: perhaps a scanning error.",
        [
            "source, where",
            "what it says",
            "what is right",
            "verdict, proof",
            "in doubt",
        ],
        [
            [
                f"{e.source}, {e.where}",
                e.claim + " ‡" * e.status.startswith("perhaps"),
                e.correct,
                f"{e.status}: {e.kind}; {claims.links(e.id, most=1)}",
                e.doubt or "–",
            ]
            for e in entries
        ],
        on_paper=False,
    )


def checks(counts: Mapping[str, int]) -> None:
    """The kinds, how many errata are of each, and the check that is kept against it."""
    text.table(
        "errata-checks",
        f"The ten kinds, and the check that is kept here. n = {sum(counts.values())} "
        "entries.",
        ["kind", "entries", "what it is", "the check", "in"],
        [
            [
                *(kind, count, claims.KINDS[kind], claims.CHECKS[kind][0]),
                "[{0}](../tests/{0})".format(claims.CHECKS[kind][1].split("::")[0]),
            ]
            for kind, count in counts.items()
        ],
    )


def questions() -> None:
    """The questions of all sources, their points, and the sections that answer them."""
    asked = claims.questions()
    sums: dict[str, float] = {}
    for question in asked:
        sums[question.source] = sums.get(question.source, 0) + (question.points or 0)
    worth = [f"{source} {total:g} points" for source, total in sums.items() if total]
    text.table(
        "questions",
        f"All {len(asked)} questions: {', '.join(worth)}.",
        ["number", "question", "points", "answered in chapter"],
        [
            [
                f"{q.source.removesuffix(' assignment')} {q.number}",
                *(q.title, q.points or "–", claims.links(*q.rows, most=2)),
            ]
            for q in asked
        ],
    )


def requirements() -> None:
    """All rows with what answers them, on the page alone."""
    text.table(
        "requirements",
        "All that is asked, drawn, reported or required, and what answers it.",
        ["number", "source", "what", "answered in chapter, or by files"],
        [
            [
                *(int(row.id[1:]), row.source, row.asks),
                ", ".join(f"`{file}`" for file in row.answered_by)
                or claims.links(row.id),
            ]
            for row in claims.rows()
        ],
        on_paper=False,
    )


def ledger(records: Iterable[Mapping[str, Any]]) -> None:
    """How many runs are recorded of each data set, and how many met test images."""
    by_data: dict[str, list] = {}
    for record in records:
        by_data.setdefault(record["config"]["data"], []).append(record)
    text.table(
        "ledger",
        "The recorded runs. A named result is one look at the test images, however "
        "many runs it has.",
        ["data", "runs", "on test images", "named results", "fewest seeds", "hours"],
        [
            [
                *(name, len(own), sum("test" in r["final"] for r in own), len(seeds)),
                min(seeds.values(), default="–"),
                f"{sum(r['seconds'] for r in own) / 3600:.1f}",
            ]
            for name, own in by_data.items()
            for seeds in [Counter(r["headline"] for r in own if r["headline"])]
        ],
    )


def looks() -> None:
    """Where the code of each chapter names test images."""
    counts = claims.looks()
    text.table(
        "looks",
        "Where the code of a chapter names the test images of a data set, whatever "
        "for.",
        ["chapter", "cells", "sections"],
        [
            [chapter, sum(counts[p] for p in own), "; ".join(p.link for p in own)]
            for chapter in sorted({place.chapter for place in counts})
            for own in [[place for place in counts if place.chapter == chapter]]
        ],
    )
