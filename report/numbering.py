"""Numbers for chapters, sections, figures, tables and equations.

This is the one place that counts, so HTML and PDF always agree. What it leaves in the
blocks, for the writers of both, is

- headings with an id that is unique in the document and, where chapters are numbered, a
  leading span `.number`,
- a pandoc `Figure` for each figure, its target the name of a file in `images`,
- a pandoc `Table` with an id and a caption for each table that a cell put out,
- a div `.equation` around each displayed formula, with `number` when it has one,
- a div `.finding` around the paragraph under a chapter's title,
- code blocks of a language that pandoc can colour, and without one for all other text,
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

from helpers.project import KEY
from report import exercises, mathematics, pandoc
from report.chapter import Chapter
from report.findings import Findings, Place
from report.formulas import DISPLAY
from report.latex import Macros
from report.pandoc import Element

TAG = re.compile(r"\\tag\*?\{([^}]*)\}")
OF_THE_REPORT = re.compile(r"(eq|fig|tab)-")  # anchors for readers in Jupyter
# Signs in which a link and its heading may differ: dashes for blanks, quotation marks.
TYPOGRAPHIC = {
    **dict.fromkeys("\u2018\u2019\u00b4", "'"),
    **dict.fromkeys("\u201c\u201d\u201e", '"'),
    **{"–": "--", "—": "---", "…": "..."},
}
PLAIN_SIGNS = str.maketrans(TYPOGRAPHIC)
SOFT = re.compile(r"[\s\-_.,:;!?'\"()\[\]`" + "".join(TYPOGRAPHIC) + "]+")


@dataclass(frozen=True)
class Target:
    """What a reference can point to: its id in the document, and "Figure 1.2"."""

    identifier: str
    label: str = ""


class Numbering:
    """Gives ids and numbers, chapter by chapter, and remembers what it gave.

    strict: formulas must be of the subset that `mathematics` describes, and sections
    follow one title. numbered: whether headings, and in strict documents equations, are
    counted by chapter. single: the first heading is the document's title.

    Attributes: `targets`, found by notebook and fragment of a link; `loose`, the same
    by what is left of a fragment without soft signs; `formulas` (LaTeX) and where each
    stands first; `environments`, what the set-up cells recorded; `title`, the inlines
    of the first heading of a single notebook; `stills`, the files of still figures.
    `findings` gets one line for each thing
    that cannot be printed as it is.
    """

    def __init__(
        self, findings: Findings, strict: bool, numbered: bool, single: bool
    ) -> None:
        self.findings, self.strict = findings, strict
        self.numbered, self.single = numbered, single
        self.targets: dict[tuple[str, str], Target] = {}
        self.loose: dict[tuple[str, str], dict[str, Target]] = {}
        self.formulas: dict[str, Place] = {}
        self.environments: list[dict] = []
        self.title: list = []
        self.stills: dict[str, bytes] = {}
        self.chapters = 0
        self.identifiers: set[str] = set()
        self.keys: dict[str, Place] = {}

    def cells(self, chapter: Chapter) -> Iterator[tuple[Place, Chapter, list]]:
        """Yield (place, chapter, numbered blocks) for each cell of `chapter`."""
        prefix = re.match(r"\d+", chapter.name)
        self.chapters = int(prefix[0]) if prefix else self.chapters + 1
        self.sections = [self.chapters]
        self.levels: list[int] = []
        self.macros = Macros()
        self.counts = {"figure": 0, "table": 0, "equation": 0}
        name = re.sub(r"^\d+_", "", chapter.name)
        self.slug = re.sub(r"[\W_]+", "-", name).strip("-") or "chapter"
        self.title_seen = False
        for cell in chapter.blocks:
            (_, _, attributes), blocks = cell["c"]
            self.place = Place(chapter.name, int(dict(attributes)["number"]))
            numbered = pandoc.transformed(blocks, self._number)
            yield self.place, chapter, self._with_finding(numbered)
        if not self.title_seen:
            self.findings.add(
                f"{chapter.name}.ipynb", "there is no heading '# Title' to begin with"
            )

    def _error(self, message: str) -> None:
        self.findings.add(self.place, message)

    def _target(self, fragment: str, target: Target) -> None:
        self.targets.setdefault((self.place.notebook, fragment), target)
        loose = self.loose.setdefault((self.place.notebook, loosely(fragment)), {})
        loose.setdefault(fragment, target)

    def _number(self, kind: str, content: Any) -> Element | list | None:
        if kind == "Header":
            return self._heading(*content)
        if kind == "Div":
            return self._div(*content)
        if kind == "Span":
            return self._anchor(*content)
        if kind in ("Para", "Plain"):
            return self._paragraph(content)
        if kind == "CodeBlock":
            return _code(*content)
        if kind == "Math":
            return self._formula(*content)
        return None

    def _heading(
        self, level: int, attributes: list, inlines: list
    ) -> Element | list | None:
        text = stringify(inlines)
        fragment = fragment_in_jupyter(inlines)
        title = level == 1 and not self.title_seen
        if title:
            identifier = f"{self.slug}-top" if self.single else self.slug
            self._target("", Target(identifier))
        else:
            words = fragment_of(text).lower() or "section"
            identifier = f"{self.slug}-{words}"
        identifier = self._unique(identifier)
        self._target(fragment, Target(identifier))
        if attributes[0]:
            self._target(attributes[0], Target(identifier))
        if self.strict:
            self._check(level, text)
        lifted = title and self.single and not self.levels
        self.title_seen |= title
        if lifted:
            self.title = inlines
            return Div([identifier, ["top"], []], [])
        level = self._depth(level, text)
        if not title:
            self.sections = [*self.sections, 0][: level + self.single]
            self.sections[-1] += 1
        if not self.numbered:
            return Header(level, [identifier, [], []], inlines)
        number = ".".join(map(str, self.sections))
        label = Span(["", ["number"], []], [Str(number)])
        return Header(level, [identifier, [], []], [label, Space(), *inlines])

    def _check(self, level: int, text: str) -> None:
        if level == 1 and self.title_seen:
            self._error(f"{text!r} is a second title: sections begin with ##")
        if level > len(self.sections) + 1:
            self._error(f"{text!r} skips a level: use {'#' * (level - 1)}")

    def _depth(self, level: int, text: str) -> int:
        """Return how deep a heading stands below others: no level is skipped."""
        before = self.levels[-1] if self.levels else 1
        if level > before + 1 and not self.strict:
            self._error(
                f"the heading {text!r} skips a level: it is set below the one before"
            )
        while self.levels and self.levels[-1] >= level:
            self.levels.pop()
        self.levels.append(level)
        return min(5, len(self.levels))

    def _anchor(self, attributes: list, inlines: list) -> Element | list | None:
        """Give an anchor that the author wrote a name of its own in the document."""
        name, classes, _ = attributes
        if "number" in classes:
            return None
        if not name or OF_THE_REPORT.match(name):
            return inlines
        identifier = self._unique(f"{self.slug}-{fragment_of(name).lower()}")
        self._target(name, Target(identifier))
        return Span([identifier, [], []], inlines)

    def _unique(self, identifier: str) -> str:
        candidate, n = identifier, 1
        while candidate in self.identifiers:
            n += 1
            candidate = f"{identifier}-{n}"
        self.identifiers.add(candidate)
        return candidate

    def _div(self, attributes: list, blocks: list) -> Element | list | None:
        name, classes, pairs = attributes
        values = dict(pairs)
        if "figure" in classes:
            return self._figure(values, blocks)
        if "table" in classes:
            return self._table(values, blocks, "page-only" in classes)
        if "movable" in classes:
            return self._movable(values["part"])
        if "exercise" in classes and not exercises.known(values["key"]):
            self._error(
                f"there is no exercise {values['key']!r}: a cell with the tag check "
                'says exercises.check("1.2", answer_1_2), a key of helpers/exercises'
            )
            return []
        if "environment" in classes:
            self.environments.append(json.loads(values["record"]))
            return Div(["", classes, []], blocks)
        if "anchor" in classes or (name and not classes):
            anchor = self._anchor([name, [], []], [])
            return [Plain([anchor]), *blocks] if isinstance(anchor, dict) else blocks
        return None

    def _movable(self, part: str) -> Element:
        """What moves on the page: its still figure, which has no number."""
        from report.still import still  # torch takes its time, and few cells move

        shown = still(part)
        name = f"still-{part}"
        self.stills[f"{name}.svg"] = shown.picture
        caption = [None, [Plain([Str(shown.caption)])]]
        figure = _figure(name, caption, f"{name}.svg", shown.alt, shown.width)
        return Div(["", ["movable"], [["part", part]]], [figure])

    def _caption(self, kind: str, key: str, blocks: list) -> tuple[str, list]:
        """Count a figure or table; return its id, and its caption after its label."""
        prefix = {"figure": "fig", "table": "tab"}[kind]
        if not key:
            self._error(f"a {kind} without a key")
        elif not KEY.fullmatch(key):
            self._error(
                f"the {kind} key {key!r} may hold letters, digits, '-', '_' and '.'"
            )
        if [block["t"] for block in blocks] != ["Para"]:
            self._error(f"the {kind} {key!r} needs a caption of one paragraph")
        identifier = f"{prefix}-" + re.sub(r"[^\w.-]+", "-", key)
        if identifier in self.keys:
            self._error(f"the {kind} key {key!r} is taken by {self.keys[identifier]}")
        self.keys[identifier] = self.place
        identifier = self._unique(identifier)
        self.counts[kind] += 1
        counted = f"{self.chapters}.{self.counts[kind]}"
        number = counted if self.numbered else f"{self.counts[kind]}"
        label = f"{kind.title()} {number}"
        self._target(f"{prefix}-{key}", Target(identifier, label))
        inlines = [i for b in blocks if b["t"] in ("Para", "Plain") for i in b["c"]]
        others = [block for block in blocks if block["t"] not in ("Para", "Plain")]
        return identifier, [
            None,
            [Plain([Strong([Str(label)]), Space(), *inlines]), *others],
        ]

    def _figure(self, values: dict[str, str], blocks: list) -> Element:
        key = values["key"]
        if not values["alt"]:
            self._error(f"the figure {key!r} has no alternative text")
        identifier, caption = self._caption("figure", key, blocks)
        alt = values["alt"] or stringify(caption[1])
        return _figure(identifier, caption, values["file"], alt, values["width"])

    def _table(
        self, values: dict[str, str], blocks: list, page_only: bool
    ) -> Element | list:
        key = values["key"]
        if not blocks or blocks[0]["t"] != "Table":
            self._error(f"the table {key!r} is not written as a pipe table")
            return blocks
        content = blocks[0]["c"]
        identifier, caption = self._caption("table", key, blocks[1:])
        table = {"t": "Table", "c": [[identifier, [], []], caption, *content[2:]]}
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

    def _with_finding(self, blocks: list) -> list:
        """Mark the paragraph under a chapter's title: it states what was found."""
        result = []
        for before, block in zip([None, *blocks], blocks, strict=False):
            opens = before and self.numbered and self._is_title(before)
            finding = opens and block["t"] == "Para"
            result.append(Div(["", ["finding"], []], [block]) if finding else block)
        return result

    def _is_title(self, block: Element) -> bool:
        if self.single:
            return block["t"] == "Div" and "top" in block["c"][0][1]
        return block["t"] == "Header" and block["c"][0] == 1

    def _equation(self, inline: Element) -> Element:
        formula = inline["c"][1]
        math = [Plain([Math(DISPLAY, _untagged(formula))])]
        tag = TAG.search(formula)
        if not tag:
            return Div(["", ["equation"], []], math)
        self.counts["equation"] += 1
        due = f"{self.chapters}.{self.counts['equation']}"
        if self.strict and tag[1] != due:
            self._error(f"Equation ({tag[1]}) stands where ({due}) is due")
        number = due if self.strict else tag[1]
        name = f"eq-{fragment_of(number)}"
        identifier = self._unique(name)
        self._target(name, Target(identifier, f"Equation ({number})"))
        return Div([identifier, ["equation"], [["number", number]]], math)

    def _formula(self, style: dict[str, str], formula: str) -> Element | list:
        """Note a formula; return it with the author's own commands carried out."""
        formula = self.macros.expanded(formula)
        if not _untagged(formula):
            return []  # definitions alone
        self.formulas.setdefault(_untagged(formula), self.place)
        if self.strict and (hint := mathematics.refusal(formula)):
            self._error(hint)
        return Math(style, formula)


