"""Small sets, the same every time, on which everything runs in seconds."""

import numpy as np
import torch

from helpers.data import embedded
from helpers.data.samples import Split, Splits, in_canonical_order


def few_digits() -> Splits:
    """Every 50th training image of MNIST, every 25th test image."""
    return _few(embedded.read_mnist(), train=50, test=25)


def few_canvases() -> Splits:
    """Of each resolution every 400th training image, every 100th test image."""
    return _few(embedded.read_varres(), train=400, test=100)


def _few(splits: Splits, **steps: int) -> Splits:
    return {
        part: {
            resolution: Split(
                split.images[:: steps[part]].clone(), split.labels[:: steps[part]]
            )
            for resolution, split in by_resolution.items()
        }
        for part, by_resolution in splits.items()
    }


# Whether a point belongs to a shape; u and v run from -1 to 1, r is u^2 + v^2.
SHAPES = {
    "circle": lambda u, v, r: r < 0.7,
    "ring": lambda u, v, r: (r > 0.3) & (r < 0.9),
    "crescent": lambda u, v, r: (r < 0.8) & ((u - 0.4) ** 2 + v**2 > 0.5),
    "half disc": lambda u, v, r: (r < 0.9) & (v > 0),
    "square": lambda u, v, r: (abs(u) < 0.7) & (abs(v) < 0.7),
    "triangle": lambda u, v, r: (v > -0.6) & (v + 1.8 * abs(u) < 0.9),
    "cross": lambda u, v, r: (r < 0.9) & ((abs(u) < 0.25) | (abs(v) < 0.25)),
    "bar": lambda u, v, r: (abs(u) < 0.25) & (abs(v) < 0.9),
    "corner": lambda u, v, r: (
        (abs(u) < 0.7) & (abs(v) < 0.7) & ((u < -0.2) | (v > 0.2))
    ),
    "hourglass": lambda u, v, r: (abs(v) < 0.8) & (abs(u) < abs(v)),
}


def textured_shapes() -> Splits:
    """Generated images that take the place of CIFAR-10."""
    generator = np.random.default_rng(0)
    return {
        "train": {32: in_canonical_order(_draw_shapes(200, generator))},
        "test": {32: in_canonical_order(_draw_shapes(50, generator))},
    }


def _draw_shapes(number_per_class: int, generator: np.random.Generator) -> Split:
    """Shapes of random place, size, tilt, colour and texture on a striped ground.

    Only operations that round alike on every machine (no sine, no cosine).
    """
    labels = np.repeat(np.arange(len(SHAPES)), number_per_class)

    def uniform(low: float, high: float) -> np.ndarray:
        return generator.uniform(low, high, (len(labels), 1, 1))

    row, column = np.mgrid[:32, :32]
    size = uniform(9, 13)
    x = (column - 15.5 - uniform(-4, 4)) / size
    y = (row - 15.5 - uniform(-4, 4)) / size
    tangent = uniform(-0.4, 0.4)  # of half the tilt: up to 44 degrees either way
    cosine, sine = (1 - tangent**2) / (1 + tangent**2), 2 * tangent / (1 + tangent**2)
    u, v = cosine * x + sine * y, cosine * y - sine * x
    inside = np.empty(u.shape, bool)
    for label, belongs in enumerate(SHAPES.values()):
        rows = labels == label
        inside[rows] = belongs(u[rows], v[rows], u[rows] ** 2 + v[rows] ** 2)

    def striped_colour(colour: np.ndarray) -> np.ndarray:
        waves = row * generator.integers(-2, 3, (len(labels), 1, 1))
        waves = waves + column * generator.integers(-2, 3, (len(labels), 1, 1))
        return colour + 40 * (waves % 8 < 4)[:, None]

    colour = generator.integers(0, 256, (len(labels), 3, 1, 1))
    opposite = (colour + generator.integers(78, 178, colour.shape)) % 256
    images = np.where(inside[:, None], striped_colour(colour), striped_colour(opposite))
    images = images + generator.integers(-30, 31, images.shape)
    return Split(
        torch.from_numpy(np.uint8(images.clip(0, 255))), torch.from_numpy(labels)
    )
