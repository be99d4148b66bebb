"""The exporters: anybody's notebook, from any folder, to every format.

What Jupyter shows is in every document, or a warning names the cell and what to do.
"""

import base64
import json
import re
import shutil
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import nbformat
import pikepdf
import pypdfium2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nbformat.v4 import (
    new_code_cell,
    new_markdown_cell,
    new_notebook,
    new_output,
    new_raw_cell,
)
from pandocfilters import stringify
from PIL import Image

from report import (
    epub,
    export,
    html,
    latex,
    mathematics,
    outputs,
    pandoc,
    paper,
    pdf,
    slides,
)
from report.chapter import ChapterExporter
from report.document import Document
from report.errors import ReportError
from report.exporters import EXPORTERS, PDFReport
from report.findings import Findings, Place
from report.formulas import Formulas
from report.front import of as front_of
from report.raw_html import Cleaned
from report.texts import Texts

BEGIN = {"html": b"<!DOCTYPE html>", "pdf": b"%PDF-"}
OURS = re.compile(
    r"convolution|CC BY|MIT|helpers|github|Sobel|MNIST", re.IGNORECASE
)  # what no stranger's document may say


def text(source, **more):
    return new_markdown_cell(source, **more)


def code(source, *outputs):
    return new_code_cell(source, outputs=list(outputs))


def displayed(data, **metadata):
    return new_output("display_data", data=data, metadata=metadata)


def printed(words, name="stdout"):
    return new_output("stream", name=name, text=words)


def picture(format="PNG", size=(4, 3)):
    buffer = BytesIO()
    Image.new("RGB", size, "red").save(buffer, format)
    return buffer.getvalue()


PNG = base64.b64encode(picture()).decode()
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="4" height="3"></svg>'
DATA_URI = f"data:image/png;base64,{PNG}"


def document(*cells, metadata=None, **options):
    """The document of a foreign notebook with these cells below a title."""
    notebook = new_notebook(cells=[text("# A title"), *cells], metadata=metadata or {})
    exporter = PDFReport(**options)
    return exporter.document(notebook, {"name": "their own", "path": str(Path.cwd())})


def page_of(made):
    return html.write(made)


def shown(page):
    """The words of a page, formulas as LaTeX, in one line."""
    body = page[page.index("<main") : page.index("</main>")]
    body = re.sub(
        r"<math.*?<annotation[^>]*>(.*?)</annotation>.*?</math>", r" \1 ", body
    )
    words = re.sub(r"<(script|style).*?</\1>", "", body, flags=re.DOTALL)
    words = re.sub(r"<[^>]*>", "", words)
    for sign, name in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&")):
        words = words.replace(sign, name)
    return " ".join(words.split())


def on_paper(made):
    """The words of the PDF, in one line; a hyphen at the end of a line is taken out."""
    with pypdfium2.PdfDocument(pdf.write(made)) as written:
        pages = [page.get_textpage().get_text_range() for page in written]
    return " ".join(re.sub("[\ufffe\xad]", "", "\n".join(pages)).split())


# --- The function and the command -----------------------------------------------------


def test_a_notebook_is_exported_from_its_content_and_from_its_file(tmp_path):
    notebook = new_notebook(cells=[text("# One\n\nIt is $x^2$.")])
    files, warnings = export(notebook, BEGIN, tmp_path, name="one", beside=tmp_path)
    assert [file.name for file in files] == ["one.html", "one.pdf"]
    for file, begin in zip(files, BEGIN.values(), strict=True):
        assert file.read_bytes().startswith(begin)
    nbformat.write(notebook, tmp_path / "two.ipynb")
    (file,), _ = export(str(tmp_path / "two.ipynb"), ["html"], tmp_path)
    assert file.name == "two.html" and warnings == []


def test_an_unknown_format_is_an_error_that_names_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match=r"\['doc'\]: take some of .*'html'"):
        export(new_notebook(), ["html", "doc"], tmp_path)


