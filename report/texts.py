"""The texts of a notebook, Markdown and HTML, all read by pandoc at once.

Each text of Markdown is set in a block quotation of its own, which nothing in it can
leave: an unclosed fence, list or comment ends with its cell, while footnotes and
addresses defined in one cell are known in all. So no syntax of pandoc's own is needed,
and none is read: a line of colons or a word in braces is text, as Jupyter shows it.

HTML, alone or among Markdown, goes through `raw_html` and pandoc's reader of HTML, so
that all outputs show what it says.
"""

import re
from dataclasses import dataclass, field
from html import escape
from typing import Any

from pandocfilters import (
    Code,
    CodeBlock,
    Div,
    Header,
    LineBreak,
    Link,
    Para,
    RawBlock,
    RawInline,
    Span,
    Str,
    Strong,
    stringify,
)

from report import pandoc, raw_html
from report.findings import Findings, Place
from report.formulas import CLOSE, OPEN, Formulas
from report.pandoc import Element

# What has no meaning but for links: anchors of their own, and comments.
ANCHOR = re.compile(r"<a\s+(?:id|name)\s*=\s*[\"']?([^\"'\s>]*)[^>]*>")
SILENT = re.compile(r"(<a\s+(id|name)\s*=[^>]*>|</a>|<!--.*?-->|\s)*", re.DOTALL)
BREAK = re.compile(r"<br\s*/?>\s*", re.IGNORECASE)
# Line feeds and tabs apart, signs that control a printer and cannot be printed.
CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufdd0\ufdd1\ufffe\uffff]"
)
MARK = "<!--text-->"
NOTE = re.compile(f"{OPEN}n(\\d+){CLOSE}")


@dataclass
class Text:
    """One text of a cell; `blocks` is there when all texts have been read."""

    place: Place
    source: str
    html: bool = False
    blocks: list = field(default_factory=list)


class Texts:
    """All texts of a notebook: added one by one, then read together.

    typographic: whether quotation marks and dashes become those of print.
    """

    def __init__(self, findings: Findings, typographic: bool) -> None:
        self.findings, self.typographic = findings, typographic
        self.all: list[Text] = []
        self.formulas = Formulas()

    def markdown(self, place: Place, source: str) -> Text:
        return self._added(Text(place, source))

    def html(self, place: Place, source: str) -> Text:
        return self._added(Text(place, source, html=True))

    def _added(self, text: Text) -> Text:
        text.source = CONTROL.sub("", text.source.replace("\r\n", "\n"))
        self.all.append(text)
        return text

    def read(self) -> None:
        """Fill in the blocks of all texts."""
        written = [text for text in self.all if not text.html]
        sources = [self.formulas.taken_from(text.source) for text in written]
        quoted = pandoc.read("\n\n".join(map(_quoted, sources)), self.typographic)
        for text, quotation in zip(written, quoted, strict=True):
            text.blocks = quotation["c"]
        self._read_html(written)
        for text in written:
            text.blocks = self.formulas.put_back(
                pandoc.transformed(text.blocks, _without_silent)
            )

    def _read_html(self, written: list[Text]) -> None:
        """Replace what texts say in HTML, or are, by the blocks it stands for."""
        mixed = {id(text): tags for text in written if (tags := _tags(text.blocks))}
        texts = [text for text in self.all if text.html or id(text) in mixed]
        if not texts:
            return
        notes: list = []
        sources = iter(_as_html([t.blocks for t in texts if not t.html], notes))
        cleaned = []
        for text in texts:
            clean = raw_html.Cleaned(text.source if text.html else next(sources))
            cleaned.append(clean.html)
            if not text.html:
                self.findings.add(
                    text.place,
                    f"raw HTML ({', '.join(mixed[id(text)])}) is shown as far as paper "
                    "can: write Markdown where it has a form for this",
                )
            for lost in clean.lost:
                self.findings.add(
                    text.place,
                    f"{lost} can be used in a browser alone, and is left out: say in "
                    "the text what it shows, or add a picture",
                )
        for text, blocks in zip(texts, _from_html(cleaned), strict=True):
            text.blocks = pandoc.transformed(blocks, lambda k, c: _tidy(k, c, notes))
            if text.html:
                text.blocks = pandoc.transformed(text.blocks, _without_headings)


def _quoted(source: str) -> str:
    """Return a text as a block quotation, indented as it was."""
    lines = []
    for line in source.split("\n"):
        body = line.lstrip(" \t")
        indent = line[: len(line) - len(body)].expandtabs(4)
        lines.append(f"> {indent}{body}")
    return "\n".join(lines)


