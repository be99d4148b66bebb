"""The report: what the two outputs hold, how they agree, how they behave in a browser.

Two documents go through all checks: a small one with every feature, written here, and
the real notebooks, when a build has left them in build/executed/.
"""

import base64
import html
import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from html.parser import HTMLParser
from importlib.machinery import ModuleSpec
from io import BytesIO
from pathlib import Path
from urllib.parse import unquote

import nbformat
import numpy as np
import pikepdf
import pypdfium2
import pytest
import typst
from browser import MISSING as NO_BROWSER
from browser import started as start_browser
from nbformat.v4 import (
    new_code_cell,
    new_markdown_cell,
    new_notebook,
    new_output,
)
from pandocfilters import stringify
from PIL import Image

from helpers import figures
from report import execute, folding, font, mathematics, navigation, pandoc, pdf, project
from report import html as html_page
from report.chapter import ChapterExporter
from report.document import QUICK_BANNER, Document
from report.errors import ReportError

GOLDEN = (Path(__file__).parent / "formulas.md").read_text("utf-8")
FORMULAS = re.findall(r"^- \$(.+)\$$", GOLDEN, re.MULTILINE)
LATEX = re.compile(r"\\[a-zA-Z]{2}")  # a command that was not converted
# What compiles but prints as overprinted, lost or misplaced signs.
MISPRINTED = r"#h\((-1|0)em\)|#scale|parallel|\\\| |^\$"
SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="400" height="150">'
    b'<rect width="400" height="150" fill="white"/><path d="M9 99L390 9" stroke="red"/>'
    b"</svg>"
)
TRICKY = """@wraps
def f(a: int, *b, c="x<y & 'z' > \\n") -> float:
    \'\'\'Say "so".\'\'\'
    return f"{a:.1%} of {b!r}" if a < 1e-3 and not c else 0x1F  # "why" & <how>"""
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5E"
    "rkJggg=="
)

# --- The small document ---------------------------------------------------------------


def text(source, **metadata):
    return new_markdown_cell(source, metadata=metadata)


def code(source, *outputs, tags=()):
    return new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)})


def shown(data, /, **report):
    return new_output("display_data", data=data, metadata={"report": report})


def figure(
    key="curve",
    caption="It falls with $k^2$.",
    alt="One falling curve.",
    picture=SVG,
    format="svg",
):
    held = figures.element(picture, format, key, caption, alt)
    report = {"kind": "figure", "key": key, "caption": caption, "alt": alt}
    return shown({"text/html": held}, **report, width=5.5)


def png(image):
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def table(key="cost", caption="Cost by $k$.", columns=3):
    row = " | ".join(f"long-heading-{n}" for n in range(columns))
    cells = " | ".join(["$k^2$", *("1.5" for _ in range(columns - 1))])
    rule = "|".join([":---", *("---:" for _ in range(columns - 1))])
    markdown = f"| {row} |\n|{rule}|\n| {cells} |"
    return shown({"text/markdown": markdown}, kind="table", key=key, caption=caption)


def environment(profile="full"):
    return shown(
        {"text/markdown": "Device: one core."},
        kind="environment",
        profile=profile,
        device="CPU, one core",
        data=["MNIST from a test"],
        versions={"Python": "3.11.7", "torch": "2.15.0"},
    )


def printed(text, name="stdout"):
    return new_output("stream", name=name, text=text)


def opening(title, profile="full"):
    return [
        text("[next](x.ipynb) navigation-row", tags=["navigation"]),
        text(f'# {title}\n\nIt finds that "a < b" & more.'),
        code("setup_input = 1", environment(profile), tags=["setup"]),
    ]


def first_notebook(profile="full"):
    return new_notebook(
        cells=[
            *opening("Loops with `code`", profile),
            text(
                "## What comes\n\n[Figure](#fig-curve), [Table](#tab-cost), "
                "[Equation (1.2)](#eq-1-2), [below](#The-loop:-it's-slow), "
                "[chapter 2](02_gradients.ipynb), "
                "[its end](02_gradients.ipynb#Summary), "
                "[Figure](02_gradients.ipynb#fig-photograph), "
                "[Equation (2.1)](02_gradients.ipynb#eq-2-1), "
                "[licence](../LICENSE), [elsewhere](https://example.org/?a=1&b=2)."
            ),
            text(
                "## The loop: it's *slow*\n\n<!-- a remark -->\nFirst\n"
                '<a id="eq-1-1"></a>\n$$\na\n= b\n+ c\n\\tag{1.1}\n$$\nthen\n\n'
                "$$\\begin{aligned} \\mathbf{Y}^{\\nabla} &= \\frac{a}{b} \\\\ &= "
                "\\sum_{i=0}^{n} x_i \\end{aligned} \\tag{1.2}$$\n\n- in a list "
                "$x_1$(y)\n\n$$ unnumbered $$\n\n### Deeper\n\n"
                "### Deeper\n\n| sign | meaning |\n|---|---|\n| $k$ | size |"
            ),
            code(
                "print(convolve(image))  # shown_input",
                printed("plain $output$ *as is*\n" + "x" * 200 + "\n"),
                printed("progress-bar", name="stderr"),
                new_output(
                    "execute_result",
                    data={"text/plain": "```\nfenced"},
                    execution_count=1,
                ),
            ),
            code("folded_input = 1", figure(), tags=["hide-input"]),
            code("removed_input = 1", table(columns=12), tags=["remove-input"]),
            code("removed_cell = 1", printed("removed_output"), tags=["remove-cell"]),
            code(
                "output_size(1)",
                new_output(
                    "error",
                    ename="ValueError",
                    evalue="too small",
                    traceback=["Traceback (most recent call last)", "/home/me"],
                ),
                tags=["raises-exception"],
            ),
            code(
                "say(...)",
                shown({"text/markdown": "Said: [Figure](#fig-curve)."}, kind="prose"),
                tags=["remove-input"],
            ),
            text(f"```text\n{'drawing ' * 20}\n```\n\n## Summary\n\nThe end."),
        ]
    )


