"""Configs that are refused, and runs: loss, determinism, resumption, test set."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open

from helpers import canvas, runs
from helpers.augment import augment
from helpers.data import Split
from helpers.models import CifarNet, FixedNet
from helpers.training import Config, Training, evaluate, loop, train
from helpers.training import batches as batching
from helpers.training.evaluation import summed_loss
from helpers.training.loop import reproducible, train_side_by_side

ROOT = Path(__file__).resolve().parent.parent

# Everything that a checkpoint must carry is in use.
RICH = Config(
    epochs=3,
    batch_size=100,
    learning_rate=3e-3,
    schedule="one-cycle",
    weight_average=0.9,
    label_smoothing=0.1,
    augmentation=[("affine", {"degrees": 10, "translate": 0.1})],
)


pytestmark = pytest.mark.usefixtures("small_data")


def without_times(record):
    """The part of a record that must be the same every time."""
    history = {k: v for k, v in record["history"].items() if k != "seconds"}
    return record | {"history": history, "seconds": None}


def weights(model):
    return torch.cat([values.flatten() for values in model.state_dict().values()])


# --- Config ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batchsize": 3}, "unknown setting 'batchsize': use data, .*batch_size"),
        ({"data": "imagenet"}, "data is 'imagenet': use 'mnist' or 'varres' or"),
        ({"network": "ResNet"}, "network is 'ResNet': use 'FixedNet' or"),
        ({"loss": "hinge"}, "loss is 'hinge': use 'cross-entropy' or 'binary"),
        ({"optimizer": "adam"}, "optimizer is 'adam': use 'Adam' or 'AdamW' or"),
        ({"schedule": None}, "schedule is None: use 'constant' or 'one-cycle'"),
        ({"batch_size": 0}, "batch_size is 0: use a whole number from 1 up"),
        ({"epochs": 2.5}, "epochs is 2.5: use a whole number from 1 up"),
        ({"epochs": True}, "epochs is True: use a whole number"),
        ({"learning_rate": 0}, "learning_rate is 0.0: use a number above 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan: use a number above"),
        ({"learning_rate": "0.1"}, "learning_rate is '0.1': use a number"),
        ({"validation_share": 1}, "validation_share is 1.0: use a number from 0 up"),
        ({"weight_average": -0.1}, "weight_average is -0.1: use a number from 0"),
        (
            {"loss": "binary cross-entropy", "label_smoothing": 0.1},
            "label_smoothing is 0.1: use 0 with the loss",
        ),
        ({"augmented_share": 1.1}, "augmented_share is 1.1: use a number from 0 to 1"),
        ({"weight_decay": -1}, "weight_decay is -1.0: use a number from 0 up"),
        ({"weight_decay": 0.1}, "weight_decay is 0.1: use 0 with 'Adam', or AdamW or"),
        ({"batch_norm": 1}, "batch_norm is 1: use True or False"),
        ({"training_share": 0}, "training_share is 0.0: use a number above 0, up to 1"),
        ({"precision": "float16"}, "precision is 'float16': use 'float32' or"),
        ({"batch_order": "sorted"}, "batch_order is 'sorted': use 'mixed'"),
        ({"preparation": [("shrink", {})]}, "unknown preparation 'shrink': use"),
        ({"preparation": [("pad", {})]}, r"pad got the options \[\]: it takes"),
        ({"preparation": [("pad", {"size": 0})]}, "size of pad is 0: use a whole"),
        ({"augmentation": [("twist", {})]}, "twist.*affine"),
        (
            {"network_options": {"pooling": "max"}},
            "network_options has pooling; FixedNet takes image_size, in_channels",
        ),
        ({"data": ["mnist"]}, r"data is \['mnist'\]: use 'mnist' or"),
        ({"preparation": ["pad"]}, "the step 'pad' is not a pair of a name and opt"),
        ({"network_options": 28}, "network_options is 28: use names and values"),
        ({"network_options": {"image_size": 4}}, "image_size is 4.* at least 8"),
        ({"network_options": {"image_size": 28.5}}, "image_size is 28.5: use a whole"),
        ({"network_options": {"channels": (1, 2)}}, "FixedNet cannot be made with"),
        ({"network_options": {"channels": (0, 1, 1)}}, "FixedNet cannot be made with"),
        ({"network_options": {"classes": "x"}}, "FixedNet cannot be made with them"),
        ({"network_options": {"classes": 5}}, "is 5: all data sets have 10"),
    ],
)
def test_a_wrong_name_or_value_says_what_is_allowed(settings, message):
    with pytest.raises(ValueError, match=message):
        Config(**settings)


def test_numbers_of_every_library_make_the_same_config():
    foreign = Config(
        epochs=np.int64(3),
        batch_size=torch.tensor(16),
        learning_rate=np.float64(0.01),
        network_options={"image_size": np.int32(64)},
        preparation=[("pad", {"size": np.int64(64)})],
        augmentation=[("affine", {"degrees": np.array(10.0)})],
    )
    settings = json.loads(json.dumps(foreign.to_dict()))
    assert Config(**settings) == foreign
    assert settings["augmentation"] == [["affine", {"degrees": 10.0}]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data": "varres"}, "32 x 32 px here, which FixedNet with {'image_size': 28"),
        ({"data": "cifar10"}, "images of 3 channels and 32 x 32 px"),
        ({"network_options": {"image_size": 64}}, "28 x 28 px.*'image_size': 64"),
        ({"preparation": [("resize", {"size": 40})]}, "40 x 40 px"),
        (
            {
                "network": "VariableNet",
                "network_options": {"channels": (2,) * 5},
            },
            "28 x 28 px here, which VariableNet",
        ),
    ],
)
def test_images_that_a_network_cannot_take_are_refused_before_training(
    settings, message
):
    with pytest.raises(ValueError, match=message):
        Training(Config(**settings), seed=0)


def test_a_config_survives_json_and_is_equal_however_it_was_written():
    config = Config(
        network="VariableNet",
        network_options={"pooling": "mean", "channels": [4, 8]},
        learning_rate=1,
        preparation=[("centre", {}), ("resize", {"size": 28})],
        augmentation=[("affine", {"scale": [0.9, 1.1], "degrees": 15})],
    )
    again = Config(**json.loads(json.dumps(config.to_dict())))
    assert again == config and hash(again) == hash(config)
    other = {"channels": (4, 8), "pooling": "mean"}
    assert replace(config, network_options=other, learning_rate=1.0) == config
    turned = [("affine", {"degrees": 15, "scale": (0.9, 1.1)})]
    assert replace(config, augmentation=turned) == config
    assert replace(config, epochs=3) != config


# --- Batches and loss -----------------------------------------------------------------


def test_an_epoch_sees_every_image_once_in_a_new_order_and_slices_forgive():
    labels = torch.arange(25)
    images = labels.to(torch.uint8).reshape(25, 1, 1, 1).expand(25, 1, 8, 8)
    rng = np.random.default_rng(0)
    first, second = (
        list(batching.batches([Split(images, labels)], Config(batch_size=10), rng))
        for _ in range(2)
    )
    for epoch in (first, second):
        assert [len(batch) for _, batch in epoch] == [10, 10, 5]
        seen = torch.cat([batch for _, batch in epoch])
        assert sorted(seen.tolist()) == labels.tolist()
        assert all((i[:, 0, 0, 0] == batch).all() for i, batch in epoch)
    orders = [torch.cat([batch for _, batch in epoch]) for epoch in (first, second)]
    assert not torch.equal(*orders) and not torch.equal(orders[0], labels)


SIZES = {
    size: Split(
        torch.zeros(40, 1, size, size, dtype=torch.uint8), torch.arange(39, -1, -1) // 4
    )
    for size in (16, 8)
}


def drawn(splits, config):
    """Side of the images of every batch, and all labels in their order."""
    parts = batching.blocks(splits, config)
    found = [*batching.batches(parts, config, np.random.default_rng(0))]
    labels = torch.cat([labels for _, labels in found]).tolist()
    return [images.shape[-1] for images, _ in found], labels


def test_batches_of_several_resolutions_are_of_one_each_in_mixed_order():
    sizes, _ = drawn(SIZES, Config(batch_size=3))
    assert sizes.count(8) == sizes.count(16) == 14
    assert sizes not in (sorted(sizes), sorted(sizes, reverse=True))


def test_blocked_batches_come_one_size_after_the_other():
    sizes, labels = drawn(SIZES, Config(batch_size=3, batch_order="blocked"))
    assert sizes == [8] * 14 + [16] * 14
    assert labels[:40] != sorted(labels[:40])


def test_images_by_class_come_sorted_and_all_sizes_take_turns():
    config = Config(batch_size=3, image_order="by class", batch_order="blocked")
    _, labels = drawn(SIZES, config)
    assert labels == [label for label in range(10) for _ in range(4)] * 2


def test_images_that_were_brought_to_one_size_share_batches():
    sizes = replace(Config(), preparation=[("resize", {"size": 12})])
    same = batching.prepared(SIZES, sizes, torch.device("cpu"))
    assert list(same) == [16, 8]
    (block,) = batching.blocks(same, sizes)
    assert block.images.shape == (80, 1, 12, 12) and len(block.labels) == 80
    assert len(batching.blocks(same, replace(sizes, batch_order="blocked"))) == 2


def test_a_share_of_the_training_images_leaves_the_held_out_ones_alone():
    digits = batching.load_data("mnist").train
    whole = batching.hold_out(digits, Config())
    share = batching.hold_out(digits, Config(training_share=0.25))
    assert torch.equal(share[1][28].images, whole[1][28].images)
    quarter = round(len(whole[0][28].labels) / 4)
    assert torch.equal(share[0][28].images, whole[0][28].images[:quarter])


def test_the_held_out_images_are_the_same_for_every_seed_and_never_trained_on():
    first, second = Training(Config(), seed=0), Training(Config(), seed=1)
    whole = first.data.train[28]
    held = first.validation_splits[28]
    assert torch.equal(held.images, second.validation_splits[28].images)
    kept = first.train_splits[28]
    assert len(held.labels) == round(len(whole.labels) / 6)
    both = torch.cat([held.images, kept.images]).flatten(1)
    expected = whole.images.flatten(1)
    assert sorted(map(bytes, both.numpy())) == sorted(map(bytes, expected.numpy()))


def test_images_become_numbers_from_0_to_1():
    images = torch.tensor([[0, 51], [102, 255]], dtype=torch.uint8).reshape(1, 1, 2, 2)
    values = batching.network_input(images).flatten().tolist()
    assert values == pytest.approx([0, 0.2, 0.4, 1])


def test_the_losses_are_those_of_pytorch_per_sample():
    scores, labels = torch.randn(7, 10), torch.randint(10, (7,))
    cross_entropy = summed_loss(scores, labels, "cross-entropy") / 7
    torch.testing.assert_close(cross_entropy, F.cross_entropy(scores, labels))
    smooth = summed_loss(scores, labels, "cross-entropy", 0.1) / 7
    expected = F.cross_entropy(scores, labels, label_smoothing=0.1)
    torch.testing.assert_close(smooth, expected)
    binary = summed_loss(scores, labels, "binary cross-entropy") / 7
    expected = F.binary_cross_entropy_with_logits(scores, torch.eye(10)[labels])
    torch.testing.assert_close(binary, expected)


@pytest.mark.parametrize("batch_size", [7, 32, 96, 5_000])
def test_the_loss_is_per_sample_on_ragged_batches_too(batch_size):
    # With a vanishing learning rate the epoch's loss is that of the untrained network,
    # at whatever batch size; a mean of batch means would differ.
    config = Config(batch_size=batch_size, epochs=1, learning_rate=1e-30)
    model, record = train(config, seed=0, progress=False)
    samples = Training(config, seed=0).train_splits[28]
    assert len(samples.labels) % batch_size
    images = batching.network_input(samples.images)
    with torch.no_grad():
        scores = model(images)
    expected = F.cross_entropy(scores, samples.labels).item()
    assert record["history"]["train_loss"] == [pytest.approx(expected, rel=1e-6)]
    assert record["final"]["train"]["loss"] == pytest.approx(expected, rel=1e-5)

    smoothed = replace(config, label_smoothing=0.5)
    _, record = train(smoothed, seed=0, progress=False)
    smooth = F.cross_entropy(scores, samples.labels, label_smoothing=0.5).item()
    assert abs(smooth - expected) > 5e-5
    assert record["history"]["train_loss"] == [pytest.approx(smooth, rel=1e-6)]
    assert record["final"]["train"]["loss"] == pytest.approx(expected, rel=1e-5)


def test_evaluate_tells_loss_and_accuracy_per_resolution_and_over_all():
    digits = batching.load_data("varres")
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten(), torch.nn.Linear(16, 10)
    )
    result = evaluate(model, digits.test)
    right, loss, total = 0, 0.0, 0
    for size, split in digits.test.items():
        scores = model(split.images / 255)
        hits = (scores.argmax(1) == split.labels).sum().item()
        assert result.accuracy_by_resolution[size] == hits / len(split.labels)
        torch.testing.assert_close(result.scores[size], scores)
        right, total = right + hits, total + len(split.labels)
        loss += F.cross_entropy(scores, split.labels, reduction="sum").item()
    assert result.accuracy == right / total
    assert result.loss == pytest.approx(loss / total, rel=1e-5)


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({}, "there are no images to evaluate"),
        ({28: (torch.zeros(0, 1, 28, 28).byte(), [])}, "no images to evaluate"),
        ({28: (torch.rand(2, 1, 28, 28), [0, 1])}, "28 px are torch.float32 .*uint8"),
        ({28: (torch.zeros(2, 28, 28).byte(), [0, 1])}, r"of shape \(2, 28, 28\)"),
        ({28: (torch.zeros(2, 1, 28, 28).byte(), [0])}, "one label for each"),
    ],
)
def test_other_images_than_a_data_set_holds_are_not_evaluated(splits, message):
    given = {
        size: Split(images, torch.tensor(labels, dtype=torch.int64))
        for size, (images, labels) in splits.items()
    }
    with pytest.raises(ValueError, match=message):
        evaluate(FixedNet(), given)


# --- Runs -----------------------------------------------------------------------------


def test_a_run_that_diverges_says_so_and_is_marked():
    config = Config(epochs=1, batch_size=500, learning_rate=1e30)
    with pytest.warns(UserWarning, match="seed 3 diverged: .* lower the learning rate"):
        _, record = train(config, seed=3, progress=False)
    assert record["diverged"] is True and runs.diverged(record)
    _, sound = train(replace(config, learning_rate=1e-3), seed=3, progress=False)
    assert "diverged" not in sound and not runs.diverged(sound)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not():
    threads = torch.get_num_threads()
    torch.manual_seed(5)
    expected_next = torch.rand(1)
    torch.manual_seed(5)
    model, record = train(RICH, seed=0, progress=False)
    assert torch.equal(torch.rand(1), expected_next)  # the caller's random numbers
    assert torch.get_num_threads() == threads
    again, record_again = train(RICH, seed=0, progress=False)
    assert torch.equal(weights(model), weights(again))
    assert without_times(record) == without_times(record_again)
    other, _ = train(RICH, seed=1, progress=False)
    assert not torch.equal(weights(model), weights(other))


def test_every_epoch_and_every_seed_has_its_own_order(monkeypatch):
    orders = []

    def spy(*arguments):
        seen = list(batching.batches(*arguments))
        orders.append(torch.cat([labels for _, labels in seen]))
        return seen

    monkeypatch.setattr("helpers.training.loop.batches", spy)
    for seed in range(2):
        train(Config(epochs=2, batch_size=500), seed, progress=False)
    orders = [tuple(order.tolist()) for order in orders]
    assert len(set(orders)) == 4 and len({*map(tuple, map(sorted, orders))}) == 1


@pytest.mark.parametrize(
    "config",
    [RICH, Config(epochs=3, batch_size=100, optimizer="RMSprop", validation_share=0)],
)
def test_a_run_saved_after_any_epoch_goes_on_to_the_same_bits(config, tmp_path):
    path = tmp_path / "run.safetensors"
    with reproducible():
        whole = Training(config, seed=4)
        for _ in range(config.epochs):
            resumed = Training(config, seed=4)
            if path.exists():
                resumed.resume(path)
            resumed.run_epoch()
            resumed.save(path)
            whole.run_epoch()
        assert resumed.epochs_done == 3
        assert torch.equal(weights(resumed.model), weights(whole.model))
        assert without_times(resumed.record(None)) == without_times(whole.record(None))


KILLED = """
import sys
from pathlib import Path
from helpers.training import Config, train
import json
config = Config(**json.loads(sys.argv[1]))
train(config, 3, "mnist/plain", Path(sys.argv[2]), progress=False)
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    config = replace(RICH, batch_size=4, epochs=6)
    path = tmp_path / "run.safetensors"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, json.dumps(config.to_dict()), str(path)],
        cwd=ROOT,
    )
    deadline = time.monotonic() + 300  # a busy machine takes its time to start it
    while saved_epochs(path) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    done = saved_epochs(path)
    assert 2 <= done < 6

    trained = []
    steps = Training.steps
    monkeypatch.setattr(
        Training, "steps", lambda *args: (trained.append(1), steps(*args))[1]
    )
    model, record = train(config, 3, "mnist/plain", path, progress=False)
    assert len(trained) == 6 - done
    expected, expected_record = train(config, 3, "mnist/plain", progress=False)
    assert torch.equal(weights(model), weights(expected))
    assert without_times(record) == without_times(expected_record)


