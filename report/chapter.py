"""A chapter: one notebook, read into pandoc's blocks."""

import base64
import html
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nbconvert.exporters import TemplateExporter
from nbconvert.filters import strip_ansi
from nbformat import NotebookNode
from traitlets.config import Config

from report import exercises, pandoc
from report.folding import without_title

TEMPLATES = Path(__file__).parent / "templates"
REPORT_KINDS = ("figure", "table", "prose", "environment")
# As helpers.figures.element writes it.
PICTURE = re.compile(r'<img src="data:image/(svg|png)(?:\+xml)?;base64,([\w+/=]+)"')


@dataclass(frozen=True)
class Chapter:
    """One notebook: `name` is its file without the ending, in the folder `folder`.

    `blocks` has one div for each cell, as `templates/chapter.md.j2` lays them out;
    `images` holds the files of its figures by the names that the figures refer to.
    """

    name: str
    folder: Path
    blocks: list
    images: dict[str, bytes]


class ChapterExporter(TemplateExporter):
    """Notebook to Markdown for pandoc: what the exporters of the report build upon."""

    template_file = "chapter.md.j2"
    template_extension = ".md.j2"

    @property
    def default_config(self) -> Config:
        config = Config(CoalesceStreamsPreprocessor={"enabled": True})
        config.merge(super().default_config)
        return config

    def _template_paths_default(self) -> list[str]:
        return [str(TEMPLATES)]

    def default_filters(self) -> Iterator[tuple[str, Callable]]:
        yield from super().default_filters()
        for jinja_filter in (
            quoted,
            without_title,
            exercises.without_markers,
            exercises.exercise_key,
            code_block,
            formulas_in_one_line,
            output_kind,
            output_text,
            image_file,
        ):
            yield jinja_filter.__name__, jinja_filter

    def chapter(self, notebook: NotebookNode, name: str, folder: Path) -> Chapter:
        """Return `notebook`, the content of the file `name` in `folder`, as chapter."""
        markdown, _ = super().from_notebook_node(
            notebook, {"metadata": {"name": name, "path": str(folder)}}
        )
        pictures = [
            picture(output)
            for cell in notebook.cells
            for output in cell.get("outputs", [])
            if output_kind(output) == "figure"
        ]
        return Chapter(
            name, folder, pandoc.read(markdown), dict(filter(None, pictures))
        )


# What templates/chapter.md.j2 needs to lay out a cell.


def quoted(text: str) -> str:
    """Return `text` as the value of a div's attribute."""
    return f'"{html.escape(" ".join(text.split()))}"'


def code_block(text: str, language: str = "") -> str:
    """Return `text` between fences that are longer than any in it."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence} {language}\n{text.rstrip()}\n{fence}"


def formulas_in_one_line(markdown: str) -> str:
    """Return `markdown` with each displayed formula drawn together in one line.

    A line of a formula may begin with + or =, which Markdown takes for a list or a
    heading; Jupyter looks at formulas first, pandoc at lists.
    """
    return re.sub(
        r"\$\$.+?\$\$", lambda m: " ".join(m[0].split()), markdown, flags=re.DOTALL
    )


def output_kind(output: NotebookNode) -> str:
    """Return what an output is in the report: one of the branches of the template."""
    data = output.get("data", {})
    if "report" in output.get("metadata", {}):
        kind = output.metadata.report.get("kind")
        return kind if kind in REPORT_KINDS else "unprintable"
    if output.output_type == "stream" and output.name != "stdout":
        return "left out"  # progress bars
    if any(mime.startswith("image/") for mime in data):
        return "unprintable"  # a picture without caption and alternative text
    return "prose" if "text/markdown" in data else "text"


def output_text(output: NotebookNode) -> str:
    """Return an output as plain text; of an error its last line alone."""
    if output.output_type == "stream":
        text = output.text
    elif output.output_type == "error":
        text = f"{output.ename}: {output.evalue}"
    else:
        text = output.data.get("text/plain", "")
    return strip_ansi(text)


def image_file(output: NotebookNode) -> str:
    """Return the name that the picture of a figure has in the document, "" for none."""
    file, _ = picture(output) or ("", b"")
    return file


def picture(output: NotebookNode) -> tuple[str, bytes] | None:
    """Return name and content of the picture that a figure holds in its HTML."""
    found = PICTURE.search(output.get("data", {}).get("text/html", ""))
    if not found:
        return None
    key = output.metadata.report.get("key", "")
    return f"{key}.{found[1]}", base64.b64decode(found[2])