def second_notebook():
    return new_notebook(
        cells=[
            *opening("Gradients"),
            text("## Idea\n\n$$ \\mathbf{X}^{\\nabla} = 0 \\tag{2.1} $$"),
            code(
                "pass",
                figure(
                    "photograph",
                    "A pixel.",
                    'A "grey" pixel.',
                    base64.b64decode(PIXEL),
                    "png",
                ),
            ),
            text("Move it.", tags=["movable-forward", "movable-backward"]),
            text("## Summary\n\nBack to [the loop](01_loops.ipynb#Summary)."),
        ]
    )


def chapters(**notebooks):
    exporter = ChapterExporter()
    return [
        exporter.chapter(content, name, project.NOTEBOOKS)
        for name, content in notebooks.items()
    ]


def sample(profile="full"):
    return Document(
        chapters(
            **{"01_loops": first_notebook(profile), "02_gradients": second_notebook()}
        )
    )


def executed():
    copies = [execute.EXECUTED / path.name for path in project.notebooks()]
    if not copies or not all(copy.exists() for copy in copies):
        pytest.skip("not all notebooks are in build/executed/: run `make report` first")
    return Document(chapters(**{copy.stem: nbformat.read(copy, 4) for copy in copies}))


@dataclass
class Rendered:
    document: Document
    page: str
    typst: str
    pdf: bytes


REAL = pytest.param(executed, marks=[pytest.mark.slow, pytest.mark.real])


@pytest.fixture(scope="module", params=[sample, REAL], ids=lambda f: f.__name__)
def rendered(request):
    document = request.param()
    page, typst_source = html_page.write(document), pdf.source(document)
    return Rendered(document, page, typst_source, pdf.write(document))


@pytest.fixture(scope="module")
def small():
    document = sample()
    return Rendered(document, html_page.write(document), pdf.source(document), b"")


class Elements(HTMLParser):
    """All start tags of a page, as (name, attributes), and the text inside some."""

    def __init__(self, page):
        super().__init__()
        self.all = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.all.append((tag, dict(attrs)))

    def named(self, *names):
        return [attributes for tag, attributes in self.all if tag in names]


# --- What both outputs hold -----------------------------------------------------------


def opened_pdf(content):
    return pikepdf.open(BytesIO(content))


def tags(content):
    """All elements of a PDF's structure in their order, as (depth, tag, its text)."""
    found = []
    with opened_pdf(content) as document:
        waiting = [(0, document.Root.StructTreeRoot)]
        while waiting:
            depth, element = waiting.pop()
            children = element.get("/K", [])
            if not isinstance(children, pikepdf.Array):
                children = [children]
            waiting += [
                (depth + 1, child)
                for child in reversed(children)
                if isinstance(child, pikepdf.Dictionary)
            ]
            found.append(
                (depth, str(element.get("/S", "")), str(element.get("/Alt", "")))
            )
    return found


def test_pdf_is_accessible_and_named(rendered):
    assert rendered.pdf.startswith(b"%PDF-")
    with opened_pdf(rendered.pdf) as document:
        metadata = document.Root.Metadata.read_bytes()
        assert b"<pdfuaid:part>1</pdfuaid:part>" in metadata
        assert document.Root.Lang == "en" and document.Root.MarkInfo.Marked
        assert document.docinfo.Title == stringify(rendered.document.metadata["title"])
        assert document.Root.ViewerPreferences.DisplayDocTitle
    assert len(tags(rendered.pdf)) > 100


def figures_of(document):
    """What pandoc's Figure elements hold: (alternative text, caption)."""
    found = []

    def note(kind, content):
        if kind == "Figure":
            _, caption, blocks = content
            (picture,) = blocks[0]["c"]
            found.append((stringify(picture["c"][1]), stringify(caption[1])))

    pandoc.transformed(document.blocks, note)
    return found


def test_every_picture_has_its_alternative_text_and_caption(rendered):
    alternatives, captions = zip(*figures_of(rendered.document), strict=True)
    assert all(text.strip() for text in (*alternatives, *captions))
    elements = Elements(rendered.page)
    assert tuple(i["alt"] for i in elements.named("img")) == alternatives
    shown = re.findall(r"<figcaption.*?</figcaption>", rendered.page, re.DOTALL)
    assert len(shown) == len(captions)
    for text, caption in zip(shown, captions, strict=True):
        assert " ".join(plain(text).split()).startswith(" ".join(caption.split()[:4]))
    in_pdf = tags(rendered.pdf)
    assert tuple(text for _, tag, text in in_pdf if tag == "/Figure") == alternatives
    tables = len(elements.named("caption")) - len(on_the_page_only(rendered.page))
    assert [tag for _, tag, _ in in_pdf].count("/Caption") == len(captions) + tables
    assert "No description" not in rendered.page + rendered.typst


def _canonical(kind, data):
    if kind == "data:image/png;base64":
        return base64.b64decode(data)
    assert kind == "data:image/svg+xml"
    return _canonical_svg(unquote(data))


def _canonical_svg(drawing):
    return ElementTree.canonicalize(drawing).encode()


