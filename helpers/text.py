"""say(), table(), source(): measured numbers and code reach the text untyped.

percent(), p_value() and signed() spell out numbers. What `stats.family` finds
has one form everywhere: comparison_table(), or comparison_rows() and comparison_note(),
as a table; verdict() and told() in a sentence.
"""

import html
import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence

from IPython.display import display

from helpers import project
from helpers.stats import (
    POWER,
    SEEDS_FOR_A_VERDICT,
    Finding,
    Interval,
    Verdict,
)


def say(template: str, **values: object) -> None:
    """Display `template` (Markdown) with `values` set in, as a paragraph of the text.

    Formats are those of str.format: say("{share:.1%} of {n} images", share=s, n=n).
    Raises KeyError when a value is missing.
    """
    text = template.format(**values)
    bundle = {"text/plain": text, "text/markdown": text}
    display(bundle, metadata={"report": {"kind": "prose"}}, raw=True)


def source(function: Callable[..., object]) -> None:
    """Display the source text of a function or class, as code."""
    code = textwrap.dedent(inspect.getsource(function)).strip()
    bundle = {"text/plain": code, "text/markdown": f"```python\n{code}\n```"}
    display(bundle, metadata={"report": {"kind": "prose"}}, raw=True)


def table(
    key: str,
    caption: str,
    header: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    on_paper: bool = True,
) -> None:
    """Display a table with a caption; cells are Markdown, numbers formatted by str().

    `key` is the anchor (`#tab-<key>`). Columns that hold only numbers (also with a
    unit sign or an interval) stand right-aligned; a line feed breaks the line in its
    cell. on_paper: False for a long table that the page folds and the PDF leaves out.
    Raises ValueError for a key that is no word, when the caption is empty, or when a
    row has not as many cells as the header.
    """
    project.check_key(key)
    if not caption.strip():
        raise ValueError(f"table {key!r} needs a caption")
    cells = [[str(cell) for cell in row] for row in rows]
    for row in cells:
        if len(row) != len(header):
            raise ValueError(
                f"table {key!r}: the row {row} has {len(row)} cells, the header "
                f"{len(header)}: {list(header)}"
            )
    right = [all(_is_number(row[i]) for row in cells) for i in range(len(header))]
    bundle = {
        "text/plain": "\n".join("\t".join(row) for row in [list(header), *cells]),
        "text/markdown": _pipe_table(header, cells, right),
        "text/html": _html_table(key, caption, header, cells, right),
    }
    report: dict[str, object] = {"kind": "table", "key": key, "caption": caption}
    if not on_paper:
        report["print"] = False
    display(bundle, metadata={"report": report}, raw=True)


def signed(value: float, digits: int = 2) -> str:
    """A number with its sign, and a minus that cannot be taken for a dash."""
    return f"{value:+.{digits}f}".replace("-", "−").replace("inf", "∞")


def percent(share: Interval) -> str:
    """An accuracy or another share, with its interval: 99.10% (99.04% – 99.17%)."""
    return f"{share.mean:.2%} ({share.low:.2%} – {share.high:.2%})"


