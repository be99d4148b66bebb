"""Numbers for chapters, sections, figures, tables and equations.

This is the one place that counts, so HTML and PDF always agree. What it leaves in the
blocks, for the writers of both, is

- headings with an id that is unique in the document and a leading span `.number`,
- a pandoc `Figure` for each figure, its target the name of a file in `images`,
- a pandoc `Table` with an id and a caption for each table that a cell put out,
- a div `.equation` around each displayed formula, with `number` when it has one,
- a div `.finding` around the paragraph under a chapter's title,
- code blocks of the language `python`, and without one for all other text,
- the divs `.input` (also `.folded`) and `.environment` of the cells,
- a div `.movable` with its `part`, in it the still figure of what the page moves,
- a div `.exercise` with its `key`, and one `.question` around its question,
- the class `.page-only` of an input, and a div of that class around a table, with its
  `label` and its number of `rows`, for what the PDF leaves out.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any
from urllib.parse import unquote

from pandocfilters import (
    CodeBlock,
    Div,
    Header,
    Image,
    Math,
    Para,
    Plain,
    Space,
    Span,
    Str,
    Strong,
    stringify,
)

from helpers.exercises import EXERCISES
from report import mathematics, pandoc
from report.chapter import Chapter
from report.pandoc import Element
from report.still import still

DISPLAY = {"t": "DisplayMath"}
TAG = re.compile(r"\\tag\{([^}]*)\}")
# Anchors for readers in Jupyter, and comments: the report has anchors of its own.
ANCHOR = re.compile(r"(<a (id|name)=[^>]*>|</a>|<!--.*?-->|\s)*", re.DOTALL)


@dataclass(frozen=True)
class Place:
    """A cell, counted from 1, as messages name it."""

    notebook: str
    cell: int

    def __str__(self) -> str:
        return f"{self.notebook}.ipynb, cell {self.cell}"


@dataclass(frozen=True)
class Target:
    """What a reference can point to: its id in the document, and "Figure 1.2"."""

    identifier: str
    label: str = ""


class Numbering:
    """Gives ids and numbers, chapter by chapter, and remembers what it gave.

    Attributes: `targets`, found by notebook and fragment of a link; `formulas` (LaTeX)
    and where each stands first; `environments`, what the set-up cells recorded;
    `stills`, the files of still figures;
    `errors`, one line for each thing that cannot be printed.
    """

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.targets: dict[tuple[str, str], Target] = {}
        self.formulas: dict[str, Place] = {}
        self.environments: list[dict] = []
        self.chapters = 0
        self.identifiers: set[str] = set()
        self.keys: dict[str, Place] = {}
        self.stills: dict[str, bytes] = {}

    def cells(self, chapter: Chapter) -> Iterator[tuple[Place, Chapter, list]]:
        """Yield (place, chapter, numbered blocks) for each cell of `chapter`."""
        prefix = re.match(r"\d+", chapter.name)
        self.chapters = int(prefix[0]) if prefix else self.chapters + 1
        self.sections = [self.chapters]
        self.counts = {"figure": 0, "table": 0, "equation": 0}
        self.slug = re.sub(r"^\d+_", "", chapter.name).replace("_", "-")
        self.title_seen = False
        for cell in chapter.blocks:
            (_, _, attributes), blocks = cell["c"]
            self.place = Place(chapter.name, int(dict(attributes)["number"]))
            numbered = pandoc.transformed(blocks, self._number)
            yield self.place, chapter, _with_finding(numbered)
        if not self.title_seen:
            self.errors.append(f"{chapter.name}.ipynb has no heading '# Title'")

    def _error(self, message: str) -> None:
        self.errors.append(f"{self.place}: {message}")

    def _target(self, fragment: str, target: Target) -> None:
        self.targets.setdefault((self.place.notebook, fragment), target)

    def _number(self, kind: str, content: Any) -> Element | list | None:
        if kind == "Header":
            return self._heading(*content)
        if kind == "Div":
            return self._div(*content)
        if kind in ("Para", "Plain"):
            return self._paragraph(content)
        if kind == "CodeBlock":
            return _code(*content)
        if kind == "Math":
            self._formula(content[1])
        if kind in ("RawInline", "RawBlock"):
            return self._raw(content[1])
        if kind == "Image":
            self._error("a picture in the text: show it with helpers.figures")
        return None

    def _heading(self, level: int, _attributes: list, inlines: list) -> Element:
        text = stringify(inlines)
        if level == 1:
            if self.title_seen:
                self._error(f"{text!r} is a second title: sections begin with ##")
            self.title_seen = True
            identifier = self.slug
            self._target("", Target(identifier))
        else:
            identifier = f"{self.slug}-{fragment_of(text).lower()}"
            if level > len(self.sections) + 1:
                self._error(f"{text!r} skips a level: use {'#' * (level - 1)}")
            self.sections = [*self.sections, 0][:level]
            self.sections[-1] += 1
        identifier = self._unique(identifier)
        self._target(fragment_of(text), Target(identifier))
        number = ".".join(map(str, self.sections))
        label = Span(["", ["number"], []], [Str(number)])
        return Header(level, [identifier, [], []], [label, Space(), *inlines])

    def _unique(self, identifier: str) -> str:
        candidate, n = identifier, 1
        while candidate in self.identifiers:
            n += 1
            candidate = f"{identifier}-{n}"
        self.identifiers.add(candidate)
        return candidate

    def _div(self, attributes: list, blocks: list) -> Element | list | None:
        _, classes, pairs = attributes
        values = dict(pairs)
        if "figure" in classes:
            return self._figure(values, blocks)
        if "table" in classes:
            return self._table(values, blocks, "page-only" in classes)
        if "movable" in classes:
            return self._movable(values["part"])
        if "exercise" in classes and values["key"] not in EXERCISES:
            self._error(
                f"there is no exercise {values['key']!r}: a cell with the tag check "
                'says exercises.check("1.2", answer_1_2), a key of helpers/exercises'
            )
            return []
        if "environment" in classes:
            self.environments.append(json.loads(values["record"]))
            return Div(["", classes, []], blocks)
        if "unprintable" in classes:
            self._error(
                "an output without caption or of an unknown kind: use "
                "helpers.figures.show, helpers.text.table or helpers.text.say"
            )
        return None

    def _movable(self, part: str) -> Element:
        """What moves on the page: its still figure, which has no number."""
        shown = still(part)
        name = f"still-{part}"
        self.stills[f"{name}.svg"] = shown.picture
        caption = [None, [Plain([Str(shown.caption)])]]
        figure = _figure(name, caption, f"{name}.svg", shown.alt, shown.width)
        return Div(["", ["movable"], [["part", part]]], [figure])

    def _caption(self, kind: str, prefix: str, key: str, blocks: list) -> list:
        """Count a figure or table; return its caption with the label before it."""
        if not key:
            self._error(f"a {kind} without a key")
        if [block["t"] for block in blocks] != ["Para"]:
            self._error(f"the {kind} {key!r} needs a caption of one paragraph")
        identifier = f"{prefix}-{key}"
        if identifier in self.keys:
            self._error(f"the {kind} key {key!r} is taken by {self.keys[identifier]}")
        self.keys[identifier] = self.place
        self.counts[kind] += 1
        label = f"{kind.title()} {self.chapters}.{self.counts[kind]}"
        self._target(identifier, Target(identifier, label))
        inlines = blocks[0]["c"] if blocks else []
        return [None, [Plain([Strong([Str(label)]), Space(), *inlines])]]

    def _figure(self, values: dict[str, str], blocks: list) -> Element:
        key = values["key"]
        if not values["alt"]:
            self._error(f"the figure {key!r} has no alternative text")
        if not values["file"]:
            self._error(f"the figure {key!r} holds no picture: run its cell again")
        caption = self._caption("figure", "fig", key, blocks)
        return _figure(
            f"fig-{key}", caption, values["file"], values["alt"], values["width"]
        )

    def _table(
        self, values: dict[str, str], blocks: list, page_only: bool
    ) -> Element | list:
        key = values["key"]
        if not blocks or blocks[0]["t"] != "Table":
            self._error(f"the table {key!r} is not written as a pipe table")
            return []
        content = blocks[0]["c"]
        caption = self._caption("table", "tab", key, blocks[1:])
        table = {"t": "Table", "c": [[f"tab-{key}", [], []], caption, *content[2:]]}
        if not page_only:
            return table
        rows = sum(len(body[3]) for body in content[4])
        label = self.targets[self.place.notebook, f"tab-{key}"].label
        told = [["label", label], ["rows", str(rows)]]
        return Div(["", ["page-only"], told], [table])

    def _paragraph(self, inlines: list) -> list | None:
        """Set displayed formulas apart from the text around them."""
        parts: list[Element] = []
        for displayed, run in groupby(inlines, _is_displayed):
            group = list(run)
            parts += map(self._equation, group) if displayed else _paragraph(group)
        return parts if any(map(_is_displayed, inlines)) else None

    def _equation(self, inline: Element) -> Element:
        formula = inline["c"][1]
        math = [Plain([Math(DISPLAY, _untagged(formula))])]
        tag = TAG.search(formula)
        if not tag:
            return Div(["", ["equation"], []], math)
        self.counts["equation"] += 1
        expected = f"{self.chapters}.{self.counts['equation']}"
        if tag[1] != expected:
            self._error(f"Equation ({tag[1]}) stands where ({expected}) is due")
        identifier = f"eq-{expected.replace('.', '-')}"
        self._target(identifier, Target(identifier, f"Equation ({expected})"))
        return Div([identifier, ["equation"], [["number", expected]]], math)

    def _formula(self, formula: str) -> None:
        self.formulas.setdefault(_untagged(formula), self.place)
        if hint := mathematics.refusal(formula):
            self._error(hint)

    def _raw(self, text: str) -> list:
        if not ANCHOR.fullmatch(text):
            self._error(f"raw HTML has no place on paper: {text.strip()}")
        return []


def _figure(
    identifier: str, caption: list, file: str, alt: str, width: str | float
) -> Element:
    picture = Image(["", [], [["width", f"{width}in"]]], [Str(alt)], [file, ""])
    return {"t": "Figure", "c": [[identifier, [], []], caption, [Plain([picture])]]}


def _with_finding(blocks: list) -> list:
    """Mark the paragraph under a title: it states what the chapter finds."""
    result = []
    for before, block in zip([None, *blocks], blocks, strict=False):
        opens = before and before["t"] == "Header" and before["c"][0] == 1
        finding = opens and block["t"] == "Para"
        result.append(Div(["", ["finding"], []], [block]) if finding else block)
    return result


def _code(attributes: list, text: str) -> dict:
    """Keep the language of Python; all else is text to both writers."""
    _, classes, _ = attributes
    return CodeBlock(["", [c for c in classes if c == "python"], []], text)


def _is_displayed(inline: dict) -> bool:
    return inline["t"] == "Math" and inline["c"][0] == DISPLAY


def _untagged(formula: str) -> str:
    return TAG.sub("", formula).strip()


def _paragraph(inlines: list) -> list:
    """Return a paragraph, or nothing when only blanks are in it."""
    blank = ("SoftBreak", "LineBreak", "Space")
    return [] if all(i["t"] in blank for i in inlines) else [Para(inlines)]


def fragment_of(text: str) -> str:
    """Return the fragment that leads to the heading `text`: words between dashes.

    Jupyter puts a dash for each blank. Punctuation is ignored here, since quotation
    marks and dashes have become typographic ones by now.
    """
    return re.sub(r"[^\w]+", "-", unquote(text)).strip("-")
