"""Exercises of chapter 1: sizes, kernels, weights, fields, two layers in one."""

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.exercises.record import Exercise, Mistake

# Image and kernel of the chapter's first figure.
X = torch.tensor([[1.0, 2, 0, 1], [0, 3, 1, 2], [2, 1, 0, 1], [1, 0, 2, 3]])
K = torch.tensor([[1.0, 0, 2], [0, 1, 0], [-1, 0, 1]])


def _convolved(
    image: Tensor, kernel: Tensor, stride: int = 1, padding: int = 0
) -> Tensor:
    batches = image[None, None], kernel[None, None]
    return F.conv2d(*batches, stride=stride, padding=padding)[0, 0]


def _single(row: int, column: int) -> Tensor:
    kernel = torch.zeros(3, 3)
    kernel[row, column] = 1
    return kernel


def _joined(first: Tensor, second: Tensor) -> Tensor:
    return _convolved(first, second.flip(0, 1), padding=second.shape[0] - 1)


def _pairs_of_kernels() -> list[tuple]:
    draw = torch.Generator().manual_seed(1)
    sizes = [(3, 2), (3, 3), (4, 2)]
    return [
        tuple(torch.randn(size, size, generator=draw) for size in pair)
        for pair in sizes
    ]


def _separable(images: Tensor, depthwise: Tensor, pointwise: Tensor) -> Tensor:
    each = F.conv2d(images, depthwise, padding=1, groups=images.shape[1])
    return F.conv2d(each, pointwise)


def _layers() -> list[tuple]:
    draw = torch.Generator().manual_seed(2)
    shapes = [(2, 3, 6, 6, 5), (1, 4, 5, 7, 4)]
    return [
        (
            torch.randn(B, C, H, W, generator=draw),
            torch.randn(C, 1, 3, 3, generator=draw),
            torch.randn(D, C, 1, 1, generator=draw),
        )
        for B, C, H, W, D in shapes
    ]


