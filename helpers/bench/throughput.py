"""Images per second of training: the usual loop, this package, several runs at once.

All train `FixedNet` on MNIST with Adam, in float32 unless they say otherwise. In every
round all of them take turns, and so do matrix products in float32, whose speed is the
most that the arithmetic of training in float32 could reach.
`python -m helpers.bench.throughput` prints the table.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import Manager

import numpy as np
import torch
import torch.nn.functional as F
from joblib import Parallel, cpu_count, delayed, parallel_config
from PIL import Image
from torch import Tensor, optim
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode
from torchvision.transforms.functional import to_tensor
from tqdm.auto import tqdm

from helpers.bench.together import Together
from helpers.data import Split
from helpers.device import described_device, device, wait
from helpers.training.batches import batches, load_data, network_input
from helpers.training.config import Config
from helpers.training.loop import Training, build, reproducible

NETWORKS_TOGETHER = 3
MANY = (10, 100)  # by products
EPOCH = 1280  # images, so that an epoch takes a fraction of a second
PRODUCT_SIZE = 1024

Steps = Generator[int, None, None]  # does a step of endless work, says how much it was


# --- What takes turns -----------------------------------------------------------------


def usual_loop(config: Config, workers: int) -> Steps:
    """The loop of tutorials, channels first; yields numbers of images."""
    model = build(config).to(device())
    optimizer = optim.Adam(model.parameters(), lr=config.learning_rate)
    loader = DataLoader(
        PerSample(_training_images(config)),
        config.batch_size,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    while True:
        for images, labels in loader:
            images, labels = images.to(device()), labels.to(device())
            loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield len(labels)


class PerSample(Dataset):
    """As torchvision's MNIST: each image becomes a PIL image, and that a tensor."""

    def __init__(self, split: Split) -> None:
        self.split = split

    def __len__(self) -> int:
        return len(self.split.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = Image.fromarray(self.split.images[index, 0].numpy())
        return to_tensor(image), int(self.split.labels[index])


def this_package(config: Config, *seeds: int, epoch: int = EPOCH) -> Steps:
    """`Training`, in epochs of so many images; yields the numbers of images.

    Several seeds are trained side by side, one step of each in turn; without one it is
    the seed 0.
    """
    trainings = [Training(config, seed) for seed in seeds or (0,)]
    for training in trainings:
        (block,) = training.blocks
        training.blocks = [Split(block.images[:epoch], block.labels[:epoch])]
    while True:
        for _ in zip(*(training.steps() for training in trainings), strict=True):
            pass
        yield sum(len(training.blocks[0].labels) for training in trainings)


def together(
    config: Config, networks: int = NETWORKS_TOGETHER, grouped: bool = True
) -> Steps:
    """Several seeds as one network; yields the numbers of images of all seeds."""
    models = [build(config) for _ in range(networks)]
    model = Together(models, grouped).to(device()).to(memory_format=torch.channels_last)
    optimizer = optim.Adam(model.parameters(), lr=config.learning_rate)
    blocks = Training(config, seed=0).blocks
    while True:
        seeds = map(np.random.default_rng, range(networks))
        for group in zip(*(batches(blocks, config, r) for r in seeds), strict=True):
            images = torch.cat([images for images, _ in group], dim=1)
            labels = torch.cat([labels for _, labels in group])
            scores = model(network_input(images)).flatten(0, 1)
            # The mean over all, times their number: the sum of the networks' means.
            loss = networks * F.cross_entropy(scores, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield len(labels)


def matrix_products() -> Steps:
    """Products of large square matrices; yields floating-point operations."""
    square = torch.rand(PRODUCT_SIZE, PRODUCT_SIZE, device=device())
    while True:
        (square @ square)[0, 0].item()  # reading a value waits for the GPU
        yield 2 * PRODUCT_SIZE**3


def _training_images(config: Config) -> Split:
    (split,) = load_data(config.data).train.values()
    return split


def flops_per_image(config: Config) -> int:
    """Floating-point operations of one training step, per image.

    Two per multiply-add of convolutions and linear layers. Each of the two gradients
    costs as much as the forward pass, but the first layer needs none of its input.
    """
    images = network_input(_training_images(config).images[:1])
    with FlopCounterMode(display=False) as counter:
        build(config)(images).sum().backward()
    return counter.get_total_flops()


# --- Measurement ----------------------------------------------------------------------


@dataclass(frozen=True)
class Throughput:
    """One way to train; `images_per_second` has one value per round, of all its runs.

    The others are medians over rounds: the multiples of the usual loop without and with
    loader processes in the same round, floating-point operations per second, and their
    share of what matrix products reached on as many threads in the same round.
    """

    way: str
    batch_size: int
    threads: int
    images_per_second: tuple[float, ...]
    multiples_of_usual: tuple[float, ...]
    flops_per_second: float
    share_of_peak: float


def measure(
    batch_size: int = 32, rounds: int = 5, seconds: float = 2.0, quiet: bool = False
) -> list[Throughput]:
    """Let all ways take turns for some seconds each, in several rounds.

    `quiet` hides the progress bar. Raises ValueError for a batch_size below 1.
    """
    config = Config(batch_size=batch_size, validation_share=0.0)
    processes = cpu_count()
    usual = [f"usual loop, {workers} loader processes" for workers in (0, 2)]
    alone = "this package"
    side_by_side = f"this package, {processes} runs side by side"
    short = f"the same {processes} runs in bfloat16"
    grouped = f"{NETWORKS_TOGETHER} seeds as one network, grouped"
    products = [f"{seeds} seeds as one network, products" for seeds in MANY]
    threads = dict.fromkeys(usual, torch.get_num_threads())
    threads |= {alone: 1, side_by_side: processes, short: processes, grouped: 1}
    threads |= dict.fromkeys(products, 1)
    turns: dict[str | int, Callable[[float], float]] = {
        usual[0]: partial(rate, partial(usual_loop, config, 0), threads[usual[0]]),
        usual[1]: partial(rate, partial(usual_loop, config, 2), threads[usual[1]]),
        alone: partial(rate, partial(this_package, config), 1),
        side_by_side: partial(rate_side_by_side, config, processes),
        short: partial(
            rate_side_by_side, replace(config, precision="bfloat16"), processes
        ),
        grouped: partial(rate, partial(together, config), 1),
    }
    turns |= {
        name: partial(rate, partial(together, config, seeds, grouped=False), 1)
        for name, seeds in zip(products, MANY, strict=True)
    }
    turns |= {n: partial(rate, matrix_products, n) for n in set(threads.values())}

    reached: dict[str | int, list[float]] = {name: [] for name in turns}
    with tqdm(
        total=rounds * len(turns), desc="measuring", leave=False, disable=quiet
    ) as bar:
        for _ in range(rounds):
            for name, turn in turns.items():
                reached[name].append(turn(seconds))
                bar.update()
    # Work per second as arrays, one value per round.
    speeds = {name: np.array(values) for name, values in reached.items()}
    flops = flops_per_image(config)
    return [
        Throughput(
            way=way,
            batch_size=batch_size,
            threads=used,
            images_per_second=tuple(speeds[way].tolist()),
            multiples_of_usual=tuple(
                float(np.median(speeds[way] / speeds[loop])) for loop in usual
            ),
            flops_per_second=flops * float(np.median(speeds[way])),
            share_of_peak=float(np.median(flops * speeds[way] / speeds[used])),
        )
        for way, used in threads.items()
    ]


def rate(
    work: Callable[[], Steps],
    threads: int,
    seconds: float,
    ready: Callable[[], object] = lambda: None,
) -> float:
    """Return how much work is done per second, after a warm-up and the call `ready`."""
    with reproducible(), closing(work()) as steps:
        torch.set_num_threads(threads)
        _speed(steps, seconds / 10)
        ready()
        return _speed(steps, seconds)


def rate_side_by_side(config: Config, processes: int, seconds: float) -> float:
    """Return the images per second of runs in processes of their own, as in `sweep`."""
    with Manager() as manager, parallel_config("loky", inner_max_num_threads=1):
        start_line = manager.Barrier(processes, timeout=600)
        rates = Parallel(n_jobs=processes)(
            delayed(rate)(
                partial(this_package, config, seed), 1, seconds, start_line.wait
            )
            for seed in range(processes)
        )
    return sum(rates)


def _speed(steps: Steps, seconds: float) -> float:
    done, started = 0, time.perf_counter()
    while not done or time.perf_counter() - started < seconds:
        done += next(steps)
    wait()
    return done / (time.perf_counter() - started)


# --- Command line ---------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print one table per batch size."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers.bench.throughput",
        description="Measure images per second of training FixedNet on MNIST: the "
        "usual loop with a DataLoader, this package's, and several runs at once, side "
        "by side in every round.",
    )
    parser.add_argument("--batch-size", type=int, nargs="+", default=[32], metavar="N")
    parser.add_argument("--rounds", type=int, default=5, help="default: 5")
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="per way and round (default: 2)"
    )
    chosen = parser.parse_args(arguments)
    if min(chosen.rounds, chosen.seconds, *chosen.batch_size) <= 0:
        parser.error("--rounds, --seconds and --batch-size need numbers above 0")
    print(f"{load_data('mnist').source}; {described_device()}")
    operations = flops_per_image(Config()) / 1e6
    print(f"One image takes {operations:.2f} million floating-point operations,")
    print("forward and backward, without the gradient of the images.")
    for batch_size in chosen.batch_size:
        print(f"\nBatches of {batch_size}, medians over {chosen.rounds} rounds")
        print(table(measure(batch_size, chosen.rounds, chosen.seconds)))


def table(measured: Sequence[Throughput]) -> str:
    """Return one line per way: images/s (lowest to highest round), multiples, share."""
    lines = [
        f"{'':34}{'threads':>8}{'images/s':>10}{'(range)':>16}{'x usual, 0 / 2':>16}"
        f"{'GFLOP/s':>9}{'of peak':>9}"
    ]
    for way in measured:
        images = way.images_per_second
        alone, loaded = way.multiples_of_usual
        span = f"({min(images):.0f}-{max(images):.0f})"
        lines.append(
            f"{way.way:34}{way.threads:>8}{statistics.median(images):>10.0f}{span:>16}"
            f"{f'{alone:.2f} / {loaded:.2f}':>16}{way.flops_per_second / 1e9:>9.1f}"
            f"{way.share_of_peak:>9.0%}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
