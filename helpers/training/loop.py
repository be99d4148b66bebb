"""One training run: epoch by epoch, resumable, the same numbers every time."""

import copy
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn, optim
from torch.optim import lr_scheduler
from torch.optim.swa_utils import get_ema_multi_avg_fn
from tqdm.auto import tqdm

from helpers import models, runs
from helpers.augment import augment
from helpers.device import device, spoken_device
from helpers.training import checkpoint as checkpoints
from helpers.training.batches import (
    Splits,
    batches,
    blocks,
    hold_out,
    load_data,
    network_input,
    prepared,
)
from helpers.training.config import Config
from helpers.training.evaluation import Evaluation, evaluate, summed_loss

LOSS_CURVE_POINTS = 250


def build(config: Config) -> nn.Module:
    """The network of a config, with fresh weights."""
    return models.NETWORKS[config.network](**dict(config.network_options))


def load_model(record: runs.Record) -> nn.Module:
    """The trained network of a recorded run that kept its weights, on the CPU.

    It is laid out for speed, with the channels last, as in training. Raises ValueError
    for a run that did not.
    """
    weights = runs.weights_file(record)
    model = build(Config(**record["config"]))
    model.load_state_dict(load_file(weights))
    return model.to(memory_format=torch.channels_last).eval()


def train(
    config: Config,
    seed: int,
    headline: str | None = None,
    checkpoint: Path | None = None,
    progress: bool = True,
) -> tuple[nn.Module, runs.Record]:
    """Train once; return the network and the record of the run (see `helpers.runs`).

    headline: the name of the result that the run counts for. Only then is the test set
    looked at, once, after the last epoch. checkpoint: a file that is written after each
    epoch; a run that was killed goes on from there, to the same numbers. Without
    `progress` there is no bar, and with TQDM_DISABLE=1 in the environment neither.
    """
    with reproducible():
        training = Training(config, seed)
        if checkpoint and checkpoint.exists():
            training.resume(checkpoint)
        with tqdm(
            desc=f"{config.network}, seed {seed}, {spoken_device()}",
            total=config.epochs * training.steps_per_epoch,
            initial=training.epochs_done * training.steps_per_epoch,
            unit="batch",
            leave=False,
            **({} if progress else {"disable": True}),
        ) as bar:
            while training.epochs_done < config.epochs:
                training.run_epoch(bar)
                bar.set_postfix_str(training.spoken_accuracy())
                if checkpoint:
                    training.save(checkpoint)
        return training.evaluated_model, training.record(headline)


