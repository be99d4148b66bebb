"""Continuous integration walks the README's road: `.ci/run` with commands that tell."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
GIT = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
MAKEFILE = """
report:
	@echo "report in $$(pwd) with [$$REPORT_DATA$$REPORT_PROFILE$$VENV]"
	@mkdir build && touch build/report.html {left}
test:
	@echo "test with [$$REPORT_CI] [$$REPORT_DATA] [$$REPORT_PROFILE]"
	@echo "== 7 passed in 1 s =="; exit {status}
"""


@pytest.fixture
def run(tmp_path):
    """Commit a project whose commands only tell, and run its .ci/run."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "google-chrome").write_text("#!/bin/sh\n", "utf-8")
    (programs / "google-chrome").chmod(0o755)

    def run(left="", status=0):
        project = tmp_path / "a project"
        (project / ".ci").mkdir(parents=True)
        shutil.copy(ROOT / ".ci/run", project / ".ci/run")
        makefile = MAKEFILE.format(left=left, status=status)
        (project / "Makefile").write_text(makefile, "utf-8")
        (project / ".gitignore").write_text("/build\n", "utf-8")
        for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "A commit."]):
            subprocess.run([*GIT, *command], cwd=project, check=True)
        (project / "not committed").touch()
        temporary = tmp_path / "temporary"
        temporary.mkdir()
        variables = {"REPORT_PROFILE": "quick", "REPORT_DATA": "/x", "VENV": "/y"}
        variables |= {"PATH": f"{programs}:{os.environ['PATH']}"}
        # Under `make test` make would take itself for a part of that.
        outside = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
        finished = subprocess.run(
            ["bash", str(project / ".ci/run")],
            env=outside | variables | {"TMPDIR": str(temporary)},
            capture_output=True,
            text=True,
        )
        assert list(temporary.iterdir()) == []
        assert not (project / "build").exists()
        return finished

    return run


def test_a_clone_with_nothing_set_is_built_and_tested(run, tmp_path):
    finished = run()
    assert finished.returncode == 0, finished.stderr
    built, tested, closing = finished.stdout.splitlines()
    assert built.startswith(f"report in {tmp_path}/temporary/")
    assert built.endswith("/convolution-report with []")
    assert tested == "test with [1] [] []" and closing == "== 7 passed in 1 s =="


def test_the_data_beside_the_project_are_for_its_tests(run, tmp_path):
    (tmp_path / "shared/data").mkdir(parents=True)
    built, tested, _ = run().stdout.splitlines()
    assert built.endswith(" with []")
    assert tested == f"test with [1] [{tmp_path}/shared/data] []"


def test_a_failing_test_fails_it(run):
    finished = run(status=3)
    assert finished.returncode != 0 and "7 passed" in finished.stdout


def test_what_a_build_leaves_behind_fails_it(run):
    finished = run(left="figures.svg")
    assert finished.returncode == 1 and "?? figures.svg" in finished.stdout
    assert "passed" not in finished.stdout