def saved_epochs(path):
    if not path.exists():
        return 0
    with safe_open(path, "pt") as file:
        return len(json.loads(file.metadata()["facts"])["history"]["train_loss"])


@pytest.mark.parametrize("damage", ["other seed", "half a file", "no file format"])
def test_an_unfit_checkpoint_is_named_and_the_run_starts_afresh(damage, tmp_path):
    config = Config(epochs=1, batch_size=200)
    path = tmp_path / "run.safetensors"
    train(config, seed=0, checkpoint=path, progress=False)
    seed = 1 if damage == "other seed" else 0
    if damage == "half a file":
        path.write_bytes(path.read_bytes()[:5_000])
    if damage == "no file format":
        path.write_text("no checkpoint")
    with pytest.warns(UserWarning, match=r"run\.safetensors is of no use"):
        _, record = train(config, seed, checkpoint=path, progress=False)
    expected = train(config, seed, progress=False)[1]
    assert without_times(record) == without_times(expected)


class Untouchable(dict):
    def items(self):
        raise AssertionError("the test set was looked at")


def test_the_test_set_is_looked_at_for_a_headline_only(monkeypatch):
    config = Config(epochs=1, batch_size=100)
    model, record = train(config, 0, headline="mnist/plain", progress=False)
    test = batching.load_data("mnist").test
    result = evaluate(model, test)
    assert record["final"]["test"]["accuracy"] == result.accuracy
    predictions = result.scores[28].argmax(1).tolist()
    assert record["test_predictions"] == {"28": "".join(map(str, predictions))}

    digits = replace(batching.load_data("mnist"), test=Untouchable(test))
    monkeypatch.setattr("helpers.training.loop.load_data", lambda name: digits)
    _, record = train(config, 0, progress=False)
    assert "test" not in record["final"] and "test_predictions" not in record
    with pytest.raises(AssertionError, match="the test set was looked at"):
        train(config, 0, headline="mnist/plain", progress=False)


