r"""Formulas in Markdown: found before all else, as Jupyter does.

Jupyter takes formulas out of a text before it reads Markdown, so that a line may begin
with + or =, and a bar stand in a table: $x$, $$x$$, \\(x\\), \\[x\\], and bare
environments such as \begin{align} … \end{align}. Here each becomes a token of signs
that no text has, which Markdown and HTML pass on untouched; where a token ends up in
code or in an address, it was no formula, and its source comes back.
"""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from pandocfilters import Math, Str

from report.pandoc import Element, transformed

OPEN, CLOSE = "\ufdd0", "\ufdd1"  # Unicode promises that no text has them
TOKEN = re.compile(f"{OPEN}(\\d+){CLOSE}")
DISPLAY, INLINE = {"t": "DisplayMath"}, {"t": "InlineMath"}
ENVIRONMENTS = (
    "align|alignat|aligned|alignedat|array|bmatrix|Bmatrix|cases|displaymath|eqnarray|"
    "equation|flalign|gather|gathered|math|matrix|multline|pmatrix|smallmatrix|split|"
    "subequations|vmatrix|Vmatrix"
)
_WITHIN = r"(?:(?!\n[ \t]*\n).)"  # a formula ends where its paragraph does
FORMULA = re.compile(
    r"(?P<code>^[ \t>]*(?:[-*+][ \t]+|\d+[.)][ \t]+)*(?P<fence>`{3,}|~{3,})[^`\n]*$"
    r".*?(?:^[ \t>]*(?P=fence)[`~]*[ \t]*$|\Z)"
    rf"|(?<![`\\])(?P<ticks>`+)(?!`){_WITHIN}+?(?<!`)(?P=ticks)(?!`))"
    rf"|\\\\\((?P<round>{_WITHIN}+?)\\\\\)"
    rf"|\\\\\[(?P<square>{_WITHIN}+?)\\\\\]"
    rf"|(?P<bare>\\begin\{{(?P<name>(?:{ENVIRONMENTS})\*?)\}}{_WITHIN}*?"
    r"\\end\{(?P=name)\})"
    r"|(?P<escaped>\\[\\$])"
    rf"|\$\$(?P<double>{_WITHIN}+?)\$\$"
    rf"|\$(?P<single>(?:[^$`\\\n]|\\{_WITHIN}|\n(?![ \t]*\n))+)\$",
    re.MULTILINE | re.DOTALL,
)
# What stands in a formula between blanks rather than in a sentence on money.
_SIGNS = re.compile(r"[\\^_=+*/<>{}|]")
_WORD = re.compile(r"[^\W\d_]{2}")


class Formulas:
    """The formulas of a notebook, and what stood in their place."""

    def __init__(self) -> None:
        self.found: list[tuple[dict[str, str], str, str]] = []  # style, LaTeX, source

    def taken_from(self, markdown: str) -> str:
        """Return `markdown` with a token for each formula."""
        parts, start = [], 0
        while found := FORMULA.search(markdown, start):
            end = found.end()
            formula = _formula(found, markdown)
            if formula:
                self.found.append((*formula, found[0]))
                token = f"{OPEN}{len(self.found) - 1}{CLOSE}"
                parts += [markdown[start : found.start()], token]
            else:
                if found["single"]:  # the second dollar may open a formula
                    end = found.start() + 1
                parts.append(markdown[start:end])
            start = end
        return "".join([*parts, markdown[start:]])

    def put_back(self, blocks: list) -> list:
        """Return pandoc's blocks with formulas, or their source, for the tokens."""

        def action(kind: str, content: Any) -> Element | list | None:
            if kind == "Str":
                return self._inlines(content) if OPEN in content else None
            if kind in ("Code", "CodeBlock", "RawInline", "RawBlock"):
                return {"t": kind, "c": [content[0], self.source(content[1])]}
            if kind in ("Link", "Image"):
                attributes, inlines, address = content
                return {"t": kind, "c": [attributes, inlines, self._address(*address)]}
            return None

        return transformed(blocks, action)

    def source(self, text: str) -> str:
        """Return a text with the source of formulas for their tokens."""
        return TOKEN.sub(lambda token: self.found[int(token[1])][2], text)

    def _address(self, *texts: str) -> list[str]:
        return [self.source(_decoded(text, unquote)) for text in texts]

    def _inlines(self, text: str) -> list[Element]:
        parts = TOKEN.split(text)  # text, number, text, number, …, text
        inlines = []
        for position, part in enumerate(parts):
            if position % 2:
                style, latex, _ = self.found[int(part)]
                inlines.append(Math(style, latex))
            elif part:
                inlines.append(Str(part))
        return inlines


def _decoded(text: str, decode: Callable[[str], str]) -> str:
    return decode(text) if "%EF%B7%90" in text.upper() else text


def _formula(found: re.Match, markdown: str) -> tuple[dict[str, str], str] | None:
    """Return style and LaTeX, in one line; None for what is no formula."""
    for group, style in (
        ("round", INLINE),
        ("square", DISPLAY),
        ("bare", DISPLAY),
        ("double", DISPLAY),
    ):
        if found[group] and found[group].strip():
            return style, _in_one_line(found[group])
    single = found["single"]
    if single and _is_formula(single, markdown[found.end() : found.end() + 1]):
        return INLINE, _in_one_line(single)
    return None


def _in_one_line(latex: str) -> str:
    """Return a formula in one line, without the comments in its lines."""
    return " ".join(re.sub(r"(?<!\\)%.*", "", latex).split())


def _is_formula(text: str, following: str) -> bool:
    """Whether what stands between two dollar signs is no part of a sentence on money.

    Without blanks at its ends it is a formula, unless a digit follows: "$5 or $6". With
    them it is one, unless it reads like words: "5 $ or 6 $".
    """
    if following.isdigit() or not text.strip():
        return False
    if text == text.strip():
        return True
    words = text.split()
    return bool(_SIGNS.search(text)) or len(words) == 1 or not _WORD.search(text)