@contextmanager
def reproducible() -> Iterator[None]:
    """One thread, and no algorithm of the GPU that sums in a changing order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True
        ):
            yield
    finally:
        torch.set_num_threads(threads)


class Training:
    """A run in progress; inside `reproducible` its numbers are always the same."""

    def __init__(self, config: Config, seed: int) -> None:
        self.config, self.seed = config, seed
        self.device = device()
        self.data = load_data(config.data)
        self.train_splits, self.validation_splits = (
            prepared(part, config, self.device)
            for part in hold_out(self.data.train, config)
        )
        self.blocks = blocks(self.train_splits, config)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = build(config)
        self.model = model.to(self.device, memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.model) if config.weight_average else None
        self.optimizer = getattr(optim, config.optimizer)(
            self.model.parameters(), lr=config.learning_rate
        )
        self.steps_per_epoch = sum(
            -(-len(split.labels) // config.batch_size) for split in self.blocks
        )
        self.scheduler = _scheduler(
            config, self.optimizer, config.epochs * self.steps_per_epoch
        )
        self.history: dict[str, list[float]] = {}
        self.first_epoch_losses: list[float] = []

    @property
    def epochs_done(self) -> int:
        return len(self.history.get("train_loss", []))

    @property
    def evaluated_model(self) -> nn.Module:
        return self.average or self.model

    @property
    def identity(self) -> dict[str, Any]:
        return {
            "config": self.config.to_dict(),
            "seed": self.seed,
            "fingerprint": self.data.fingerprint,
        }

    def run_epoch(self, bar: tqdm | None = None) -> None:
        """Train on every image once; until the end, nothing waits for a GPU."""
        started = time.perf_counter()
        self.model.train()
        loss_sum = torch.zeros((), dtype=torch.float64, device=self.device)
        right = torch.zeros((), dtype=torch.int64, device=self.device)
        batch_losses, samples = [], 0
        rng = np.random.default_rng((self.seed, self.epochs_done))
        draws = self._generator()
        for images, labels in batches(self.blocks, self.config, rng):
            loss, scores = self._step(images, labels, draws)
            loss_sum += loss
            right += (scores.argmax(1) == labels).sum()
            samples += len(labels)
            if not self.epochs_done:
                batch_losses.append(loss / len(labels))
            if bar is not None:
                bar.update()
        if batch_losses:
            self.first_epoch_losses = _means_of_stretches(torch.stack(batch_losses))

        results = {
            "train_loss": loss_sum.item() / samples,
            "train_accuracy": right.item() / samples,
        }
        if self.validation_splits:
            loss, accuracy, *_ = self._evaluate(self.validation_splits)
            results |= {"validation_loss": loss, "validation_accuracy": accuracy}
        results["seconds"] = time.perf_counter() - started
        for name, value in results.items():
            self.history.setdefault(name, []).append(value)

    def _generator(self) -> torch.Generator:
        """The draws of this epoch's augmentation."""
        seeds = np.random.SeedSequence((self.seed, self.epochs_done, 1))
        drawn = seeds.generate_state(1, np.uint64)[0]
        return torch.Generator(self.device).manual_seed(int(drawn >> np.uint64(1)))

    def _step(
        self, images: Tensor, labels: Tensor, draws: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Adjust the weights to one batch; return its summed loss and its scores."""
        config = self.config
        images = augment(network_input(images), config.augmentation, draws)
        with torch.autocast(
            self.device.type, torch.bfloat16, enabled=config.precision == "bfloat16"
        ):
            scores = self.model(images)
        scores = scores.float()
        loss = summed_loss(scores, labels, config.loss, config.label_smoothing)
        self.optimizer.zero_grad()
        (loss / len(labels)).backward()
        self.optimizer.step()
        self.scheduler.step()
        if self.average:
            # AveragedModel would compare a counter on the GPU with 0 in every step.
            update = get_ema_multi_avg_fn(config.weight_average)
            update([*self.average.parameters()], [*self.model.parameters()], None)
        return loss.detach(), scores.detach()

    def _evaluate(self, splits: Splits) -> Evaluation:
        return evaluate(self.evaluated_model, splits, self.config.loss)

    def spoken_accuracy(self) -> str:
        """The accuracies after the last epoch, for the progress bar."""
        return ", ".join(
            f"{name.removesuffix('_accuracy')} {values[-1]:.2%}"
            for name, values in self.history.items()
            if name.endswith("accuracy")
        )

    def record(self, headline: str | None) -> runs.Record:
        """What came out; with a headline, on the test set too."""
        parts = {"train": self.train_splits, "validation": self.validation_splits}
        if headline:
            parts["test"] = prepared(self.data.test, self.config, self.device)
        results = {name: self._evaluate(part) for name, part in parts.items() if part}
        record = {
            **self.identity,
            "headline": headline,
            "history": self.history,
            "first_epoch_losses": self.first_epoch_losses,
            "final": {name: _metrics(result) for name, result in results.items()},
            "seconds": sum(self.history["seconds"]),
            **runs.machine(),
        }
        if headline:
            record["test_predictions"] = {
                str(resolution): "".join(map(str, scores.argmax(1).tolist()))
                for resolution, scores in results["test"].scores.items()
            }
        return record

    def save(self, path: Path) -> None:
        """Write everything that the coming epochs depend on."""
        facts = {
            "identity": self.identity,
            "scheduler": self.scheduler.state_dict(),
            "history": self.history,
            "first_epoch_losses": self.first_epoch_losses,
        }
        checkpoints.save(path, self._networks(), self.optimizer, facts)

    def resume(self, path: Path) -> None:
        """Go on from what `save` wrote; where that is of no use, from the start."""
        if facts := checkpoints.restore(
            path, self._networks(), self.optimizer, self.identity
        ):
            self.scheduler.load_state_dict(facts["scheduler"])
            self.history = facts["history"]
            self.first_epoch_losses = facts["first_epoch_losses"]

    def _networks(self) -> dict[str, nn.Module]:
        average = {"average": self.average} if self.average else {}
        return {"model": self.model} | average


def _scheduler(
    config: Config, optimizer: optim.Optimizer, steps: int
) -> lr_scheduler.LRScheduler:
    if config.schedule == "constant":
        return lr_scheduler.ConstantLR(optimizer, factor=1.0)
    return lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=steps, cycle_momentum=False
    )


def _means_of_stretches(losses: Tensor) -> list[float]:
    stretches = losses.tensor_split(min(len(losses), LOSS_CURVE_POINTS))
    return [stretch.mean().item() for stretch in stretches]


def _metrics(result: Evaluation) -> dict[str, Any]:
    by_resolution = {str(r): a for r, a in result.accuracy_by_resolution.items()}
    return {
        "loss": result.loss,
        "accuracy": result.accuracy,
        "accuracy_by_resolution": by_resolution,
    }
