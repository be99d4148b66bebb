"""Exercises of chapter 4: how far pixels move, and which labels survive."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.exercises.record import Exercise, Mistake

CORNER, ANGLE = 10 * math.sqrt(2), math.radians(20)


def _moved(images: Tensor, down: int, right: int) -> Tensor:
    """Moved by whole pixels; black where nothing comes from."""
    height, width = images.shape[-2:]
    room = abs(down) + abs(right)
    padded = F.pad(images, (room,) * 4)
    top, left = room - down, room - right
    return padded[..., top : top + height, left : left + width]


def _images() -> list[tuple]:
    draw = torch.Generator().manual_seed(6)
    shapes = [((2, 1, 5, 6), 2), ((1, 3, 4, 4), 1), ((3, 1, 7, 5), 3)]
    return [(torch.rand(shape, generator=draw), by) for shape, by in shapes]


EXERCISES = [
    Exercise(
        "4.1",
        right=2 * CORNER * math.sin(ANGLE / 2),
        tolerance=2e-3,
        mistakes=(
            Mistake(
                20 * math.sin(ANGLE / 2),
                "That is the middle of an edge, 10 pixels away: "
                "a corner is further out.",
            ),
            Mistake(
                CORNER * ANGLE,
                "That is the arc: how far the pixel has come in the end is the chord.",
            ),
            Mistake(
                CORNER * math.sin(ANGLE),
                "That is the distance to the old radius, not to the old place.",
            ),
            Mistake(
                40 * math.sqrt(2) * math.sin(ANGLE / 2),
                "The radius is half the diagonal of 20 pixels.",
            ),
        ),
        hints=(
            "How far is a corner of the 20 × 20 pixels from the middle?",
            "A point at the distance r moves by the chord 2 r sin(θ / 2).",
        ),
    ),
    Exercise(
        "4.2",
        right=30 * math.sqrt(1 / 3 / (4 * math.pi * 16)),
        tolerance=1e-2,
        mistakes=(
            Mistake(
                30 * math.sqrt(1 / (4 * math.pi * 16)),
                "The noise has the variance 1/3, not 1: it is uniform from −1 to 1.",
            ),
            Mistake(
                60 * math.sqrt(1 / 3 / (4 * math.pi * 16)),
                "The displacement is alpha / 2 times the noise.",
            ),
            Mistake(
                30 / 3 / (4 * math.pi * 16),
                "That multiplies by the variance: take its square root.",
            ),
            Mistake(
                30 * math.sqrt(1 / 3 / (4 * math.pi * 4**4)),
                "Sigma, which is 4, is squared once, not twice.",
            ),
        ),
        hints=(
            "The variance of a weighted sum of independent values is their variance "
            "times the sum of the squared weights.",
            "Variance 1/3, times 1 / (4 π sigma²), times (alpha / 2)²; then the root.",
        ),
    ),
    Exercise(
        "4.3",
        right=[[0, -2], [0, -1]],
        mistakes=(
            Mistake(
                [[0, 8], [2, 8]],
                "That is where the pixel goes: asked is where it comes from.",
            ),
            Mistake(
                [[0, 2], [0, 1]],
                "The turn goes the other way: undo it, not do it again.",
            ),
            Mistake([[0, -4], [0, -2]], "The zoom by 2 is missing: half the distance."),
            Mistake(
                [[0, -2], [-2, -2]],
                "The shift came last, so it is undone first, before turn and zoom.",
            ),
        ),
        hints=(
            "Go through the steps backwards, and undo each.",
            "First take the shift away: (4 − 2, 0). Then turn back by 90 degrees, and "
            "halve.",
        ),
    ),
    Exercise(
        "4.4",
        right=math.sqrt((30**2 + 20**2) / 3),
        tolerance=2e-3,
        mistakes=(
            Mistake(
                50 / math.sqrt(3),
                "Standard deviations do not add up: variances "
                "of independent angles do.",
            ),
            Mistake(
                math.sqrt(30**2 + 20**2),
                "A uniform angle up to a has the variance a² / 3, not a².",
            ),
            Mistake(
                math.sqrt((30**2 + 20**2) / 12),
                "1/12 belongs to the whole width, 2 a: with a itself it is a² / 3.",
            ),
            Mistake((30**2 + 20**2) / 3, "That is the variance: take the root."),
        ),
        hints=(
            "Which quantity of independent angles adds up?",
            "The variance of each is a² / 3.",
        ),
    ),
    Exercise(
        "4.5",
        right="c",
        choices="abcd",
        mistakes=(
            Mistake("a", "Exposure differs from picture to picture anyway."),
            Mistake("b", "Nobody stands quite straight: a few degrees change nothing."),
            Mistake(
                "d",
                "One of them moves the heart to the other side, and that is a finding.",
            ),
        ),
        hints=(
            "Would the person who gave the label give it again?",
            "On which side is the heart?",
        ),
    ),
    Exercise(
        "4.6",
        right=lambda images, by: _moved(images, 0, by),
        cases=_images,
        mistakes=(
            Mistake(
                lambda images, by: images.roll(by, -1),
                "What leaves on the right comes in again on the "
                "left: it has to be black "
                "there.",
            ),
            Mistake(lambda images, by: _moved(images, 0, -by), "It moves to the left."),
            Mistake(lambda images, by: _moved(images, by, 0), "It moves down."),
            Mistake(
                lambda images, by: images, "Nothing has moved: return the new images."
            ),
        ),
        hints=(
            "Begin with zeros of the same shape, and write a "
            "part of the images into it.",
            "Columns from `by` on get the columns that came before the last `by`.",
        ),
    ),
]
