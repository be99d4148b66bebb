"""References: every link of the notebooks, as it has to read in the document."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pandocfilters import Link, Str, stringify

from report import pandoc, project
from report.chapter import Chapter
from report.numbering import Place, Target, fragment_of
from report.pandoc import Element


class References:
    """Makes every link point into the document, or out of it.

    `errors` gets one line for each link that leads nowhere.
    """

    def __init__(
        self, chapters: list[Chapter], targets: dict[tuple[str, str], Target]
    ) -> None:
        self.errors: list[str] = []
        self.notebooks = {chapter.name for chapter in chapters}
        self.targets = targets

    def resolved(self, blocks: list, place: Place, chapter: Chapter) -> list:
        """Return the blocks of one cell with all links resolved."""

        def action(kind: str, content: Any) -> Element | None:
            if kind != "Link":
                return None
            _attributes, inlines, (address, _title) = content
            try:
                address, inlines = self._resolve(address, inlines, chapter)
            except LookupError as error:
                self.errors.append(f"{place}: {error.args[0]}")
            return Link(["", [], []], inlines, [address, ""])

        return pandoc.transformed(blocks, action)

    def _resolve(
        self, address: str, inlines: list, chapter: Chapter
    ) -> tuple[str, list]:
        """Return address and text of a link; raise LookupError if it leads nowhere."""
        parts = urlsplit(address)
        if parts.scheme in ("https", "http", "mailto"):
            return address, inlines
        notebook = Path(unquote(parts.path)).stem if parts.path else chapter.name
        if parts.path in ("", f"{notebook}.ipynb") and notebook in self.notebooks:
            return self._internal(address, notebook, parts.fragment, inlines)
        file = chapter.folder / unquote(parts.path)
        if not parts.path or not file.exists():
            raise LookupError(f"the link to {address!r} leads nowhere")
        if file.suffix == ".ipynb" and file.parent == chapter.folder:
            return address, inlines
        return project.address_of(file), inlines

    def _internal(
        self, address: str, notebook: str, fragment: str, inlines: list
    ) -> tuple[str, list]:
        target = self.targets.get((notebook, fragment)) or self.targets.get(
            (notebook, fragment_of(fragment))
        )
        if not target:
            raise LookupError(f"the link to {address!r} leads nowhere")
        written = re.search(r"\((\d+\.\d+)\)", stringify(inlines))
        if target.label.startswith(("Figure", "Table")):
            inlines = [Str(target.label)]
        elif written and not target.label.endswith(written[0]):
            raise LookupError(
                f"the link to {address!r} says {written[0]}, but it is {target.label}"
            )
        return f"#{target.identifier}", inlines
