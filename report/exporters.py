"""The exporters, for `jupyter nbconvert --to report-pdf NOTEBOOK`, and export()."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import nbformat
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


EXPORTERS = {"html": HTMLReport, "pdf": PDFReport}


def export(
    notebook: NotebookNode | Path | str,
    formats: Iterable[str],
    folder: Path | str,
    *,
    name: str = "",
    beside: Path | str = ".",
) -> tuple[list[Path], list[str]]:
    """Write a notebook, with the outputs that it holds, as files in `folder`.

    notebook: its file, or its content; then `name` names it (without an ending), and
    links to files start from the folder `beside`. formats: names from `EXPORTERS`.
    Returns the files written, in the order of `formats`, and the warnings. Raises
    ValueError for an unknown format, ReportError for what cannot be exported.
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
    files = []
    for written in formats:
        exporter = EXPORTERS[written]()
        document, _ = exporter.from_notebook_node(content, resources)
        file = Path(folder) / f"{name or 'notebook'}{exporter.file_extension}"
        file.write_bytes(document.encode() if isinstance(document, str) else document)
        files.append(file)
    return files, []