def test_every_picture_is_in_the_page_once_and_as_it_was(rendered):
    shown = sorted(
        _canonical(*i["src"].split(",", 1))
        for i in Elements(rendered.page).named("img")
    )
    images = rendered.document.images
    assert len(shown) > 0
    assert shown == sorted(
        content if name.endswith(".png") else _canonical_svg(content.decode())
        for name, content in images.items()
    )
    # Beside them there is the typeface of formulas, and nothing else.
    data = rendered.page.count('href="data:text/csv')
    assert rendered.page.count('"data:') - data == len(shown) + 1


def test_every_picture_is_in_the_pdf_once_and_as_it_was():
    """Vector stays vector; pixels keep their colours, in a palette where one fits."""
    draw = np.random.default_rng(0)
    few = draw.choice([[200, 0, 0], [0, 90, 0], [0, 0, 255]], (20, 30))
    pictures = {
        "grey": Image.fromarray(draw.integers(0, 256, (20, 30), np.uint8)),
        "few": Image.fromarray(few.astype(np.uint8)),
        "many": Image.fromarray(draw.integers(0, 256, (20, 30, 3), np.uint8)),
    }
    cells = [text("# Pictures"), code("pass", figure())]
    for key, image in pictures.items():
        output = figure(key, "C.", "A picture.", png(image), "png")
        cells.append(code("pass", output))
    document = Document(chapters(**{"01_pictures": new_notebook(cells=cells)}))
    with opened_pdf(pdf.write(document)) as written:
        found = [
            pikepdf.PdfImage(item)
            for item in written.objects
            if isinstance(item, pikepdf.Stream) and item.get("/Subtype") == "/Image"
        ]
        assert len(found) == len(pictures)
        assert sorted(image.indexed for image in found) == [False, False, True]
        pixels = {image.as_pil_image().convert("RGB").tobytes() for image in found}
    assert pixels == {image.convert("RGB").tobytes() for image in pictures.values()}


def test_packing_keeps_every_tag_and_every_bit_of_text():
    document = sample()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pdf, "packed", lambda content: content)
        printed = pdf.write(document)
    packed = pdf.packed(printed)
    assert len(packed) < 0.7 * len(printed)
    assert tags(packed) == tags(printed)
    with opened_pdf(printed) as before, opened_pdf(packed) as after:
        assert before.Root.Metadata.read_bytes() == after.Root.Metadata.read_bytes()
        for old, new in zip(before.pages, after.pages, strict=True):
            assert old.Contents.read_bytes() == new.Contents.read_bytes()


def test_code_in_the_page_has_neither_links_nor_needless_spans(rendered):
    blocks = re.findall(r"<pre class=.sourceCode.*?</pre>", rendered.page, re.DOTALL)
    assert blocks
    for block in blocks:
        assert "<a " not in block and " id=" not in block and "&quot;" not in block
        assert not re.search(r'(<span class="\w">)[^<]*</span>\1', block)
    styled = set(re.findall(r'<span class="(\w)">', "".join(blocks)))
    assert {"k", "n"} <= styled <= set(html_page.TOKENS)
    for name in html_page.TOKENS:
        assert f"\n.{name} {{ color: var(--" in rendered.page


def test_code_in_the_page_is_that_of_the_cells(small):
    shown = re.findall(r"<pre class=.sourceCode.*?</pre>", small.page, re.DOTALL)
    (block,) = (plain(b) for b in shown if "convolve" in b)
    assert block == "print(convolve(image))  # shown_input"
    document = Document(
        chapters(**{"01_a": new_notebook(cells=[text("# Code"), code(TRICKY)])})
    )
    page = html_page.write(document)
    (block,) = re.findall(r"<pre class=.sourceCode.*?</pre>", page, re.DOTALL)
    assert plain(block) == TRICKY


def test_all_links_resolve(rendered):
    elements = Elements(rendered.page)
    identifiers = [a["id"] for _, a in elements.all if "id" in a]
    assert len(identifiers) == len(set(identifiers))
    addresses = [a["href"] for a in elements.named("a")]
    internal = {a[1:] for a in addresses if a.startswith("#")}
    assert len(internal) > 10
    assert internal <= set(identifiers)
    external = [a for a in addresses if not a.startswith(("#", "data:text/csv"))]
    assert all(a.startswith(("https://", "http://", "mailto:")) for a in external)


def test_nothing_is_requested_from_elsewhere(rendered):
    elements = Elements(rendered.page)
    assert not elements.named("link", "iframe", "object")
    assert elements.named("script") == [{}]  # one, inside, which its hash allows
    for attributes in elements.named("img", "source"):
        assert not re.match("https?:", attributes.get("src", ""))
    styles = "".join(re.findall("<style>.*?</style>", rendered.page, re.DOTALL))
    assert set(re.findall(r"url\(.(\w+:)", styles)) == {"data:"}


def test_page_has_landmarks_language_and_description(rendered):
    elements = Elements(rendered.page)
    for landmark in ("header", "nav", "main", "footer", "h1", "title"):
        assert len(elements.named(landmark)) == 1, landmark
    assert elements.named("html") == [{"lang": "en"}]
    described = {a.get("name"): a.get("content") for a in elements.named("meta")}
    assert described["viewport"] == "width=device-width, initial-scale=1"
    assert len(described["description"]) > 50


def test_tables_have_scopes_and_those_of_cells_captions(rendered):
    elements = Elements(rendered.page)
    assert {a.get("scope") for a in elements.named("th")} == {"col", "row"}
    captioned = [a for a in elements.named("table") if "id" in a]
    assert len(captioned) == len(elements.named("caption")) > 0


def readable(rendered):
    """Return all text that a reader can come across, also in pictures."""
    pictures = re.findall(r"data:image/svg\+xml,([^\"]+)", rendered.page)
    page = re.sub(r"data:[\w/+-]+[;,][^\"]+", "", rendered.page)
    return "\n".join([html.unescape(page), rendered.typst, *map(unquote, pictures)])


