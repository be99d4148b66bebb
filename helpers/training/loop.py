"""One training run: epoch by epoch, resumable, the same numbers every time."""

import copy
import itertools
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
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
from helpers.data import Split
from helpers.device import device, spoken_device
from helpers.training import checkpoint as checkpoints
from helpers.training.batches import (
    Splits,
    batches,
    blocks,
    load_data,
    network_input,
    prepared,
    training_splits,
)
from helpers.training.config import DECAYING, Config
from helpers.training.evaluation import Evaluation, evaluate, summed_loss
from helpers.training.graphs import GraphedStep
from helpers.training.precision import has_bfloat16, reduced

LOSS_CURVE_POINTS = 250
AUGMENTED_AT_ONCE = 4096  # images, on a GPU


def build(config: Config) -> models.Network:
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
    return train_side_by_side([(config, seed)], headline, [checkpoint], progress)[0]


def train_side_by_side(
    tasks: Sequence[tuple[Config, int]],
    headline: str | None = None,
    checkpoints: Sequence[Path | None] = (),
    progress: bool = True,
) -> list[tuple[nn.Module, runs.Record]]:
    """`train` for each config and seed, one step of each in turn.

    A GPU works at their steps at the same time, as networks this small fill only a part
    of it. checkpoints: one per task, or none at all.
    """
    with reproducible():
        trainings = [Training(config, seed) for config, seed in tasks]
        files = list(checkpoints) or [None] * len(trainings)
        for training, file in zip(trainings, files, strict=True):
            if file and file.exists():
                training.resume(file)
        first = tasks[0]
        with tqdm(
            desc=f"{first[0].network}, seed {first[1]}, {spoken_device()}"
            if len(tasks) == 1
            else f"{len(tasks)} networks, {spoken_device()}",
            total=sum(training.steps_in_all for training in trainings),
            initial=sum(training.steps_done for training in trainings),
            unit="batch",
            leave=False,
            **({} if progress else {"disable": True}),
        ) as bar:
            while going_on := [t for t in trainings if not t.is_done]:
                epochs = [training.steps() for training in going_on]
                for turn in itertools.zip_longest(*epochs, fillvalue=0):
                    bar.update(sum(turn))
                bar.set_postfix_str(going_on[-1].spoken_accuracy())
                for training, file in zip(trainings, files, strict=True):
                    if file and training in going_on:
                        training.save(file)
        beside = {"side_by_side": len(tasks)} if len(tasks) > 1 else {}
        return [
            (training.evaluated_model, training.record(headline) | beside)
            for training in trainings
        ]


