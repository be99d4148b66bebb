"""The document: all chapters, numbered, with their references resolved."""

from collections.abc import Iterable

from pandocfilters import Link, Str, stringify

from report import mathematics, pandoc, project
from report.chapter import TEMPLATES, Chapter
from report.errors import ReportError
from report.numbering import Numbering, Place
from report.references import References

QUICK_BANNER = "A quick run on small data: these are not the report's figures"


class Document:
    """Chapters as one document.

    Attributes: `blocks`, `images` (file name to bytes), `formulas` (LaTeX to Typst),
    `environment`, `metadata` for pandoc's templates. Raises ReportError with one line
    for each thing that cannot be printed, and each reference that leads nowhere.
    """

    def __init__(self, chapters: list[Chapter]) -> None:
        self.images = {
            name: content for c in chapters for name, content in c.images.items()
        }
        numbering = Numbering()
        cells = [cell for c in chapters for cell in numbering.cells(c)]
        references = References(chapters, numbering.targets)
        self.blocks = []
        for place, chapter, blocks in cells:
            self.blocks += references.resolved(blocks, place, chapter)
        self.images |= numbering.stills
        errors = numbering.errors + references.errors
        if errors:
            raise ReportError(*errors)
        self.formulas = _typeset(numbering.formulas)
        self.environment = Environment(numbering.environments)
        self.metadata = self._metadata()

    def _metadata(self) -> dict:
        """Return what the templates of both outputs print around the chapters."""
        title, subtitle = pandoc.read((TEMPLATES / "title.md").read_text("utf-8"))
        return {
            "title": {"t": "MetaInlines", "c": title["c"][2]},
            "subtitle": {"t": "MetaInlines", "c": subtitle["c"]},
            "description": stringify(subtitle["c"]),
            "quick": self.environment.profile == "quick",
            "banner": QUICK_BANNER,
            "facts": [{"name": n, "value": v} for n, v in self.environment.facts],
            "repository": {"t": "MetaInlines", "c": [_link(project.repository())]},
        }


def _link(address: str) -> dict:
    text = [Str(address.removeprefix("https://"))]
    return Link(["", [], []], text, [address, ""])


class Environment:
    """What the set-up cells recorded, the same facts of several notebooks said once.

    Attributes: `profile` ("quick" when any notebook ran on small data), `facts`, a list
    of (name, value) for the title page.
    """

    def __init__(self, records: list[dict]) -> None:
        profiles = {record["profile"] for record in records}
        self.profile = "quick" if "quick" in profiles else "full"
        versions: dict[str, dict[str, None]] = {}
        for record in records:
            for name, version in record["versions"].items():
                versions.setdefault(name, {})[version] = None
        self.facts = [
            ("Data", _together(name for record in records for name in record["data"])),
            ("Not executed", _together(r["stored"] for r in records if "stored" in r)),
            ("Machine", _together(record["device"] for record in records)),
            (
                "Versions",
                ", ".join(f"{name} {'/'.join(v)}" for name, v in versions.items()),
            ),
        ]
        self.facts = [(name, value) for name, value in self.facts if value]


def _together(values: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(values))


def _typeset(formulas: dict[str, Place]) -> dict[str, str]:
    """Return LaTeX to Typst for all formulas; say where those stand that fail."""
    try:
        return mathematics.to_typst(formulas)
    except pandoc.PandocError:
        errors = []
        for formula, place in formulas.items():
            try:
                mathematics.to_typst([formula])
            except pandoc.PandocError as error:
                errors.append(f"{place}: {error}")
        raise ReportError(*errors) from None
