"""Small stand-ins for the data sets, the same every time, that need no file."""

import numpy as np
import torch
from PIL import Image

from helpers.data.samples import Split, Splits, in_canonical_order


def digits_on_canvas(sizes: tuple[int, ...], centred: bool) -> Splits:
    """scikit-learn's digits, enlarged from 8 to 20 px, shared out among canvases.

    They stand in the middle, as in MNIST, or anywhere, as in its variable-resolution
    version.
    """
    # Slow to import, and rarely needed.
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    small = load_digits()
    digits = np.stack(
        [
            Image.fromarray(np.uint8(digit * 255 / 16)).resize((20, 20), Image.BICUBIC)
            for digit in small.images
        ]
    )
    train, test = train_test_split(
        np.arange(len(digits)), test_size=0.2, stratify=small.target, random_state=0
    )
    generator = np.random.default_rng(0)
    splits = {"train": {}, "test": {}}
    for part, chosen in (("train", train), ("test", test)):
        for size, rows in zip(sizes, np.array_split(chosen, len(sizes)), strict=True):
            room = size - 20
            low, high = (room // 2, room // 2) if centred else (0, room)
            corners = generator.integers(low, high, (len(rows), 2), endpoint=True)
            images = np.zeros((len(rows), 1, size, size), np.uint8)
            for image, row, (top, left) in zip(images, rows, corners, strict=True):
                image[0, top : top + 20, left : left + 20] = digits[row]
            labels = torch.from_numpy(small.target[rows])
            splits[part][size] = Split(torch.from_numpy(images), labels)
    return splits


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
