"""Which device computes, and what to call it."""

import ctypes
import platform
from pathlib import Path

import torch

# Options of mallopt, from malloc.h, and the largest value that they take.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
ENDLESS = 2**31 - 1


def device() -> torch.device:
    """The GPU when there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def gpu() -> str | None:
    """The name of the GPU, or None without one."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def wait() -> None:
    """Wait until a GPU has done what it was told; the CPU has done it already."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def spoken_device() -> str:
    """What `device` chose, and why, for progress bars."""
    return gpu() or "on the CPU, as no GPU was found"


def described_device() -> str:
    """The model of what `device` chose, for the record."""
    threads = torch.get_num_threads()
    spoken = "1 thread" if threads == 1 else f"{threads} threads"
    return gpu() or f"CPU ({processor()}), {spoken}"


def keep_freed_memory() -> bool:
    """Let this process reuse the memory of large tensors, and tell whether it can.

    GNU's allocator returns large blocks to the system as soon as they are freed, and
    gets them back empty, page by page: with 64 px images that is a third of the time of
    a training step. Afterwards the process holds what it once needed until it ends.
    """
    try:
        adjust = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False  # another system's allocator
    return all(adjust(option, ENDLESS) for option in (MMAP_THRESHOLD, TRIM_THRESHOLD))


def processor() -> str:
    """The processor's name; Linux tells it in a file, other systems by `platform`."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(
            x.split(":")[1].strip() for x in lines if x.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
