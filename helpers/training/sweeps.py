"""Many runs: what is recorded is looked up, what is missing is trained in parallel."""

import functools
import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import partial
from statistics import fmean
from typing import Any

import safetensors.torch
import torch
from joblib import Parallel, cpu_count, delayed, parallel_config
from torch import Tensor, nn
from tqdm.auto import tqdm

from helpers import data, project, runs
from helpers.checks import whole
from helpers.device import keep_freed_memory, spoken_device
from helpers.training.batches import load_data
from helpers.training.config import Config
from helpers.training.loop import train_side_by_side

# With small data a sweep only shows that everything works, as fast as it can.
QUICK_EPOCHS = 2
QUICK_SEEDS = 2
QUICK_CONFIGS = 3

# On a GPU so many networks are trained at the same time; more wait for each other.
SIDE_BY_SIDE = 16

SECONDS_FOR_AN_ANSWER = 5  # of a cluster's scheduler; nobody answers later

Task = tuple[Config, int]  # with its seed


def sweep(
    configs: Iterable[Config], seeds: Iterable[int], headline: str | None = None
) -> dict[Config, list[runs.Record]]:
    """The records of every config, one per seed, in the order given.

    What is recorded is not trained again. The rest is trained on the GPU, several runs
    side by side, or with one process per CPU core, or on the Dask cluster that
    REPORT_CLUSTER=tcp://host:port names, and recorded run by run, so that an
    interruption costs little: in the folder that `runs.folders` says. With
    REPORT_PROFILE=quick no run has more than QUICK_EPOCHS, no config more than
    QUICK_SEEDS, and of the configs only the first QUICK_CONFIGS are trained; each of
    the others gets the records of the most similar.

    headline: the name of the result that these runs count for. They are evaluated on
    the test set, and keep their weights for `load_model`. Raises ValueError when there
    is not exactly one config to go with it, when one of its runs diverged, and when
    nobody answers at REPORT_CLUSTER.
    """
    configs, seeds = list(configs), [whole(seed, "seed", 0) for seed in seeds]
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
    if headline:
        lost = [seed for (_, seed), record in found.items() if runs.diverged(record)]
        if lost:
            raise ValueError(
                f"of the runs for {headline!r} those of the seeds {sorted(lost)} "
                "diverged: their loss is no finite number. Change the configuration, "
                "for example to a lower learning rate"
            )
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
    """Train, and record each run, or each group on a GPU, as soon as it is done."""
    # The longest first, so that no core waits long for another at the end.
    missing = sorted(missing, key=lambda task: -task[0].epochs / task[0].batch_size)
    groups = [
        missing[start : start + _group_size()]
        for start in range(0, len(missing), _group_size())
    ]
    jobs = [
        delayed(_train_group)(
            group, [data.variant(c.data).fingerprint for c, _ in group], headline
        )
        for group in groups
    ]
    folder = runs.folders()[-1]
    found, accuracies = {}, []
    with _workers(len(jobs)) as (parallel, where):
        bar = tqdm(desc=where, total=len(missing), unit="run", leave=False)
        for group in parallel(jobs):
            for task, record, weights in group:
                if headline:
                    run = f"{record['seed']}-{_digest(*task)[:8]}"
                    name = f"{headline.replace('/', '-')}-{run}.safetensors"
                    runs.keep_weights(folder, name, weights)
                    record["weights"] = name
                found[task] = runs.append(folder, record)
                accuracies.append(record["history"]["train_accuracy"][-1])
            bar.update(len(group))
            bar.set_postfix_str(f"mean training accuracy {fmean(accuracies):.2%}")
        bar.close()
    return found


def _group_size() -> int:
    on_gpu = torch.cuda.is_available() and not project.variable("CLUSTER")
    return SIDE_BY_SIDE if on_gpu else 1


@contextmanager
def _workers(jobs: int) -> Iterator[tuple[Parallel, str]]:
    """A way to run that many jobs, and what to call it."""
    unordered = {"return_as": "generator_unordered", "batch_size": 1}
    if address := project.variable("CLUSTER"):
        with _cluster(address) as client, parallel_config("dask", client=client):
            yield Parallel(pre_dispatch="all", **unordered), f"Dask cluster {address}"
    elif torch.cuda.is_available():
        yield Parallel(n_jobs=1, **unordered), spoken_device()
    else:
        processes = min(jobs, cpu_count())
        with parallel_config("loky", inner_max_num_threads=1):
            parallel = Parallel(n_jobs=processes, **unordered)
            yield parallel, f"{processes} processes {spoken_device()}"


def _cluster(address: str) -> Any:
    """The client of a Dask cluster; raises ValueError where none can be had."""
    try:
        from dask.distributed import Client  # slow to import, and rarely needed

        return Client(address, timeout=SECONDS_FOR_AN_ANSWER)
    except Exception as error:  # of the address, of the network, or no Dask
        reason = str(error).partition("\n")[0] or type(error).__name__
    raise ValueError(
        f"REPORT_CLUSTER is {address!r}, where no Dask scheduler can be used "
        f"({reason}): start one, see README.md, or leave REPORT_CLUSTER unset"
    )


def _train_group(
    tasks: list[Task], fingerprints: list[str], headline: str | None
) -> list[tuple[Task, runs.Record, bytes]]:
    """Runs in a worker, which may stand on another machine, with files of its own."""
    keep_freed_memory()
    for (config, _), fingerprint in zip(tasks, fingerprints, strict=True):
        if load_data(config.data).fingerprint != fingerprint:
            raise ValueError(
                f"a worker loads other {config.data} data than this process: set "
                "REPORT_DATA and REPORT_PROFILE alike on all machines, and start anew"
            )
    folder = project.BUILD / "checkpoints"
    checkpoints = [folder / f"{_digest(*task)}.safetensors" for task in tasks]
    alone = len(tasks) == 1  # in a worker, whose bar would disturb that of the sweep
    trained = train_side_by_side(tasks, headline, checkpoints, progress=not alone)
    for checkpoint in checkpoints:
        checkpoint.unlink(missing_ok=True)
    return [
        (task, record, safetensors.torch.save(_weights(model)))
        for task, (model, record) in zip(tasks, trained, strict=True)
    ]


def _weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: x.cpu().contiguous() for name, x in model.state_dict().items()}


def _digest(config: Config, seed: int) -> str:
    """A name for one run, on the data that there are."""
    fingerprint = data.variant(config.data).fingerprint
    identity = json.dumps([config.to_dict(), seed, fingerprint], sort_keys=True)
    return hashlib.sha256(identity.encode()).hexdigest()[:16]
