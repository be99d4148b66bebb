"""Run all notebooks as Colab does: its Python and versions, and nothing else there.

A replica of Colab's runtime is made in build/colab/, once, from what
requirements-colab.txt lists. Each notebook then starts in an empty folder, with a
stand-in for Colab's own module, and its set-up cell fetches this repository as it
stands here, uncommitted changes included. Told are the times to the first figure and to
the end, and each output that differs from the one the notebook holds. Colab's graphics
card and its page in the browser are not replicated.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import time
from copy import deepcopy
from importlib.metadata import distributions
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbconvert.filters import strip_ansi
from nbformat import NotebookNode

from helpers.project import spoken
from report import execute, navigation, project
from report.chapter import TEMPLATES
from report.errors import ReportError

REPLICA = project.BUILD / "colab"
VERSIONS = project.ROOT / "requirements-colab.txt"
PYTHON = "3.13"
FIRST_FIGURE = 60  # seconds after which it must be there
NOWHERE = "https://convolution-report.invalid"  # a name that never has an address
NUMBER = re.compile(r"(?<![\w.])[+−-]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d\d?)?(?!\w)")
EXPORT = navigation.EXPORT_TAGS[0]
LEFT_OUT = "is not installed here"
RELATIVE, ABSOLUTE = 0.02, 1e-4  # by how much a number may differ


def main() -> None:
    """Make the replica, run what the command line asks for, fail if it differs."""
    parser = argparse.ArgumentParser(
        prog="python -m report.replica", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "notebooks", nargs="*", type=Path, metavar="NOTEBOOK", help="default: all"
    )
    parser.add_argument(
        "--python", default=f"python{PYTHON}", help="default: %(default)s"
    )
    chosen = parser.parse_args()
    notebooks = [path.resolve() for path in chosen.notebooks] or project.notebooks()
    try:
        faults = check(notebooks, runtime(chosen.python))
    except ReportError as error:
        sys.exit(f"Not run as on Colab.\n{error}")
    if faults:
        sys.exit("\n".join(["Not as it should be:", *faults]))


def check(notebooks: list[Path], python: Path) -> list[str]:
    """Run the notebooks in the replica of this Python; return one line per fault."""
    before = installed(python)
    with TemporaryDirectory() as folder:  # no project lies around it
        colab = Colab(Path(folder), python)
        faults = [line for path in notebooks for line in colab.faults(path)]
        print(f"Without a network: {colab.refusal(notebooks[0])}")
    if (after := installed(python)) != before:
        changed = sorted(map(" ".join, after.items() ^ before.items()))
        faults.append(f"packages of the runtime were changed: {', '.join(changed)}")
    return faults


# --- The runtime ----------------------------------------------------------------------


def runtime(python: str) -> Path:
    """Make the replica, unless it is there; return its Python.

    python: the one to make it with. Raises ReportError when that has another version,
    or the packages cannot be had.
    """
    own, stamp = REPLICA / "python" / "bin" / "python", REPLICA / "made-from"
    recipe = f"Python {PYTHON}\n{VERSIONS.read_text('utf-8')}"
    if own.exists() and stamp.exists() and stamp.read_text("utf-8") == recipe:
        return own
    if (version := _version(python)) != PYTHON:
        raise ReportError(
            f"Colab has Python {PYTHON}, and {python} is {version or 'missing'} here: "
            "install it, or name it, as in `make colab COLAB_PYTHON=/path/to/python`."
        )
    print(f"Making {spoken(REPLICA)}, once: up to 3 GB are downloaded.", flush=True)
    shutil.rmtree(own.parent.parent, ignore_errors=True)
    _call(python, "-m", "venv", str(own.parent.parent))
    _call(str(own), "-m", "pip", "install", "--only-binary=:all:", "-r", str(VERSIONS))
    stamp.write_text(recipe, "utf-8")
    return own


def _version(python: str) -> str:
    """The version of a Python as 3.13, or nothing when it cannot be run."""
    code = "import sys; print('{}.{}'.format(*sys.version_info))"
    try:
        told = subprocess.run([python, "-c", code], capture_output=True, text=True)
    except OSError:
        return ""
    return told.stdout.strip()


def _call(*command: str) -> None:
    done = subprocess.run(command, cwd=project.ROOT, capture_output=True, text=True)
    if done.returncode:
        raise ReportError(
            f"What Colab has cannot be had here: {' '.join(command)}",
            *done.stderr.strip().splitlines()[-3:],
        )


def installed(python: Path) -> dict[str, str]:
    """Name -> version of all packages of the replica."""
    folders = python.parent.parent.glob("lib/python*/site-packages")
    return {d.name: d.version for d in distributions(path=[*map(str, folders)])}


# --- A notebook in it -----------------------------------------------------------------


class Colab:
    """What surrounds a notebook: Colab's kernel and module, and a repository to fetch.

    All of it is put into `folder`, which is empty.
    """

    def __init__(self, folder: Path, python: Path) -> None:
        kernel = folder / "jupyter" / "kernels" / "colab"
        kernel.mkdir(parents=True)
        arguments = ("-m", "ipykernel_launcher", "-f", "{connection_file}")
        spec = {"argv": [str(python), *arguments], "display_name": "", "language": ""}
        (kernel / "kernel.json").write_text(json.dumps(spec), "utf-8")
        os.environ["JUPYTER_PATH"] = str(folder / "jupyter")
        (folder / "modules" / "google").mkdir(parents=True)
        shutil.copy(TEMPLATES / "colab.py", folder / "modules" / "google")
        _commit_copy(folder / "origin")
        self.content = folder / "content"
        self.page = folder / "page.ipynb"  # what the module says that the browser shows
        self.variables = {
            "PYTHONPATH": str(folder / "modules"),
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # else the kernel warns
            "STAND_IN_PAGE": str(self.page),
            "REPORT_REPOSITORY": (folder / "origin").as_uri(),
        }

    def faults(self, notebook: Path) -> list[str]:
        """Run a notebook in an empty folder; return one line for each fault."""
        held = nbformat.read(notebook, as_version=4)
        content = deepcopy(held)
        started = time.monotonic()
        first_figure = None

        def note(cell: NotebookNode, **_: object) -> None:
            nonlocal first_figure
            nbformat.write(content, self.page)
            if not first_figure and any(_kind(o) == "figure" for o in cell.outputs):
                first_figure = time.monotonic() - started

        try:
            self._run(content, notebook, self.variables, on_cell_executed=note)
        except ReportError as error:
            place, *_, said = strip_ansi(str(error)).strip().splitlines()
            print(f"{place} {said}", flush=True)
            return [f"{place} {said}"]
        differing = differences(held, content)
        shown = (
            "no figure" if first_figure is None else f"a figure in {first_figure:.0f} s"
        )
        print(
            f"{notebook.stem}: {shown}, all in {time.monotonic() - started:.0f} s, "
            f"{len(differing)} of {sum(map(len, _texts(held)))} outputs differ",
            flush=True,
        )
        differing += _export_faults(content)
        if first_figure and first_figure > FIRST_FIGURE:
            differing.append(f"the first figure came after {first_figure:.0f} s")
        return [f"{notebook.stem}, {line}" for line in differing]

    def refusal(self, notebook: Path) -> str:
        """Return what the set-up cell says when no repository can be reached.

        Raises ReportError when that is not one sentence.
        """
        content = nbformat.read(notebook, as_version=4)
        content.cells = [
            cell for cell in content.cells if "setup" in cell.metadata.get("tags", [])
        ]
        elsewhere = self.variables | {"REPORT_REPOSITORY": NOWHERE}
        try:
            self._run(content, notebook, elsewhere)
        except ReportError as error:
            if said := re.search(r"SystemExit: (.+)", strip_ansi(str(error))):
                return said[1]
            raise
        raise ReportError("The set-up cell fetched a repository that does not exist.")

    def _run(
        self,
        content: NotebookNode,
        notebook: Path,
        variables: dict[str, str],
        **options: object,
    ) -> None:
        shutil.rmtree(self.content, ignore_errors=True)
        self.content.mkdir()
        execute.run(
            content,
            notebook,
            variables,
            kernel_name="colab",
            resources={"metadata": {"path": str(self.content)}},
            skip_cells_with_tag="",
            **options,
        )


def _export_faults(content: NotebookNode) -> list[str]:
    """Repeat what the last cell says; a line when the reader was handed no document."""
    (*_, last) = content.cells
    if EXPORT not in last.metadata.get("tags", []):
        return []
    said = "".join(output.get("text", "") for output in last.outputs)
    print(textwrap.indent(said, "    "), end="", flush=True)
    return [] if "Saved by the browser: " in said else ["it handed over no document"]


def _commit_copy(folder: Path) -> None:
    """Copy what git knows of this project, and what is new, into a repository."""
    git = ("git", "-c", "user.name=replica", "-c", "user.email=replica@localhost")
    listed = subprocess.run(
        [*git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=project.ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (source := project.ROOT / name).is_file():  # not removed since
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / name)
    for command in (("init", "-q"), ("add", "--all"), ("commit", "-qm", "As it is.")):
        subprocess.run([*git, *command], cwd=folder, check=True)


# --- What came out --------------------------------------------------------------------


def differences(held: NotebookNode, new: NotebookNode) -> list[str]:
    """Return a line for each output whose words, or a number of it, differ.

    Numbers may differ by 2 %, or by 0.0001; those of an output that tells seconds are
    not compared, as every run takes its own time, and neither is what a notebook says
    that it leaves out. Pictures are compared by their captions and alternative texts.
    """
    lines = []
    cells = zip(_texts(held), _texts(new), strict=True)
    for number, (before, after) in enumerate(cells, start=1):
        for one, other in zip_longest(before, after, fillvalue=""):
            if not alike(one, other) and LEFT_OUT not in other:
                lines.append(f"cell {number}: {_apart(one, other)}")
    return lines


def _apart(before: str, after: str) -> str:
    """Say where two texts go apart."""
    places = range(max(len(before), len(after)))
    first = next(i for i in places if before[i : i + 1] != after[i : i + 1])
    shown = slice(max(0, first - 20), first + 60)
    return f"{before[shown]!r} has become {after[shown]!r}"


def alike(before: str, after: str) -> bool:
    """Whether two texts have the same words, and numbers within the tolerance."""
    if NUMBER.sub("", before) != NUMBER.sub("", after):
        return False
    pairs = zip(_numbers(before), _numbers(after), strict=True)
    return "seconds" in before or all(
        abs(a - b) <= ABSOLUTE + RELATIVE * abs(a) for a, b in pairs
    )


def _numbers(text: str) -> list[float]:
    found = NUMBER.findall(text)
    return [float(n.replace(",", "").replace("−", "-")) for n in found]


def _kind(output: NotebookNode) -> str:
    return output.get("metadata", {}).get("report", {}).get("kind", "")


def _texts(notebook: NotebookNode) -> list[list[str]]:
    """For each cell the texts that it puts out, without what it says on the machine."""
    return [
        [
            output.text if output.output_type == "stream" else _told(output)
            for output in cell.get("outputs", [])
            if _kind(output) != "environment"
            and EXPORT not in cell.metadata.get("tags", [])
        ]
        for cell in notebook.cells
    ]


def _told(output: NotebookNode) -> str:
    """Caption, alternative text and words of an output; of other outputs the words."""
    report, data = output.metadata.get("report", {}), output.get("data", {})
    words = data.get("text/markdown", "" if report else data.get("text/plain", ""))
    return " ".join([report.get("caption", ""), report.get("alt", ""), words]).strip()


if __name__ == "__main__":
    main()
