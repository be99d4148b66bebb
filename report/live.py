"""`export_pdf()` and `export_html()`: the notebook that runs, as a document beside it.

They take the outputs just computed, with what the reader changed or added, in Jupyter,
VS Code and Colab, and need no TeX.
"""

import importlib
import json
import re
import subprocess
import sys
import time
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from IPython.core.getipython import get_ipython

from helpers import project
from report.running import NotExported, find

WHEELS = project.BUILD / "wheels"  # what the environment lacks; it stays as it is


def export_pdf(notebook: Path | str | None = None) -> None:
    """Write this notebook as a PDF beside it; in Colab, hand it to the reader.

    notebook: another one's file. What the typesetting needs and is missing is installed
    first, once. Raises NotExported with what to do.
    """
    _export("pdf", notebook)


def export_html(notebook: Path | str | None = None) -> None:
    """Write this notebook as one HTML page beside it; otherwise as `export_pdf`."""
    _export("html", notebook)


def _export(written: str, notebook: Path | str | None) -> None:
    shell = get_ipython()
    if shell is None or not hasattr(shell, "kernel"):
        print("No notebook runs here, so that none is exported.")
        return
    running = find(shell, notebook)
    provide()
    started = time.monotonic()
    import nbformat

    from report.errors import ReportError
    from report.exporters import export

    content = nbformat.reads(json.dumps(running.content), as_version=4)
    try:
        (file,), warnings = export(
            content,
            [written],
            running.folder,
            name=running.name,
            beside=running.beside,
        )
    except (ReportError, OSError) as error:
        raise NotExported(f"The notebook could not be exported: {error}") from error
    print(*warnings, sep="\n", end="\n" if warnings else "")
    size, took = file.stat().st_size / 1e6, time.monotonic() - started
    print(f"Written: {file}, {size:.1f} MB, in {took:.0f} s.")
    if running.page:
        running.page.download(str(file))


def provide() -> None:
    """Install what the typesetting needs and is missing, and say so first.

    It goes to build/wheels/, which comes last on the path: what is here stays as it is.
    Raises NotExported when it cannot be installed.
    """
    if str(WHEELS) not in sys.path:
        sys.path.append(str(WHEELS))
    needed = missing()
    if not needed:
        return
    folder = project.spoken(WHEELS)
    print(
        f"Installing what typesetting needs and is missing here, once, into {folder}: "
        f"{', '.join(needed)}. These are wheels of some 100 MB, and no TeX.",
        flush=True,
    )
    command = [*(sys.executable, "-m", "pip", "install", "--quiet", "--target")]
    command += [str(WHEELS), "--only-binary=:all:", *needed]
    done = subprocess.run(command, capture_output=True, text=True)
    importlib.invalidate_caches()
    if done.returncode or missing():
        *_, said = done.stderr.strip().splitlines() or ["pip installed something else"]
        raise NotExported(
            f"That could not be installed: {said}\nWith a network, run this cell "
            f"again, or install it yourself: pip install {' '.join(needed)}"
        )


def missing() -> list[str]:
    """The requirements of the extra `build` whose package is not here, in any version.

    Another version than ours is used, and not replaced in a kernel that has loaded it.
    """
    settings = tomllib.loads((project.ROOT / "pyproject.toml").read_text("utf-8"))
    lacking = []
    for requirement in settings["project"]["optional-dependencies"]["build"]:
        try:
            distribution(re.split(r"[^\w.-]", requirement, maxsplit=1)[0])
        except PackageNotFoundError:
            lacking.append(requirement)
    return lacking
