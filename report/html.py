"""The document as one HTML page that needs nothing beside itself."""

import base64
import html
import re
from pathlib import PurePath

from pandocfilters import (
    CodeBlock,
    Div,
    Image,
    Math,
    Plain,
    RawBlock,
    Span,
    Str,
    stringify,
)

from report import font, mathematics, pandoc
from report.chapter import TEMPLATES
from report.document import Document

MIME_TYPES = {".svg": "image/svg+xml", ".png": "image/png", ".woff": "font/woff"}


def write(document: Document) -> str:
    """Return the page: formulas as MathML, pictures and typeface inside, no script."""

    def action(kind, content):
        if kind == "Image":
            attributes, alternative, (file, title) = content
            address = _data_address(file, document.images[file])
            return Image(attributes, alternative, [address, title])
        if kind == "Math":
            return Math(content[0], mathematics.for_mathml(content[1]))
        if kind == "Table":
            return _table(content)
        if kind == "Figure":
            attributes, caption, blocks = content
            box = _scrolling(_label(caption), blocks)
            return {"t": "Figure", "c": [attributes, caption, [box]]}
        if kind == "CodeBlock" and "python" not in content[0][1]:
            return _scrolling("Text", [CodeBlock(*content)], "text")
        if kind == "Div":
            return _div(*content)
        return None

    page = pandoc.write(
        pandoc.transformed(document.blocks, action),
        "html5",
        "--mathml",
        "--section-divs",
        "--shift-heading-level-by=1",
        "--table-of-contents",
        "--toc-depth=3",
        f"--template={TEMPLATES / 'report.html'}",
        metadata=document.metadata,
    )
    typeface = _data_address("formulas.woff", font.subset(_text_of_formulas(page)))
    return page.replace("formulas.woff", typeface, 1)


def _data_address(file: str, content: bytes) -> str:
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


def _table(content: list) -> dict:
    """Say which cells are headings: the first row, and the first cell of each row."""
    attributes, caption, columns, head, bodies, foot = content
    for _, cells in head[1]:
        for cell in cells:
            cell[0] = ["", [], [["scope", "col"]]]
    for body in bodies:
        body[1] = 1
        for _, cells in body[3]:
            cells[0][0] = ["", [], [["scope", "row"]]]
    # In a div the caption can stay in view while a wide table scrolls.
    kept = [None, [Div(["", [], []], caption[1])] if caption[1] else []]
    table = {"t": "Table", "c": [attributes, kept, columns, head, bodies, foot]}
    return _scrolling(_label(caption), [table])


def _div(attributes: list, blocks: list):
    identifier, classes, pairs = attributes
    if "folded" in classes:
        return [
            RawBlock("html", "<details><summary>Show the code</summary>"),
            *blocks,
            RawBlock("html", "</details>"),
        ]
    if "equation" in classes:
        number = dict(pairs).get("number")
        label = f"Equation {number}" if number else "Formula"
        shown = [Plain([Span(["", ["number"], []], [Str(f"({number})")])])]
        formula = _scrolling(label, blocks)
        return Div([identifier, classes, []], [formula, *(shown if number else [])])
    return None
