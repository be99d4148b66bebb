"""Random changes to training images: a whole batch at once, each image its own draw.

>>> steps = [("affine", {"degrees": 15.0, "translate": 0.1}), ("blur", {})]
>>> generator = torch.Generator().manual_seed(0)
>>> changed = augment(torch.rand(64, 1, 28, 28), steps, generator)

Every transform takes float32 images (batch, channels, height, width) with values from 0
to 1 and a generator on their device, and returns the same kind of tensor, in the same
memory layout. All chance comes from the generator: the same seed gives the same result
to the bit. ValueError tells of other images, of unknown options and of wrong values.
Only values on a GPU are not looked at, as that would hold it up.

Each transform draws like the one of torchvision that it names, with bilinear
interpolation. What comes into view from outside is black, torchvision's `fill=None`; on
an image that reaches its own border `fill=0` differs, as it darkens that border twice.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from helpers.checks import is_number, is_whole, plain

# How far interpolation elsewhere may have led above 1.
ROUNDING = 1e-5

Transform = Callable[..., Tensor]
Steps = Sequence[tuple[str, Mapping[str, Any]]]


class _Rule(NamedTuple):
    """What the value of an option must be: in words, and as a test."""

    allowed: str
    holds: Callable[[Any], bool]


TRANSFORMS: dict[str, Transform] = {}
_RULES: dict[str, dict[str, _Rule]] = {}


def augment(images: Tensor, steps: Steps, generator: Generator) -> Tensor:
    """Apply transforms one after another.

    steps: pairs of a name in `TRANSFORMS` and the options that differ from its
    defaults. Raises ValueError as `check` does, before anything is changed.
    """
    check(steps)
    for name, options in steps:
        images = TRANSFORMS[name](images, generator, **dict(options))
    return images


def check(steps: Steps) -> None:
    """Raise ValueError for an unknown name or option, or a value that is not allowed.

    Whether a Gaussian is too wide for the images shows only when it meets them.
    """
    if not isinstance(steps, Sequence) or isinstance(steps, str):
        raise ValueError(f"the steps are {steps!r}: give a list of pairs")
    for step in steps:
        try:
            name, options = step
            options = dict(options)
        except (TypeError, ValueError):
            raise ValueError(
                f"the step {step!r} is not a pair of a name and options: give one like "
                "('affine', {'degrees': 15.0})"
            ) from None
        if not isinstance(name, str) or name not in TRANSFORMS:
            names = ", ".join(sorted(TRANSFORMS))
            raise ValueError(f"unknown transform {name!r}: use {names}")
        for option, value in options.items():
            if (rule := _RULES[name].get(option)) is None:
                allowed = ", ".join(_RULES[name])
                raise ValueError(f"{name} has no option {option!r}: use {allowed}")
            if not rule.holds(value):
                raise ValueError(f"{option} of {name} is {value!r}: use {rule.allowed}")


def _transform(**rules: _Rule) -> Callable[[Transform], Transform]:
    """Enter a function in `TRANSFORMS`, with checks before it and a clamp after it."""

    def enter(function: Transform) -> Transform:
        name = function.__name__

        @functools.wraps(function)
        @torch.no_grad()
        def checked(images: Tensor, generator: Generator, **options: Any) -> Tensor:
            check([(name, options)])
            options = {option: plain(value) for option, value in options.items()}
            _check_images(images)
            result = function(images, generator, **options)
            # Rounding may lead to just above 1. An output that is laid out in memory
            # like the images keeps channels_last.
            return torch.clamp(result, 0, 1, out=torch.empty_like(images))

        TRANSFORMS[name], _RULES[name] = checked, rules
        return checked

    return enter


def _check_images(images: Tensor) -> None:
    if images.dim() != 4 or images.dtype != torch.float32 or 0 in images.shape[1:]:
        raise ValueError(
            f"the images are {images.dtype} of shape {tuple(images.shape)}: "
            "use float32 (batch, channels, height, width), with pixels"
        )
    if images.is_cpu and ((images < 0) | (images > 1 + ROUNDING)).any():
        raise ValueError(
            f"the images have values from {images.min():.4g} to {images.max():.4g}: "
            "use values from 0 to 1, such as images / 255"
        )


def _is_range(value: Any) -> bool:
    is_pair = isinstance(value, list | tuple) and len(value) == 2
    return is_pair and all(map(is_number, value)) and 0 < value[0] <= value[1]


def _up_to(high: float) -> _Rule:
    words = f"a number from 0 to {high}"
    return _Rule(words, lambda value: is_number(value) and 0 <= value <= high)


_FROM_0 = _Rule("a number from 0 up", lambda value: is_number(value) and value >= 0)
_ABOVE_0 = _Rule("a number above 0", lambda value: is_number(value) and value > 0)
_RANGE = _Rule("two numbers above 0, the smaller one first", _is_range)
_SHARES = _Rule(
    "two numbers above 0 and at most 1, the smaller one first",
    lambda value: _is_range(value) and value[1] <= 1,
)
_COUNT = _Rule("a whole number from 0 up", lambda value: is_whole(value) and value >= 0)
_BORDER = _Rule(
    "'black' or 'mirror'",
    lambda value: isinstance(value, str) and value in ("black", "mirror"),
)
_ODD = _Rule(
    "an odd whole number from 1 up",
    lambda value: is_whole(value) and value > 0 and value % 2 == 1,
)


@_transform(
    degrees=_up_to(180),
    translate=_up_to(1),
    scale=_RANGE,
    shear=_up_to(89),
    probability=_up_to(1),
)
def affine(
    images: Tensor,
    generator: Generator,
    *,
    degrees: float = 0.0,
    translate: float = 0.0,
    scale: tuple[float, float] = (1.0, 1.0),
    shear: float = 0.0,
    probability: float = 1.0,
) -> Tensor:
    """Turn, shift, zoom and slant about the centre, with a single interpolation.

    degrees, shear: the largest angle to either side, in degrees; the shear is along the
    rows. translate: the largest shift, as a share of the width and, drawn on its own,
    of the height; rounded to whole pixels. scale: range of the factor. probability:
    that an image is changed. As RandomAffine and, with `degrees` alone, RandomRotation.
    """
    height, width = images.shape[2:]
    angle = _uniform(images, generator, -degrees, degrees).deg2rad()
    right = _uniform(images, generator, -translate * width, translate * width).round()
    down = _uniform(images, generator, -translate * height, translate * height).round()
    factor = _uniform(images, generator, *scale)
    slant = _uniform(images, generator, -shear, shear).deg2rad().tan()

    # From a pixel of the result back to its source.
    cos, sin = angle.cos() / factor, angle.sin() / factor
    a, b = cos - sin * slant, sin + cos * slant
    c, d = -sin, cos
    # From pixels to units of half the width and half the height.
    across = (a, b * height / width, -(a * right + b * down) * 2 / width)
    downwards = (c * width / height, d, -(c * right + d * down) * 2 / height)
    matrices = torch.stack([*across, *downwards], 1).unflatten(1, (2, 3))
    if probability == 1:
        return _sample(images, _positions(images, matrices))
    rows = _chosen(images, generator, probability)
    grid = _positions(images, matrices[rows])
    return images.index_copy(0, rows, _sample(images[rows], grid))


@_transform(distortion_scale=_up_to(1), probability=_up_to(1))
def perspective(
    images: Tensor,
    generator: Generator,
    *,
    distortion_scale: float = 0.5,
    probability: float = 0.5,
) -> Tensor:
    """View a share of the images at an angle: each corner moves inwards at random.

    distortion_scale: the furthest that a corner moves, as a share of the way to the
    middle, in whole pixels. probability: that an image is changed. As
    RandomPerspective.
    """
    height, width = images.shape[2:]
    rows = _chosen(images, generator, probability)
    furthest = [int(distortion_scale * (size // 2)) for size in (width, height)]
    inwards = images.new_tensor([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    sizes = images.new_tensor([width, height])
    corners = (inwards < 0) * (sizes - 1)
    choices = images.new_tensor(furthest) + 1
    moved = corners + inwards * _integers(images, generator, choices, 4, 2)[rows]

    to_corners = _from_basis(2 * corners[None] / sizes - 1)
    from_moved = _adjugate(_from_basis(2 * moved / sizes - 1))
    positions = _positions(images, to_corners @ from_moved)
    # Points on the horizon, where one divides by 0, have no source: outside, at 2.
    grid = positions[:, :2].div_(positions[:, 2:]).nan_to_num_(2, 2, 2)
    return images.index_copy(0, rows, _sample(images[rows], grid))


@_transform(kernel_size=_ODD, sigma=_RANGE)
def blur(
    images: Tensor,
    generator: Generator,
    *,
    kernel_size: int = 3,
    sigma: tuple[float, float] = (0.1, 2.0),
) -> Tensor:
    """Convolve with a Gaussian; the image is reflected at its border.

    sigma: range of the standard deviation, in pixels. As GaussianBlur. Raises
    ValueError for a kernel that reaches across the whole image.
    """
    return _smooth(images, _uniform(images, generator, *sigma), kernel_size)


@_transform(alpha=_FROM_0, sigma=_ABOVE_0)
def elastic(
    images: Tensor, generator: Generator, *, alpha: float = 50.0, sigma: float = 5.0
) -> Tensor:
    """Displace each pixel by noise that was smoothed with a Gaussian.

    alpha: strength; before the smoothing, displacements are up to alpha / 2 pixels.
    sigma: standard deviation of the Gaussian, in pixels. As ElasticTransform. Raises
    ValueError for a Gaussian that reaches, at 4 sigma, across the whole image.
    """
    height, width = images.shape[2:]
    noise = _uniform(images, generator, -1, 1, 2, height, width)
    odd_kernel_size = int(8 * sigma + 1) | 1
    noise = _smooth(noise, images.new_tensor([sigma]), odd_kernel_size)
    unmoved = _positions(images, torch.eye(2, 3, device=images.device)[None])
    strength = alpha / images.new_tensor([width, height])
    return _sample(images, unmoved + strength.view(2, 1, 1) * noise)


@_transform(probability=_up_to(1), scale=_SHARES, ratio=_RANGE)
def erase(
    images: Tensor,
    generator: Generator,
    *,
    probability: float = 0.5,
    scale: tuple[float, float] = (0.02, 0.33),
    ratio: tuple[float, float] = (0.3, 3.3),
) -> Tensor:
    """Blacken a rectangle in a share of the images.

    scale: range of its area, as a share of the image. ratio: range of its height
    divided by its width, uniform in the logarithm. As RandomErasing: of ten sizes drawn
    the first that fits is taken, and where none does, the image stays as it is.
    """
    height, width = images.shape[2:]
    area = height * width * _uniform(images, generator, *scale, 10)
    narrowest, widest = map(math.log, ratio)
    aspect = _uniform(images, generator, narrowest, widest, 10).exp()
    heights, widths = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()
    fits = (heights < height) & (widths < width)
    first = fits.int().argmax(1, keepdim=True)
    chosen = fits.any(1) & (_uniform(images, generator, 0, 1) < probability)
    rows, columns = (
        _interval(images, generator, sizes.gather(1, first), whole)
        for sizes, whole in ((heights, height), (widths, width))
    )
    rectangle = rows[:, None, :, None] & columns[:, None, None, :]
    return images.masked_fill(_per_image(chosen) & rectangle, 0)


@_transform(brightness=_FROM_0, contrast=_FROM_0)
def brightness_contrast(
    images: Tensor,
    generator: Generator,
    *,
    brightness: float = 0.0,
    contrast: float = 0.0,
) -> Tensor:
    """Scale the distance of each value to black and to the mean grey, in random order.

    Each of the two factors lies within its option's value around 1, and not below 0. As
    ColorJitter, whose saturation and hue do nothing to grey images. Raises ValueError
    for other than 1 or 3 channels.
    """
    weights = {1: [1.0], 3: [0.2989, 0.587, 0.114]}.get(images.shape[1])
    if weights is None:
        raise ValueError(
            f"brightness_contrast got images of {images.shape[1]} channels: use grey "
            "ones with 1 or coloured ones with 3"
        )
    of_brightness, of_contrast = (
        _per_image(_uniform(images, generator, max(0, 1 - spread), 1 + spread))
        for spread in (brightness, contrast)
    )
    brightness_first = _per_image(_uniform(images, generator, 0, 1) < 0.5)
    for is_brightness in (brightness_first, ~brightness_first):
        mean = _per_image(images.mean((2, 3)) @ images.new_tensor(weights))
        fixed = mean.masked_fill(is_brightness, 0)
        factor = torch.where(is_brightness, of_brightness, of_contrast)
        images = torch.lerp(fixed, images, factor)
        images = images.clamp(0, 1)
    return images


@_transform(probability=_up_to(1))
def flip(images: Tensor, generator: Generator, *, probability: float = 0.5) -> Tensor:
    """Mirror a share of the images left to right. As RandomHorizontalFlip."""
    chosen = _per_image(_uniform(images, generator, 0, 1) < probability)
    return torch.where(chosen, images.flip(-1), images)


@_transform(pixels=_COUNT, border=_BORDER)
def shift(
    images: Tensor, generator: Generator, *, pixels: int = 4, border: str = "black"
) -> Tensor:
    """Move by up to so many whole pixels, down or up and right or left; exact.

    border: what comes into view, "black" or the image's own "mirror". As RandomCrop to
    the images' own size with `padding=pixels`, and padding_mode "symmetric" for the
    mirror.
    """
    moves = _integers(images, generator, 2 * pixels + 1, 2, 1) - pixels
    sizes = images.new_tensor(images.shape[:1:-1]).view(2, 1)
    unmoved = torch.eye(2, device=images.device).expand(len(images), 2, 2)
    matrices = torch.cat([unmoved, 2 * moves / sizes], 2)
    outside = "zeros" if border == "black" else "reflection"
    return _sample(images, _positions(images, matrices), "nearest", outside)


def _uniform(
    images: Tensor, generator: Generator, low: float, high: float, *shape: int
) -> Tensor:
    """One draw per image, or for each image a tensor of this shape."""
    draws = images.new_empty(len(images), *shape)
    return draws.uniform_(low, high, generator=generator)


def _chosen(images: Tensor, generator: Generator, probability: float) -> Tensor:
    """Indices of a share of the images, so that only they need be worked on."""
    return (_uniform(images, generator, 0, 1) < probability).nonzero()[:, 0]


def _integers(
    images: Tensor, generator: Generator, choices: Tensor | int, *shape: int
) -> Tensor:
    """Whole numbers from 0 to choices - 1, drawn as in `_uniform`."""
    return (_uniform(images, generator, 0, 1, *shape) * choices).floor()


def _interval(
    images: Tensor, generator: Generator, sizes: Tensor, whole: int
) -> Tensor:
    """(batch, whole): whether a pixel lies in an interval of the image's own size."""
    start = _integers(images, generator, whole - sizes + 1, 1)
    pixels = torch.arange(whole, device=images.device)
    return (pixels >= start) & (pixels < start + sizes)


