"""Images in memory: which are for training, in what order, in which batches."""

import functools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from helpers import canvas, data
from helpers.data import Split
from helpers.training.config import Config

Splits = Mapping[int, Split]  # resolution in pixels -> images and labels


@functools.cache
def load_data(name: str) -> data.DataSet:
    """`data.load`, once for all runs of this process."""
    return data.load(name)


def hold_out(
    splits: Splits, config: Config
) -> tuple[dict[int, Split], dict[int, Split]]:
    """Training and validation images, the same ones for every seed.

    A resolution of which nothing is left is absent. Raises ValueError where nothing is
    left to train on.
    """
    train: dict[int, Split] = {}
    validation: dict[int, Split] = {}
    for resolution, split in splits.items():
        order = torch.from_numpy(
            np.random.default_rng(0).permutation(len(split.labels))
        )
        held_out = round(config.validation_share * len(order))
        used = held_out + round(config.training_share * (len(order) - held_out))
        parts = ((validation, order[:held_out]), (train, order[held_out:used]))
        for part, rows in parts:
            if len(rows):
                part[resolution] = Split(split.images[rows], split.labels[rows])
    if not train:
        count = sum(len(split.labels) for split in splits.values())
        raise ValueError(
            f"of {count} images none is left to train on: use another "
            f"validation_share than {config.validation_share} or training_share than "
            f"{config.training_share}"
        )
    return train, validation


def prepared(splits: Splits, config: Config, device: torch.device) -> dict[int, Split]:
    """The images after the config's preparation, on the device.

    Each stays under the resolution that it had before.
    """
    return {
        resolution: Split(
            canvas.prepare(split.images, config.preparation).to(device),
            split.labels.to(device),
        )
        for resolution, split in splits.items()
    }


def training_splits(
    config: Config, device: torch.device
) -> tuple[dict[int, Split], dict[int, Split]]:
    """What `hold_out` gives of the config's data, prepared and on the device.

    Trainings side by side that differ in other settings share one copy.
    """
    data_set = load_data(config.data)
    channels = data.RECIPES[config.data].shapes[0][0]
    used = Config(
        data=config.data,
        network="VariableNet",  # which takes images of any size
        network_options={"in_channels": channels},
        validation_share=config.validation_share,
        training_share=config.training_share,
        preparation=config.preparation,
    )
    return _training_splits(data_set, used, device)


@functools.lru_cache(maxsize=2)
def _training_splits(
    data_set: data.DataSet, config: Config, device: torch.device
) -> tuple[dict[int, Split], dict[int, Split]]:
    train, validation = hold_out(data_set.train, config)
    return prepared(train, config, device), prepared(validation, config, device)


def blocks(splits: Splits, config: Config) -> list[Split]:
    """What batches are cut from: one split per size, merged where the sizes agree."""
    found = [splits[resolution] for resolution in sorted(splits)]
    sizes = {split.images.shape[1:] for split in found}
    if len(sizes) > 1 or len(found) == 1 or config.batch_order == "blocked":
        return found
    images = torch.cat([split.images for split in found])
    return [Split(images, torch.cat([split.labels for split in found]))]


def batches(
    blocks: Sequence[Split], config: Config, rng: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield images and labels in the config's orders; all batches are of one block.

    The last slice of a block takes what is left.
    """
    slices = []
    for split in blocks:
        if config.image_order == "by class":
            order = split.labels.argsort(stable=True)
        else:
            order = torch.from_numpy(rng.permutation(len(split.labels)))
            order = order.to(split.images.device)
        images, labels = split.images[order], split.labels[order]
        for start in range(0, len(order), config.batch_size):
            stop = start + config.batch_size
            slices.append((images[start:stop], labels[start:stop]))
    if len(blocks) > 1 and config.batch_order == "mixed":
        slices = [slices[position] for position in rng.permutation(len(slices))]
    yield from slices


def network_input(images: Tensor) -> Tensor:
    """uint8 images -> float32 between 0 and 1, channels last in memory for speed."""
    return images.to(torch.float32, memory_format=torch.channels_last).div_(255)
