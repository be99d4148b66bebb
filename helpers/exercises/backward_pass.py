"""Exercises of chapter 2: gradients by hand, and backward passes to write."""

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.exercises.record import Exercise, Mistake


def _draw(*shape: int, seed: int = 3) -> Tensor:
    draw = torch.Generator().manual_seed(seed + len(shape) + sum(shape))
    return torch.rand(shape, generator=draw, dtype=torch.float64) + 0.5


def _quotients() -> list[tuple]:
    return [(_draw(3, 4), _draw(3, 4, seed=8), _draw(3, 4, seed=9))]


def _poolings() -> list[tuple]:
    return [(_draw(2, 3, 2, 4),), (_draw(1, 1, 3, 1),)]


def _with_images() -> list[tuple]:
    return [
        (_draw(2, 3, 2, 4), _draw(2, 3, 4, 8)),
        (_draw(1, 1, 1, 2), _draw(1, 1, 2, 4)),
    ]


def _spread(values: Tensor) -> Tensor:
    return values.repeat_interleave(2, -2).repeat_interleave(2, -1)


def _to_the_largest(gradient: Tensor, image: Tensor) -> Tensor:
    image = image.requires_grad_()
    (found,) = torch.autograd.grad(F.max_pool2d(image, 2), image, gradient)
    return found


def _to_the_first(gradient: Tensor, image: Tensor) -> Tensor:
    result = torch.zeros_like(image)
    result[..., ::2, ::2] = gradient
    return result


EXERCISES = [
    Exercise(
        "2.1",
        right=[1, 4, 1, -1, 2, -2],
        mistakes=(
            Mistake(
                [4, 1, 1, -1, 2, -2],
                "The two entries of the kernel's gradient are exchanged: entry 0 meets "
                "the pixels x₀, x₁, x₂.",
            ),
            Mistake(
                [1, 4, -1, 1, -2, 2],
                "The gradient of the image is right but for the kernel, which was "
                "flipped: pixel 0 belongs to output 0 through entry 0.",
            ),
            Mistake(
                [1, 4, 1, 0, 2, 0],
                "Only the first entry of the kernel hands something to the image: the "
                "second does so, too, one pixel further right.",
            ),
            Mistake(
                [3, 3, 1, -1, 2, -2],
                "For the kernel each gradient counts times its pixel, not times one of "
                "all pixels.",
            ),
        ),
        hints=(
            "Write down the three outputs: y₀ = x₀ k₀ + x₁ k₁, and so on.",
            "Entry p of the kernel gets Σ ∇yᵢ xᵢ₊ₚ; pixel j gets Σ ∇yⱼ₋ₚ kₚ.",
        ),
    ),
    Exercise(
        "2.2",
        right=[2, 5],
        mistakes=(
            Mistake([3, 6], "These are counted from 1: count from 0."),
            Mistake([1, 4, 7], "The windows begin at 0, 3 and 6, and take two pixels."),
            Mistake(
                [0, 3, 6], "There the windows begin: these pixels do have a gradient."
            ),
            Mistake([2, 5, 7], "Pixel 7 lies in the last window, 6 and 7."),
        ),
        hints=(
            "Where do the windows begin, and which pixels lie in them?",
            "The windows are 0–1, 3–4 and 6–7.",
        ),
    ),
    Exercise(
        "2.3",
        right=lambda dY, X, V: (dY / V, -dY * X / V**2),
        cases=_quotients,
        mistakes=(
            Mistake(
                lambda dY, X, V: (dY / V, dY * X / V**2),
                "The sign of the gradient of V is wrong: a "
                "larger denominator makes the "
                "quotient smaller.",
            ),
            Mistake(
                lambda dY, X, V: (dY / V, -dY * X / V),
                "The derivative of 1 / v is −1 / v²: the square is missing.",
            ),
            Mistake(
                lambda dY, X, V: (1 / V, -X / V**2),
                "These are the slopes alone: the chain rule multiplies them by dY.",
            ),
            Mistake(
                lambda dY, X, V: (dY * V, -dY * X / V**2),
                "The slope in x is 1 / v, not v.",
            ),
        ),
        hints=(
            "Two derivatives of x / v, one in x, one in v; "
            "each times dY, entry by entry.",
            "The first is 1 / v, the second −x / v².",
        ),
    ),
    Exercise(
        "2.4",
        right=lambda dY: _spread(dY) / 4,
        cases=_poolings,
        mistakes=(
            Mistake(
                lambda dY: _spread(dY),
                "Every pixel gets the whole gradient: a mean of "
                "four hands out quarters.",
            ),
            Mistake(
                lambda dY: _spread(dY) / 2,
                "A block has 2 × 2 pixels: divide by four, not by two.",
            ),
            Mistake(
                lambda dY: _to_the_first(dY, _spread(dY)),
                "All goes to the first pixel of each block: the mean treats all four "
                "alike.",
            ),
            Mistake(
                lambda dY: dY.repeat(1, 1, 2, 2) / 4,
                "The image is four copies side by side: the "
                "four pixels of a block have "
                "to lie together (repeat_interleave, not repeat).",
            ),
        ),
        hints=(
            "The mean is a convolution with four weights of 1/4 and stride 2.",
            "Each entry of dY goes, divided by four, to the four pixels of its block.",
        ),
    ),
    Exercise(
        "2.5",
        right="a",
        choices="abcd",
        mistakes=(
            Mistake("b", "Nothing divides by the number of uses: gradients add up."),
            Mistake(
                "c",
                "The first use has an influence on the loss, too, through the second.",
            ),
            Mistake(
                "d",
                "Slopes multiply along one path; here two paths lead to the kernel.",
            ),
        ),
        hints=(
            "Think of two kernels that happen to be equal. What does each of them get?",
            "A copy hands back the sum of what its copies get.",
        ),
    ),
    Exercise(
        "2.6",
        right="a",
        choices="abcd",
        mistakes=(
            Mistake(
                "b", "With a single image there is nothing to add up over the batch."
            ),
            Mistake("c", "With three channels in and three out both have one length."),
            Mistake("d", "In a square image height and width cannot be told apart."),
        ),
        hints=(
            "What does each mistake change when a size is 1, or when two sizes agree?",
            "Only one of them gives other numbers for a single "
            "square image with as many "
            "channels in as out.",
        ),
    ),
    Exercise(
        "2.7",
        right=_to_the_largest,
        cases=_with_images,
        mistakes=(
            Mistake(
                lambda dY, X: _spread(dY) / 4,
                "That is the way back of the mean: the maximum has chosen one pixel.",
            ),
            Mistake(
                lambda dY, X: _spread(dY),
                "All four pixels of a block get the gradient: only the largest does.",
            ),
            Mistake(
                _to_the_first,
                "The first pixel of each block gets all: it has to be the largest.",
            ),
            Mistake(
                lambda dY, X: _to_the_largest(dY, X) * X,
                "The slope of a selection is 1: the value of the pixel plays no part.",
            ),
        ),
        hints=(
            "Which pixels were chosen? Compare the image with its own maxima.",
            "Repeat maxima and gradients over their blocks "
            "(repeat_interleave), and keep "
            "the gradient where the image equals the maximum.",
        ),
    ),
]