def _per_image(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)


def _positions(images: Tensor, matrices: Tensor) -> Tensor:
    """Map the pixels' positions: (batch, rows, 3) -> (batch, rows, height, width).

    Each matrix multiplies (x, y, 1), where x and y run from -1 to 1 between the outer
    edges of the image, as in `F.grid_sample`.
    """
    y, x = (
        (2 * torch.arange(size, device=images.device) + 1) / size - 1
        for size in images.shape[2:]
    )
    across = matrices[:, :, 0, None] * x
    downwards = matrices[:, :, 1, None] * y + matrices[:, :, 2, None]
    return across[:, :, None, :] + downwards[:, :, :, None]


def _sample(
    images: Tensor, grid: Tensor, mode: str = "bilinear", outside: str = "zeros"
) -> Tensor:
    """Read the images at positions (batch, 2, height, width).

    outside: as padding_mode of `F.grid_sample`.
    """
    grid = grid.permute(0, 2, 3, 1)
    return F.grid_sample(images, grid, mode, outside, align_corners=False)


def _from_basis(corners: Tensor) -> Tensor:
    """The map that takes (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1) to the corners.

    corners: (batch, 4, 2), as (x, y). The result, (batch, 3, 3), is up to a factor.
    """
    points = F.pad(corners, (0, 1), value=1).mT
    first_three, fourth = points[..., :3], points[..., 3:]
    weights = _adjugate(first_three) @ fourth
    return first_three * weights.mT


