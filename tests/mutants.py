"""Modules with a mistake in them, for the tests that the checks can fail."""

import inspect
import types
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import Phase, settings

from helpers.ways import guard


def mutant(module: types.ModuleType, right: str, wrong: str) -> types.ModuleType:
    """Return a copy of `module` in whose source `wrong` stands wherever `right` did."""
    source = inspect.getsource(module)
    assert right in source, "the text to be mutated has changed: adapt it"
    copy = types.ModuleType("mutant")
    exec(source.replace(right, wrong), copy.__dict__)
    return copy


def thorough(module: types.ModuleType) -> settings:
    """How a check of `module` looks for a counterexample.

    Of a mutant any will do: the smallest one is worth the search in real code only.
    """
    is_mutant = module.__name__ == "mutant"
    return settings(
        max_examples=100,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        phases=[Phase.generate] if is_mutant else tuple(Phase),
    )


@contextmanager
def unaided() -> Iterator[None]:
    """Let the definition help no way to convolve out, which would hide mistakes.

    Memory that a mistaken way leaves unwritten may hold NaN, which the guard replaces.
    """

    def helped(*_: object) -> None:
        raise AssertionError("the definition had to compute: a value is not finite")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guard, "convolve_unfold", helped)
        yield