@contextmanager
def reproducible() -> Iterator[None]:
    """One thread; a GPU sums in a fixed order, and does not shorten float32 to TF32."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        ):
            yield
    finally:
        torch.set_num_threads(threads)


class Training:
    """A run in progress; inside `reproducible` its numbers are always the same."""

    def __init__(self, config: Config, seed: int) -> None:
        self.config, self.seed = config, seed
        self.device = device()
        # Work of a stream of its own is done beside that of other trainings.
        self.stream = torch.cuda.Stream() if self.device.type == "cuda" else None
        self.data = load_data(config.data)
        self.train_splits, self.validation_splits = training_splits(config, self.device)
        for split in self.train_splits.values():
            config.check_image(tuple(split.images.shape[1:]))
        self.blocks = blocks(self.train_splits, config)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = build(config)
        if config.batch_norm:
            model = models.with_batch_norm(model)
        self.model = model.to(self.device).to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.model) if config.weight_average else None
        self.steps_per_epoch = sum(
            -(-len(split.labels) // config.batch_size) for split in self.blocks
        )
        self.steps_in_all = config.epochs * self.steps_per_epoch
        self.rates = learning_rates(config, self.steps_in_all)
        self.optimizer = optimizer(config, self.model, self.device)
        self.history: dict[str, list[float]] = {}
        self.first_epoch_losses: list[float] = []
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=self.device)
        self.right = torch.zeros((), dtype=torch.int64, device=self.device)
        self.step = GraphedStep(self._step) if self.stream else self._step
        if self.stream:
            torch.cuda.synchronize()

    @property
    def epochs_done(self) -> int:
        return len(self.history.get("train_loss", []))

    @property
    def steps_done(self) -> int:
        return self.epochs_done * self.steps_per_epoch

    @property
    def is_done(self) -> bool:
        return self.epochs_done >= self.config.epochs

    @property
    def evaluated_model(self) -> nn.Module:
        model = self.average or self.model
        return models.folded(model) if self.config.batch_norm else model

    @property
    def identity(self) -> dict[str, Any]:
        return {
            "config": self.config.to_dict(),
            "seed": self.seed,
            "fingerprint": self.data.fingerprint,
        }

    def run_epoch(self) -> None:
        """Train on every image once."""
        for _ in self.steps():
            pass

    def steps(self) -> Iterator[int]:
        """Train on every image once, a step at a time; yield 1 after each.

        Until the end of the epoch, nothing waits for a GPU.
        """
        started = time.perf_counter()
        batch_losses = []
        with self._in_stream():
            self.model.train()
            self.loss_sum.zero_()
            self.right.zero_()
        for step, (images, labels) in enumerate(self._batches(), self.steps_done):
            with self._in_stream():
                self._set_rate(self.rates[step])
                loss = self.step(images, labels)
                if not self.epochs_done:
                    batch_losses.append(loss / len(labels))
            yield 1
        with self._in_stream():
            if batch_losses:
                self.first_epoch_losses = _means_of_stretches(torch.stack(batch_losses))
            self._enter_in_history(time.perf_counter() - started)

    def _enter_in_history(self, seconds: float) -> None:
        started = time.perf_counter()
        samples = sum(len(split.labels) for split in self.blocks)
        results = {
            "train_loss": self.loss_sum.item() / samples,
            "train_accuracy": self.right.item() / samples,
        }
        if self.validation_splits:
            loss, accuracy, *_ = self._evaluate(self.validation_splits)
            results |= {"validation_loss": loss, "validation_accuracy": accuracy}
        results["seconds"] = seconds + time.perf_counter() - started
        for name, value in results.items():
            self.history.setdefault(name, []).append(value)

    def _in_stream(self) -> AbstractContextManager:
        return torch.cuda.stream(self.stream) if self.stream else nullcontext()

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of this epoch, augmented: on a GPU all of them in few calls."""
        rng = np.random.default_rng((self.seed, self.epochs_done))
        draws = self._generator()
        augmented = self.epochs_done < self.config.augmented_share * self.config.epochs
        steps = self.config.augmentation if augmented else ()

        def changed(images: Tensor) -> Tensor:
            return augment(network_input(images), steps, draws)

        if not self.stream:
            for images, labels in batches(self.blocks, self.config, rng):
                yield changed(images), labels
            return
        with self._in_stream():
            whole = [
                Split(
                    torch.cat(
                        [changed(x) for x in split.images.split(AUGMENTED_AT_ONCE)]
                    ),
                    split.labels,
                )
                for split in self.blocks
            ]
            ready = list(batches(whole, self.config, rng))
        yield from ready

    def _generator(self) -> torch.Generator:
        """The draws of this epoch's augmentation."""
        seeds = np.random.SeedSequence((self.seed, self.epochs_done, 1))
        drawn = seeds.generate_state(1, np.uint64)[0]
        return torch.Generator(self.device).manual_seed(int(drawn >> np.uint64(1)))

    def _set_rate(self, rate: float) -> None:
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def _step(self, images: Tensor, labels: Tensor) -> Tensor:
        """Adjust the weights to one batch; return its summed loss."""
        config = self.config
        with reduced(config.precision, self.device):
            scores = self.model(images)
        scores = scores.float()
        loss = summed_loss(scores, labels, config.loss, config.label_smoothing)
        self.optimizer.zero_grad()
        (loss / len(labels)).backward()
        self.optimizer.step()
        if self.average:
            # AveragedModel would compare a counter on the GPU with 0 in every step.
            update = get_ema_multi_avg_fn(config.weight_average)
            update(_averaged(self.average), _averaged(self.model), None)
        self.loss_sum += loss.detach()
        self.right += (scores.detach().argmax(1) == labels).sum()
        return loss.detach()

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
        """What came out; with a headline, on the test set too.

        Warns of a run that diverged, and marks it.
        """
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
        if self.config.precision == "bfloat16" and not has_bfloat16(self.device):
            record["bfloat16"] = "rounded"
        if runs.diverged(record):
            record["diverged"] = True
            warnings.warn(
                f"the run of seed {self.seed} diverged: its loss is no finite number, "
                "and its accuracy is chance; lower the learning rate",
                stacklevel=2,
            )
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
            "history": self.history,
            "first_epoch_losses": self.first_epoch_losses,
        }
        checkpoints.save(path, self._networks(), self.optimizer, facts)

    def resume(self, path: Path) -> None:
        """Go on from what `save` wrote; where that is of no use, from the start."""
        if facts := checkpoints.restore(
            path, self._networks(), self.optimizer, self.identity
        ):
            _let_rates_change(self.optimizer, self.device)
            self.history = facts["history"]
            self.first_epoch_losses = facts["first_epoch_losses"]

    def _networks(self) -> dict[str, nn.Module]:
        networks: dict[str, nn.Module] = {"model": self.model}
        return networks | ({"average": self.average} if self.average else {})


def optimizer(
    config: Config, model: nn.Module, device: torch.device
) -> optim.Optimizer:
    """The optimizer of a config; on a GPU in a form that a graph can hold."""
    options: dict[str, Any] = {"lr": config.learning_rate}
    if config.optimizer == "SGD":
        options |= {"momentum": 0.9, "nesterov": True}
    if config.optimizer in DECAYING:
        options |= {"weight_decay": config.weight_decay}
    if device.type == "cuda":
        options |= {"fused" if config.optimizer == "SGD" else "capturable": True}
    made = getattr(optim, config.optimizer)(model.parameters(), **options)
    _let_rates_change(made, device)
    return made


def _let_rates_change(optimizer: optim.Optimizer, device: torch.device) -> None:
    """On a GPU the learning rate is a tensor: a number would be fixed in the graph."""
    if device.type == "cuda":
        for group in optimizer.param_groups:
            group["lr"] = torch.tensor(float(group["lr"]), device=device)


def _averaged(model: nn.Module) -> list[Tensor]:
    """What the average of the weights is taken of: statistics of batch norms, too."""
    return [x for x in model.state_dict().values() if x.is_floating_point()]


def learning_rates(config: Config, steps: int) -> list[float]:
    """The learning rate of every step, by PyTorch's own schedule."""
    if config.schedule == "constant":
        return [config.learning_rate] * steps
    nothing = optim.SGD([torch.zeros(1)], lr=config.learning_rate)
    schedule = lr_scheduler.OneCycleLR(
        nothing, config.learning_rate, total_steps=steps, cycle_momentum=False
    )
    rates: list[float] = []
    for _ in range(steps):
        rates += map(float, schedule.get_last_lr())
        nothing.step()
        if len(rates) < steps:
            schedule.step()
    return rates


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
