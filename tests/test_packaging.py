"""The package: what it needs is declared, what it holds is there, from any folder."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_markdown_cell, new_notebook
from packaging.requirements import Requirement

from environment import OPEN

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
EXTRAS = SETTINGS["project"]["optional-dependencies"]
# Installed for what they do, not to be imported by our code.
PROGRAMS = {"jupyter", "ipykernel", "ruff", "mypy", "pytest-xdist", "setuptools"}


def requirements(lines):
    """Name -> requirement, without the project's own."""
    found = {r.name.lower(): r for r in map(Requirement, lines)}
    return {n: r for n, r in found.items() if n != SETTINGS["project"]["name"]}


CORE = requirements(SETTINGS["project"]["dependencies"])
READ, BUILD, CLUSTER, TEST = (
    requirements(EXTRAS[name]) for name in ("read", "build", "cluster", "test")
)
COMPILED = requirements(EXTRAS["compiled"])
DECLARED = CORE | READ | BUILD | CLUSTER | TEST | COMPILED
# What comes with others: numba stands on llvmlite, and PyTorch for graphics cards
# brings Triton.
BROUGHT = {"llvmlite", "triton"}

# --- What it needs --------------------------------------------------------------------


def imported(source):
    """The packages that `source` imports: (name, how).

    How: "needed", "guarded" (it goes on without), or "asked" (whether it is there).
    """
    tree = ast.parse(source)
    guarded = {
        id(node)
        for attempt in ast.walk(tree)
        if isinstance(attempt, ast.Try)
        and any(getattr(h.type, "id", "") == "ImportError" for h in attempt.handlers)
        for node in ast.walk(attempt)
    }
    by_name = ("find_spec", "importorskip", "import_module")
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module]
        elif isinstance(node, ast.Call) and node.args:
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            value = getattr(node.args[0], "value", None)
            names = [value] if called in by_name and isinstance(value, str) else []
        how = "asked" if isinstance(node, ast.Call) else "needed"
        for name in names:
            yield name.partition(".")[0], "guarded" if id(node) in guarded else how


def distributions(sources, *ways):
    """The distributions from outside that the sources import in these ways."""
    known = packages_distributions()
    found = {
        name for source in sources for name, how in imported(source) if how in ways
    }
    ours = {path.stem for path in (ROOT / "tests").rglob("*.py")}
    ours |= {path.stem for path in ROOT.iterdir()}
    outside = found - ours - set(sys.stdlib_module_names)
    return {known.get(name, [name])[0].lower().replace("_", "-") for name in outside}


def python_files(folder):
    return [path.read_text("utf-8") for path in (ROOT / folder).rglob("*.py")]


def cells():
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                yield cell.source


def names(*groups):
    return {name.replace("_", "-") for group in groups for name in group}


def test_imports_are_seen():
    source = "import a.b\nfrom c import d\nfrom . import e\nfind_spec('f')\n"
    source += "def late():\n    try:\n        import g\n    except ImportError: pass\n"
    ways = {"a": "needed", "c": "needed", "f": "asked", "g": "guarded"}
    assert dict(imported(source)) == ways


def test_helpers_and_notebooks_import_what_the_core_declares():
    """So Colab has it all: see the comment above `dependencies`."""
    assert distributions(cells(), "needed") <= names(CORE)
    helpers = python_files("helpers")
    assert distributions(helpers, "needed", "asked") <= names(CORE, CLUSTER)
    assert distributions([*helpers, *cells()], "guarded") <= names(
        READ, COMPILED, BROUGHT
    )


def test_report_and_tests_import_what_their_extras_declare():
    report = distributions(python_files("report"), "needed", "asked")
    assert report <= names(CORE, BUILD)
    tests = distributions(python_files("tests"), "needed", "asked")
    assert tests <= names(DECLARED) | {"packaging"}  # which pytest needs itself


def test_what_is_declared_is_used():
    every = ("needed", "asked", "guarded")
    sources = [*python_files("helpers"), *python_files("report"), *cells()]
    declared = names(CORE, READ, BUILD, CLUSTER, COMPILED) - PROGRAMS
    assert declared <= distributions(sources, *every)
    assert names(TEST) - PROGRAMS <= distributions(python_files("tests"), *every)


