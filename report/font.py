"""The typeface of formulas in HTML: few systems have one that knows mathematics."""

import io
from importlib.util import find_spec
from pathlib import Path

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont

from report.errors import ReportError

# What browsers draw without being told by a letter of the page: the mathematical italic
# counterparts of Latin letters (that of h is Planck's constant) and Greek ones, roots.
IMPLIED = [*range(0x1D434, 0x1D468), 0x210E, *range(0x1D6E2, 0x1D71C), ord("√")]
RAISED_PRIMES = "ss04"  # the style sheet asks for them


def subset(text: str) -> bytes:
    """Return STIX Two Math as a WOFF file, with what the formulas in `text` need.

    Raises ReportError when the package is missing that brings it.
    """
    package = find_spec("ziamath")
    if package is None or package.origin is None:
        raise ReportError(
            "There is no typeface for formulas in this environment: it comes with the "
            "package ziamath. Run `make environment`, or `python -m pip install -e "
            '".[build]"`.'
        )
    file = Path(package.origin).parent / "fonts/STIXTwoMath-Regular.ttf"
    font = TTFont(file, recalcTimestamp=False)
    options = Options(hinting=False, layout_features=[RAISED_PRIMES])
    subsetter = Subsetter(options)
    subsetter.populate(text=text, unicodes=IMPLIED)
    subsetter.subset(font)
    font.flavor = "woff"
    buffer = io.BytesIO()
    font.save(buffer)
    return buffer.getvalue()
