"""The two exporters, for `jupyter nbconvert --to report.HTMLReport notebook.ipynb`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from report import html, pdf
from report.chapter import ChapterExporter
from report.document import Document


class _ReportExporter(ChapterExporter):
    """One notebook to a document of one chapter."""

    write: Callable[[Document], Any]

    def from_notebook_node(
        self,
        nb: NotebookNode,
        resources: dict[str, Any] | None = None,
        **_options: Any,
    ) -> tuple[Any, dict[str, Any]]:
        """Return what `write` makes of the notebook, and nbconvert's resources."""
        resources = self._init_resources(resources)
        metadata = resources["metadata"]
        chapter = self.chapter(nb, metadata["name"], Path(metadata["path"]))
        return self.write(Document([chapter])), resources


class HTMLReport(_ReportExporter):
    """One HTML page that needs nothing beside itself."""

    export_from_notebook = "Report (HTML)"
    output_mimetype = "text/html"
    file_extension = ".html"
    write = staticmethod(html.write)


class PDFReport(_ReportExporter):
    """A PDF for print and screen readers, typeset by Typst."""

    export_from_notebook = "Report (PDF)"
    output_mimetype = "application/pdf"
    file_extension = ".pdf"
    write = staticmethod(pdf.write)