EXERCISES = [
    Exercise(
        "1.1",
        right=_convolved(X, K, stride=2, padding=1),
        mistakes=(
            Mistake(
                _convolved(X, K, stride=2),
                "The padding is missing: a ring of zeros lies around the image.",
            ),
            Mistake(
                _convolved(X, K, padding=1),
                "The stride is 1 here: with stride 2 only every "
                "second position counts, "
                "in both directions.",
            ),
            Mistake(
                _convolved(X, K.flip(0, 1), stride=2, padding=1),
                "The kernel was flipped: this report multiplies it as it stands.",
            ),
        ),
        hints=(
            "First the size: ⌊(4 + 2 · 1 − 3) / 2⌋ + 1 in each direction.",
            "The first window begins one row above and one column left of the image, "
            "so that its first row and column meet zeros. The next begins two columns "
            "further right.",
        ),
    ),
    Exercise(
        "1.2",
        right=_single(1, 0),
        mistakes=(
            Mistake(_single(1, 2), "It moves the image to the left."),
            Mistake(_single(1, 1), "It changes nothing: it copies every pixel."),
            Mistake(_single(0, 1), "It moves the image down."),
            Mistake(_single(2, 1), "It moves the image up."),
        ),
        hints=(
            "Each output pixel has to take the value of one pixel near it. Which one?",
            "An image moves to the right when every pixel takes the value of its left "
            "neighbour.",
        ),
    ),
    Exercise(
        "1.3",
        right=64 * 9 + 64 * 64,
        mistakes=(
            Mistake(64 * 64 * 9, "These are the weights of the full layer."),
            Mistake(64 * 9, "The 1 × 1 layer is missing: it mixes the channels."),
            Mistake(64 * 64, "The depthwise layer is missing: 3 × 3 for each channel."),
            Mistake(
                64 * 9 + 64 * 64 + 128, "Biases are counted, too: asked are weights."
            ),
        ),
        hints=(
            "Count the weights of both layers apart, and add them up.",
            "Depthwise: one table of 3 × 3 for each of the 64 "
            "channels. Then 64 kernels "
            "of 1 × 1 over 64 channels.",
        ),
    ),
    Exercise(
        "1.4",
        right=14,
        mistakes=(
            Mistake(13, "13 layers see 1 + 2 · 13 = 27 pixels: one is missing."),
            Mistake(28, "Each layer adds two pixels, one on either side, not one."),
            Mistake(9, "The first layer adds two pixels, too, to the one it writes."),
            Mistake(4, "That is right for stride 2: here the stride is 1."),
            Mistake(10, "A layer of 3 × 3 adds two pixels, not three."),
        ),
        hints=(
            "One layer sees 3 pixels, two layers see 5.",
            "With n layers a value sees 1 + 2 n pixels.",
        ),
    ),
    Exercise(
        "1.5",
        right="b",
        choices="abcd",
        mistakes=(
            Mistake(
                "a",
                "Move (1, 0, 0, 0) by one pixel: with the "
                "kernel (1) and stride 2 the 1 "
                "falls between two positions and is gone.",
            ),
            Mistake(
                "c",
                "Some shifts it does follow: two pixels in the image are one position "
                "in the output.",
            ),
            Mistake(
                "d", "The size of the kernel plays no part here: only the stride does."
            ),
        ),
        hints=(
            "Try the kernel (1) on the row (1, 0, 0, 0), moved by one and by two.",
            "The output has one value for every two pixels: it can move by one only "
            "when the image moves by two.",
        ),
    ),
    Exercise(
        "1.6",
        right=_joined,
        cases=_pairs_of_kernels,
        mistakes=(
            Mistake(
                lambda a, b: _convolved(a, b, padding=b.shape[0] - 1),
                "The second kernel has to be flipped when it slides over the first: "
                "what lies right in it acts on what the first one made further right.",
            ),
            Mistake(
                lambda a, b: _convolved(a, b),
                "This kernel is smaller than the first: the joined one has to see "
                "further than either, so slide with padding.",
            ),
            Mistake(
                lambda a, b: _convolved(a, b.flip(0, 1)),
                "The flip is right, but padding is missing: the "
                "joined kernel is larger "
                "than the first.",
            ),
            Mistake(
                lambda a, b: _joined(a, b).flip(0, 1),
                "All is there, but upside down: the first kernel stays as it is.",
            ),
        ),
        hints=(
            "For 3 × 3 and 2 × 2 the joined kernel is 4 × 4. Entry (p, q) collects all "
            "products of entries whose places add up to (p, q).",
            "That is a convolution of the first kernel, padded "
            "by the size of the second "
            "less one, with the second kernel flipped in both directions.",
        ),
    ),
    Exercise(
        "1.7",
        right=_separable,
        cases=_layers,
        mistakes=(
            Mistake(
                lambda x, d, p: F.conv2d(F.conv2d(x, d, groups=x.shape[1]), p),
                "The padding of 1 is missing: height and width have to stay.",
            ),
            Mistake(
                lambda x, d, p: F.conv2d(
                    F.conv2d(x, d, padding=1, groups=x.shape[1]).relu(), p
                ),
                "There is a ReLU between the two layers that nobody asked for.",
            ),
            Mistake(
                lambda x, d, p: F.conv2d(
                    F.conv2d(x, d.flip(2, 3), padding=1, groups=x.shape[1]), p
                ),
                "The depthwise kernel was flipped: it is multiplied as it stands.",
            ),
            Mistake(
                lambda x, d, p: F.conv2d(x, d, padding=1, groups=x.shape[1]),
                "The second step is missing: the 1 × 1 kernels mix the channels.",
            ),
        ),
        hints=(
            "Two calls of F.conv2d, one behind the other.",
            "The first has as many groups as there are channels, and a padding of 1; "
            "the second is a plain convolution with 1 × 1 kernels.",
        ),
    ),
]