BARE = code("plot()", displayed({"image/png": PNG, "text/plain": "<Figure>"}))
# What the report refuses: what it is, and what its warning names.
FOREIGN = {
    "bare picture": (BARE, "without caption and alternative text"),
    "attachment": (
        text("![a](attachment:x.png)", attachments={"x.png": {"image/png": PNG}}),
        "helpers.figures.show",
    ),
    "data URI": (text(f"![a]({DATA_URI})"), "helpers.figures.show"),
    "missing file": (text("![a](none.png)"), "no file 'none.png'"),
    "picture elsewhere": (text("![a](https://example.org/a.png)"), "elsewhere"),
    "raw HTML": (text("H<sub>2</sub>O"), "<sub>"),
    "details": (
        text("<details><summary>S</summary>\n\n*in*\n\n</details>"),
        "<details>",
    ),
    "skipped level": (text("#### Deep"), "'Deep' skips a level"),
    "dead link": (text("[a](none.ipynb)"), "'none.ipynb' leads nowhere"),
    "dead anchor": (text("[a](#none)"), "'#none' leads nowhere"),
    "widget": (
        code("w", displayed({"application/vnd.jupyter.widget-view+json": {}})),
        "interactive output (widget)",
    ),
    "plotly": (
        code(
            "p", displayed({"application/vnd.plotly.v1+json": {}, "text/html": "<p>"})
        ),
        "interactive output (plotly)",
    ),
    "unknown kind": (
        code("k", displayed({"text/plain": "film"}, report={"kind": "film"})),
        "unknown kind 'film'",
    ),
    "script": (code("j", displayed({"text/html": "<script>x()</script>"})), "(script)"),
    "formula": (text(r"$\nosuchcommand$"), "shown as its source: \\nosuch"),
    "damaged picture": (code("d", displayed({"image/png": "AAAA"})), "left out"),
}


@pytest.mark.parametrize("cell, told", FOREIGN.values(), ids=FOREIGN)
def test_what_the_report_refuses_is_a_warning_for_others(cell, told, tmp_path):
    notebook = new_notebook(cells=[text("# T"), cell, text("afterwards")])
    files, warnings = export(notebook, EXPORTERS, tmp_path, name="x", beside=tmp_path)
    assert all(file.stat().st_size > 500 for file in files)
    assert any(
        line.startswith("x.ipynb, cell 2: ") and told in line for line in warnings
    )
    with pytest.raises(ReportError, match=re.escape(told)):
        export(notebook, ["html"], tmp_path, name="x", beside=tmp_path, strict=True)


def test_a_notebook_without_a_title_has_its_name(tmp_path):
    (file,), warnings = export(
        new_notebook(cells=[text("only text")]), ["html"], tmp_path, name="my_notes"
    )
    assert "<title>my notes</title>" in file.read_text("utf-8")
    assert ["no heading '# Title'" in line for line in warnings] == [True]


def test_a_foreign_notebook_says_what_its_metadata_say_and_no_word_of_ours(tmp_path):
    metadata = {
        "title": "Fremdes Heft",
        "authors": [{"name": "A. Uthor"}, {"name": "C. O. Author"}],
        "license": {"name": "Freie Lizenz", "url": "https://example.org/l"},
        "lang": "de",
        "kernelspec": {"language": "julia", "name": "j", "display_name": "J"},
    }
    made = document(code("function f(x) x end"), metadata=metadata)
    page = page_of(made)
    assert '<html lang="de">' in page and "<title>Fremdes Heft</title>" in page
    assert "A. Uthor, C. O. Author" in page
    assert 'Licence: <a href="https://example.org/l">Freie Lizenz</a>' in page
    assert "sourceCode julia" in page and '<span class="k">function</span>' in page
    assert not OURS.search(re.sub(r"(?s)<(script|style)>.*?</\1>", "", page))
    written = pdf.write(made)
    with pikepdf.open(BytesIO(written)) as opened:
        assert opened.Root.Lang == "de" and opened.docinfo.Title == "Fremdes Heft"
        assert "Uthor" in str(opened.docinfo.Author)
    assert not OURS.search(on_paper(made))


def test_front_matter_in_the_first_cell_counts_and_is_not_shown():
    cell = new_raw_cell("---\ntitle: From *YAML*\nauthor: [A, B]\nlang: pt-BR\n---")
    notebook = new_notebook(cells=[cell, text("# Heading")])
    chapter = ChapterExporter().chapter(notebook, "x", Path())
    front = front_of(chapter)
    assert stringify(front.title) == "From YAML" and front.authors == ("A", "B")
    assert front.language == "pt-BR"
    page = page_of(Document([chapter], front=front, strict=False))
    assert "author:" not in page and "Heading" in page


