"""Sweeps: look up, train what is missing, in processes here and on a Dask cluster."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from helpers import project, runs
from helpers.training import Config, load_model, sweep, sweeps, train
from helpers.training import batches as batching
from helpers.training.loop import train_side_by_side

ROOT = Path(__file__).resolve().parent.parent
TINY = Config(epochs=1, batch_size=200)


@pytest.fixture(autouse=True)
def folder(small_data, monkeypatch, tmp_path):
    """Small data, and records in a folder of the test's own."""
    monkeypatch.setenv("REPORT_RUNS", str(tmp_path / "runs"))
    monkeypatch.delenv("REPORT_CLUSTER", raising=False)
    return tmp_path / "runs"


@pytest.fixture
def trained(monkeypatch):
    """The (batch size, seed) of every run that is really trained, in this process."""
    calls = []

    def spy(tasks, *rest, **more):
        calls.extend((config.batch_size, seed) for config, seed in tasks)
        return train_side_by_side(tasks, *rest, **more)

    monkeypatch.setattr(sweeps, "train_side_by_side", spy)
    monkeypatch.setattr(sweeps, "cpu_count", lambda: 1)
    return calls


def without_times(record):
    history = {k: v for k, v in record["history"].items() if k != "seconds"}
    return record | {"history": history, "seconds": None}


def test_only_what_is_missing_is_trained_and_everything_is_returned(trained, folder):
    first = sweep([TINY], seeds=[3])
    assert trained == [(200, 3)]
    other = replace(TINY, batch_size=300)
    both = sweep([other, TINY], seeds=[3, 4])
    assert sorted(trained[1:]) == [(200, 4), (300, 3), (300, 4)]
    assert list(both) == [other, TINY]
    assert [record["seed"] for record in both[TINY]] == [3, 4]
    assert both[TINY][0] == first[TINY][0]
    assert sweep([other, TINY], seeds=[3, 4]) == both
    assert len(trained) == len(runs.read(folder)) == 4


def test_records_are_those_of_train(trained):
    record = sweep([TINY], seeds=[0])[TINY][0]
    expected = json.loads(json.dumps(train(TINY, 0, progress=False)[1]))
    assert without_times(record) == without_times(expected)


def test_with_small_data_few_seeds_epochs_and_configs_are_trained(trained, capsys):
    sweeps._say_that_all_is_quick.cache_clear()
    long = replace(TINY, epochs=9)
    records = sweep([long], seeds=range(5))[long]
    assert [record["seed"] for record in records] == [0, 1]
    assert [len(record["history"]["train_loss"]) for record in records] == [2, 2]
    assert "no run has more than 2 epochs" in capsys.readouterr().out
    many = [replace(TINY, batch_size=size) for size in (200, 300, 400, 500)]
    other = replace(many[2], network="LabNet", learning_rate=0.5)
    found = sweep([*many, other], seeds=[0])
    assert [found[c][0]["config"]["batch_size"] for c in (*many, other)] == [
        *(200, 300, 400, 200, 400)  # the last two were not trained
    ]


def test_what_is_recorded_is_found_without_images(trained, monkeypatch):
    first = sweep([TINY], seeds=[0])
    monkeypatch.setattr(sweeps, "load_data", None)
    assert sweep([TINY], seeds=[0]) == first


def test_new_runs_stay_apart_from_the_committed_ones_unless_asked(
    trained, tmp_path, monkeypatch
):
    """A reader's run is found again, and so is a committed one, with its weights."""
    monkeypatch.delenv("REPORT_RUNS")
    monkeypatch.setattr(project, "ROOT", tmp_path)
    sweep([TINY], seeds=[0], headline="mnist/plain")
    assert not (tmp_path / "data").exists()
    own = tmp_path / "build" / "runs"
    assert len(runs.read(own)) == 1
    monkeypatch.setenv("REPORT_RUNS", "data/runs")
    other = replace(TINY, batch_size=300)
    sweep([other], seeds=[0], headline="mnist/plain")
    assert len(runs.read(tmp_path / "data" / "runs")) == 1
    monkeypatch.delenv("REPORT_RUNS")
    found = {c: sweep([c], [0], headline="mnist/plain")[c][0] for c in (TINY, other)}
    assert len(trained) == 2
    weights = [load_model(record)[0].weight for record in found.values()]
    assert not torch.equal(*weights)
    for path in own.rglob("*.safetensors"):
        path.unlink()
    with pytest.raises(ValueError, match=r"none of data/runs/weights, build/runs"):
        load_model(found[TINY])


def test_a_headline_is_tested_once_and_keeps_its_weights(trained):
    sweep([TINY], seeds=[0, 1])
    records = sweep([TINY], seeds=[0, 1], headline="mnist/plain")[TINY]
    assert sweep([TINY], seeds=[0, 1], headline="mnist/plain")[TINY] == records
    assert len(trained) == 4
    images = batching.load_data("mnist").test[28].images
    for record in records:
        with torch.no_grad():
            model = load_model(record)
            assert model[3].weight.is_contiguous(memory_format=torch.channels_last)
            scores = model(batching.network_input(images))
        predictions = "".join(map(str, scores.argmax(1).tolist()))
        assert record["test_predictions"] == {"28": predictions}
    # A headline serves a sweep too.
    assert sweep([TINY], seeds=[0])[TINY] == records[:1]
    assert len(trained) == 4
    other = sweep([replace(TINY, batch_size=300)], seeds=[0])
    with pytest.raises(ValueError, match="seed 0 kept no weights"):
        load_model(*other.popitem()[1])