def p_value(p: float, name: str = "") -> str:
    """A p-value: 0.030 or < 0.001; with the name "p", p = 0.030 or p < 0.001.

    Raises ValueError for what is no probability.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"{p} came in as a p-value: it lies between 0 and 1")
    if p < 0.001:
        return f"{name} < 0.001".strip()
    return f"{name} = {p:.3f}" if name else f"{p:.3f}"


def verdict(finding: Finding, unit: str = "points", digits: int = 2) -> str:
    """One of the four verdicts; "equal" with its margin, "not decided" with a hint."""
    if finding.verdict is Verdict.EQUAL and finding.margin is not None:
        return f"equal within {_amount(finding.margin, unit, digits)}"
    if finding.worth_a_look:
        return f"{finding.verdict}, worth a look"
    return str(finding.verdict)


def told(finding: Finding, unit: str = "points", digits: int = 2) -> str:
    """Verdict, difference, interval and p, raw and adjusted, as a part of a sentence.

    unit: "points" makes percentage points of shares; numbers of any other unit stay as
    they are, and "" names none. What is not decided is told with the difference that
    would have been found, or the seeds that a verdict needs.
    """
    difference = _difference(finding, unit, digits)
    p = p_value(finding.p.raw, "p")
    if finding.family > 1:
        p += f", adjusted {p_value(finding.p.adjusted)}"
    words = (
        f"{verdict(finding, unit, digits)}: {difference[0]}{_spaced(unit)} "
        f"({difference[1]}), {p}"
    )
    if not finding.decidable:
        needed = (
            f"no verdict from fewer than {SEEDS_FOR_A_VERDICT}"
            if finding.n < SEEDS_FOR_A_VERDICT
            else f"too few for a family of {finding.family}"
        )
        return f"{words}; {finding.n} seeds, {needed}"
    if finding.verdict is Verdict.NOT_DECIDED:
        amount = _amount(finding.detectable, unit, digits)
        return (
            f"{words}; {amount}{_spaced(unit)} would have been found with a "
            f"probability of {POWER:.0%}"
        )
    return words


def comparison_rows(
    findings: Mapping[str, Finding], unit: str = "points", digits: int = 2
) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table in which the report shows every family.

    `comparison_note` explains the columns. unit: as for `told`. Raises ValueError when
    `findings` are none, or not one whole family.
    """
    _check_family(findings)
    level = next(iter(findings.values())).level
    header = [
        "comparison",
        f"difference ({level:.0%} interval)",
        "raw p",
        "adjusted p",
        "detectable",
        "verdict",
    ]
    rows = []
    for name, finding in findings.items():
        middle, ends = _difference(finding, unit, digits)
        rows.append(
            [
                name,
                f"{middle} ({ends})",
                p_value(finding.p.raw),
                p_value(finding.p.adjusted),
                _amount(finding.detectable, unit, digits),
                verdict(finding, unit, digits),
            ]
        )
    return header, rows


def comparison_note(findings: Mapping[str, Finding], unit: str = "points") -> str:
    """What the columns of `comparison_rows` mean, to end a caption with.

    Raises ValueError as `comparison_rows`, and for intervals of which some cover
    images and others seeds alone: no one sentence says what these mean.
    """
    _check_family(findings)
    if len({bool(finding.images) for finding in findings.values()}) > 1:
        raise ValueError(
            "some of the findings cover images, others seeds alone: take "
            "comparison_rows, and write a caption that tells them apart"
        )
    some = next(iter(findings.values()))
    seeds = _span(finding.n for finding in findings.values())
    images = ""
    if some.images:
        counts = _span(
            count for finding in findings.values() for count in finding.images
        )
        images = f" and {counts} images"
        if len(some.images) > 1:
            images += ", different ones in the two arms"
    differences = (
        "Differences in percentage points" if unit == "points" else "Differences"
    )
    if unit and unit != "points":
        differences += f" in {unit}"
    if some.of == "median":
        differences = differences.replace("Differences", "Medians of the differences")
    size = some.family
    simultaneous = f", simultaneous for {size} rows" if size > 1 else ""
    adjusted = f"; adjusted: times {size}" if size > 1 else ""
    enough = {finding.decidable for finding in findings.values()}
    if some.of == "median":
        p = "of the exact sign test"
    elif enough == {True}:
        p = "the larger of t test and sign-flip test"
    elif enough == {False}:
        p = "of the t test, too few seeds for a verdict"
    else:
        p = "the larger of t test and sign-flip test, of few seeds the t test's"
    reached = "that is found" if enough == {True} else "whose interval misses zero"
    return (
        f"{differences}, intervals over {seeds} seeds{images}{simultaneous}. p: {p}"
        f"{adjusted}. Detectable: the difference {reached} with a "
        f"probability of {POWER:.0%}."
    )


