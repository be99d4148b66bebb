"""Images of all sizes: buckets, padding, and scores that masks keep as they are."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from helpers import conv
from helpers.models import GlobalPool, VariableNet
from helpers.ragged import inside, masked_forward, padded_batch, size_buckets

POOLINGS = ("max", "mean", "active mean", "log-sum-exp", "gem")
SIZES = st.tuples(st.integers(8, 40), st.integers(8, 40))


def images_of(sizes):
    return [torch.rand(1, *size) for size in sizes]


def network(pooling, channels=(4, 5)):
    """Weights larger than usual, so that an error cannot hide in small numbers."""
    torch.manual_seed(0)
    model = VariableNet(6, pooling, channels=channels)
    with torch.no_grad():
        for values in model.parameters():
            values.uniform_(-0.5, 0.5)
    return model


def alone(model, images):
    return torch.cat([model(image[None]) for image in images])


def drawn_sizes(images, seed=0):
    return np.random.default_rng(seed).integers(24, 73, (images, 2))


# --- Buckets --------------------------------------------------------------------------


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 99), st.integers(1, 99)), max_size=200),
    st.integers(1, 40),
    st.integers(1, 5),
)
def test_every_index_comes_once_and_one_batch_at_most_is_smaller(sizes, size, pool):
    batches = size_buckets(sizes, size, np.random.default_rng(0), pool)
    assert sorted(itertools.chain(*batches)) == list(range(len(sizes)))
    lengths = sorted(map(len, batches), reverse=True)
    assert lengths[:-1] == [size] * (len(lengths) - 1)


def test_every_epoch_has_other_batches_and_a_seed_has_the_same():
    sizes = drawn_sizes(300)
    rng = np.random.default_rng(0)
    first, second = (size_buckets(sizes, 16, rng) for _ in range(2))
    assert {frozenset(b) for b in first}.isdisjoint({frozenset(b) for b in second[:-1]})
    assert first == size_buckets(sizes, 16, np.random.default_rng(0))
    # The batches are shuffled too: the smaller one has no place of its own.
    epochs = [size_buckets(sizes, 16, rng) for _ in range(5)]
    assert len({list(map(len, epoch)).index(12) for epoch in epochs}) > 1


def test_buckets_need_less_padding_than_chance_and_larger_pools_even_less():
    sizes = drawn_sizes(3000)

    def padding(batches):
        padded = [len(b) * np.prod(sizes[b].max(axis=0)) for b in batches]
        return sum(padded) / sizes.prod(axis=1).sum() - 1

    by_chance, some, more = (
        padding(size_buckets(sizes, 32, np.random.default_rng(0), pool))
        for pool in (1, 10, 100)
    )
    assert by_chance > 1 > 0.6 > some > 0.3 > more


def test_no_batch_size_and_no_pool_are_refused():
    for sizes in ({"batch_size": 0}, {"batch_size": 4, "pool": 0}):
        with pytest.raises(ValueError, match="use a whole number from 1 up"):
            size_buckets([(8, 8)], rng=np.random.default_rng(0), **sizes)


# --- Padding --------------------------------------------------------------------------


@pytest.mark.parametrize(("multiple", "shape"), [(8, (24, 40)), (1, (17, 33))])
def test_a_padded_batch_holds_every_image_and_zeros(multiple, shape):
    images = [torch.ones(2, *size, dtype=torch.uint8) for size in [(17, 9), (8, 33)]]
    batch, sizes = padded_batch(images, multiple)
    assert batch.shape == (2, 2, *shape) and batch.dtype == torch.uint8
    assert sizes.tolist() == [[17, 9], [8, 33]]
    assert torch.equal(batch[:, 0] == 1, inside(sizes, *shape))
    assert batch.sum() == sum(image.sum() for image in images)


def test_no_images_and_unequal_channels_are_refused():
    with pytest.raises(ValueError, match=r"\[\] channels: give one or more"):
        padded_batch([])
    with pytest.raises(ValueError, match=r"\[1, 3\] channels: give"):
        padded_batch([torch.rand(1, 8, 8), torch.rand(3, 8, 8)])


# --- Masks ----------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", POOLINGS)
@settings(max_examples=25, deadline=None)
@given(st.lists(SIZES, min_size=1, max_size=5))
def test_an_image_gets_the_scores_that_it_gets_alone(pooling, sizes):
    model, images = network(pooling), images_of(sizes)
    scores = masked_forward(model, *padded_batch(images))
    torch.testing.assert_close(scores, alone(model, images), rtol=1e-5, atol=1e-5)


def test_deeper_networks_and_larger_batches_give_the_same_too():
    images = images_of([(16, 31), (47, 16), (33, 63)])
    model = network("max", channels=(3, 4, 5)).to(memory_format=torch.channels_last)
    batch, sizes = padded_batch(images, multiple=128)
    scores = masked_forward(model, batch, sizes)
    torch.testing.assert_close(scores, alone(model, images), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_without_masks_padding_leaks_into_the_scores(pooling):
    model, images = network(pooling), images_of([(17, 25), (40, 40)])
    batch, _ = padded_batch(images)
    assert (model(batch) - alone(model, images)).abs().max() > 1e-3


@pytest.mark.parametrize("pooling", ["max", "mean", "active mean"])
def test_batches_of_one_add_up_to_the_gradient_of_the_masked_batch(pooling):
    images, labels = images_of([(9, 30), (25, 17), (40, 12)]), torch.tensor([3, 1, 4])
    one_by_one, together = network(pooling), network(pooling)
    for image, label in zip(images, labels, strict=True):
        loss = F.cross_entropy(one_by_one(image[None]), label[None])
        (loss / len(images)).backward()
    F.cross_entropy(masked_forward(together, *padded_batch(images)), labels).backward()
    for expected, got in zip(
        one_by_one.parameters(), together.parameters(), strict=True
    ):
        assert expected.grad.any()
        torch.testing.assert_close(got.grad, expected.grad, rtol=1e-4, atol=1e-5)


def test_an_image_that_is_too_small_is_refused():
    batch, sizes = padded_batch(images_of([(7, 20), (20, 20)]))
    with pytest.raises(ValueError, match=r"side of 7 pixels.* needs at least 8"):
        masked_forward(network("max"), batch, sizes)


# --- What else may come ---------------------------------------------------------------


def test_no_images_have_no_scores_and_zero_gradients():
    model = network("max")
    scores = masked_forward(model, torch.zeros(0, 1, 8, 8), torch.zeros(0, 2).long())
    assert scores.shape == model(torch.zeros(0, 1, 8, 8)).shape == (0, 10)
    scores.sum().backward()
    assert not any(values.grad.any() for values in model.parameters())


def test_a_padded_batch_hands_gradients_to_its_images():
    images = [image.requires_grad_() for image in images_of([(3, 5), (4, 2)])]
    (padded_batch(images).images ** 2).sum().backward()
    for image in images:
        torch.testing.assert_close(image.grad, 2 * image.detach())


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        ([torch.rand(5, 6)], {}, r"shape \(5, 6\): give \(channels, height, width\)"),
        ([torch.rand(1, 1, 5, 6)], {}, r"shape \(1, 1, 5, 6\): give"),
        ([torch.rand(1, 0, 6)], {}, r"shape \(1, 0, 6\): give .* each at least 1"),
        ([torch.rand(1, 5, 6)], {"multiple": 0}, "multiple is 0: use a whole number"),
        ([torch.rand(1, 5, 6)], {"multiple": 2.5}, "multiple is 2.5: use a whole"),
        (
            [torch.zeros(1, 4, 4, dtype=torch.uint8), torch.rand(1, 4, 4)],
            {},
            r"torch.float32 on cpu and torch.uint8 on cpu: give all in one type",
        ),
    ],
)
def test_other_images_are_refused(images, options, message):
    with pytest.raises(ValueError, match=message):
        padded_batch(images, **options)


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from([conv.Conv2DLayer, conv.MyConv2d, conv.Conv2D, nn.Conv2d]),
    st.sampled_from([nn.MaxPool2d(2), nn.AvgPool2d(3, 2, 1), nn.LPPool2d(2, 2)]),
    st.integers(0, 1),
    st.booleans(),
    st.lists(st.tuples(*[st.integers(8, 12)] * 2), min_size=1, max_size=3),
)
@example(conv.Conv2DLayer, nn.AvgPool2d(3, 2, 1), 1, True, [(8, 11), (12, 9)])
def test_networks_of_other_layers_give_the_scores_of_images_alone(
    convolution, pooling, padding, nested, sizes
):
    torch.manual_seed(0)
    layers = [
        *(convolution(1, 3, (3, 3), 1, padding), nn.Sigmoid()),
        *(convolution(3, 3, (3, 3), 1, padding), pooling, nn.Tanh()),
    ]
    layers = [nn.Sequential(*layers)] if nested else layers
    model = nn.Sequential(*layers, GlobalPool("mean"), nn.Linear(3, 10))
    images = images_of(sizes)
    scores = masked_forward(model, *padded_batch(images))
    torch.testing.assert_close(scores, alone(model, images), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.MaxPool2d(3, 2, 1), "max pooling without padding"),
        (nn.MaxPool2d(2, ceil_mode=True), "no ceil_mode"),
        (nn.BatchNorm2d(1), "batch norm in evaluation"),
        (nn.AdaptiveAvgPool2d(3), "not known what AdaptiveAvgPool2d"),
        (nn.InstanceNorm2d(1), "not known what InstanceNorm2d"),
        (nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"), "padding with zeros"),
        (nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"), "padding with zeros"),
        (nn.AvgPool2d(3, 2, 1, count_include_pad=False), "which averages count"),
        (nn.Flatten(2), "nothing that flattens"),
        (GlobalPool(), "nothing that flattens"),
    ],
)
def test_layers_that_would_see_the_padding_are_refused(layer, message):
    model = nn.Sequential(layer, GlobalPool(), nn.Linear(1, 10))
    with pytest.raises(ValueError, match=message):
        masked_forward(model, *padded_batch(images_of([(9, 12), (15, 10)])))


def test_sizes_of_another_batch_are_refused():
    batch, sizes = padded_batch(images_of([(9, 12), (15, 10)]))
    for wrong in (sizes[:1], sizes + 8, sizes.flatten()):
        with pytest.raises(ValueError, match=r"sizes of shape .* as padded_batch"):
            masked_forward(network("max"), batch, wrong)
