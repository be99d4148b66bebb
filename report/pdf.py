"""The document as a PDF for print and screen readers (PDF/UA-1), through Typst."""

import json
import textwrap
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pikepdf
import typst
from pandocfilters import CodeBlock, Para, RawBlock, RawInline, stringify

from report import pandoc
from report.chapter import TEMPLATES
from report.document import Document
from report.errors import ReportError
from report.numbering import DISPLAY
from report.pandoc import Element

OUTPUT_COLUMNS = 92  # of the small fixed-width type that fit between the margins


def write(document: Document) -> bytes:
    """Return the PDF. The same document gives the same bytes.

    Raises ReportError with Typst's words when it cannot be typeset accessibly.
    """
    with TemporaryDirectory() as folder:
        for name, content in document.images.items():
            (Path(folder) / name).write_bytes(content)
        main = Path(folder) / "report.typ"
        main.write_text(source(document), "utf-8")
        try:
            printed = typst.compile(
                main,
                root=Path(folder),
                format="pdf",
                pdf_standards="ua-1",
                ignore_system_fonts=True,
            )
        except typst.TypstError as error:
            raise ReportError(error.diagnostic) from error
    return packed(printed)


def packed(content: bytes) -> bytes:
    """Return a PDF with all that is in it, in about half of the bytes.

    Typst writes thousands of tags one by one, compresses lightly, and gives pictures
    their true colours back. Here tags are put together and compressed, and pictures get
    a palette where they have few enough colours for one, as they came.
    """
    pikepdf.settings.set_flate_compression_level(9)
    buffer = BytesIO()
    with pikepdf.open(BytesIO(content)) as document:
        for item in document.objects:
            if isinstance(item, pikepdf.Stream) and item.get("/Subtype") == "/Image":
                _set_palette(item)
        document.save(
            buffer,
            object_stream_mode=pikepdf.ObjectStreamMode.generate,
            recompress_flate=True,
            deterministic_id=True,
            fix_metadata_version=False,
        )
    return buffer.getvalue()


def _set_palette(image: pikepdf.Stream) -> None:
    """Store the number of a colour for each pixel, where there are at most 256."""
    pixels = image.read_bytes()
    if len(pixels) != 3 * image.Width * image.Height:
        return  # one channel alone, or one more
    triples = np.frombuffer(pixels, np.uint8).reshape(-1, 3)
    colours, numbers = np.unique(triples @ [1 << 16, 1 << 8, 1], return_inverse=True)
    if len(colours) > 256:
        return
    palette = b"".join(int(colour).to_bytes(3, "big") for colour in colours)
    image.ColorSpace = pikepdf.Array(
        [pikepdf.Name.Indexed, image.ColorSpace, len(colours) - 1, palette]
    )
    image.write(numbers.astype(np.uint8).tobytes())


def source(document: Document) -> str:
    """Return the Typst source of the document."""

    blocks, left_out = _for_paper(document.blocks)

    def action(kind: str, content: Any) -> Element | list | None:
        if kind == "Math":
            return _formula(content, document.formulas)
        if kind == "Link" and content[2][0] in left_out:
            return content[1]  # its words alone: there is nothing to go to
        if kind == "Figure":
            return _figure(*content)
        if kind == "CodeBlock":
            return _code(*content)
        if kind == "Div":
            return _div(*content)
        if kind == "Header" and content[0] == 1:  # what floats stays in its chapter
            return [RawBlock("typst", "#place.flush()"), {"t": kind, "c": content}]
        return None

    return pandoc.write(
        pandoc.transformed(blocks, action),
        "typst",
        "--syntax-highlighting=idiomatic",
        f"--template={TEMPLATES / 'report.typ'}",
        metadata=document.metadata,
    )


def _for_paper(blocks: list) -> tuple[list, set[str]]:
    """Return the blocks without what is for the page only, and the links to that."""
    left_out: set[str] = set()

    def action(kind: str, content: Any) -> Element | list | None:
        if kind != "Div" or "page-only" not in content[0][1]:
            return None
        tables = (block for block in content[1] if block["t"] == "Table")
        left_out.update(f"#{table['c'][0][0]}" for table in tables)
        return []

    return pandoc.transformed(blocks, action), left_out


def _string(text: str) -> str:
    """Return `text` as a Typst string, which is written as in JSON."""
    return json.dumps(text, ensure_ascii=False)


def _formula(content: list, formulas: dict[str, str]) -> dict:
    """Return a formula with its LaTeX source as alternative text."""
    style, latex = content
    blank = " " if style == DISPLAY else ""
    typst_source = f"${blank}{formulas[latex]}{blank}$"
    return RawInline("typst", f"#formula({_string(latex)})[{typst_source}];")


def _figure(attributes: list, caption: list, blocks: list) -> dict:
    ((size, alternative, (file, _)),) = (i["c"] for i in blocks[0]["c"])
    width = dict(size[2])["width"]
    alternative = _string(stringify(alternative))
    return Para(
        [
            RawInline(
                "typst",
                f"#figure(image({_string(file)}, width: {width}, alt: {alternative}), "
                "placement: auto, caption: [",
            ),
            *caption[1][0]["c"],
            RawInline("typst", f"]) <{attributes[0]}>"),
        ]
    )


def _div(attributes: list, blocks: list) -> list:
    identifier, classes, pairs = attributes
    if "folded" in classes:
        return []
    if "finding" in classes or "environment" in classes:
        return _call(classes[0], blocks)
    if "equation" in classes:
        number = dict(pairs).get("number")
        argument = f"(number: {_string(number)})" if number else ""
        label = f" <{identifier}>" if identifier else ""
        return _call(f"equation{argument}", blocks, label)
    return blocks


def _call(function: str, blocks: list, label: str = "") -> list:
    """Return `blocks` as the content that a function of the template is called on."""
    return [
        RawBlock("typst", f"#{function}["),
        *blocks,
        RawBlock("typst", f"]{label}"),
    ]


def _code(attributes: list, text: str) -> dict | None:
    """Break lines of output as a terminal does; Typst breaks them at blanks alone."""
    if "python" in attributes[1]:
        return None  # has short lines, and keeps them
    lines = [
        piece
        for line in text.splitlines()
        for piece in textwrap.wrap(
            line, OUTPUT_COLUMNS, drop_whitespace=False, replace_whitespace=False
        )
        or [""]
    ]
    return CodeBlock(attributes, "\n".join(lines))