@pytest.mark.parametrize(
    "pattern",
    ["Traceback", r"(?<![\w./])/(home|root|tmp|Users|work)/", r"\b[A-Z]:\\\\?\w"],
)
def test_no_traceback_and_no_path_of_a_machine(rendered, pattern):
    assert not re.search(pattern, readable(rendered))


def on_the_page_only(page):
    """The labels of tables that are folded on the page and not printed."""
    return re.findall(r"<details><summary>Show Table.(\d+\.\d+),", page)


def test_numbers_agree_in_both_outputs(rendered, tmp_path):
    page = rendered.page
    headings = re.findall(r"<h([2-5])>(.*?)</h\1>", page, re.DOTALL)
    captions = re.findall(r"<(fig)?caption>(.*?)</(?:fig)?caption>", page, re.DOTALL)
    equations = re.findall(r'<span class="number">\((.*?)\)</span>', page)
    in_page = {
        "headings": [plain(text) for _, text in headings],
        "labels": sorted(
            label
            for label in (plain(text).split()[:2] for _, text in captions)
            if label[0] != "Table" or label[1] not in on_the_page_only(page)
        ),
        "equations": equations,
    }
    for name, content in rendered.document.images.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "report.typ").write_text(rendered.typst, "utf-8")

    def query(selector):
        main = str(tmp_path / "report.typ")
        return json.loads(typst.query(main, selector, ignore_system_fonts=True))

    in_pdf = {
        "headings": [typst_text(h["body"]) for h in query("heading")],
        "labels": sorted(
            typst_text(figure["caption"]).split()[:2]
            for figure in query("figure")
            if figure.get("caption")
        ),
        "equations": re.findall(r'#equation\(number: "(.*?)"\)', rendered.typst),
    }
    in_pdf["headings"].remove("Contents")
    assert len(in_page["headings"]) > 3 and in_page["labels"]
    assert simplified(in_page) == simplified(in_pdf)


def plain(markup):
    without_source = re.sub("<annotation.*?</annotation>", "", markup, flags=re.DOTALL)
    return html.unescape(re.sub("<[^>]*>", "", without_source))


def typst_text(content):
    if isinstance(content, list):
        return "".join(map(typst_text, content))
    if not isinstance(content, dict):
        return ""
    if content.get("func") in ("space", "linebreak"):
        return " "
    if content.get("func") == "smartquote":
        return "'"
    return content.get("text", "") + "".join(
        typst_text(content[key])
        for key in ("body", "child", "children")
        if key in content
    )


def simplified(numbers):
    """Leave out quotation marks, which the two outputs hold as different signs."""
    return json.loads(re.sub(r"'|\\u201[89cd]", "", json.dumps(numbers)))


def test_the_same_document_gives_the_same_bytes(small):
    document = sample()
    assert html_page.write(document) == small.page
    assert pdf.write(document) == pdf.write(sample())
    assert b"CreationDate" not in pdf.write(document)


# --- The finished report --------------------------------------------------------------


def without_typeface(page):
    """The subset of a font is the only part that its maker's version may change."""
    return re.sub(r"data:font/woff;base64,[^\"')]+", "", page)


def unpacked(content):
    """A PDF before compression, in which machines may differ, and without its name."""
    buffer = BytesIO()
    with opened_pdf(content) as document:
        del document.trailer["/ID"]
        document.save(
            buffer,
            compress_streams=False,
            stream_decode_level=pikepdf.StreamDecodeLevel.specialized,
            object_stream_mode=pikepdf.ObjectStreamMode.disable,
            static_id=True,
        )
    return buffer.getvalue()


@pytest.mark.slow
def without_commits(page):
    return re.sub("commits ([0-9a-f]{7}|none yet)(; ([0-9a-f]{7}|none yet))*", "", page)


def test_the_finished_report_is_that_of_the_notebooks():
    """Both come from one `make notebooks`; where they differ, run it again."""
    contents = {path.stem: nbformat.read(path, 4) for path in project.notebooks()}
    document = Document(chapters(**contents))
    page = project.PUBLISHED.with_suffix(".html").read_text("utf-8")
    page, anew = map(without_typeface, (page, html_page.write(document)))
    assert without_commits(page) == without_commits(anew)
    if page != anew:
        return  # a copy without the whole history knows no commits, nor does its PDF
    published = project.PUBLISHED.with_suffix(".pdf").read_bytes()
    assert unpacked(published) == unpacked(pdf.write(document))


# --- What each kind of cell becomes ---------------------------------------------------


def test_tags_decide_what_is_shown(small):
    for output in (small.page, small.typst):
        assert "navigation-row" not in output
        assert "setup_input" not in output
        assert "removed_input" not in output
        assert "removed_cell" not in output and "removed_output" not in output
        assert "shown_input" in output
        assert "progress-bar" in output
        assert "Device: one core." in output
    folded = re.findall("<details>.*?</details>", small.page, re.DOTALL)
    assert len(folded) == 1
    assert "folded_input" in folded[0]
    assert "folded_input" not in small.typst