def test_a_headline_is_the_result_of_one_config():
    with pytest.raises(ValueError, match="'mnist/plain' came with 2 configs"):
        sweep([TINY, Config()], seeds=[0], headline="mnist/plain")


def test_runs_that_diverged_are_recorded_and_carry_no_headline(trained, folder):
    config = replace(TINY, learning_rate=1e30)
    with (
        pytest.warns(UserWarning, match="diverged"),
        pytest.raises(
            ValueError, match=r"'mnist/lost' those of the seeds \[0, 1\] div"
        ),
    ):
        sweep([config], [1, 0], headline="mnist/lost")
    assert [record["diverged"] for record in runs.read(folder)] == [True, True]


@pytest.mark.parametrize("address", ["nonsense", "tcp://127.0.0.1:1"])
def test_a_cluster_that_answers_nobody_is_one_sentence(address, monkeypatch):
    pytest.importorskip("dask.distributed")
    monkeypatch.setattr(sweeps, "SECONDS_FOR_AN_ANSWER", 0.1)
    monkeypatch.setenv("REPORT_CLUSTER", address)
    with pytest.raises(
        ValueError, match=f"REPORT_CLUSTER is '{address}', where no"
    ) as e:
        sweep([TINY], [0])
    assert e.value.__context__ is None and "\n" not in str(e.value)


def test_a_damaged_record_is_named_and_its_run_trained_again(trained, folder):
    expected = sweep([TINY], seeds=[0])[TINY]
    path = folder / "mnist.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.warns(UserWarning, match="line 1 is damaged"):
        again = sweep([TINY], seeds=[0])[TINY]
    assert without_times(again[0]) == without_times(expected[0])
    assert trained == [(200, 0), (200, 0)]


def test_runs_that_finished_before_a_failure_are_recorded(monkeypatch, folder, trained):
    def fail_late(tasks, *rest, **more):
        if tasks[0][1] == 1:
            raise RuntimeError("out of memory")
        return train_side_by_side(tasks, *rest, **more)

    monkeypatch.setattr(sweeps, "train_side_by_side", fail_late)
    with pytest.raises(RuntimeError, match="out of memory"):
        sweep([TINY], seeds=[0, 1])
    assert [record["seed"] for record in runs.read(folder)] == [0]


def test_a_group_is_trained_at_once_and_recorded_run_by_run(
    monkeypatch, folder, trained
):
    monkeypatch.setattr(sweeps, "_group_size", lambda: 3)
    found = sweep([TINY, replace(TINY, batch_size=300)], seeds=[0, 1])
    assert len(runs.read(folder)) == len(trained) == 4
    assert [record["seed"] for record in found[TINY]] == [0, 1]
    alone = train(TINY, 0, progress=False)[1]
    first = found[TINY][0]
    assert first["side_by_side"] == 3
    assert first["final"] == json.loads(json.dumps(alone["final"]))


def test_a_worker_with_other_data_is_refused():
    with pytest.raises(ValueError, match="loads other mnist data than this process"):
        sweeps._train_group([(TINY, 0)], ["0000000000000000"], None)


# --- Real processes, and a real cluster -----------------------------------------------

SLOW = [Config(epochs=2, batch_size=size) for size in (4, 5, 6)]


@pytest.fixture
def cluster(tmp_path):
    """Address of a Dask scheduler, and the processes of its two workers."""

    def start(program, *arguments):
        command = [sys.executable, "-m", f"distributed.cli.{program}", *arguments]
        with (tmp_path / "cluster.log").open("ab") as log:
            return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)

    file = tmp_path / "scheduler.json"
    at = ["--scheduler-file", str(file)]
    free = ["--host", "127.0.0.1", "--port", "0"]
    processes = [start("dask_scheduler", *at, *free, "--no-dashboard")]
    wait_until(file.exists)
    alone = ["--nthreads", "1", "--no-nanny", "--no-dashboard"]
    processes += [start("dask_worker", *at, *alone) for _ in range(2)]
    wait_until(lambda: read_log(tmp_path).count("Registered to") == 2)
    yield json.loads(file.read_text())["address"], processes[1:]
    for process in reversed(processes):
        process.kill()
        process.wait()


def read_log(folder):
    return (folder / "cluster.log").read_text()


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_gives_what_local_processes_give(
    cluster, monkeypatch, tmp_path
):
    local = sweep(SLOW, seeds=[0, 1])

    folder = tmp_path / "cluster-runs"
    monkeypatch.setenv("REPORT_RUNS", str(folder))
    address, workers = cluster
    monkeypatch.setenv("REPORT_CLUSTER", address)
    recorded_at_death = []

    def kill_one_mid_sweep():
        wait_until(lambda: runs.read(folder))
        os.kill(workers[0].pid, signal.SIGKILL)
        recorded_at_death.append(len(runs.read(folder)))

    killer = threading.Thread(target=kill_one_mid_sweep)
    killer.start()
    remote = sweep(SLOW, seeds=[0, 1])
    killer.join()

    assert workers[0].wait() == -signal.SIGKILL and workers[1].poll() is None
    assert 1 <= recorded_at_death[0] < 5  # so that both workers were still needed
    identities = [(r["config"]["batch_size"], r["seed"]) for r in runs.read(folder)]
    assert sorted(identities) == [(size, seed) for size in (4, 5, 6) for seed in (0, 1)]
    assert list(remote) == list(local)
    for config in SLOW:
        pairs = zip(remote[config], local[config], strict=True)
        assert all(without_times(a) == without_times(b) for a, b in pairs)
