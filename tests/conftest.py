"""What holds for all tests: threads, and what a skipped test means.

With REPORT_CI=1 in the environment a test that cannot run here fails instead of being
skipped, so that a green run has seen a browser, the real data and the notebooks. Only
tests marked `machine` may be skipped there, too.
"""

import os
from collections.abc import Iterator

import pytest
import torch

# The tests' tensors are small: threads wait for one another longer than they work, and
# more so when two processes share the cores. Children inherit the variable.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)

# Programs for graphics cards are interpreted, from the first import of Triton on.
os.environ["TRITON_INTERPRET"] = "1"


@pytest.fixture(scope="module")
def small_data() -> Iterator[None]:
    """Small data sets, unpacked once for all tests of a file."""
    from helpers.training.batches import load_data  # takes its time, as torch does

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPORT_PROFILE", "quick")
        load_data.cache_clear()
        yield
    load_data.cache_clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item):
    """In figures that a test of drawings leaves open, ticks say where they stand."""
    result = yield
    if item.path.name.startswith("test_drawings"):
        _check_percentages()
    return result


def _check_percentages() -> None:
    import matplotlib.pyplot as plt  # takes its time

    for number in plt.get_fignums():
        for axes in plt.figure(number).axes:
            for axis in (axes.xaxis, axes.yaxis):
                places = axis.get_majorticklocs()
                labels = axis.get_major_formatter().format_ticks(places)
                for place, said in zip(places, map(str, labels), strict=True):
                    if said.endswith("%"):
                        assert float(said[:-1]) == pytest.approx(100 * place), said


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what drives a browser, however it came by it."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    report = yield
    if not item.get_closest_marker("machine"):
        _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    report = yield
    _fail_if_skipped(report)
    return report


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    expected = hasattr(report, "wasxfail")
    if os.environ.get("REPORT_CI") == "1" and report.skipped and not expected:
        _, _, reason = report.longrepr
        report.outcome = "failed"
        report.longrepr = (
            f"{reason}\nREPORT_CI=1 asks for every test: provide what is missing, or "
            "mark the test `machine` if only another system could."
        )
