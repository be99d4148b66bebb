r"""LaTeX as authors write it, in words that pandoc knows.

MathJax, which shows formulas in Jupyter, knows more than pandoc does: definitions of
own commands, which hold in all later cells, environments such as align, numbers and
their references, old commands for typefaces, colours. Here definitions are carried out,
and the rest becomes what looks most like it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

DEFINITION = re.compile(
    r"\\(?:(?P<command>(?:re)?newcommand|providecommand)\*?\s*"
    r"(?:\{\s*\\(?P<braced>[a-zA-Z]+|.)\s*\}|\\(?P<bare>[a-zA-Z]+|.))"
    r"\s*(?:\[(?P<count>\d)\])?\s*(?:\[(?P<default>[^\]]*)\])?"
    r"|def\s*\\(?P<defined>[a-zA-Z]+|.)(?P<arguments>(?:#\d)*)"
    r"|DeclareMathOperator(?P<star>\*?)\s*\{?\s*\\(?P<operator>[a-zA-Z]+)\s*\}?)\s*"
    r"(?=\{)"
)
COMMAND = re.compile(r"\\([a-zA-Z]+)\s*")
LONGEST = 20_000  # signs: a command that stands for itself would never end

_ALIGNED = "align|alignat|alignedat|flalign|split|eqnarray|xalignat"
_GATHERED = "gather|multline"
_OPEN = r"\{((?:[^{}]|\{[^{}]*\})*)\}"
REWRITES: list[tuple[str, str | Callable[[re.Match], str]]] = [
    ("&lt;", "<"),
    ("&gt;", ">"),
    ("&amp;", "&"),
    (r"\\(?:label|tag\*?|require|vspace\*?|vphantom|cssId|class)\s*\{[^{}]*\}", ""),
    (r"\\(?:nonumber|notag|allowbreak|nobreak|displaylimits|strut)(?![a-zA-Z])", ""),
    (r"\\(?:tiny|small|normalsize|large|Large|LARGE|huge|Huge)(?![a-zA-Z])", ""),
    (r"\\eqref\s*\{([^{}]*)\}", r"\\text{(\1)}"),
    (r"\\ref\s*\{([^{}]*)\}", r"\\text{\1}"),
    (r"\\begin\{(?:equation|displaymath|math|subequations)\*?\}", ""),
    (r"\\end\{(?:equation|displaymath|math|subequations)\*?\}", ""),
    (rf"\\begin\{{(?:{_ALIGNED})\*?\}}(?:\s*\{{\d+\}})?", r"\\begin{aligned}"),
    (rf"\\end\{{(?:{_ALIGNED})\*?\}}", r"\\end{aligned}"),
    (rf"\\begin\{{(?:{_GATHERED})\*?\}}", r"\\begin{gathered}"),
    (rf"\\end\{{(?:{_GATHERED})\*?\}}", r"\\end{gathered}"),
    (r"\\(begin|end)\{subarray\}", r"\\\1{array}"),
    (r"&\s*(=|<|>|\\leq?|\\geq?|\\approx|\\sim|\\equiv)\s*&", r"& \1 "),  # of eqnarray
    (r"\\textcolor\s*\{[^{}]*\}", ""),
    (r"\\color\s*\{[^{}]*\}", ""),
    (r"\\hphantom(?![a-zA-Z])", r"\\phantom"),
    (r"\\operatorname\*", r"\\operatorname"),
    (r"\\(?:mbox|hbox)(?![a-zA-Z])", r"\\text"),
    (r"\\emph(?![a-zA-Z])", r"\\textit"),
    (r"\\cfrac(?![a-zA-Z])", r"\\frac"),
    (r"\\mathscr(?![a-zA-Z])", r"\\mathcal"),
    (r"\\(?:square|Box)(?![a-zA-Z])", "□"),
    (r"\\degree(?![a-zA-Z])", r"^\\circ"),
    (r"\\unicode\s*\{x([0-9a-fA-F]{1,5})\}", lambda m: chr(int(m[1], 16))),
    (rf"\\ket\s*{_OPEN}", r"|\1\\rangle"),
    (rf"\\bra\s*{_OPEN}", r"\\langle \1|"),
    (rf"\\braket\s*{_OPEN}", r"\\langle \1\\rangle"),
    (r"\{\s*\\(rm|bf|it|cal|sf|tt)(?![a-zA-Z])\s*([^{}]*)\}", r"{\\math\1{\2}}"),
    (r"\\(rm|bf|it|cal|sf|tt)\s*\{", r"\\math\1{"),
    (r"\\(?:rm|bf|it|cal|sf|tt)(?![a-zA-Z])", ""),
    (r"\\(mathbf|mathrm|mathcal|mathbb|boldsymbol)\s+(\w)", r"\\\1{\2}"),
]


@dataclass
class Macro:
    """A command of the author's own: its number of arguments, what it stands for."""

    arguments: int
    body: str
    default: str | None = None


