"""The document as a PDF for print and screen readers (PDF/UA-1), through Typst."""

import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pikepdf
import typst
from pandocfilters import (
    Code,
    CodeBlock,
    Para,
    RawBlock,
    RawInline,
    Str,
    Strong,
    stringify,
)

from report import pandoc, paper, pictures, raw_html
from report.chapter import TEMPLATES
from report.document import Document
from report.errors import ReportError
from report.formulas import DISPLAY
from report.pandoc import Element


def write(document: Document, fonts: Sequence[str] = (), template: str = "") -> bytes:
    """Return the PDF. The same strict document gives the same bytes.

    fonts: folders in which typefaces are looked for besides. template: a file instead
    of templates/report.typ. A document that is not
    strict takes those of the machine, too; what cannot be typeset in it is mended, and
    told in its findings. Raises ReportError, which names the cells, when a strict one
    cannot be typeset accessibly.
    """
    with TemporaryDirectory() as folder:
        for name, content in document.images.items():
            (Path(folder) / name).write_bytes(content)
        main = Path(folder) / "report.typ"
        standard: Any = "ua-1"
        for _ in range(paper.ATTEMPTS):
            written = source(document, template)
            main.write_text(written, "utf-8")
            try:
                printed = typst.compile(
                    main,
                    root=Path(folder),
                    font_paths=[Path(folder) for folder in fonts],
                    format="pdf",
                    pdf_standards=standard,
                    ignore_system_fonts=document.strict,
                )
                return packed(printed)
            except typst.TypstError as error:
                trouble = paper.troubles(error.diagnostic, written)
                if document.strict:
                    raise ReportError(*map(str, trouble)) from error
                if not paper.mend(document, trouble):
                    standard = []  # all is shown, but not as the standard asks
    raise ReportError("The PDF cannot be typeset.", *map(str, trouble))


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
    if "/DCTDecode" in str(image.get("/Filter", "")):
        return  # a photograph, which is never unpacked
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


def source(document: Document, template: str = "") -> str:
    """Return the Typst source of the document."""

    blocks, left_out = _for_paper(document.blocks)

    def action(kind: str, content: Any) -> Element | list | None:
        if kind == "Math":
            return _formula(content, document.formulas)
        if kind == "Link" and content[2][0] in left_out:
            return content[1]  # its words alone: there is nothing to go to
        if kind == "Image" and "picture" in content[0][1]:
            return _picture(content, document.images)
        if kind == "Figure":
            return _figure(*content)
        if kind == "Table":
            return _table(content)
        if kind == "CodeBlock":
            return _code(content[0], paper.with_names(content[1], document.unset))
        if kind == "Str":
            return Str(paper.breakable(paper.with_names(content, document.unset)))
        if kind == "Code":
            text = paper.with_names(content[1], document.unset)
            return Code(content[0], paper.breakable(text))
        if kind == "Div":
            return _div(*content)
        if kind == "Span" and content[0][0]:
            return [RawInline("typst", _anchor(content[0][0])), *content[1]]
        if kind == "Header" and content[0] == 1:  # what floats stays in its chapter
            return [RawBlock("typst", "#place.flush()"), {"t": kind, "c": content}]
        return None

    return pandoc.write(
        pandoc.transformed(blocks, action),
        "typst",
        "--syntax-highlighting=idiomatic",
        f"--template={template or TEMPLATES / 'report.typ'}",
        metadata=pandoc.transformed(document.metadata, action),
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
    if "place" in classes:
        return [RawBlock("typst", f"{paper.PLACE}{dict(pairs)['cell']}")]
    if "top" in classes:
        return [RawBlock("typst", _anchor(identifier))]
    if "folded" in classes:
        return []
    if "record" in classes:
        return _call("record", blocks, f" <{identifier}>")
    if raw_html.SUMMARY in classes:
        return [Para([Strong([i for b in blocks for i in b["c"]])])]
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


def _code(attributes: list, text: str) -> dict:
    """Break long lines: of output as a terminal does, of code with a mark.

    Typst breaks them at blanks alone. Only what is code has a language here.
    """
    code = [c for c in attributes[1] if c != "stderr"]
    return CodeBlock(["", code, []], paper.wrapped(text, mark=bool(code)))


def _anchor(identifier: str) -> str:
    """Return what a link can lead to, and nothing is seen of."""
    return f'#metadata("anchor") <{identifier}>'


def _picture(content: list, images: dict[str, bytes]) -> Element:
    """Return a picture in the text: as large as on a screen, no larger than a page."""
    (_, _, pairs), alternative, (name, _) = content
    width = paper.width(dict(pairs).get("width", ""), pictures.size(name, images[name]))
    told = _string(stringify(alternative))
    return RawInline(
        "typst", f"#box(image({_string(name)}, width: {width:.1f}pt, alt: {told}));"
    )


def _table(content: list) -> list | None:
    """Set a table in smaller type when its words need more than the page has."""
    size = paper.type_size(content)
    if size is None:
        return None
    return [
        RawBlock(
            "typst", f"#[#show table: set text({size:.1f}pt)\n#set table(inset: 2pt)"
        ),
        {"t": "Table", "c": content},
        RawBlock("typst", "]"),
    ]
