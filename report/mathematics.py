"""Formulas: the subset of LaTeX that notebooks write, and its way into both outputs.

pandoc converts formulas for both outputs, and needs some help: rewrites put LaTeX that
it converts wrongly into words that it converts right, repairs mend the Typst that it
writes. What neither can save is refused, with a hint for the author.
"""

import re
from collections.abc import Iterable

import typst
from pandocfilters import Math, Para, RawBlock

from report import pandoc
from report.latex import plain

REFUSED = {
    r"\\\|": r"write \lVert x \rVert for a norm",
    r"\\begin\{(array|smallmatrix|align|matrix)\*?\}": (
        "use aligned, pmatrix, bmatrix, vmatrix or cases"
    ),
    r"\\(square|mathscr|(text)?color|[hv]phantom|label|(eq)?ref)(?![a-zA-Z])": (
        "it has no counterpart on paper"
    ),
    r"\\mathbf(?!\{)": r"write \mathbf{X}, with braces",
    r"\\operatorname\*": r"write \operatorname, its index stands at the side",
}

_THOUSANDS = (
    r"\d+(?:\{,\}\d+)+",
    lambda m: rf"\text{{{m[0].replace('{,}', ',')}}}",  # would have a blank in it
)
_OPERATOR = r"\\(?:arg|cos|exp|ln|log|max|min|sin|operatorname\{[^{}]*\})"
_INDEX = r"(?:_\{[^{}]*\}|_\w)?"

REWRITES_FOR_MATHML = [
    _THOUSANDS,
    (r"\\mathbf\{([A-Za-z0-9]+)\}", r"\\textbf{\1}"),  # would be slanted
    (r"\\overline(?![a-zA-Z])", r"\\bar"),  # would stay short
    # Space that browsers leave out: around signs, before and after operators' names.
    (r"\\(odot|oplus|otimes)(?![a-zA-Z])", r"\\,\\\1\\,"),
    (
        rf"(\\[a-zA-Z]+|[\w}})])\s*(?={_OPERATOR})",
        lambda m: m[0] if m[1][0] == "\\" else rf"{m[1]}\,",
    ),
    (rf"({_OPERATOR}{_INDEX})\s*(?=\w|\\(?!left|right)[a-z])", r"\1\\,"),
]

REWRITES_FOR_TYPST = [
    (r"\\!", ""),  # would overprint
    (r"\\;", r"\\:"),  # would vanish
    (r"\\(left|right)\\([lr]Vert)(?![a-zA-Z])", r"\\\2"),  # scripts would go below
    (r"\\lvert(?![a-zA-Z])", r"\\left|"),  # would be spaced like a relation
    (r"\\rvert(?![a-zA-Z])", r"\\right|"),
    (r"\\[bB]igg?l(?![a-zA-Z])", r"\\left"),  # would be an enlarged letter
    (r"\\[bB]igg?r(?![a-zA-Z])", r"\\right"),
    # Typst sets the columns of cases without a gap.
    (r"\\begin\{cases\}.*?\\end\{cases\}", lambda m: m[0].replace("&", r"& \quad ")),
    _THOUSANDS,
]

_TEXT = r'upright\("[^"]*"\)'
TYPST_REPAIRS = [
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


def for_mathml(formula: str) -> str:
    """Return a formula in the LaTeX that pandoc turns into the right MathML."""
    return _substitute(plain(formula), REWRITES_FOR_MATHML)


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
            Para([Math({"t": "InlineMath"}, _for_typst(formula))]),
        ]
    converted = pandoc.write(blocks, "typst").split(mark)[1:]
    return {
        formula: _substitute(typst.strip()[1:-1].strip(), TYPST_REPAIRS)
        for formula, typst in zip(formulas, converted, strict=True)
    }


def _for_typst(formula: str) -> str:
    """Return a formula in the LaTeX that pandoc turns into the right Typst."""
    norms = re.sub(r"(?:\\left|\\right)?\\\|", r"\\Vert ", plain(formula))
    return _substitute(norms, REWRITES_FOR_TYPST)


def broken(formulas: dict[str, str]) -> set[str]:
    """Return those LaTeX formulas of which Typst cannot set its counterpart."""
    return {latex for latex, typst_ in formulas.items() if not _compiles(typst_)}


def _compiles(formula: str) -> bool:
    try:
        typst.compile(f"$ {formula} $".encode(), format="pdf", ignore_system_fonts=True)
    except typst.TypstError:
        return False
    return True


def _substitute(text: str, substitutions: list) -> str:
    for pattern, replacement in substitutions:
        text = re.sub(pattern, replacement, text)
    return text
