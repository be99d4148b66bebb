"""The record of runs: look up, locked appends, damaged lines, headlines."""

import copy
import json
import math
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from helpers import data, runs, stats
from helpers.data import DataSet, Split
from helpers.data.catalogue import RECIPES

ROOT = Path(__file__).resolve().parent.parent


def record(seed=0, headline=None, accuracy=0.99, **config):
    return {
        "config": {"data": "mnist", "batch_size": 32} | config,
        "seed": seed,
        "fingerprint": "30118dcec3a0a4a0",
        "headline": headline,
        "final": {"test": {"accuracy": accuracy}},
    }


def test_what_was_appended_is_read_and_found(tmp_path):
    first, second = record(0, learning_rate=1e-3), record(1, learning_rate=1e-3)
    other = record(data="cifar10")
    for item in (first, second, other):
        assert runs.append(tmp_path, item) == item
    assert runs.read(tmp_path) == [other, first, second]
    index = runs.Index([tmp_path])
    assert index.find(second["config"], 1, second["fingerprint"]) == second
    assert index.find(second["config"], 2, second["fingerprint"]) is None
    assert index.find(second["config"], 1, "0000000000000000") is None
    changed = second["config"] | {"learning_rate": 1e-2}
    assert index.find(changed, 1, second["fingerprint"]) is None


def test_the_newest_record_counts_and_a_headline_is_found_by_its_name_only(tmp_path):
    plain, named = record(accuracy=0.5), record(headline="mnist/plain", accuracy=0.6)
    newest = record(accuracy=0.7)
    for item in (plain, named, newest):
        runs.append(tmp_path, item)
    index = runs.Index([tmp_path])
    identity = plain["config"], 0, plain["fingerprint"]
    assert index.find(*identity) == newest
    assert index.find(*identity, "mnist/plain") == named
    assert index.find(*identity, "mnist/best") is None


def test_a_record_from_before_a_setting_existed_has_its_default(tmp_path):
    runs.append(tmp_path, record())
    index = runs.Index([tmp_path], defaults={"batch_size": 64, "augment": "none"})
    fingerprint = record()["fingerprint"]
    config = record()["config"]
    assert index.find(config | {"augment": "none"}, 0, fingerprint) == record()
    assert index.find(config | {"augment": "affine"}, 0, fingerprint) is None


def test_infinities_and_tuples_come_back_as_json_knows_them(tmp_path):
    item = record() | {"history": {"train_loss": (1.0, math.inf, math.nan)}}
    expected = record() | {"history": {"train_loss": [1.0, None, None]}}
    assert runs.append(tmp_path, item) == expected
    assert runs.read(tmp_path) == [expected]


def test_a_record_without_identity_is_refused(tmp_path):
    item = record()
    del item["seed"]
    with pytest.raises(ValueError, match="lacks seed; it holds"):
        runs.append(tmp_path, item)
    assert runs.read(tmp_path) == []


@pytest.mark.parametrize(
    "damaged", ['{"config": {"da', "[1, 2]", '{"seed": 1}', "\xff"]
)
def test_a_damaged_line_is_named_and_skipped(tmp_path, damaged):
    runs.append(tmp_path, record(0))
    path = tmp_path / "mnist.jsonl"
    path.write_bytes(path.read_bytes() + damaged.encode("latin1") + b"\n")
    runs.append(tmp_path, record(1))
    with pytest.warns(
        UserWarning, match=r"mnist\.jsonl, line 2 is damaged and skipped"
    ):
        assert runs.read(tmp_path) == [record(0), record(1)]


def test_half_a_line_of_a_killed_writer_does_not_spoil_the_next(tmp_path):
    runs.append(tmp_path, record(0))
    path = tmp_path / "mnist.jsonl"
    path.write_bytes(path.read_bytes() + path.read_bytes()[:40])
    runs.append(tmp_path, record(1))
    with pytest.warns(UserWarning, match="line 2"):
        assert runs.read(tmp_path) == [record(0), record(1)]


