"""The document as one HTML page that needs nothing beside itself."""

import base64
import html
import re
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from pandocfilters import (
    CodeBlock,
    Div,
    Link,
    Math,
    Para,
    Plain,
    RawBlock,
    RawInline,
    Space,
    Span,
    Str,
    Strong,
    stringify,
)

from report import exercises, font, mathematics, pandoc, raw_html, script
from report.chapter import TEMPLATES
from report.document import Document
from report.pandoc import Element

MIME_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".gif": "image/gif"}
MIME_TYPES |= {".svg": "image/svg+xml", ".woff": "font/woff"}
# What stands for itself in the address of an SVG: not <, > and quotation marks, which
# could be taken for those of the page, not # and %, which have a meaning there.
ADDRESS_SIGNS = " !$'()*+,-./:;=?@[]^_`{|}~"
# The colours of code in the style sheet, and pandoc's kinds of token that have them.
TOKENS = {
    "k": {"kw", "cf", "im"},  # keywords
    "s": {"st", "vs", "ss", "ch", "sc"},  # strings
    "c": {"co", "do", "an", "cv", "in"},  # comments
    "n": {"dv", "bn", "fl", "cn"},  # numbers
    "f": {"bu", "fu", "at"},  # functions
}

# What invites to move something, and is found by who searches for it.
LEADS = {
    "forward": "Move the kernel yourself, interactively: over an image that you "
    "choose, type or draw, with a kernel of your own.",
    "backward": "Move the gradient yourself, interactively: put one on an output, and "
    "see what pixels and kernel receive.",
    "canvas": "Draw a digit yourself, interactively, move and resize it: what do seven "
    "trained networks read?",
    "maps": "Draw a digit yourself, interactively: what do seven trained networks "
    "read, and what do their maps show?",
}

WITHOUT_SCRIPTS = (
    "<p>To move this, allow scripts for this page. They are part of the file and load "
    "nothing.</p></noscript>"
)


def write(document: Document, template: str = "") -> str:
    """Return the page: formulas as MathML, pictures, typeface and script inside.

    template: a file instead of templates/report.html.
    """
    page = pandoc.write(
        blocks(document),
        "html5",
        "--mathml",
        "--section-divs",
        "--shift-heading-level-by=1",
        "--table-of-contents",
        "--toc-depth=3",
        f"--template={template or TEMPLATES / 'report.html'}",
        metadata=document.metadata,
    )
    return with_all_inside(script.placed(lean(page)), document)


def blocks(document: Document) -> list:
    """Return the blocks of a document as a browser is to show them."""

    def action(kind: str, content: Any) -> Element | list | None:
        if kind == "Math":
            return Math(content[0], mathematics.for_mathml(content[1]))
        if kind == "Table":
            return _table(content)
        if kind == "Figure":
            attributes, caption, some = content
            box = _scrolling(_label(caption), some)
            if values := document.data.get(attributes[0]):
                caption = _with_data(caption, attributes[0], values)
            return {"t": "Figure", "c": [attributes, caption, [box]]}
        if kind == "CodeBlock" and not content[0][1]:
            return _scrolling("Text", [CodeBlock(*content)], "text")
        if kind == "CodeBlock" and "stderr" in content[0][1]:
            plain = CodeBlock(["", [], []], content[1])
            return _scrolling("Messages", [plain], "text", "stderr")
        if kind == "Div":
            return _div(*content)
        return None

    return pandoc.transformed(document.blocks, action)


def with_all_inside(page: str, document: Document) -> str:
    """Return a page with its pictures and the typeface of its formulas in it."""
    if "<math" in page:
        typeface = _base64("formulas.woff", font.subset(_text_of_formulas(page)))
        page = page.replace("formulas.woff", typeface, 1)
    else:
        page = re.sub(r"@font-face \{[^}]*formulas\.woff[^}]*\}\n?", "", page, count=1)
    return re.sub(
        '(?<=<img src=")[^"]+',
        lambda found: _address(found[0], document.images[html.unescape(found[0])]),
        page,
    )


def lean(page: str) -> str:
    """Take out what pandoc writes and a browser assumes anyway."""
    page = re.sub(r"<pre class=.sourceCode.*?</pre>", _lean_code, page, flags=re.DOTALL)
    page = re.sub(r'(<div class="sourceCode") id="cb\d+"', r"\1", page)
    page = re.sub(r'(<t[dh][^>]*) style="text-align: left;"', r"\1", page)
    return page.replace(' xmlns="http://www.w3.org/1998/Math/MathML"', "")


def _lean_code(found: re.Match) -> str:
    """Return a block of code without what weighs more than half of it.

    pandoc gives each line an address and a link to itself, each token a span of its
    own, and each quotation mark six signs.
    """
    code = re.sub(r'<span id="cb[\d-]+"><a [^>]*></a>', "<span>", found[0])
    code = re.sub(r'<span class="([\w ]+)">([^<]*)</span>', _token, code)
    code = re.sub(
        r'(<span class="\w">)[^<]*</span>(?:\1[^<]*</span>)+',
        lambda run: f"{run[1]}{re.sub('<[^>]*>', '', run[0])}</span>",
        code,
    )
    return code.replace("&quot;", '"').replace("&#39;", "'")


