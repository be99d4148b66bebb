"""Formulas: the subset of LaTeX that notebooks write, and its way to Typst.

HTML gets MathML straight from pandoc. For Typst, pandoc needs help: `REWRITES` puts
LaTeX that it converts wrongly into words that it converts right, and `REPAIRS` mends
its output. What neither can save is `REFUSED`, with a hint for the author.
"""

import re
from collections.abc import Iterable

from pandocfilters import Math, Para, RawBlock

from report import pandoc

REFUSED = {
    r"\\\|": r"write \lVert x \rVert for a norm",
    r"\\begin\{(array|smallmatrix|align|matrix)\*?\}": (
        "use aligned, pmatrix, bmatrix, vmatrix or cases"
    ),
    r"\\(square|mathscr|textcolor|color|hphantom|vphantom|label|ref|eqref)(?![a-zA-Z])": (
        "it has no counterpart on paper"
    ),
    r"\\operatorname\*": r"write \operatorname, its index stands at the side",
}

REWRITES = [
    (r"\\!", ""),  # would overprint
    (r"\\;", r"\\:"),  # would vanish
    (r"\\(left|right)\\([lr]Vert)(?![a-zA-Z])", r"\\\2"),  # scripts would go below
    (r"\\lvert(?![a-zA-Z])", r"\\left|"),  # would be spaced like a relation
    (r"\\rvert(?![a-zA-Z])", r"\\right|"),
    (r"\\[bB]igg?l(?![a-zA-Z])", r"\\left"),  # would be an enlarged letter
    (r"\\[bB]igg?r(?![a-zA-Z])", r"\\right"),
    (r"\d+(?:\{,\}\d+)+", lambda m: rf"\text{{{m[0].replace('{,}', ',')}}}"),
]

_TEXT = r'upright\("[^"]*"\)'
REPAIRS = [
    (r"\b(dot|times)\.circle\b", r"\1.o"),  # symbols that Typst has renamed
    (r"\bsect\b", "inter"),
    (r'delim: "\|\|"', 'delim: "|"'),
    (r'(?<![(\w])("[\w ]+")', r"op(\1)"),  # an operator's name keeps to its argument
    # Typst shows a blank beside text: drop those that LaTeX would not show.
    (r'upright\(" +', 'upright("'),
    (rf"({_TEXT}) +(?=\S)", r"\1"),
    (rf"(?<=[^\w\s,&]) +({_TEXT})", r"\1"),
]


def refusal(formula: str) -> str | None:
    """Return why a LaTeX formula is outside the subset, None when it is inside."""
    for pattern, hint in REFUSED.items():
        if found := re.search(pattern, formula):
            return f"{found[0]} cannot be typeset in both outputs: {hint}"
    return None


def to_typst(formulas: Iterable[str]) -> dict[str, str]:
    """Return for each LaTeX formula its Typst counterpart, without the dollar signs.

    Raises PandocError, which quotes the formula, when one cannot be converted.
    """
    formulas = list(dict.fromkeys(formulas))
    mark = "// formula\n"
    blocks = []
    for formula in formulas:
        blocks += [
            RawBlock("typst", mark),
            Para([Math({"t": "InlineMath"}, _substitute(formula, REWRITES))]),
        ]
    converted = pandoc.write(blocks, "typst").split(mark)[1:]
    return {
        formula: _substitute(typst.strip()[1:-1].strip(), REPAIRS)
        for formula, typst in zip(formulas, converted, strict=True)
    }


def _substitute(text: str, substitutions: list) -> str:
    for pattern, replacement in substitutions:
        text = re.sub(pattern, replacement, text)
    return text
