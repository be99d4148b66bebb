"""What the sources ask and say, and where the report answers.

Sources, claims, rows, errata, questions and results stand in TOML files in this
folder. A cell of a notebook names in its metadata, under the key "rows", the ids that
it answers or proves; `answers()` finds it. `looks()` finds the cells that name test
images.
"""

import ast
import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parent.parent.parent

AUDIT = 7  # the chapter that judges the sources
UNHELPFUL = ("Summary", "What you will see")  # sections that answer everything

STATUSES = (
    "wrong",
    "misprint",
    "misleading",
    "unclear",
    "debatable",
    "perhaps a scanning error",
)
KINDS = {
    "symbol": "an index, axis, sign or letter of a formula",
    "rule": "a statement about the mathematics that does not hold",
    "unrun code": "code that fails, or cannot have run, as printed",
    "special case": "true for the example shown, and said of all",
    "loss": "a loss added up or divided in the wrong way",
    "selection": "judged or chosen on the wrong images",
    "chance": "noise, a single seed, or an untested cause taken for an effect",
    "unanswered": "not what the question asks",
    "wording": "words, names and references",
    "unsaid": "a condition on which the result depends is not told",
}


CHECKS = {  # of each kind: the check that this project keeps, and where it stands
    "symbol": (
        "gradients and sums against the library, in whole numbers to the last bit",
        "test_backward.py::test_whole_numbers_agree_to_the_last_bit",
    ),
    "rule": (
        "an identity tried on random tensors",
        "test_backward.py::test_fold_is_the_adjoint_of_unfold",
    ),
    "unrun code": (
        "every notebook runs from top to bottom before it is typeset",
        "test_notebooks.py::test_ran_from_top_to_bottom",
    ),
    "special case": (
        "random sizes, strides, paddings, rectangles, batches",
        "test_conv.py::test_equals_torch",
    ),
    "loss": (
        "the loss per image, on batches of unequal size",
        "test_training.py::test_the_loss_is_per_sample_on_ragged_batches_too",
    ),
    "selection": (
        "only a named result ever gets the test images",
        "test_training.py::test_the_test_set_is_looked_at_for_a_headline_only",
    ),
    "chance": (
        "one rule for every comparison: few seeds give no verdict",
        "test_stats.py::test_few_seeds_give_no_verdict_and_from_five_on_a_hint",
    ),
    "unanswered": (
        "a list of all that was asked, compared with the notebooks",
        "test_claims.py::test_every_row_is_answered",
    ),
    "wording": (
        "links and numbers made by the build, which stops at a broken one",
        "test_report.py::test_all_links_resolve",
    ),
    "unsaid": (
        "a run has to come out again from what its record tells",
        "test_replay.py::test_the_first_epoch_comes_out_the_same",
    ),
}


@dataclass(frozen=True)
class Source:
    """One of the five texts. `digest` begins the SHA-256 of the copy that was read."""

    name: str
    what: str
    digest: str


@dataclass(frozen=True)
class Claim:
    """What a source says, for `helpers.verdicts`, which judges all of one `topic`.

    `measured` says in words what is compared with it, `reported` is the number that it
    names, if it names one, `unit` that of a difference which is no share. `verdict` is
    given where a chapter, not a measurement, decides.
    """

    id: str
    topic: str
    source: str
    says: str
    measured: str = ""
    reported: float | None = None
    unit: str = ""
    verdict: str = ""


@dataclass(frozen=True)
class Row:
    """One thing that a source asks for or reports, and that the report must answer.

    `answered_by`: files of the project, where they and not a cell are the answer.
    """

    id: str
    source: str
    asks: str
    answered_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Erratum:
    """What a source says, and what is right.

    `status` is one of `STATUSES`, `kind` one of `KINDS`; `doubt` says which part of the
    entry may be the fault of our copy of the text, or cannot be seen in it. `lesson` is
    what the most instructive ones teach.
    """

    id: str
    source: str
    where: str
    claim: str
    correct: str
    status: str
    kind: str
    doubt: str = ""
    lesson: str = ""


@dataclass(frozen=True)
class Question:
    """A question, task or exercise of a source, and the rows that answer it.

    `points` is None where the source gives none.
    """

    source: str
    number: str
    title: str
    rows: tuple[str, ...]
    points: float | None = None


@dataclass(frozen=True)
class Place:
    """A section of a notebook. `link` is Markdown, for Jupyter and for the report."""

    notebook: str
    chapter: int
    heading: str
    link: str


@dataclass(frozen=True)
class Reported:
    """An accuracy that a source gives; `images` are those that it was measured on."""

    source: str
    accuracy: float
    images: str


