"""What a document cannot show as its notebook does: collected, then told or refused.

A stranger's notebook is exported all the same, and its author is told what was done and
what would mend it. The report itself is strict: nothing is written while there is a
finding.
"""

from dataclasses import dataclass

from report.errors import ReportError


@dataclass(frozen=True)
class Place:
    """A cell, counted from 1, as messages name it."""

    notebook: str
    cell: int

    def __str__(self) -> str:
        return f"{self.notebook}.ipynb, cell {self.cell}"


class Findings:
    """One line for each thing found, in the order of finding, each line once."""

    def __init__(self, lines: tuple[str, ...] = ()) -> None:
        self._lines = dict.fromkeys(lines)

    def add(self, place: Place | str, message: str) -> None:
        self._lines[f"{place}: {message}"] = None

    @property
    def lines(self) -> tuple[str, ...]:
        return tuple(self._lines)

    def refuse(self) -> None:
        """Raise ReportError with all lines, if there are any."""
        if self._lines:
            raise ReportError(*self._lines)
