"""Write the table of results in README.md from the recorded runs.

The table stands between two comments, which stay. It follows from data/runs/ and the
registry of results, so that a second time changes nothing.
"""

import sys
from pathlib import Path

from helpers import claims, runs, text
from helpers.stats import Interval
from report import generated, project

README = project.ROOT / "README.md"
BEGIN = "<!-- results: written by `python -m report.readme` -->"
END = "<!-- end of results -->"


def main() -> None:
    """Bring README.md up to date; with --check only tell whether it is."""

    def outdated(write: bool) -> list[str]:
        return [README.name] if update(README, runs.RECORDED, write) else []

    try:
        generated.command("report.readme", __doc__.splitlines()[0], outdated)
    except ValueError as error:
        sys.exit(str(error))


def update(readme: Path, folder: Path, write: bool) -> bool:
    """Return whether `readme` is not as the runs in `folder` have it; `write` mends it.

    Raises ValueError when the file lacks the two comments, has them twice, or in the
    wrong order.
    """
    content = readme.read_text("utf-8")
    before, begin, rest = content.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end or content.count(BEGIN) + content.count(END) != 2:
        raise ValueError(
            f"{readme.name} needs these two lines once, in this order:\n{BEGIN}\n{END}"
        )
    results = table(runs.headlines(folder, images=True))
    wanted = f"{before}{begin}\n\n{results}\n\n{end}{after}"
    if wanted == content:
        return False
    if write:
        readme.write_text(wanted, "utf-8")
    return True


def table(found: dict[str, Interval]) -> str:
    """Return the results that have runs and a chapter, as a Markdown table.

    found: name of a headline -> mean test accuracy over its seeds, with a 95 % interval
    that covers seeds and test images.
    """
    lines = [
        "| result | ours: mean, 95 % interval over seeds and images, number of seeds "
        "| the sources reported, without intervals |",
        "|---|---|---|",
    ]
    for result in claims.results():
        address = result.place.link.rpartition("](")[2].removesuffix(")")
        chapter = project.NOTEBOOKS / result.notebook
        if (ours := found.get(result.name)) and chapter.exists():
            linked = f"[{result.title}](notebooks/{address})"
            theirs = "; ".join(map(_spoken, result.reported)) or "–"
            accuracy = f"{text.percent(ours)}, {ours.n}"
            lines.append(f"| {result.data}: {linked} | {accuracy} | {theirs} |")
    return "\n".join(lines)


def _spoken(one: claims.Reported) -> str:
    images = "" if one.images == "test" else f" ({one.images})"
    return f"{one.accuracy:.2%}, {one.source}{images}"


if __name__ == "__main__":
    main()
