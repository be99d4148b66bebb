"""The networks of the report, sizes as arguments; images are (batch, channels, h, w).

All of them map images of values between 0 and 1 to `classes` scores per image, without
a softmax: the cross-entropy of PyTorch takes scores. Images of whole numbers, as files
hold them, are refused with a ValueError; whether others lie in the range is not looked
at, as that would hold up a GPU.
"""

import copy
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar, overload

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.checks import pair, whole
from helpers.conv import Conv2D, MyConv2d, MyLinear


def _side(image_size: int, smallest: int, halvings: int, loss: int = 0) -> int:
    """Height of the last feature maps, for `loss` pixels lost before each halving."""
    image_size = whole(image_size, "image_size", 1)
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


class Network(nn.Sequential):
    """Layers in a row; a slice of them, such as `network[:-2]`, is an nn.Sequential."""

    @overload
    def __getitem__(self, index: slice) -> nn.Sequential: ...

    @overload
    def __getitem__(self, index: int) -> nn.Module: ...

    def __getitem__(self, index: int | slice) -> nn.Module:
        if isinstance(index, slice):
            return nn.Sequential(*list(self)[index])
        return super().__getitem__(index)

    def forward(self, images: Tensor) -> Tensor:
        """(batch, in_channels, height, width) -> (batch, classes)."""
        _check_images(images)
        return super().forward(images)


def _check_images(images: Tensor) -> None:
    if not images.is_floating_point():
        raise ValueError(
            f"the images are {images.dtype}: networks take floating-point values from "
            "0 to 1, images.float() / 255"
        )


class FixedNet(Network):
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


# What fills a position that does not count, so that it changes nothing.
NEUTRAL = {
    "max": -torch.inf,
    "mean": 0.0,
    "active mean": 0.0,
    "log-sum-exp": -torch.inf,
    "gem": 0.0,
}
SHARPNESS = {"log-sum-exp": 5.0, "gem": 3.0}
SMALLEST_POWER_BASE = 1e-6


class GlobalPool(nn.Module):
    """(batch, channels, height, width) -> (batch, channels), whatever the size.

    pooling: what is taken over the A positions x of a channel,
        "max", their largest value;
        "mean";
        "active mean", the mean where the network saw ink, see `active_area`;
        "log-sum-exp", log(sum of exp(r x)) / r, above the largest by up to log(A) / r;
        "gem", (mean of x^r)^(1/r), the generalised mean; values must not be negative.
    sharpness: the r of the last two, 5 and 3 if not given; the larger, the closer they
        are to the maximum.

    More empty area around a digit that is away from the border leaves "active mean" as
    it is, and "max" wherever the digit is what responds most. The others change: from A
    to A' positions, where empty ones respond less than the average, "mean" and "gem"
    fall, at most to A / A' and (A / A')^(1/r) of what they were, and "log-sum-exp"
    rises by at most log(A' / A) / r, and by less the more a peak stands out. (Divided
    by A, the sum of exponentials would fall most in that case, when it matters.)

    Raises ValueError for another pooling, and for a sharpness that is not above 0 or
    that the pooling has no use for.
    """

    def __init__(self, pooling: str = "max", sharpness: float | None = None) -> None:
        super().__init__()
        if pooling not in NEUTRAL:
            allowed = ", ".join(f'"{name}"' for name in NEUTRAL)
            raise ValueError(f"pooling is {pooling!r}: use {allowed}")
        if sharpness is not None and (pooling not in SHARPNESS or sharpness <= 0):
            raise ValueError(
                f"sharpness is {sharpness!r} for the pooling {pooling!r}: use a number "
                f"above 0 with {' or '.join(SHARPNESS)}, and none otherwise"
            )
        self.pooling = pooling
        self.sharpness = SHARPNESS.get(pooling) if sharpness is None else sharpness

    def forward(self, features: Tensor, where: Tensor | None = None) -> Tensor:
        """Pool over the positions that count.

        where: bool, (batch, height, width); without it all positions count. It is
        needed for "active mean", which raises ValueError without it, and gives zeros
        for an image where it is False throughout.
        """
        if where is not None:
            features = features.masked_fill(~where[:, None], NEUTRAL[self.pooling])
            positions = where.sum(dim=(1, 2)).clamp(min=1)[:, None]
        elif self.pooling == "active mean":
            raise ValueError(
                'the pooling "active mean" got no active area: call the whole network, '
                "or give `where`"
            )
        else:
            positions = torch.tensor(features.shape[2] * features.shape[3])
        match self.pooling:
            case "max":
                return features.amax(dim=(2, 3))
            case "log-sum-exp":
                assert self.sharpness is not None
                return (self.sharpness * features).logsumexp((2, 3)) / self.sharpness
            case "gem":
                assert self.sharpness is not None
                # By logarithms, as high powers of small values would vanish.
                logs = self.sharpness * features.clamp(min=SMALLEST_POWER_BASE).log()
                mean_power = logs.logsumexp((2, 3)) - positions.log()
                return (mean_power / self.sharpness).exp()
            case _:
                return features.sum(dim=(2, 3)) / positions

    def extra_repr(self) -> str:
        sharpness = f", sharpness={self.sharpness}" if self.sharpness else ""
        return f"{self.pooling}{sharpness}"


