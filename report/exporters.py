"""The exporters, for `jupyter nbconvert --to report-pdf NOTEBOOK`, and export()."""

import logging
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from traitlets import Bool, List, Unicode, default

from report import epub, front, html, pdf, slides
from report.chapter import ChapterExporter
from report.document import Document
from report.errors import ReportError


class _ReportExporter(ChapterExporter):
    """One notebook, of anybody, to a document of one chapter."""

    numbered = Bool(
        None,
        allow_none=True,
        help="Number the headings. Without a value: in notebooks that say 'report' in "
        "their metadata.",
    ).tag(config=True)
    strict = Bool(
        False, help="Refuse what cannot be shown as it is, instead of a warning."
    ).tag(config=True)
    title = Unicode(help="The title, instead of the notebook's own.").tag(config=True)
    authors = Unicode(help="Names of the authors, with commas.").tag(config=True)
    license = Unicode(help="The licence that the document names.").tag(config=True)
    lang = Unicode(help="The language of the text: en, de, pt-BR.").tag(config=True)

    template = Unicode(help="A file to use instead of that in report/templates/.").tag(
        config=True
    )

    @default("whole_tracebacks")
    def _as_jupyter_shows_them(self) -> bool:
        return True

    @default("typographic")
    def _as_the_notebook_says(self) -> None:
        return None

    def write(self, document: Document) -> Any:
        """Return the file's content."""
        raise NotImplementedError

    def from_notebook_node(
        self,
        nb: NotebookNode,
        resources: dict[str, Any] | None = None,
        **_options: Any,
    ) -> tuple[Any, dict[str, Any]]:
        """Return the document that the notebook becomes, and nbconvert's resources.

        What could not be shown as it is stands in resources["warnings"], and is logged.
        Raises ReportError for what cannot be exported; as a command, it ends with its
        lines.
        """
        resources = self._init_resources(resources)
        try:
            document = self.document(nb, resources["metadata"])
            written = self.write(document)
        except ReportError as error:
            from nbconvert.nbconvertapp import NbConvertApp  # which looks for exporters

            if NbConvertApp.initialized():
                sys.exit(f"The notebook cannot be exported.\n{error}")
            raise
        resources["warnings"] = document.findings.lines
        for line in document.findings.lines:
            self.log.warning(line)
        return written, resources

    def document(self, nb: NotebookNode, metadata: dict[str, Any]) -> Document:
        """Return a notebook as document; metadata: its name and path."""
        chapter = self.chapter(nb, metadata["name"], Path(metadata["path"]))
        told = {
            "title": self.title,
            "authors": self.authors,
            "license": self.license,
            "lang": self.lang,
        }
        numbered = self.numbered
        if numbered is None:
            numbered = "report" in chapter.metadata
        return Document(
            [chapter],
            front=front.of(chapter, **told),
            strict=self.strict,
            numbered=numbered,
        )


class HTMLReport(_ReportExporter):
    """One HTML page that needs nothing beside itself."""

    export_from_notebook = "Report (HTML)"
    output_mimetype = "text/html"
    file_extension = ".html"

    def write(self, document: Document) -> str:
        return html.write(document, self.template)


class PDFReport(_ReportExporter):
    """A PDF for print and screen readers, typeset by Typst."""

    export_from_notebook = "Report (PDF)"
    output_mimetype = "application/pdf"
    file_extension = ".pdf"

    fonts = List(
        Unicode(), help="Folders in which typefaces are looked for besides."
    ).tag(config=True)

    def write(self, document: Document) -> bytes:
        return pdf.write(document, self.fonts, self.template)


class EPUBReport(_ReportExporter):
    """An EPUB 3, for readers of electronic books."""

    export_from_notebook = "Report (EPUB)"
    output_mimetype = "application/epub+zip"
    file_extension = ".epub"

    def write(self, document: Document) -> bytes:
        return epub.write(document, self.template)


class SlidesReport(_ReportExporter):
    """Slides in one HTML page that needs nothing beside itself."""

    export_from_notebook = "Report (slides)"
    output_mimetype = "text/html"
    file_extension = ".slides.html"

    def write(self, document: Document) -> str:
        return slides.write(document, self.template)


EXPORTERS: dict[str, type[_ReportExporter]] = {
    "html": HTMLReport,
    "pdf": PDFReport,
    "epub": EPUBReport,
    "slides": SlidesReport,
}


def export(
    notebook: NotebookNode | Path | str,
    formats: Iterable[str],
    folder: Path | str,
    *,
    name: str = "",
    beside: Path | str = ".",
    strict: bool = False,
) -> tuple[list[Path], list[str]]:
    """Write a notebook, with the outputs that it holds, as files in `folder`.

    notebook: its file, or its content; then `name` names it (without an ending), and
    links to files start from the folder `beside`. formats: names from `EXPORTERS`.
    strict: refuse what cannot be shown as it is. Returns the files written, in the
    order of `formats`, and the warnings, which name cell and remedy. Raises ValueError
    for an unknown format, ReportError for what cannot be exported.
    """
    formats = list(formats)
    if unknown := sorted(set(formats) - set(EXPORTERS)):
        raise ValueError(f"formats are {unknown}: take some of {sorted(EXPORTERS)}")
    if isinstance(notebook, NotebookNode):
        content = notebook
    else:
        source = Path(notebook)
        content = nbformat.read(source, as_version=4)
        name, beside = name or source.stem, source.resolve().parent
    resources = {"metadata": {"name": name or "notebook", "path": str(beside)}}
    files, warnings = [], dict[str, None]()
    for written in formats:
        exporter = EXPORTERS[written](strict=strict)
        exporter.log.setLevel(logging.ERROR)  # they are returned
        document, told = exporter.from_notebook_node(content, resources)
        warnings |= dict.fromkeys(told["warnings"])
        file = Path(folder) / f"{name or 'notebook'}{exporter.file_extension}"
        file.write_bytes(document.encode() if isinstance(document, str) else document)
        files.append(file)
    return files, list(warnings)
