"""A graphics card: all of it in little, what its checks see, what chapters show."""

import json
import os

import pytest
import torch

from helpers import bench
from helpers import ways as all_ways
from helpers.bench import gpu
from helpers.ways import Way

pytestmark = pytest.mark.usefixtures("small_data")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Records and outputs of its own."""
    monkeypatch.setenv("REPORT_BENCH", str(tmp_path))
    monkeypatch.setenv("REPORT_PROFILE", "quick")
    monkeypatch.setenv("TQDM_DISABLE", "1")
    return tmp_path


@pytest.fixture
def shown(monkeypatch):
    """What is displayed: (data, metadata) of each output."""
    outputs = []
    monkeypatch.setattr(
        "helpers.text.display",
        lambda data, metadata, **_: outputs.append((data, metadata)),
    )
    return outputs


@pytest.mark.slow
def test_all_of_it_runs_in_little_and_the_chapters_show_it(
    folder, shown, monkeypatch, capsys
):
    gpu.tell_convolutions()
    gpu.tell_training()
    assert not shown  # without a record nothing is said
    gpu.main(["--dry-run"])
    assert "no step waits: " in capsys.readouterr().out
    record = json.loads((folder / "gpu-dry-run.json").read_text())
    assert record["machine"]["gpu"] == (gpu.gpu() or None)
    values = record["values"]
    assert values["checks"].keys() == gpu.CHECKS.keys()
    assert [found["name"] for found in values["results"]] == list(gpu.RESULTS)
    for found in values["results"]:
        assert found["seconds"] > 0 and len(found["test_accuracy"]) == 1
    assert all(speed > 0 for s in values["images_per_second"].values() for speed in s)

    gpu.tell_training()
    assert not shown  # a rehearsal is shown by no chapter
    (folder / "gpu-dry-run.json").rename(folder / "gpu.json")
    gpu.tell_convolutions()
    gpu.tell_training()
    first, second = (data["text/markdown"] for data, _ in shown)
    assert all_ways.CASES[0].label in first
    assert all(way in first for way in all_ways.MEASURED)
    assert "usual loop" in second and "networks in one tensor" in second
    assert all(report["report"]["caption"] for _, report in shown)


def test_a_check_that_does_not_hold_is_named_and_ends_it(monkeypatch, capsys):
    def broken():
        raise AssertionError("values are 1 apart")

    monkeypatch.setattr(gpu, "CHECKS", {"one": lambda: None, "other": broken})
    monkeypatch.setattr(gpu, "RESULTS", ())
    monkeypatch.setattr(gpu, "training_speeds", lambda plan: {})
    monkeypatch.setattr(gpu, "convolution_seconds", lambda case, plan: {})
    with pytest.raises(SystemExit, match=r"Does not hold on this device: other$"):
        gpu.main(["--dry-run"])
    assert "other: does not hold: values are 1 apart" in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a graphics card")
@pytest.mark.machine
def test_without_a_card_only_a_rehearsal_is_made():
    with pytest.raises(SystemExit, match="no graphics card: --dry-run"):
        gpu.main([])


# --- The checks see what they are for -------------------------------------------------


def test_numbers_that_are_not_those_of_a_cpu_are_seen(monkeypatch):
    gpu.like_the_cpu()
    way = all_ways.WAYS["im2row"]
    wrong = Way("im2row", lambda *given: way.convolve(*given) * 1.001, way.cost)
    monkeypatch.setitem(all_ways.WAYS, "im2row", wrong)
    with pytest.raises(AssertionError, match=r"values are .* apart, allowed"):
        gpu.like_the_cpu()


def test_gradients_that_autocast_spoils_are_seen(monkeypatch):
    gpu.under_autocast()
    apply = gpu.Conv2DFunc.apply

    class Spoiled:
        @staticmethod
        def apply(X, K):
            result = apply(X, K)
            return result * 2 if torch.is_autocast_enabled("cpu") else result

    monkeypatch.setattr(gpu, "Conv2DFunc", Spoiled)
    monkeypatch.setattr(
        gpu, "reduced", lambda *_: torch.autocast("cpu", torch.bfloat16)
    )
    with pytest.raises(AssertionError, match="apart, allowed"):
        gpu.under_autocast()


def test_a_training_that_is_another_the_second_time_is_seen(monkeypatch):
    gpu.deterministic()
    train = gpu._trained

    def changing(config):
        training = train(config)
        next(training.model.parameters()).data += torch.rand(1) * 1e-6
        return training

    monkeypatch.setattr(gpu, "_trained", changing)
    with pytest.raises(AssertionError, match="differs"):
        gpu.deterministic()


def test_images_that_lie_elsewhere_are_seen(monkeypatch):
    gpu.resident()
    monkeypatch.setattr(gpu, "device", lambda: torch.device("meta"))
    with pytest.raises(AssertionError, match="holds them"):
        gpu.resident()


def test_data_that_cannot_be_had_are_left_out_and_said(monkeypatch, capsys):
    def locate(name):
        raise gpu.data.DataMissing("CIFAR-10", "no answer", "Fetch it.")

    monkeypatch.setattr(gpu.data, "locate", locate)
    found = gpu.result("cifar10/best-long", gpu.LITTLE)
    assert "CIFAR-10 could not be had" in found["missing"]
    assert "left out" in capsys.readouterr().out


def test_a_call_is_timed_many_times_when_it_is_short():
    calls = []
    seconds = gpu._seconds(lambda: calls.append(1))
    assert 0 < seconds < 1e-3 and len(calls) > 100


def test_the_record_of_a_card_is_found_whatever_its_settings(folder):
    assert bench.made("gpu") is None
    made = bench.renew("gpu", {"seeds": 1}, lambda: {"x": 1})
    assert bench.made("gpu") == made
    assert os.listdir(folder) == ["gpu.json"]