def test_what_is_refused_on_the_command_line_is_told_in_plain_lines(tmp_path):
    nbformat.write(new_notebook(cells=[text("# T"), BARE]), tmp_path / "x.ipynb")
    run = "from nbconvert.nbconvertapp import main; main()"
    command = [sys.executable, "-c", f"import sys; {run}", "--to", "report.HTMLReport"]
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(
        [*command, str(tmp_path / "x.ipynb"), "--HTMLReport.strict=True"],
        cwd=root,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "x.ipynb, cell 2: a picture without caption" in done.stderr
    assert "Traceback" not in done.stderr


# --- Mathematics ----------------------------------------------------------------------

JUPYTER = {
    "$ x $": "x",
    "$x$": "x",
    "$$x$$": "x",
    "$$\nx\n+ y\n$$": "x + y",
    r"\\(x\\)": "x",
    r"\\[x\\]": "x",
    "\\begin{align}\na &= b \\\\\nc &= d\n\\end{align}": r"\begin{align} a &= b \\ "
    r"c &= d \end{align}",
    "| a | b |\n|---|---|\n| $x|y$ | last |": "x|y",
    "text $a_1$ and *em*": "a_1",
    "- item $a^*$ and $b^*$": "a^*",
    "$$\nx % a remark\n+ y\n$$": "x + y",
}
MONEY = [
    "$5 today and $10 tomorrow",
    r"\$7 and \$8",
    "`$x$` and `$y`",
    "```\n$x$\n```",
    "    $indented$",
    "it costs $ 5 and $ 6",
    "a $ sign",
    "$5 and $10 and \\$7 and `$`",
    "[link](http://a.b/$c$)",
]


@pytest.mark.parametrize("source, formula", JUPYTER.items())
def test_every_form_that_jupyter_takes_for_a_formula_is_one(source, formula):
    made = document(text(source))
    found = []
    pandoc.transformed(
        made.blocks, lambda k, c: found.append(c) if k == "Math" else None
    )
    assert formula in [content[1] for content in found]
    assert made.findings.lines == () and "<math" in page_of(made)
    if "last" in source:
        assert "last" in shown(page_of(made))


@pytest.mark.parametrize("source", MONEY)
def test_money_and_code_are_no_formulas(source):
    made = document(text(source))
    assert made.formulas == {} and "<math" not in page_of(made)
    assert "$" in page_of(made).split("<main")[1]


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="ab $\\()[]`~\n*_|>-{}1", max_size=60))
@example("`a$b` $x$ `c`")
@example("$a\n\nb$")
def test_taking_out_formulas_loses_nothing(source):
    formulas = Formulas()
    assert formulas.source(formulas.taken_from(source)) == source


def test_a_sound_formula_is_set_in_every_output_and_a_broken_one_is_told():
    sources = [
        r"\begin{eqnarray} a &=& b \\ c &=& d \end{eqnarray}",
        r"\begin{align*} a &= b \label{x} \\ c &= d \nonumber \end{align*}",
        r"\begin{equation} \left\{\begin{array}{c} a \end{array}\right. \end{equation}",
        r"a \\ b",
        r"{\rm d}x \mbox{ if } \hbox{x} \textcolor{red}{x}",
        r"\|x\|_2^2",
        r"a &lt; b",
        r"\operatorname*{argmin}_x f",
    ]
    made = document(*(text(f"$${source}$$") for source in sources))
    assert made.findings.lines == () and len(made.formulas) == len(sources)
    assert mathematics.broken(made.formulas) == set()
    assert page_of(made).count("<math") == len(sources)
    made = document(text(r"$\ce{H2O}$ and $x$"))
    assert "cell 2: a formula cannot be set, and is shown" in made.findings.lines[0]
    assert r"\ce{H2O}" in shown(page_of(made)) and len(made.formulas) == 1


def test_commands_that_an_author_defines_hold_in_later_cells():
    made = document(
        text(r"$\newcommand{\R}{\mathbb{R}}\def\half#1{\frac{#1}{2}}$"),
        text(r"$x \in \R^{n}$ and $\half{y}$ and $\Rightarrow$"),
        text(r"$\DeclareMathOperator{\rank}{rank} \rank A$"),
    )
    assert made.findings.lines == ()
    assert [*made.formulas] == [
        r"x \in {\mathbb{R}}^{n}",
        r"{\frac{y}{2}}",
        r"\Rightarrow",
        r"{\operatorname{rank}} A",
    ]


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet=r"\{}ab#1 []", max_size=40))
@example(r"\def\a{\a\a}\a")
@example(r"\newcommand{\a")
def test_expanding_commands_always_ends(source):
    assert len(latex.Macros().expanded(source)) < 40 * latex.LONGEST


