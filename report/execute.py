"""Running notebooks, each only when its code or what it rests on has changed."""

import functools
import hashlib
import json
import os
import platform
import time
from copy import deepcopy
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode
from tqdm import tqdm

from helpers import bench, claims, data, runs
from report.errors import ReportError
from report.folding import without_title
from report.project import BUILD, ROOT

EXECUTED = BUILD / "executed"
WIDGET = "application/vnd.jupyter.widget-view+json"


@dataclass(frozen=True)
class Executor:
    """Runs notebooks in fresh kernels and keeps what comes out in build/executed/.

    `variables` are set in the environment of the kernels. What a notebook rests on
    besides its code, helpers/ and the versions stands in its metadata, under "report":
    "data" lists the data sets whose images it needs, "runs" those whose recorded
    training runs it reads (without that entry, all).
    """

    variables: dict[str, str]

    in_place: bool = False

    def outputs(self, notebook: Path) -> NotebookNode:
        """Return `notebook` with outputs: of an earlier run, a new one, or stored ones.

        Those of an earlier run are taken if they still hold, the stored ones where data
        are missing; `in_place` always runs anew, and writes into the notebook. Raises
        ReportError when a cell fails, or when there are no outputs to be had.
        """
        if not self.in_place and (content := self.unchanged(notebook)):
            return content
        if missing := _missing(notebook):
            if self.in_place:
                raise ReportError("--in-place writes what readers see.", str(missing))
            return self.keep_stored(notebook, missing)
        content = self.execute(notebook)
        if self.in_place:
            nbformat.write(content, notebook)
        return content

    def unchanged(self, notebook: Path) -> NotebookNode | None:
        """Return `notebook` with the outputs of an earlier run, if they still hold."""
        content = nbformat.read(notebook, as_version=4)
        copy = EXECUTED / notebook.name
        if not copy.exists():
            return None
        earlier = nbformat.read(copy, as_version=4)
        if earlier.metadata.get("digest") != self._digest(content):
            return None
        print(f"{notebook.stem}: unchanged", flush=True)
        return _with_outputs_of(earlier, content)

    def keep_stored(self, notebook: Path, missing: data.DataMissing) -> NotebookNode:
        """Return `notebook` with the outputs that it holds, marked as stored ones.

        Raises ReportError when it holds none.
        """
        content = nbformat.read(notebook, as_version=4)
        print(f"{notebook.stem}: {mark_as_stored(content, notebook, missing)}")
        EXECUTED.mkdir(parents=True, exist_ok=True)
        nbformat.write(content, EXECUTED / notebook.name)
        return content

    def execute(self, notebook: Path) -> NotebookNode:
        """Return `notebook` with the outputs of a new run.

        Raises ReportError, with the traceback, when a cell fails.
        """
        content = nbformat.read(notebook, as_version=4)
        started = time.monotonic()
        run(content, notebook, self.variables)
        took = time.monotonic() - started
        print(f"{notebook.stem}: executed in {took:.0f} s", flush=True)
        EXECUTED.mkdir(parents=True, exist_ok=True)
        copy = deepcopy(content)
        copy.metadata["digest"] = self._digest(content)
        nbformat.write(copy, EXECUTED / notebook.name)
        return content

    def _digest(self, content: NotebookNode) -> str:
        everything = [
            [
                (without_title(cell.source), cell.metadata.get("tags"))
                for cell in _code(content)
            ],
            [
                path.read_text("utf-8")
                for path in sorted(ROOT.glob("helpers/**/*"))
                if path.suffix in (".py", ".toml")
            ],
            _read_notebooks() if _reads_notebooks(content) else None,
            [data.variant(name).fingerprint for name in needed_data(content)],
            _recorded_runs(content.metadata.get("report", {}).get("runs")),
            _contents(bench.folders()),
            versions(),
        ]
        return hashlib.sha256(json.dumps(everything).encode()).hexdigest()


@functools.cache
def versions() -> list[str]:
    """Return Python and all installed packages with their versions."""
    packages = sorted(f"{found.name} {found.version}" for found in distributions())
    return [f"Python {platform.python_version()}", *packages]


def needed_data(content: NotebookNode) -> list[str]:
    """Return the names of the data sets whose images the notebook needs."""
    return content.metadata.get("report", {}).get("data", [])


