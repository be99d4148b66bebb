"""Where an interrupted run goes on from: tensors and JSON in one safetensors file."""

import json
import os
import warnings
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor


def save(path: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Write a checkpoint, which appears under its name whole and at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}-{os.getpid()}")
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(contiguous, draft, {"facts": json.dumps(facts)})
    os.replace(draft, path)


def load(
    path: Path, identity: dict[str, Any]
) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Read a checkpoint; with a warning None, when it is damaged or of another run.

    identity: must equal `facts["identity"]`.
    """
    try:
        with safe_open(path, "pt") as file:
            facts = json.loads(file.metadata()["facts"])
            names = file.keys()
            tensors = {name: file.get_tensor(name) for name in names}
        if facts["identity"] != json.loads(json.dumps(identity)):
            raise ValueError("it belongs to another run")
    except (SafetensorError, ValueError, LookupError, TypeError, OSError) as error:
        warnings.warn(
            f"the checkpoint {path.name} is of no use ({error}); the run starts from "
            "its first epoch",
            stacklevel=3,
        )
        return None
    return tensors, facts
