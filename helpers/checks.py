"""What arguments must be: whole numbers, pairs of them, numbers. One place for all.

A number may come from NumPy, as a tensor without dimensions, or as the symbol that
stands for a size while PyTorch traces or exports a network.
"""

import math
import operator
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

Size = int | tuple[int, int]


def whole(value: Any, name: str, smallest: int) -> int:
    """Return a whole number as an int; a symbol of a size stays what it is.

    Raises ValueError when `value`, the argument `name`, is none or below `smallest`.
    """
    found = _index(value)
    if found is None or found < smallest:
        raise ValueError(f"{name} is {value!r}: use a whole number from {smallest} up")
    return found


def pair(value: Any, name: str, smallest: int) -> tuple[int, int]:
    """Return `value` as a (vertical, horizontal) pair of whole numbers.

    Raises ValueError when it is neither one whole number nor two, or below `smallest`.
    """
    both = tuple(map(_index, value)) if is_pair(value) else 2 * (_index(value),)
    if len(both) != 2 or any(v is None or v < smallest for v in both):
        raise ValueError(
            f"{name} is {value!r}: give one integer or a (height, width) pair of "
            f"integers, each at least {smallest}"
        )
    return both


def is_pair(value: Any) -> bool:
    """Whether `value` holds several values, so that it is no single number."""
    dimensions = value.ndim if isinstance(value, Tensor | np.ndarray) else 0
    return isinstance(value, tuple | list) or dimensions == 1


def is_whole(value: Any) -> bool:
    """Whether `value` is a whole number, of whatever library, and no truth value."""
    return _index(value) is not None


def is_number(value: Any) -> bool:
    """Whether `value` is a finite number, of whatever library, and no truth value."""
    if isinstance(value, Tensor | np.ndarray):
        value = value.item() if value.ndim == 0 else None
    real = isinstance(value, Real) and not isinstance(value, bool | np.bool_)
    return real and math.isfinite(value)


def plain(value: Any) -> Any:
    """`value` with Python's own numbers for those of other libraries."""
    if isinstance(value, tuple | list):
        return type(value)(map(plain, value))
    is_foreign = is_number(value) and hasattr(value, "item")
    return value.item() if is_foreign else value


def _index(value: Any) -> Any:
    """The whole number that `value` is, or None."""
    if isinstance(value, torch.SymInt):
        return value
    if isinstance(value, Tensor | np.ndarray):
        if value.ndim or value.dtype in (bool, torch.bool):
            return None
        if torch.jit.is_tracing():
            return value
    elif isinstance(value, bool):
        return None
    try:
        return operator.index(value)
    except (TypeError, ValueError, RuntimeError):
        return None