@pytest.mark.slow
def test_every_kind_of_run_learns_the_digits():
    for config in (
        Config(epochs=6, learning_rate=3e-3),
        Config(epochs=6, learning_rate=3e-3, loss="binary cross-entropy"),
        Config(epochs=6, network="LabNet", optimizer="RMSprop"),
        replace(RICH, epochs=6, batch_size=32, learning_rate=1e-2),
    ):
        _, record = train(config, seed=0, progress=False)
        history = record["history"]
        assert record["final"]["validation"]["accuracy"] > 0.85, config
        assert history["train_loss"][-1] < history["train_loss"][0]
        assert len(history["validation_accuracy"]) == 6


def test_every_image_is_augmented_anew_but_never_when_it_is_judged(monkeypatch):
    seen = []

    def spy(images, steps, generator):
        seen.append(augment(images, steps, generator))
        return seen[-1]

    monkeypatch.setattr("helpers.training.loop.augment", spy)
    config = Config(epochs=2, batch_size=2000, augmentation=RICH.augmentation)
    train(config, 0, progress=False)
    first, second = (images.flatten(1).sort(dim=0)[0] for images in seen)
    assert not torch.equal(first, second)
    plain = Training(config, 0).train_splits[28].images
    assert all(len(images) == len(plain) for images in seen)