@dataclass(frozen=True)
class Result:
    """A named result: `name` is the headline of its runs, `title` says what it is.

    `reported`: what the sources give for the same thing, if they give anything.
    """

    name: str
    title: str
    data: str
    notebook: str
    heading: str
    reported: tuple[Reported, ...] = ()

    @property
    def place(self) -> Place:
        """The section that goes into it."""
        return _place(self.notebook, 2, self.heading)


def sources() -> tuple[Source, ...]:
    """The five texts."""
    return tuple(Source(**entry) for entry in _entries("source"))


def claims() -> tuple[Claim, ...]:
    """All claims that are judged, topic by topic."""
    return tuple(Claim(**entry) for entry in _entries("claim"))


def rows() -> tuple[Row, ...]:
    """All rows, in the order of their numbers."""
    return tuple(
        Row(**entry | {"answered_by": tuple(entry.get("answered_by", ()))})
        for entry in _entries("row")
    )


def errata() -> tuple[Erratum, ...]:
    """All errata, source by source."""
    return tuple(Erratum(**entry) for entry in _entries("erratum"))


def questions() -> tuple[Question, ...]:
    """All questions, in the order of their sources."""
    return tuple(
        Question(**entry | {"rows": tuple(entry["rows"])})
        for entry in _entries("question")
    )


def results() -> tuple[Result, ...]:
    """All named results, in the order in which the report shows them."""
    return tuple(
        Result(
            **entry
            | {"reported": tuple(Reported(**r) for r in entry.get("reported", ()))}
        )
        for entry in _entries("result")
    )


def answers(folder: Path | None = None) -> dict[str, list[Place]]:
    """Where each id is answered: the sections whose cells name it, in reading order.

    folder: where the numbered notebooks are, by default those of this project. Several
    cells of one section give one place; an id that no cell names is missing.
    """
    answered: dict[str, list[Place]] = {}
    for place, cell in _cells(folder):
        for identifier in cell["metadata"].get("rows", []):
            places = answered.setdefault(identifier, [])
            if place not in places:
                places.append(place)
    return answered


def links(*identifiers: str, most: int = 3) -> str:
    """Links to the sections that answer, those of a lesson before those of the audit.

    Summaries are left out; "—" where no section is left.
    """
    known = _answers_once()
    places = [place for i in identifiers for place in known.get(i, [])]
    chosen = [place for place in places if place.heading not in UNHELPFUL]
    chosen.sort(key=lambda place: place.chapter == AUDIT)
    return "; ".join(list(dict.fromkeys(p.link for p in chosen))[:most]) or "—"


@cache
def _answers_once() -> dict[str, list[Place]]:
    return answers()


def looks(folder: Path | None = None) -> dict[Place, int]:
    """How many cells of each section name the test images of a data set, in order.

    That is what an attribute `test` gives, as in `digits.test`, whatever for: to judge
    by them, to show one, to count them. folder: as for `answers`.
    """
    return dict(
        Counter(
            place
            for place, cell in _cells(folder)
            if cell["cell_type"] == "code" and _names_test("".join(cell["source"]))
        )
    )


def _names_test(code: str) -> bool:
    nodes = ast.walk(ast.parse(code))
    return any(isinstance(n, ast.Attribute) and n.attr == "test" for n in nodes)


def _cells(folder: Path | None) -> Iterator[tuple[Place, dict]]:
    """Every cell of the numbered notebooks, with the section that it stands in."""
    for path in sorted((folder or ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        level, heading = 0, ""
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            if cell["cell_type"] == "markdown":
                found = _headings("".join(cell["source"]))
                level, heading = found[-1] if found else (level, heading)
            yield _place(path.name, level, heading), cell


def _entries(kind: str) -> list[dict]:
    name = {"erratum": "errata"}.get(kind, f"{kind}s")
    path = Path(__file__).parent / f"{name}.toml"
    return tomllib.loads(path.read_text("utf-8"))[kind]


def _headings(markdown: str) -> list[tuple[int, str]]:
    """Level and text of each heading; a # in a block of code is none."""
    text = re.sub(r"^(```|~~~).*?^\1", "", markdown, flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"^(#{1,6}) +(.+?)[ #]*$", text, re.MULTILINE)
    return [(len(marks), heading) for marks, heading in found]


def _place(notebook: str, level: int, heading: str) -> Place:
    """Return the section as a place; a title is linked to as the notebook itself.

    Jupyter's anchors are the words of a heading with a dash for each blank.
    """
    chapter = int(notebook[:2])
    words = re.sub(r"[`*]", "", heading)
    fragment = quote(words.replace(" ", "-"), safe="-,:?!'") if level > 1 else ""
    address = f"{notebook}#{fragment}" if fragment else notebook
    return Place(notebook, chapter, words, f"[{chapter}: {words}]({address})")
