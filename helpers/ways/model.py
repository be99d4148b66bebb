"""What a way costs by a roofline: multiply-adds, bytes and calls, turned into seconds.

Everything is float32 on one CPU thread. Each way counts its own phases, as `Cost`.
"""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from helpers.conv import output_size

VALUE_BYTES = 4

# What one call moves stays in the cache up to about this size.
CACHE_BYTES = 16 * 2**20


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
        """Batch × channels × size, kernel size, stride unless 1 > out_channels."""
        stride = f" s{self.stride}" if self.stride > 1 else ""
        return (
            f"{self.batch}×{self.in_channels}×{self.size} "
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

GROWTH_BASE = Case(8, 16, 32, 3, 16)


@dataclass(frozen=True)
class Machine:
    """What one thread of this machine reaches, by kind of work; see `measure_machine`.

    Kinds: "loop" (Python on single tensor elements), "matmul" (products of matrices),
    "add" (of tensors), "complex" (products of complex numbers, added), "transform"
    (Fourier's, of planes with a power of two as side), "mixed transform" (of others),
    "library" (F.conv2d, with full registers), "copy", "pack" (within products), "guard"
    (what checks a call). Bytes count when read and when written: of patches in the
    cache, of large tensors outside; by kind for "unfold" (PyTorch's). lanes: how many
    numbers of 32 bits a register holds.
    """

    macs_per_second: dict[str, float]
    seconds_per_call: dict[str, float]
    bytes_per_second: float
    bytes_per_second_large: float
    bytes_by_kind: dict[str, float]
    lanes: int = 16


def typical(machines: Sequence[Machine]) -> Machine:
    """Return the machine of the medians over rounds."""

    def median(values: Iterable) -> Any:
        values = list(values)
        if isinstance(values[0], dict):
            return {key: median(value[key] for value in values) for key in values[0]}
        return statistics.median(values)

    names = [field.name for field in fields(Machine)]
    return Machine(**{n: median(getattr(m, n) for m in machines) for n in names})


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
        # Factors are packed block by block, and the blocks stay in the cache.
        in_cache = self.kind == "pack" or moved <= self.calls * CACHE_BYTES
        speed = machine.bytes_per_second if in_cache else machine.bytes_per_second_large
        speed = machine.bytes_by_kind.get(self.kind, speed)
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

        A lower bound, as small products and copies stay below the peaks. Each of the
        two gradients is a convolution of the same size: hence times three.
        """
        forward = sum(phase.seconds(machine) for phase in self.phases)
        return 3 * forward if backward else forward


def matmul(
    calls: int, left: float, right: float, result: float, macs: float
) -> tuple[Phase, Phase]:
    """Products of matrices, from their numbers of values: packing, then multiplying.

    The library copies its factors into blocks first, which it cannot do while it
    multiplies.
    """
    packing = Phase("pack", calls, 2 * (left + right))
    return packing, Phase("matmul", calls, left + right + result, macs)


class Counts:
    """Numbers of values of one case, by the letters of the formulas below.

    C and O channels, N kernel entries, P output positions, X input, Z padded input, K
    kernel, Y output, U all patches; `macs` = P N C O, the multiply-adds of the
    definition.
    """

    def __init__(self, case: Case):
        self.C, self.O = case.in_channels, case.out_channels
        self.N = case.kernel_size**2
        self.P = case.batch * case.size_out**2
        self.X = case.batch * self.C * case.size**2
        self.Z = case.batch * self.C * (case.size + 2 * case.padding) ** 2
        self.K = self.N * self.C * self.O
        self.Y, self.U = self.P * self.O, self.P * self.N * self.C
        self.macs = self.P * self.K


def floor(case: Case, machine: Machine) -> float:
    """Return seconds that no way by public products of matrices can go below.

    The multiply-adds at the speed of products, or all values once at that of the cache,
    in a single call; half of the multiply-adds where Winograd's F(4, 3) saves them.
    """
    n, saved = Counts(case), (case.kernel_size, case.stride) == (3, 1)
    once = Phase("matmul", 1, n.X + n.K + n.Y, n.macs / (2 if saved else 1))
    return once.seconds(machine)


def library(case: Case, machine: Machine) -> Cost:
    """What `F.conv2d` takes, by its own speed; memory is not counted.

    Registers hold values of neighbouring output channels: with fewer of these than
    `machine.lanes`, the others are computed in vain.
    """
    n = Counts(case)
    filled = math.ceil(n.O / machine.lanes) * machine.lanes
    return Cost((Phase("library", 1, n.X + n.K + n.Y, n.macs * filled / n.O),), 0)


def stride_removed(case: Case) -> tuple[Case, tuple[Phase, ...], int]:
    """Return the stride-1 case that the way computes, what making it costs, and keeps.

    The image is padded, then rearranged: X + 3 Z' values for an image of Z'.
    """
    if case.stride == 1:
        return case, (), 0
    kernel_size = math.ceil(case.kernel_size / case.stride)
    channels = case.in_channels * case.stride**2
    size = case.size_out + kernel_size - 1
    cells = Case(case.batch, channels, size, kernel_size, case.out_channels, padding=0)
    Z = Counts(cells).X
    return cells, (Phase("copy", 2, Counts(case).X + 3 * Z),), Z


def vary(base: Case, parameter: str, value: int) -> Case:
    """Return `base` with another "size", "channels" or "kernel_size".

    Raises ValueError for another parameter.
    """
    if parameter == "size":
        return replace(base, size=value)
    if parameter == "channels":
        return replace(base, in_channels=value, out_channels=value)
    if parameter == "kernel_size":
        return replace(base, kernel_size=value, padding=value // 2)
    raise ValueError(f"cannot vary {parameter!r}: choose size, channels or kernel_size")