def test_what_is_for_the_page_is_folded_there_and_not_printed():
    data = {"text/markdown": "| a |\n|---|\n| first-row |\n| last-row |"}
    report = {"kind": "table", "key": "all", "caption": "All-of-them."}
    cells = [
        *opening("Lists"),
        text("[Table](#tab-all), [Table](#tab-few)."),
        code("kept_input = 1", shown(data, **report, print=False)),
        code("page_input = 1", printed("kept-output"), tags=["page-only"]),
        code("few_input = 1", table("few")),
    ]
    document = Document(chapters(**{"01_lists": new_notebook(cells=cells)}))
    page, source = html_page.write(document), pdf.source(document)

    (folded,) = re.findall("<details>.*?</details>", page, re.DOTALL)
    assert "<summary>Show Table 1.1, 2 rows</summary>" in folded
    assert all(word in folded for word in ("first-row", "last-row", "All-of-them"))
    assert '<a href="#tab-all">Table 1.1</a>' in page and 'id="tab-all"' in folded
    assert "page_input" in page and "page_input" not in folded

    assert not re.search("last-row|All-of-them|tab-all|page_input", source)
    assert "Table 1.1, #link(<tab-few>)[Table 1.2]." in source.replace("\n", " ")
    assert all(word in source for word in ("kept_input", "kept-output", "few_input"))
    assert pdf.write(document)


def test_an_error_is_one_line(small):
    assert "ValueError: too small" in small.page
    assert "ValueError: too small" in small.typst


def test_output_is_verbatim_and_wrapped_on_paper(small):
    assert "plain $output$ *as is*" in plain(small.page)
    assert "x" * 200 in small.page
    assert "```\nfenced" in plain(small.page)
    assert "x" * 93 not in small.typst
    assert "x" * 92 + "\nx" in small.typst


def test_references_are_replaced_by_numbers(small):
    for link in (
        '<a href="#fig-curve">Figure 1.1</a>',
        '<a href="#tab-cost">Table 1.1</a>',
        '<a href="#eq-1-2">Equation (1.2)</a>',
        '<a href="#fig-photograph">Figure 2.1</a>',
        '<a href="#gradients-summary">its end</a>',
        '<a href="#loops-summary">the loop</a>',
        '<a href="#gradients">chapter 2</a>',
        f'<a href="{project.repository()}/blob/main/LICENSE">licence</a>',
    ):
        assert link in small.page.replace("\n", " "), link
    for link in ("#link(<fig-curve>)[Figure 1.1]", "#link(<eq-2-1>)[Equation (2.1)]"):
        assert link in small.typst.replace("\n", " "), link


def test_one_chapter_alone_links_to_the_other_notebooks(tmp_path):
    alone = first_notebook()
    (tmp_path / "02_gradients.ipynb").touch()
    (tmp_path / "LICENSE").touch()
    alone.cells[3].source = "[Figure](02_gradients.ipynb#fig-photograph)"
    chapter = ChapterExporter().chapter(alone, "01_loops", tmp_path)
    page = html_page.write(Document([chapter]))
    assert '<a href="02_gradients.ipynb#fig-photograph">Figure</a>' in page


@pytest.mark.parametrize("profile", ["quick", "full"])
def test_a_banner_marks_a_quick_run(profile):
    document = sample(profile)
    assert (QUICK_BANNER in html_page.write(document)) == (profile == "quick")
    assert f"#let quick = {str(profile == 'quick').lower()}" in pdf.source(document)


FACTS = ["Data", "Machine", "Versions"]


def test_the_title_page_says_data_machine_and_versions(rendered):
    for name, value in rendered.document.environment.facts:
        assert value in plain(rendered.page)
        assert value.split()[0] in rendered.typst.replace("\\_", "_"), name
    names = [name for name, _ in rendered.document.environment.facts]
    # Without CIFAR-10 there is one more: the chapter whose stored outputs are shown.
    assert [name for name in names if name != "Not executed"] == FACTS


def test_a_long_table_goes_on_over_the_page():
    def pages(rows):
        markdown = "| a | b |\n|---|---|\n" + "\n".join(["| x | y |"] * rows)
        output = shown({"text/markdown": markdown}, kind="table", key="a", caption="A.")
        cells = [text("# Long"), code("pass", output)]
        document = Document(chapters(**{"01_long": new_notebook(cells=cells)}))
        return len(typst.compile(pdf.source(document).encode(), format="svg"))

    assert pages(rows=120) == pages(rows=5) + 2


def test_a_table_without_caption_stays_between_its_sentences():
    rows = "\n".join(["| cell | y |"] * 15)
    markdown = f"# Title\n\n## Section\n\nBefore.\n\n| a | b |\n|---|---|\n{rows}"
    cells = [text(f"{markdown}\n\nAfterwards.")]
    document = Document(chapters(**{"01_table": new_notebook(cells=cells)}))
    with pypdfium2.PdfDocument(pdf.write(document)) as printed:
        page = printed[len(printed) - 1].get_textpage()
        heights = []
        for words in ("Before", "cell", "Afterwards"):
            first, _ = page.search(words).get_next()
            heights.append(page.get_charbox(first)[3])
    assert heights == sorted(heights, reverse=True)