def _token(found: re.Match) -> str:
    """Return a token in the class of its colour; bare when it has none."""
    kinds = found[1].split()
    for name, coloured in TOKENS.items():
        if not coloured.isdisjoint(kinds):
            return f'<span class="{name}">{found[2]}</span>'
    return found[2]


def _address(file: str, content: bytes) -> str:
    """Return a picture as an address: that of an SVG is text, shorter than base64."""
    if PurePath(file).suffix != ".svg" or not _is_plain(content):
        return _base64(file, content)
    text = content.decode().replace("'", "&apos;").replace('"', "'")
    return f"data:image/svg+xml,{quote(text, safe=ADDRESS_SIGNS)}"


def _is_plain(drawing: bytes) -> bool:
    """Whether quotation marks in a drawing stand around attributes alone."""
    return b"CDATA" not in drawing and b"encoding=" not in drawing[:99].lower()


def _base64(file: str, content: bytes) -> str:
    encoded = base64.b64encode(content).decode()
    return f"data:{MIME_TYPES[PurePath(file).suffix]};base64,{encoded}"


def _text_of_formulas(page: str) -> str:
    elements = "".join(re.findall("<math.*?<annotation", page, re.DOTALL))
    return html.unescape(re.sub("<[^>]*>", "", elements))


def _scrolling(label: str, blocks: list, *classes: str) -> dict:
    """Return a box for what may be wider than the window; the keyboard scrolls it."""
    attributes = [["tabindex", "0"], ["role", "group"], ["aria-label", label]]
    return Div(["", ["scrolling", *classes], attributes], blocks)


def _label(caption: list) -> str:
    """Return the bold number that a caption begins with; "Table" for want of one."""
    blocks = caption[1]
    return stringify(blocks[0]["c"][:1]) if blocks else "Table"


def _with_data(caption: list, identifier: str, values: str) -> list:
    """Return a caption that ends with a link to what the figure shows, as CSV."""
    short, (first, *others) = caption
    name = f"{identifier.removeprefix('fig-')}.csv"
    address = f"data:text/csv;charset=utf-8,{quote(values, safe=ADDRESS_SIGNS)}"
    words = [Str(f"Data of {_label(caption)} (CSV)")]
    link = Link(["", ["data"], [["download", name]]], words, [address, ""])
    return [short, [{"t": first["t"], "c": [*first["c"], Space(), link]}, *others]]


def _table(content: list) -> dict:
    """Say which cells are headings: the first row, and the first cell of each row."""
    attributes, caption, columns, head, bodies, foot = content
    for _, cells in head[1]:
        for cell in cells:
            cell[0] = ["", [], [["scope", "col"]]]
    for body in bodies:
        body[1] = 1
        for _, cells in body[3]:
            if cells:
                cells[0][0] = ["", [], [["scope", "row"]]]
    # In a div the caption can stay in view while a wide table scrolls.
    kept = [None, [Div(["", [], []], caption[1])] if caption[1] else []]
    table = {"t": "Table", "c": [attributes, kept, columns, head, bodies, foot]}
    return _scrolling(_label(caption), [table])


def _details(summary: str, blocks: list) -> list:
    return [
        RawBlock("html", f"<details><summary>{summary}</summary>"),
        *blocks,
        RawBlock("html", "</details>"),
    ]


def _html_details(blocks: list) -> list:
    """Return what the author of a notebook has folded, with its summary."""
    inlines: list = []
    if blocks and blocks[0]["t"] == "Div" and raw_html.SUMMARY in blocks[0]["c"][0][1]:
        inlines = [i for b in blocks[0]["c"][1] for i in b["c"]]
        blocks = blocks[1:]
    begin, end = (RawInline("html", t) for t in ("<details><summary>", "</summary>"))
    told = inlines or [Str("Details")]
    return [Plain([begin, *told, end]), *blocks, RawBlock("html", "</details>")]


def _div(attributes: list, blocks: list) -> Element | list | None:
    identifier, classes, pairs = attributes
    if "place" in classes:
        return []
    if raw_html.DETAILS in classes:
        return _html_details(blocks)
    if "movable" in classes:
        before, after = (
            RawBlock("html", "<noscript>"),
            RawBlock("html", WITHOUT_SCRIPTS),
        )
        lead = Para([Strong(pandoc.words(LEADS[dict(pairs)["part"]]))])
        return [
            Div(["", ["lead"], []], [lead]),
            Div(["", ["movable"], pairs], [before, *blocks, after]),
        ]
    if "exercise" in classes:
        return [RawBlock("html", exercises.element(dict(pairs)["key"]))]
    if "question" in classes:
        return Div(["", ["question"], []], blocks)
    if "folded" in classes:
        words = "Show an answer" if "solution" in classes else "Show the code"
        return _details(words, blocks)
    if "page-only" in classes and "input" not in classes:
        told = dict(pairs)
        return _details(f"Show {told['label']}, {told['rows']} rows", blocks)
    if "equation" in classes:
        number = dict(pairs).get("number")
        label = f"Equation {number}" if number else "Formula"
        shown = [Plain([Span(["", ["number"], []], [Str(f"({number})")])])]
        formula = _scrolling(label, blocks)
        return Div([identifier, classes, []], [formula, *(shown if number else [])])
    return None
