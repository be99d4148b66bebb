"""The networks: shapes row by row, parameter counts, batches of one, sizes refused."""

import math
import re
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from helpers import models
from helpers.conv import Conv2D, Conv2DLayer, MyConv2d
from helpers.models import CifarNet, FixedNet, GlobalPool, LabNet, VariableNet
from helpers.training import Config, Training
from helpers.training.loop import reproducible

POOLINGS = ("max", "mean", "active mean", "log-sum-exp", "gem")

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
@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_variable_network_takes_every_size(size, pooling):
    model = VariableNet(5, pooling)
    assert model(torch.rand(2, 1, *size)).shape == (2, 10)
    assert model(torch.rand(0, 1, *size)).shape == (0, 10)


@pytest.mark.parametrize("channels", [(4,), (4, 5), (4, 5, 6), [4, 5, 6, 7]])
def test_each_further_entry_of_channels_halves_the_last_map(channels):
    trace = models.shape_trace(VariableNet(8, channels=channels), (1, 1, 64, 64))
    side = 64 // 2 ** (len(channels) + 1)
    assert trace[-3].output_shape == (1, 8, side, side)
    assert len(trace) == 3 * (len(channels) + 1) + 2


def test_a_variable_network_without_channels_is_refused():
    with pytest.raises(ValueError, match="channels is empty: give"):
        VariableNet(channels=())


def test_a_slice_of_a_network_is_its_layers_in_a_row():
    model, images = VariableNet(5), torch.rand(2, 1, 16, 24)
    features = model[:-2](images)
    assert features.shape == (2, 5, 2, 3) and model[0] is next(iter(model))
    assert torch.equal(model[-1](model[-2](features)), model(images))