def _missing(notebook: Path) -> data.DataMissing | None:
    """Look for the notebook's data; return why they cannot be had, or None."""
    try:
        for name in needed_data(nbformat.read(notebook, as_version=4)):
            data.locate(name)
    except data.DataMissing as error:
        return error
    except ValueError as error:
        raise ReportError(str(error)) from error
    return None


def _recorded_runs(data_sets: list[str] | None) -> list[tuple[str, str]]:
    """Names and digests of the files that hold recorded runs on some data sets."""
    return _contents(runs.folders(), ("",) if data_sets is None else tuple(data_sets))


def _contents(
    folders: list[Path], beginnings: tuple[str, ...] = ("",)
) -> list[tuple[str, str]]:
    """Names and digests of all files in some folders whose names begin so."""
    return [
        (path.name, hashlib.sha256(path.read_bytes()).hexdigest())
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.name.startswith(beginnings) and path.is_file()
    ]


def _reads_notebooks(content: NotebookNode) -> bool:
    """Whether a cell carries the tag of those that read the other notebooks."""
    return any(
        "reads-notebooks" in cell.metadata.get("tags", []) for cell in content.cells
    )


def _read_notebooks() -> list:
    """What such a cell sees of the others: where rows are answered, and test images."""
    answered = sorted(
        (identifier, place.link)
        for identifier, places in claims.answers().items()
        for place in places
    )
    return [answered, [(place.link, count) for place, count in claims.looks().items()]]


def mark_as_stored(
    content: NotebookNode, notebook: Path, missing: data.DataMissing
) -> str:
    """Say in a notebook that its outputs are not new; return the sentence that does.

    Raises ReportError when the notebook holds no outputs.
    """
    banners = [
        output
        for cell in _code(content)
        for output in cell.outputs
        if output.get("metadata", {}).get("report", {}).get("kind") == "environment"
    ]
    if not banners:
        raise ReportError(f"{notebook.name} holds no outputs to show.", str(missing))
    facts, bundle = banners[0].metadata.report, banners[0].data
    day = f", {facts.date}" if "date" in facts else ""
    stored = (
        f"{missing.title} could not be had ({missing.why}); the stored outputs of "
        f"{facts.device}{day} are shown."
    )
    sentence = f"{stored} {missing.remedy}"
    facts.stored = f"{notebook.stem}: {stored}"
    bundle["text/markdown"] = (
        f"**Not executed.** {sentence}\n\n{bundle['text/markdown']}"
    )
    return sentence


def _code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def run(
    content: NotebookNode, notebook: Path, variables: dict[str, str], **options: Any
) -> None:
    """Execute `content`, the content of the file `notebook`, and keep its outputs.

    options: of nbclient's NotebookClient, instead of those set here. Raises
    ReportError, with the traceback, when a cell fails.
    """
    current: int | None = None

    def begin(cell_index: int, **_: object) -> None:
        nonlocal current
        current = cell_index

    with tqdm(
        desc=notebook.stem, total=len(_code(content)), disable=None, leave=False
    ) as bar:
        settings: dict[str, Any] = {
            "kernel_name": "python3",
            "timeout": None,
            "record_timing": False,
            "store_widget_state": False,
            "coalesce_streams": True,  # else what one cell prints may come in pieces
            "resources": {"metadata": {"path": str(notebook.parent)}},
            "extra_arguments": ["--log-level=ERROR"],
            "on_cell_start": begin,
            "on_cell_executed": lambda **_: bar.update(),
        }
        client = NotebookClient(content, **settings | options)
        try:
            client.execute(env=os.environ | {"TQDM_DISABLE": "1"} | variables)
        except (CellExecutionError, DeadKernelError) as error:
            place = "" if current is None else f", cell {current + 1}"
            raise ReportError(f"{notebook.name}{place} failed:", str(error)) from None
    for cell in _code(content):
        # Progress bars that are widgets do not heed TQDM_DISABLE.
        cell.outputs = [
            out for out in cell.outputs if WIDGET not in out.get("data", {})
        ]


def _with_outputs_of(earlier: NotebookNode, content: NotebookNode) -> NotebookNode:
    """Set the outputs of the same code into a notebook whose text may be newer."""
    for source, target in zip(_code(earlier), _code(content), strict=True):
        target.outputs = source.outputs
        target.execution_count = source.execution_count
    return content
