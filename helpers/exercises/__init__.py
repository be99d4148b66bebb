"""Exercises that answer: check() says what is wrong, hint() helps in two steps.

Each chapter has a module with its exercises. The page of the report checks numbers and
choices by the same records, and courses grade with the same cells: a wrong answer
raises, as nbgrader expects it.
"""

from collections import Counter
from typing import Any

from helpers.exercises import (
    augmentation,
    backward_pass,
    convolution,
    feature_maps,
    mnist_baseline,
    variable_resolution,
)
from helpers.exercises.record import Exercise, Mistake, same

__all__ = ["EXERCISES", "Exercise", "Mistake", "WrongAnswer", "check", "hint", "same"]

EXERCISES = {
    exercise.key: exercise
    for chapter in (
        convolution,
        backward_pass,
        mnist_baseline,
        augmentation,
        variable_resolution,
        feature_maps,
    )
    for exercise in chapter.EXERCISES
}
_asked: Counter[str] = Counter()


class WrongAnswer(AssertionError):
    """An answer that is not right; its words say what is wrong."""

    def _render_traceback_(self) -> list[str]:
        """What Jupyter shows: the words, and no way through the checks."""
        return [str(self)]


def check(key: str, answer: Any) -> None:
    """Say that an answer is right; raise WrongAnswer, with what is wrong, otherwise.

    Raises KeyError for an exercise that is not there.
    """
    wrong = look_up(key).wrong(answer)
    if wrong is not None:
        raise WrongAnswer(f'Exercise {key}: {wrong} A hint: exercises.hint("{key}")')
    print(f"Exercise {key}: right.")


def hint(key: str) -> None:
    """Print the first hint of an exercise; asked again, the second one.

    Raises KeyError for an exercise that is not there.
    """
    hints = look_up(key).hints
    step = min(_asked[key], len(hints) - 1)
    _asked[key] += 1
    print(f"Hint {step + 1} of {len(hints)}: {hints[step]}")


def look_up(key: str) -> Exercise:
    """Return an exercise; raises KeyError, with the keys there are, without one."""
    if key not in EXERCISES:
        raise KeyError(f"no exercise {key!r}: there are {', '.join(EXERCISES)}")
    return EXERCISES[key]
