"""A graphics card: what has to hold on it, one result per data set, and its speed.

`python -m helpers.bench.gpu` checks, trains and measures, and writes one record, which
chapters 1 and 3 show beside what a CPU does. With --dry-run it does all of it in
little, on a CPU too, and keeps that record apart. The recorded runs stay as they are.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from helpers import bench, data, runs, text, ways
from helpers.bench.throughput import rate, this_package, together, usual_loop
from helpers.conv import Conv2DFunc
from helpers.device import device, gpu, wait
from helpers.training.config import Config
from helpers.training.loop import Training, build, reproducible, train_side_by_side
from helpers.training.precision import reduced

NAME, DRY = "gpu", "gpu-dry-run"
RESULTS = ("mnist/best", "varres/variable", "cifar10/best-long")  # one per data set
USUAL = "usual loop"


@dataclass(frozen=True)
class Plan:
    """How much is done: `seeds` per result and at once, `rounds` of some seconds.

    epochs: of a result, None for its own. cases: the convolutions that are timed.
    """

    seeds: int = 5
    epochs: int | None = None
    networks: int = 16
    rounds: int = 5
    seconds: float = 2.0
    images_per_epoch: int = 60_000
    cases: int = len(ways.CASES)


LITTLE = Plan(1, 1, 2, 1, 0.1, 64, 1)


def measure(plan: Plan) -> dict[str, Any]:
    """Do all of it; return what a record keeps."""
    print(f"On {gpu() or 'a CPU, as no graphics card was found'}:", flush=True)
    return {
        "checks": checked(),
        "results": [result(name, plan) for name in RESULTS],
        "images_per_second": training_speeds(plan),
        "convolutions": [
            {"case": asdict(case), "seconds": convolution_seconds(case, plan)}
            for case in ways.CASES[: plan.cases]
        ],
    }


# --- What has to hold -----------------------------------------------------------------


def checked() -> dict[str, str]:
    """Name -> "holds", or what does not hold, of every check; told as they are made."""
    told = {}
    for name, check in CHECKS.items():
        try:
            told[name] = check() or "holds"
        except (AssertionError, RuntimeError) as error:
            told[name] = f"does not hold: {str(error).strip() or type(error).__name__}"
        print(f"  {name}: {told[name]}", flush=True)
    return told


def under_autocast() -> None:
    """The gradients of our own Function in bfloat16 are near those in float32."""
    X, K = (t.to(device()).requires_grad_() for t in ways.CASES[0].tensors())

    def gradients() -> tuple[Tensor, ...]:
        return torch.autograd.grad(
            Conv2DFunc.apply(X, K).float().square().mean(), (X, K)
        )

    exact = gradients()
    with reduced("bfloat16", device()):
        short = gradients()
    for ours, reference in zip(short, exact, strict=True):
        _near(ours, reference, relative=0.05)


def deterministic() -> None:
    """The same training twice gives the same weights, to the bit."""
    first, second = (_trained(Config(training_share=0.02)).model for _ in range(2))
    for name, weight in first.state_dict().items():
        assert torch.equal(weight, second.state_dict()[name]), f"{name} differs"


def like_the_cpu() -> None:
    """Convolutions in every way, and a network, give what a CPU gives in float64."""
    with reproducible():
        for way in ways.WAYS.values():
            case = ways.Case(2, 4, 12, 3, 5)
            X, K = case.tensors()
            expected = F.conv2d(X.double(), K.double(), None, case.stride, case.padding)
            ours = way(X.to(device()), K.to(device()), case.stride, case.padding)
            _near(ours, expected, relative=1e-4)
        torch.manual_seed(0)
        model, images = build(Config()), torch.rand(8, 1, 28, 28)
        expected = model.double()(images.double())
        _near(model.float().to(device())(images.to(device())), expected, relative=1e-4)


def resident() -> None:
    """All images lie on the device before the first step."""
    training = Training(Config(training_share=0.02), seed=0)
    for split in training.blocks:
        for tensor in (split.images, split.labels):
            assert tensor.device.type == device().type, f"{tensor.device} holds them"


def without_waiting() -> str | None:
    """From the first step of an epoch to its last, nothing waits for the GPU."""
    if device().type != "cuda":
        return "not checked: a CPU waits for nobody"
    with reproducible():
        training = Training(Config(training_share=0.02), seed=0)
        training.run_epoch()
        steps = training.steps()
        next(steps)  # brings the order of the images to the GPU
        torch.cuda.set_sync_debug_mode("error")
        try:
            for _ in range(training.steps_per_epoch - 1):
                next(steps)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return None


CHECKS: dict[str, Callable[[], str | None]] = {
    "our Function under autocast": under_autocast,
    "the same training twice, to the bit": deterministic,
    "the numbers of a CPU, within rounding": like_the_cpu,
    "all images on the device": resident,
    "no step waits": without_waiting,
}


def _trained(config: Config) -> Training:
    with reproducible():
        training = Training(config, seed=0)
        training.run_epoch()
    return training


def _near(ours: Tensor, expected: Tensor, relative: float) -> None:
    assert torch.isfinite(ours).all(), "values are not finite"
    apart = (ours.double().cpu() - expected.double().cpu()).abs().max()
    allowed = relative * expected.double().abs().max().cpu()
    assert apart <= allowed, f"values are {apart:.2e} apart, allowed are {allowed:.2e}"


# --- What is trained ------------------------------------------------------------------


def result(name: str, plan: Plan) -> dict[str, Any]:
    """Train some seeds of a recorded result again, at once; compare the accuracies."""
    recorded = runs.named(runs.RECORDED)[name][: plan.seeds]
    config = Config(**recorded[0]["config"])
    config = replace(config, epochs=plan.epochs or config.epochs)
    seeds = [record["seed"] for record in recorded]
    found: dict[str, Any] = {"name": name, "epochs": config.epochs, "seeds": seeds}
    try:
        data.locate(config.data)
    except data.DataMissing as error:
        print(f"  {name}: left out. {error}", flush=True)
        return found | {"missing": str(error)}
    started = time.perf_counter()
    trained = train_side_by_side([(config, seed) for seed in seeds], name)
    found["seconds"] = time.perf_counter() - started
    found["test_accuracy"] = runs.test_accuracy([record for _, record in trained])
    found["recorded"] = runs.test_accuracy(recorded)
    print(
        f"  {name}: {len(seeds)} seeds in {found['seconds']:.0f} s, mean test accuracy "
        f"{statistics.fmean(found['test_accuracy']):.2%}; recorded: "
        f"{statistics.fmean(found['recorded']):.2%}",
        flush=True,
    )
    return found


# --- How fast -------------------------------------------------------------------------


def training_speeds(plan: Plan) -> dict[str, list[float]]:
    """Way -> images per second of all its networks together, one value per round."""
    config = Config(validation_share=0.0, epochs=1000)
    seeds, epoch = range(plan.networks), plan.images_per_epoch
    turns = {
        USUAL: partial(usual_loop, config, 0),
        "this package": partial(this_package, config, epoch=epoch),
        f"{plan.networks} networks side by side": partial(
            this_package, config, *seeds, epoch=epoch
        ),
        f"{plan.networks} networks in one tensor": partial(
            together, config, plan.networks
        ),
    }
    speeds: dict[str, list[float]] = {way: [] for way in turns}
    for _ in tqdm(range(plan.rounds), "training", unit="round", leave=False):
        for way, turn in turns.items():
            speeds[way].append(rate(turn, 1, plan.seconds))
    for way, found in speeds.items():
        print(f"  {way}: {statistics.median(found):,.0f} images/s", flush=True)
    return speeds


def convolution_seconds(case: ways.Case, plan: Plan) -> dict[str, list[list[float]]]:
    """Way -> seconds forward, and forward + backward, one value per round."""
    able = [
        way for way in (*ways.REFERENCES, *ways.MEASURED) if ways.computes(way, case)
    ]
    with reproducible():
        calls = {way: ways.passes(case, way, device()) for way in able}
        return {
            way: [[_seconds(call) for _ in range(plan.rounds)] for call in both]
            for way, both in calls.items()
        }


def _seconds(call: Callable[[], object]) -> float:
    """The mean seconds of a call among as many as fill a hundredth of a second."""
    number, taken = 1, 0.0
    while taken < 0.01:
        with _stopwatch() as elapsed:
            for _ in range(number):
                call()
        taken, done, number = elapsed(), number, 2 * number
    return taken / done


@contextmanager
def _stopwatch() -> Iterator[Callable[[], float]]:
    wait()
    started = ended = time.perf_counter()
    yield lambda: ended - started
    wait()
    ended = time.perf_counter()


# --- What the chapters show -----------------------------------------------------------


def tell_convolutions() -> None:
    """Show a table of the ways on a graphics card, if that was measured."""
    if not (found := bench.made(NAME)):
        return
    rows = []
    for measured in found.values["convolutions"]:
        case, taken = ways.Case(**measured["case"]), measured["seconds"]
        medians = {w: [statistics.median(s) for s in both] for w, both in taken.items()}
        theirs = [min(medians[w][i] for w in ways.REFERENCES) for i in (0, 1)]
        times = [
            f"{medians[way][0] / theirs[0]:.2f} / {medians[way][1] / theirs[1]:.2f}"
            if way in medians
            else "–"
            for way in ways.MEASURED
        ]
        milliseconds = " / ".join(f"{1000 * t:.3f}" for t in theirs)
        rows.append([case.label, milliseconds, *times])
    text.table(
        "gpu-ways",
        "The same on a graphics card, as multiples of F.conv2d's time, forward / "
        f"forward and backward. {_where(found)}.",
        ["shape", "F.conv2d, ms", *ways.MEASURED],
        rows,
    )


def tell_training() -> None:
    """Show a table of the ways to train on a graphics card, if that was measured."""
    if not (found := bench.made(NAME)):
        return
    speeds = found.values["images_per_second"]
    usual = statistics.median(speeds[USUAL])
    text.table(
        "gpu-training",
        "Training the fixed network on a graphics card in batches of 32 images, all "
        f"networks together: {len(speeds[USUAL])} rounds, medians. {_where(found)}.",
        ["way", "images per second", "multiple of the usual loop"],
        [
            [way, f"{statistics.median(s):,.0f}", f"{statistics.median(s) / usual:.1f}"]
            for way, s in speeds.items()
        ],
    )


def _where(found: bench.Record) -> str:
    card = found.machine["gpu"] or "No graphics card"
    return f"{card}, torch {found.versions['torch']}, {found.date}"


# --- Command line ---------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> None:
    """Check, train and measure; record; fail when a check does not hold."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers.bench.gpu", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="all of it in little, on a CPU too"
    )
    dry = parser.parse_args(arguments).dry_run
    if not (dry or gpu()):
        sys.exit("There is no graphics card: --dry-run tries all of it on the CPU.")
    if dry:
        os.environ["REPORT_PROFILE"] = "quick"
    plan = LITTLE if dry else Plan()
    name = DRY if dry else NAME
    record = bench.renew(name, asdict(plan), lambda: measure(plan))
    failed = [
        c for c, said in record.values["checks"].items() if said.startswith("does")
    ]
    if failed:
        sys.exit(f"Does not hold on this device: {'; '.join(failed)}")


if __name__ == "__main__":
    main()
