"""Running notebooks, each only when its code or what it rests on has changed."""

import hashlib
import json
import os
import platform
import time
from copy import deepcopy
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode
from tqdm import tqdm

from report.errors import ReportError
from report.project import BUILD, ROOT

EXECUTED = BUILD / "executed"
WIDGET = "application/vnd.jupyter.widget-view+json"


@dataclass(frozen=True)
class Executor:
    """Runs notebooks in fresh kernels and keeps what comes out in build/executed/.

    `variables` are set in the environment of the kernels; `basis` says what a run rests
    on besides code, recorded training runs and versions, in words: another basis makes
    another run.
    """

    variables: dict[str, str]
    basis: str

    def execute_if_changed(self, notebook: Path) -> NotebookNode:
        """Return `notebook` with outputs: those of an earlier run if they still hold.

        Raises ReportError, with the traceback, when a cell fails.
        """
        content = nbformat.read(notebook, as_version=4)
        copy = EXECUTED / notebook.name
        if copy.exists():
            earlier = nbformat.read(copy, as_version=4)
            if earlier.metadata.get("digest") == self._digest(content):
                print(f"{notebook.stem}: unchanged")
                return _with_outputs_of(earlier, content)
        return self.execute(notebook)

    def execute(self, notebook: Path) -> NotebookNode:
        """Return `notebook` with the outputs of a new run; raises as above."""
        content = nbformat.read(notebook, as_version=4)
        started = time.monotonic()
        _run(content, notebook, self.variables)
        print(f"{notebook.stem}: executed in {time.monotonic() - started:.0f} s")
        EXECUTED.mkdir(parents=True, exist_ok=True)
        copy = deepcopy(content)
        copy.metadata["digest"] = self._digest(content)
        nbformat.write(copy, EXECUTED / notebook.name)
        return content

    def _digest(self, content: NotebookNode) -> str:
        everything = [
            [(cell.source, cell.metadata.get("tags")) for cell in _code(content)],
            [
                path.read_text("utf-8")
                for path in sorted(ROOT.glob("helpers/**/*"))
                if path.suffix in (".py", ".toml")
            ],
            _read_notebooks() if _reads_notebooks(content) else None,
            _recorded_runs(),
            self.basis,
            platform.python_version(),
            sorted(f"{found.name} {found.version}" for found in distributions()),
        ]
        return hashlib.sha256(json.dumps(everything).encode()).hexdigest()


def _recorded_runs() -> list[tuple[str, str]]:
    """Names and digests of the files that hold the recorded training runs."""
    from helpers.runs import folder  # takes its time, as torch does

    kept = folder(stand_in=False)
    return [
        (str(path.relative_to(kept)), hashlib.sha256(path.read_bytes()).hexdigest())
        for path in sorted(kept.rglob("*"))
        if path.is_file()
    ]


def _reads_notebooks(content: NotebookNode) -> bool:
    """Whether a cell carries the tag of those that read the other notebooks."""
    return any(
        "reads-notebooks" in cell.metadata.get("tags", []) for cell in content.cells
    )


def _read_notebooks() -> list:
    """What such a cell sees of the others: ids of rows, and where they are answered."""
    from helpers import claims

    return sorted(
        (identifier, place.link)
        for identifier, places in claims.answers().items()
        for place in places
    )


def _code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _run(content: NotebookNode, notebook: Path, variables: dict[str, str]) -> None:
    current = None

    def begin(cell_index: int, **_) -> None:
        nonlocal current
        current = cell_index

    with tqdm(desc=notebook.stem, total=len(_code(content)), disable=None) as bar:
        client = NotebookClient(
            content,
            kernel_name="python3",
            timeout=None,
            record_timing=False,
            store_widget_state=False,
            resources={"metadata": {"path": str(notebook.parent)}},
            extra_arguments=["--log-level=ERROR"],
            on_cell_start=begin,
            on_cell_executed=lambda **_: bar.update(),
        )
        try:
            client.execute(env=os.environ | {"TQDM_DISABLE": "1"} | variables)
        except (CellExecutionError, DeadKernelError) as error:
            failed = f"{notebook.name}, cell {current + 1} failed:"
            raise ReportError(failed, str(error)) from None
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
