"""A running notebook as a document: found where it runs, whole; what is missing."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import zipfile
from pathlib import Path
from types import ModuleType, SimpleNamespace

import nbformat
import pytest
from browser import MISSING as NO_BROWSER
from browser import started as start_browser
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from helpers import project
from report import execute, live, navigation, running
from report.chapter import TEMPLATES
from report.exporters import export
from report.running import NotExported

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def nowhere(monkeypatch):
    """No place to find a notebook in, and no memory of earlier tests."""
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    monkeypatch.setitem(sys.modules, "google.colab", None)
    monkeypatch.setattr(running, "_refused", {})


def shell(ran, **names):
    """What is asked of a kernel whose cell number `ran` + 1 runs now."""
    return SimpleNamespace(execution_count=ran + 1, user_ns=names)


@pytest.fixture
def file(tmp_path):
    """A saved notebook whose first cell has been run as the third of the kernel."""
    cell = new_code_cell("6 * 7", execution_count=3)
    path = tmp_path / "my notes.ipynb"
    nbformat.write(new_notebook(cells=[new_markdown_cell("# Notes"), cell]), path)
    return path


def save(path, **metadata):
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"metadata": metadata}))
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 10**9))


# --- Where it is found ----------------------------------------------------------------


def test_without_a_place_that_tells_it_the_file_has_to_be_named(file):
    with pytest.raises(NotExported, match=r"export_pdf\('notebook\.ipynb'\)"):
        running.find(shell(3))
    found = running.find(shell(9), file)  # named: taken as it is
    assert (found.name, found.folder) == ("my notes", file.parent)


def test_vs_code_tells_the_file_and_has_to_save_it(file):
    at = {"__vsc_ipynb_file__": str(file)}
    assert running.find(shell(3, **at)).name == "my notes"
    with pytest.raises(NotExported, match=r"^my notes\.ipynb does not hold .*Ctrl\+S"):
        running.find(shell(4, **at))
    with pytest.raises(NotExported, match="does not hold"):
        running.find(shell(5, **at))
    save(file, saved=True)  # the cell that ran last may have been removed
    assert running.find(shell(6, **at)).content["metadata"] == {"saved": True}
    with pytest.raises(NotExported, match="holds no notebook"):
        file.write_text("[1]")
        running.find(shell(6, **at))
    with pytest.raises(NotExported, match=r"There is no file .*restart the kernel"):
        file.unlink()
        running.find(shell(6, **at))


def test_the_page_of_jupyter_is_asked_to_save(file, monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", str(file))
    monkeypatch.setattr(running, "clear_output", lambda wait: None)
    monkeypatch.setattr(running, "SAVED_WITHIN", 0.3)
    asked = []
    monkeypatch.setattr(running, "display", asked.append)
    with pytest.raises(NotExported, match="does not hold"):
        running.find(shell(4))
    monkeypatch.setattr(
        running, "display", lambda script: save(file, saved=script.data)
    )
    assert running.find(shell(4)).content["metadata"] == {"saved": running.SAVE}
    assert [script.data for script in asked] == [running.SAVE]

    # What asked stands in the file that it has brought about.
    content = nbformat.read(file, as_version=4)
    content.cells[1].outputs = [
        new_output("stream", text="42"),
        new_output("display_data", {"application/javascript": running.SAVE}),
        new_output("display_data", {"application/javascript": "alert()"}),
    ]
    nbformat.write(content, file)
    left = running.find(shell(4)).content["cells"][1]["outputs"]
    assert [output["output_type"] for output in left] == ["stream", "display_data"]


def test_a_file_that_is_being_written_is_waited_for(file, monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", str(file))
    monkeypatch.setattr(running, "clear_output", lambda wait: None)
    whole = file.read_text()

    def half_then_whole(script):
        file.write_text(whole[:50])
        threading.Timer(0.5, file.write_text, [whole]).start()

    monkeypatch.setattr(running, "display", half_then_whole)
    assert running.find(shell(4)).content == json.loads(whole)


@pytest.fixture
def colab(tmp_path, monkeypatch):
    """The stand-in for Colab's module, in a folder of its own."""
    named = importlib.util.spec_from_file_location(
        "google.colab", TEMPLATES / "colab.py"
    )
    module = importlib.util.module_from_spec(named)
    named.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, "google", ModuleType("google"))
    monkeypatch.setitem(sys.modules, "google.colab", module)
    monkeypatch.setenv("STAND_IN_PAGE", str(tmp_path / "page.ipynb"))
    monkeypatch.chdir(tmp_path)
    return module


