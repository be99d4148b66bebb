"""Executing notebooks: when anew, without progress bars, and as scripts to train."""

import contextlib
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from nbclient.exceptions import DeadKernelError
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from helpers import claims, data
from report import __main__ as build
from report import execute, project, reproduce
from report.errors import ReportError


@pytest.fixture
def executor(tmp_path, monkeypatch):
    monkeypatch.setattr(execute, "EXECUTED", tmp_path / "executed")
    monkeypatch.setenv("REPORT_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("REPORT_BENCH", str(tmp_path / "bench"))
    return execute.Executor({"REPORT_PROFILE": "quick"})


@pytest.fixture
def in_this_process(monkeypatch):
    """Run cells without a kernel: what is asked is only whether they are run."""

    def run(content, notebook, variables):
        with contextlib.chdir(notebook.parent):
            for cell in content.cells:
                exec(cell.source, {})

    monkeypatch.setattr(execute, "run", run)


def write(path, *sources):
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
    nbformat.write(notebook, path)
    return path


COUNT = "with open('ran', 'a') as f: f.write('.')"


def changes_decide(executor, notebook, *changes):
    """Whether each change, and nothing else, has the notebook executed again."""
    ran = notebook.parent / "ran"
    executor.outputs(notebook)
    executor.outputs(notebook)
    assert ran.read_text() == "."
    for change in changes:
        before = ran.read_text()
        change()
        executor.outputs(notebook)
        executor.outputs(notebook)
        assert ran.read_text() == before + "."


@pytest.mark.usefixtures("in_this_process")
def test_recorded_runs_and_timings_decide_whether_a_notebook_is_executed(
    executor, tmp_path
):
    notebook = write(tmp_path / "01_counting.ipynb", COUNT)
    weights = tmp_path / "runs" / "weights" / "mnist-plain-0.safetensors"
    records = tmp_path / "runs" / "mnist.jsonl"
    timings = tmp_path / "bench" / "ways.json"
    changes_decide(
        executor,
        notebook,
        # There is no folder of runs yet.
        lambda: (weights.parent.mkdir(parents=True), records.write_text("first\n")),
        lambda: records.write_text("first\nsecond\n"),
        lambda: weights.write_text("weights"),
        lambda: (timings.parent.mkdir(), timings.write_text("{}")),
    )


@pytest.mark.usefixtures("in_this_process")
def test_after_an_edit_of_a_helper_a_notebook_is_executed_again(
    executor, tmp_path, monkeypatch
):
    copy = tmp_path / "project"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(project.ROOT / "helpers", copy / "helpers", ignore=ignored)
    monkeypatch.setattr(execute, "ROOT", copy)
    texts = [
        next(copy.glob(pattern))
        for pattern in ("helpers/conv.py", "helpers/*/__init__.py", "helpers/**/*.toml")
    ]

    def edit(path):
        return lambda: path.write_text(path.read_text("utf-8") + "# edited\n", "utf-8")

    new = copy / "helpers" / "added.py"
    changes_decide(
        executor,
        write(tmp_path / "01_counting.ipynb", COUNT),
        *map(edit, texts),
        lambda: new.write_text("added = 1\n"),
        new.unlink,
    )


def resting_on(path, data, runs):
    content = nbformat.read(path, as_version=4)
    content.metadata["report"] = {"data": data, "runs": runs}
    nbformat.write(content, path)
    return path


@pytest.mark.usefixtures("in_this_process")
def test_a_notebook_follows_its_own_data_and_runs_alone(
    executor, tmp_path, monkeypatch
):
    notebook = write(tmp_path / "01_counting.ipynb", COUNT)
    resting_on(notebook, ["mnist"], ["varres"])
    folder = tmp_path / "runs"
    folder.mkdir()
    fingerprints = {name: data.variant(name).fingerprint for name in data.NAMES}
    monkeypatch.setattr(
        data, "variant", lambda name: SimpleNamespace(fingerprint=fingerprints[name])
    )
    executor.outputs(notebook)
    for change, ran in (
        (lambda: fingerprints.update(cifar10="other"), "."),
        (lambda: (folder / "mnist.jsonl").write_text("a run"), "."),
        (lambda: fingerprints.update(mnist="other"), ".."),
        (lambda: (folder / "varres.jsonl").write_text("a run"), "..."),
    ):
        change()
        executor.outputs(notebook)
        assert (tmp_path / "ran").read_text() == ran


def test_a_notebook_whose_data_are_missing_says_so_and_keeps_its_outputs(tmp_path):
    notebook = write(tmp_path / "06_maps.ipynb", "prepare('cifar10')", "1 + 1")
    content = nbformat.read(notebook, as_version=4)
    missing = data.DataMissing("CIFAR-10", "no answer", "To run with it, fetch it.")
    with pytest.raises(ReportError, match="holds no outputs"):
        execute.mark_as_stored(content, notebook, missing)
    facts = {"kind": "environment", "device": "CPU (Abacus)", "date": "2026-11-25"}
    banner = new_output("display_data", {"text/markdown": "Device: CPU (Abacus)."})
    banner.metadata["report"] = facts
    content.cells[0].outputs = [banner]
    content.cells[1].outputs = [new_output("execute_result", {"text/plain": "2"})]
    sentence = execute.mark_as_stored(content, notebook, missing)
    assert sentence == (
        "CIFAR-10 could not be had (no answer); the stored outputs of CPU (Abacus), "
        "2026-11-25 are shown. To run with it, fetch it."
    )
    assert sentence in content.cells[0].outputs[0].data["text/markdown"]
    stored = content.cells[0].outputs[0].metadata.report.stored
    assert stored.startswith("06_maps: CIFAR-10") and stored.endswith("are shown.")
    assert content.cells[1].outputs[0].data["text/plain"] == "2"


@pytest.mark.usefixtures("in_this_process")
def test_a_notebook_that_reads_the_others_follows_what_they_answer_and_look_at(
    executor, tmp_path, monkeypatch
):
    place, looks = SimpleNamespace(link="a heading"), {}
    monkeypatch.setattr(claims, "answers", lambda: {"R1": [place]})
    monkeypatch.setattr(claims, "looks", lambda: looks)
    alone = write(tmp_path / "01_alone.ipynb", COUNT)
    reading = write(tmp_path / "02_reading.ipynb", COUNT + "  # reads")
    content = nbformat.read(reading, as_version=4)
    content.cells[0].metadata["tags"] = ["reads-notebooks"]
    nbformat.write(content, reading)
    for runs, change in (
        (2, lambda: setattr(place, "link", "another heading")),
        (3, lambda: looks.update({claims.Place("03_a.ipynb", 3, "A", "A"): 1})),
        (4, lambda: None),
        (4, lambda: None),
    ):
        for notebook in (alone, reading):
            executor.outputs(notebook)
        assert (tmp_path / "ran").read_text() == "." * runs
        change()


@pytest.mark.usefixtures("in_this_process")
def test_runs_that_the_notebook_itself_records_do_not_outdate_it(executor, tmp_path):
    record = """
import os, pathlib
folder = pathlib.Path(os.environ["REPORT_RUNS"])
folder.mkdir(exist_ok=True)
with (folder / "mnist.jsonl").open("a") as file:
    file.write("a run\\n")
"""
    notebook = write(tmp_path / "01_training.ipynb", record)
    executor.outputs(notebook)
    executor.outputs(notebook)
    assert (tmp_path / "runs" / "mnist.jsonl").read_text() == "a run\n"


@pytest.mark.parametrize("kind", ["tqdm.auto", "tqdm"])
def test_no_progress_bar_lands_in_the_notebook(executor, tmp_path, kind):
    bar = f"from {kind} import tqdm\nfor _ in tqdm(range(3)): pass\nprint('done')"
    content = executor.execute(write(tmp_path / "01_bar.ipynb", bar))
    (output,) = content.cells[0].outputs
    assert (output.name, output.text) == ("stdout", "done\n")
    assert "widgets" not in content.metadata


@pytest.mark.parametrize("begun, place", [(False, ""), (True, ", cell 1")])
def test_a_kernel_that_dies_is_named_with_its_cell(
    executor, tmp_path, monkeypatch, begun, place
):
    def dies(client, **_):
        if begun:
            client.on_cell_start(cell=None, cell_index=0)
        raise DeadKernelError("the kernel died")

    monkeypatch.setattr(execute.NotebookClient, "execute", dies)
    with pytest.raises(ReportError) as failed:
        executor.execute(write(tmp_path / "01_dead.ipynb", "1"))
    assert str(failed.value) == f"01_dead.ipynb{place} failed:\nthe kernel died"


# --- make reproduce -------------------------------------------------------------------


def test_a_wrong_number_lists_the_notebooks_that_there_are():
    notebooks = [Path("01_convolution.ipynb"), Path("03_baseline.ipynb")]
    assert reproduce.choose([], notebooks) == notebooks
    assert reproduce.choose(["3", "01"], notebooks) == notebooks[::-1]
    with pytest.raises(ReportError) as refused:
        reproduce.choose(["03", "07"], notebooks)
    assert str(refused.value).splitlines() == [
        "There is no notebook 07. These can be reproduced:",
        "  01  01_convolution",
        "  03  03_baseline",
    ]


TRAINING = """
import matplotlib
from helpers import runs
from helpers.training import Config, sweep
config = Config(epochs=1, batch_size=500)
sweep([config], seeds=[0, 1], headline="mnist/plain")
print("trained", matplotlib.get_backend())
"""


@pytest.mark.slow
def test_runs_are_trained_again_with_visible_bars_and_only_once(
    tmp_path, monkeypatch, capfd
):
    monkeypatch.setattr(reproduce, "REPRODUCED", tmp_path / "reproduced")
    monkeypatch.setenv("REPORT_PROFILE", "quick")
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    find = f"import sys; sys.path.insert(0, {str(project.ROOT)!r})"
    notebook = write(tmp_path / "03_training.ipynb", find, TRAINING)
    reproduce.train_again(notebook)
    output, bars = capfd.readouterr()
    assert "trained agg" in output and "0/2" in bars
    records = tmp_path / "reproduced" / "mnist.jsonl"
    written = records.read_bytes()
    assert len(written.splitlines()) == 2

    write(notebook, find, TRAINING, "1 / 0", "print('beyond')")
    with pytest.raises(ReportError, match=r"03_training\.ipynb failed: see above"):
        reproduce.train_again(notebook)
    output, bars = capfd.readouterr()
    assert "ZeroDivisionError" in output and "beyond" not in output
    assert "/2 [" not in bars and records.read_bytes() == written


def test_the_command_refuses_a_wrong_number():
    command = [sys.executable, "-m", "report.reproduce", "99"]
    done = subprocess.run(command, cwd=project.ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "There is no notebook 99" in done.stderr
    assert "01_convolution" in done.stderr


# --- Data that cannot be had ----------------------------------------------------------


def arguments(notebook, **changes):
    settings = {"notebooks": [notebook], "jobs": 1, "in_place": False}
    return SimpleNamespace(**settings | changes)


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """A notebook that needs CIFAR-10, with stored outputs; CIFAR-10 cannot be had."""
    monkeypatch.setattr(execute, "EXECUTED", tmp_path / "executed")
    notebook = write(tmp_path / "06_maps.ipynb", "prepare('cifar10')", "1 + 1")
    content = nbformat.read(resting_on(notebook, ["cifar10"], []), as_version=4)
    banner = new_output("display_data", {"text/markdown": "Device."})
    banner.metadata["report"] = {"kind": "environment", "device": "CPU (Abacus)"}
    content.cells[0].outputs = [banner]
    nbformat.write(content, notebook)

    def locate(name):
        raise data.DataMissing("CIFAR-10", "no answer", "Fetch it.")

    monkeypatch.setattr(data, "locate", locate)
    monkeypatch.delenv("REPORT_PROFILE", raising=False)
    return notebook


def test_a_build_goes_on_with_stored_outputs(stored, capsys):
    ((_, content),) = build._with_execution(arguments(stored))
    printed = capsys.readouterr().out
    assert "06_maps: CIFAR-10 could not be had (no answer); the stored" in printed
    assert "Not executed" in content.cells[0].outputs[0].data["text/markdown"]
    kept = nbformat.read(execute.EXECUTED / stored.name, as_version=4)
    assert "digest" not in kept.metadata  # so that data which arrive get it executed
    assert "stored" not in str(nbformat.read(stored, as_version=4))


def test_what_readers_see_is_never_written_without_the_data(stored):
    before = stored.read_bytes()
    with pytest.raises(ReportError, match="CIFAR-10 could not be had"):
        list(build._with_execution(arguments(stored, in_place=True)))
    assert stored.read_bytes() == before


def test_an_earlier_run_needs_no_data(stored, monkeypatch, capsys):
    count = write(stored, "print('ran')")
    resting_on(count, ["cifar10"], [])
    execute.Executor({}).execute(count)
    ((_, content),) = build._with_execution(arguments(count))
    assert content.cells[0].outputs[0].text == "ran\n"
    assert "06_maps: unchanged" in capsys.readouterr().out


# --- What has not changed is not written again ----------------------------------------


def test_an_unchanged_document_is_not_written_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(project, "BUILD", tmp_path / "build")
    monkeypatch.setattr(project, "ROOT", tmp_path)
    monkeypatch.setattr(build, "versions", lambda: [])
    for name in ("report", "pyproject.toml"):
        (tmp_path / name).symlink_to(Path(build.__file__).parents[1] / name)
    content = new_notebook(cells=[new_markdown_cell("# One\n\nIt is short.")])
    notebook = tmp_path / "01_one.ipynb"
    page = tmp_path / "build" / "report.html"
    chosen = arguments(notebook, no_execute=True, html_only=True, pdf_only=False)

    def written():
        nbformat.write(content, notebook)
        build.build(chosen)
        return "report.html: unchanged" not in capsys.readouterr().out

    assert [written(), written()] == [True, False]
    content.cells[0].source += "\n\nAnd clear."
    assert [written(), written()] == [True, False]
    whole = page.read_bytes()
    page.write_bytes(whole[:-9])
    assert written() and page.read_bytes() == whole
    page.unlink()
    assert written() and page.read_bytes() == whole


def test_what_one_cell_prints_comes_in_one_piece(executor, tmp_path):
    noisy = "for n in range(3):\n    print(n, flush=True)\n    time.sleep(0.05)"
    path = write(tmp_path / "noisy.ipynb", f"import time\n{noisy}")
    (output,) = executor.execute(path).cells[0].outputs
    assert output.text == "0\n1\n2\n"
