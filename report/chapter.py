"""A chapter: one notebook, read into pandoc's blocks."""

import base64
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from nbconvert.exporters import Exporter
from nbformat import NotebookNode
from pandocfilters import CodeBlock, Div, Emph, Image, Link, Para, Str, stringify
from traitlets import Bool
from traitlets.config import Config

from report import exercises, outputs, pandoc, pictures, script
from report.findings import Findings, Place
from report.folding import without_title
from report.pandoc import Element
from report.texts import Texts

TEMPLATES = Path(__file__).parent / "templates"
# As helpers.figures.element writes it.
PICTURE = re.compile(r'<img src="data:image/(svg|png)(?:\+xml)?;base64,([\w+/=]+)"')
MAGIC = re.compile(
    r"%%(bash|sh|html|javascript|js|latex|perl|ruby|R|julia|sql|cython)\b"
)
LANGUAGES = {"ipython": "python", "ipython3": "python", "c++": "cpp", "c#": "cs"}
LANGUAGES |= {"js": "javascript", "sh": "bash", "cython": "python", "coconut": "python"}

Part = Callable[[], list]  # the blocks of a part of a cell, once all texts are read


@dataclass(frozen=True)
class Chapter:
    """One notebook: `name` is its file without the ending, in the folder `folder`.

    `blocks` has one div `.cell` for each cell, which carries its `number`; in it divs
    for inputs and outputs, which carry their kind. `images` holds the files of its
    pictures by the names that the blocks refer to, `findings` what could not be shown
    as it is, `metadata` what the notebook says on itself, `data` what its figures show,
    as CSV by their ids, `slides` what slides its cells are, by their number.
    """

    name: str
    folder: Path
    blocks: list
    images: dict[str, bytes]
    findings: Findings = field(default_factory=Findings)
    metadata: dict[str, Any] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    slides: dict[int, str] = field(default_factory=dict)


class ChapterExporter(Exporter):
    """Notebook to blocks: what the exporters of the report build upon."""

    whole_tracebacks = Bool(
        False, help="Show the whole traceback of an error, not its last line alone."
    ).tag(config=True)
    typographic = Bool(
        True,
        allow_none=True,
        help="Set quotation marks and dashes as in print. Without a value: in "
        "notebooks that say 'report' in their metadata.",
    ).tag(config=True)

    @property
    def default_config(self) -> Config:
        config = Config(CoalesceStreamsPreprocessor={"enabled": True})
        config.merge(super().default_config)
        return config

    def chapter(self, notebook: NotebookNode, name: str, folder: Path) -> Chapter:
        """Return `notebook`, the content of the file `name` in `folder`, as chapter."""
        notebook, _ = super().from_notebook_node(
            notebook, {"metadata": {"name": name, "path": str(folder)}}
        )
        typographic = self.typographic
        if typographic is None:
            typographic = "report" in notebook.metadata
        layout = _Layout(notebook, name, folder, typographic, self.whole_tracebacks)
        return Chapter(
            name,
            folder,
            layout.blocks(),
            layout.images,
            layout.findings,
            dict(notebook.metadata) | layout.front_matter,
            layout.data,
            {n: _slide(cell) for n, cell in enumerate(notebook.cells, 1)},
        )


