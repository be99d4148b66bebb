"""The notebooks in numbers: short cells, little that is folded, words beside code.

The limits are those of all notebooks together, and of each one. A folded cell's title
line is no code.
"""

import ast
import re
import statistics
from collections.abc import Iterator

import nbformat
import pytest

from report import project
from report.folding import FOLDED, without_title

PATHS = project.notebooks()
NOTEBOOKS = {path.stem: nbformat.read(path, as_version=4) for path in PATHS}

MOST_CODE, MOST_FOLDED = 6_500, 2_500  # lines, over all notebooks
# By chapter: lines of code, and folded ones among them.
MOST_BY_CHAPTER = [
    (230, 80),
    (665, 275),
    (650, 220),
    (850, 345),
    (650, 260),
    (1150, 450),
    (1200, 450),
    (600, 200),
]
MEDIAN, NINETIETH, LONGEST = 8, 24, 40  # lines of a cell
WORDS_PER_LINE = 5  # of Markdown for each line of code
MOST_WORDS_SAID = 40  # by one call of text.say

every_notebook = pytest.mark.parametrize("name", NOTEBOOKS)


def lines(source: str) -> int:
    """Lines of code that are not blank, without a title."""
    return sum(bool(line.strip()) for line in without_title(source).splitlines())


def cells(name: str) -> list:
    """The cells of code but for the set-up, which is the same everywhere."""
    return [
        cell
        for cell in NOTEBOOKS[name].cells
        if cell.cell_type == "code" and "setup" not in cell.metadata.get("tags", [])
    ]


def code(name: str) -> int:
    return sum(lines(cell.source) for cell in cells(name))


def folded(name: str) -> int:
    """Lines that a reader passes over; answers to exercises are there to be opened."""
    return sum(
        lines(cell.source)
        for cell in cells(name)
        if FOLDED in (tags := cell.metadata.get("tags", [])) and "solution" not in tags
    )


def words(name: str) -> int:
    return sum(
        len(cell.source.split())
        for cell in NOTEBOOKS[name].cells
        if cell.cell_type == "markdown"
    )


def lengths(names) -> list[int]:
    return sorted(lines(cell.source) for name in names for cell in cells(name))


def ninetieth(values: list[int]) -> float:
    return statistics.quantiles(values, n=10, method="inclusive")[-1]


def test_all_notebooks_together_are_short():
    assert sum(map(code, NOTEBOOKS)) <= MOST_CODE
    assert sum(map(folded, NOTEBOOKS)) <= MOST_FOLDED
    assert sum(map(words, NOTEBOOKS)) >= WORDS_PER_LINE * sum(map(code, NOTEBOOKS))
    found = lengths(NOTEBOOKS)
    assert statistics.median(found) <= MEDIAN and ninetieth(found) <= NINETIETH


@every_notebook
def test_a_chapter_keeps_to_its_length(name):
    most_code, most_folded = MOST_BY_CHAPTER[int(name[:2])]
    assert code(name) <= most_code
    assert folded(name) <= most_folded


@every_notebook
def test_no_cell_is_long(name):
    found = {lines(cell.source): cell.id for cell in cells(name)}
    assert max(found) <= LONGEST, f"cell {found[max(found)]} has {max(found)} lines"


# --- What text.say says ---------------------------------------------------------------


def calls(source: str, *names: str) -> Iterator[ast.Call]:
    """Calls of `text.say` and so on, by the last name, in some code."""
    for node in ast.walk(ast.parse(source)):
        method = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if method and node.func.attr in names:
            yield node


def template(node: ast.expr) -> str:
    """A text as code has it, with {} for everything that is set in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.sub(r"\{[^{}]*\}", "{}", node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else "{}"
            for part in node.values
        )
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return template(node.left) + template(node.right)
    if isinstance(node, ast.IfExp):
        return max(template(node.body), template(node.orelse), key=len)
    return "{}"


@every_notebook
def test_a_sentence_with_a_number_is_short(name):
    for cell in cells(name):
        for call in calls(cell.source, "say"):
            said = template(call.args[0])
            assert len(said.split()) <= MOST_WORDS_SAID, f"cell {cell.id}: {said}"


@every_notebook
def test_what_needs_no_number_is_not_said_by_code(name):
    for cell in cells(name):
        for call in calls(cell.source, "say"):
            assert "{}" in template(call.args[0]), f"cell {cell.id}: make it Markdown"


# What looks like a number and is none that was measured: names and numbers of things,
# sizes, powers, settings, and the level of an interval.
NO_MEASUREMENT = re.compile(
    r"""
    \$[^$]*\$ | `[^`]*` | \[[^]]*\]\([^)]*\)      # formulas, code, links
  | \b(Equation|Figure|Table|chapter|section|question|exercise|F)\s*\(?\d[\d.]*\)?
  | \b\d+(\s*×\s*\d+)+                            # sizes, 3 × 3
  | \b(19|20)\d\d\b                               # years
  | \b95\s?%                                      # the level of intervals
  | \b(seed|layer|convolution|channel|digit|class|conv|L|C|k|MNIST|CIFAR)s?[ -]?\d+
  | \b\d+\s(pixels?|degrees?|px|epochs?|seeds?|bits?)\b   # settings
  | \b[a-z_]*\d+[a-z_]+\w*\b | \b[A-Za-z]+\d+\b   # names
  | \b0\.0*1\b | =\s(plus\sand\sminus\s)?\d[\d.]*   # rates, values of a letter
  | \bof\s\d{1,3}(,\d{3})*\b(?!\.\d) | (?<![\d.])(0|1|10)\b(?!\.?\d)
    """,
    re.VERBOSE | re.IGNORECASE,
)
# A decimal number, a share, or a count in thousands.
MEASUREMENT = re.compile(
    r"(?<![\w.])\d+(\.\d+)?\s?(%|points?|times|seconds?|ms)|\d+\.\d{2,}"
)


def typed(text: str) -> list[str]:
    """Numbers in a text that only a measurement can have given."""
    return [found[0] for found in MEASUREMENT.finditer(NO_MEASUREMENT.sub(" ", text))]


def shown(source: str) -> Iterator[str]:
    """All texts in code that say what was found: sentences, captions, descriptions."""
    for call in calls(source, "say"):
        yield template(call.args[0])
    for call in calls(source, "table", "comparison_table"):
        yield from map(template, call.args[1:2])
    for call in calls(source, "show"):
        yield from map(template, call.args[2:4])
        yield from (template(k.value) for k in call.keywords if k.arg != "format")


@every_notebook
def test_no_measurement_is_typed_into_a_sentence_or_a_caption(name):
    for cell in cells(name):
        for text in shown(cell.source):
            assert not typed(text), f"cell {cell.id}: {typed(text)} in {text!r}"


@pytest.mark.parametrize(
    "text",
    [
        "It is right for 99 % of {} images.",
        "The difference is 0.31 points.",
        "It takes 3 times as long.",
        "A loss of 0.0931 at the end.",
    ],
)
def test_a_typed_measurement_is_found(text):
    assert typed(text)


@pytest.mark.parametrize(
    "text",
    [
        "Means of {} seeds, 95 % intervals, kernels of 3 × 3, 28 pixels, 15 epochs.",
        "As [chapter 3](03.ipynb#1.25%) says, in Equation (3.12), k = 9, since 2021.",
        "Rates from 0.1 to 0.9; `x[1.25]` and $p < 0.05$.",
    ],
)
def test_what_is_no_measurement_may_stand(text):
    assert not typed(text)
