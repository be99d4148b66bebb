"""Modules with a mistake in them, for the tests that the checks can fail."""

import inspect
import types


def mutant(module: types.ModuleType, right: str, wrong: str) -> types.ModuleType:
    """Return a copy of `module` in whose source `wrong` stands wherever `right` did."""
    source = inspect.getsource(module)
    assert right in source, "the text to be mutated has changed: adapt it"
    copy = types.ModuleType("mutant")
    exec(source.replace(right, wrong), copy.__dict__)
    return copy
