"""Compare the exporters with nbconvert's own HTML, on notebooks of anybody.

python tests/compare_exporters.py FOLDER_OR_NOTEBOOK ...

prints a table with a row for each notebook: how many of the words and pictures that
nbconvert's page shows are missing in ours, and in the PDF, how many warnings there
were, and how long it took. What formulas say is not counted, as the outputs hold it in
other forms. A picture that is elsewhere on the web counts as a link, in both.
"""

import argparse
import re
import sys
import time
from collections import Counter
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from urllib.parse import unquote

import pikepdf
import pypdfium2
from nbconvert import HTMLExporter
from traitlets.config import Config

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from report import HTMLReport, PDFReport

FORMULA = re.compile(
    r"\$\$.+?\$\$|\$[^$\n]+\$|\\\(.+?\\\)|\\\[.+?\\\]|\\begin\{(\w+\*?)\}.+?\\end\{\1\}",
    re.DOTALL,
)
BROKEN = r"(?:[\xad\ufffe\x02\u2010-]\r?\n?|\r?\n↪ ?)"


class Shown(HTMLParser):
    """The text of a page, and the number of its pictures and of those elsewhere."""

    def __init__(self, page: str, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.text: list[str] = []
        self.pictures = self.elsewhere = 0
        self.unseen: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        if self.unseen:
            self.unseen += [tag] if tag == self.unseen[-1] else []
            return
        classes = (told.get("class") or "").split()
        if tag in ("script", "style", "math", "nav", "title", "svg") or {
            "jp-InputPrompt",
            "jp-OutputPrompt",
            "anchor-link",
        } & set(classes):
            self.pictures += tag == "svg"
            self.unseen.append(tag)
        if tag == "img":
            address = unquote(told.get("src") or "")
            elsewhere = address.startswith(("http:", "https:"))
            here = address.startswith("data:") or (self.folder / address).is_file()
            self.elsewhere += elsewhere
            self.pictures += here and not elsewhere
        if tag in ("p", "div", "td", "th", "li", "br", "pre", "h1", "h2", "h3", "tr"):
            self.text.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if self.unseen and tag == self.unseen[-1]:
            self.unseen.pop()

    def handle_data(self, data: str) -> None:
        if not self.unseen:
            self.text.append(data)


def words(text: str) -> Counter[str]:
    """The words of a text, without formulas, and without what typography changes."""
    text = FORMULA.sub(" ", text).translate({0x200B: None, 0xAD: None, 0x21AA: None})
    return Counter(re.findall(r"[^\W_]{2,}", text.casefold()))


def of_pdf(content: bytes) -> tuple[str, int]:
    """The text of a PDF, and the number of its pictures.

    A hyphen at the end of a line may be the word's own or not: words come both ways.
    """
    with pypdfium2.PdfDocument(content) as document:
        pages = [page.get_textpage().get_text_range() for page in document]
    text = "\n".join(pages)
    joined = (
        re.sub(BROKEN, "", word[0]) for word in re.finditer(rf"\w+({BROKEN}\w+)+", text)
    )
    text = f"{re.sub(BROKEN, ' ', text)} {' '.join(joined)}"
    with pikepdf.open(BytesIO(content)) as document:
        pictures, waiting = 0, [document.Root.StructTreeRoot]
        while waiting:
            element = waiting.pop()
            pictures += str(element.get("/S", "")) == "/Figure"
            children = element.get("/K", [])
            if not isinstance(children, pikepdf.Array):
                children = [children]
            waiting += [c for c in children if isinstance(c, pikepdf.Dictionary)]
    return text, pictures


def missing(wanted: Counter[str], text: str) -> tuple[int, list[str]]:
    """How many of the wanted words a text lacks, and the first of them.

    On paper a long word may be in two pieces: it is there if its letters are.
    """
    run = re.sub(r"[\W_]+", "", text.casefold())
    lost = {
        word: number
        for word, number in (wanted - words(text)).items()
        if len(word) < 12 or run.count(word) < wanted[word]
    }
    return sum(lost.values()), list(lost)[:8]


def compared(notebook: Path) -> list[object]:
    """The row of a notebook; what is refused is told by its first line."""
    # What the author has tagged to be left out, Jupyter Book leaves out, too.
    told = {"enabled": True, "remove_cell_tags": ["remove-cell"]}
    config = Config(TagRemovePreprocessor=told)
    page, _ = HTMLExporter(config=config).from_filename(str(notebook))
    theirs = Shown(page, notebook.parent)
    wanted = words("".join(theirs.text))
    row: list[object] = [notebook.name, sum(wanted.values()), theirs.pictures]
    lost: list[str] = []
    for exporter in (HTMLReport(), PDFReport()):
        exporter.log.setLevel("CRITICAL")
        started = time.monotonic()
        try:
            content, resources = exporter.from_filename(str(notebook))
        except Exception as error:  # whatever it is, it is the result
            told = str(error).splitlines() or [""]
            row += [f"{type(error).__name__}: {told[0][:60]}", "", "", ""]
            continue
        took = time.monotonic() - started
        if isinstance(content, str):
            shown = Shown(content, notebook.parent)
            text, pictures = "".join(shown.text), shown.pictures
        else:
            text, pictures = of_pdf(content)
        number, some = missing(wanted, text)
        lost += some
        warned = len(resources.get("warnings", ()))
        row += [number, max(0, theirs.pictures - pictures), warned, f"{took:.1f}"]
    return [*row, " ".join(dict.fromkeys(lost))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("places", nargs="+", type=Path, metavar="FOLDER_OR_NOTEBOOK")
    notebooks = [
        file
        for place in parser.parse_args().places
        for file in (sorted(place.rglob("*.ipynb")) if place.is_dir() else [place])
    ]
    columns = ["notebook", "words", "pictures"]
    for kind in ("page", "PDF"):
        columns += [f"{kind}: words lost", "pictures lost", "warnings", "s"]
    print("|", " | ".join([*columns, "lost"]), "|")
    print("|---" * (len(columns) + 1) + "|")
    for notebook in notebooks:
        print("|", " | ".join(map(str, compared(notebook))), "|", flush=True)


if __name__ == "__main__":
    main()