@pytest.mark.parametrize("name", ["01_convolution.ipynb", "Untitled0.ipynb"])
def test_colab_is_asked_for_what_its_page_shows(name, colab, tmp_path):
    content = new_notebook(metadata={"colab": {"name": name}})
    nbformat.write(content, tmp_path / "page.ipynb")
    found = running.find(shell(3))
    assert found.content["metadata"] == content.metadata
    assert (found.name, found.folder) == (name.removesuffix(".ipynb"), tmp_path)
    ours = name.startswith("01")
    assert found.beside == (project.NOTEBOOKS if ours else tmp_path)
    assert found.page is colab.files


def test_a_page_that_does_not_answer_is_told(colab, monkeypatch):
    silent = SimpleNamespace(blocking_request=lambda *_, **__: None)
    monkeypatch.setattr(colab, "_message", silent)
    with pytest.raises(NotExported, match="did not send the notebook: run"):
        running.find(shell(3))


# --- What becomes of it ---------------------------------------------------------------


@pytest.mark.parametrize("written", ["pdf", "html"])
def test_in_colab_the_document_is_handed_to_the_reader(
    written, colab, tmp_path, monkeypatch, capsys
):
    said = new_output("stream", text="computed just now\n")
    content = new_notebook(
        cells=[
            new_markdown_cell("# Notes"),
            new_code_cell("6 * 7", outputs=[said]),
            new_code_cell(
                navigation.EXPORT, metadata={"tags": [*navigation.EXPORT_TAGS]}
            ),
        ],
        metadata={"colab": {"name": "notes.ipynb"}},
    )
    nbformat.write(content, tmp_path / "page.ipynb")
    kernel = SimpleNamespace(kernel=True, **vars(shell(3)))
    monkeypatch.setattr(live, "get_ipython", lambda: kernel)
    getattr(live, f"export_{written}")()
    file = tmp_path / f"notes.{written}"
    told = capsys.readouterr().out.splitlines()
    assert told[-2].startswith(f"Written: {file}, ")
    assert told[-1].startswith(f"Saved by the browser: {file}")
    if written == "html":
        page = file.read_text("utf-8")
        assert "computed just now" in page and "export_pdf" not in page


def test_where_no_notebook_runs_nothing_is_done(capsys):
    live.export_pdf()
    assert (
        capsys.readouterr().out == "No notebook runs here, so that none is exported.\n"
    )


def test_a_failure_is_shown_without_a_traceback():
    assert NotExported("Do this.")._render_traceback_() == ["Do this."]


def test_a_build_leaves_the_cell_out(tmp_path, monkeypatch):
    monkeypatch.setattr(execute, "EXECUTED", tmp_path)
    path = tmp_path / "01_one.ipynb"
    tags = [*navigation.EXPORT_TAGS]
    cells = [new_code_cell(navigation.EXPORT, metadata={"tags": tags})]
    nbformat.write(new_notebook(cells=[new_markdown_cell("# One"), *cells]), path)
    content = execute.Executor({}).execute(path)
    assert content.cells[1].execution_count is None and not content.cells[1].outputs
    (page,), warnings = export(content, ["html"], tmp_path, name="01_one")
    assert not warnings and "export_pdf" not in page.read_text("utf-8")


