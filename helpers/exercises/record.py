"""What an exercise is, and how an answer to it is judged.

An answer is a number, a letter of a choice, numbers in rows, or a function. Judged is
what it gives, never how it is written: a function is tried on a few cases and compared
with a right one, and with wrong ones whose mistake has a name.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Cases = Callable[[], Sequence[tuple]]


@dataclass(frozen=True)
class Mistake:
    """A wrong answer, of the same kind as the right one, and what is wrong with it."""

    answer: Any
    words: str


@dataclass(frozen=True)
class Exercise:
    """An exercise that answers.

    key: chapter and number, "1.2". right: the right answer. mistakes: what readers are
    likely to answer instead. hints: two, the second says more. choices: the letters
    that may be chosen. cases: arguments on which a function is tried. tolerance: the
    share by which numbers may differ.
    """

    key: str
    right: Any
    mistakes: tuple[Mistake, ...]
    hints: tuple[str, str]
    choices: str = ""
    cases: Cases | None = None
    tolerance: float = 1e-4

    @property
    def kind(self) -> str:
        """ "choice", "function", "number" or "table"."""
        if self.choices:
            return "choice"
        if self.cases:
            return "function"
        return "number" if isinstance(self.right, int | float) else "table"

    def wrong(self, answer: Any) -> str | None:
        """Return what is wrong with an answer, in words; None when it is right."""
        if answer is ...:
            return "There is no answer yet: write it in the place of `...`."
        return _JUDGES[self.kind](self, answer)


def _choice(exercise: Exercise, answer: Any) -> str | None:
    allowed = ", ".join(f'"{letter}"' for letter in exercise.choices)
    letter = answer.strip().lower() if isinstance(answer, str) else ""
    if len(letter) != 1 or letter not in exercise.choices:
        return f"{_shown(answer)} is none of the choices: give one of {allowed}."
    if letter == exercise.right:
        return None
    return next(m.words for m in exercise.mistakes if m.answer == letter)


def _number(exercise: Exercise, answer: Any) -> str | None:
    try:
        value = float(answer)
    except (TypeError, ValueError, RuntimeError):
        return f"{_shown(answer)} arrived: give one number."
    if not math.isfinite(value):
        return f"{value} arrived: the answer is a finite number, so look again."
    if _close(value, exercise.right, exercise.tolerance):
        return None
    for mistake in exercise.mistakes:
        if _close(value, mistake.answer, exercise.tolerance):
            return mistake.words
    return f"{value:g} is too {'large' if value > exercise.right else 'small'}."


def _table(exercise: Exercise, answer: Any) -> str | None:
    right = _tensor(exercise.right)
    try:
        given = _tensor(answer)
    except (TypeError, ValueError, RuntimeError):
        return f"{_shown(answer)} arrived: give numbers in rows, as lists or a tensor."
    if same(given, right, exercise.tolerance):
        return None
    for mistake in exercise.mistakes:
        if same(given, _tensor(mistake.answer), exercise.tolerance):
            return mistake.words
    return _difference(given, right, exercise.tolerance)


def _function(exercise: Exercise, answer: Any) -> str | None:
    if not callable(answer):
        return f"{_shown(answer)} arrived: give the function itself, without ()."
    assert exercise.cases is not None
    cases = exercise.cases()
    results = []
    for case in cases:
        try:
            results.append(answer(*_copies(case)))
        except Exception as error:
            sizes = ", ".join(map(_shown, case))
            return f"For {sizes} it stops with {type(error).__name__}: {error}"
    expected = [exercise.right(*_copies(case)) for case in cases]
    pairs = list(zip(results, expected, strict=True))
    if all(same(a, b, exercise.tolerance) for a, b in pairs):
        return None
    for mistake in exercise.mistakes:
        wrong = [mistake.answer(*_copies(case)) for case in cases]
        matches = zip(results, wrong, strict=True)
        if all(same(a, b, exercise.tolerance) for a, b in matches):
            return mistake.words
    for case, (result, right) in zip(cases, pairs, strict=True):
        if not same(result, right, exercise.tolerance):
            sizes = ", ".join(map(_shown, case))
            return f"For {sizes}: {_difference(result, right, exercise.tolerance)}"
    raise AssertionError("one of the results differs")


_JUDGES = {"choice": _choice, "number": _number, "table": _table, "function": _function}


def same(one: Any, other: Any, tolerance: float) -> bool:
    """Whether two results agree: tensors, numbers, or tuples of them."""
    if isinstance(other, tuple):
        return (
            isinstance(one, tuple | list)
            and len(one) == len(other)
            and all(same(a, b, tolerance) for a, b in zip(one, other, strict=True))
        )
    try:
        a, b = _tensor(one), _tensor(other)
    except (TypeError, ValueError, RuntimeError):
        return False
    return a.shape == b.shape and torch.allclose(
        a, b, rtol=tolerance, atol=1e-6, equal_nan=True
    )


def _difference(given: Any, right: Any, tolerance: float) -> str:
    """How a result differs from the right one that it matches in no known way."""
    if isinstance(right, tuple):
        if not isinstance(given, tuple | list) or len(given) != len(right):
            return f"{_shown(given)} arrived: return {len(right)} tensors."
        for number, (one, other) in enumerate(zip(given, right, strict=True), 1):
            if not same(one, other, tolerance):
                return f"result {number}: {_difference(one, other, tolerance)}"
    try:
        given, right = _tensor(given), _tensor(right)
    except (TypeError, ValueError, RuntimeError):
        return f"{_shown(given)} arrived: give numbers in rows, or a tensor."
    if given.shape != right.shape:
        return (
            f"the shape {tuple(given.shape)} arrived, where {tuple(right.shape)} is "
            "wanted."
        )
    wrong = ~torch.isclose(given, right, rtol=tolerance, atol=1e-6, equal_nan=True)
    first = tuple(wrong.nonzero()[0].tolist())
    place = f" at {list(first)}, counted from 0," if first else ""
    return (
        f"{int(wrong.sum())} of {wrong.numel()} entries are wrong; the first,{place} "
        f"is {given[first].item():g}."
    )


def _close(value: float, other: float, tolerance: float) -> bool:
    return math.isclose(value, other, rel_tol=tolerance, abs_tol=1e-9)


def _tensor(value: Any) -> Tensor:
    return torch.as_tensor(value).detach().to(torch.float64)


def _copies(case: tuple) -> list:
    """The arguments anew, so that an answer that changes them spoils nothing."""
    return [a.clone() if isinstance(a, Tensor) else a for a in case]


def _shown(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    words = repr(value)
    telling = len(words) < 60 and " at 0x" not in words
    return words if telling else f"something of the type {type(value).__name__}"
