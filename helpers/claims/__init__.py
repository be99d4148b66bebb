"""What the sources ask and say, and where the report answers.

Rows, errata, questions and results stand in TOML files in this folder. A cell of a
notebook names in its metadata, under the key "rows", the ids that it answers or proves;
`answers()` finds it. `looks()` finds the cells that name test images.
"""

import ast
import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parent.parent.parent

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
    entry may be the fault of our copy of the text, or cannot be seen in it.
    """

    id: str
    source: str
    where: str
    claim: str
    correct: str
    status: str
    kind: str
    doubt: str = ""


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
