"""Exercises of chapter 5: sizes, fields, pooling over positions that count."""

import torch
from torch import Tensor

from helpers.exercises.record import Exercise, Mistake


def _masked() -> list[tuple]:
    draw = torch.Generator().manual_seed(7)
    features = torch.rand(3, 4, 5, 6, generator=draw)
    where = torch.rand(3, 5, 6, generator=draw) < 0.4
    where[:, 0, 0] = True
    return [(features, where), (features - 1, where)]


def _sum(features: Tensor, where: Tensor) -> Tensor:
    return (features * where[:, None]).sum((2, 3))


def _largest(features: Tensor, where: Tensor) -> Tensor:
    return features.masked_fill(~where[:, None], -torch.inf).amax((2, 3))


EXERCISES = [
    Exercise(
        "5.1",
        right=[8, 32],
        mistakes=(
            Mistake([7, 31], "With these the last pooling has nothing left to return."),
            Mistake([6, 10], "Each pooling halves the sides: the factors multiply."),
            Mistake([8, 10], "Five halvings take 2 to the power of five."),
            Mistake([4, 16], "There is one halving more: each block has one."),
        ),
        hints=(
            "Every block halves the sides and rounds down; one pixel has to be left.",
            "2 to the power of the number of blocks.",
        ),
    ),
    Exercise(
        "5.2",
        right=78,
        mistakes=(
            Mistake(81, "That is right for one pooling: now 2 N values enter."),
            Mistake(79, "It has 29,221 parameters: one N less comes closer."),
            Mistake(77, "It has 28,603 parameters: one N more comes closer."),
            Mistake(309, "That is the number of parameters for each N."),
        ),
        hints=(
            "Which layers depend on N? The third convolution, and the linear one.",
            "P(N) = 289 N + 20 N + 4,810: for which N is it closest to 29,066?",
        ),
    ),
    Exercise(
        "5.3",
        right=[46, 16, 3],
        mistakes=(
            Mistake([38, 16, 3], "The fourth pooling sees one step of 8 more, too."),
            Mistake([46, 8, 6], "The fourth pooling doubles the step, to 16."),
            Mistake(
                [30, 16, 3], "The convolution adds two *steps* of 8, not two pixels."
            ),
            Mistake([46, 16, 2], "48 / 16 places fit beside one another."),
        ),
        hints=(
            "After three blocks a value sees 22 pixels, every "
            "8. What does a convolution "
            "of 3 × 3 add, and what a pooling of 2 × 2?",
            "22 + 2 · 8 + 1 · 8; the step doubles; 48 divided by the step.",
        ),
    ),
    Exercise(
        "5.4",
        right="b",
        choices="abcd",
        mistakes=(
            Mistake("a", "The area counts, not the side: both directions double."),
            Mistake("c", "That is so for the maximum: a mean divides by the area."),
            Mistake("d", "The sum stays, and the mean divides by more places."),
        ),
        hints=(
            "What happens to the sum over the places that see the digit?",
            "The sum stays, the number of places is four times as large.",
        ),
    ),
    Exercise(
        "5.5",
        right=lambda features, where: (
            _sum(features, where) / where.sum((1, 2))[:, None]
        ),
        cases=_masked,
        mistakes=(
            Mistake(
                lambda f, w: (f * w[:, None]).mean((2, 3)),
                "It divides by all positions: divide by those that count.",
            ),
            Mistake(
                _sum, "It is the sum: divide by the number of positions that count."
            ),
            Mistake(lambda f, w: f.mean((2, 3)), "The mask is not used."),
            Mistake(_largest, "It is the maximum over the positions that count."),
            Mistake(
                lambda f, w: _sum(f, w) / w.sum(),
                "It divides by the positions of all images: each has its own number.",
            ),
        ),
        hints=(
            "Zeros where the mask is False, then a sum, then a division.",
            "where[:, None] fits over the channels; where.sum((1, 2)) counts for each "
            "image.",
        ),
    ),
    Exercise(
        "5.6",
        right="b",
        choices="abcd",
        mistakes=(
            Mistake(
                "a",
                "A small file would then hold a small face, "
                "although all faces fill their "
                "frame alike.",
            ),
            Mistake("c", "It cuts large faces off, and leaves small ones as they are."),
            Mistake(
                "d", "It does: the network has to know the same face in every size."
            ),
        ),
        hints=(
            "Does the size in pixels say something about the face here?",
            "It only says how large the file is. Make the faces alike.",
        ),
    ),
]