class _Layout:
    """Lays out the cells of one notebook; texts are read when all are known."""

    def __init__(
        self,
        notebook: NotebookNode,
        name: str,
        folder: Path,
        typographic: bool,
        whole_tracebacks: bool,
    ) -> None:
        self.notebook, self.name, self.folder = notebook, name, folder
        self.whole_tracebacks = whole_tracebacks
        self.findings = Findings()
        self.images: dict[str, bytes] = {}
        self.data: dict[str, str] = {}
        self.texts = Texts(self.findings, typographic)
        self.language = _language(notebook)
        self.front_matter: dict[str, Any] = {}

    def blocks(self) -> list:
        laid_out = []
        for number, cell in enumerate(self.notebook.cells, 1):
            tags = cell.metadata.get("tags", [])
            if "navigation" in tags or "remove-cell" in tags:
                continue
            if number == 1 and (told := _front_matter(cell)):
                self.front_matter = told
                continue
            place = Place(self.name, number)
            laid_out.append((place, cell, list(self._cell(place, cell, tags))))
        self.texts.read()
        return [
            Div(
                ["", ["cell"], [["number", str(place.cell)]]],
                self._with_pictures([b for p in parts for b in p()], place, cell),
            )
            for place, cell, parts in laid_out
        ]

    def _cell(self, place: Place, cell: NotebookNode, tags: list) -> Iterator[Part]:
        if "check" in tags:
            yield _div(["exercise", "page-only"], key=exercises.key_of(cell.source))
        elif "exercise" in tags:
            yield _div(["question", "page-only"], self._markdown(place, cell.source))
        elif cell.cell_type == "markdown":
            yield self._markdown(place, cell.source)
            for part in script.PICTURES["starts"]:
                if f"movable-{part}" in tags:
                    yield _div(["movable"], part=part)
        elif cell.cell_type == "raw":
            yield self._raw(place, cell)
        else:
            if cell.source.strip() and not {"setup", "remove-input"} & set(tags):
                kinds = ["input"]
                kinds += ["folded"] if "hide-input" in tags else []
                kinds += [tag for tag in ("page-only", "solution") if tag in tags]
                code = exercises.without_markers(without_title(cell.source))
                yield _div(kinds, self._code(code))
            if "remove-output" not in tags:
                for kind, some in groupby(cell.get("outputs", []), outputs.report_kind):
                    if kind == "prose":  # sentence by sentence, also a list may come
                        told = ["".join(o.data.get("text/markdown", "")) for o in some]
                        yield self._markdown(place, "\n\n".join(told))
                    else:
                        yield from (self._output(place, output) for output in some)

    def _markdown(self, place: Place, source: str) -> Part:
        text = self.texts.markdown(place, source)
        return lambda: text.blocks

    def _html(self, place: Place, source: str) -> Part:
        text = self.texts.html(place, source)
        return lambda: text.blocks

    def _raw(self, place: Place, cell: NotebookNode) -> Part:
        mime = cell.metadata.get("raw_mimetype", cell.metadata.get("format", ""))
        if "html" in mime:
            return self._html(place, cell.source)
        if "markdown" in mime:
            return self._markdown(place, cell.source)
        return _verbatim(cell.source)

    def _code(self, source: str) -> Part:
        magic = MAGIC.match(source)
        language = self.language
        if magic:
            language = _known(magic[1])
        return _verbatim(source, language)

    def _output(self, place: Place, output: NotebookNode) -> Part:
        if kind := outputs.report_kind(output):
            return self._report(place, output, kind)
        if output.output_type == "stream":
            kinds = ["stderr"] if output.name == "stderr" else []
            return _verbatim(outputs.terminal_text(output.text), *kinds)
        if output.output_type == "error":
            return _verbatim(self._error(output))
        return self._data(place, output)

    def _error(self, output: NotebookNode) -> str:
        last = f"{output.ename}: {output.evalue}"
        lines = output.traceback if self.whole_tracebacks else []
        return outputs.terminal_text("\n".join(lines) or last)

    def _report(self, place: Place, output: NotebookNode, kind: str) -> Part:
        """Lay out what the helpers of a report display: it has caption and key."""
        report, data = output.metadata.report, output.data
        if kind == "unknown":
            self.findings.add(
                place,
                f"an output of the unknown kind {report.get('kind')!r}: one of "
                f"{', '.join(outputs.REPORT_KINDS)} is known",
            )
            return self._data(place, output)
        key, caption = str(report.get("key") or ""), str(report.get("caption") or "")
        if kind == "figure":
            file = self._figure_file(output, key)
            alternative = " ".join(str(report.get("alt") or "").split())
            width = str(report.get("width", 6.5))
            if not file:
                self.findings.add(
                    place, f"the figure {key!r} holds no picture: run its cell again"
                )
                return self._markdown(place, caption)
            if values := str(report.get("data") or ""):
                self.data[f"fig-{key}"] = values
            return _div(
                ["figure"],
                self._markdown(place, caption),
                **{"key": key, "alt": alternative, "width": width, "file": file},
            )
        text = self._markdown(place, "".join(data.get("text/markdown", "")))
        if kind == "environment":
            return _div(["environment"], text, record=json.dumps(report))
        kinds = ["table", *(["page-only"] if report.get("print") is False else [])]
        return _div(kinds, text, self._markdown(place, caption), key=key)

    def _figure_file(self, output: NotebookNode, key: str) -> str:
        """Keep the picture that a figure holds in its HTML; return its name."""
        found = PICTURE.search("".join(output.data.get("text/html", "")))
        content = base64.b64decode(found[2]) if found else b""
        if not found or not content:
            return ""
        safe = re.sub(r"[^\w.-]", "-", key)
        name = f"{safe}.{found[1]}"
        if self.images.get(name, content) != content:  # of another with such a key
            name = f"{safe}-{len(self.images) + 1}.{found[1]}"
        self.images[name] = content
        return name

    def _data(self, place: Place, output: NotebookNode) -> Part:
        """Lay out an output of anybody: the richest form that paper can show."""
        data, metadata = output.data, output.get("metadata", {})
        plain = outputs.terminal_text("".join(data.get("text/plain", "")))
        picture = outputs.picture_of(data)
        if kind := outputs.interactive(data):
            return self._interactive(place, kind, picture, data, metadata)
        if "text/html" in data:
            return self._html(place, "".join(data["text/html"]))
        if "text/markdown" in data:
            return self._markdown(place, "".join(data["text/markdown"]))
        if "text/latex" in data:
            return self._latex(place, "".join(data["text/latex"]))
        if picture:
            return self._picture(place, *picture, plain, metadata)
        if "application/json" in data:
            told = json.dumps(data["application/json"], indent=2, ensure_ascii=False)
            return _verbatim(told)
        for mime in data:
            if mime != "text/plain":
                self.findings.add(
                    place,
                    f"an output of the kind {mime} is shown as plain text: display it "
                    "as picture, Markdown or HTML, too",
                )
        return _verbatim(plain)

    def _interactive(
        self,
        place: Place,
        kind: str,
        picture: tuple[str, str] | None,
        data: dict,
        metadata: dict,
    ) -> Part:
        plain = outputs.terminal_text("".join(data.get("text/plain", "")))
        if picture:
            self.findings.add(
                place, f"an interactive output ({kind}) is shown as its static picture"
            )
            return self._picture(place, *picture, plain, metadata)
        self.findings.add(
            place,
            f"an interactive output ({kind}) is shown as a note: display it as a "
            "picture, too (plotly: the renderer 'png'; a widget: its values as text)",
        )
        told = f"Interactive output ({kind}): open the notebook to use it."
        note = [Para([Emph(pandoc.words(told))])]
        text = self._html(place, "".join(data.get("text/html", "")))
        return lambda: [*note, *(text() or _verbatim(plain)())]

    def _latex(self, place: Place, source: str) -> Part:
        r"""Lay out LaTeX: formulas, also between \( and \[, and the words around."""
        source = re.sub(r"(?<!\\)\\([\[\]()])", r"\\\\\1", source)
        return self._markdown(place, source)

    def _picture(
        self, place: Place, mime: str, data: str, plain: str, metadata: dict
    ) -> Part:
        self.findings.add(
            place,
            "a picture without caption and alternative text: show it with "
            "helpers.figures.show, or give the metadata of its output 'alt'",
        )
        told = metadata.get(mime, {}) if isinstance(metadata.get(mime), dict) else {}
        alternative = str(metadata.get("alt") or told.get("alt") or "")
        try:
            name = self._kept(place, pictures.content_of(mime, data))
        except pictures.PictureError as error:
            self.findings.add(place, f"a picture is left out: {error}")
            return _verbatim(plain)
        wide = [["width", f"{told['width']}px"]] if told.get("width") else []
        words = pandoc.words(alternative or f"Output of cell {place.cell}")
        return lambda: [Para([Image(["", ["picture"], wide], words, [name, ""])])]

    def _kept(self, place: Place, content: bytes) -> str:
        """Keep a picture; return its name. Raises PictureError for what is none."""
        ending, content = pictures.usable(content)
        for name, kept in self.images.items():
            if kept == content:
                return name
        name = f"cell-{place.cell}-{len(self.images) + 1}.{ending}"
        self.images[name] = content
        return name

    def _with_pictures(self, blocks: list, place: Place, cell: NotebookNode) -> list:
        """Take in the pictures that texts name; links stand for others."""

        def action(kind: str, content: Any) -> Element | list | None:
            if kind != "Image" or "picture" in content[0][1]:
                return None
            (_, _, pairs), alternative, (address, title) = content
            told = f"the picture {_shortened(address)!r}"
            if re.match("https?:|//", address):
                self.findings.add(
                    place,
                    f"{told} is elsewhere on the web: a link stands for it; attach the "
                    "picture to the cell, or put its file beside the notebook",
                )
                words = alternative or pandoc.words(address.rpartition("/")[2])
                return Link(["", [], []], words, [address, title])
            attachments = cell.get("attachments", {})
            try:
                content = pictures.named(address, attachments, self.folder)
                name = self._kept(place, content)
            except pictures.PictureError as error:
                self.findings.add(place, f"{told} is left out: {error}")
                words = alternative or pandoc.words(_shortened(address))
                return [Str("["), Emph(words), Str("]")]
            self.findings.add(
                place,
                "a picture in the text has neither number nor caption: show it with "
                "helpers.figures.show",
            )
            words = (
                alternative if stringify(alternative).strip() else pandoc.words(title)
            )
            words = words or pandoc.words(_shortened(address.rpartition("/")[2]))
            wide = [pair for pair in pairs if pair[0] == "width"]
            return Image(["", ["picture"], wide], words, [name, ""])

        return pandoc.transformed(blocks, action)


