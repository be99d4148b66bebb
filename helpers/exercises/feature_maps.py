"""Exercises of chapter 6: parameters, selectivity, normalisation, steps."""

import torch
from torch import Tensor

from helpers.exercises.record import Exercise, Mistake


def _layers() -> list[tuple]:
    draw = torch.Generator().manual_seed(8)
    return [
        (
            torch.randn(4, 3, 5, 5, generator=draw),
            torch.randn(4, generator=draw),
            torch.rand(3, generator=draw),
            torch.rand(3, generator=draw) + 0.5,
        )
    ]


def _channel(values: Tensor) -> Tensor:
    return values[:, None, None]


def _values() -> list[tuple]:
    draw = torch.Generator().manual_seed(9)
    many = torch.rand(40, generator=draw), torch.rand(40, generator=draw) < 0.5
    tied = torch.randint(0, 4, (40,), generator=draw).float(), many[1]
    return [many, tied]


def _area(values: Tensor, animal: Tensor, of_ties: float = 0.5) -> Tensor:
    """Share of pairs in which the animal has the larger value; ties count in part."""
    apart = values[animal][:, None] - values[~animal]
    return ((apart > 0).double() + of_ties * (apart == 0)).mean()


EXERCISES = [
    Exercise(
        "6.1",
        right=9 * 16 * (16 + 16),
        mistakes=(
            Mistake(25 * 16 * 16, "That is the 5 × 5 convolution."),
            Mistake(9 * 16 * 16, "That is one of the two kernels of 3 × 3."),
            Mistake(9 * 16 * 32 + 32, "Biases are counted, too: asked are weights."),
            Mistake(18, "That is for one channel in and out: there are 16 of each."),
        ),
        hints=(
            "Two layers: C channels to D, then D to D.",
            "9 C D + 9 D D, with C = D = 16.",
        ),
    ),
    Exercise(
        "6.2",
        right=0.5,
        mistakes=(
            Mistake(
                1, "That takes a value that tells the groups apart: all are 1 now."
            ),
            Mistake(0, "Ties count one half, and all images tie."),
            Mistake(0.25, "Every pair ties, and a tie counts one half."),
        ),
        hints=(
            "What is the largest value of a map that was scaled to [0, 1]?",
            "It is 1 for all images: nothing is left to rank them by.",
        ),
    ),
    Exercise(
        "6.3",
        right=lambda K, b, mean, std: (
            K / _channel(std),
            b - (K * _channel(mean / std)).sum((1, 2, 3)),
        ),
        cases=_layers,
        mistakes=(
            Mistake(
                lambda K, b, mean, std: (K / _channel(std), b),
                "The bias has to take the means over.",
            ),
            Mistake(
                lambda K, b, mean, std: (
                    K / _channel(std),
                    b + (K * _channel(mean / std)).sum((1, 2, 3)),
                ),
                "The sign of the bias is wrong: the mean is "
                "taken away from each pixel.",
            ),
            Mistake(
                lambda K, b, mean, std: (
                    K / _channel(std),
                    b - (K * _channel(mean)).sum((1, 2, 3)),
                ),
                "The means in the bias have to be divided by the deviations.",
            ),
            Mistake(
                lambda K, b, mean, std: (
                    K * _channel(std),
                    b - (K * _channel(mean / std)).sum((1, 2, 3)),
                ),
                "The kernel is to be divided by the deviations, not multiplied.",
            ),
        ),
        hints=(
            "Write down K · (x − μ) / sigma + b, and sort by "
            "what x is multiplied with.",
            "The kernel becomes K / sigma, channel by channel; "
            "−K μ / sigma, added up over "
            "channels and entries, goes to the bias.",
        ),
    ),
    Exercise(
        "6.4",
        right=[9, 18],
        mistakes=(
            Mistake([3, 6], "There are two poolings: their steps multiply."),
            Mistake(
                [6, 12], "The steps of the poolings multiply, 3 · 3; they don't add."
            ),
            Mistake([9, 36], "Only one convolution has the stride 2."),
            Mistake([9, 9], "The stride of the convolution counts, too."),
        ),
        hints=(
            "The step of a map is the product of all steps before it.",
            "3 · 3, and then 3 · 2 · 3.",
        ),
    ),
    Exercise(
        "6.5",
        right="c",
        choices="abcd",
        mistakes=(
            Mistake("a", "The spots know nothing of the image, nor of the network."),
            Mistake("b", "Both cover as many pixels: a quarter of the image."),
            Mistake("d", "Both set the pixels to the same value."),
        ),
        hints=(
            "Both cover a quarter of the image. What else do they do to it?",
            "Count the edges that are new, and the fields of view that are touched.",
        ),
    ),
    Exercise(
        "6.6",
        right=_area,
        cases=_values,
        mistakes=(
            Mistake(
                lambda values, animal: _area(values, animal, 0),
                "Right without ties: equal values count one half, not nothing.",
            ),
            Mistake(
                lambda values, animal: _area(values, animal, 1),
                "Right without ties: equal values count one half, not in full.",
            ),
            Mistake(
                lambda values, animal: _area(-values, animal),
                "The other way round: count where the *animal* has the larger value.",
            ),
            Mistake(
                lambda values, animal: values[animal].mean() - values[~animal].mean(),
                "It is the difference of the means: an area looks at ranks alone.",
            ),
        ),
        hints=(
            "Compare every animal with every other image: how "
            "often is its value larger?",
            "values[animal][:, None] - values[~animal] has all "
            "pairs; count above zero, "
            "and one half for zero.",
        ),
    ),
]
