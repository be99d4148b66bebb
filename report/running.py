"""The notebook that runs here: where its content is found, and whether it is whole.

A kernel is sent cells, one by one, and knows no notebook. Colab's page is asked for it;
Jupyter and VS Code tell where its file is, which the page in Jupyter is asked to save.
"""

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from IPython.display import Javascript, clear_output, display

from helpers import project

SAVED_WITHIN = 15  # seconds, by the page in Jupyter,
WRITTEN_WITHIN = 2  # from the first byte to the last
# Presses the button that saves the notebook in which this stands. Jupyter acts when the
# mouse goes down; without the button, as in another front end, nothing happens.
SAVE = """
setTimeout(() => {
  const button = element.closest(".jp-NotebookPanel, .jp-Notebook-container, body")
    .querySelector('[data-command="docmanager:save"]');
  for (const kind of ["mousedown", "mouseup", "click"]) {
    button?.dispatchEvent(new MouseEvent(kind, {bubbles: true, cancelable: true}));
  }
}, 50);
"""
SCRIPT = "application/javascript"
_refused: dict[Path, int] = {}  # files that were not up to date: when they were saved


class NotExported(Exception):
    """Why there is no document, and what to do; shown without a traceback."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


@dataclass(frozen=True)
class Running:
    """A notebook: `content` as JSON has it, its `name` without an ending.

    Its documents go to `folder`, its links start in `beside`. `page` is Colab's module
    of files, which hands a file to the reader, None elsewhere.
    """

    content: dict[str, Any]
    name: str
    folder: Path
    beside: Path
    page: Any = None


def find(shell: InteractiveShell, file: Path | str | None = None) -> Running:
    """Return the notebook that sent this cell, or the one in `file`.

    Raises NotExported when it cannot be found, or its file lacks the last outputs.
    """
    if file:
        return _read(Path(file).expanduser())
    try:
        from google.colab import _message, files
    except ImportError:
        pass
    else:
        return _of_colab(_message, files)
    if path := shell.user_ns.get("__vsc_ipynb_file__"):
        return _up_to_date(Path(path), shell)
    if path := os.environ.get("JPY_SESSION_NAME"):
        return _up_to_date(Path(path), shell, asked=True)
    raise NotExported(
        "This place does not tell its kernels which notebook runs: save it, and name "
        "its file, as in export_pdf('notebook.ipynb')."
    )


def _of_colab(message: Any, files: Any) -> Running:
    """Ask Colab's page for what it shows; links start where the project has it."""
    answer = message.blocking_request("get_ipynb", request="", timeout_sec=60)
    if not answer:
        raise NotExported("The page did not send the notebook: run this cell again.")
    content = answer["ipynb"]
    named = content.get("metadata", {}).get("colab", {}).get("name", "notebook.ipynb")
    here = Path.cwd()
    ours = (project.NOTEBOOKS / named).is_file()
    beside = project.NOTEBOOKS if ours else here
    return Running(content, named.removesuffix(".ipynb"), here, beside, files)


def _up_to_date(path: Path, shell: InteractiveShell, asked: bool = False) -> Running:
    """Read a notebook's file once it holds what has been computed.

    asked: ask the page to save it first. Where nothing is saved, a file that lacks the
    last cell that was run is refused, once: the reader may have removed that cell.
    """
    before = _saved_at(path)
    if asked:
        display(Javascript(SAVE))
        patience = time.monotonic() + SAVED_WITHIN
        while _saved_at(path) == before and time.monotonic() < patience:
            time.sleep(0.1)
        clear_output(wait=True)
    found = _read(path)
    _without_script(found.content)
    counts = [cell.get("execution_count") or 0 for cell in found.content["cells"]]
    lacks = max(counts, default=0) < shell.execution_count - 1
    if lacks and _saved_at(path) == before == _refused.setdefault(path, before):
        raise NotExported(
            f"{path.name} does not hold the last outputs yet: save the notebook "
            "(Ctrl+S or Cmd+S), then run this cell again."
        )
    return found


def _without_script(content: dict[str, Any]) -> None:
    """Take out of a saved notebook what asked the page to save it."""
    for outputs in (cell.get("outputs", []) for cell in content["cells"]):
        outputs[:] = [
            output
            for output in outputs
            if "".join(output.get("data", {}).get(SCRIPT, "")) != SAVE
        ]


def _saved_at(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        raise NotExported(
            f"There is no file {path}: after a new name, restart the kernel, or name "
            "the file, as in export_pdf('notebook.ipynb')."
        ) from None


def _read(path: Path) -> Running:
    """Read a notebook's file, which may be written just now, and not in one go."""
    patience = time.monotonic() + WRITTEN_WITHIN
    while True:
        _saved_at(path)
        try:
            content = json.loads(path.read_text("utf-8"))
            content["cells"]
            break
        except (ValueError, KeyError, TypeError):
            if time.monotonic() > patience:
                raise NotExported(
                    f"{path} holds no notebook: name an .ipynb file."
                ) from None
        time.sleep(0.1)
    folder = path.resolve().parent
    return Running(content, path.stem, folder, folder)
