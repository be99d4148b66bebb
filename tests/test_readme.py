"""The registry of results, and the table that `report.readme` makes of it."""

import itertools
import json
import re
import sys
from pathlib import Path

import pytest

from helpers import claims, runs, stats, text
from report import readme
from report.readme import BEGIN, END

ROOT = Path(__file__).resolve().parent.parent
# Runs again what the reports did, or a first attempt: in the chapters alone.
IN_THE_CHAPTERS_ALONE = re.compile(r"cifar10/first-\w+|varres/20(21|24)-\w+")


def record(name, seed, accuracy, **config):
    """A run that errs on the first of the images of MNIST, as many as it takes."""
    kept = json.loads((runs.LABELS / "mnist.json").read_text("utf-8"))
    labels = kept["labels"]["28"]
    wrong = round((1 - accuracy) * len(labels))
    answered = "".join(str(9 - int(digit)) for digit in labels[:wrong]) + labels[wrong:]
    return {
        "config": {"data": name.split("/")[0], **config},
        "seed": seed,
        "fingerprint": kept["fingerprint"],
        "headline": name,
        "final": {"test": {"accuracy": accuracy}},
        "test_predictions": {"28": answered},
    }


@pytest.fixture
def folder(tmp_path):
    """Runs of two results that the registry knows, and of one that it does not."""
    accuracies = {
        "mnist/plain": (0.98, 0.99, 1.0),
        "mnist/best": (0.99, 0.99),
        "mnist/other": (0.5, 0.6),
    }
    lines = [
        json.dumps(record(name, seed, accuracy))
        for name, values in accuracies.items()
        for seed, accuracy in enumerate(values)
    ]
    kept = tmp_path / "runs"
    kept.mkdir()
    (kept / "mnist.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    return kept


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(f"# Title\n\nAbove.\n\n{BEGIN}\n{END}\n\nBelow.\n", "utf-8")
    return path


# --- The registry ---------------------------------------------------------------------


def test_results_have_different_names_and_known_data():
    names = [result.name for result in claims.results()]
    assert names and len(set(names)) == len(names)
    for result in claims.results():
        assert result.name.split("/")[0] in ("mnist", "varres", "cifar10")
        assert result.title and result.data
        for one in result.reported:
            assert 0 < one.accuracy < 1 and one.images, result.name


def test_what_is_reported_is_of_the_five_sources():
    """A number of anybody else would need a repository and a commit to be checked."""
    sources = {row.source.split(",")[0] for row in claims.rows()}
    reported = [one for result in claims.results() for one in result.reported]
    assert reported and {one.source for one in reported} <= sources


def test_results_of_one_data_set_stand_together():
    groups = [result.data for result in claims.results()]
    changes = sum(a != b for a, b in itertools.pairwise(groups))
    assert changes == len(set(groups)) - 1


@pytest.mark.parametrize("result", claims.results(), ids=lambda result: result.name)
def test_the_section_of_a_result_exists(result):
    path = ROOT / "notebooks" / result.notebook
    cells = json.loads(path.read_text("utf-8"))["cells"]
    lines = "".join(
        "".join(cell["source"]) + "\n"
        for cell in cells
        if cell["cell_type"] == "markdown"
    ).splitlines()
    assert {f"## {result.heading}", f"### {result.heading}"} & set(lines)


def test_every_recorded_headline_is_in_the_registry():
    known = {result.name for result in claims.results()}
    recorded = {
        json.loads(line)["headline"]
        for path in (ROOT / "data/runs").glob("*.jsonl")
        for line in path.read_text("utf-8").splitlines()
    }
    missing = {name for name in recorded - known if name}
    assert not {n for n in missing if not IN_THE_CHAPTERS_ALONE.fullmatch(n)}


# --- The table ------------------------------------------------------------------------


def test_results_without_runs_and_runs_without_a_result_are_left_out(file, folder):
    assert readme.update(file, folder, write=True)
    rows = [
        line for line in file.read_text().splitlines() if line.startswith("| MNIST")
    ]
    assert len(rows) == 2
    right = runs.rightness(runs.named(folder)["mnist/best"])
    interval = stats.accuracy_interval(right)
    # Alike in all seeds, so that what is left is the choice of the images.
    assert interval.low < 0.989 and interval.high > 0.991
    assert rows[1].endswith(f"| {text.percent(interval)}, 2 | – |")
    assert "99.00% (" in rows[0] and ", 3 |" in rows[0]
    assert rows[0].endswith("99.22%, 2021 report |")
    assert "0.5" not in file.read_text() and "other" not in file.read_text()


def test_the_rest_of_the_file_stays_and_a_second_time_changes_nothing(file, folder):
    assert readme.update(file, folder, write=True)
    once = file.read_text()
    assert once.startswith(f"# Title\n\nAbove.\n\n{BEGIN}\n\n| result |")
    assert once.endswith(f"\n\n{END}\n\nBelow.\n")
    assert not readme.update(file, folder, write=True)
    assert file.read_text() == once


def test_a_check_writes_nothing_and_sees_a_new_run(file, folder):
    before = file.read_text()
    assert readme.update(file, folder, write=False)
    assert file.read_text() == before
    readme.update(file, folder, write=True)
    with (folder / "mnist.jsonl").open("a") as lines:
        lines.write(json.dumps(record("mnist/best", 2, 0.98)) + "\n")
    assert readme.update(file, folder, write=False)


def test_a_number_that_was_typed_is_put_right(file, folder):
    readme.update(file, folder, write=True)
    right = file.read_text()
    file.write_text(right.replace("99.00%", "99.99%", 1))
    assert readme.update(file, folder, write=True)
    assert file.read_text() == right


def test_links_lead_to_files_of_the_project(file, folder):
    readme.update(file, folder, write=True)
    links = re.findall(r"\]\(([^)#]+)", file.read_text())
    assert links and all((ROOT / link).is_file() for link in links)


@pytest.mark.parametrize(
    "text", ["none", BEGIN, END, f"{END}\n{BEGIN}", f"{BEGIN}{END}{BEGIN}{END}"]
)
def test_comments_that_are_missing_or_wrong_are_named(file, folder, text):
    file.write_text(text)
    with pytest.raises(ValueError, match=r"README.md needs these two lines"):
        readme.update(file, folder, write=True)
    assert file.read_text() == text


# --- The command ----------------------------------------------------------------------


@pytest.fixture
def command(file, folder, monkeypatch, capsys):
    """The command on that file and these runs: what it prints, and its exit."""
    monkeypatch.setattr(readme, "README", file)
    monkeypatch.setattr(runs, "RECORDED", folder)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["readme", *arguments])
        try:
            readme.main()
        except SystemExit as exit:
            return capsys.readouterr().out, exit.code
        return capsys.readouterr().out, 0

    return run


def test_the_command_checks_writes_and_then_is_content(command):
    printed, failure = command("--check")
    assert "out of date" in printed
    assert "python -m report.readme" in failure
    assert command() == ("README.md: updated\n", 0)
    assert command("--check") == ("", 0)


def test_the_command_says_which_lines_are_missing(command, file):
    file.write_text("# Title\n")
    _, failure = command()
    assert BEGIN in failure
