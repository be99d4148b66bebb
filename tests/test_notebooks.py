"""The notebooks as committed: run in order, sound, and one with helpers and figures."""

import ast
import base64
import html
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NOTEBOOKS = {path.stem: nbformat.read(path, as_version=4) for path in PATHS}
HELPERS = sorted((ROOT / "helpers").rglob("*.py"))

every_notebook = pytest.mark.parametrize("name", NOTEBOOKS)


def code_cells(name):
    return [c for c in NOTEBOOKS[name].cells if c.cell_type == "code"]


def tagged(name, tag):
    return [c for c in NOTEBOOKS[name].cells if tag in c.metadata.get("tags", [])]


def prose(name):
    cells = NOTEBOOKS[name].cells
    return "\n".join(c.source for c in cells if c.cell_type == "markdown")


def reports(name):
    """What figures.show, text.table and the others said of their outputs."""
    outputs = [output for cell in code_cells(name) for output in cell.outputs]
    found = [output.get("metadata", {}).get("report") for output in outputs]
    return [report for report in found if report]


def test_the_notebooks_are_numbered_without_a_gap():
    assert NOTEBOOKS
    numbers = [int(re.match(r"(\d\d)_\w+$", name)[1]) for name in NOTEBOOKS]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


@every_notebook
def test_ran_from_top_to_bottom(name):
    counts = [cell.execution_count for cell in code_cells(name)]
    assert counts == list(range(1, len(counts) + 1))


@every_notebook
def test_no_error_no_warning_and_no_absolute_path(name):
    for cell in code_cells(name):
        for output in cell.outputs:
            assert output.output_type != "error", cell.source
            assert output.get("name") != "stderr", output.get("text")
            # Encoded pictures may hold any run of letters.
            text = re.sub(r"[A-Za-z0-9+/=]{200,}", "", json.dumps(output))
            assert not re.search(r"/(root|home|tmp|work|Users)/\w", text), cell.source
            assert "<Figure size" not in text, cell.source


@every_notebook
def test_the_committed_run_used_the_real_data(name):
    (environment,) = [r for r in reports(name) if r["kind"] == "environment"]
    assert environment["profile"] == "full"


@every_notebook
def test_each_figure_is_held_once_and_is_the_committed_file(name):
    for cell in code_cells(name):
        for output in cell.outputs:
            report = output.get("metadata", {}).get("report", {})
            if report.get("kind") != "figure":
                continue
            key = report["key"]
            assert output.data.keys() == {"text/plain", "text/html"}, key
            held = re.findall(
                r"data:image/(\w+)[\w+]*;base64,([^\"]+)", output.data["text/html"]
            )
            assert len(held) == 1, f"{key} is held {len(held)} times"
            file = ROOT / "figures" / f"{key}.{held[0][0]}"
            assert file.exists(), f"{file.name} is not in figures/"
            content = base64.b64decode(held[0][1])
            assert content == file.read_bytes(), f"{file.name} is of another run"
            assert f'alt="{html.escape(report["alt"])}"' in output.data["text/html"]
            caption = html.escape(report["caption"], quote=False)
            assert f"<figcaption>{caption}</figcaption>" in output.data["text/html"]


def test_every_committed_figure_belongs_to_a_notebook():
    keys = {r["key"] for name in NOTEBOOKS for r in reports(name) if "alt" in r}
    assert {file.stem for file in (ROOT / "figures").iterdir()} == keys


@every_notebook
def test_equations_are_numbered_in_order(name):
    chapter = int(name[:2])
    tags = re.findall(r"\\tag\{([^}]*)\}", prose(name))
    assert tags == [f"{chapter}.{i}" for i in range(1, len(tags) + 1)]


@pytest.mark.parametrize("path", HELPERS, ids=lambda path: path.stem)
def test_equations_cited_by_helpers_exist(path):
    numbers = re.findall(r"Equations? \((\d+\.\d+)\)", path.read_text())
    tags = re.findall(r"\\tag\{([^}]*)\}", "".join(map(prose, NOTEBOOKS)))
    assert set(numbers) <= set(tags)


