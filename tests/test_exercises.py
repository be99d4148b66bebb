"""Exercises accept what is right, and say of every wrong answer what is wrong."""

import math
import re
from collections import Counter

import pytest
import torch

from helpers import exercises
from helpers.exercises import EXERCISES, WrongAnswer, check, hint, same
from helpers.exercises.record import _copies

every_exercise = pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)


@every_exercise
def test_the_right_answer_is_accepted(exercise, capsys):
    check(exercise.key, exercise.right)
    assert capsys.readouterr().out == f"Exercise {exercise.key}: right.\n"


@every_exercise
def test_every_planted_mistake_is_named(exercise):
    assert len(exercise.mistakes) >= 3
    for mistake in exercise.mistakes:
        with pytest.raises(WrongAnswer) as refused:
            check(exercise.key, mistake.answer)
        assert mistake.words in str(refused.value)
        assert f'hint("{exercise.key}")' in str(refused.value)
    assert len({mistake.words for mistake in exercise.mistakes}) == len(
        exercise.mistakes
    )


NO_ANSWER = [..., None, "nonsense", object(), [[1, 2], [3]], math.nan, print, 10**9]


@every_exercise
@pytest.mark.parametrize("answer", NO_ANSWER, ids=repr)
def test_anything_else_is_refused_with_words(exercise, answer, capsys):
    with pytest.raises(WrongAnswer) as refused:
        check(exercise.key, answer)
    said = str(refused.value)
    assert said.startswith(f"Exercise {exercise.key}: ") and len(said) > 50
    assert not re.search(r"0x[0-9a-f]{6}", said)


def a_little_off(exercise):
    """Right answers with one number changed."""
    if exercise.kind == "number":
        return exercise.right * 1.07 + 0.01
    if exercise.kind == "table":
        table = torch.as_tensor(exercise.right).double().clone()
        table.view(-1)[-1] += 0.37
        return table

    def function(*arguments):
        result = exercise.right(*arguments)
        parts = list(result) if isinstance(result, tuple) else [result]
        parts[-1] = parts[-1].clone()
        parts[-1].view(-1)[-1] += 0.37
        return tuple(parts) if isinstance(result, tuple) else parts[0]

    return function


@pytest.mark.parametrize("key", [e.key for e in EXERCISES.values() if not e.choices])
def test_what_is_nearly_right_is_told_apart(key):
    exercise = EXERCISES[key]
    with pytest.raises(WrongAnswer, match=r"too (large|small)|entries are wrong"):
        check(exercise.key, a_little_off(exercise))


def test_a_choice_has_all_letters_and_words_for_the_wrong_ones():
    for exercise in EXERCISES.values():
        if exercise.kind == "choice":
            wrong = {mistake.answer for mistake in exercise.mistakes}
            assert sorted({*wrong, exercise.right}) == list(exercise.choices)
            check(exercise.key, f" {exercise.right.upper()} ")


def test_every_chapter_has_numbers_choices_and_something_to_write():
    kinds = {}
    for exercise in EXERCISES.values():
        kinds.setdefault(exercise.key.split(".")[0], Counter())[exercise.kind] += 1
    assert sorted(kinds) == list("123456")
    for chapter in kinds.values():
        assert chapter.total() >= 5
        assert chapter["function"] >= 1 and chapter["choice"] >= 1
        assert chapter["number"] + chapter["table"] >= 2


def test_hints_come_in_two_steps(capsys, monkeypatch):
    monkeypatch.setattr(exercises, "_asked", Counter())
    for step in (1, 2, 2):
        hint("1.4")
        words = exercises.find("1.4").hints[step - 1]
        assert capsys.readouterr().out == f"Hint {step} of 2: {words}\n"


def test_an_unknown_exercise_is_named():
    with pytest.raises(KeyError, match=r"no exercise '9\.9': there are 1\.1, 1\.2"):
        check("9.9", 1)


def test_a_function_that_fails_is_told_where():
    def one_image_only(gradient):
        raise RuntimeError("only one image, please")

    with pytest.raises(WrongAnswer, match=r"shape \(2, 3, 2, 4\).*only one image"):
        check("2.4", one_image_only)


def test_an_answer_spoils_no_later_case():
    def in_place(gradient):
        result = exercises.find("2.4").right(gradient)
        gradient.zero_()
        return result

    check("2.4", in_place)
    cases = exercises.find("2.4").cases()
    assert same(tuple(_copies(cases[0])), tuple(cases[0]), 0)


def test_a_notebook_shows_the_words_and_no_traceback():
    try:
        check("1.4", 13)
    except WrongAnswer as error:
        assert error._render_traceback_() == [str(error)]
