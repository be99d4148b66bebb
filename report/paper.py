"""What paper demands: lines, words, tables and pictures that fit, signs with a shape.

What Typst refuses is traced to the cell that it came from, and mended there.
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pandocfilters import CodeBlock, stringify

from report import mathematics, pandoc
from report.pictures import length

if TYPE_CHECKING:
    from report.document import Document

ATTEMPTS = 12
PLACE = "// cell: "  # in the source, before what a cell became
COLUMNS = 92  # of the small fixed-width type that fit between the margins
CONTINUED = "↪ "
WIDTH, HEIGHT = 468.0, 620.0  # points that a picture may take
LONGEST_WORD = 30  # signs that a line always has room for
BREAK = "\u200b"  # where a line may end, and nothing is seen
TABLE_TYPE, SMALLEST_TYPE = 9.0, 4.5  # points


@dataclass(frozen=True)
class Trouble:
    """What Typst refuses: its words, where that stands, signs without a typeface."""

    message: str
    place: str
    signs: str = ""

    @property
    def of_the_standard(self) -> bool:
        return "PDF/UA" in self.message

    def __str__(self) -> str:
        if self.signs:
            return (
                f"{self.place}: no typeface here has {self.signs}: install one, such "
                "as Noto, or name its folder in the option PDFReport.fonts"
            )
        return f"{self.place}: {self.message}"


def troubles(diagnostic: str, source: str) -> list[Trouble]:
    """Return what Typst says, place by place; signs of the same cell together."""
    lines = source.split("\n")
    signs: dict[str, dict[str, None]] = {}
    found: dict[Trouble, None] = {}
    for part in re.split(r"^(?=error: )", diagnostic, flags=re.MULTILINE):
        if not part.startswith("error: "):
            continue
        message = part.partition("\n")[0].removeprefix("error: ")
        numbers = [int(n) for n in re.findall(r"report\.typ:(\d+):", part)]
        place = _place(lines, max(numbers, default=0))
        if sign := re.search(r'the text `"(.*)"` could not be displayed', message):
            signs.setdefault(place, {})[_unescaped(sign[1])] = None
        else:
            found[Trouble(message, place)] = None
    return [
        *(Trouble("", place, " ".join(some)) for place, some in signs.items()),
        *found,
    ]


def _unescaped(text: str) -> str:
    return re.sub(r"\\u\{([0-9a-f]+)\}", lambda sign: chr(int(sign[1], 16)), text)


def _place(lines: list[str], number: int) -> str:
    for line in reversed(lines[:number]):
        if line.startswith(PLACE):
            return line.removeprefix(PLACE)
    return "The title"


def mend(document: "Document", found: list[Trouble]) -> bool:
    """Show what cannot be typeset in another form; False if only the standard minds it.

    Names stand for signs, the source for formulas, plain text for what else a cell is.
    """
    signs = [trouble for trouble in found if trouble.signs]
    for trouble in signs:
        document.unset |= {ord(s): _name(s) for s in trouble.signs if not s.isspace()}
        document.findings.add(
            trouble.place,
            f"no typeface here has {trouble.signs}: their names or numbers stand for "
            "them; install a typeface that has them, such as Noto, or name its folder "
            "in the option PDFReport.fonts",
        )
    if signs:
        return True
    if broken := mathematics.broken(document.formulas):
        document.show_source_of(broken)
        return True
    if all(trouble.of_the_standard for trouble in found):
        for trouble in found:
            message = f"the PDF does not claim to be PDF/UA: {trouble.message}"
            document.findings.add(trouble.place, message)
        return False
    for trouble in found:
        document.findings.add(
            trouble.place, f"shown as plain text, as Typst says: {trouble.message}"
        )
        blocks = _of_cell(document.blocks, trouble.place)
        text = pandoc.write(blocks, "plain") if blocks else ""
        _replace(document, trouble.place, [CodeBlock(["", [], []], text)])
    return True


def _name(sign: str) -> str:
    """Return what stands for a sign: a name, a number, nothing for what joins."""
    if unicodedata.category(sign) in ("Mn", "Cf"):
        return ""
    if unicodedata.category(sign)[0] == "S" and (name := unicodedata.name(sign, "")):
        return f":{name.lower()}:"
    return f" U+{ord(sign):04X} "


def with_names(text: str, unset: dict[int, str]) -> str:
    """Return a text with names for the signs that no typeface has."""
    return text.translate(unset) if unset else text


def _is_place(block: dict) -> bool:
    return block["t"] == "Div" and "place" in block["c"][0][1]


def _cell_of(block: dict) -> str:
    return dict(block["c"][0][2])["cell"]


def _of_cell(blocks: list, place: str) -> list:
    """Return a copy of the blocks that a cell became."""
    found: list = []
    inside = False
    for block in blocks:
        if _is_place(block):
            inside = _cell_of(block) == place
        elif inside:
            found.append(block)
    return found


def _replace(document: "Document", place: str, blocks: list) -> None:
    kept: list = []
    inside = False
    for block in document.blocks:
        if _is_place(block):
            inside = _cell_of(block) == place
            kept += [block, *blocks] if inside else [block]
        elif not inside:
            kept.append(block)
    document.blocks = kept


def columns_of(text: str) -> int:
    """Return how many columns a text takes in fixed-width type."""
    return sum(
        0
        if unicodedata.combining(sign)
        else 2
        if unicodedata.east_asian_width(sign) in "WF"
        else 1
        for sign in text
    )


def wrapped(text: str, mark: bool) -> str:
    """Return a text whose lines fit on paper; `mark` shows where one goes on."""
    return "\n".join(
        piece for line in text.split("\n") for piece in _pieces(line.expandtabs(), mark)
    )


def _pieces(line: str, mark: bool) -> list[str]:
    """Cut a line where it is full, after a blank if there is one in its last third."""
    pieces = []
    room = COLUMNS
    while columns_of(line) > room:
        end = width = 0
        while width + columns_of(line[end]) <= room:
            width += columns_of(line[end])
            end += 1
        blank = line.rfind(" ", 2 * end // 3, end)
        end = blank + 1 if blank > 0 else end
        pieces.append(line[:end])
        line = line[end:]
        room = COLUMNS - len(CONTINUED) * mark
    pieces.append(line)
    return [pieces[0], *(f"{CONTINUED if mark else ''}{p}" for p in pieces[1:])]


def breakable(text: str) -> str:
    """Return a text in which every long word may end a line somewhere."""
    return re.sub(
        rf"\S{{{LONGEST_WORD},}}",
        lambda word: BREAK.join(
            re.findall(rf"[^/._?&=-]{{1,{LONGEST_WORD}}}[/._?&=-]*|[/._?&=-]+", word[0])
        ),
        text,
    )


def width(told: str, size: tuple[float, float]) -> float:
    """Return how wide a picture of `size` pixels is to be, in points.

    told: a width in the words of HTML, "" for none.
    """
    natural, height = size
    if told.endswith("%"):
        share = re.fullmatch(r"(\d+(?:\.\d+)?)%", told)
        wanted = WIDTH * min(float(share[1]), 100) / 100 if share else natural * 0.75
    else:
        wanted = (length(told) or natural) * 0.75
    return max(1.0, min(wanted, WIDTH, HEIGHT * natural / max(height, 1)))


def type_size(table: list) -> float | None:
    """Return in which size of type a table fits on a page, None for the usual one.

    A column needs its longest word; between columns there is some room.
    """
    rows = [*table[3][1], *(row for body in table[4] for row in body[3])]
    longest: dict[int, int] = {}
    for _, cells in rows:
        for column, cell in enumerate(cells):
            if cell[3] == 1:
                text = " ".join(stringify(block) for block in cell[4])
                words = [min(columns_of(word), LONGEST_WORD) for word in text.split()]
                longest[column] = max(longest.get(column, 1), *words, 1)
    needed = sum(longest.values()) * TABLE_TYPE * 0.55
    room = WIDTH - 4 * len(longest)
    if needed + 9 * len(longest) <= WIDTH:
        return None
    return max(SMALLEST_TYPE, TABLE_TYPE * min(1.0, room / needed))