def test_bfloat16_learns_as_well_and_is_judged_in_float32():
    config = Config(epochs=4, learning_rate=3e-3)
    exact, short = (
        train(replace(config, precision=precision), 0, progress=False)[1]
        for precision in ("float32", "bfloat16")
    )
    assert short["history"]["train_loss"] != exact["history"]["train_loss"]
    difference = [
        record["final"]["validation"]["accuracy"] for record in (exact, short)
    ]
    assert difference[0] == pytest.approx(difference[1], abs=0.03)


def test_images_are_prepared_for_training_and_test_alike():
    config = Config(
        data="varres",
        epochs=1,
        batch_size=100,
        preparation=[("resize", {"size": 28})],
    )
    model, record = train(config, 0, headline="varres/fixed-28", progress=False)
    assert set(record["test_predictions"]) == {"32", "48", "64"}
    test = batching.load_data("varres").test[64]
    resized = canvas.prepare(test.images, config.preparation)
    scores = model(batching.network_input(resized))
    predictions = "".join(map(str, scores.argmax(1).tolist()))
    assert record["test_predictions"]["64"] == predictions


def test_a_network_for_all_sizes_trains_on_mixed_resolutions():
    config = Config(
        data="varres",
        network="VariableNet",
        epochs=1,
        network_options={"last_channels": 8},
    )
    _, record = train(config, 0, headline="varres/variable", progress=False)
    assert set(record["final"]["test"]["accuracy_by_resolution"]) == {"32", "48", "64"}
    assert set(record["test_predictions"]) == {"32", "48", "64"}