@every_notebook
def test_no_measured_share_is_typed_into_the_prose(name):
    assert not re.findall(r"(?<![\w.])\d+\.\d+ ?%", prose(name))


def definitions(source):
    """Functions and classes at the top level of `source`: name -> syntax tree."""
    body = ast.parse(source).body
    kinds = (ast.FunctionDef, ast.ClassDef)
    return {node.name: ast.dump(node) for node in body if isinstance(node, kinds)}


@every_notebook
def test_what_a_notebook_derives_is_what_the_helpers_hold(name):
    shared = {}
    for path in HELPERS:
        shared |= definitions(path.read_text())
    for cell in code_cells(name):
        for defined, tree in definitions(cell.source).items():
            assert shared.get(defined, tree) == tree, f"{defined} differs from helpers"


# --- The set-up cell ------------------------------------------------------------------

# Runs the source of the cell, given as the first argument, as a kernel would.
RUN = "import sys; exec(sys.argv[1]); print('found', home); print('device', device)"


def set_up_source(name):
    (cell,) = tagged(name, "setup")
    return cell.source


@every_notebook
def test_the_set_up_cell_is_the_same_everywhere(name):
    assert set_up_source(name) == set_up_source(next(iter(NOTEBOOKS)))
    kinds = [cell.cell_type for cell in NOTEBOOKS[name].cells]
    first_code = NOTEBOOKS[name].cells[kinds.index("code")]
    assert "setup" in first_code.metadata["tags"]


def run_set_up(folder, **variables):
    source = set_up_source(next(iter(NOTEBOOKS)))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("REPORT_")}
    environment |= {"REPORT_PROFILE": "quick", "PYTHONPATH": ""} | variables
    return subprocess.run(
        [sys.executable, "-c", RUN, source],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("folder", [".", "notebooks", "report/templates"])
def test_set_up_finds_the_report_from_any_folder_in_it(folder):
    finished = run_set_up(ROOT / folder)
    assert f"found {ROOT}\n" in finished.stdout, finished.stderr
    assert "Quick run on stand-in data" in finished.stdout


@pytest.fixture
def colab(tmp_path):
    """A stand-in for Colab: its module, an empty folder, a repository to fetch.

    pip is replaced by a module that fails, so that nothing can reinstall torch.
    """
    stand_in = tmp_path / "modules"
    (stand_in / "google/colab").mkdir(parents=True)
    (stand_in / "google/colab/__init__.py").touch()
    (stand_in / "pip.py").write_text("raise SystemExit('pip was called')")
    working = tmp_path / "content"
    working.mkdir()
    origin = tmp_path / "origin"
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    files = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True).stdout
    for file in filter(None, files.decode().split("\0")):
        if file.startswith("helpers/") and (ROOT / file).exists():
            (origin / file).parent.mkdir(parents=True, exist_ok=True)
            (origin / file).write_bytes((ROOT / file).read_bytes())
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "A commit."]):
        subprocess.run([*git, *command], cwd=origin, check=True)
    variables = {"PYTHONPATH": str(stand_in), "REPORT_REPOSITORY": origin.as_uri()}
    return working, variables


def test_set_up_fetches_the_report_in_an_empty_folder(colab):
    working, variables = colab
    for _ in range(2):  # the second time it is there already
        finished = run_set_up(working, **variables)
        assert f"found {working / 'convolution-report'}\n" in finished.stdout
        assert "device" in finished.stdout and "pip was called" not in finished.stderr
    again = run_set_up(working / "convolution-report" / "helpers", **variables)
    assert f"found {working / 'convolution-report'}\n" in again.stdout


def test_set_up_says_what_failed_when_it_cannot_fetch(colab):
    working, variables = colab
    variables["REPORT_REPOSITORY"] = (working / "nothing").as_uri()
    finished = run_set_up(working, **variables)
    assert finished.returncode and "git" in finished.stderr
    assert not list(working.iterdir())
