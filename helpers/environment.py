"""What every notebook does first: say on what it runs, and set the house style."""

import os
import platform
from pathlib import Path

import torch
from IPython.display import display

from helpers import data, figures

ROOT = Path(__file__).resolve().parent.parent


def prepare() -> torch.device:
    """Set the house style, display device, data source and versions, return the device.

    A CUDA device is used when there is one. In the quick profile figures go to
    build/figures, so that stand-in data never overwrites the report's figures. Raises
    as `data.locate` does.
    """
    figures.use_house_style()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    digits = data.locate("mnist")
    folder = "figures" if digits.profile == "full" else "build/figures"
    os.environ.setdefault("REPORT_FIGURES", str(ROOT / folder))

    versions = {"Python": platform.python_version(), "torch": torch.__version__}
    facts = {
        "kind": "environment",
        "profile": digits.profile,
        "device": _describe(device),
        "data": digits.source,
        "versions": versions,
    }
    banner = (
        "**Quick run on stand-in data: these are not the report's figures.** "
        if digits.stand_in
        else ""
    )
    text = (
        f"{banner}Device: {facts['device']}. Data: {digits.source}. "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + "."
    )
    bundle = {"text/plain": text, "text/markdown": text}
    display(bundle, metadata={"report": facts}, raw=True)
    return device


def _describe(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU ({_processor()}), {torch.get_num_threads()} threads"


def _processor() -> str:
    """The processor's name; Linux tells it in a file, other systems by `platform`."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(
            x.split(":")[1].strip() for x in lines if x.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
