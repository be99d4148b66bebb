"""What a reader downloads is light, and a failure names what weighs most in it."""

import json
import re

import pytest

from report.project import BUILD, PUBLISHED, ROOT

MB = 1_000_000
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FIGURES = sorted((ROOT / "figures").iterdir())
DOCUMENTS = {".html": 6 * MB, ".pdf": 5 * MB}


def heaviest(sizes, n=5):
    """The n heaviest of {name: bytes}, in words."""
    ordered = sorted(sizes.items(), key=lambda item: -item[1])[:n]
    return ", ".join(f"{name} {size / 1000:,.0f} kB" for name, size in ordered)


def check(file, limit, contents):
    size = file.stat().st_size
    if size > limit:
        pytest.fail(
            f"{file.relative_to(ROOT)} has {size / MB:.2f} MB; {limit / MB:.2f} MB are "
            f"allowed. Heaviest in it: {heaviest(contents)}.",
            pytrace=False,
        )


def outputs(notebook):
    """The outputs of a notebook: name and cell, to the bytes that they take there."""
    sizes = {}
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    for number, cell in enumerate(cells, 1):
        for output in cell.get("outputs", []):
            report = output.get("metadata", {}).get("report", {})
            name = (
                f"{report.get('kind', output['output_type'])} {report.get('key', '')}"
            )
            place = f"{name.strip()} (cell {number})"
            sizes[place] = sizes.get(place, 0) + len(json.dumps(output))
    return sizes


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_light(notebook):
    check(notebook, 1.5 * MB, outputs(notebook))


@pytest.mark.parametrize("figure", FIGURES, ids=lambda path: path.name)
def test_a_figure_is_light(figure):
    """A line drawing weighs a fifth of a photograph; more means thousands of points."""
    text = figure.read_text("utf-8") if figure.suffix == ".svg" else ""
    elements = {
        found[0][:60]: len(found[0]) for found in re.finditer("<[^>]+>", text)
    } or {"pixels": figure.stat().st_size}
    limit = {".svg": 0.06 * MB, ".png": 0.3 * MB, ".csv": 0.25 * MB}[figure.suffix]
    check(figure, limit, elements)


def parts(document):
    """What fills a page or a PDF: its code, formulas and pictures."""
    if document.suffix == ".pdf":
        return {file.name: file.stat().st_size for file in FIGURES}
    page = document.read_text("utf-8")
    patterns = {"code": "<pre.*?</pre>", "formulas": "<math.*?</math>"}
    sizes = {
        name: sum(map(len, re.findall(pattern, page, re.DOTALL)))
        for name, pattern in patterns.items()
    }
    figures = re.findall(r'<figure[^>]*id="(.*?)".*?</figure>', page, re.DOTALL)
    pictures = re.findall(r'<img src="([^"]*)', page)
    sizes |= dict(zip(figures, map(len, pictures), strict=True))
    return sizes


@pytest.mark.parametrize("kind", DOCUMENTS)
@pytest.mark.parametrize("stem", [BUILD / "report", PUBLISHED], ids=lambda p: p.name)
def test_a_document_is_light(stem, kind):
    document = stem.with_suffix(kind)
    if not document.exists():
        pytest.skip(f"{document.relative_to(ROOT)} has not been built: `make report`")
    check(document, DOCUMENTS[kind], parts(document))
