"""References: every link of the notebooks, as it has to read in the document."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pandocfilters import Link, Str, stringify

from report import pandoc, project
from report.chapter import Chapter
from report.findings import Place
from report.numbering import Numbering, Target, loosely
from report.pandoc import Element

ELSEWHERE = ("https", "http", "mailto", "ftp", "tel", "doi")


class References:
    """Makes every link point into the document, or out of it.

    repository: the address under which readers find the files beside the notebooks, ""
    to keep their links as they are. `findings` gets one line for each link that leads
    nowhere; its words stay.
    """

    def __init__(
        self, chapters: list[Chapter], numbering: Numbering, repository: str
    ) -> None:
        self.findings = numbering.findings
        self.notebooks = {chapter.name for chapter in chapters}
        self.targets, self.loose = numbering.targets, numbering.loose
        self.repository = repository

    def resolved(self, blocks: list, place: Place, chapter: Chapter) -> list:
        """Return the blocks of one cell with all links resolved."""

        def action(kind: str, content: Any) -> Element | list | None:
            if kind != "Link":
                return None
            _attributes, inlines, (address, _title) = content
            try:
                address, inlines = self._resolve(address, inlines, chapter)
            except LookupError as error:
                self.findings.add(place, error.args[0])
                return inlines
            return Link(["", [], []], inlines, [address, ""])

        return pandoc.transformed(blocks, action)

    def _resolve(
        self, address: str, inlines: list, chapter: Chapter
    ) -> tuple[str, list]:
        """Return address and text of a link; raise LookupError if it leads nowhere."""
        try:
            parts = urlsplit(address)
        except ValueError:
            raise LookupError(f"the link to {address!r} is no address") from None
        if parts.scheme in ELSEWHERE or parts.netloc:
            return address if parts.scheme else f"https:{address}", inlines
        path = unquote(parts.path)
        notebook = Path(path).stem if path else chapter.name
        if path in ("", f"{notebook}.ipynb") and notebook in self.notebooks:
            return self._internal(address, notebook, parts.fragment, inlines)
        file = chapter.folder / path
        if parts.scheme or not path or not _exists(file):
            raise LookupError(f"the link to {_shortened(address)!r} leads nowhere")
        if Path(path).is_absolute():
            raise LookupError(f"the link to {address!r} leads to this machine alone")
        if not self.repository or (
            file.suffix == ".ipynb" and file.parent == chapter.folder
        ):
            return address, inlines
        return project.address_of(file), inlines

    def _internal(
        self, address: str, notebook: str, fragment: str, inlines: list
    ) -> tuple[str, list]:
        target = self._target(address, notebook, unquote(fragment))
        written = re.search(r"\((\d+\.\d+)\)", stringify(inlines))
        if target.label.startswith(("Figure", "Table")):
            inlines = [Str(target.label)]
        elif written and target.label and not target.label.endswith(written[0]):
            raise LookupError(
                f"the link to {address!r} says {written[0]}, but it is {target.label}"
            )
        return f"#{target.identifier}", inlines

    def _target(self, address: str, notebook: str, fragment: str) -> Target:
        """Return the heading of a fragment; one like it, if there is but one."""
        if target := self.targets.get((notebook, fragment)):
            return target
        alike = self.loose.get((notebook, loosely(fragment)), {})
        if not alike:
            raise LookupError(f"the link to {address!r} leads nowhere")
        if len(alike) > 1:
            raise LookupError(
                f"the link to {address!r} may mean any of {', '.join(alike)}"
            )
        return next(iter(alike.values()))


def _exists(file: Path) -> bool:
    try:
        return file.exists()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _shortened(address: str) -> str:
    return address if len(address) <= 60 else f"{address[:57]}…"
