"""The six ways, by name, and what their records tell."""

from helpers.ways import fft, im2row, loops, shifted, unfold, winograd
from helpers.ways.model import Case, Cost

WAYS = {
    module.WAY.name: module.WAY
    for module in (loops, unfold, shifted, im2row, fft, winograd)
}

# Loops would take minutes: they are timed on a small convolution only.
MEASURED = tuple(way for way in WAYS if way != "loops")


def predict(case: Case, way: str) -> Cost:
    """Return what `way` costs; the docstrings of the functions `cost` have formulas."""
    return WAYS[way].cost(case)


def computes(way: str, case: Case) -> bool:
    """Tell whether `way`, or F.conv2d under another name, can compute `case`."""
    return way not in WAYS or WAYS[way].fits(case)