def test_names_and_first_weights_stay_those_of_recorded_runs():
    """Layers 0 to 10 of an nn.Sequential, weights drawn in the order of the layers."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 16, 3), nn.Conv2d(16, 32, 3), nn.Conv2d(32, 81, 3)]
    layers.append(nn.Linear(81, 10))
    places = ("0", "3", "6", "10")
    for pooling in POOLINGS:
        torch.manual_seed(0)
        state = VariableNet(pooling=pooling).state_dict()
        for place, layer in zip(places, layers, strict=True):
            assert torch.equal(state.pop(f"{place}.weight"), layer.weight)
            assert torch.equal(state.pop(f"{place}.bias"), layer.bias)
        assert not state


# --- Global pooling -------------------------------------------------------------------


def test_the_poolings_are_their_formulas():
    features = torch.rand(2, 3, 4, 5)
    flat = features.flatten(2)
    expected = {
        GlobalPool("max"): flat.max(dim=2).values,
        GlobalPool("mean"): flat.mean(dim=2),
        GlobalPool("log-sum-exp"): (5 * flat).exp().sum(2).log() / 5,
        GlobalPool("log-sum-exp", 2): (2 * flat).exp().sum(2).log() / 2,
        GlobalPool("gem"): flat.pow(3).mean(2).pow(1 / 3),
        GlobalPool("gem", 1): flat.mean(2),
    }
    for pool, values in expected.items():
        torch.testing.assert_close(pool(features), values)


@pytest.mark.parametrize("pooling", ["log-sum-exp", "gem"])
def test_the_sharper_the_closer_to_the_maximum(pooling):
    features = torch.rand(2, 3, 6, 6)
    gaps = [
        (GlobalPool(pooling, sharpness)(features) - features.amax((2, 3))).abs().max()
        for sharpness in (1, 3, 30, 300)
    ]
    assert gaps == sorted(gaps, reverse=True) and gaps[-1] < 0.02
    assert VariableNet(5, pooling, sharpness=2)[-2].sharpness == 2


@pytest.mark.parametrize("pooling", POOLINGS)
def test_positions_that_do_not_count_change_nothing(pooling):
    pool, features = GlobalPool(pooling), torch.rand(2, 3, 4, 5)
    where = torch.zeros(2, 4, 5, dtype=torch.bool)
    where[0, :2, :3] = where[1, 1:, 2:] = True
    parts = (features[:1, :, :2, :3], features[1:, :, 1:, 2:])
    alone = [pool(f, torch.ones(1, *f.shape[2:], dtype=torch.bool)) for f in parts]
    torch.testing.assert_close(pool(features, where), torch.cat(alone))


def on_canvases():
    """The same 20 pixels in the middle of 72, and with more black on all four sides."""
    blot = torch.rand(3, 1, 20, 20)
    digit = F.pad(blot, (26, 26, 26, 26))
    return digit, F.pad(digit, (16, 40, 8, 24))


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("seed", range(3))
def test_which_poolings_see_how_much_black_surrounds_a_digit(pooling, seed):
    torch.manual_seed(seed)
    model = VariableNet(pooling=pooling)
    model[-1] = nn.Identity()  # to look at the features that the scores are made of
    small, large = (model(images).detach() for images in on_canvases())
    if pooling in ("max", "active mean"):
        torch.testing.assert_close(small, large, rtol=0, atol=1e-6)
    else:
        assert (small - large).abs().amax() > 0.01


@pytest.mark.parametrize("peak", [1, 4])
def test_how_far_positions_without_response_move_the_poolings(peak):
    """From 9 to 36 positions, the bounds of the docstring of `GlobalPool`."""
    small = torch.rand(2, 3, 3, 3)
    small[:, :, 1, 1] = peak
    large = F.pad(small, (0, 3, 3, 0))
    mean, gem, exponentials = (
        (GlobalPool(pooling)(small), GlobalPool(pooling)(large))
        for pooling in ("mean", "gem", "log-sum-exp")
    )
    torch.testing.assert_close(mean[1], mean[0] / 4)
    torch.testing.assert_close(gem[1], gem[0] / 4 ** (1 / 3))
    rise = (exponentials[1] - exponentials[0]) * 5 / math.log(4)
    assert (rise >= 0).all() and (rise < (0.5 if peak == 1 else 1e-6)).all()


def test_off_the_stride_the_features_change():
    """Same offset modulo the stride is needed: the pooling grid lies on the digit."""
    torch.manual_seed(0)
    digit, _ = on_canvases()
    for pooling in ("max", "active mean"):
        model = VariableNet(pooling=pooling)
        model[-1] = nn.Identity()
        assert (model(digit) - model(digit.roll(3, dims=3))).abs().max() > 1e-4


def test_the_active_area_is_where_ink_can_reach_the_last_map():
    images = torch.zeros(2, 1, 45, 61)
    images[0, 0, 22, 22] = 0.1  # pixel 22 is seen by 22-pixel fields 1 to 3
    active = models.active_area(images, VariableNet()[:-2])
    assert active.shape == (2, 5, 7) and not active[1].any()
    assert active[0].nonzero().tolist() == [
        [r, c] for r in (1, 2, 3) for c in (1, 2, 3)
    ]


def test_the_active_area_has_the_shape_of_the_last_map():
    for channels in [(2,), (2, 3), (2, 3, 4)]:
        layers = VariableNet(5, channels=channels)[:-2]
        for height, width in [(16, 17), (31, 40), (47, 23), (64, 64)]:
            images = torch.rand(1, 1, height, width)
            shape = layers(images).shape
            assert models.active_area(images, layers).shape == (1, *shape[2:])


@pytest.mark.parametrize("pooling", POOLINGS)
def test_an_image_without_ink_gives_finite_scores_and_gradients(pooling):
    model = VariableNet(5, pooling)
    images = torch.zeros(2, 1, 24, 24)
    images[1, 0, 9:15, 9:15] = 1
    for training_precision in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=training_precision):
            scores = model(images)
        model.zero_grad()
        scores.sum().backward()
        assert scores.isfinite().all()
        assert all(p.grad.isfinite().all() for p in model.parameters())
    if pooling == "active mean":
        torch.testing.assert_close(model(images)[0], model[-1].bias)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_features_that_are_all_zero_have_finite_gradients(pooling):
    features = torch.zeros(2, 3, 4, 4, requires_grad=True)
    where = torch.ones(2, 4, 4, dtype=torch.bool)
    GlobalPool(pooling)(features, where).sum().backward()
    assert features.grad.isfinite().all()


@pytest.mark.parametrize("pooling", POOLINGS)
def test_gradients_of_the_poolings_are_those_of_small_steps(pooling):
    torch.manual_seed(0)
    model = VariableNet(3, pooling, channels=(2,)).double()
    images = F.pad(torch.rand(2, 1, 6, 5), (6, 8, 4, 7)).double()
    names, weights = zip(*model.named_parameters(), strict=True)

    def scores(*values):
        named = dict(zip(names, values, strict=True))
        return torch.func.functional_call(model, named, images)

    assert torch.autograd.gradcheck(scores, weights)


def test_a_pooling_or_sharpness_without_meaning_is_refused():
    with pytest.raises(ValueError, match='pooling is \'median\': use "max", "mean",'):
        VariableNet(pooling="median")
    for pooling, sharpness in [("max", 2), ("gem", 0), ("log-sum-exp", -1)]:
        with pytest.raises(ValueError, match=f"sharpness is {sharpness} .*'{pooling}'"):
            GlobalPool(pooling, sharpness)
    with pytest.raises(ValueError, match="no active area: call the whole network"):
        GlobalPool("active mean")(torch.rand(1, 2, 3, 3))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.usefixtures("small_data")
def test_every_pooling_trains(pooling, precision):
    config = Config(
        data="varres",
        network="VariableNet",
        network_options={"pooling": pooling, "last_channels": 16},
        precision=precision,
        training_share=0.3,
        batch_size=20,
        learning_rate=3e-3,
        epochs=3,
    )
    with reproducible():
        training = Training(config, seed=0)
        for _ in range(config.epochs):
            training.run_epoch()
    losses = training.history["train_loss"]
    assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0] - 0.01


# --- Receptive field, parameters ------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (VariableNet(2), (22, 8, -7)),
        (FixedNet(), (22, 8, -7)),
        (VariableNet(2, channels=(2, 2, 2)), (46, 16, -15)),
        (LabNet(), (18, 4, 0)),
        (CifarNet(), (16, 4, 0)),
        (nn.Sequential(nn.Conv2d(1, 1, 3, 2, 2, dilation=3), nn.ReLU()), (7, 2, -2)),
    ],
)
def test_receptive_field_against_the_gradient_of_one_value(model, expected):
    field = models.receptive_field(model)
    assert field == expected
    ends = (nn.Flatten, GlobalPool)
    layers = []
    for layer in model:
        if isinstance(layer, ends):
            break
        # The mean, unlike the maximum, hands a gradient to every pixel it sees.
        pooled = isinstance(layer, nn.MaxPool2d)
        layers.append(nn.AvgPool2d(layer.kernel_size) if pooled else layer)
        if isinstance(layer, nn.Conv2d):
            nn.init.constant_(layer.weight, 1)
    images = torch.ones(1, model[0].in_channels, 96, 96, requires_grad=True)
    position = 5 if field.stride < 16 else 3
    nn.Sequential(*layers)(images)[0, 0, position, position].backward()
    seen = images.grad[0, 0].any(dim=0).nonzero().flatten().tolist()
    start = field.offset + position * field.stride
    assert (seen[0], seen[-1]) == (start, start + field.size - 1)


def test_a_receptive_field_that_is_not_square_is_refused():
    with pytest.raises(ValueError, match=r"stride of Conv2d.* is 1 for rows and 2 for"):
        models.receptive_field([nn.Conv2d(1, 1, 3, stride=(1, 2))])
    with pytest.raises(ValueError, match="padding is 'same': give"):
        models.receptive_field([nn.Conv2d(1, 1, 3, padding="same")])


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("convolution", [nn.Conv2d, Conv2D, MyConv2d, Conv2DLayer])
def test_receptive_field_sees_every_convolution_pooling_and_row(convolution, nested):
    layers = [
        *(convolution(1, 1, (3, 3), 2, 1), nn.AvgPool2d(3, 2, 1), nn.GELU()),
        *(nn.LPPool2d(2, 2), convolution(1, 1, (2, 2), 1, 0)),
    ]
    # 3 + 2 * 2 + 1 * 4 + 1 * 8 pixels; padding of 1, and of 1 at a stride of 2.
    layers = (
        [nn.Sequential(layers[0], nn.Sequential(*layers[1:]))] if nested else layers
    )
    assert models.receptive_field(layers) == (19, 8, -3)


@pytest.mark.parametrize(
    "layer",
    [
        *(nn.AdaptiveAvgPool2d(3), nn.ConvTranspose2d(1, 1, 3), nn.Conv1d(1, 1, 3)),
        *(nn.Upsample(scale_factor=2), nn.Unfold(3), nn.InstanceNorm2d(1)),
        nn.TransformerEncoderLayer(4, 1),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_a_layer_that_is_not_known_has_no_receptive_field(layer):
    with pytest.raises(ValueError, match=f"not known what {type(layer).__name__}"):
        models.receptive_field([nn.Conv2d(1, 1, 3), nn.Sequential(layer)])


def test_a_trace_sees_into_rows_of_layers():
    inner = nn.Sequential(MyConv2d(1, 2, 3), nn.ReLU())
    rows = models.shape_trace(nn.Sequential(inner, nn.MaxPool2d(2)), (1, 1, 8, 8))
    assert [row.layer for row in rows] == ["MyConv2d", "ReLU", "MaxPool2d"]
    assert [row.output_shape[2] for row in rows] == [6, 6, 3]


@pytest.mark.parametrize("network", models.NETWORKS.values())
def test_images_as_files_hold_them_are_refused(network):
    images = torch.zeros(IMAGE_SHAPES[network], dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"are torch.uint8: .* images.float\(\) / 255"):
        network()(images)


@pytest.mark.parametrize(
    ("image_size", "channels"), [(28, 81), (32, 96), (48, 139), (64, 199)]
)
def test_matching_parameters_agrees_with_the_formula(image_size, channels):
    target = models.count_parameters(FixedNet(image_size))
    assert models.match_parameters(target) == channels
    assert round((target - 4_810) / 299) == channels
    assert models.count_parameters(VariableNet(channels)) == 299 * channels + 4_810


def test_matching_parameters_of_other_networks():
    deeper = partial(VariableNet, channels=(8, 16, 32))
    found = models.match_parameters(29_066, deeper)
    gaps = [abs(models.count_parameters(deeper(n)) - 29_066) for n in range(1, 120)]
    assert gaps[found - 1] == min(gaps)
    assert models.match_parameters(1) == 1


# --- Layers and sizes -----------------------------------------------------------------


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


def test_sizes_are_arguments():
    model = FixedNet(image_size=40, in_channels=3, channels=(2, 3, 4), classes=7)
    rows = models.shape_trace(model, (1, 3, 40, 40))
    assert rows[-2].output_shape == (1, 4 * 5 * 5) and rows[-1].output_shape == (1, 7)
    assert sum(row.parameters for row in rows) == models.count_parameters(model)


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (models.FixedNet(), (9, 1, 28, 28)),
        (models.LabNet(), (9, 1, 28, 28)),
        (models.CifarNet(standardised=True), (9, 3, 32, 32)),
        (models.VariableNet(pooling="active mean"), (9, 1, 40, 33)),
    ],
)
def test_folding_a_batch_norm_changes_no_score_and_adds_no_parameter(network, shape):
    trained = models.with_batch_norm(network).train()
    for _ in range(5):
        trained(torch.rand(shape))
    for layer in trained:
        if isinstance(layer, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            torch.nn.init.normal_(layer.weight)
            torch.nn.init.normal_(layer.bias)
    images = torch.rand(shape)
    with torch.no_grad():
        expected = trained.eval()(images)
        found = models.folded(trained)
        assert torch.allclose(found(images), expected, atol=1e-4)
        assert not torch.allclose(network(images), expected, atol=1e-2)
    assert type(found) is type(network)
    assert found.state_dict().keys() == network.state_dict().keys()


@given(bias=st.booleans(), seed=st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_a_layer_without_bias_gets_one_from_its_batch_norm(bias, seed):
    torch.manual_seed(seed)
    norm = torch.nn.BatchNorm2d(2)
    torch.nn.init.normal_(norm.bias)
    norm(torch.rand(3, 2, 4, 4))
    network = models.Network(torch.nn.Conv2d(1, 2, 3, bias=bias), norm).eval()
    images = torch.rand(2, 1, 6, 6)
    found = models.folded(network)
    assert len(found) == 1
    assert torch.allclose(found(images), network(images), atol=1e-5)


@pytest.mark.parametrize("lacks", ["affine", "track_running_stats"])
def test_a_batch_norm_without_its_values_cannot_be_folded(lacks):
    norm = torch.nn.BatchNorm2d(2, **{lacks: False})
    with pytest.raises(ValueError, match="cannot be folded: it must have"):
        models.folded(models.Network(torch.nn.Conv2d(1, 2, 3), norm))


def test_a_batch_norm_behind_another_layer_cannot_be_folded():
    network = models.with_batch_norm(models.FixedNet())
    network._modules["1"] = torch.nn.ReLU()
    network._modules["2"] = torch.nn.BatchNorm2d(16)
    with pytest.raises(ValueError, match="must follow a convolution"):
        models.folded(network)
