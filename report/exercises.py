"""Exercises on the page: numbers and choices are checked there, hints given in steps.

A notebook has three cells for an exercise: its question, tagged `exercise`; an answer
between nbgrader's two markers, tagged `solution`; and its check, tagged `check`.
"""

import html
import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from helpers.exercises import Exercise

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
# The key of the exercise, and the name that its answer has.
CHECK = re.compile(r'^exercises\.check\("([\d.]+)", (\w+)\)$', re.MULTILINE)


def without_markers(source: str) -> str:
    """Return a cell's code without the lines that tell nbgrader where an answer is."""
    lines = source.splitlines()
    return "\n".join(line for line in lines if line.strip() not in (BEGIN, END))


def key_of(source: str) -> str:
    """Return the key of the exercise that a cell checks, "" when it checks none."""
    found = CHECK.search(source)
    return found[1] if found else ""


def known(key: str) -> bool:
    """Whether there is an exercise of this key."""
    return key in _all()


def element(key: str) -> str:
    """Return the HTML of what checks an answer on the page, and gives hints.

    Without scripts it holds the hints alone. Raises KeyError for an unknown exercise.
    """
    exercise = _all()[key]
    first, second = map(html.escape, exercise.hints)
    told = html.escape(json.dumps(record(exercise), ensure_ascii=False))
    return (
        f'<div class="exercise" data-exercise="{told}">'
        f"<details><summary>Hint</summary><p>{first}</p>"
        f"<details><summary>Second hint</summary><p>{second}</p></details></details>"
        "</div>"
    )


def record(exercise: "Exercise") -> dict:
    """Return what the page needs of an exercise; nothing to compare functions with."""
    told = {"key": exercise.key, "kind": exercise.kind}
    if exercise.kind == "function":
        return told
    mistakes = [[_plain(m.answer), m.words] for m in exercise.mistakes]
    return told | {
        "right": _plain(exercise.right),
        "mistakes": mistakes,
        "choices": exercise.choices,
        "tolerance": exercise.tolerance,
    }


def _all() -> "dict[str, Exercise]":
    from helpers.exercises import EXERCISES  # torch takes its time, and few pages ask

    return EXERCISES


def _plain(answer: object) -> object:
    return answer.tolist() if hasattr(answer, "tolist") else answer