# Each: a cell that must not pass, and what the message has to name.
BROKEN = {
    "unknown figure": (text("[Figure](#fig-none)"), "#fig-none"),
    "unknown table": (text("[Table](#tab-none)"), "#tab-none"),
    "unknown equation": (text("[Equation (1.9)](#eq-1-9)"), "#eq-1-9"),
    "unknown heading": (
        text("[x](02_gradients.ipynb#None)"),
        "02_gradients.ipynb#None",
    ),
    "unknown notebook": (text("[x](09_none.ipynb)"), "09_none.ipynb"),
    "unknown file": (text("[x](../none.py)"), "../none.py"),
    "wrong number": (text("[Equation (1.1)](#eq-1-2)"), "Equation (1.2)"),
    "equation out of order": (text(r"$$a \tag{1.7}$$"), "(1.7) stands where (1.3)"),
    "key taken": (code("pass", figure("curve")), "'curve' is taken by 01_loops.ipynb"),
    "no alternative text": (code("pass", figure("new", alt=" ")), "'new' has no alt"),
    "no caption": (code("pass", figure("new", caption="")), "'new' needs a caption"),
    "no picture": (
        code("pass", figure("new", picture=b"")),
        "'new' holds no picture: run its cell again",
    ),
    "table without caption": (code("pass", table("new", "")), "'new' needs a caption"),
    "no key": (code("pass", figure("")), "without a key"),
    "bare picture": (
        code("pass", new_output("display_data", data={"image/png": PIXEL})),
        "helpers.figures.show",
    ),
    "unknown kind": (
        code("pass", shown({"text/plain": ""}, kind="film")),
        "unknown kind",
    ),
    "picture in the text": (
        text(f"![alt](data:image/png;base64,{PIXEL})"),
        "helpers.figures",
    ),
    "missing picture": (text("![alt](x.png)"), "no file 'x.png' beside the notebook"),
    "raw HTML": (text("a <b>bold</b> word"), "<b>"),
    "second title": (text("# Again"), "'Again'"),
    "skipped level": (text("##### Too deep"), "'Too deep'"),
    "refused formula": (text(r"$\|x\|$"), r"\lVert"),
    "unknown command": (text(r"$\nosuchcommand$"), "nosuchcommand"),
}


@pytest.mark.parametrize("cell, named", BROKEN.values(), ids=BROKEN)
def test_a_mistake_stops_the_build_and_is_named(cell, named):
    notebook = first_notebook()
    notebook.cells.insert(-1, cell)
    with pytest.raises(ReportError) as stopped:
        Document(chapters(**{"01_loops": notebook, "02_gradients": second_notebook()}))
    (line,) = str(stopped.value).splitlines()[:1]
    assert line.startswith(f"01_loops.ipynb, cell {len(notebook.cells) - 1}: ")
    assert named in str(stopped.value)


def test_all_mistakes_are_told_at_once():
    notebook = first_notebook()
    notebook.cells += [text("[x](#fig-a)"), text("[x](#fig-b)")]
    with pytest.raises(ReportError) as stopped:
        Document(chapters(**{"01_loops": notebook, "02_gradients": second_notebook()}))
    assert len(str(stopped.value).splitlines()) == 2


# --- Formulas -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def typst_formulas():
    return mathematics.to_typst(FORMULAS)


@pytest.mark.parametrize("formula", FORMULAS)
def test_golden_formula_in_the_pdf(formula, typst_formulas):
    assert mathematics.refusal(formula) is None
    converted = typst_formulas[formula]
    assert not LATEX.search(converted)
    assert not re.search(MISPRINTED, converted)
    source = f'#set math.equation(alt: "f")\n#set document(title: [f])\n$ {converted} $'
    typst.compile(source.encode(), format="pdf", pdf_standards="ua-1")


def test_golden_formulas_in_the_page():
    assert len(FORMULAS) >= 40
    cells = [text("# Formulas"), *(text(f"Here ${formula}$.") for formula in FORMULAS)]
    page = html_page.write(Document(chapters(**{"01_a": new_notebook(cells=cells)})))
    assert page.count("<math") == len(FORMULAS)
    assert not LATEX.search(plain(page))
    slanted = set(re.findall('mathvariant="bold-italic">(.)', page))
    assert slanted == {"𝜽"}  # \boldsymbol; \mathbf stands upright
    assert "49,152" in plain(page)


def test_no_latex_is_left_in_either_output(rendered):
    assert rendered.document.formulas
    assert not LATEX.search(plain(re.sub(r"(?s)<pre.*?</pre>", "", rendered.page)))
    for formula, converted in rendered.document.formulas.items():
        assert not LATEX.search(converted), formula


def test_a_formula_too_wide_for_paper_stops_the_build():
    notebook = second_notebook()
    notebook.cells.append(text(f"$${' + '.join(['x'] * 99)}$$"))
    notebook.cells[-2].source = "## Summary"
    with pytest.raises(ReportError, match="a formula is too wide for the page"):
        pdf.write(Document(chapters(**{"02_gradients": notebook})))


def test_aligned_lines_stay_aligned(small):
    (aligned,) = (f for f in small.document.formulas if "aligned" in f)
    lines = small.document.formulas[aligned].split("\\\n")
    assert len(lines) == 2 and all(line.count("& =") == 1 for line in lines)
    assert small.page.count('style="text-align: right; padding-right: 0"') == 2


@pytest.mark.parametrize(
    "formula",
    [
        r"\|x\|",
        r"\begin{array}{c} a \end{array}",
        r"\begin{align} a \end{align}",
        r"\square",
        r"\color{red}{x}",
        r"\operatorname*{fold}",
        r"\mathbf x",
    ],
)
def test_refused_formulas_come_with_a_hint(formula):
    assert "cannot be typeset in both outputs: " in mathematics.refusal(formula)


@pytest.fixture
def newer_pandoc(tmp_path, monkeypatch):
    """A program that calls itself pandoc, first on PATH."""
    newer = tmp_path / "pandoc"
    newer.write_text("#!/bin/sh\necho pandoc 99.1\n", "utf-8")
    newer.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    pandoc.program.cache_clear()
    assert shutil.which("pandoc") == str(newer)


def test_the_pandoc_of_the_package_is_taken_whatever_is_on_path(newer_pandoc):
    assert Path(pandoc.program()).parent.parent.name == "pypandoc"
    assert pandoc.read("*one*")[0]["t"] == "Para"


@pytest.mark.parametrize("package", ["missing", "without a program"])
def test_a_missing_pandoc_is_an_error_that_names_the_package(
    package, newer_pandoc, tmp_path, monkeypatch
):
    origin = str(tmp_path / "pypandoc" / "__init__.py")
    found = None if package == "missing" else ModuleSpec("x", None, origin=origin)
    monkeypatch.setattr(pandoc, "find_spec", lambda name: found)
    with pytest.raises(ReportError, match="package pypandoc_binary"):
        pandoc.program()


