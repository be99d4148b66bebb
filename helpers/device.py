"""Which device computes, and what to call it."""

import platform
from pathlib import Path

import torch


def device() -> torch.device:
    """The GPU when there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def spoken_device() -> str:
    """What `device` chose, and why, for progress bars."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return "on the CPU, as no GPU was found"


def described_device() -> str:
    """The model of what `device` chose, for the record."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"CPU ({processor()}), {torch.get_num_threads()} threads"


def processor() -> str:
    """The processor's name; Linux tells it in a file, other systems by `platform`."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(
            x.split(":")[1].strip() for x in lines if x.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