@dataclass
class Macros:
    """The commands that a notebook has defined so far."""

    known: dict[str, Macro] = field(default_factory=dict)

    def expanded(self, formula: str) -> str:
        """Note a formula's definitions; return it with all known ones carried out."""
        text = self._noted(formula)
        for _ in range(30):
            before = text
            text = self._once(text)
            if text == before or len(text) > LONGEST:
                break
        return text

    def _noted(self, formula: str) -> str:
        parts, start = [], 0
        while found := DEFINITION.search(formula, start):
            body, end = _argument(formula, found.end())
            name = found["braced"] or found["bare"] or found["defined"]
            arguments = int(found["count"] or 0) or len(found["arguments"] or "") // 2
            if operator := found["operator"]:
                name, body = operator, rf"\operatorname{{{body}}}"
            self.known[name] = Macro(arguments, body, found["default"])
            parts.append(formula[start : found.start()])
            start = end
        return "".join([*parts, formula[start:]]) if parts else formula

    def _once(self, text: str) -> str:
        parts, start = [], 0
        for found in COMMAND.finditer(text):
            macro = self.known.get(found[1])
            if not macro or found.start() < start:
                continue
            end = found.end() if macro.arguments else found.start() + len(found[1]) + 1
            values = []
            for number in range(macro.arguments):
                if number == 0 and macro.default is not None:
                    given = re.match(r"\[([^\]]*)\]", text[end:])
                    values.append(given[1] if given else macro.default)
                    end += given.end() if given else 0
                    continue
                value, end = _argument(text, end)
                values.append(value)
            body = re.sub(
                r"#(\d)",
                partial(_value, values),
                macro.body,
            )
            parts += [text[start : found.start()], f"{{{body}}}"]
            start = end
        return "".join([*parts, text[start:]])


def _value(values: list[str], found: re.Match) -> str:
    number = int(found[1])
    return values[number - 1] if 1 <= number <= len(values) else ""


def _argument(text: str, start: int) -> tuple[str, int]:
    """Return what stands at `start`, without its braces, and where it ends."""
    while start < len(text) and text[start] == " ":
        start += 1
    if not text[start:].startswith("{"):
        command = re.match(r"\\[a-zA-Z]+|\\.|.", text[start:])
        return (command[0], start + command.end()) if command else ("", start)
    depth, place = 0, start
    while place < len(text):
        sign = text[place]
        if sign == "\\":
            place += 1
        depth += (sign == "{") - (sign == "}")
        if depth == 0:
            return text[start + 1 : place], place + 1
        place += 1
    return text[start + 1 :], len(text)


def plain(formula: str) -> str:
    """Return a formula in the LaTeX that pandoc knows."""
    for pattern, replacement in REWRITES:
        formula = re.sub(pattern, replacement, formula)
    outside = re.sub(r"\\begin\{(\w+\*?)\}.*?\\end\{\1\}", "", formula, flags=re.DOTALL)
    outside = re.sub(r"\\substack\s*\{[^{}]*\}", "", outside)
    if r"\\" in outside:  # lines without an environment around them
        kind = "aligned" if re.search(r"(?<!\\)&", outside) else "gathered"
        formula = rf"\begin{{{kind}}}{formula}\end{{{kind}}}"
    return formula.strip()