def _tags(blocks: list) -> list[str]:
    """The tags of HTML among `blocks` that are more than anchors, breaks, comments."""
    found: dict[str, None] = {}

    def note(kind: str, content: Any) -> None:
        if kind in ("RawInline", "RawBlock") and not (
            SILENT.fullmatch(content[1]) or BREAK.fullmatch(content[1])
        ):
            tags = re.findall(r"<[a-zA-Z][\w-]*", content[1]) or re.findall(
                r"</[a-zA-Z][\w-]*", content[1]
            )
            found.update(dict.fromkeys(f"{tag}>" for tag in tags or ["<"]))

    pandoc.transformed(blocks, note)
    closing = [t for t in found if t.startswith("</") and t.replace("/", "") in found]
    return [tag for tag in found if tag not in closing]


def _as_html(texts: list[list], notes: list) -> list[str]:
    """Return blocks as HTML, one string for each list; footnotes go to `notes`."""

    def action(kind: str, content: Any) -> Element | None:
        if kind == "Note":
            notes.append(content)
            return Str(f"{OPEN}n{len(notes) - 1}{CLOSE}")
        if kind == "Image":  # by its address pandoc may take it for a film
            _, alternative, (address, title) = content
            told = {"src": address, "alt": stringify(alternative), "title": title}
            pairs = (f'{name}="{escape(value)}"' for name, value in told.items())
            return RawInline("html", f"<img {' '.join(pairs)}>")
        return None

    blocks = []
    for text in texts:
        blocks += [*pandoc.transformed(text, action), RawBlock("html", MARK)]
    options = ("--syntax-highlighting=none", "--mathml")
    return pandoc.write(blocks, "html5-task_lists", *options).split(MARK)[:-1]


def _from_html(sources: list[str]) -> list[list]:
    """Return the blocks of each source, which are balanced."""
    parts = [f'<div id="text-{i}">{source}</div>' for i, source in enumerate(sources)]
    blocks = pandoc.read_html("\n".join(parts))
    names = [block["c"][0][0] for block in blocks if block["t"] == "Div"]
    if names == [f"text-{i}" for i in range(len(sources))] and len(blocks) == len(
        names
    ):
        return [block["c"][1] for block in blocks]
    return [pandoc.read_html(source) for source in sources]


def _tidy(kind: str, content: Any, notes: list) -> Element | list | None:
    """Keep of pandoc's attributes what the document knows: addresses, and details."""
    if kind == "Str" and OPEN in content and (parts := NOTE.split(content))[1:]:
        return [
            {"t": "Note", "c": notes[int(part)]} if position % 2 else Str(part)
            for position, part in enumerate(parts)
            if part
        ]
    if kind == "Div":
        (identifier, classes, _), blocks = content
        kept = [c for c in classes if c in (raw_html.DETAILS, raw_html.SUMMARY)]
        return Div([identifier, kept, []], blocks) if kept or identifier else blocks
    if kind == "Span":
        (identifier, classes, _), inlines = content
        if "kbd" in classes:
            return Code(["", [], []], stringify(inlines))
        return Span([identifier, [], []], inlines) if identifier else inlines
    if kind == "Header":
        level, (identifier, _, _), inlines = content
        return Header(level, [identifier, [], []], inlines)
    if kind == "Code":
        return Code(["", [], []], content[1])
    if kind == "CodeBlock":
        return CodeBlock(["", content[0][1][:1], []], content[1].strip("\n"))
    if kind == "Link":
        return Link(["", [], []], *content[1:])
    if kind == "Figure":
        _, (_, caption), blocks = content
        return [*blocks, *caption]
    if kind == "Table":
        return _plain_table(content)
    return None


def _plain_table(content: list) -> Element:
    """Return a table without the attributes of its rows and cells."""
    _, caption, columns, head, bodies, foot = content

    def rows(some: list) -> list:
        return [
            [["", [], []], [[["", [], []], *cell[1:]] for cell in cells]]
            for _, cells in some
            if cells
        ]

    head = [["", [], []], rows(head[1])]
    bodies = [[["", [], []], b[1], rows(b[2]), rows(b[3])] for b in bodies]
    foot = [["", [], []], rows(foot[1])]
    return {"t": "Table", "c": [["", [], []], caption, columns, head, bodies, foot]}


def _without_headings(kind: str, content: Any) -> Element | None:
    """Headings of an output are no sections of the document."""
    return Para([Strong(content[2])]) if kind == "Header" else None


def _without_silent(kind: str, content: Any) -> Element | list | None:
    """Anchors become spans, breaks break a line; comments go."""
    if kind == "RawInline":
        if BREAK.fullmatch(content[1]):
            return LineBreak()
        anchor = ANCHOR.match(content[1])
        return [Span([anchor[1], ["anchor"], []], [])] if anchor else []
    if kind == "RawBlock":
        names = ANCHOR.findall(content[1])
        return [Div([name, ["anchor"], []], []) for name in names]
    return None