def _adjugate(matrices: Tensor) -> Tensor:
    """The inverse up to a factor, (batch, 3, 3); without one, still finite."""
    a, b, c = matrices.unbind(-1)
    cross = torch.linalg.cross
    return torch.stack([cross(b, c), cross(c, a), cross(a, b)], -2)


def _smooth(images: Tensor, sigma: Tensor, kernel_size: int) -> Tensor:
    """Blur with Gaussians whose standard deviations, (batch,) or (1,), are in pixels.

    A convolution is a matrix (see `helpers.conv.convolution_matrix`): for images this
    small, a product along the columns and one along the rows is the fastest way.
    """
    reach = kernel_size // 2
    height, width = images.shape[2:]
    if reach >= min(height, width):
        raise ValueError(
            f"a Gaussian of {kernel_size} pixels is too wide for images of {height} x "
            f"{width}: lower kernel_size or sigma, to {2 * min(height, width) - 1} "
            "pixels at most"
        )
    taps = torch.arange(-reach, reach + 1, device=images.device)
    weights = torch.softmax(-((taps / sigma[:, None]) ** 2) / 2, 1)
    matrices = {
        size: (weights @ _meetings(size, kernel_size, images.device)).view(
            -1, 1, size, size
        )
        for size in {height, width}
    }
    return matrices[height].mT @ images @ matrices[width]


@functools.cache
def _meetings(size: int, kernel_size: int, device: torch.device) -> Tensor:
    """(tap, source * position): 1 where a tap of the kernel meets a pixel."""
    reach = kernel_size // 2
    identity = torch.eye(size, device=device)[None]
    padded = F.pad(identity, (reach, reach), mode="reflect")[0]
    return padded.unfold(1, kernel_size, 1).flatten(0, 1).T.contiguous()
