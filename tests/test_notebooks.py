"""The notebooks as committed: run in order, sound, and one with helpers and figures."""

import ast
import base64
import html
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from report import navigation

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
    skipped = tagged(name, "skip-execution")  # the last, which exports the notebook
    executed = [cell for cell in code_cells(name) if cell not in skipped]
    assert [cell.execution_count for cell in skipped] == [None]
    counts = [cell.execution_count for cell in executed]
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
            # What a person cannot read: an object that has no words for itself.
            assert not re.search(r"<[\w.]+ (object )?at 0x", text), cell.source


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


# A decimal number in a text, not a part of a version, a name or a format.
DECIMAL = re.compile(r"(?<![\w.:/{-])(\d+\.\d+)( ?%)?(?![\w/]|\.\d)")
# What a source says, in a string of its own: "2021 report: 99.22 % on the test set".
QUOTATION = re.compile(
    r"(assignment|lab sheet|a public solution|(both|20\d\d( and 20\d\d)?) reports?)"
    r"\b[^:.]*: "
)


def texts(node):
    """All strings in code: literals, and f-strings without what is set into them."""
    if isinstance(node, ast.JoinedStr):
        yield "{}".join(v.value for v in node.values if isinstance(v, ast.Constant))
        inner = [v.value for v in node.values if isinstance(v, ast.FormattedValue)]
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
        inner = []
    else:
        inner = ast.iter_child_nodes(node)
    for child in inner:
        yield from texts(child)


def typed_measurements(source, equations=()):
    """Decimal numbers in the strings of code that only a measurement can have given.

    Settings have one or two digits that count, 0.0025 or 1.5: who states three, or a
    share in percent, has measured. Numbers of equations, in parentheses, and what a
    source is quoted with are no measurements of ours.
    """
    found = []
    for text in texts(ast.parse(source)):
        for number, percent in DECIMAL.findall("" if QUOTATION.match(text) else text):
            digits = number.replace(".", "").lstrip("0")
            equation = number in equations and f"({number})" in text
            if percent or (len(digits) > 2 and not equation):
                found.append(number + percent)
    return found


@every_notebook
def test_no_measured_number_is_typed_into_a_text_that_code_writes(name):
    equations = re.findall(r"\\tag\{([^}]*)\}", "".join(map(prose, NOTEBOOKS)))
    for cell in code_cells(name):
        assert not typed_measurements(cell.source, equations), cell.source


@pytest.mark.parametrize(
    "source",
    [
        'text.say("We reach 99.31% of {n} images.", n=n)',
        'text.say("We reach 99.31 %" " of all.")',
        'figures.show(figure, "key", f"Reached: 0.9931, {n} seeds.", "A curve.")',
        'figures.show(figure, "key", "A caption.", "It rises to 99.31 at the end.")',
        'text.table("key", "A caption.", ["a"], [[f"{n} of 4.217"]])',
        'words = "worse, 0.5 %" if p < 0.05 else ""',
        'text.say("2021 report: 99.22 %. We reach {share}.", share="99.31%")',
    ],
)
def test_a_typed_number_is_found(source):
    assert typed_measurements(source)


@pytest.mark.parametrize(
    "source",
    [
        'text.say("{share:.2%} of {n:,} at a rate of 0.0025, from 0.9 to 1.1", n=n)',
        'f"{share:.3f} by Equation (4.12), in a version of 1.13.2"',
        '["2021 report: 99.22 % on the test images", f"ours: {share:.2%}"]',
        "share = 0.9931",
    ],
)
def test_settings_equations_and_quotations_may_be_typed(source):
    assert not typed_measurements(source, ["4.12"])


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


def test_without_captum_chapter_6_says_what_it_leaves_out(monkeypatch, capsys):
    cells = [c for c in code_cells("06_feature_maps") if "captum" in c.source]
    (attempt,) = (
        node
        for cell in cells
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Try)
    )
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    exec(compile(ast.Module([attempt], []), "the cell", "exec"), {})
    said = capsys.readouterr().out
    assert said == "Captum is not installed here: the comparison with it is left out.\n"
    # The published run compared.
    assert said.strip() not in json.dumps([cell.outputs for cell in cells])


# --- The set-up cell ------------------------------------------------------------------

# Runs the source of the cell, given as the first argument, as a kernel would.
RUN = "import sys; exec(sys.argv[1]); print('found', home); print('device', device)"


def set_up_source(name):
    (cell,) = tagged(name, "setup")
    return cell.source


@every_notebook
def test_the_set_up_cell_is_the_same_everywhere_but_for_the_data(name):
    needed = NOTEBOOKS[name].metadata["report"]["data"]
    assert set_up_source(name) == navigation.setup_cell(needed)
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


@pytest.mark.slow
@pytest.mark.parametrize("folder", [".", "notebooks", "report/templates"])
def test_set_up_finds_the_report_from_any_folder_in_it(folder):
    finished = run_set_up(ROOT / folder)
    assert f"found {ROOT}\n" in finished.stdout, finished.stderr
    assert "A quick run on small data" in finished.stdout


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
    skipped = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "helpers", origin / "helpers", ignore=skipped)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "A commit."]):
        subprocess.run([*git, *command], cwd=origin, check=True)
    variables = {"PYTHONPATH": str(stand_in), "REPORT_REPOSITORY": origin.as_uri()}
    return working, variables


@pytest.mark.slow
def test_set_up_fetches_the_report_in_an_empty_folder(colab):
    working, variables = colab
    for _ in range(2):  # the second time it is there already
        finished = run_set_up(working, **variables)
        assert f"found {working / 'convolution-report'}\n" in finished.stdout
        assert "device" in finished.stdout and "pip was called" not in finished.stderr
    again = run_set_up(working / "convolution-report" / "helpers", **variables)
    assert f"found {working / 'convolution-report'}\n" in again.stdout


def test_set_up_says_in_one_sentence_what_to_do_when_it_cannot_fetch(colab):
    working, variables = colab
    missing = (working / "nothing").as_uri()
    finished = run_set_up(working, **variables | {"REPORT_REPOSITORY": missing})
    assert finished.returncode
    (line,) = finished.stderr.splitlines()
    assert missing in line and "REPORT_REPOSITORY=" in line
    assert str(working / "convolution-report.zip") in line
    assert not list(working.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["convolution-report", "convolution-report-main"])
def test_set_up_unpacks_an_archive_that_was_put_there(colab, name):
    """As a folder of that name was packed, or as GitHub packs a branch."""
    working, variables = colab
    origin = working.parent / "origin"
    origin.rename(working.parent / name)
    shutil.make_archive(working / name, "zip", working.parent, name)
    for _ in range(2):
        finished = run_set_up(working, **variables)
        assert f"found {working / name}\n" in finished.stdout, finished.stderr
        # What is there is not unpacked again: a reader may have changed it.
        (working / f"{name}.zip").write_bytes(b"damaged")