WRITER = """
import sys
import threading
from pathlib import Path
from helpers import runs

folder, writer = Path(sys.argv[1]), int(sys.argv[2])
record = {"config": {"data": "mnist"}, "fingerprint": "f", "headline": None}
print("ready", flush=True)
sys.stdin.readline()
for number in range(100):
    runs.append(folder, record | {"seed": 1000 * writer + number, "pad": "x" * 20_000})
"""


@pytest.mark.slow
def test_two_processes_append_at_once_and_nothing_is_lost_or_mixed(tmp_path):
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(writer)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for writer in range(2)
    ]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    seeds = [item["seed"] for item in runs.read(tmp_path)]
    assert sorted(seeds) == [*range(100), *range(1000, 1100)]
    assert [seed for seed in seeds if seed < 1000] == [*range(100)]


def test_appending_waits_for_whoever_holds_the_lock(tmp_path):
    appending = threading.Thread(target=runs.append, args=(tmp_path, record()))
    with runs.lock(tmp_path / "mnist.jsonl"):
        appending.start()
        appending.join(timeout=0.5)
        assert appending.is_alive() and runs.read(tmp_path) == []
    appending.join(timeout=30)
    assert runs.read(tmp_path) == [record()]


def test_headlines_are_means_with_t_intervals_of_the_last_configuration(tmp_path):
    for seed in range(3):
        runs.append(tmp_path, record(seed, "mnist/plain", 0.5, batch_size=8))
        runs.append(tmp_path, record(seed, None, 0.1))
    accuracies = [0.98, 0.99, 1.0]
    for seed, accuracy in enumerate([0.2, *accuracies[1:]]):
        runs.append(tmp_path, record(seed, "mnist/plain", accuracy))
    runs.append(tmp_path, record(0, "mnist/plain", accuracies[0]))  # trained again
    results = runs.headlines(tmp_path)
    assert list(results) == ["mnist/plain"]
    half = 4.302653 * 0.01 / math.sqrt(3)  # t table, 2 degrees of freedom
    expected = (0.99, 0.99 - half, 0.99 + half, 3)
    assert results["mnist/plain"] == pytest.approx(expected, abs=1e-6)


def test_seeds_of_an_older_configuration_do_not_count_beside_newer_ones(tmp_path):
    for seed in range(5):
        runs.append(tmp_path, record(seed, "mnist/plain", 0.5, batch_size=8))
    for seed in (1, 7):  # fewer, and one that the older one never had
        runs.append(tmp_path, record(seed, "mnist/plain", 0.99))
    result = runs.headlines(tmp_path)["mnist/plain"]
    assert (result.mean, result.n) == (pytest.approx(0.99), 2)


@pytest.mark.parametrize("part", ["history", "final"])
@pytest.mark.parametrize("loss", [math.nan, math.inf, None])
def test_a_run_that_diverged_carries_no_headline(tmp_path, part, loss):
    for seed, accuracy in enumerate([0.98, 0.99, 0.1]):
        made = record(seed, "mnist/plain", accuracy)
        made["history"] = {"train_loss": [2.3, 0.1]}
        if seed == 2:
            lost = {"history": {"train_loss": [2.3, loss]}}
            lost["final"] = {"test": {"accuracy": 0.1, "loss": loss}}
            made[part] = lost[part]
        runs.append(tmp_path, made)
    with pytest.warns(UserWarning, match="mnist/plain, seed 2, diverged: left out"):
        result = runs.headlines(tmp_path)["mnist/plain"]
    assert (result.mean, result.n) == (pytest.approx(0.985), 2)


def test_a_headline_of_one_seed_is_named_and_left_out(tmp_path):
    runs.append(tmp_path, record(0, "mnist/plain"))
    with pytest.warns(UserWarning, match="mnist/plain has one seed"):
        assert runs.headlines(tmp_path) == {}