def test_colour_images_train():
    config = Config(data="cifar10", network="CifarNet", epochs=1, batch_size=100)
    model, record = train(config, 0, progress=False)
    assert isinstance(model, CifarNet)
    assert record["history"]["train_loss"][0] < 2.4


def test_without_held_out_images_there_is_no_validation():
    config = Config(epochs=1, batch_size=200, validation_share=0)
    _, record = train(config, 0, progress=False)
    assert set(record["final"]) == {"train"}
    assert set(record["history"]) == {"train_loss", "train_accuracy", "seconds"}


def test_one_cycle_rises_to_the_learning_rate_and_falls_to_nearly_nothing():
    training = Training(replace(RICH, epochs=2), seed=0)
    rates = []
    step = training.optimizer.step
    training.optimizer.step = lambda: (
        rates.append(training.optimizer.param_groups[0]["lr"]),
        step(),
    )
    with reproducible():
        training.run_epoch()
        training.run_epoch()
    peak = rates.index(max(rates))
    assert max(rates) == pytest.approx(3e-3, rel=0.01)
    assert 0.2 < peak / len(rates) < 0.4
    assert rates[0] < 3e-3 / 20 and rates[-1] < 3e-3 / 1_000


def test_the_last_epochs_see_the_images_as_they_are(monkeypatch):
    seen = []
    monkeypatch.setattr(
        loop, "augment", lambda images, steps, _: (seen.append(steps), images)[1]
    )
    training = Training(replace(RICH, epochs=4, augmented_share=0.5), seed=0)
    with reproducible():
        for _ in range(4):
            training.run_epoch()
    each = len(seen) // 4
    assert all(seen[: 2 * each]) and not any(seen[2 * each :])