def test_a_missing_typeface_is_an_error_that_names_the_package(monkeypatch):
    monkeypatch.setattr(font, "find_spec", lambda name: None)
    with pytest.raises(ReportError, match="package ziamath"):
        font.subset("x")


# --- The ways to start it -------------------------------------------------------------


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A notebook whose code counts its own runs, and an executor for it."""
    monkeypatch.setattr(execute, "EXECUTED", tmp_path / "executed")
    notebook = tmp_path / "01_counting.ipynb"
    count = "import pathlib\nwith open('runs', 'a') as f: f.write('.')\nprint('ran')"
    nbformat.write(new_notebook(cells=[text("# Old"), code(count)]), notebook)
    return notebook, execute.Executor({})


@pytest.mark.slow
def test_only_changed_code_is_executed_again(runs, capsys):
    notebook, executor = runs
    content = executor.outputs(notebook)
    content.cells[0].source = "# New"
    content.cells[1].outputs = []
    nbformat.write(content, notebook)
    again = executor.outputs(notebook)
    assert again.cells[0].source == "# New"
    assert again.cells[1].outputs[0].text == "ran\n"
    assert (notebook.parent / "runs").read_text() == "."
    assert "01_counting: unchanged" in capsys.readouterr().out

    content.cells[1].source += "\nprint('changed')"
    nbformat.write(content, notebook)
    changed = executor.outputs(notebook)
    assert changed.cells[1].outputs[0].text == "ran\nchanged\n"
    assert (notebook.parent / "runs").read_text() == ".."


def test_a_failing_cell_is_named_with_its_traceback(runs):
    notebook, executor = runs
    cells = [text("# T"), code("1"), code("def divide():\n    return 1 / 0\ndivide()")]
    nbformat.write(new_notebook(cells=cells), notebook)
    with pytest.raises(ReportError) as stopped:
        executor.execute(notebook)
    assert str(stopped.value).startswith("01_counting.ipynb, cell 3 failed:")
    assert "ZeroDivisionError" in str(stopped.value)
    assert "return 1 / 0" in re.sub(r"\x1b\[[\d;]*m", "", str(stopped.value))


@pytest.mark.slow
def test_help_is_there():
    command = [sys.executable, "-m", "report", "--help"]
    done = subprocess.run(command, cwd=project.ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    assert "--in-place" in done.stdout


def test_navigation_is_written_once(tmp_path):
    first, bare = first_notebook(), new_notebook(cells=[text("# Gradients")])
    first.metadata["report"] = {"data": ["mnist", "varres"], "runs": []}
    bare.metadata["report"] = {"data": [], "runs": ["mnist"]}
    nbformat.write(first, tmp_path / "01_loops.ipynb")
    nbformat.write(bare, tmp_path / "02_gradients.ipynb")
    notebooks = sorted(tmp_path.glob("*.ipynb"))

    assert navigation.update(notebooks, write=False) == notebooks
    assert navigation.update(notebooks, write=True) == notebooks
    assert navigation.update(notebooks, write=True) == []

    first, second = (nbformat.read(path, 4) for path in notebooks)
    assert [cell.metadata.get("tags") for cell in second.cells] == [
        ["navigation"],
        None,
        ["setup"],
        navigation.EXPORT_TAGS,
    ]
    assert "[2 Gradients →](02_gradients.ipynb)" in first.cells[0].source
    assert "[← 1 Loops with `code`](01_loops.ipynb)" in second.cells[0].source
    owner_and_name = project.repository().removeprefix("https://github.com")
    place = f"github{owner_and_name}/blob/main/notebooks/02_gradients.ipynb"
    assert f"(https://colab.research.google.com/{place})" in second.cells[0].source
    place = f"{project.repository()}/blob/main/notebooks/02_gradients.ipynb"
    source = f"(https://kaggle.com/kernels/welcome?src={place})"
    assert source in second.cells[0].source
    assert first.cells[2].source == navigation.setup_cell(["mnist", "varres"])
    assert 'prepare("mnist", "varres")' in first.cells[2].source
    assert second.cells[2].source == navigation.setup_cell([])
    assert project.repository() in second.cells[2].source
    assert nbformat.read(notebooks[0], 4).cells[0].id == first.cells[0].id

    assert second.metadata.accelerator == "GPU"
    assert second.metadata.colab.name == "02_gradients.ipynb"

    for told in ({}, {"data": ["mnist"]}, {"data": ["svhn"], "runs": []}):
        second.metadata["report"] = told
        nbformat.write(second, notebooks[1])
        with pytest.raises(ValueError, match=r"02_gradients\.ipynb must say .*varres"):
            navigation.update(notebooks, write=True)


def folded(source, tags, **metadata):
    cell = new_code_cell(source, metadata={"tags": tags, **metadata})
    folding.fold(new_notebook(cells=[cell]))
    return cell


@pytest.mark.parametrize(
    "source, title",
    [
        ("import math\nfrom pathlib import Path", "Imports"),
        ("# Who wins.\nimport math", "Who wins"),
        ('figures.show(f, "a-key", "Two digits. They differ.", "")', "Two digits"),
        ('figures.show(f, "a-key", f"{n} digits. They differ.", "")', "a key"),
        ('text.table("a-key", "Left: one. Right: two.", ["a"], [])', "a key"),
        ('text.say("{n} seeds.", n=n)', "Sentences with numbers"),
        ("def f():\n    pass\n\n\nclass A:\n    pass", "Definition of f, A"),
        ("a, b = 1, 2\nb = 3", "Values of a, b"),
        ("_, b = 1, 2", "Values of b"),
        ("import math\n\ne = math.e", "Imports and settings"),
        ("text.source(conv.pair)\ntext.source(fold)", "Source of pair, fold"),
        ("print(1)", "Code"),
        ("%matplotlib inline", "Code"),
    ],
)
def test_a_folded_cell_has_a_title_and_what_folds_it_everywhere(source, title):
    cell = folded(source, ["hide-input", "other"])
    first, rest = cell.source.split("\n", 1)
    assert first.removeprefix("# @title ").removeprefix("Figure: ") in (
        title,
        f"Table: {title}",
    )
    assert rest == source == folding.without_title(cell.source)
    assert cell.metadata.cellView == "form" and cell.metadata.jupyter.source_hidden
    assert folded(cell.source, ["hide-input"]).source == cell.source


def test_titles_follow_the_code_unless_somebody_wrote_them():
    assert folded("# @title Figure: old\nimport math", ["hide-input"]).source == (
        "# @title Imports\nimport math"
    )
    written = "# @title The way there\nimport math"
    assert folded(written, ["hide-input"]).source == written


def test_a_cell_that_is_no_longer_folded_is_open_everywhere():
    cell = folded(
        "# @title Code\nprint(1)",
        [],
        cellView="form",
        jupyter={"source_hidden": True, "outputs_hidden": False},
    )
    assert cell.source == "print(1)"
    assert cell.metadata == {"tags": [], "jupyter": {"outputs_hidden": False}}


def test_cells_of_imports_are_folded_and_no_others():
    assert folded("import math", []).metadata.tags == ["hide-input"]
    assert folded("import math\nmath.pi", []).metadata == {"tags": []}


def test_titles_are_no_part_of_a_listing():
    cell = folded("wanted = 1", ["hide-input"])
    chapter = ChapterExporter().chapter(new_notebook(cells=[cell]), "01_x", Path())
    assert "wanted" in json.dumps(chapter.blocks)
    assert "@title" not in json.dumps(chapter.blocks)


# --- In a browser ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser():
    pytest.importorskip("playwright")
    with start_browser() as started:
        if started is None:
            pytest.skip(NO_BROWSER)
        yield started


@pytest.fixture(scope="module", params=["light", "dark"])
def scheme(request):
    return request.param


@pytest.fixture(scope="module")
def opened(browser, rendered, scheme, tmp_path_factory):
    """The page, opened once without a network, and all that it complained about."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "report.html").write_text(rendered.page, "utf-8")
    context = browser.new_context(color_scheme=scheme, offline=True)
    page = context.new_page()
    heard = []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("request", lambda request: heard.append(request.url))
    address = (folder / "report.html").as_uri()
    page.goto(address)
    page.complaints = [c for c in heard if c != address and not c.startswith("data:")]
    yield page
    context.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_the_window(opened, width):
    opened.set_viewport_size({"width": width, "height": 900})
    assert opened.complaints == []
    assert opened.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    unseen = """selector => [...document.querySelectorAll(selector)].filter(element => {
        const box = element.getBoundingClientRect();
        return box.width < 2 || box.height < 2;
    }).length"""
    assert opened.locator("math").count() > 0
    assert opened.evaluate(unseen, "math") == 0
    assert opened.evaluate(unseen, "figure img") == 0
    assert opened.evaluate(
        "[...document.images].every(image => image.complete && image.naturalWidth > 0)"
    )


