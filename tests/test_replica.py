"""The replica of Colab: its versions, what surrounds a notebook, what is alike."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_notebook, new_output
from packaging.requirements import Requirement

from report import navigation, replica
from report.errors import ReportError

ROOT = Path(__file__).resolve().parent.parent


# --- The runtime ----------------------------------------------------------------------


def test_colab_has_versions_that_the_project_allows():
    lines = replica.VERSIONS.read_text("utf-8").splitlines()
    listed = {r.name: r for r in map(Requirement, (x for x in lines if x[0] != "#"))}
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for needed in map(Requirement, settings["dependencies"]):
        (pin,) = listed[needed.name].specifier
        assert pin.operator == "==" and needed.specifier.contains(pin.version), needed
    assert {"ipykernel", "nbconvert"} <= listed.keys()


@pytest.mark.parametrize("python, found", [("no-such-python", "missing"), ("", "3.99")])
def test_another_python_is_refused_with_what_to_do(
    python, found, tmp_path, monkeypatch
):
    monkeypatch.setattr(replica, "REPLICA", tmp_path)
    if found == "3.99":
        python = str(tmp_path / "python")
        Path(python).write_text(f"#!/bin/sh\necho {found}\n")
        os.chmod(python, 0o755)
    with pytest.raises(ReportError, match=rf"{found} here: install it, or name it, as"):
        replica.runtime(python)
    assert not (tmp_path / "made-from").exists()


def test_versions_that_cannot_be_had_are_told_and_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr(replica, "REPLICA", tmp_path)
    monkeypatch.setattr(replica, "PYTHON", "{}.{}".format(*sys.version_info))
    monkeypatch.setattr(replica, "VERSIONS", tmp_path / "list.txt")
    (tmp_path / "list.txt").write_text("no-such-package @ file:///nowhere.whl\n")
    for _ in range(2):
        with pytest.raises(ReportError, match=r"(?s)cannot be had here: .*nowhere"):
            replica.runtime(sys.executable)
    (tmp_path / "list.txt").write_text("# Nothing.\n")
    python = replica.runtime(sys.executable)
    before = python.stat().st_mtime_ns
    assert set(replica.installed(python)) <= {"pip", "setuptools"}
    assert replica.runtime("no-such-python") == python  # it is there: none is needed
    assert python.stat().st_mtime_ns == before


# --- A notebook in it -----------------------------------------------------------------

SHOW = """
import matplotlib.pyplot as plt
from helpers import figures
figures.show(plt.figure(figsize=(2, 2)), "key", "Half of 10 is 5.", "A square.")
"""
CHANGE = "import google.colab\nprint('Colab', google.colab.__doc__ is not None, %r)"


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    """A notebook with the set-up cell, a figure and a number, and its outputs."""
    for name in [name for name in os.environ if name.startswith("REPORT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("REPORT_PROFILE", "quick")
    setup = new_code_cell(navigation.setup_cell([]), metadata={"tags": ["setup"]})
    cells = [setup, new_code_cell(SHOW), new_code_cell(CHANGE % 5)]
    tags = [*navigation.EXPORT_TAGS]
    cells.append(new_code_cell(navigation.EXPORT, metadata={"tags": tags}))
    told = {"kind": "figure", "caption": "Half of 10 is 5.", "alt": "A square."}
    cells[1].outputs = [new_output("display_data", {}, metadata={"report": told})]
    cells[2].outputs = [new_output("stream", text="Colab True 5\n")]
    path = tmp_path / "01_one.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    return path


@pytest.mark.slow
def test_a_notebook_runs_in_an_empty_folder_with_the_code_as_it_is(
    notebook, tmp_path, capsys
):
    colab = replica.Colab(tmp_path / "colab", Path(sys.executable))
    assert colab.faults(notebook) == []
    printed = capsys.readouterr().out
    assert "01_one: a figure in " in printed and "0 of 2 outputs differ" in printed
    assert "    Saved by the browser: " in printed
    fetched = colab.content / "convolution-report"
    new = subprocess.run(  # what git knows, and what is new
        ["git", "ls-files", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    for name in ("report/replica.py", "helpers/figures.py", *new):
        assert (fetched / name).read_bytes() == (ROOT / name).read_bytes()
    assert "could not be fetched from https" in colab.refusal(notebook)

    content = nbformat.read(notebook, as_version=4)
    content.cells[2].source = CHANGE % 7
    content.cells[3] = new_code_cell("import no_such_module")
    nbformat.write(content, notebook)
    (fault,) = colab.faults(notebook)
    assert "cell 4 failed: ModuleNotFoundError: No module named 'no_such" in fault
    content.cells.pop()
    nbformat.write(content, notebook)
    (fault,) = colab.faults(notebook)
    assert "01_one, cell 3: " in fault and "5" in fault and "7" in fault


# --- What came out --------------------------------------------------------------------

words = st.text("abc .:|%", max_size=9)
numbers = st.floats(-1e6, 1e6).map(lambda n: round(n, 3))


@given(st.lists(st.tuples(words, numbers)), st.floats(-1, 1))
def test_small_changes_of_numbers_are_alike(parts, change):
    before = "".join(f"{word} {number} " for word, number in parts)
    after = "".join(
        f"{word} {number * (1 + 0.01 * change):.9f} " for word, number in parts
    )
    assert replica.alike(before, before) and replica.alike(before, after)


@pytest.mark.parametrize(
    "before, after",
    [
        ("a loss of 1.00", "a loss of 1.03"),
        ("0.5 % and 7", "0.5 % and 8"),
        ("better, 3", "worse, 3"),
        ("−1.5", "1.5"),
        ("1,024 images", "1,124 images"),
        ("", "a warning"),
        ("`7e921` and 1", "`7e922` and 1"),
    ],
)
def test_other_words_and_numbers_are_not_alike(before, after):
    assert not replica.alike(before, after)
    assert replica.alike(before, before)


def test_what_takes_seconds_is_told_by_words_alone():
    assert replica.alike("took 3.9 seconds, a tenth", "took 1.2 seconds, a tenth")
    assert not replica.alike("took 3.9 seconds, a tenth", "took 1.2 seconds, half")


def test_what_a_notebook_says_that_it_leaves_out_is_no_difference():
    held, new = (new_notebook(cells=[new_code_cell("")]) for _ in range(2))
    said = "Captum is not installed here: the comparison with it is left out.\n"
    new.cells[0].outputs = [new_output("stream", text=said)]
    assert replica.differences(held, new) == []
    new.cells[0].outputs += [new_output("stream", name="stderr", text="A warning.")]
    assert replica.differences(held, new) == ["cell 1: '' has become 'A warning.'"]