def _div(classes: list[str], *parts: Part, **values: str) -> Part:
    pairs = [[name, value] for name, value in values.items()]
    return lambda: [Div(["", classes, pairs], [b for part in parts for b in part()])]


def _verbatim(text: str, *classes: str) -> Part:
    """Return a text as it is, maybe in the colours of a language."""
    text = outputs.terminal_text(text).rstrip()
    block = CodeBlock(["", [c for c in classes if c], []], text)
    return lambda: [block] if text.strip() else []


def _shortened(address: str) -> str:
    return address if len(address) <= 60 else f"{address[:57]}…"


def _slide(cell: NotebookNode) -> str:
    """Return the type of slide that a cell says to be, "" for none."""
    told = cell.metadata.get("slideshow")
    return str(told.get("slide_type") or "") if isinstance(told, dict) else ""


def _language(notebook: NotebookNode) -> str:
    told = notebook.metadata.get("language_info", {}).get("name", "")
    kernel = notebook.metadata.get("kernelspec", {}).get("language", "")
    return _known(str(told or kernel or "python"))


def _known(name: str) -> str:
    """Return the name by which pandoc knows a language, "" if it does not."""
    name = LANGUAGES.get(name.lower(), name.lower())
    return name if name == "python" or name in pandoc.languages() else ""


def _front_matter(cell: NotebookNode) -> dict[str, Any]:
    """Return what a notebook's first cell says between lines of dashes, as in YAML."""
    source = cell.source.strip() + "\n"
    if cell.cell_type == "code" or not re.fullmatch(
        r"---\n.*?\n---\n", source, re.DOTALL
    ):
        return {}
    try:
        return {name: _plain(v) for name, v in pandoc.front_matter(source).items()}
    except pandoc.PandocError:
        return {}


def _plain(value: Element) -> Any:
    kind, content = value["t"], value["c"]
    if kind == "MetaList":
        return [_plain(item) for item in content]
    if kind == "MetaMap":
        return {name: _plain(item) for name, item in content.items()}
    return stringify(content) if kind in ("MetaInlines", "MetaBlocks") else content
