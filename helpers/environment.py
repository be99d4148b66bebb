"""What every notebook does first: say on what it runs, and set the house style."""

import os
import platform
from pathlib import Path

import torch
from IPython.display import display

from helpers import data, figures
from helpers.device import described_device, device

ROOT = Path(__file__).resolve().parent.parent


def prepare() -> torch.device:
    """Set the house style, display device, data source and versions, return the device.

    A CUDA device is used when there is one. In the quick profile figures go to
    build/figures, so that stand-in data never overwrites the report's figures. Raises
    as `data.locate` does.
    """
    figures.use_house_style()
    digits = data.locate("mnist")
    folder = "figures" if digits.profile == "full" else "build/figures"
    os.environ.setdefault("REPORT_FIGURES", str(ROOT / folder))

    versions = {"Python": platform.python_version(), "torch": torch.__version__}
    facts = {
        "kind": "environment",
        "profile": digits.profile,
        "device": described_device(),
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
    return device()
