"""The document as an EPUB 3: formulas are MathML, first-level sections chapters."""

import hashlib
import json
import re
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import NAMESPACE_URL, uuid5
from zipfile import ZipFile

from pandocfilters import Plain, Span, Str, stringify

from report import html, pandoc
from report.chapter import TEMPLATES
from report.document import Document
from report.pandoc import Element

OF_CONTENTS = b'properties="nav"'


def write(document: Document, style: str = "") -> bytes:
    """Return the book. Links to files beside the notebook become their words alone.

    style: a style sheet instead of templates/book.css.
    """
    blocks = pandoc.transformed(html.blocks(document), _for_books)
    with TemporaryDirectory() as folder:
        for name, content in document.images.items():
            (Path(folder) / name).write_bytes(content)
        book = pandoc.write_file(
            blocks,
            "epub3",
            Path(folder),
            "--mathml",
            "--split-level=1",
            "--toc-depth=3",
            f"--css={style or TEMPLATES / 'book.css'}",
            metadata=_metadata(document),
        )
    return _with_mathematics_told(book)


def _with_mathematics_told(book: bytes) -> bytes:
    """Return a book whose list of files says that the contents have formulas, too.

    pandoc says so of chapters alone, and a heading may hold a formula.
    """
    held, written = ZipFile(BytesIO(book)), BytesIO()
    if b"<math" not in held.read("EPUB/nav.xhtml"):
        return book
    with ZipFile(written, "w") as mended:
        for item in held.infolist():
            content = held.read(item)
            if item.filename == "EPUB/content.opf":
                content = content.replace(OF_CONTENTS, OF_CONTENTS[:-1] + b' mathml"')
            mended.writestr(item, content)
    return written.getvalue()


def _metadata(document: Document) -> dict[str, Any]:
    """Return what a library shows of a book; the same book has the same number."""
    told = document.metadata
    digest = hashlib.sha256(json.dumps(document.blocks).encode()).hexdigest()
    licences = [
        f"{licence['name']}: {stringify(licence['value']['c'])}"
        for licence in told["licences"]
    ]
    found = {
        "title": told["title"],
        "lang": told["lang"],
        "author": [author["name"] for author in told["authors"]],
        "date": told.get("date", ""),
        "description": told["description"],
        "rights": ". ".join(licences),
        "identifier": f"urn:uuid:{uuid5(NAMESPACE_URL, digest)}",
    }
    if "subtitle" in told:
        found["subtitle"] = told["subtitle"]
    return {name: value for name, value in found.items() if value}


def _for_books(kind: str, content: Any) -> Element | list | None:
    if kind == "Link" and not re.match(r"#|[a-z]+:", content[2][0]):
        return content[1]
    if kind == "Div" and "top" in content[0][1]:
        return [Plain([Span([content[0][0], [], []], [Str("")])])]
    return None