def test_a_formula_wider_than_paper_is_broken_or_scaled_and_not_cut():
    terms = " + ".join(f"x_{{{n}}}" for n in range(80))
    rows = r" \\ ".join(f"a &= {' + '.join('x' * 30)}" for _ in range(2))
    made = document(
        text(f"$${terms}$$"), text(rf"$$\begin{{aligned}} {rows} \end{{aligned}}$$")
    )
    with pypdfium2.PdfDocument(pdf.write(made)) as written:
        for page in written:
            for thing in page.get_objects():
                left, _, right, _ = thing.get_bounds()
                assert left > 60 and right < page.get_width() - 60


# --- Text -----------------------------------------------------------------------------

SAME = st.text(
    st.characters(
        codec="utf-8", exclude_categories=["Cc", "Cs", "Co", "Cn", "Zl", "Zp"]
    ),
    max_size=40,
)


def read(source, typographic=False):
    texts = Texts(Findings(), typographic)
    held = texts.markdown(Place("x", 1), source)
    texts.markdown(Place("x", 2), "next cell")
    texts.read()
    assert stringify(texts.all[1].blocks) == "next cell"  # nothing leaves its cell
    return held.blocks


@pytest.mark.parametrize(
    "source",
    ["::::::::::::", "A set {.5} and", "[a]{.b} c", "# H {#id .c}", "::: {.x}"],
)
def test_syntax_of_pandoc_alone_is_plain_text(source):
    assert stringify(read(source)) == source.removeprefix("# ")


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="ab`~<>!-:#$[]()*_|\\ \n\t=&;1.'\"", max_size=60))
@example("```\nopen")
@example("<!-- open")
@example("<details>\n\ntext")
@example("[a]: x\n\n[b][a]")
def test_no_cell_changes_the_next(source):
    read(source)


@settings(max_examples=60, deadline=None)
@given(SAME)
def test_any_output_is_shown_as_it_is(words):
    made = document(code("", printed(words)))
    blocks = []
    pandoc.transformed(
        made.blocks, lambda k, c: blocks.append(c) if k == "CodeBlock" else 0
    )
    assert [content[1] for content in blocks] == (
        [words.rstrip()] if words.strip() else []
    )


def test_what_jupyter_shows_is_shown():
    made = document(
        new_raw_cell("raw words"),
        new_raw_cell("<b>raw bold</b>", metadata={"raw_mimetype": "text/html"}),
        code("warn()", printed("UserWarning: too high\n", "stderr")),
        code(
            "fail()",
            new_output(
                "error",
                ename="ValueError",
                evalue="no",
                traceback=["\x1b[0;31mTraceback\x1b[0m in f()", "ValueError: no"],
            ),
        ),
        code(
            "h", displayed({"text/html": "<table><tr><td>in a cell</td></tr></table>"})
        ),
        code(
            "l", displayed({"text/latex": r"$\displaystyle z^2$", "text/plain": "z**2"})
        ),
        code("j", displayed({"application/json": {"key": [1]}})),
        text("- [x] done\n- [ ] open\n\nhttps://example.org/a_b bare"),
        code("c", printed("50%\r100%\nab\bc \x00\x07\x1b]8;;x\x07end\n")),
        text("a &amp; b <kbd>Ctrl</kbd> <!-- unseen --> and \x07bell"),
    )
    page, paper_ = shown(page_of(made)), on_paper(made)
    for words in (
        *("raw words", "raw bold", "UserWarning: too high", "Traceback in f()"),
        *("in a cell", '"key"', "done", "open", "100%", "ac end", "Ctrl", "bell"),
    ):
        assert words in page and words in paper_, words
    assert "z^2" in page and "z**2" not in page and "unseen" not in page
    assert "50%" not in page
    assert re.findall('type="checkbox"( checked)?', page_of(made)) == [" checked", ""]
    assert 'href="https://example.org/a_b"' in page_of(made)
    assert not re.search("[\x00-\x08\x0b-\x1f]", page_of(made))


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="ab\r\b\x1b[0;1mK\n\x00\x07", max_size=30))
@example("\x1b]0;title\x07a")
def test_no_sign_that_controls_a_terminal_is_left(words):
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f]", outputs.terminal_text(words))