class VariableNet(Network):
    """The assignment's network for images of any size: 299 N + 4,810 parameters.

        (batch,  1, h,    w)      images, both sides at least 8 pixels
        (batch, 16, h,    w)      3x3 convolution, padding 1; ReLU
        (batch, 16, h//2, w//2)   2x2 max pooling
        (batch, 32, h//2, w//2)   3x3 convolution, padding 1; ReLU
        (batch, 32, h//4, w//4)   2x2 max pooling
        (batch, N,  h//4, w//4)   3x3 convolution, padding 1; ReLU
        (batch, N,  h//8, w//8)   2x2 max pooling
        (batch, N)                global pooling, as in `GlobalPool`
        (batch, 10)               linear layer

    With N = 81 they are 29,029, closest to the 29,066 of `FixedNet` at 28 px; at 64 px
    N = 199 comes closest.

    last_channels: N. channels: those of the blocks before, here (16, 32); there may be
    one or more, and each further entry is one more block of convolution, ReLU and
    pooling, which halves the last map and doubles the smallest image.
    pooling, sharpness: as in `GlobalPool`. Raises ValueError as that does, and without
    any channels.
    """

    def __init__(
        self,
        last_channels: int = 81,
        pooling: str = "max",
        in_channels: int = 1,
        channels: tuple[int, ...] = (16, 32),
        classes: int = 10,
        sharpness: float | None = None,
    ) -> None:
        if not channels:
            raise ValueError("channels is empty: give those of one block or more")
        widths = (in_channels, *channels, last_channels)
        super().__init__(
            *(layer for ends in itertools.pairwise(widths) for layer in _block(*ends)),
            GlobalPool(pooling, sharpness),
            nn.Linear(last_channels, classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        """(batch, in_channels, height, width) -> (batch, classes)."""
        _check_images(images)
        *layers, pool, linear = self
        features = images
        for layer in layers:
            features = layer(features)
        where = active_area(images, layers) if pool.pooling == "active mean" else None
        return linear(pool(features, where))


class LabNet(Network):
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


class Standardise(nn.Module):
    """Values between 0 and 1 -> (value - 1/2) / (1/4): about mean 0, deviation 1.

    Of photographs, that is. The convolution behind it could do the same by itself with
    other weights: what can be computed does not change, only where training starts.
    """

    def forward(self, images: Tensor) -> Tensor:
        return 4 * images - 2


class CifarNet(Network):
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

    standardised: whether a layer `Standardise` comes first. Raises ValueError below 16
    pixels.
    """

    def __init__(
        self,
        image_size: int = 32,
        in_channels: int = 3,
        channels: tuple[int, int] = (8, 16),
        hidden_features: tuple[int, int] = (128, 64),
        classes: int = 10,
        standardised: bool = False,
    ) -> None:
        side = _side(image_size, smallest=16, halvings=2, loss=4)
        first, second = channels
        wide, narrow = hidden_features
        super().__init__(
            *([Standardise()] if standardised else []),
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


def with_batch_norm(network: Network) -> Network:
    """The network for training: behind every layer but the last, its outputs are
    brought to mean 0 and deviation 1 over the batch, then scaled and moved.

    Convolutions and linear layers, that is. `folded` makes of it a network of the
    original layers alone.
    """
    *inner, last = network
    layers = []
    for layer in inner:
        layers.append(layer)
        if isinstance(layer, nn.Conv2d):
            layers.append(nn.BatchNorm2d(layer.out_channels))
        elif isinstance(layer, nn.Linear):
            layers.append(nn.BatchNorm1d(layer.out_features))
    return _in_a_row(network, [*layers, last])


def folded(network: Network) -> Network:
    """The same function as `network` in evaluation, without its batch norms.

    A batch norm with mean m, variance v, scale g and shift h takes each output y of the
    layer before it to g (y - m) / sqrt(v + eps) + h: multiplying that layer's weights
    by g / sqrt(v + eps), and moving its bias, does the same; a layer without bias gets
    one. Nothing is shared with `network`. Raises ValueError for a batch norm without
    such a layer before it, and for one without m and v, or without g and h.
    """
    layers: list[nn.Module] = []
    for layer in copy.deepcopy(network):
        if not isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layers.append(layer)
            continue
        if not layers or not isinstance(layers[-1], nn.Conv2d | nn.Linear):
            raise ValueError(
                f"{layer} cannot be folded: it must follow a convolution or a linear "
                "layer directly"
            )
        if not layer.affine or layer.running_mean is None or layer.running_var is None:
            raise ValueError(
                f"{layer} cannot be folded: it must have a scale, a shift, and a mean "
                "and variance of its own"
            )
        with torch.no_grad():
            factor = layer.weight / (layer.running_var + layer.eps).sqrt()
            before = layers[-1]
            before.weight.mul_(factor.view(-1, *[1] * (before.weight.dim() - 1)))
            if before.bias is None:
                before.bias = nn.Parameter(torch.zeros_like(factor))
            before.bias.sub_(layer.running_mean).mul_(factor).add_(layer.bias)
    return _in_a_row(network, layers)


def _in_a_row(network: Network, layers: Sequence[nn.Module]) -> Network:
    """A network of the class of `network` with other layers."""
    other = copy.copy(network)
    other._modules = {str(number): layer for number, layer in enumerate(layers)}
    return other


def count_parameters(model: nn.Module) -> int:
    """The number of values that training adjusts."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def match_parameters(
    target: int, build: Callable[[int], nn.Module] = VariableNet
) -> int:
    """The number of channels with which the parameters come closest to `target`.

    build: number of channels -> network; more channels must mean more parameters.
    """

    def count(channels: int) -> int:
        with torch.device("meta"):  # shapes alone, no values
            return count_parameters(build(channels))

    enough = next(n for n in itertools.count(1) if count(n) >= target)
    around = range(max(enough - 1, 1), enough + 1)
    return min(around, key=lambda channels: abs(count(channels) - target))


class ReceptiveField(NamedTuple):
    """The pixels that one value of a feature map sees, of rows and columns alike.

    Value number i sees the `size` pixels from offset + i * stride on; those before
    pixel 0 and behind the last one are padding.
    """

    size: int
    stride: int
    offset: int


# Layers of which every value sees a window: kernel_size, stride, perhaps padding.
WINDOWED = (
    *(nn.Conv2d, Conv2D, MyConv2d),
    *(nn.MaxPool2d, nn.AvgPool2d, nn.LPPool2d),
)
# Layers that work on each position by itself, or stand behind the last map.
OTHERS = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU),
    *(nn.SiLU, nn.Mish, nn.Hardswish, nn.Hardtanh, nn.Sigmoid, nn.Tanh, nn.Softplus),
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.Dropout, nn.Dropout2d, nn.Identity),
    *(Standardise, GlobalPool, nn.Flatten, nn.Linear, MyLinear),
)


