"""What promises a ValueError gives one, with words, whatever else it is given.

Every argument below is replaced, one at a time, by what it cannot be.
"""

import inspect
import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import augment, canvas, conv, models, ragged, stats, verdicts, ways
from helpers.data import Split
from helpers.training import Config, evaluate
from helpers.training.batches import hold_out
from helpers.training.config import CHOICES

NAN, INF = math.nan, math.inf
NOTHING = [None, [], {}, object()]
# No whole number from 1 up.
NO_COUNT = [*NOTHING, "3", True, 2.5, NAN, INF, 0, -1, (1, 2, 3), torch.rand(2)]
# No number above zero.
NO_RATE = [*NOTHING, "1", True, NAN, INF, -INF, 0, -1e-3, (1,), torch.rand(2)]
NO_SHARE = [*NO_RATE, 1.5, np.float32("nan")]
NO_TENSOR = [*NOTHING, "3", 1.5, np.ones((1, 1, 5, 5)), [[1.0]]]
NO_NAME = [*NOTHING, 5, "nonsense", b"max"]

IMAGE, KERNEL = torch.ones(1, 1, 5, 5), torch.ones(2, 1, 3, 3)
CALLS = {
    "output_size": (conv.output_size, {"size": 5, "kernel_size": 3}),
    "Conv2D": (conv.Conv2D, {"in_channels": 1, "out_channels": 1}),
    "MyConv2d": (
        conv.MyConv2d,
        {"in_channels": 1, "out_channels": 1, "kernel_size": 3, "stride": 1},
    ),
    "MyLinear": (conv.MyLinear, {"in_features": 1, "out_features": 1}),
    "convolution_matrix": (conv.convolution_matrix, {"size": 5, "stride": 1}, KERNEL),
    "fold_loops": (
        conv.fold_loops,
        {"size": 5, "kernel_size": 3, "stride": 1},
        torch.ones(1, 9, 9),
    ),
    **{
        way: (ways.WAYS[way].convolve, {"stride": 1}, IMAGE, KERNEL)
        for way in ways.WAYS
    },
    "FixedNet": (models.FixedNet, {"image_size": 28, "in_channels": 1, "classes": 10}),
    "VariableNet": (
        models.VariableNet,
        {"last_channels": 8, "in_channels": 1, "classes": 10},
    ),
    "LabNet": (
        models.LabNet,
        {"image_size": 28, "in_channels": 1, "hidden_features": 3, "classes": 2},
    ),
    "CifarNet": (models.CifarNet, {"image_size": 32, "in_channels": 3, "classes": 2}),
    "padded_batch": (ragged.padded_batch, {"multiple": 8}, [torch.rand(1, 4, 4)]),
    "size_buckets": (
        ragged.size_buckets,
        {"batch_size": 1, "pool": 1, "multiple": 8},
        [(3, 3)],
        1,
        np.random.default_rng(0),
    ),
}


def cases():
    for name, (call, counts, *rest) in CALLS.items():
        for argument in counts:
            yield pytest.param(call, counts, argument, rest, id=f"{name}-{argument}")


@pytest.mark.parametrize(("call", "counts", "argument", "rest"), [*cases()])
def test_what_is_no_whole_number_from_1_up_is_refused(call, counts, argument, rest):
    names = list(inspect.signature(call).parameters)
    given_by_name = [name for name in counts if name not in names[: len(rest)]]
    call(*rest, **{name: counts[name] for name in given_by_name})
    for value in NO_COUNT:
        if argument in names[: len(rest)]:
            rows = zip(names, rest, strict=False)
            arguments = [value if name == argument else old for name, old in rows]
            named = {}
        else:
            arguments = rest
            named = {n: counts[n] for n in given_by_name} | {argument: value}
        with pytest.raises(ValueError, match=re.escape(argument.split("_")[-1])):
            call(*arguments, **named)


@pytest.mark.parametrize("network", models.NETWORKS.values())
def test_numbers_of_channels_that_no_network_has_are_refused(network):
    no_tuples = [value for value in NO_COUNT if not isinstance(value, tuple)]
    for value in (*no_tuples, (), (8, 0), (8, 2.5, 8), ("8", 8), (True, 8, 8)):
        with pytest.raises(ValueError, match="channels is"):
            network(channels=value)


@pytest.mark.parametrize("way", [*ways.WAYS, "Conv2DFunc"])
def test_what_is_no_tensor_is_not_convolved(way):
    convolve = conv.Conv2DFunc.apply if way == "Conv2DFunc" else ways.WAYS[way]
    for value in NO_TENSOR:
        with pytest.raises(ValueError, match="no tensor: this convolution takes"):
            convolve(value, KERNEL)
        with pytest.raises(ValueError, match="no tensor: give it as"):
            convolve(IMAGE, value)


NO_STEPS = [None, 5, "pad", object(), {}, ["pad"], [("pad",)], [(None, {})], [5]]


