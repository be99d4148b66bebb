"""The one door to pandoc: Markdown in, blocks in the middle, HTML or Typst out.

Blocks and inlines are pandoc's JSON elements, {"t": type, "c": contents}; `pandocfilters`
has the constructors and `walk`.
"""

import json
import subprocess

import pypandoc

API_VERSION = [1, 23, 1]

# CommonMark, as Jupyter renders it, with what the notebooks and their template use.
MARKDOWN = (
    "commonmark+attributes+bracketed_spans+fenced_divs+footnotes+pipe_tables+smart"
    "+strikeout+tex_math_dollars"
)


class PandocError(ValueError):
    """pandoc refused its input, or warned that it would lose a part of it."""


def read(markdown: str) -> list:
    """Return the blocks of a Markdown text."""
    return json.loads(_run(markdown, "--from", MARKDOWN, "--to", "json"))["blocks"]


def write(blocks: list, to: str, *options: str, metadata: dict | None = None) -> str:
    """Return `blocks` in the format `to`; `metadata` fills pandoc's template."""
    document = {
        "pandoc-api-version": API_VERSION,
        "meta": metadata or {},
        "blocks": blocks,
    }
    return _run(json.dumps(document), "--from", "json", "--to", to, *options)


def _run(text: str, *arguments: str) -> str:
    finished = subprocess.run(
        [pypandoc.get_pandoc_path(), "--wrap=preserve", *arguments],
        input=text,
        capture_output=True,
        encoding="utf-8",
    )
    # A warning says that something was rendered as its source: never wanted.
    if finished.returncode or finished.stderr:
        raise PandocError(finished.stderr.strip())
    return finished.stdout