def comparison_table(
    key: str,
    caption: str,
    findings: Mapping[str, Finding],
    unit: str = "points",
    digits: int = 2,
    *,
    brief: bool = False,
) -> None:
    """Display a family: `table` of `comparison_rows`, caption and `comparison_note`.

    brief: without the detectable difference, and with a note of one line, for families
    that suggest rather than decide. Raises ValueError as `comparison_note`.
    """
    note = comparison_note(findings, unit)
    header, rows = comparison_rows(findings, unit, digits)
    if brief:
        seeds = _span(finding.n for finding in findings.values())
        over = " and images" if next(iter(findings.values())).images else ""
        note = (
            f"In {unit or 'plain numbers'}; intervals over {seeds} seeds{over}, they "
            f"and adjusted p for the family of {len(findings)}."
        )
        header, *rows = ([row[i] for i in (0, 1, 2, 3, 5)] for row in (header, *rows))
    table(key, f"{caption} {note}", header, rows)


def listed(names: Iterable[str], nothing: str = "none") -> str:
    """Names in italics, with commas between them; `nothing` where there is none."""
    return ", ".join(f"*{name}*" for name in names) or nothing


def _difference(finding: Finding, unit: str, digits: int) -> tuple[str, str]:
    middle, low, high = (
        signed(_scaled(value, unit), digits)
        for value in (finding.difference, finding.low, finding.high)
    )
    return middle, f"{low} to {high}"


def _amount(value: float, unit: str, digits: int) -> str:
    return signed(_scaled(value, unit), digits).removeprefix("+")


def _scaled(value: float, unit: str) -> float:
    return 100 * value if unit == "points" else value


def _spaced(unit: str) -> str:
    return f" {unit}" if unit else ""


def _span(counts: Iterable[int]) -> str:
    low, high = min(counts := list(counts)), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _check_family(findings: Mapping[str, Finding]) -> None:
    sizes = {finding.family for finding in findings.values()}
    if sizes != {len(findings)}:
        raise ValueError(
            f"{len(findings)} findings of families of {sorted(sizes)} came in: show a "
            "family whole, as stats.family returns it"
        )


def _is_number(cell: str) -> bool:
    return not set(cell.replace(" to ", " ")) - set("0123456789 .,+-−±–%()e∞<")


def _pipe_table(
    header: Sequence[str], cells: Sequence[Sequence[str]], right: Sequence[bool]
) -> str:
    def line(row: Sequence[str]) -> str:
        cells = (re.sub(r"\s*\n\s*", "<br>", c.replace("|", "\\|")) for c in row)
        return "| " + " | ".join(cells) + " |"

    rule = "|" + "|".join("---:" if r else ":---" for r in right) + "|"
    return "\n".join([line(header), rule, *map(line, cells)])


def _html_table(
    key: str,
    caption: str,
    header: Sequence[str],
    cells: Sequence[Sequence[str]],
    right: Sequence[bool],
) -> str:
    def line(row: Sequence[str], tag: str, extra: str = "") -> str:
        return "".join(
            f'<{tag}{extra} style="text-align:{"right" if r else "left"}">'
            f"{_inline(c)}</{tag}>"
            for c, r in zip(row, right, strict=True)
        )

    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in cells)
    return (
        f'<table id="tab-{key}"><caption>{html.escape(caption, quote=False)}</caption>'
        f"<thead><tr>{line(header, 'th', ' scope=col')}</tr></thead>"
        f"<tbody>{body}</tbody></table>"
    )


def _inline(cell: str) -> str:
    """The Markdown of a cell as HTML: code, emphasis and links."""
    parts = re.split(r"`([^`]+)`", html.escape(cell, quote=False))
    for position, part in enumerate(parts):
        if position % 2:
            parts[position] = f"<code>{part}</code>"
            continue
        part = re.sub(r"(?<![\w*])\*([^*\s][^*]*)\*(?![\w*])", r"<em>\1</em>", part)
        link = r'<a href="\2">\1</a>'
        parts[position] = re.sub(r"\[([^]]+)\]\(([^)\s]+)\)", link, part)
    return re.sub(r"\s*\n\s*", "<br>", "".join(parts))
