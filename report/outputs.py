"""Outputs of cells: which of its forms a document shows; text as terminals show it."""

import re

from nbformat import NotebookNode

REPORT_KINDS = ("figure", "table", "prose", "environment")
INTERACTIVE = {
    "application/vnd.jupyter.widget-view+json": "widget",
    "application/vnd.plotly.v1+json": "plotly",
    "application/vnd.bokehjs_exec.v0+json": "bokeh",
    "application/vnd.holoviews_exec.v0+json": "holoviews",
    "application/geo+json": "map",
    "application/javascript": "script",
}
VEGA = re.compile(r"application/vnd\.vega(lite)?\.v\d.*json")
PICTURES: tuple[str, ...] = (
    "image/svg+xml",
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
)
PICTURES += ("image/bmp", "image/tiff")
ESCAPE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[PX^_].*?\x1b\\|[@-_])",
    re.DOTALL,
)


def report_kind(output: NotebookNode) -> str:
    """Return what an output says to be in the report, "" when it says nothing.

    "unknown" is what says something that the report does not know.
    """
    report = output.get("metadata", {}).get("report")
    if not report:
        return ""
    kind = report.get("kind")
    return kind if kind in REPORT_KINDS else "unknown"


def interactive(data: dict) -> str:
    """Return what of an output can only be used in a browser, "" for nothing."""
    for mime in data:
        if mime in INTERACTIVE:
            return INTERACTIVE[mime]
        if VEGA.fullmatch(mime):
            return "vega"
    html = "".join(data.get("text/html", ""))
    return "script" if re.search(r"<script\b|<iframe\b", html, re.I) else ""


def picture_of(data: dict) -> tuple[str, str] | None:
    """Return the kind and the data of the picture that is among an output's forms."""
    for mime in PICTURES:
        if mime in data:
            return mime, "".join(data[mime])
    return None


def terminal_text(text: str) -> str:
    """Return what a terminal shows of a text: no colours, lines written over.

    A carriage return goes to the line's beginning, a backspace one sign back; of other
    signs that control a terminal nothing is to be seen.
    """
    text = ESCAPE.sub("", text).replace("\r\n", "\n")
    lines = []
    for line in text.split("\n"):
        if "\r" in line or "\b" in line:
            line = _written_over(line)
        lines.append(line)
    return re.sub("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]", "", "\n".join(lines))


def _written_over(line: str) -> str:
    signs: list[str] = []
    column = 0
    for sign in line:
        if sign == "\r":
            column = 0
        elif sign == "\b":
            column = max(0, column - 1)
        else:
            signs[column : column + 1] = [sign]
            column += 1
    return "".join(signs)
