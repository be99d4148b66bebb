"""The document as slides: one HTML page that needs nothing beside it, and no script.

A section of the first or second level is a slide, and so is what Jupyter's metadata
`slideshow` say: a cell of the type slide or subslide begins one, skip and notes leave
it out. The browser's own keys for a page turn the slides.
"""

from copy import copy

from report import html, pandoc
from report.chapter import TEMPLATES
from report.document import Document

LEFT_OUT = ("skip", "notes")
NEW = ("slide", "subslide")
RULE = {"t": "HorizontalRule"}


def write(document: Document, template: str = "") -> str:
    """Return the page of slides: formulas as MathML, pictures and typeface inside.

    template: a file instead of templates/slides.html.
    """
    kept = copy(document)
    kept.blocks = _cut(document.blocks)
    page = pandoc.write(
        html.blocks(kept),
        "dzslides",
        "--mathml",
        "--slide-level=2",
        f"--template={template or TEMPLATES / 'slides.html'}",
        metadata=document.metadata,
    )
    return html.with_all_inside(html.lean(page), document)


def _cut(blocks: list) -> list:
    """Return the blocks with a rule where the author begins a slide."""
    kept: list = []
    told = ""
    for block in blocks:
        if block["t"] == "Div" and "place" in block["c"][0][1]:
            told = dict(block["c"][0][2]).get("slide", "")
            kept += [RULE] if told in NEW and kept else []
        elif told not in LEFT_OUT:
            if block["t"] == "Header" and kept[-1:] == [RULE]:
                kept.pop()  # a heading begins a slide by itself
            kept.append(block)
    return kept
