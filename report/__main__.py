"""Build the report: execute the notebooks, write build/report.html and .pdf.

What readers see without building anything is written by `--in-place` alone: the outputs
in the notebooks, figures/, and report/convolution.html and .pdf.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from report import html, pdf, project
from report.chapter import ChapterExporter
from report.document import Document
from report.errors import ReportError
from report.execute import Executor


def main() -> None:
    """Build what the command line asks for; say what to mend when that fails."""
    arguments = _arguments()
    try:
        build(arguments)
    except ReportError as error:
        sys.exit(f"The report cannot be built.\n{error}")


def build(arguments: argparse.Namespace) -> None:
    """Execute the notebooks, merge them, write the document.

    Raises ReportError for damaged data, a failing cell, and what cannot be typeset.
    """
    executed = _without_execution if arguments.no_execute else _with_execution
    exporter = ChapterExporter()
    document = Document(
        [
            exporter.chapter(content, notebook.stem, notebook.parent)
            for notebook, content in executed(arguments)
        ]
    )
    written = project.BUILD / "report"
    if arguments.in_place and arguments.notebooks == project.notebooks():
        written = project.PUBLISHED
    written.parent.mkdir(exist_ok=True)
    if not arguments.pdf_only:
        _write(written.with_suffix(".html"), html.write(document).encode())
    if not arguments.html_only:
        _write(written.with_suffix(".pdf"), pdf.write(document))


def _without_execution(arguments) -> Iterator[tuple[Path, NotebookNode]]:
    print("Nothing is executed: the outputs are those that the notebooks hold.")
    for notebook in arguments.notebooks:
        yield notebook, nbformat.read(notebook, as_version=4)


def _with_execution(arguments) -> Iterator[tuple[Path, NotebookNode]]:
    from helpers.data import locate  # takes its time, as torch does

    try:
        location = locate("mnist")
    except ValueError as error:
        raise ReportError(str(error)) from error
    print(f"Profile {location.profile}: {location}", flush=True)
    if arguments.in_place and location.stand_in:
        raise ReportError("--in-place writes what readers see: it needs the real data")
    variables = {"REPORT_PROFILE": location.profile}
    if not arguments.in_place:
        variables["REPORT_FIGURES"] = str(project.BUILD / "figures")
    executor = Executor(variables, basis=location.source)
    for notebook in arguments.notebooks:
        if arguments.in_place:
            content = executor.execute(notebook)
            nbformat.write(content, notebook)
        else:
            content = executor.execute_if_changed(notebook)
        yield notebook, content


def _write(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    print(f"{file.relative_to(project.ROOT)}: {len(content) / 1e6:.1f} MB")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m report", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "notebooks",
        nargs="*",
        type=Path,
        metavar="NOTEBOOK",
        help="default: all numbered ones in notebooks/",
    )
    outputs = parser.add_mutually_exclusive_group()
    outputs.add_argument("--html-only", action="store_true", help="write no PDF")
    outputs.add_argument("--pdf-only", action="store_true", help="write no HTML page")
    execution = parser.add_mutually_exclusive_group()
    execution.add_argument(
        "--no-execute",
        action="store_true",
        help="take the outputs that the notebooks hold",
    )
    execution.add_argument(
        "--in-place",
        action="store_true",
        help="execute anew, write the outputs into the notebooks and figures/, and, if "
        "these are all notebooks, the report as report/convolution.html and .pdf",
    )
    arguments = parser.parse_args()
    arguments.notebooks = [
        notebook.resolve() for notebook in arguments.notebooks
    ] or project.notebooks()
    for notebook in arguments.notebooks:
        if not notebook.is_file():
            parser.error(f"{notebook} is not a file: name notebooks, or none for all")
    if not arguments.notebooks:
        parser.error("notebooks/ holds no numbered notebook")
    return arguments


if __name__ == "__main__":
    main()
