"""The networks of the report, sizes as arguments; images are (batch, channels, h, w).

All of them map images of values between 0 and 1 to `classes` scores per image, without
a softmax: the cross-entropy of PyTorch takes scores. ValueError tells of other shapes
and types, and of values farther outside of that range than noise leads, such as 0 to
255. Only values on a GPU are not looked at, as that would hold it up.
"""

import copy
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar, overload

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.checks import is_number, is_pair, pair, plain, whole
from helpers.conv import Conv2D, MyConv2d, MyLinear, check_type


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


def widths(
    channels: Sequence[int], count: int | None = None, name: str = "channels"
) -> tuple[int, ...]:
    """Return the numbers of channels of `count` layers, of one or more without it.

    Raises ValueError for other than that many whole numbers from 1 up.
    """
    given = tuple(channels) if is_pair(channels) else ()
    if not given or count not in (None, len(given)):
        raise ValueError(
            f"{name} is {channels!r}: give {count or 'one or more'} whole numbers"
        )
    return tuple(whole(number, name, 1) for number in given)


def _block(in_channels: int, out_channels: int) -> list[nn.Module]:
    """3x3 convolution that keeps height and width, ReLU, pooling that halves them."""
    in_channels = whole(in_channels, "in_channels", 1)
    out_channels = whole(out_channels, "channels", 1)
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
        check_images(self, images)
        try:
            return self.scores(images)
        except RuntimeError as error:
            if self._takes_shape_of(images):
                raise
            raise ValueError(
                f"{self._name()} got images of {tuple(images.shape[1:])}, channels, "
                f"height and width, which it does not take: {error}"
            ) from error

    def scores(self, images: Tensor) -> Tensor:
        """What `forward` returns, of images that were looked at."""
        return super().forward(images)

    def _name(self) -> str:
        made_for = getattr(self, "image_size", None)
        return type(self).__name__ + (f", made for {made_for} px," if made_for else "")

    def _takes_shape_of(self, images: Tensor) -> bool:
        try:
            shapes_alone = copy.deepcopy(self).to("meta")
            shapes_alone.scores(torch.empty_like(images, device="meta"))
        except RuntimeError:
            return False
        return True


# How far noise, or a search for other images, may lead out of 0 to 1 on either side.
FARTHEST = 1.0


def check_images(network: nn.Module, images: Tensor) -> None:
    """Raise ValueError unless a network of `helpers.models` can take these images."""
    is_tensor = isinstance(images, Tensor)
    if not (is_tensor and images.dim() == 4 and images.is_floating_point()):
        shape = f"{images.dtype} of shape {tuple(images.shape)}" if is_tensor else ""
        raise ValueError(
            f"the images are {shape or type(images).__name__}: networks take "
            "floating-point values from 0 to 1, (batch, channels, height, width), such "
            "as images.float() / 255"
        )
    if (weights := next(network.parameters(), None)) is not None:
        check_type(images, weights, "input")
    if images.is_cpu and images.numel() and _can_look(images):
        low, high = (value.item() for value in images.detach().aminmax())
        if low < -FARTHEST or high > 1 + FARTHEST:
            raise ValueError(
                f"the images have values from {low:.4g} to {high:.4g}: networks take "
                "values from 0 to 1, such as images / 255"
            )


