"""Exercises accept what is right, and say of every wrong answer what is wrong."""

import ast
import math
import re
import shutil
from collections import Counter

import nbformat
import pytest
import torch
import torch.nn.functional as F

from helpers import exercises
from helpers.exercises import EXERCISES, WrongAnswer, check, hint, same
from helpers.exercises.record import _copies
from report import editions, project
from report.exercises import BEGIN, END, key_of

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
        assert f'exercises.hint("{exercise.key}")' in str(refused.value)
    assert len({mistake.words for mistake in exercise.mistakes}) == len(
        exercise.mistakes
    )


NO_ANSWER = [..., None, "nonsense", object, [[1, 2], [3]], math.nan, print, 10**9]


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
        words = exercises.look_up("1.4").hints[step - 1]
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
        result = exercises.look_up("2.4").right(gradient)
        gradient.zero_()
        return result

    check("2.4", in_place)
    cases = exercises.look_up("2.4").cases()
    assert same(tuple(_copies(cases[0])), tuple(cases[0]), 0)


def test_a_notebook_shows_the_words_and_no_traceback():
    try:
        check("1.4", 13)
    except WrongAnswer as error:
        assert error._render_traceback_() == [str(error)]


# --- In the notebooks -----------------------------------------------------------------

NOTEBOOKS = {path.stem: nbformat.read(path, 4) for path in project.notebooks()}


def tagged(content, tag):
    return [c for c in content.cells if tag in c.metadata.get("tags", [])]


def asked():
    """(key, solution cell, check cell) of every exercise in the notebooks."""
    found = []
    for content in NOTEBOOKS.values():
        pairs = zip(tagged(content, "solution"), tagged(content, "check"), strict=True)
        for solution, test in pairs:
            found.append((key_of(test.source), solution, test))
    return found


@pytest.mark.parametrize("key, solution, test", asked(), ids=[k for k, _, _ in asked()])
def test_the_answer_in_the_notebook_is_accepted(key, solution, test, capsys):
    names = {"torch": torch, "F": F, "math": math, "exercises": exercises}
    exec("from helpers.models import LabNet, count_parameters", names)
    exec(solution.source, names)
    exec(test.source, names)
    assert capsys.readouterr().out == f"Exercise {key}: right.\n"
    assert solution.source.splitlines()[1] == BEGIN
    assert solution.source.splitlines()[-1] == END


def test_every_exercise_is_asked_once_and_graded():
    assert [key for key, _, _ in asked()] == list(EXERCISES)
    for key, solution, test in asked():
        number = key.replace(".", "-")
        assert solution.metadata.nbgrader == {
            "grade": False,
            "grade_id": f"answer-{number}",
            "locked": False,
            "schema_version": 3,
            "solution": True,
            "task": False,
        }
        assert test.metadata.nbgrader == {
            "grade": True,
            "grade_id": f"check-{number}",
            "locked": True,
            "points": 1,
            "schema_version": 3,
            "solution": False,
            "task": False,
        }


# --- Two editions ---------------------------------------------------------------------


def lines_of_solutions(content):
    """Lines of answers and of the sections called Solutions, and of nothing else."""
    kept = {c.id for c in editions._without_solutions(content.cells)}
    solved = {c.id for c in tagged(content, "solution")}
    lesson, secret = set(), set()
    for cell in content.cells:
        is_secret = cell.id in solved or cell.id not in kept
        into = secret if is_secret else lesson
        into.update(line.strip() for line in cell.source.splitlines() if line.strip())
    return secret - lesson


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_no_line_of_a_solution_is_in_the_students_edition(name):
    content = NOTEBOOKS[name]
    student = editions.student(content)
    lines = {line.strip() for c in student.cells for line in c.source.splitlines()}
    secret = lines_of_solutions(content)
    assert not secret & lines
    assert bool(secret) == (name[:2] in ("01", "02", "03", "04", "05", "06"))
    written = nbformat.writes(student)
    assert BEGIN not in written and "#Solutions" not in written
    for cell in (*tagged(student, "solution"), *tagged(student, "check")):
        assert cell.outputs == [] and cell.execution_count is None
    nbformat.validate(student)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_checks_stay_and_ask_for_an_answer(name):
    content, student = NOTEBOOKS[name], editions.student(NOTEBOOKS[name])
    checks = [c.source for c in tagged(content, "check")]
    assert [c.source for c in tagged(student, "check")] == checks
    for given, test in zip(
        tagged(student, "solution"), tagged(student, "check"), strict=True
    ):
        assert "raises-exception" in test.metadata.tags
        names = {"exercises": exercises}
        exec(given.source, names)
        with pytest.raises(WrongAnswer, match="There is no answer yet"):
            exec(test.source, names)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_what_the_students_edition_runs_needs_nothing_that_was_taken_out(name):
    """A name that only a solution defines is used by no later cell."""
    content = NOTEBOOKS[name]
    kept = {c.id for c in editions._without_solutions(content.cells)}
    defined, only_there = set(), set()
    for cell in content.cells:
        if cell.cell_type != "code" or cell.source.lstrip().startswith(("%", "!")):
            continue
        tree = ast.parse(cell.source)
        names = [n for n in ast.walk(tree) if isinstance(n, ast.Name)]
        stored = {n.id for n in names if isinstance(n.ctx, ast.Store)}
        stored |= {
            n.name
            for n in ast.walk(tree)
            if isinstance(n, ast.FunctionDef | ast.ClassDef)
        }
        if cell.id not in kept:
            only_there |= stored - defined
            continue
        used = {n.id for n in names if isinstance(n.ctx, ast.Load)} - stored
        assert not used & only_there, cell.source
        defined |= stored
        only_there -= stored


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_instructors_edition_is_the_notebook(name):
    content = NOTEBOOKS[name]
    instructor = editions.instructor(content)
    for ours, theirs in zip(content.cells, instructor.cells, strict=True):
        assert theirs.source == ours.source.replace(
            "](../", f"]({project.repository()}/blob/main/"
        )
    assert "](../" not in "".join(c.source for c in instructor.cells)


def test_an_answer_without_a_check_is_refused():
    content = editions.instructor(NOTEBOOKS["01_convolution"])
    at = next(
        n for n, c in enumerate(content.cells) if "check" in c.metadata.get("tags", [])
    )
    del content.cells[at]
    with pytest.raises(ValueError, match="no check stands behind the answer"):
        editions.student(content)


def test_one_command_writes_both(monkeypatch):
    monkeypatch.setattr(editions, "FOLDER", project.BUILD / "editions-of-a-test")
    monkeypatch.setattr("sys.argv", ["report.editions"])
    try:
        editions.main()
        for edition in ("student", "instructor"):
            names = [p.name for p in (editions.FOLDER / edition).iterdir()]
            assert sorted(names) == [p.name for p in project.notebooks()]
    finally:
        shutil.rmtree(editions.FOLDER)
    # The set-up cell looks for the report in the folders above: no network is needed.
    assert project.ROOT in editions.FOLDER.parents