def test_the_command_prints_headlines_separated_by_tabs(tmp_path, monkeypatch, capsys):
    for name in ("mnist/plain", "mnist/best"):
        for seed, accuracy in enumerate([0.99, 0.992]):
            runs.append(tmp_path, record(seed, name, accuracy))
    monkeypatch.setattr(sys, "argv", ["runs", "--runs", str(tmp_path)])
    runs.main()
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines] == ["mnist/best", "mnist/plain"]
    assert [line[1:3] for line in lines] == [["2", "0.991000"]] * 2
    low, high = float(lines[0][3]), float(lines[0][4])
    assert low < 0.991 < high


def trained(seed, accuracy, seconds=1.0, **changes):
    return record(seed, "mnist/plain", accuracy, **changes) | {
        "history": {"train_loss": [0.5, 0.25], "seconds": [seconds, seconds]},
        "first_epoch_losses": [0.5],
        "test_predictions": {"28": "0123"},
    }


def compared(tmp_path, recorded, reproduced):
    """What the comparison says of mnist/plain."""
    for name, items in (("recorded", recorded), ("reproduced", reproduced)):
        for item in items:
            runs.append(tmp_path / name, item)
    first, *lines = runs.compare(tmp_path / "recorded", tmp_path / "reproduced")
    assert first == "mnist/plain"
    return [line.strip() for line in lines]


def test_reproduced_runs_that_are_equal_are_called_so_whatever_they_took(tmp_path):
    recorded = [trained(0, 0.99), trained(1, 0.98)]
    lines = compared(tmp_path, recorded, [trained(1, 0.98, 9.0), trained(0, 0.99, 9.0)])
    half = 12.7062 * 0.5  # t table, 1 degree of freedom
    interval = f"98.500 % [{98.5 - half:.3f}, {98.5 + half:.3f}]"
    assert lines == [
        f"recorded    {interval}",
        f"reproduced  {interval}",
        "equal to the last bit, all 2 seeds",
    ]


@pytest.mark.parametrize(
    "part", ["history", "first_epoch_losses", "test_predictions", "final"]
)
def test_runs_that_differ_anywhere_are_not_called_equal(tmp_path, part):
    recorded = [trained(seed, 0.99) for seed in range(3)]
    other = trained(2, 0.99)
    other["final"]["test"]["loss"] = 0.1 if part == "final" else 0.2
    recorded[2]["final"]["test"]["loss"] = 0.2
    if part != "final":
        other[part] = {"history": {"train_loss": [0.5, 0.24], "seconds": [1, 1]}}.get(
            part, "other"
        )
    lines = compared(tmp_path, recorded, [*recorded[:2], other])
    assert lines[2] == (
        "difference  +0.000 points [+0.000, +0.000], 3 seeds: within chance"
    )


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [((0.002, 0.003, 0.003), "beyond chance"), ((-0.001, 0.0, 0.004), "within chance")],
)
def test_the_difference_is_paired_by_seed(tmp_path, gains, verdict):
    accuracies = [0.90, 0.95, 0.99]  # whose spread is far larger than the gains
    recorded = [trained(seed, a) for seed, a in enumerate(accuracies)]
    reproduced = [
        trained(seed, a + gain)
        for seed, (a, gain) in enumerate(zip(accuracies, gains, strict=True))
    ]
    recorded.append(trained(7, 0.2))  # which has not been trained again
    lines = compared(tmp_path, recorded, reversed(reproduced))
    change = runs.paired_t(gains, [0, 0, 0])
    mean, low, high = (100 * value for value in change[:3])
    assert lines[0].startswith("recorded    94.667 %")
    assert lines[2] == (
        f"difference  {mean:+.3f} points [{low:+.3f}, {high:+.3f}], 3 seeds: {verdict}"
    )


