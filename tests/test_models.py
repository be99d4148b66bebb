"""The networks: shapes row by row, parameter counts, batches of one, sizes refused."""

import re

import pytest
import torch

from helpers import models
from helpers.models import CifarNet, FixedNet, LabNet, VariableNet

IMAGE_SHAPES = {
    FixedNet: (3, 1, 28, 28),
    VariableNet: (3, 1, 28, 28),
    LabNet: (3, 1, 28, 28),
    CifarNet: (3, 3, 32, 32),
}


@pytest.mark.parametrize(
    ("model", "count"),
    [
        (FixedNet(), 29_066),
        (FixedNet(image_size=32), 33_546),
        (FixedNet(image_size=48), 46_346),
        (FixedNet(image_size=64), 64_266),
        (FixedNet(in_channels=3), 29_354),
        (VariableNet(64), 23_946),
        (VariableNet(), 29_029),
        (VariableNet(82), 29_328),
        (VariableNet(199), 299 * 199 + 4_810),
        (LabNet(), 93_322),
        (CifarNet(), 64_058),
    ],
)
def test_parameter_counts_are_those_of_the_sources(model, count):
    assert models.count_parameters(model) == count


@pytest.mark.parametrize("network", IMAGE_SHAPES)
def test_shapes_row_by_row_are_those_of_the_docstring(network):
    text = network.__doc__
    for divisor in (8, 4, 2):
        text = text.replace(f"h//{divisor}, w//{divisor}", f"{28 // divisor}, " * 2)
    text = re.sub(r"h, +w\)", "28, 28)", text).replace("batch, N", "batch, 81")
    written = [
        tuple(int(size) for size in re.findall(r"\d+", sizes))
        for sizes in re.findall(r"\(batch, ([\d, ]+)\)", text)
    ]
    # The table gives a ReLU no row of its own: it leaves the shape as it is.
    batch, *image_shape = IMAGE_SHAPES[network]
    trace = models.shape_trace(network(), (batch, *image_shape))
    real = [row.output_shape for row in trace if row.layer != "ReLU"]
    assert [(batch, *image_shape), *real] == [(batch, *shape) for shape in written]


@pytest.mark.parametrize("network", IMAGE_SHAPES)
def test_a_batch_of_one_gives_one_row_of_scores_and_no_batch_gives_none(network):
    model = network().eval()
    images = torch.rand(IMAGE_SHAPES[network])
    alone = torch.cat([model(image[None]) for image in images])
    assert model(images[:1]).shape == (1, 10)
    torch.testing.assert_close(alone, model(images))


@pytest.mark.parametrize(
    "size", [(8, 8), (32, 32), (48, 48), (64, 64), (9, 31), (64, 8)]
)
@pytest.mark.parametrize("pooling", ["max", "mean"])
def test_the_variable_network_takes_every_size(size, pooling):
    assert VariableNet(5, pooling)(torch.rand(2, 1, *size)).shape == (2, 10)


def test_global_pooling_is_the_largest_or_the_mean_value_of_each_channel():
    features = torch.randn(2, 3, 4, 5)
    flat = features.flatten(2)
    assert torch.equal(models.GlobalPool("max")(features), flat.max(dim=2).values)
    torch.testing.assert_close(models.GlobalPool("mean")(features), flat.mean(dim=2))


def test_pooling_before_or_after_relu_is_the_same_function():
    features = torch.randn(2, 3, 8, 8)
    relu, pool = torch.nn.ReLU(), torch.nn.MaxPool2d(2)
    assert torch.equal(relu(pool(features)), pool(relu(features)))


@pytest.mark.parametrize(
    ("network", "smallest"), [(FixedNet, 8), (LabNet, 18), (CifarNet, 16)]
)
def test_images_that_are_too_small_are_refused_and_the_smallest_works(
    network, smallest
):
    channels = IMAGE_SHAPES[network][1]
    model = network(image_size=smallest)
    assert model(torch.rand(1, channels, smallest, smallest)).shape == (1, 10)
    with pytest.raises(ValueError, match=f"{smallest - 1}.*at least {smallest}"):
        network(image_size=smallest - 1)


def test_an_unknown_pooling_is_refused():
    with pytest.raises(ValueError, match="pooling is 'median': use"):
        VariableNet(pooling="median")


def test_sizes_are_arguments():
    model = FixedNet(image_size=40, in_channels=3, channels=(2, 3, 4), classes=7)
    rows = models.shape_trace(model, (1, 3, 40, 40))
    assert rows[-2].output_shape == (1, 4 * 5 * 5) and rows[-1].output_shape == (1, 7)
    assert sum(row.parameters for row in rows) == models.count_parameters(model)
