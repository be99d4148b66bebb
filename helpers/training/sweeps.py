"""Many runs: what is recorded is looked up, what is missing is trained in parallel."""

import functools
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import partial
from statistics import fmean

import safetensors.torch
import torch
from joblib import Parallel, cpu_count, delayed, parallel_config
from tqdm.auto import tqdm

from helpers import data, runs
from helpers.device import keep_freed_memory, spoken_device
from helpers.training.batches import load_data
from helpers.training.config import Config
from helpers.training.loop import train

# With small data a sweep only shows that everything works, as fast as it can.
QUICK_EPOCHS = 2
QUICK_SEEDS = 2
QUICK_CONFIGS = 3

Task = tuple[Config, int]  # with its seed


def sweep(
    configs: Iterable[Config], seeds: Iterable[int], headline: str | None = None
) -> dict[Config, list[runs.Record]]:
    """The records of every config, one per seed, in the order given.

    What is recorded is not trained again. The rest is trained on the GPU, or with one
    process per CPU core, or on the Dask cluster that REPORT_CLUSTER=tcp://host:port
    names, and recorded run by run, so that an interruption costs little: in the folder
    that `runs.folders` says. With REPORT_PROFILE=quick no run has more than
    QUICK_EPOCHS, no config more than QUICK_SEEDS, and of the configs only the first
    QUICK_CONFIGS are trained; each of the others gets the records of the most similar.

    headline: the name of the result that these runs count for. They are evaluated on
    the test set, and keep their weights for `load_model`. Raises ValueError when there
    is not exactly one config to go with it.
    """
    configs, seeds = list(configs), list(seeds)
    if headline and len(configs) != 1:
        raise ValueError(
            f"the headline {headline!r} came with {len(configs)} configs: a headline "
            "is the result of exactly one"
        )
    quick = data.quick_profile()
    trained = _quick(configs) if quick else {config: config for config in configs}
    seeds = seeds[:QUICK_SEEDS] if quick else seeds
    tasks = {c: [(trained[c], seed) for seed in seeds] for c in configs}
    wanted = dict.fromkeys(task for group in tasks.values() for task in group)
    found = _recorded(wanted, headline)
    if missing := [task for task in wanted if task not in found]:
        found |= _train_all(missing, headline)
    return {config: [found[task] for task in group] for config, group in tasks.items()}


def _quick(configs: list[Config]) -> dict[Config, Config]:
    """For each config the one that is trained in its place when all must be quick."""
    _say_that_all_is_quick()
    short = {c: replace(c, epochs=min(c.epochs, QUICK_EPOCHS)) for c in configs}
    few = list(dict.fromkeys(short.values()))[:QUICK_CONFIGS]
    return {c: min(few, key=partial(_differences, one)) for c, one in short.items()}


def _differences(one: Config, other: Config) -> int:
    return sum(getattr(one, f.name) != getattr(other, f.name) for f in fields(Config))


@functools.cache
def _say_that_all_is_quick() -> None:
    print(
        f"REPORT_PROFILE=quick: no run has more than {QUICK_EPOCHS} epochs, no "
        f"configuration more than {QUICK_SEEDS} seeds, and at most {QUICK_CONFIGS} "
        "configurations of a sweep are trained; the others show the results of the "
        "most similar of these."
    )


def _recorded(wanted: Iterable[Task], headline: str | None) -> dict[Task, runs.Record]:
    """What is recorded of these runs; no image is needed to find it."""
    index = runs.Index(runs.folders(), defaults=Config().to_dict())
    found = {}
    for config, seed in wanted:
        fingerprint = data.variant(config.data).fingerprint
        if record := index.find(config.to_dict(), seed, fingerprint, headline):
            found[config, seed] = record
    return found


def _train_all(missing: list[Task], headline: str | None) -> dict[Task, runs.Record]:
    """Train, and record each run as soon as it is done."""
    # The longest first, so that no core waits long for another at the end.
    missing = sorted(missing, key=lambda task: -task[0].epochs / task[0].batch_size)
    jobs = [
        delayed(_train_one)(
            position, *task, load_data(task[0].data).fingerprint, headline
        )
        for position, task in enumerate(missing)
    ]
    folder = runs.folders()[-1]
    found, accuracies = {}, []
    with _workers(len(jobs)) as (parallel, where):
        bar = tqdm(parallel(jobs), desc=where, total=len(jobs), unit="run", leave=False)
        for position, record, weights in bar:
            if headline:
                run = f"{record['seed']}-{_digest(*missing[position])[:8]}"
                name = f"{headline.replace('/', '-')}-{run}.safetensors"
                runs.keep_weights(folder, name, weights)
                record["weights"] = name
            found[missing[position]] = runs.append(folder, record)
            accuracies.append(record["history"]["train_accuracy"][-1])
            bar.set_postfix_str(f"mean training accuracy {fmean(accuracies):.2%}")
    return found


@contextmanager
def _workers(jobs: int) -> Iterator[tuple[Parallel, str]]:
    """A way to run that many jobs, and what to call it."""
    unordered = {"return_as": "generator_unordered", "batch_size": 1}
    if address := os.environ.get("REPORT_CLUSTER"):
        from dask.distributed import Client  # slow to import, and rarely needed

        with Client(address) as client, parallel_config("dask", client=client):
            yield Parallel(pre_dispatch="all", **unordered), f"Dask cluster {address}"
    elif torch.cuda.is_available():
        yield Parallel(n_jobs=1, **unordered), spoken_device()
    else:
        processes = min(jobs, cpu_count())
        with parallel_config("loky", inner_max_num_threads=1):
            parallel = Parallel(n_jobs=processes, **unordered)
            yield parallel, f"{processes} processes {spoken_device()}"


def _train_one(
    position: int, config: Config, seed: int, fingerprint: str, headline: str | None
) -> tuple[int, runs.Record, bytes]:
    """Runs in a worker, which may stand on another machine, with files of its own."""
    keep_freed_memory()
    if load_data(config.data).fingerprint != fingerprint:
        raise ValueError(
            f"a worker loads other {config.data} data than this process: set "
            "REPORT_DATA and REPORT_PROFILE alike on all machines, and start anew"
        )
    digest = _digest(config, seed)
    checkpoint = runs.ROOT / "build" / "checkpoints" / f"{digest}.safetensors"
    model, record = train(config, seed, headline, checkpoint, progress=False)
    checkpoint.unlink(missing_ok=True)
    weights = {
        name: value.cpu().contiguous() for name, value in model.state_dict().items()
    }
    return position, record, safetensors.torch.save(weights)


def _digest(config: Config, seed: int) -> str:
    """A name for one run, on the data that there are."""
    fingerprint = data.variant(config.data).fingerprint
    identity = json.dumps([config.to_dict(), seed, fingerprint], sort_keys=True)
    return hashlib.sha256(identity.encode()).hexdigest()[:16]