def but_zero(values):
    return [v for v in values if isinstance(v, torch.Tensor) or v is True or v != 0]


SETTINGS = {
    "learning_rate": NO_RATE,
    "training_share": NO_SHARE,
    "validation_share": [*but_zero(NO_SHARE), 1],
    "label_smoothing": [*but_zero(NO_SHARE), 1],
    "weight_average": [*but_zero(NO_SHARE), 1],
    "augmented_share": but_zero(NO_SHARE),
    "weight_decay": but_zero(NO_RATE),
    "batch_size": NO_COUNT,
    "epochs": NO_COUNT,
    "batch_norm": [*NOTHING, 1, "True", np.bool_(True)],
    **{name: NO_NAME for name in CHOICES},
    "network_options": [None, 5, "image", object(), [("image_size", 28, 1)], [5]],
    "preparation": NO_STEPS,
    "augmentation": NO_STEPS,
}


def test_every_setting_is_tried():
    assert {*SETTINGS} == {*Config().to_dict()}


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_setting_that_makes_no_sense_is_refused_when_it_is_made(setting):
    for value in SETTINGS[setting]:
        with pytest.raises(ValueError, match=r"use |give |takes |cannot be made|pair"):
            Config(**{setting: value})


@pytest.mark.parametrize("network", models.NETWORKS)
def test_network_options_that_make_no_sense_are_refused_when_they_are_made(network):
    for option in inspect.signature(models.NETWORKS[network]).parameters:
        for value in ["3", NAN, -1, 0, 2.5, (), {}]:
            if option == "standardised":
                continue
            shown = "network_options|images of|classes of"
            with pytest.raises(ValueError, match=shown):
                Config(network=network, network_options={option: value})


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"data": "varres"}, "32 x 32 px here, which FixedNet"),
        ({"data": "cifar10", "network": "LabNet"}, "images of 3 channels"),
        (
            {"data": "varres", "preparation": [("pad", {"size": 32})]},
            "48 x 48 pixels cannot be padded to 32",
        ),
        ({"preparation": [("resize", {"size": 7})]}, "7 x 7 px"),
        ({"augmentation": [("blur", {"kernel_size": 57})]}, "augmentation of mnist: a"),
        ({"augmentation": [("elastic", {"sigma": 9.0})]}, "too wide for images of 28"),
        ({"batch_norm": True, "batch_size": 1}, "batch_size is 1: use at least 2"),
    ],
)
def test_a_config_that_could_not_train_is_refused_when_it_is_made(chosen, message):
    with pytest.raises(ValueError, match=message):
        Config(**chosen)


def test_settings_without_a_name_are_refused():
    with pytest.raises(ValueError, match="'mnist' has no name: use data="):
        Config("mnist")


@pytest.mark.parametrize(
    "share", [{"training_share": 1e-9}, {"validation_share": 0.9999}]
)
def test_nothing_to_train_on_is_refused(share):
    images = torch.zeros(60, 1, 28, 28, dtype=torch.uint8)
    split = {28: Split(images, torch.zeros(60, dtype=torch.int64))}
    with pytest.raises(ValueError, match="of 60 images none is left to train on"):
        hold_out(split, Config(**share))


def test_labels_of_another_kind_are_refused():
    images = torch.zeros(2, 1, 28, 28, dtype=torch.uint8)
    for labels in (torch.zeros(2), torch.zeros(2, dtype=torch.bool)):
        with pytest.raises(ValueError, match="give int64"):
            evaluate(models.FixedNet(), {28: Split(images, labels)})


@given(st.sampled_from([NAN, INF, -INF]), st.integers(0, 2))
@settings(deadline=None)
def test_what_is_not_finite_is_measured_and_judged_by_nobody(value, place):
    values = [1.0, 2.0, 3.0]
    values[place] = value
    for call in (
        lambda: ways.spread(values),
        lambda: ways.slope([1.0, 2.0, 3.0], values),
        lambda: ways.slope(values, [1.0, 2.0, 3.0]),
        lambda: verdicts.one_more(values),
        lambda: verdicts.of_amount(stats.Interval(1.0, 0.5, 1.5, 12), value, True),
        lambda: verdicts.of_amount(stats.Interval(*values, 12), 1.0, True),
    ):
        with pytest.raises(ValueError, match="finite"):
            call()


@pytest.mark.parametrize("steps", [None, 5, "pad", {"pad": 1}, {1, 2}])
@pytest.mark.parametrize("module", [augment, canvas])
def test_what_is_no_list_of_steps_is_refused(module, steps):
    with pytest.raises(ValueError, match="give a list of pairs"):
        module.check(steps)


@pytest.mark.parametrize("shape", [(1, 8, 9), (1, 9, 8), (1, 9, 9, 1), (9, 9), (0, 9)])
def test_columns_that_are_not_those_of_the_images_are_refused(shape):
    with pytest.raises(ValueError, match="U has shape"):
        conv.fold_loops(torch.ones(shape), 5, 3)
