"""What every notebook does first: say on what it runs, and set the house style."""

import datetime
import platform

import torch
from IPython.display import display

from helpers import data, figures
from helpers.device import described_device, device


def prepare(*names: str) -> torch.device:
    """Set the house style, display device, data and versions, return the device.

    names: of the data sets whose images the notebook needs. A CUDA device is used when
    there is one. Raises as `data.locate` does.
    """
    figures.use_house_style()
    quick = data.quick_profile()
    locations = [data.locate(name) for name in names]
    versions = {"Python": platform.python_version(), "torch": torch.__version__}
    facts = {
        "kind": "environment",
        "profile": "quick" if quick else "full",
        "device": described_device(),
        "date": datetime.date.today().isoformat(),
        "data": [location.set.source for location in locations],
        "versions": versions,
    }
    banner = "**A quick run on small data: these are not the report's figures.** "
    sentences = [
        f"Device: {facts['device']}",
        *([f"Data: {'; '.join(map(str, locations))}"] if locations else []),
        ", ".join(f"{name} {version}" for name, version in versions.items()),
    ]
    text = (banner if quick else "") + ". ".join(sentences) + "."
    bundle = {"text/plain": text, "text/markdown": text}
    display(bundle, metadata={"report": facts}, raw=True)
    return device()
