"""Build the report: execute the notebooks, write build/report.html and .pdf.

What readers see without building anything is written by `--in-place` alone: the outputs
in the notebooks, figures/, and report/convolution.html and .pdf.
"""

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from helpers import data
from report import html, pdf, project, script
from report.chapter import TEMPLATES, ChapterExporter
from report.document import Document
from report.errors import ReportError
from report.execute import Executor, versions


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
    notebooks = list(executed(arguments))
    written = project.BUILD / "report"
    if arguments.in_place and arguments.notebooks == project.notebooks():
        written = project.PUBLISHED
    written.parent.mkdir(exist_ok=True)
    writers: dict[Path, Callable[[Document], bytes]] = {}
    if not arguments.pdf_only:
        writers[written.with_suffix(".html")] = lambda d: html.write(d).encode()
    if not arguments.html_only:
        writers[written.with_suffix(".pdf")] = pdf.write
    digest = _digest(notebooks)
    outdated = [file for file in writers if not _Stamp(file, digest).holds()]
    for file in writers:
        if file not in outdated:
            print(f"{file.relative_to(project.ROOT)}: unchanged")
    if not outdated:
        return
    exporter = ChapterExporter()
    document = Document(
        [
            exporter.chapter(content, path.stem, path.parent)
            for path, content in notebooks
        ]
    )
    with ThreadPoolExecutor() as pool:  # both wait for other programs most of the time
        printed = {file: pool.submit(writers[file], document) for file in outdated}
    for file in outdated:
        content = printed[file].result()
        file.write_bytes(content)
        print(f"{file.relative_to(project.ROOT)}: {len(content) / 1e6:.1f} MB")
        _Stamp(file, digest).keep()


def _digest(notebooks: list[tuple[Path, NotebookNode]]) -> str:
    """What a document follows from: notebooks, code and templates, versions."""
    whole = hashlib.sha256()
    for path, content in notebooks:
        whole.update(f"{path} {nbformat.writes(content)}".encode())
    here = project.ROOT / "report"
    for path in (
        *sorted(here.glob("*.py")),
        *sorted(TEMPLATES.iterdir()),
        *sorted(script.FOLDER.iterdir()),
    ):
        whole.update(path.read_bytes())
    whole.update((project.ROOT / "pyproject.toml").read_bytes())
    whole.update(json.dumps(versions()).encode())
    return whole.hexdigest()


class _Stamp:
    """Kept beside a document: what it was made from, and what it holds."""

    def __init__(self, file: Path, digest: str) -> None:
        self.file, self.digest = file, digest
        self.path = project.BUILD / "stamps" / file.name

    def holds(self) -> bool:
        """Whether the file is there, as it was written, and from the same things."""
        there = self.path.exists() and self.file.exists()
        return there and self.path.read_text() == self._text()

    def keep(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(self._text())

    def _text(self) -> str:
        return f"{self.digest} {hashlib.sha256(self.file.read_bytes()).hexdigest()}"


def _without_execution(
    arguments: argparse.Namespace,
) -> Iterator[tuple[Path, NotebookNode]]:
    print("Nothing is executed: the outputs are those that the notebooks hold.")
    for notebook in arguments.notebooks:
        yield notebook, nbformat.read(notebook, as_version=4)


def _with_execution(
    arguments: argparse.Namespace,
) -> Iterator[tuple[Path, NotebookNode]]:
    jobs = min(arguments.jobs, len(arguments.notebooks))
    variables = {}
    if jobs > 1:  # chapters side by side that each take all cores only wait for another
        variables["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // jobs))
    if arguments.in_place:
        variables["REPORT_FIGURES"] = str(project.FIGURES)
    executor = Executor(variables, arguments.in_place)
    quick = data.quick_profile()
    if arguments.in_place and quick:
        raise ReportError("--in-place writes what readers see: unset REPORT_PROFILE")
    if quick:
        print("REPORT_PROFILE=quick: small data, and not the report's figures")
    # The longest first, so that no core waits long for another at the end.
    by_size = sorted(arguments.notebooks, key=lambda path: -path.stat().st_size)
    pool = ThreadPoolExecutor(jobs)
    try:
        results = {
            notebook: pool.submit(executor.outputs, notebook) for notebook in by_size
        }
        for notebook in arguments.notebooks:
            yield notebook, results[notebook].result()
    finally:
        pool.shutdown(cancel_futures=True)


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
    parser.add_argument(
        "--jobs",
        type=int,
        default=2,
        metavar="N",
        help="chapters that are executed side by side (default: %(default)s)",
    )
    arguments = parser.parse_args()
    if arguments.jobs < 1:
        parser.error(f"--jobs is {arguments.jobs}: use a whole number from 1 up")
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