@pytest.mark.parametrize("optimizer", ["AdamW", "SGD"])
def test_decay_shrinks_the_weights(optimizer):
    norms = [
        weights(
            train(
                replace(RICH, optimizer=optimizer, weight_decay=decay),
                seed=0,
                progress=False,
            )[0]
        ).norm()
        for decay in (0.0, 10.0)
    ]
    assert norms[1] < 0.95 * norms[0]


def test_batch_norm_helps_in_training_and_is_gone_afterwards():
    config = replace(RICH, batch_norm=True, weight_average=0.0, augmentation=())
    with reproducible():
        training = Training(config, seed=0)
        for _ in range(config.epochs):
            training.run_epoch()
    model = training.evaluated_model
    assert model.state_dict().keys() == FixedNet().state_dict().keys()
    images = torch.rand(20, 1, 28, 28)
    with torch.no_grad():
        expected = training.model.eval()(images)
        assert torch.allclose(model(images), expected, atol=1e-4)


def test_trained_side_by_side_is_trained_alone():
    tasks = [(replace(RICH, epochs=2), 0), (replace(RICH, epochs=3, batch_size=64), 1)]
    together = train_side_by_side(tasks, progress=False)
    for task, (model, record) in zip(tasks, together, strict=True):
        alone, expected = train(*task, progress=False)
        assert torch.equal(weights(model), weights(alone))
        assert record.pop("side_by_side") == 2
        assert without_times(record) == without_times(expected)