HTML = {
    "<p>one<p>two": "one two",
    "<ul><li>a<li>b</ul>": "a b",
    "<b>bold</i> text</b>": "bold text",
    "</div></section>after": "after",
    "<script>x</script>kept": "kept",
    "<div style='display: none'>gone</div>there": "there",
    "<table><tr><td>1<td>2<tr><td>3</table>": "1 2 3",
    "<style>p {}</style><p>styled": "styled",
    "<iframe src='https://a.b/c'></iframe>": "https://a.b/c",
}


@pytest.mark.parametrize("source, words", HTML.items())
def test_html_is_balanced_and_keeps_its_words(source, words):
    cleaned = Cleaned(source)
    blocks = pandoc.read_html(f"<div>{cleaned.html}</div>")
    assert len(blocks) == 1
    found = re.sub("[-\\s]+", " ", pandoc.write(blocks, "plain")).strip()
    assert found.replace("[", "").replace("]", "") == words


@settings(max_examples=80, deadline=None)
@given(st.text(alphabet="<>/abdiv p='\"!-tr&;", max_size=50))
@example("<div><b>open")
def test_no_html_breaks_a_document(source):
    blocks = pandoc.read_html(f'<div id="t">{Cleaned(source).html}</div><p>next</p>')
    assert len(blocks) == 2
    assert blocks[0]["c"][0][0] == "t" and stringify(blocks[-1]) == "next"


def test_what_an_author_folds_is_folded_on_the_page_and_open_on_paper():
    source = "<details><summary>The *answer*</summary>\n\nIt is **42**.\n\n</details>"
    made = document(text(source), text("after"))
    page = page_of(made)
    folded = re.search(r"<details><summary>(.*?)</summary>(.*?)</details>", page, re.S)
    assert "answer" in folded[1] and "42" in folded[2] and "after" not in folded[2]
    assert "The *answer* It is 42. after" in on_paper(made)


# --- Pictures -------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"])
def test_pictures_of_every_kind_are_in_every_output(format, tmp_path):
    (tmp_path / "x.img").write_bytes(picture(format))
    notebook = new_notebook(cells=[text('# T\n\n![alt](x.img "t") <img src="x.img">')])
    files, _ = export(notebook, ["html", "pdf"], tmp_path, name="x", beside=tmp_path)
    assert files[0].read_text("utf-8").count('src="data:image/') == 2
    with pikepdf.open(files[1]) as written:
        assert any(item.get("/Subtype") == "/Image" for item in streams(written))


def streams(written):
    return [item for item in written.objects if isinstance(item, pikepdf.Stream)]


def test_drawings_among_html_are_pictures():
    made = document(code("s", displayed({"text/html": f"<div>{SVG}</div>"})))
    assert next(iter(made.images.values())).startswith(b"<svg")
    assert "data:image/svg+xml" in page_of(made) and pdf.write(made)


# --- Links and names ------------------------------------------------------------------

NAMES = ["C", "C++", "C#", "F-score", "F*-score", "中文", "Ж", "a & b", "1/2", "x = y"]


def test_headings_that_differ_in_a_sign_have_their_own_anchors():
    links = "\n\n".join(f"[to {n}](<#{n.replace(' ', '-')}>)" for n in NAMES)
    headings = [text(f"## {name}") for name in NAMES]
    made = document(
        *headings, text(r"## The $x^2$ law"), text(f"{links}\n\n[f](#The-$x^2$-law)")
    )
    assert made.findings.lines == ()
    page = page_of(made)
    for name in [*NAMES]:
        label = name.replace("&", "&amp;")
        goal = re.search(rf'<a href="#([^"]+)">to {re.escape(label)}</a>', page)[1]
        section = re.search(
            rf'<section id="{re.escape(goal)}"[^>]*>\s*<h2>(.*?)</h2>', page
        )
        assert section[1] == label
    assert pdf.write(made)


def test_a_link_that_may_mean_two_headings_is_reported():
    made = document(text("## A b"), text("## A-b!"), text("[x](#ab)"))
    assert "may mean any of" in made.findings.lines[0]
    assert ">x</a>" not in page_of(made) and "x" in shown(page_of(made))


def test_anchors_of_the_author_are_kept():
    made = document(text('<a id="there"></a>Words'), text("[go](#there)"))
    assert made.findings.lines == ()
    goal = re.search(r'<a href="#([^"]+)">go', page_of(made))[1]
    assert f'id="{goal}"' in page_of(made) and pdf.write(made)