def flat(layers: Iterable[nn.Module]) -> Iterator[nn.Module]:
    """Yield the layers one by one, those of rows of layers within the row as well."""
    for layer in layers:
        if isinstance(layer, nn.Sequential | nn.ModuleList):
            yield from flat(layer)
        else:
            yield layer


Side = TypeVar("Side", int, Tensor)  # of one image, or of many


class Window(NamedTuple):
    """What a layer does to height and width alike, in pixels of its input."""

    kernel_size: int
    dilation: int
    padding: int
    stride: int

    def positions(self, side: Side) -> Side:
        """The side of the output: at how many places the window fits."""
        reach = self.dilation * (self.kernel_size - 1) + 1
        return (side + 2 * self.padding - reach) // self.stride + 1


def windows(layers: Iterable[nn.Module]) -> Iterator[Window | None]:
    """Yield for each layer of `flat` its window; None where it has none.

    Raises ValueError for a layer that is not known, one that treats rows and columns
    differently, and padding by name.
    """
    for layer in flat(layers):
        if isinstance(layer, WINDOWED):
            yield Window(*(_both(layer, name) for name in Window._fields))
        elif isinstance(layer, OTHERS):
            yield None
        else:
            raise ValueError(
                f"it is not known what {layer} does to height and width: use "
                "convolutions and poolings over windows, activations, batch norm, "
                "dropout, global pooling and linear layers"
            )