def test_versions_are_bounded():
    unbounded = {"torch", "torchvision"}  # released as a pair
    for name, requirement in DECLARED.items():
        signs = {specifier.operator for specifier in requirement.specifier}
        wanted = {">="} if name in unbounded else {">=", "<"}
        assert signs in (wanted, {"=="}), requirement


def test_requirements_txt_and_the_lock_hold_no_list_of_their_own():
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    (line,) = (line for line in lines if line and not line.startswith("#"))
    assert set(re.fullmatch(r"-e \.\[(.*)\]", line)[1].split(",")) <= set(EXTRAS)

    text = (ROOT / "requirements.lock").read_text("utf-8")
    locked = requirements(
        line for line in text.splitlines() if not line.startswith("#")
    )
    assert not [name for name in locked if OPEN.fullmatch(name)]
    direct = {
        name.replace("_", "-"): requirement
        for name, requirement in DECLARED.items()
        if not OPEN.fullmatch(name)
    }
    missing = direct.keys() - locked.keys()
    assert not missing, f"run `make lock`: requirements.lock lacks {missing}"
    for name, requirement in direct.items():
        (pin,) = locked[name].specifier
        assert pin.operator == "==" and requirement.specifier.contains(pin.version)


# --- What it holds --------------------------------------------------------------------


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of what makes the package: building leaves files beside it."""
    folder = tmp_path_factory.mktemp("source of the package")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    skipped = shutil.ignore_patterns(
        "__pycache__", "convolution.html", "convolution.pdf"
    )
    for name in ("helpers", "report"):
        shutil.copytree(ROOT / name, folder / name, ignore=skipped)
    return folder


def build(source, kind, folder):
    """Build the package as pip does, and unpack it into `folder`."""
    code = f"import sys, setuptools.build_meta as b; b.build_{kind}(sys.argv[1])"
    command = [sys.executable, "-c", code, str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder)
    wheel.unlink()


def test_every_file_of_the_packages_is_in_it(source, tmp_path):
    def files(root):
        return {
            path.relative_to(root)
            for name in ("helpers", "report")
            for path in (root / name).rglob("*")
            if path.is_file() and path.suffix != ".pyc"
        }

    build(source, "wheel", tmp_path)
    assert files(source) and files(tmp_path) == files(source)


# As `jupyter nbconvert`, but in a process to which the installation is added.
RUN = """
import os, site, sys
packages, source, *sys.argv[1:] = sys.argv[1:]
# The project may be installed in this environment, too: that one must not be found.
sys.path[:] = [p for p in sys.path if not os.path.isdir(os.path.join(p, "helpers"))]
sys.meta_path[:] = [f for f in sys.meta_path if "__editable__" not in repr(f)]
for name in [name for name in sys.modules if name.startswith("__editable__")]:
    del sys.modules[name]
sys.path.insert(0, packages)
site.addsitedir(packages)
import helpers, report
assert helpers.__file__.startswith(source) and report.__file__.startswith(source)
from nbconvert.exporters import get_exporter
for name in ("EPUB", "HTML", "PDF", "Slides"):
    named = [f"report-{name.lower()}", f"report.{name}Report"]
    assert [get_exporter(n) for n in named] == [getattr(report, f"{name}Report")] * 2
from nbconvert.nbconvertapp import main
main()
"""


@pytest.mark.parametrize(
    "exporter, begin",
    [
        ("report-html", b"<!DOCTYPE html>"),
        ("report-pdf", b"%PDF-"),
        ("report-epub", b"PK"),
        ("report-slides", b"<!DOCTYPE html>"),
    ],
)
def test_nbconvert_finds_the_exporters_from_any_folder(
    exporter, begin, source, tmp_path, tmp_path_factory
):
    packages = tmp_path_factory.mktemp("what pip install -e puts there")
    build(source, "editable", packages)
    notebook = new_notebook(cells=[new_markdown_cell("# One\n\nIt is $x^2$.")])
    nbformat.write(notebook, tmp_path / "01_one.ipynb")
    command = [sys.executable, "-P", "-c", RUN, str(packages), str(source)]
    finished = subprocess.run(
        [*command, "--to", exporter, "01_one.ipynb"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    written = [path for path in tmp_path.iterdir() if path.suffix != ".ipynb"]
    assert [path.read_bytes()[: len(begin)] for path in written] == [begin]
