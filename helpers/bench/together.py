"""Several networks of one architecture as a single one, to train seeds together.

It saves library calls, not arithmetic. A convolution of all of them is grouped, or the
products of all their unfolded images; `python -m helpers.bench.throughput` measures
both beside separate processes, which `sweep` uses.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function

from helpers.ways.common import places

PER_CHANNEL = (nn.ReLU, nn.MaxPool2d, nn.Flatten)


class Together(nn.Module):
    """Networks side by side: their convolutions as groups, their linear layers batched.

    models: nn.Sequential of Conv2d, Linear, ReLU, MaxPool2d and Flatten layers, alike
    but for their weights, which are copied. The sum of the networks' losses gives each
    of them its own gradient, as if it were alone. grouped: whether convolutions are
    PyTorch's with groups, or products of unfolded images. Raises ValueError for other
    layers.
    """

    def __init__(self, models: Sequence[nn.Sequential], grouped: bool = True) -> None:
        super().__init__()
        self.single = [copy.deepcopy(models[0])]  # in a list: its weights do not count
        layers = [_side_by_side(layer, len(models), grouped) for layer in models[0]]
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


class Convolutions(nn.Module):
    """Convolutions side by side, as products of unfolded images.

    (batch, layers * channels, height, width) comes and goes, as with groups. Stride,
    dilation and groups are 1.
    """

    def __init__(self, layers: int, single: nn.Conv2d) -> None:
        super().__init__()
        self.layers, self.padding = layers, single.padding
        d, *rest = single.weight.shape
        self.weight = nn.Parameter(torch.empty(layers * d, *rest))
        self.bias = nn.Parameter(torch.empty(layers * d))

    def forward(self, images: Tensor) -> Tensor:
        images = images.permute(0, 2, 3, 1).unflatten(3, (self.layers, -1))
        weight = self.weight.unflatten(0, (self.layers, -1))
        Y = Products.apply(images.permute(3, 0, 1, 2, 4), weight, self.padding)
        Y = Y + self.bias.view(self.layers, 1, 1, 1, -1)
        return Y.permute(1, 0, 4, 2, 3).flatten(1, 2)


class Products(Function):
    """Convolutions of several networks, channels last, at stride 1.

    images (networks, batch, height, width, channels), weight (networks, out_channels,
    channels, k_h, k_w); the result is like the images.
    """

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, weight: Tensor, padding: tuple[int, int]
    ) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.padding = padding
        return convolve_all(images, weight, padding)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (dY,), (images, weight), dX = gradients, ctx.saved_tensors, None
        networks, d, c, k_h, k_w = weight.shape
        U = unfolded(images, (k_h, k_w), ctx.padding)
        dW = U.flatten(1, -2).transpose(1, 2) @ dY.reshape(networks, -1, d)
        dW = dW.view(networks, k_h, k_w, c, d).permute(0, 4, 3, 1, 2)
        if ctx.needs_input_grad[0]:
            above, left = ctx.padding
            turned = weight.flip(3, 4).transpose(1, 2)
            dX = convolve_all(dY, turned, (k_h - 1 - above, k_w - 1 - left))
        return dX, dW, None


def convolve_all(images: Tensor, weight: Tensor, padding: tuple[int, int]) -> Tensor:
    """One product for each network: all its windows with its kernel."""
    networks, d, _, *kernel_size = weight.shape
    U = unfolded(images, kernel_size, padding)
    W = weight.permute(0, 3, 4, 2, 1).reshape(networks, -1, d)
    return (U.flatten(1, -2) @ W).view(*U.shape[:-1], d)


def unfolded(
    images: Tensor, kernel_size: Sequence[int], padding: tuple[int, int]
) -> Tensor:
    """All windows of images, channels last: (networks, batch, h_out, w_out, values)."""
    (above, left), (k_h, k_w) = padding, kernel_size
    padded = F.pad(images, (0, 0, left, left, above, above)).contiguous()
    _, w_out = places(images.shape[2:4], kernel_size, padding)
    # Neighbouring pixels are one run of memory: k_h runs make a window.
    c = images.shape[4]
    runs = padded.flatten(3).unfold(3, k_w * c, c)[:, :, :, :w_out]
    return runs.unfold(2, k_h, 1).transpose(-1, -2).flatten(-2)


def _side_by_side(layer: nn.Module, networks: int, grouped: bool) -> nn.Module:
    match layer:
        case nn.Conv2d() if not grouped:
            if (layer.stride, layer.dilation, layer.groups) != ((1, 1), (1, 1), 1):
                raise ValueError(
                    f"{layer} cannot be products of unfolded images here: use stride, "
                    "dilation and groups of 1, or grouped=True"
                )
            return Convolutions(networks, layer)
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
