"""The ways, by name, what their records tell, and which is predicted to be fastest."""

from collections.abc import Iterable

from helpers.ways import direct, fft, im2row, loops, shifted, unfold, winograd
from helpers.ways.model import Case, Cost, Machine

WAYS = {
    module.WAY.name: module.WAY
    for module in (loops, unfold, shifted, im2row, fft, winograd)
}

# Needs a package that not everybody has.
COMPILED = {direct.WAY.name: direct.WAY}

# Loops would take minutes: they are timed on a small convolution only.
MEASURED = tuple(way for way in WAYS if way != "loops")


def predict(case: Case, way: str) -> Cost:
    """Return what `way` costs; the docstrings of the functions `cost` have formulas."""
    return (WAYS | COMPILED)[way].cost(case)


def computes(way: str, case: Case) -> bool:
    """Tell whether `way`, or F.conv2d under another name, can compute `case`."""
    known = WAYS | COMPILED
    return way not in known or known[way].fits(case)


def fastest(case: Case, machine: Machine, ways: Iterable[str] = MEASURED) -> str:
    """Return the way that the model, and not hindsight, chooses for a case."""
    able = [way for way in ways if computes(way, case)]
    return min(able, key=lambda way: predict(case, way).seconds(machine))
