"""The timings of chapter 4: images augmented one by one, and in batches.

`python -m helpers.bench.pipelines` measures anew, writes the record and prints it.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Generator, Sequence

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from tqdm.auto import tqdm

from helpers import bench
from helpers.augment import Steps, augment
from helpers.data import Split
from helpers.training.batches import load_data, network_input
from helpers.ways import one_thread

NAME = "pipelines"
Amounts = Generator[int, None, None]  # numbers of images, one after each work
ROUNDS = 7

# The 2024 report's transforms, for batches and for Pillow images.
STEPS: Steps = [
    ("affine", {"degrees": 15, "translate": 0.1, "scale": (0.9, 1.1)}),
    ("perspective", {"distortion_scale": 0.1}),
    ("blur", {"kernel_size": 3}),
]
ONE_BY_ONE = transforms.Compose(
    [
        transforms.RandomAffine(15, (0.1, 0.1), (0.9, 1.1)),
        transforms.RandomPerspective(0.1),
        transforms.GaussianBlur(3),
        transforms.ToTensor(),
    ]
)


class Drawings(Dataset):
    """Pillow images and labels, changed one by one as they are asked for."""

    def __init__(self, split: Split, transform: Callable) -> None:
        self.images = [Image.fromarray(image[0].numpy()) for image in split.images]
        self.labels, self.transform = split.labels, transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.transform(self.images[index]), self.labels[index]


def one_by_one(split: Split, transform: Callable, workers: int) -> Amounts:
    """Endlessly: ask a data loader for all images in batches of 64; yield how many."""
    loader = DataLoader(
        Drawings(split, transform),
        batch_size=64,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    while True:
        yield sum(len(labels) for _, labels in loader)


def all_at_once(images: Tensor, steps: Steps, batches: int) -> Amounts:
    """Endlessly: convert and change one batch so many times; yield how many images."""
    draws = torch.Generator().manual_seed(10)
    while True:
        for _ in range(batches):
            augment(network_input(images), steps, draws)
        yield len(images) * batches


def measure(split: Split, rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Images per second of each pipeline, one value per round, all taking turns.

    split: at least 1,024 images of one channel. The batches are changed in one thread.
    """

    def first(count: int) -> Split:
        return Split(split.images[:count], split.labels[:count])

    pipelines = {
        "one by one, no worker": one_by_one(first(512), ONE_BY_ONE, workers=0),
        "one by one, 2 workers": one_by_one(first(1024), ONE_BY_ONE, workers=2),
        "batches of 64": all_at_once(split.images[:64], STEPS, batches=64),
        "batches of 1,024": all_at_once(split.images[:1024], STEPS, batches=4),
    }
    rates: dict[str, list[float]] = {name: [] for name in pipelines}
    with torch.random.fork_rng(devices=[]), one_thread():
        for turn in tqdm(range(rounds + 1), "measuring", unit="round", leave=False):
            for name, pipeline in pipelines.items():
                clock = time.perf_counter()
                images = next(pipeline)
                if turn:  # the first one starts the workers
                    rates[name].append(images / (time.perf_counter() - clock))
    for pipeline in pipelines.values():
        pipeline.close()
    return rates


def recorded(split: Split) -> bench.Record:
    """Return what was recorded, or `measure` it, which takes half a minute."""
    return bench.recorded(NAME, STEPS, lambda: measure(split))


# --- Command line ---------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, record, and print images per second: median, lowest, highest round."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers.bench.pipelines",
        description="Measure images per second of augmentation, one by one and in "
        "batches, side by side in every round.",
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"default: {ROUNDS}")
    rounds = parser.parse_args(arguments).rounds
    if rounds < 1:
        parser.error(f"--rounds is {rounds}: give at least 1")
    images = load_data("mnist").train[28]
    record = bench.renew(NAME, STEPS, lambda: measure(images, rounds))
    print(f"Measured on {record}")
    for name, rates in record.values.items():
        low, middle, high = min(rates), statistics.median(rates), max(rates)
        print(f"{name:24}{middle:>10,.0f} images/s ({low:,.0f} - {high:,.0f})")


if __name__ == "__main__":
    main()
