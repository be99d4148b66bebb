"""What the report is written to, and the address of its repository."""

import tomllib
from functools import cache
from pathlib import Path

from helpers import project as house

ROOT, NOTEBOOKS, BUILD = house.ROOT, house.NOTEBOOKS, house.BUILD
FIGURES = ROOT / "figures"  # the committed ones; others go to build/figures
PUBLISHED = ROOT / "report" / "convolution"  # .html and .pdf, from the real data


@cache
def repository() -> str:
    """Return the address of the repository, which stands in pyproject.toml alone."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    return settings["project"]["urls"]["Repository"]


def address_of(file: Path) -> str:
    """Return where readers find a file of this project on the web.

    Raises LookupError when the file lies outside the project.
    """
    try:
        path = file.resolve().relative_to(ROOT)
    except ValueError:
        raise LookupError(f"{file.name} lies outside the project") from None
    return f"{repository()}/blob/main/{path.as_posix()}"


def notebooks() -> list[Path]:
    """Return the numbered notebooks in their order."""
    return sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
