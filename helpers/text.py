"""say(), table(), source(): measured numbers and code reach the text untyped.

percent(), points(), p_value(), signed() and in_words() spell out what `helpers.stats`
returns.
"""

import html
import inspect
import re
import textwrap
from collections.abc import Iterable, Sequence

from IPython.display import display

from helpers.stats import Comparison, Interval


def say(template: str, **values) -> None:
    """Display `template` (Markdown) with `values` set in, as a paragraph of the text.

    Formats are those of str.format: say("{share:.1%} of {n} images", share=s, n=n).
    Raises KeyError when a value is missing.
    """
    text = template.format(**values)
    bundle = {"text/plain": text, "text/markdown": text}
    display(bundle, metadata={"report": {"kind": "prose"}}, raw=True)


def source(function) -> None:
    """Display the source text of a function or class, as code."""
    code = textwrap.dedent(inspect.getsource(function)).strip()
    bundle = {"text/plain": code, "text/markdown": f"```python\n{code}\n```"}
    display(bundle, metadata={"report": {"kind": "prose"}}, raw=True)


def table(
    key: str, caption: str, header: Sequence[str], rows: Sequence[Sequence[object]]
) -> None:
    """Display a table with a caption; cells are Markdown, numbers formatted by str().

    `key` is the anchor (`#tab-<key>`). Columns that hold only numbers (also with a
    unit sign or an interval) stand right-aligned. Raises ValueError when the caption
    is empty, or when a row has not as many cells as the header.
    """
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
    report = {"kind": "table", "key": key, "caption": caption}
    display(bundle, metadata={"report": report}, raw=True)


def signed(value: float, digits: int = 2) -> str:
    """A number with its sign, and a minus that cannot be taken for a dash."""
    return f"{value:+.{digits}f}".replace("-", "−")


def percent(share: Interval) -> str:
    """An accuracy or another share, with its interval: 99.10% (99.04% – 99.17%)."""
    return f"{share.mean:.2%} ({share.low:.2%} – {share.high:.2%})"


def points(difference: Comparison) -> str:
    """A difference of shares in percentage points: +0.31 (+0.25 to +0.38)."""
    mean, low, high = (signed(100 * value) for value in difference[:3])
    return f"{mean} ({low} to {high})"


def p_value(p: float, name: str = "") -> str:
    """A p-value: 0.030 or < 0.001; with the name "p", p = 0.030 or p < 0.001."""
    if p < 0.001:
        return f"{name} < 0.001".strip()
    return f"{name} = {p:.3f}" if name else f"{p:.3f}"


def in_words(test: Comparison, better: str, worse: str, p: float | None = None) -> str:
    """`better` or `worse`, by the sign of a difference a - b that is beyond noise.

    p: the corrected p-value, where the test is one of a family.
    """
    if (test.p_value if p is None else p) > 0.05:
        return "no difference beyond noise"
    return better if test.mean > 0 else worse


def listed(names: Iterable[str], nothing: str = "none") -> str:
    """Names in italics, with commas between them; `nothing` where there is none."""
    return ", ".join(f"*{name}*" for name in names) or nothing


def _is_number(cell: str) -> bool:
    return not set(cell.replace(" to ", " ")) - set("0123456789 .,+-−±–%()e∞<")


def _pipe_table(header, cells, right) -> str:
    def line(row):
        return "| " + " | ".join(c.replace("|", "\\|") for c in row) + " |"

    rule = "|" + "|".join("---:" if r else ":---" for r in right) + "|"
    return "\n".join([line(header), rule, *map(line, cells)])


def _html_table(key, caption, header, cells, right) -> str:
    def line(row, tag, extra=""):
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
    return "".join(parts)
