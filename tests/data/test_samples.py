"""Fingerprint and canonical order: what they see and what they ignore."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers import data
from helpers.data.samples import fingerprint, in_canonical_order


def some_splits():
    generator = torch.Generator().manual_seed(0)
    return {
        part: {
            size: data.Split(
                torch.randint(0, 3, (8, 1, size, size), generator=generator).byte(),
                torch.randint(0, 10, (8,), generator=generator),
            )
            for size in (2, 3)
        }
        for part in ("train", "test")
    }


def changed(splits, part, size, split):
    return {**splits, part: {**splits[part], size: split}}


@given(order=st.permutations(range(8)))
def test_fingerprint_and_canonical_order_ignore_the_order(order):
    splits = some_splits()
    split = splits["train"][3]
    shuffled = data.Split(split.images[order], split.labels[order])
    again = changed(splits, "train", 3, shuffled)
    assert fingerprint(again) == fingerprint(splits)
    expected, found = map(in_canonical_order, (split, shuffled))
    assert torch.equal(found.images, expected.images)
    assert torch.equal(found.labels, expected.labels)


@given(
    part=st.sampled_from(["train", "test"]),
    size=st.sampled_from([2, 3]),
    sample=st.integers(0, 7),
    kind=st.sampled_from(["images", "labels"]),
)
def test_fingerprint_sees_every_pixel_and_label(part, size, sample, kind):
    splits = some_splits()
    split = splits[part][size]
    values = {"images": split.images.clone(), "labels": split.labels.clone()}
    flat = values[kind][sample : sample + 1].view(-1)
    flat[-1] = (flat[-1] + 1) % 10
    again = changed(splits, part, size, data.Split(**values))
    assert fingerprint(again) != fingerprint(splits)


def test_fingerprint_sees_where_a_label_belongs_and_the_split():
    splits = some_splits()
    split = splits["train"][2]
    swapped = data.Split(split.images, split.labels.roll(1))
    again = changed(splits, "train", 2, swapped)
    exchanged = {"train": splits["test"], "test": splits["train"]}
    assert fingerprint(again) != fingerprint(splits)
    assert fingerprint(exchanged) != fingerprint(splits)


def test_fingerprint_sees_where_a_part_ends():
    """The same samples in the same order, cut in two at another place."""
    whole = in_canonical_order(some_splits()["train"][2])
    fingerprints = {
        fingerprint(
            {
                "train": {2: data.Split(whole.images[:cut], whole.labels[:cut])},
                "test": {2: data.Split(whole.images[cut:], whole.labels[cut:])},
            }
        )
        for cut in range(1, 8)
    }
    assert len(fingerprints) == 7