def test_what_cannot_be_compared_is_named_with_the_reason(tmp_path):
    recorded = [trained(seed, 0.99) for seed in range(3)]
    (line,) = compared(tmp_path / "few", recorded, [trained(1, 0.99), trained(8, 0.99)])
    assert line == ("not compared: 3 seeds recorded, 2 trained again, 1 in common")
    changed = [trained(seed, 0.99, batch_size=64) for seed in range(3)]
    (line,) = compared(tmp_path / "config", recorded, changed)
    assert line == "not compared: trained again with other settings or on other data"
    changed = [item | {"fingerprint": "another"} for item in recorded]
    (line,) = compared(tmp_path / "data", recorded, changed)
    assert line == "not compared: trained again with other settings or on other data"
    older = [trained(seed, 0.99, augment="none") for seed in range(3)]
    assert compared(tmp_path / "older", recorded, older)[2].startswith("equal")
    (line,) = compared(tmp_path / "nothing", recorded, [])
    assert line.startswith("not compared: 3 seeds recorded, 0 trained again")


def test_the_command_compares(tmp_path, monkeypatch, capsys):
    for seed in range(2):
        runs.append(tmp_path / "recorded", trained(seed, 0.99))
        runs.append(tmp_path / "reproduced", trained(seed, 0.99))
    monkeypatch.setattr(
        sys,
        "argv",
        [
            *("runs", "--runs", str(tmp_path / "recorded")),
            *("--compare", str(tmp_path / "reproduced")),
        ],
    )
    runs.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "mnist/plain" and lines[-1].startswith("  equal to the last bit")


def test_help_explains_the_columns(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["runs", "--help"])
    with pytest.raises(SystemExit):
        runs.main()
    text = capsys.readouterr().out
    assert all(word in text for word in ("name", "seeds", "mean", "low", "high"))


def test_where_runs_are_kept(monkeypatch, tmp_path):
    monkeypatch.delenv("REPORT_RUNS", raising=False)
    assert runs.folders() == [ROOT / "data" / "runs", ROOT / "build" / "runs"]
    for named, folder in (("data/runs", ROOT / "data/runs"), (tmp_path, tmp_path)):
        monkeypatch.setenv("REPORT_RUNS", str(named))
        assert runs.folders() == [folder]


def test_the_machine_is_described_without_naming_it():
    facts = runs.machine()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["machine"]["cores"] >= 1 and facts["versions"]["torch"]


def test_records_are_not_changed_by_appending(tmp_path):
    item = record() | {"history": (math.inf,)}
    before = copy.deepcopy(item)
    runs.append(tmp_path, item)
    assert item == before


def test_records_become_rows_of_numbers():
    records = [
        {
            "history": {"train_loss": [3.0 - seed, 2.0, 1.0]},
            "final": {"test": {"accuracy": 0.5 + seed}},
            "test_predictions": {"32": "12", "64": f"7{seed}"},
        }
        for seed in (0, 1)
    ]
    assert runs.curves(records, "train_loss").tolist() == [[3, 2, 1], [2, 2, 1]]
    assert runs.curves(records, "train_loss", epochs=1).tolist() == [[3], [2]]
    assert runs.last_epoch(records, "train_loss").tolist() == [1, 1]
    assert runs.last_epoch(records, "train_loss", epochs=2).tolist() == [2, 2]
    assert runs.test_accuracy(records) == [0.5, 1.5]
    test = {
        64: Split(torch.zeros(2, 1, 64, 64), torch.tensor([7, 1])),
        32: Split(torch.zeros(2, 1, 32, 32), torch.tensor([2, 2])),
    }
    assert runs.rightness(records, test).tolist() == [[1, 0, 0, 1], [1, 1, 0, 1]]


# --- The labels that recorded answers are judged by -----------------------------------