def test_every_equation_fits_on_a_wide_page(opened):
    opened.set_viewport_size({"width": 1280, "height": 900})
    cut = """[...document.querySelectorAll(".equation > .scrolling")]
        .filter(box => box.scrollWidth > box.clientWidth)
        .map(box => box.getAttribute("aria-label"))"""
    assert opened.evaluate(cut) == []


@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_nothing(opened, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    opened.set_viewport_size({"width": width, "height": 900})
    unfold = "open => document.querySelectorAll('details').forEach(d => d.open = open)"
    opened.evaluate(unfold, True)
    violations = axe.run(opened).response["violations"]
    opened.evaluate(unfold, False)
    found = [(v["id"], node) for v in violations for node in v["nodes"]]
    # A formula is no text to axe, and a heading that is one no heading.
    formula = "place => document.querySelector(place).querySelector('math') !== null"
    assert [
        (kind, node["html"])
        for kind, node in found
        if kind != "empty-table-header"
        or not opened.evaluate(formula, node["target"][0])
    ] == []


def test_formulas_are_set_in_their_typeface(opened):
    assert opened.evaluate("document.fonts.check('16px Formulas')")
    assert opened.evaluate("[...document.fonts].every(f => f.status === 'loaded')")


def test_aligned_equations_stand_below_one_another(browser, small, tmp_path):
    (tmp_path / "report.html").write_text(small.page, "utf-8")
    page = browser.new_page()
    page.goto((tmp_path / "report.html").as_uri())
    signs = page.locator("#eq-1-2 mtd:nth-child(2) > mo:first-child").all()
    left = [sign.bounding_box()["x"] for sign in signs]
    assert len(left) == 2 and abs(left[0] - left[1]) < 1
    page.close()


def test_the_keyboard_reaches_text_and_folded_code(browser, small, tmp_path):
    (tmp_path / "report.html").write_text(small.page, "utf-8")
    page = browser.new_page()
    page.goto((tmp_path / "report.html").as_uri())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the text"
    assert page.locator(".skip").bounding_box()["x"] >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main-text"
    page.locator("summary").focus()
    page.keyboard.press("Enter")
    assert page.locator("details").get_attribute("open") is not None
    assert page.locator("details code").is_visible()
    page.close()