@pytest.mark.parametrize("key", ["a b", "a/b", "../x", 'a"b', "<k>", "ä"])
def test_odd_keys_of_figures_harm_no_output(key):
    held = f'<img src="data:image/png;base64,{PNG}"/>'
    report = {"kind": "figure", "key": key, "caption": "C.", "alt": "A.", "width": 2}
    made = document(code("f", displayed({"text/html": held}, report=report)))
    assert bool(made.findings.lines) == (key != "ä")
    assert all(re.fullmatch(r"[\w.-]+", name) for name in made.images)
    assert re.search(r'<figure id="fig-[\w.-]+">', page_of(made)) and pdf.write(made)


# --- Paper ----------------------------------------------------------------------------


def test_long_lines_of_code_wrap_with_a_mark():
    source = f'x = "{"y" * 300}"'
    written = pdf.source(document(code(source)))
    assert written.replace(f"\n{paper.CONTINUED}", "").count(source) == 1
    assert max(map(len, re.findall(r"^.*y.*$", written, re.MULTILINE))) <= paper.COLUMNS


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="ab 中\u0301\n", max_size=400), st.booleans())
@example("a" * 300, True)
@example("word " * 60, False)
def test_wrapped_lines_fit_and_lose_nothing(words, mark):
    lines = paper.wrapped(words, mark).split("\n")
    assert all(paper.columns_of(line) <= paper.COLUMNS for line in lines)
    whole = "".join(lines).replace(paper.CONTINUED, "")
    assert whole == words.replace("\n", "")


def test_signs_without_a_typeface_get_names_and_a_warning_or_stop_a_strict_build():
    cells = [text("plain"), text("a \U0001f680 b"), code("s = '\u4e2d\u0378'")]
    made = document(*cells)
    words = on_paper(made)
    if made.findings.lines:  # this machine has no typeface that has them
        told = "\n".join(made.findings.lines)
        assert re.search("cell (3|4): no typeface here has .*their names", told)
        assert ":rocket:" in words or "\U0001f680" in words
    strict = Document(
        [
            ChapterExporter().chapter(
                new_notebook(cells=[text("# T"), *cells]), "1", Path()
            )
        ]
    )
    with pytest.raises(
        ReportError, match=r"1\.ipynb, cell 3: no typeface .*\U0001f680"
    ):
        pdf.write(strict)


def test_arabic_hebrew_and_greek_are_set():
    made = document(text("العربية עברית Ελληνικά Кириллица Tiếng Việt ☐ → ✔"))
    assert pdf.write(made) and made.findings.lines == ()


def test_a_cell_with_a_line_break_is_one_row():
    made = document(text("| a | b |\n|---|---|\n| x<br>y | 1 |"))
    assert made.findings.lines == ()
    assert re.search(r"x<br ?/?>\s*y", page_of(made))
    assert page_of(made).count("<tr>") == 2 and pdf.write(made)


def test_a_table_with_many_columns_fits_on_paper():
    names = [f"column{n:02}" for n in range(20)]
    rows = "".join(f"<td>{n}.123456</td>" for n in range(20))
    head = "".join(f"<th>{name}</th>" for name in names)
    table = (
        f"<table><thead><tr>{head}</tr></thead><tbody><tr>{rows}</tr></tbody></table>"
    )
    made = document(code("t", displayed({"text/html": table})))
    with pypdfium2.PdfDocument(pdf.write(made)) as written:
        page = written[0].get_textpage()
        for name in names:
            start, _ = page.search(name).get_next()
            assert page.get_charbox(start)[2] < written[0].get_width() - 30


def test_a_cell_that_typst_refuses_is_plain_text_and_told(monkeypatch):
    made = document(text("good"), text("bad words"))
    block = made.blocks[-1]
    made.blocks[-1] = {"t": "RawBlock", "c": ["typst", "#nosuchfunction()"]}
    made.blocks.append(block)
    assert "bad words" in on_paper(made)
    (line,) = made.findings.lines
    assert line.startswith("their own.ipynb, cell 3: shown as plain text")


def test_every_document_is_pdf_ua():
    made = document(BARE, text("## S\n\n| a |\n|---|\n| b |\n\n$x$ [l](https://a.b)"))
    with pikepdf.open(BytesIO(pdf.write(made))) as written:
        assert b"<pdfuaid:part>1</pdfuaid:part>" in written.Root.Metadata.read_bytes()
    assert json.dumps(made.metadata)