def _can_look(values: Tensor) -> bool:
    if torch.jit.is_tracing() or torch.compiler.is_compiling():
        return False
    try:
        values[0, 0, 0, 0].item()
    except RuntimeError:  # of torch.vmap
        return False
    return True


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
        first, second, third = widths(channels, 3)
        classes = whole(classes, "classes", 1)
        super().__init__(
            *_block(in_channels, first),
            *_block(first, second),
            *_block(second, third),
            nn.Flatten(),
            nn.Linear(third * side * side, classes),
        )
        self.image_size = image_size


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
        if not isinstance(pooling, str) or pooling not in NEUTRAL:
            allowed = ", ".join(f'"{name}"' for name in NEUTRAL)
            raise ValueError(f"pooling is {pooling!r}: use {allowed}")
        usable = pooling in SHARPNESS and is_number(sharpness)
        if sharpness is not None and not (usable and sharpness > 0):
            raise ValueError(
                f"sharpness is {sharpness!r} for the pooling {pooling!r}: use a number "
                f"above 0 with {' or '.join(SHARPNESS)}, and none otherwise"
            )
        self.pooling = pooling
        self.sharpness = (
            SHARPNESS.get(pooling) if sharpness is None else plain(sharpness)
        )

    def forward(self, features: Tensor, where: Tensor | None = None) -> Tensor:
        """Pool over the positions that count.

        where: bool, (batch, height, width); without it all positions count. It is
        needed for "active mean", which raises ValueError without it, and gives zeros
        for an image where it is False throughout. Raises ValueError for maps without
        positions.
        """
        if 0 in features.shape[2:]:
            raise ValueError(
                f"the maps have shape {tuple(features.shape)}: give (batch, channels, "
                "height, width), each side at least 1"
            )
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
        last_channels = whole(last_channels, "last_channels", 1)
        classes = whole(classes, "classes", 1)
        ends = itertools.pairwise((in_channels, *widths(channels), last_channels))
        super().__init__(
            *(layer for before, after in ends for layer in _block(before, after)),
            GlobalPool(pooling, sharpness),
            nn.Linear(last_channels, classes),
        )

    def scores(self, images: Tensor) -> Tensor:
        """What `forward` returns, of images that were looked at."""
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
        first, second, third = widths(channels, 3)
        in_channels = whole(in_channels, "in_channels", 1)
        hidden_features = whole(hidden_features, "hidden_features", 1)
        classes = whole(classes, "classes", 1)
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
        self.image_size = image_size


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
        first, second = widths(channels, 2)
        wide, narrow = widths(hidden_features, 2, "hidden_features")
        in_channels = whole(in_channels, "in_channels", 1)
        classes = whole(classes, "classes", 1)
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
        self.image_size = image_size


NETWORKS = {
    network.__name__: network for network in (FixedNet, VariableNet, LabNet, CifarNet)
}


# Layers with `weight`, (outputs, ...), and `bias`, (outputs,) or None.
CONVOLUTIONS = (nn.Conv2d, MyConv2d)
LINEAR = (nn.Linear, MyLinear)


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
        if isinstance(layer, CONVOLUTIONS):
            layers.append(nn.BatchNorm2d(layer.weight.shape[0]))
        elif isinstance(layer, LINEAR):
            layers.append(nn.BatchNorm1d(layer.weight.shape[0]))
    return _in_a_row(network, [*layers, last])


def folded(network: Network) -> Network:
    """The same function as `network` in evaluation, without its batch norms.

    A batch norm with mean m, variance v, scale g and shift h takes each output y of the
    layer before it to g (y - m) / sqrt(v + eps) + h: multiplying that layer's weights
    by g / sqrt(v + eps), and moving its bias, does the same; a layer without bias gets
    one. Nothing is shared with `network`. Raises ValueError for a batch norm without
    such a layer before it, and for one that keeps no m and v.
    """
    layers: list[nn.Module] = []
    for layer in copy.deepcopy(network):
        if not isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layers.append(layer)
            continue
        if not layers or not isinstance(layers[-1], CONVOLUTIONS + LINEAR):
            raise ValueError(
                f"{layer} cannot be folded: it must follow a convolution or a linear "
                "layer directly"
            )
        if layer.running_mean is None or layer.running_var is None:
            raise ValueError(
                f"{layer} cannot be folded: it keeps no mean and variance of its own"
            )
        with torch.no_grad():
            factor = 1 / (layer.running_var + layer.eps).sqrt()
            shift = torch.zeros_like(factor)
            if layer.affine:
                factor, shift = factor * layer.weight, layer.bias
            before = layers[-1]
            before.weight.mul_(factor.view(-1, *[1] * (before.weight.dim() - 1)))
            if before.bias is None:
                before.bias = nn.Parameter(torch.zeros_like(factor))
            before.bias.sub_(layer.running_mean).mul_(factor).add_(shift)
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
    """Yield the layers one by one, those of rows of layers within the row as well.

    A layer by itself counts as a row of one.
    """
    rows = nn.Sequential | nn.ModuleList
    if isinstance(layers, nn.Module) and not isinstance(layers, rows):
        layers = [layers]
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
    ink = F.pad(ink, [-field.offset] * 4)  # max_pool2d itself pads half a window only
    seen = F.max_pool2d(ink, field.size, field.stride)
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
