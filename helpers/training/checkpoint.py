"""Where an interrupted run goes on from: tensors and JSON in one safetensors file."""

import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn, optim


def save(
    path: Path,
    networks: Mapping[str, nn.Module],
    optimizer: optim.Optimizer,
    facts: dict[str, Any],
) -> None:
    """Write a checkpoint, which appears under its name whole and at once."""
    state = optimizer.state_dict()
    groups = {name: network.state_dict() for name, network in networks.items()}
    groups |= {f"optimizer {index}": slot for index, slot in state["state"].items()}
    tensors = {
        f"{group}/{name}": tensor.contiguous()
        for group, named in groups.items()
        for name, tensor in named.items()
    }
    # On a GPU the learning rate is a tensor.
    metadata = json.dumps(facts | {"optimizer": state["param_groups"]}, default=float)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}-{os.getpid()}")
    save_file(tensors, draft, {"facts": metadata})
    os.replace(draft, path)


def restore(
    path: Path,
    networks: Mapping[str, nn.Module],
    optimizer: optim.Optimizer,
    identity: dict[str, Any],
) -> dict[str, Any] | None:
    """Put networks and optimizer back in the state that was saved; return the facts.

    identity: must equal `facts["identity"]`. Returns None, with a warning and nothing
    changed, when the checkpoint is damaged or belongs to another run.
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
    groups: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        group, _, rest = name.partition("/")
        groups.setdefault(group, {})[rest] = tensor
    for name, network in networks.items():
        network.load_state_dict(groups[name])
    slots = len(optimizer.state_dict()["param_groups"][0]["params"])
    states = {index: groups[f"optimizer {index}"] for index in range(slots)}
    optimizer.load_state_dict({"state": states, "param_groups": facts["optimizer"]})
    return facts