def test_the_average_of_the_weights_follows_its_formula():
    training = Training(replace(RICH, batch_size=5_000, schedule="constant"), seed=0)
    start = weights(training.model)
    with reproducible():
        training.run_epoch()
    expected = 0.9 * start + 0.1 * weights(training.model)
    torch.testing.assert_close(weights(training.evaluated_model), expected)


def test_the_first_epochs_loss_curve_is_complete_and_short():
    _, record = train(Config(epochs=2, batch_size=2), 0, progress=False)
    curve = record["first_epoch_losses"]
    assert len(curve) == 250
    batches = -(-len(Training(Config(), 0).train_splits[28].labels) // 2)
    lengths = [len(part) for part in np.array_split(np.arange(batches), 250)]
    mean = np.average(curve, weights=lengths)
    assert mean == pytest.approx(record["history"]["train_loss"][0], rel=0.01)
    _, record = train(Config(epochs=1, batch_size=100), 0, progress=False)
    assert len(record["first_epoch_losses"]) == 10


def test_the_bar_shows_accuracy_and_can_be_silenced(capfd, monkeypatch):
    config = Config(epochs=1, batch_size=50)
    train(config, 0)
    shown = capfd.readouterr().err
    assert "FixedNet, seed 0" in shown and "validation" in shown and "%" in shown
    train(config, 0, progress=False)
    assert capfd.readouterr().err == ""


@pytest.mark.slow
def test_the_rendered_report_silences_all_bars_by_one_variable():
    code = "from helpers.training import *; train(Config(epochs=1, batch_size=500), 0)"
    finished = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"TQDM_DISABLE": "1"},
        capture_output=True,
        text=True,
    )
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")


def test_the_network_is_laid_out_for_speed():
    training = Training(Config(), seed=0)
    assert isinstance(training.model, FixedNet)
    kernel = training.model[3].weight
    assert kernel.is_contiguous(memory_format=torch.channels_last)