# --- What is missing is installed -----------------------------------------------------


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A project that needs a package which is not here, and a shelf with its wheel."""
    settings = '[project.optional-dependencies]\nbuild = ["nbformat>=5", "tiny==1.0"]\n'
    (tmp_path / "pyproject.toml").write_text(settings)
    monkeypatch.setattr(project, "ROOT", tmp_path)
    monkeypatch.setattr(live, "WHEELS", tmp_path / "build" / "wheels")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    return shelf


def test_what_is_missing_is_installed_beside_the_environment(house, capsys):
    with zipfile.ZipFile(house / "tiny-1.0-py3-none-any.whl", "w") as wheel:
        about = "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n"
        wheel.writestr("tiny.py", "")
        wheel.writestr("tiny-1.0.dist-info/METADATA", about)
        tag = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        wheel.writestr("tiny-1.0.dist-info/WHEEL", tag)
        wheel.writestr("tiny-1.0.dist-info/RECORD", "")
    before = list(sys.path)
    live.provide()
    told = capsys.readouterr().out
    assert "once, into build/wheels: tiny==1.0. These are wheels" in told
    assert sys.path == [*before, str(live.WHEELS)]  # last, so that nothing is replaced
    assert (live.WHEELS / "tiny.py").exists()
    live.provide()
    assert capsys.readouterr().out == "" and len(sys.path) == len(before) + 1


def test_what_cannot_be_installed_is_told_with_what_to_do(house):
    with pytest.raises(NotExported, match=r"(?s)could not be.*pip install tiny==1\.0$"):
        live.provide()


def test_what_the_build_needs_is_here():
    assert live.missing() == []


# --- In JupyterLab --------------------------------------------------------------------


@pytest.fixture
def lab(tmp_path):
    """The address of a JupyterLab that runs in a folder of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [*(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root")]
    command += [f"--port={port}", "--IdentityProvider.token=token"]
    own = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")
    variables = os.environ | {name: str(tmp_path / name) for name in own}
    log = tmp_path / "lab.log"
    with log.open("w") as written:
        server = subprocess.Popen(
            [*command, f"--ServerApp.root_dir={tmp_path}"],
            env=variables,
            stdout=written,
            stderr=subprocess.STDOUT,
        )
    address = f"http://127.0.0.1:{port}"
    for _ in range(240):
        try:
            urllib.request.urlopen(f"{address}/api/status?token=token").close()
            break
        except OSError:
            time.sleep(0.5)
    yield address
    server.terminate()
    server.wait()


@pytest.mark.slow
def test_in_jupyterlab_what_was_typed_and_not_saved_is_exported(lab, tmp_path):
    start = f"import sys\nsys.path.insert(0, {str(ROOT)!r})"
    cells = [new_markdown_cell("# Notes"), new_code_cell(start)]
    ending = navigation.EXPORT.replace("export_pdf()", "export_pdf()  # last")
    cells.append(new_code_cell(ending.replace("export_pdf", "export_html")))
    opened = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    content = new_notebook(cells=cells, metadata=opened)
    nbformat.write(content, tmp_path / "notes.ipynb")
    with start_browser() as browser:
        if browser is None:
            pytest.skip(NO_BROWSER)
        page = browser.new_page()
        page.set_default_timeout(120_000)
        page.goto(f"{lab}/lab/tree/notes.ipynb?token=token")
        page.locator(".jp-CodeCell .cm-content").first.click()
        page.keyboard.press("Control+End")
        page.keyboard.type("\nprint('typed ' + 'now')")
        # What is run before the kernel has started may be lost.
        page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').wait_for()
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_text("Run All Cells", exact=True).click()
        said = page.locator(".jp-OutputArea-output", has_text="notes.")
        said.wait_for()
        assert f"Written: {tmp_path / 'notes.html'}, " in said.inner_text()
    document = (tmp_path / "notes.html").read_text("utf-8")
    assert "typed now" in document and "Notes</h1>" in document
