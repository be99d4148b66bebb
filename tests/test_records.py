"""Each printed result is linked to its record, on the page and on paper."""

import json
import re

import pytest
from nbformat.v4 import new_notebook
from pandocfilters import stringify
from test_report import chapters, code, opened_pdf, shown, text

from helpers import runs
from report import html, pandoc, pdf, records
from report.document import Document


def printed(named):
    return " ".join(named.printed)


@pytest.fixture(scope="module")
def document():
    """A chapter that prints two named results, one of them twice, and other numbers."""
    first, second = records.results()[:2]
    cells = [
        text("# Results"),
        code(
            "say(...)",
            shown(
                {"text/markdown": f"{printed(first)}, and {printed(second)}."},
                kind="prose",
            ),
        ),
        code(
            "table(...)",
            shown(
                {"text/markdown": f"| a | b |\n|---|---|\n| x | {printed(first)} |"},
                kind="table",
                key="two",
                caption="Not 99.07% (98.00% – 99.99%).",
            ),
        ),
    ]
    content = new_notebook(cells=cells, metadata={"report": {"data": [], "runs": []}})
    return Document(chapters(**{"01_results": content}))


def test_every_printed_result_leads_to_its_record(document):
    page = html.write(document)
    first, second = records.results()[:2]
    for named, count in ((first, 2), (second, 1)):
        marks = re.findall(f'<a [^>]*href="#{named.identifier}"[^>]*>(.*?)</a>', page)
        assert marks == [f"<sup>{named.mark}</sup>"] * count
        assert page.count(f'id="{named.identifier}"') == 1
        assert f'aria-label="{named.mark}, record of {named.name}"' in page
    assert page.count('class="mark"') == 3
    assert page.count('class="record"') == 2


def test_the_pdf_has_marks_and_the_appendix(document):
    typst = pdf.source(document)
    for named in records.results()[:2]:
        assert f"link(<{named.identifier}>)" in typst
        assert re.search(rf"(?<!link\()<{named.identifier}>", typst)
    with opened_pdf(pdf.write(document)) as written, written.open_outline() as outline:
        assert str(outline.root[-1].title).endswith("Records")


def test_a_record_tells_what_the_runs_rest_on():
    for named in records.results():
        told = stringify(records._entry(named))
        for record in named.records:
            assert re.search(rf"\b{record['seed']}\b", told)
            assert record["fingerprint"] in told
            assert f"{record['machine']['cores']} cores" in told
            assert record["versions"]["torch"] in told
        rate = json.dumps(named.records[0]["config"]["learning_rate"])
        assert f"learning rate {rate}" in told


@pytest.mark.machine
def test_the_commit_is_that_of_the_line():
    commits = records._commits()
    if not commits:
        pytest.skip("no git here that knows the history of data/runs/")
    known = [records._identity(r) in commits for r in runs.read(runs.RECORDED)]
    assert sum(known) > 0.9 * len(known)
    assert all(re.fullmatch("[0-9a-f]{7}", commit) for commit in commits.values())


def test_without_a_result_nothing_is_added():
    blocks = pandoc.read("Not 99.07%, and no (98.93% – 99.21%).\n\n- 99.07%")
    assert records.linked(blocks) == blocks
