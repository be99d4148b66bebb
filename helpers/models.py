"""The networks of the report, sizes as arguments; images are (batch, channels, h, w).

All of them map images of values between 0 and 1 to `classes` scores per image, without
a softmax: the cross-entropy of PyTorch takes scores.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn


def _side(image_size: int, smallest: int, halvings: int, loss: int = 0) -> int:
    """Height of the last feature maps, for `loss` pixels lost before each halving."""
    if image_size < smallest:
        raise ValueError(
            f"image_size is {image_size}, and nothing is left of so small an image: "
            f"use at least {smallest} pixels"
        )
    for _ in range(halvings):
        image_size = (image_size - loss) // 2
    return image_size


def _block(in_channels: int, out_channels: int) -> list[nn.Module]:
    """3x3 convolution that keeps height and width, ReLU, pooling that halves them."""
    return [
        nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=1, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
    ]


class FixedNet(nn.Sequential):
    """The assignment's network for images of one size: 29,066 parameters at 28 px.

        (batch,  1, 28, 28)   images
        (batch, 16, 28, 28)   3x3 convolution, padding 1; ReLU
        (batch, 16, 14, 14)   2x2 max pooling
        (batch, 32, 14, 14)   3x3 convolution, padding 1; ReLU
        (batch, 32,  7,  7)   2x2 max pooling
        (batch, 64,  7,  7)   3x3 convolution, padding 1; ReLU
        (batch, 64,  3,  3)   2x2 max pooling: the last row and column fall away
        (batch, 576)          flattened
        (batch, 10)           linear layer

    Only the linear layer depends on `image_size`. Raises ValueError below 8 pixels.
    """

    def __init__(
        self,
        image_size: int = 28,
        in_channels: int = 1,
        channels: tuple[int, int, int] = (16, 32, 64),
        classes: int = 10,
    ) -> None:
        side = _side(image_size, smallest=8, halvings=3)
        first, second, third = channels
        super().__init__(
            *_block(in_channels, first),
            *_block(first, second),
            *_block(second, third),
            nn.Flatten(),
            nn.Linear(third * side * side, classes),
        )


class GlobalPool(nn.Module):
    """(batch, channels, height, width) -> (batch, channels), whatever the size.

    pooling: "max" or "mean". Raises ValueError for anything else.
    """

    def __init__(self, pooling: str = "max") -> None:
        super().__init__()
        if pooling not in ("max", "mean"):
            raise ValueError(f'pooling is {pooling!r}: use "max" or "mean"')
        self.pooling = pooling

    def forward(self, features: Tensor) -> Tensor:
        if self.pooling == "max":
            return features.amax(dim=(2, 3))
        return features.mean(dim=(2, 3))

    def extra_repr(self) -> str:
        return self.pooling


class VariableNet(nn.Sequential):
    """The assignment's network for images of any size: 299 N + 4,810 parameters.

        (batch,  1, h,    w)      images, both sides at least 8 pixels
        (batch, 16, h,    w)      3x3 convolution, padding 1; ReLU
        (batch, 16, h//2, w//2)   2x2 max pooling
        (batch, 32, h//2, w//2)   3x3 convolution, padding 1; ReLU
        (batch, 32, h//4, w//4)   2x2 max pooling
        (batch, N,  h//4, w//4)   3x3 convolution, padding 1; ReLU
        (batch, N,  h//8, w//8)   2x2 max pooling
        (batch, N)                global pooling, "max" or "mean"
        (batch, 10)               linear layer

    With N = 81 they are 29,029, closest to the 29,066 of `FixedNet` at 28 px; at 64 px
    N = 199 comes closest. Raises ValueError for an unknown pooling.
    """

    def __init__(
        self,
        last_channels: int = 81,
        pooling: str = "max",
        in_channels: int = 1,
        channels: tuple[int, int] = (16, 32),
        classes: int = 10,
    ) -> None:
        first, second = channels
        super().__init__(
            *_block(in_channels, first),
            *_block(first, second),
            *_block(second, last_channels),
            GlobalPool(pooling),
            nn.Linear(last_channels, classes),
        )


class LabNet(nn.Sequential):
    """The network of the lab sheet: 93,322 parameters at 28 px.

        (batch,  1, 28, 28)   images
        (batch, 32, 26, 26)   3x3 convolution without padding; ReLU
        (batch, 32, 13, 13)   2x2 max pooling
        (batch, 64, 11, 11)   3x3 convolution without padding; ReLU
        (batch, 64,  5,  5)   2x2 max pooling
        (batch, 64,  3,  3)   3x3 convolution without padding, and no ReLU
        (batch, 576)          flattened
        (batch, 64)           linear layer; ReLU
        (batch, 10)           linear layer

    As printed: without a ReLU between them, the third convolution and the first linear
    layer compose to one affine map. Raises ValueError below 18 pixels.
    """

    def __init__(
        self,
        image_size: int = 28,
        in_channels: int = 1,
        channels: tuple[int, int, int] = (32, 64, 64),
        hidden_features: int = 64,
        classes: int = 10,
    ) -> None:
        side = _side(image_size, smallest=18, halvings=2, loss=2) - 2
        first, second, third = channels
        super().__init__(
            nn.Conv2d(in_channels, first, kernel_size=3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(first, second, kernel_size=3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(second, third, kernel_size=3),
            nn.Flatten(),
            nn.Linear(third * side * side, hidden_features),
            nn.ReLU(),
            nn.Linear(hidden_features, classes),
        )


class CifarNet(nn.Sequential):
    """The network of the CIFAR-10 assignment: 64,058 parameters at 32 px.

        (batch,  3, 32, 32)   images
        (batch,  8, 28, 28)   5x5 convolution without padding; ReLU
        (batch,  8, 14, 14)   2x2 max pooling
        (batch, 16, 10, 10)   5x5 convolution without padding; ReLU
        (batch, 16,  5,  5)   2x2 max pooling
        (batch, 400)          flattened
        (batch, 128)          linear layer; ReLU
        (batch, 64)           linear layer; ReLU
        (batch, 10)           linear layer

    Raises ValueError below 16 pixels.
    """

    def __init__(
        self,
        image_size: int = 32,
        in_channels: int = 3,
        channels: tuple[int, int] = (8, 16),
        hidden_features: tuple[int, int] = (128, 64),
        classes: int = 10,
    ) -> None:
        side = _side(image_size, smallest=16, halvings=2, loss=4)
        first, second = channels
        wide, narrow = hidden_features
        super().__init__(
            nn.Conv2d(in_channels, first, kernel_size=5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(first, second, kernel_size=5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(second * side * side, wide),
            nn.ReLU(),
            nn.Linear(wide, narrow),
            nn.ReLU(),
            nn.Linear(narrow, classes),
        )


NETWORKS = {
    network.__name__: network for network in (FixedNet, VariableNet, LabNet, CifarNet)
}


def count_parameters(model: nn.Module) -> int:
    """The number of values that training adjusts."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


class TraceRow(NamedTuple):
    """One layer of a network, what came out of it, and its number of parameters."""

    layer: str
    output_shape: tuple[int, ...]
    parameters: int


def shape_trace(model: nn.Sequential, image_shape: tuple[int, ...]) -> list[TraceRow]:
    """Send zeros of `image_shape` through the layers, one row per layer.

    image_shape: (batch, channels, height, width).
    """
    values = torch.zeros(image_shape)
    rows = []
    with torch.no_grad():
        for layer in model:
            values = layer(values)
            name = type(layer).__name__
            rows.append(TraceRow(name, tuple(values.shape), count_parameters(layer)))
    return rows
