"""The document: all chapters, numbered, with their references resolved."""

import re
from collections.abc import Collection, Iterable
from typing import Any

from pandocfilters import Code, Div, Para, Strong, stringify

from report import mathematics, pandoc
from report.chapter import Chapter
from report.findings import Findings, Place
from report.front import Front, ours
from report.numbering import Numbering
from report.pandoc import Element
from report.references import References

QUICK_BANNER = "A quick run on small data: these are not the report's figures"


class Document:
    """Chapters as one document.

    front: what stands before them, without it that of this project's report. strict:
    whether ReportError is raised for what is not of the report's form, with one line
    for each finding; else all is exported, and `findings` tell what was done. numbered:
    whether headings are.

    Attributes: `blocks`, `images` (file name to bytes), `data` (CSV by ids of
    figures), `formulas` (LaTeX to Typst), `environment`, `findings`, `metadata` for
    pandoc's templates; `unset`, what stands on paper for signs that no typeface has.
    """

    def __init__(
        self,
        chapters: list[Chapter],
        *,
        front: Front | None = None,
        strict: bool = True,
        numbered: bool = True,
    ) -> None:
        front = front or ours()
        self.strict, self.language = strict, front.language
        self.images = {
            name: content for c in chapters for name, content in c.images.items()
        }
        self.data = {name: data for c in chapters for name, data in c.data.items()}
        self.unset: dict[int, str] = {}
        self.findings = Findings(tuple(n for c in chapters for n in c.findings.lines))
        numbering = Numbering(self.findings, strict, numbered, front.single)
        cells = [cell for c in chapters for cell in numbering.cells(c)]
        references = References(chapters, numbering, front.repository)
        self.blocks: list = []
        for place, chapter, blocks in cells:
            resolved = references.resolved(blocks, place, chapter)
            self.blocks += [_mark(place, chapter), *resolved]
        if any("report" in chapter.metadata for chapter in chapters):
            from report import records  # torch takes its time, and strangers need none

            self.blocks = records.linked(self.blocks)
        self.images |= numbering.stills
        if strict:
            self.findings.refuse()
        self._typeset(numbering.formulas)
        self.environment = Environment(numbering.environments)
        title = front.title or numbering.title or pandoc.words(_title(chapters))
        if (
            front.title
            and numbering.title
            and stringify(front.title) != stringify(numbering.title)
        ):
            self.blocks.insert(0, Para([Strong(numbering.title)]))
        self.metadata = self._metadata(front, title)

    def _metadata(self, front: Front, title: list) -> dict:
        """Return what the templates of all outputs print around the chapters."""
        by = ", ".join(front.authors)
        description = (
            front.description or f"{stringify(title)}{f', {by}' if by else ''}"
        )
        told: dict[str, Any] = {
            "title": _inlines(title),
            "title-text": stringify(title),
            "description": description,
            "lang": self.language,
            "language": self.language.partition("-")[0].lower(),
            "article": front.single,
            "authors": [{"name": name} for name in front.authors],
            "date": front.date,
            "quick": self.environment.profile == "quick",
            "banner": QUICK_BANNER,
            "facts": [{"name": n, "value": v} for n, v in self.environment.facts],
            "licences": [{"name": n, "value": _inlines(v)} for n, v in front.licences],
        }
        if front.subtitle:
            told["subtitle"] = _inlines(front.subtitle)
        return {name: value for name, value in told.items() if value != ""}

    def _typeset(self, formulas: dict[str, Place]) -> None:
        """Set `formulas`, LaTeX to Typst; what fails is shown as its source.

        Raises ReportError, which says where those stand, in a strict document.
        """
        self._places = formulas
        self.formulas: dict[str, str] = {}
        try:
            self.formulas = mathematics.to_typst(formulas)
        except pandoc.PandocError:
            broken = []
            for formula in formulas:
                try:
                    self.formulas |= mathematics.to_typst([formula])
                except pandoc.PandocError:
                    broken.append(formula)
            self.show_source_of(broken)
            if self.strict:
                self.findings.refuse()

    def show_source_of(self, formulas: Collection[str]) -> None:
        """Set the LaTeX of formulas in their place, and tell where."""
        for formula in filter(formulas.__contains__, self._places):  # in their order
            self.formulas.pop(formula, None)
            self.findings.add(
                self._places[formula],
                f"a formula cannot be set, and is shown as its source: {formula}",
            )

        def action(kind: str, content: Any) -> Element | None:
            if kind == "Math" and content[1] in formulas:
                return Code(["", [], []], content[1])
            return None

        self.blocks = pandoc.transformed(self.blocks, action)


def _mark(place: Place, chapter: Chapter) -> Element:
    """Return what tells writers which cell begins, and how it stands on slides."""
    told = [["cell", str(place)], ["slide", chapter.slides.get(place.cell, "")]]
    return Div(["", ["place"], told], [])


def _title(chapters: list[Chapter]) -> str:
    """Return the name of a notebook as a title, for want of one."""
    return " ".join(re.split(r"[-_\s]+", chapters[0].name)) if chapters else "Report"


def _inlines(inlines: list) -> Element:
    return {"t": "MetaInlines", "c": inlines}


class Environment:
    """What the set-up cells recorded, the same facts of several notebooks said once.

    Attributes: `profile` ("quick" when any notebook ran on small data), `facts`, a list
    of (name, value) for the title page.
    """

    def __init__(self, records: list[dict]) -> None:
        profiles = {record["profile"] for record in records}
        self.profile = "quick" if "quick" in profiles else "full"
        versions: dict[str, dict[str, None]] = {}
        for record in records:
            for name, version in record["versions"].items():
                versions.setdefault(name, {})[version] = None
        self.facts = [
            (
                "Data",
                together(name for record in records for name in record["data"]),
            ),
            (
                "Not executed",
                together(r["stored"] for r in records if "stored" in r),
            ),
            ("Machine", together(record["device"] for record in records)),
            (
                "Versions",
                ", ".join(f"{name} {'/'.join(v)}" for name, v in versions.items()),
            ),
        ]
        self.facts = [(name, value) for name, value in self.facts if value]


def together(values: Iterable[str]) -> str:
    """Return values as one text, each of them once."""
    return "; ".join(dict.fromkeys(values))
