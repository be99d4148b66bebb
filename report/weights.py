"""Trained networks for the page: seven of the recorded ones, made small.

Weights are whole numbers from -63 to 63, times a step for each channel that they lead
to. The test images are read as before (tests/test_page.py compares), in an eighth of
the bytes.
"""

import base64
import json
import zlib
from functools import cache

import numpy as np
import torch
from safetensors.numpy import load_file
from torch import nn

from helpers import data, models, runs

LEVELS = 63
NETWORKS = {  # what they are called on the page: named result and seed
    **{f"fixed, seed {seed}": ("mnist/best", seed) for seed in range(5)},
    "any size, maximum": ("varres/variable", 0),
    "any size, mean": ("varres/variable-mean", 0),
}


def steps(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return weights (out, ...) as int8, and the steps (out, 1, ...) to multiply by."""
    inner = tuple(range(1, weights.ndim))
    step = np.abs(weights).max(inner, keepdims=True) / LEVELS
    step[step == 0] = 1
    return (weights / step).round().astype(np.int8), step.astype(np.float32)


def layers(name: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (weights, bias) of the layers of a network of `NETWORKS`, in their order.

    Raises LookupError when its run is not recorded.
    """
    result, seed = NETWORKS[name]
    found = [r for r in runs.named(runs.RECORDED).get(result, []) if r["seed"] == seed]
    if not found:
        raise LookupError(f"no run of {result} with seed {seed} in {runs.RECORDED}")
    tensors = load_file(runs.weights_file(found[0]))
    numbers = sorted({int(key.partition(".")[0]) for key in tensors})
    return [(tensors[f"{n}.weight"], tensors[f"{n}.bias"]) for n in numbers]


def takes_one_size(name: str) -> bool:
    """Whether a network of `NETWORKS` takes images of 28 pixels alone."""
    return name.startswith("fixed")


def network(name: str) -> nn.Sequential:
    """Return a network of `NETWORKS` as the page has it, in double precision."""
    held = layers(name)
    if takes_one_size(name):
        made: nn.Sequential = models.FixedNet()
    else:
        pooling = "mean" if name.endswith("mean") else "max"
        made = models.VariableNet(len(held[-2][1]), pooling)
    with_weights = [layer for layer in made.double() if hasattr(layer, "weight")]
    for layer, (exact, bias) in zip(with_weights, held, strict=True):
        numbers, step = steps(exact)
        rounded = {"weight": numbers * step.astype(float), "bias": bias.astype(float)}
        layer.load_state_dict({k: torch.from_numpy(v) for k, v in rounded.items()})
    return made.eval()


def digits() -> np.ndarray:
    """Return the first training image of each digit: uint8, (10, 28, 28)."""
    train = data.load("mnist").train[28]
    labels = train.labels.numpy()
    first = [int(np.flatnonzero(labels == digit)[0]) for digit in range(10)]
    return train.images[first, 0].numpy()


@cache
def script() -> str:
    """Return the JavaScript that holds networks and digits; networks.js unpacks it."""
    whole, real, told = [], [], []
    for name in NETWORKS:
        shapes = []
        for weights, bias in layers(name):
            numbers, step = steps(weights)
            whole.append(numbers.tobytes())
            real += [step.tobytes(), bias.astype(np.float32).tobytes()]
            shapes.append(weights.shape)
        told.append({"name": name, "shapes": shapes})
    # Whole numbers first: what is alike lies side by side, and packs better.
    content = b"".join([*whole, digits().tobytes(), *real])
    packed = base64.b64encode(zlib.compress(content, 9)).decode()
    return f'const PACKED = {{ networks: {json.dumps(told)}, content: "{packed}" }};\n'
