"""Several networks of one architecture as a single one, to train seeds together.

It saves library calls, not arithmetic. On two CPU cores it reaches half of what two
processes reach side by side (`python -m helpers.bench.throughput` measures both),
which is why `sweep` uses processes.
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

PER_CHANNEL = (nn.ReLU, nn.MaxPool2d, nn.Flatten)


class Together(nn.Module):
    """Networks side by side: their convolutions as groups, their linear layers batched.

    models: nn.Sequential of Conv2d, Linear, ReLU, MaxPool2d and Flatten layers, alike
    but for their weights, which are copied. The sum of the networks' losses gives each
    of them its own gradient, as if it were alone. Raises ValueError for other layers.
    """

    def __init__(self, models: Sequence[nn.Sequential]) -> None:
        super().__init__()
        self.single = [copy.deepcopy(models[0])]  # in a list: its weights do not count
        layers = [_side_by_side(layer, len(models)) for layer in models[0]]
        self.layers = nn.Sequential(*layers).to(next(models[0].parameters()))
        states = [model.state_dict() for model in models]
        self.layers.load_state_dict(
            {name: torch.cat([state[name] for state in states]) for name in states[0]}
        )
        self.networks = len(models)

    def forward(self, images: Tensor) -> Tensor:
        """(batch, networks * channels, height, width) -> (networks, batch, classes).

        The channels of the first network come first: torch.cat(batches, dim=1).
        """
        scores = self.layers(images)
        return scores.unflatten(1, (self.networks, -1)).transpose(0, 1)

    def split(self) -> list[nn.Sequential]:
        """The single networks, with copies of the weights as they are now."""
        shares = {
            name: values.chunk(self.networks)
            for name, values in self.layers.state_dict().items()
        }
        models = [copy.deepcopy(self.single[0]) for _ in range(self.networks)]
        for number, model in enumerate(models):
            model.load_state_dict({name: shares[name][number] for name in shares})
        return models


class Linears(nn.Module):
    """Linear layers side by side: (batch, layers * in) -> (batch, layers * out)."""

    def __init__(self, layers: int, in_features: int, out_features: int) -> None:
        super().__init__()
        self.layers = layers
        self.weight = nn.Parameter(torch.empty(layers * out_features, in_features))
        self.bias = nn.Parameter(torch.empty(layers * out_features))

    def forward(self, features: Tensor) -> Tensor:
        features = features.unflatten(1, (self.layers, -1)).transpose(0, 1)
        weight = self.weight.unflatten(0, (self.layers, -1)).transpose(1, 2)
        bias = self.bias.unflatten(0, (self.layers, 1, -1))
        return torch.baddbmm(bias, features, weight).transpose(0, 1).flatten(1)


def _side_by_side(layer: nn.Module, networks: int) -> nn.Module:
    match layer:
        case nn.Conv2d():
            names = ("kernel_size", "stride", "padding", "dilation")
            return nn.Conv2d(
                networks * layer.in_channels,
                networks * layer.out_channels,
                groups=networks * layer.groups,
                **{name: getattr(layer, name) for name in names},
            )
        case nn.Linear():
            return Linears(networks, layer.in_features, layer.out_features)
        case _ if isinstance(layer, PER_CHANNEL):
            return layer
    allowed = ", ".join(kind.__name__ for kind in (nn.Conv2d, nn.Linear, *PER_CHANNEL))
    raise ValueError(f"{layer} cannot be put side by side: use {allowed}")