@pytest.fixture
def labelled(tmp_path, monkeypatch):
    """Runs of two names on a data set of four test images, whose labels are kept."""
    monkeypatch.setattr(runs, "LABELS", tmp_path / "labels")
    test = {
        side: Split(torch.zeros(2, 1, side, side), torch.tensor(digits))
        for side, digits in ((32, [1, 2]), (64, [3, 4]))
    }
    dataset = DataSet("varres", tuple("0123456789"), "s", False, "f", test, test)
    runs.keep_labels(dataset, runs.LABELS)
    for name, answers in (
        ("varres/one", ["1234", "1230", "1204"]),
        ("varres/two", ["0000"]),
    ):
        for seed, digits in enumerate(answers):
            answered = {"32": digits[:2], "64": digits[2:]}
            accuracy = sum(map(str.__eq__, digits, "1234")) / 4
            run = record(seed, name, accuracy, data="varres")
            run |= {"fingerprint": "f", "test_predictions": answered}
            runs.append(tmp_path, run)
    return tmp_path


def test_recorded_answers_are_judged_without_images(labelled):
    found = runs.named(labelled)
    assert [*found] == ["varres/one", "varres/two"]
    right = [[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 0, 1]]
    assert runs.rightness(found["varres/one"]).tolist() == right
    with pytest.warns(UserWarning, match="varres/two has one seed"):
        both = runs.headlines(labelled, images=True)
    assert both == {"varres/one": stats.accuracy_interval(right)}
    with pytest.warns(UserWarning, match="varres/two has one seed"):
        by_seed = runs.headlines(labelled)["varres/one"]
    assert by_seed == stats.t_interval([1, 0.75, 0.75]) != both["varres/one"]


def test_runs_older_than_a_setting_count_for_the_same_name(labelled):
    newer = copy.deepcopy(runs.named(labelled)["varres/one"][0])
    newer["config"]["later_setting"] = 0
    newer["seed"] = 77
    runs.append(labelled, newer)
    seeds = [record["seed"] for record in runs.named(labelled)["varres/one"]]
    assert len(seeds) == 4 and seeds[-1] == 77


def test_answers_whose_labels_are_not_recorded_are_refused(labelled):
    (one, *_), (two,) = runs.named(labelled).values()
    with pytest.raises(ValueError, match="runs of none came in: give those of one"):
        runs.rightness([])
    two["config"]["data"] = "mnist"
    with pytest.raises(ValueError, match="runs of mnist, varres came in"):
        runs.rightness([one, two])
    with pytest.raises(ValueError, match="on data f by the name of 'mnist', whose"):
        runs.rightness([two])
    one["fingerprint"] = "other"
    with pytest.raises(ValueError, match="on data other by the name of 'varres'"):
        runs.rightness([one])


def test_every_recorded_answer_has_its_label_and_gives_the_recorded_accuracy():
    found = runs.named(runs.RECORDED)
    assert {name.split("/")[0] for name in found} == {*data.NAMES}
    for name, records in found.items():
        right = runs.rightness(records).mean(1)
        assert right == pytest.approx(runs.test_accuracy(records), abs=1e-9), name


@pytest.mark.parametrize("name", [name for name, r in RECIPES.items() if r.embedded])
def test_the_kept_labels_are_those_of_the_data(name, tmp_path, monkeypatch):
    monkeypatch.delenv("REPORT_DATA", raising=False)
    monkeypatch.delenv("REPORT_PROFILE", raising=False)
    written = runs.keep_labels(data.load(name), tmp_path)
    assert written.read_text() == (runs.LABELS / written.name).read_text()


def test_labels_of_the_quick_sets_are_not_kept(monkeypatch, capsys):
    monkeypatch.setenv("REPORT_PROFILE", "quick")
    monkeypatch.setattr(sys, "argv", ["runs", "--labels"])
    with pytest.raises(SystemExit):
        runs.main()
    assert "REPORT_PROFILE=quick has other test images" in capsys.readouterr().err