def _figure(
    identifier: str, caption: list, file: str, alt: str, width: str | float
) -> Element:
    picture = Image(["", [], [["width", f"{width}in"]]], [Str(alt)], [file, ""])
    return {"t": "Figure", "c": [[identifier, [], []], caption, [Plain([picture])]]}


def _code(attributes: list, text: str) -> dict:
    """Keep a language that can be coloured, and what is a message; all else is text."""
    kinds = [c for c in attributes[1] if c in ("python", "stderr")] or [
        c for c in attributes[1] if c in pandoc.languages()
    ]
    return CodeBlock(["", kinds[:1], []], text)


def _is_displayed(inline: dict) -> bool:
    return inline["t"] == "Math" and inline["c"][0] == DISPLAY


def _untagged(formula: str) -> str:
    return TAG.sub("", formula).strip()


def _paragraph(inlines: list) -> list:
    """Return a paragraph, or nothing when only blanks are in it."""
    blank = ("SoftBreak", "LineBreak", "Space")
    return [] if all(i["t"] in blank for i in inlines) else [Para(inlines)]


def fragment_of(text: str) -> str:
    """Return `text` as part of an id: its words between dashes."""
    return re.sub(r"[^\w]+", "-", unquote(text)).strip("-")


def fragment_in_jupyter(inlines: list) -> str:
    """Return the fragment that leads to a heading in Jupyter: a dash for each blank.

    Typographic signs become plain again, and formulas have their dollar signs.
    """

    def action(kind: str, content: Any) -> Element | None:
        if kind == "Math":
            sign = "$$" if content[0] == DISPLAY else "$"
            return Str(f"{sign}{content[1]}{sign}")
        return None

    text = stringify(pandoc.transformed(inlines, action))
    return text.translate(PLAIN_SIGNS).replace(" ", "-")


def loosely(fragment: str) -> str:
    """Return a fragment without signs and case that programs treat differently."""
    return SOFT.sub("", unquote(fragment)).casefold()