def receptive_field(layers: Iterable[nn.Module]) -> ReceptiveField:
    """What the last feature map of the layers sees: 22 px every 8 px for `VariableNet`.

    Convolutions, ours and PyTorch's, and pooling over windows count, in nested rows of
    layers, too. Raises ValueError as `windows` does.
    """
    size, stride, offset = 1, 1, 0
    for window in filter(None, windows(layers)):
        size += (window.kernel_size - 1) * window.dilation * stride
        offset -= window.padding * stride
        stride *= window.stride
    return ReceptiveField(size, stride, offset)


def _both(layer: nn.Module, name: str) -> int:
    """The setting of a layer that is one for rows and columns."""
    value = getattr(layer, name, None)
    if value is None:  # the layer has no such setting, or leaves the stride open
        value = {"dilation": 1, "padding": 0, "stride": layer.kernel_size}[name]
    vertical, horizontal = pair(value, name, smallest=0)
    if vertical != horizontal:
        raise ValueError(
            f"{name} of {layer} is {vertical} for rows and {horizontal} for columns: "
            "only layers with one value for both have one receptive field"
        )
    return vertical


def active_area(images: Tensor, layers: Iterable[nn.Module]) -> Tensor:
    """Where the last feature map of the layers sees ink, a pixel above 0.

    images: (batch, channels, height, width). Returns bool, (batch, height and width of
    that map), from `receptive_field`: the weights play no part.
    """
    field = receptive_field(layers)
    ink = (images > 0).any(dim=1, keepdim=True).float()
    seen = F.max_pool2d(ink, field.size, field.stride, padding=-field.offset)
    return seen[:, 0] > 0


class TraceRow(NamedTuple):
    """One layer of a network, what came out of it, and its number of parameters."""

    layer: str
    output_shape: tuple[int, ...]
    parameters: int


def shape_trace(model: nn.Sequential, image_shape: tuple[int, ...]) -> list[TraceRow]:
    """Send zeros of `image_shape` through the layers, one row per layer, as in `flat`.

    image_shape: (batch, channels, height, width).
    """
    rows = []

    def add_row(layer: nn.Module, _: tuple, output: Tensor) -> None:
        name, shape = type(layer).__name__, tuple(output.shape)
        rows.append(TraceRow(name, shape, count_parameters(layer)))

    hooks = [
        layer.register_forward_hook(add_row) for layer in dict.fromkeys(flat(model))
    ]
    try:
        with torch.no_grad():
            model(torch.zeros(image_shape))
    finally:
        for hook in hooks:
            hook.remove()
    return rows
