"""In continuous integration a skipped test fails; what needs a browser is marked."""

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

CONFTEST = (Path(__file__).parent / "conftest.py").read_text("utf-8")
# Each way to skip, and one to fail as expected.
TESTS = """
import pytest

@pytest.fixture
def absent():
    pytest.skip("no browser here")

def test_by_a_fixture(absent): pass

def test_by_itself(): pytest.skip("no real data here")

def test_by_an_import(): pytest.importorskip("no_such_module")

@pytest.mark.skipif(True, reason="no notebooks here")
def test_by_a_mark(): pass

@pytest.mark.machine
def test_on_another_machine(): pytest.skip("no such allocator")

@pytest.mark.xfail
def test_with_a_known_fault(): assert False

def test_that_passes(): pass
"""


@pytest.fixture
def project(pytester, monkeypatch):
    monkeypatch.delenv("REPORT_CI", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # which the conftest sets
    pytester.makeconftest(CONFTEST)
    pytester.makeini("[pytest]\nmarkers =\n    machine\n    browser\n")
    pytester.makepyfile(TESTS)
    return pytester


def test_elsewhere_a_skipped_test_stays_skipped(project):
    project.runpytest().assert_outcomes(skipped=5, passed=1, xfailed=1)


def test_in_continuous_integration_a_skipped_test_fails(project, monkeypatch):
    monkeypatch.setenv("REPORT_CI", "1")
    result = project.runpytest("-ra")
    outcomes = result.parseoutcomes()
    # What a fixture's set-up fails counts as an error.
    assert outcomes.pop("errors", 0) + outcomes.pop("failed") == 4
    assert outcomes == {"skipped": 1, "passed": 1, "xfailed": 1}
    result.stdout.fnmatch_lines_random(
        [
            "*no browser here*",
            "*no real data here*",
            "*no_such_module*",
            "*no notebooks here*",
            "*REPORT_CI=1 asks for every test*",
        ]
    )


def test_a_file_that_skips_itself_fails_there_too(project, monkeypatch):
    project.makepyfile(
        test_whole="import pytest\npytest.importorskip('no_such_module')"
    )
    project.runpytest("test_whole.py").assert_outcomes(skipped=1)
    monkeypatch.setenv("REPORT_CI", "1")
    project.runpytest("test_whole.py").assert_outcomes(errors=1)


def test_whoever_asks_for_the_browser_is_marked(project):
    project.makepyfile(
        test_in_a_window="""
        import pytest

        @pytest.fixture
        def browser(): pass

        @pytest.fixture
        def opened(browser): pass

        def test_of_the_page(opened): pass

        def test_of_something_else(): pass
        """
    )
    result = project.runpytest("test_in_a_window.py", "-m", "browser", "-v")
    result.assert_outcomes(passed=1, deselected=1)
    result.stdout.fnmatch_lines(["*test_of_the_page*"])