# --- Books and slides -----------------------------------------------------------------


def of_every_kind():
    return document(
        text("## One\n\n$x^2$ [l](other.ipynb) [self](#One)\n\n$$a \\tag{7}$$"),
        BARE,
        text("### Below\n\n<details><summary>S</summary>\n\nin\n\n</details>"),
        code("t", displayed({"text/html": "<table><tr><td>1</td></tr></table>"})),
        text("## Two $y$\n\nEnd[^1]\n\n[^1]: A note."),
        metadata={"title": "A title", "authors": [{"name": "A"}], "license": "Free"},
    )


def test_a_book_holds_the_whole_document(tmp_path):
    content = epub.write(of_every_kind())
    (tmp_path / "x.epub").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "x.epub") as book:
        assert book.namelist()[0] == "mimetype"
        assert book.read("mimetype") == b"application/epub+zip"
        package = book.read("EPUB/content.opf").decode()
        pages = "".join(
            book.read(name).decode() for name in book.namelist() if ".xhtml" in name
        )
        assert any(name.endswith(".png") for name in book.namelist())
    for told in (">A title<", ">A<", "Licence: Free", ">en<", 'properties="mathml"'):
        assert told in package, told
    assert pages.count("<math") == 4 and "(7)" in pages and "A note." in pages
    assert "other.ipynb" not in pages and "<details>" in pages
    assert not re.search('src="(?!\\.\\./media)', pages)


@pytest.mark.machine
@pytest.mark.skipif(not shutil.which("epubcheck"), reason="there is no epubcheck here")
def test_a_book_passes_the_check_of_its_standard(tmp_path):
    (tmp_path / "x.epub").write_bytes(epub.write(of_every_kind()))
    command = ["epubcheck", str(tmp_path / "x.epub")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "0 fatals / 0 errors / 0 warnings" in done.stdout + done.stderr


def slide(source, kind):
    return text(source, metadata={"slideshow": {"slide_type": kind}})


def test_slides_begin_with_sections_and_where_the_author_says():
    made = document(
        text("first"),
        text("## One\n\nwords $x^2$"),
        slide("second part", "subslide"),
        slide("unseen", "skip"),
        slide("remark", "notes"),
        text("### Two"),
        BARE,
        slide("## Three", "slide"),
    )
    page = slides.write(made)
    parts = re.split(r"<section[^>]*\bslide level\d.>", page)[1:]
    begin = [shown(f"<main>{part}</main>").split()[0] for part in parts]
    assert begin == ["first", "One", "second", "Two", "Three"]
    assert "unseen" not in page and "remark" not in page
    assert "<script" not in page and page.count("<math") == 1
    assert not re.search(r"(src|href)=.(?!data:|#)", page)
    assert "default-src 'none'" in page and "A title" in page
    assert slides.write(made) == page and "unseen" in page_of(made)


@pytest.mark.parametrize("format", ["html", "pdf", "slides"])
def test_a_template_of_the_user_is_taken(format, tmp_path):
    kept = "#set document(title: [T])\n" if format == "pdf" else ""
    (tmp_path / "own.txt").write_text(f"{kept}MINE $title-text$")
    exporter = EXPORTERS[format](template=str(tmp_path / "own.txt"), strict=False)
    made = exporter.document(
        new_notebook(cells=[text("# Words")]), {"name": "x", "path": "."}
    )
    if format == "pdf":
        assert pdf.source(made, exporter.template) == f"{kept}MINE Words"
    else:
        assert exporter.write(made) == "MINE Words"


def test_a_strangers_notebook_needs_no_torch():
    source = "import sys, report.exporters; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", source], check=True)


def test_figures_of_one_key_keep_their_own_pictures():
    def figure(words):
        drawing = base64.b64encode(SVG.replace("></", f">{words}</").encode()).decode()
        source = f'<img src="data:image/svg+xml;base64,{drawing}">'
        facts = {"kind": "figure", "key": "a b", "caption": words, "alt": words}
        return code("", displayed({"text/html": source}, report=facts))

    made = document(figure("first"), figure("second"))
    assert [b"first" in kept for kept in made.images.values()] == [True, False]
    assert [b"second" in kept for kept in made.images.values()] == [False, True]
