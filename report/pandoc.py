"""The one door to pandoc: Markdown in, blocks in the middle, HTML or Typst out.

Blocks and inlines are pandoc's JSON elements, {"t": type, "c": contents}, made with the
constructors of `pandocfilters`.
"""

import json
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pandocfilters import Space, Str

from report.errors import ReportError

API_VERSION = [1, 23, 1]

Element = dict[str, Any]  # type and contents

# CommonMark with what Jupyter adds to it. Formulas are taken out before.
MARKDOWN = (
    "commonmark+autolink_bare_uris+footnotes+pipe_tables+raw_html+strikeout+task_lists"
)


class PandocError(ValueError):
    """pandoc refused its input, or warned that it would lose a part of it."""


@cache
def program() -> str:
    """Return the path of the pandoc that the package pypandoc_binary brings.

    Never another one on PATH: `report.mathematics` mends what this version writes.
    Raises ReportError when the package is missing, or brings no program.
    """
    package = find_spec("pypandoc")
    found_at = package.origin if package else None
    folder = Path(found_at).parent / "files" if found_at else None
    if folder and (found := shutil.which("pandoc", path=folder)):
        return found
    raise ReportError(
        f"There is no pandoc in {folder or 'this environment'}: it comes with the "
        "package pypandoc_binary (pypandoc alone brings none). Run `make environment`, "
        'or `python -m pip install -e ".[build]"`.'
    )


def read(markdown: str, typographic: bool = True) -> list:
    """Return the blocks of a Markdown text.

    typographic: whether quotation marks and dashes become those of print.
    """
    syntax = f"{MARKDOWN}+smart" if typographic else MARKDOWN
    return json.loads(_run(markdown, "--from", syntax, "--to", "json"))["blocks"]


def read_html(source: str) -> list:
    """Return the blocks of a text of HTML; nothing that it names is fetched."""
    options = ("--sandbox", "--from", "html", "--to", "json")
    return json.loads(_run(source, *options))["blocks"]


def front_matter(yaml: str) -> dict[str, Any]:
    """Return what a text says between its two lines of dashes: pandoc's metadata."""
    options = ("--sandbox", "--from", "markdown", "--to", "json")
    return json.loads(_run(yaml, *options))["meta"]


@cache
def languages() -> frozenset[str]:
    """The names of the programming languages that pandoc can colour."""
    return frozenset(_run("", "--list-highlight-languages").split())


def write(blocks: list, to: str, *options: str, metadata: dict | None = None) -> str:
    """Return `blocks` in the format `to`; `metadata` fills pandoc's template.

    Its values are texts, truth values, lists and dicts of them, and lists of inlines
    that are wrapped as {"t": "MetaInlines", "c": inlines}.
    """
    document = _document(blocks, metadata)
    return _run(document, "--from", "json", "--to", to, *options)


def write_file(
    blocks: list, to: str, folder: Path, *options: str, metadata: dict | None = None
) -> bytes:
    """Return `blocks` in a format that is no text; pictures are files in `folder`."""
    file = folder / "written"
    where = ("--output", str(file), "--resource-path", str(folder))
    document = _document(blocks, metadata)
    _run(document, "--from", "json", "--to", to, *where, *options)
    return file.read_bytes()


def _document(blocks: list, metadata: dict | None) -> str:
    document = {
        "pandoc-api-version": API_VERSION,
        "meta": {name: _meta(value) for name, value in (metadata or {}).items()},
        "blocks": blocks,
    }
    return json.dumps(document)


def _meta(value: Any) -> Any:
    if isinstance(value, dict) and "t" not in value:
        return {"t": "MetaMap", "c": {name: _meta(v) for name, v in value.items()}}
    if isinstance(value, list):
        return {"t": "MetaList", "c": [_meta(v) for v in value]}
    if isinstance(value, bool):
        return {"t": "MetaBool", "c": value}
    return {"t": "MetaString", "c": value} if isinstance(value, str) else value


def words(text: str) -> list[Element]:
    """Return a plain text as inlines."""
    found: list[Element] = []
    for word in text.split():
        found += [Space(), Str(word)]
    return found[1:]


def transformed(tree: Any, action: Callable[[str, Any], Any]) -> Any:
    """Return the elements of `tree` with `action` applied to each, inner ones first.

    `action(type, contents)` returns None to keep the element, another to replace it, or
    a list of elements to set in its place.
    """
    if isinstance(tree, dict):
        return {key: transformed(value, action) for key, value in tree.items()}
    if not isinstance(tree, list):
        return tree
    result = []
    for item in tree:
        item = transformed(item, action)
        is_element = isinstance(item, dict) and "t" in item
        changed = action(item["t"], item.get("c")) if is_element else None
        if isinstance(changed, list):
            result += changed
        else:
            result.append(item if changed is None else changed)
    return result


def _run(text: str, *arguments: str) -> str:
    finished = subprocess.run(
        [program(), "--wrap=preserve", *arguments],
        input=text,
        capture_output=True,
        encoding="utf-8",
    )
    # A warning says that something was rendered as its source: never wanted.
    if finished.returncode or finished.stderr:
        raise PandocError(finished.stderr.strip())
    return finished.stdout
