"""What the ways of `helpers.algorithms` cost: predicted, and measured side by side.

`predict` counts multiply-adds, bytes and library calls of one forward pass, and turns
them into seconds by a roofline. `measure` times the ways and F.conv2d in rounds in
which all take turns, `measure_memory` reads the allocations, `growth` fits slopes.
Everything is float32 on one CPU thread. `python -m helpers.cost` prints the tables.
"""

import argparse
import json
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import scipy.fft
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from tqdm.auto import tqdm

from helpers import algorithms
from helpers.conv import output_size

VALUE_BYTES = 4

# What one call moves stays in the cache up to about this size.
CACHE_BYTES = 16 * 2**20

# Loops would take minutes: they are timed on a small convolution only.
MEASURED = tuple(way for way in algorithms.WAYS if way != "loops")

REFERENCES = {
    "F.conv2d, channels first": torch.contiguous_format,
    "F.conv2d, channels last": torch.channels_last,
}


@dataclass(frozen=True)
class Case:
    """One convolution of square images with square kernels; sizes are in pixels."""

    batch: int
    in_channels: int
    size: int
    kernel_size: int
    out_channels: int
    stride: int = 1
    padding: int = 1

    @property
    def label(self) -> str:
        """Batch x channels x size, kernel size, stride unless 1 > out_channels."""
        stride = f" s{self.stride}" if self.stride > 1 else ""
        return (
            f"{self.batch}x{self.in_channels}x{self.size} "
            f"k{self.kernel_size}{stride}>{self.out_channels}"
        )

    @property
    def size_out(self) -> int:
        return output_size(self.size, self.kernel_size, self.stride, self.padding)

    def tensors(self) -> tuple[Tensor, Tensor]:
        """Return a random input and kernel, the same at every call."""
        random = torch.Generator().manual_seed(0)
        shape = (self.batch, self.in_channels, self.size, self.size)
        kernel_size = (self.kernel_size, self.kernel_size)
        kernel_shape = (self.out_channels, self.in_channels, *kernel_size)
        return (
            torch.randn(shape, generator=random),
            torch.randn(kernel_shape, generator=random),
        )


CASES = (
    Case(16, 3, 32, 3, 16),
    Case(32, 1, 28, 3, 16),
    Case(64, 16, 28, 3, 32),
    Case(64, 32, 14, 3, 64),
    Case(1, 64, 56, 3, 64),
    Case(16, 3, 224, 7, 64, stride=2, padding=3),
)

