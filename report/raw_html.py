"""HTML that notebooks hold, in cells and outputs, made fit for pandoc's reader.

What has a meaning on paper, too, is kept and balanced; scripts and styles go; what can
only be used in a browser leaves its words, or a link, and is reported.
"""

import base64
import re
from html import escape
from html.parser import HTMLParser

SILENT = {"style", "head", "title", "template", "noscript", "colgroup"}  # show no text
LOST = {
    "script": "a script",
    "canvas": "a drawing that a script makes",
    "iframe": "a page from elsewhere",
    "object": "an embedded file",
    "embed": "an embedded file",
    "video": "a film",
    "audio": "a sound",
    "input": "a field of a form",
    "select": "a field of a form",
    "textarea": "a field of a form",
    "button": "a field of a form",
}
UNREAD = {"script", "canvas", "select"}  # with all that is in them
LINKED = ("iframe", "video", "audio", "embed", "object", "source")
VOID = {"br", "img", "hr", "wbr", "col", "input", "source", "embed"}
VOID |= {"area", "base", "link", "meta", "param", "track"}
KEPT = {
    *("p", "div", "span", "br", "hr", "img", "a", "b", "strong", "i", "em", "u", "s"),
    *("del", "ins", "strike", "sub", "sup", "small", "code", "pre", "kbd", "samp"),
    *("var", "tt", "mark", "q", "cite", "abbr", "dfn", "blockquote", "center", "font"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "dl", "dt", "dd", "table"),
    *("caption", "thead", "tbody", "tfoot", "tr", "td", "th", "wbr", "label"),
    *("math", "mi", "mn", "mo", "mrow", "msup", "msub", "msubsup", "mfrac", "msqrt"),
    *("mtable", "mtr", "mtd", "mover", "munder", "munderover", "mtext", "mspace"),
    *("mroot", "mstyle", "mfenced", "menclose", "semantics", "annotation"),
}
AS_PARAGRAPH = {"figcaption", "legend", "address", "option", "textarea", "button"}
DETAILS, SUMMARY = "html-details", "html-summary"
ATTRIBUTES = {"href", "src", "alt", "title", "id", "name", "width", "height"}
ATTRIBUTES |= {"colspan", "rowspan", "start", "align", "type", "display", "encoding"}
# What the beginning of an element ends, if it is still open.
ENDED_BY = {
    "li": {"li"},
    "p": {"p"},
    "dt": {"dt", "dd"},
    "dd": {"dt", "dd"},
    "td": {"td", "th", "p"},
    "th": {"td", "th", "p"},
    "tr": {"tr", "td", "th", "p"},
    "tbody": {"tr", "td", "th", "thead", "tbody"},
    "option": {"option"},
}
SVG = re.compile(r"<svg\b.*?</svg\s*>", re.DOTALL | re.IGNORECASE)


class Cleaned(HTMLParser):
    """HTML without what no document can show; `html` is balanced.

    Attributes: `lost`, what could only be used in a browser; `html`.
    """

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.lost: dict[str, None] = {}
        self.parts: list[str] = []
        self.opened: list[tuple[str, str]] = []  # as written, as it is ended
        self.unread: list[str] = []  # inside what is left out
        self.feed(SVG.sub(_svg, source))
        self.close()
        self.parts += [end for _, end in reversed(self.opened)]
        self.html = "".join(self.parts)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if self.unread:
            if tag == self.unread[-1]:
                self.unread.append(tag)
            return
        if tag in LOST and attributes.get("type") != "checkbox":
            self.lost[LOST[tag]] = None
        style = re.sub(r"\s", "", attributes.get("style", "").lower())
        if tag in SILENT | UNREAD or "display:none" in style:
            if tag not in VOID:
                self.unread.append(tag)
            return
        while self.opened and self.opened[-1][0] in ENDED_BY.get(tag, ()):
            self.parts.append(self.opened.pop()[1])
        if tag in LINKED:
            self._link(tag, attributes)
        elif tag == "input":
            self.parts.append(_field(attributes))
        elif tag in ("details", "summary"):
            name = DETAILS if tag == "details" else SUMMARY
            self._open(tag, f'<div class="{name}">', "</div>")
            return
        elif tag in AS_PARAGRAPH:
            self._open(tag, "<p>", "</p>")
            return
        elif tag in KEPT:
            text = f"<{tag}{_attributes(tag, attributes, style)}>"
            self._open(tag, text, f"</{tag}>")
            return
        if tag not in VOID:
            self._open(tag, "", "")

    def _open(self, tag: str, text: str, end: str) -> None:
        self.parts.append(text)
        if tag not in VOID:
            self.opened.append((tag, end))

    def handle_endtag(self, tag: str) -> None:
        if self.unread:
            if tag == self.unread[-1]:
                self.unread.pop()
            return
        if any(tag == opened for opened, _ in self.opened):
            while True:
                opened, end = self.opened.pop()
                self.parts.append(end)
                if opened == tag:
                    return

    def handle_data(self, data: str) -> None:
        if not self.unread:
            self.parts.append(escape(data))

    def _link(self, tag: str, attributes: dict[str, str]) -> None:
        address = attributes.get("src") or attributes.get("data") or ""
        if re.match("https?:", address):
            self.parts.append(f'<a href="{escape(address)}">{escape(address)}</a> ')
        elif address and not address.startswith("data:"):
            self.parts.append(f"{escape(address)} ")


def _attributes(tag: str, attributes: dict[str, str], style: str) -> str:
    kept = {name: value for name, value in attributes.items() if name in ATTRIBUTES}
    if tag in ("td", "th") and (
        side := re.search("text-align:(left|right|center)", style)
    ):
        kept["style"] = f"text-align: {side[1]};"
    if tag in ("pre", "code") and (name := attributes.get("class", "")):
        kept["class"] = name.removeprefix("sourceCode ").removeprefix("language-")
    return "".join(f' {name}="{escape(value)}"' for name, value in kept.items())


def _field(attributes: dict[str, str]) -> str:
    kind = attributes.get("type", "text")
    if kind == "checkbox":
        return "☒ " if "checked" in attributes else "☐ "
    return "" if kind == "hidden" else escape(attributes.get("value", ""))


def _svg(found: re.Match) -> str:
    """Return a drawing among the elements of a page as a picture of its own."""
    text = found[0]
    if "xmlns=" not in text.partition(">")[0]:
        text = text.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    encoded = base64.b64encode(text.encode()).decode()
    return f'<img src="data:image/svg+xml;base64,{encoded}" alt="">'
