"""Exercises of chapter 3: losses, seeds, parameters, temperature."""

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.exercises.record import Exercise, Mistake


def _scores() -> list[tuple]:
    draw = torch.Generator().manual_seed(4)
    small = torch.randn(6, 10, generator=draw, dtype=torch.float64)
    labels = torch.randint(0, 10, (6,), generator=draw)
    return [(small, labels), (1000 * small, labels)]


def _right_probabilities(scores: Tensor, labels: Tensor) -> Tensor:
    return scores.softmax(1)[torch.arange(len(labels)), labels]


EXERCISES = [
    Exercise(
        "3.1",
        right=157 / 10_000,
        mistakes=(
            Mistake(
                1 / 64,
                "That holds if all batches are full: the last one has 16 images.",
            ),
            Mistake(156 / 10_000, "The last batch, of 16 images, was left out."),
            Mistake(157, "That is the sum of the means: it is divided by the images."),
            Mistake(
                1, "That is the loss of an image: this way divides once too often."
            ),
        ),
        hints=(
            "How many batches are there, and what is the mean of each?",
            "156 full batches and one of 16 images, each with "
            "the mean 1; then divide by "
            "the number of images.",
        ),
    ),
    Exercise(
        "3.2",
        right=8,
        mistakes=(
            Mistake(7, "2 / 2⁷ times five is 0.078: still above 5 %."),
            Mistake(
                6, "That is enough for one question; a family multiplies p by five."
            ),
            Mistake(
                5, "There are two most extreme choices of signs, and five questions."
            ),
            Mistake(9, "It works, but one seed fewer is enough."),
        ),
        hints=(
            "The smallest p is 2 / 2ⁿ. What does a family of five make of it?",
            "5 · 2 / 2ⁿ < 0.05 means 2ⁿ > 200.",
        ),
    ),
    Exercise(
        "3.3",
        right=93_322 + (3136 - 576) * 64,
        mistakes=(
            Mistake(
                93_322, "The maps grow with padding, and the linear layer with them."
            ),
            Mistake(3137 * 64, "That is the first linear layer alone."),
            Mistake(
                (3136 - 576) * 64, "That is what is added: add it to what was there."
            ),
            Mistake(
                93_322 + 3136 * 64, "The 576 inputs from before are still counted."
            ),
        ),
        hints=(
            "Follow the sides: 28, 14, 14, 7, 7. How many "
            "numbers enter the first linear "
            "layer, which has 64 outputs?",
            "7 · 7 · 64 = 3136 instead of 576. The convolutions keep their weights.",
        ),
    ),
    Exercise(
        "3.4",
        right="a",
        choices="abcd",
        mistakes=(
            Mistake("b", "The shares add up to one with and without T, and do change."),
            Mistake("c", "It holds for any T above zero, however far from 1."),
            Mistake("d", "It holds for each image by itself, without any labels."),
        ),
        hints=(
            "The answer is the digit with the largest score.",
            "Which property do a list of scores and the same "
            "list divided by a positive "
            "number share?",
        ),
    ),
    Exercise(
        "3.5",
        right=lambda scores, labels: F.cross_entropy(scores, labels),
        cases=_scores,
        mistakes=(
            Mistake(
                lambda s, y: F.cross_entropy(s, y, reduction="sum"),
                "It is the sum over the images: divide by their number.",
            ),
            Mistake(
                lambda s, y: F.cross_entropy(s, y) / s.shape[1],
                "It is divided by the classes, too: the mean goes over images alone.",
            ),
            Mistake(
                lambda s, y: -_right_probabilities(s, y).mean(),
                "The logarithm is missing: this is the mean probability.",
            ),
            Mistake(
                lambda s, y: -_right_probabilities(s, y).log().mean(),
                "Right for small scores; for large ones a probability is rounded to "
                "zero, and its logarithm is infinite: take log_softmax.",
            ),
            Mistake(
                lambda s, y: -s[torch.arange(len(y)), y].mean(),
                "The other scores are missing: they stand in the sum of exponentials.",
            ),
        ),
        hints=(
            "Minus the logarithm of the probability of the right class, in the mean.",
            "scores.log_softmax(1), of which each image gives the entry of its label.",
        ),
    ),
    Exercise(
        "3.6",
        right=lambda scores, labels: (scores.argmax(1) == labels).double().mean(),
        cases=_scores,
        mistakes=(
            Mistake(
                lambda s, y: (s.argmax(1) == y).double().sum(),
                "It is the number of right answers: divide by the number of images.",
            ),
            Mistake(
                lambda s, y: (s.argmax(1) != y).double().mean(),
                "It is the share of wrong answers.",
            ),
            Mistake(
                lambda s, y: _right_probabilities(s, y).mean(),
                "It is the mean probability of the right class: an answer is the class "
                "with the largest score, and right or wrong.",
            ),
        ),
        hints=(
            "The answer to an image is the class with the largest score.",
            "Compare scores.argmax(1) with the labels, and take the mean.",
        ),
    ),
]