LARGE_KERNELS = tuple(Case(8, 4, 64, k, 4, padding=k // 2) for k in (5, 9, 15, 21))


# --- Prediction -----------------------------------------------------------------------


@dataclass(frozen=True)
class Machine:
    """What one thread of this machine reaches; `measure_machine` finds out.

    Kinds of work: "loop" (Python on single tensor elements), "matmul" (the operator @),
    "product" (`algorithms.product`), "transform" (Fourier), "copy". Bytes are counted
    when read and when written; large calls work outside of the cache.
    """

    macs_per_second: dict[str, float]
    seconds_per_call: dict[str, float]
    bytes_per_second: float
    bytes_per_second_large: float


@dataclass(frozen=True)
class Phase:
    """Library calls of one kind: how many, values read and written, multiply-adds."""

    kind: str
    calls: int
    values: float
    macs: float = 0

    def seconds(self, machine: Machine) -> float:
        """Return the roofline: computing or moving, whichever is slower, plus calls."""
        moved = self.values * VALUE_BYTES
        in_cache = moved <= self.calls * CACHE_BYTES
        speed = machine.bytes_per_second if in_cache else machine.bytes_per_second_large
        computing = self.macs / machine.macs_per_second.get(self.kind, math.inf)
        calling = self.calls * machine.seconds_per_call[self.kind]
        return max(computing, moved / speed) + calling


@dataclass(frozen=True)
class Cost:
    """What one forward pass takes: its phases, and `extra_memory` in bytes.

    Extra memory is the peak above input and kernel; the output counts.
    """

    phases: tuple[Phase, ...]
    extra_memory: int

    @property
    def macs(self) -> int:
        """Multiply-adds of all phases."""
        return round(sum(phase.macs for phase in self.phases))

    @property
    def bytes(self) -> int:
        """Bytes read plus bytes written by all phases."""
        return round(VALUE_BYTES * sum(phase.values for phase in self.phases))

    @property
    def calls(self) -> int:
        """Library calls of all phases."""
        return sum(phase.calls for phase in self.phases)

    def seconds(self, machine: Machine, backward: bool = False) -> float:
        """Return the predicted seconds of a forward pass, or with the backward pass.

        Each of the two gradients is a convolution of the same size: hence times three.
        """
        forward = sum(phase.seconds(machine) for phase in self.phases)
        return 3 * forward if backward else forward


class Counts:
    """Numbers of values of one case, by the letters of the formulas below.

    X input, Z padded input, K kernel, Y output, U all patches; P output positions, N
    kernel entries, C and O channels; `macs` of the definition, P N C O.
    """

    def __init__(self, case: Case):
        self.C, self.O, self.N = case.in_channels, case.out_channels, case.kernel_size**2
        self.P = case.batch * case.size_out**2
        self.X = case.batch * self.C * case.size**2
        self.Z = case.batch * self.C * (case.size + 2 * case.padding) ** 2
        self.K = self.N * self.C * self.O
        self.Y, self.U = self.P * self.O, self.P * self.N * self.C
        self.macs = self.P * self.K


def predict(case: Case, way: str) -> Cost:
    """Return what `way` costs; its formulas stand in the docstrings below."""
    return MODELS[way](case)


def loops(case: Case) -> Cost:
    """P N C O multiply-adds of four calls each: two look-ups, product and sum.

    Each reads two values, and reads and writes the sum. Memory: Z, and Y twice (single
    values, then the tensor).
    """
    n = Counts(case)
    work = Phase("loop", 4 * n.macs, 4 * n.macs, n.macs)
    return Cost((work,), VALUE_BYTES * (n.Z + 2 * n.Y))


def unfold(case: Case) -> Cost:
    """One copy into U, then one product: memory U + Y, where U is about N times X."""
    n = Counts(case)
    copy = Phase("copy", 1, 2 * n.U)
    product = Phase("matmul", 1, n.U + n.K + n.Y, n.macs)
    return Cost((copy, product), VALUE_BYTES * (n.U + n.Y))


def shifted(case: Case) -> Cost:
    """N products per block of pixels, each added to the output: N (C + 4 O) per pixel.

    Positions at which the kernel leaves the image are computed too, then cut off.
    Memory: Z, K, the uncut output and Y.
    """
    case, strided, kept = _without_stride(case)
    n = Counts(case)
    grid = n.Z // n.C
    count = grid - (case.kernel_size - 1) * (case.size + 2 * case.padding + 1)
    at_once = algorithms.BLOCK_BYTES // (VALUE_BYTES * (n.C + 2 * n.O))
    calls = n.N * math.ceil(count / at_once)
    phases = (
        *strided,
        Phase("copy", 3, n.X + n.Z + grid * n.O + 2 * n.Y),
        Phase("product", calls, n.N * count * (n.C + n.O), n.K * count),
        Phase("copy", calls, n.N * count * 3 * n.O),
    )
    return Cost(phases, VALUE_BYTES * (kept + n.Z + n.K + grid * n.O + n.Y))


def im2row(case: Case) -> Cost:
    """As unfold, but in blocks: memory Z, Y and two blocks of U, not all of it."""
    case, strided, kept = _without_stride(case)
    n = Counts(case)
    image_bytes = VALUE_BYTES * n.U // case.batch
    blocks = sum(1 for _ in algorithms.blocks(case.batch, case.size_out, image_bytes // case.size_out))
    few = n.C < algorithms.FEW_CHANNELS
    padded = 0 if few and case.padding == 0 else n.Z
    phases = (
        *strided,
        Phase("copy", 1, 2 * padded),
        Phase("copy", blocks * (1 if few else case.kernel_size), 2 * n.U),
        Phase("product", blocks, n.U + n.K + n.Y, n.macs),
        Phase("copy", blocks, 2 * n.Y),
    )
    alive = n.U / blocks * (2 if blocks > 1 else 1) + (n.Y if blocks == 1 else 0)
    return Cost(phases, round(VALUE_BYTES * (kept + padded + n.Y + alive)))
