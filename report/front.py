"""What stands before the text: title, authors, licence, language, of whom they are."""

import re
from dataclasses import dataclass
from typing import Any

from pandocfilters import Link, Space, Str, stringify

from report import pandoc, project
from report.chapter import TEMPLATES, Chapter
from report.pandoc import Element

LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")


@dataclass(frozen=True)
class Front:
    """The front matter of a document. Title, subtitle and licences are inlines.

    licences: (what, under which). repository: its address, where links to files lead,
    "" to keep them. single: the document is one notebook, and its first heading is the
    title, unless `title` says another.
    """

    title: list
    subtitle: list
    description: str = ""
    authors: tuple[str, ...] = ()
    date: str = ""
    language: str = "en"
    licences: tuple[tuple[str, list], ...] = ()
    repository: str = ""
    single: bool = False


def ours() -> Front:
    """Return what stands before the report of this project."""
    title, subtitle = pandoc.read((TEMPLATES / "title.md").read_text("utf-8"))
    address = project.repository()
    code = [Str("MIT,"), Space(), _link(address, address.removeprefix("https://"))]
    return Front(
        title=title["c"][2],
        subtitle=subtitle["c"],
        description=stringify(subtitle["c"]),
        licences=(("Text and figures", pandoc.words("CC BY 4.0")), ("Code", code)),
        repository=address,
    )


def of(chapter: Chapter, **told: str) -> Front:
    """Return what a notebook says on itself; what is `told` is taken instead.

    Its metadata, or lines of YAML in its first cell, may hold title, subtitle, author
    or authors (names, or records with a name), date, description or abstract, license
    (a name, or a record with name and url) and lang.
    """
    said = chapter.metadata | {name: value for name, value in told.items() if value}
    language = str(said.get("lang") or said.get("language") or "en")
    licence = _licence(said.get("license") or said.get("licence"))
    return Front(
        title=pandoc.words(_text(said.get("title"))),
        subtitle=pandoc.words(_text(said.get("subtitle"))),
        description=_text(said.get("description") or said.get("abstract")),
        authors=_names(said.get("authors") or said.get("author")),
        date=_text(said.get("date")),
        language=language if LANGUAGE.fullmatch(language) else "en",
        licences=(("Licence", licence),) if licence else (),
        single=True,
    )


def _text(value: Any) -> str:
    return " ".join(value.split()) if isinstance(value, str) else ""


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(
            name.strip() for name in re.split(r",|;|\band\b", value) if name.strip()
        )
    people = value if isinstance(value, list) else [value]
    names = (_text(p.get("name") if isinstance(p, dict) else p) for p in people)
    return tuple(name for name in names if name)


def _licence(value: Any) -> list:
    if isinstance(value, dict):
        name = _text(value.get("name") or value.get("id") or value.get("code"))
        address = _text(value.get("url"))
        if re.match("https?://", address):
            return [_link(address, name or address)]
        return pandoc.words(name)
    return pandoc.words(_text(value))


def _link(address: str, text: str) -> Element:
    return Link(["", [], []], pandoc.words(text), [address, ""])
