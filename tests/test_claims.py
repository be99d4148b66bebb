"""The registry of rows, errata and questions: complete, and answered in notebooks."""

import json
import re
from collections import Counter
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from helpers import claims, text
from helpers.claims import tables
from report import project
from report.chapter import ChapterExporter
from report.findings import Findings
from report.numbering import Numbering
from report.references import References

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
ROWS = [f"R{n}" for n in range(1, 119)]
ERRATA = [f"E{n}" for n in range(1, 72)] + [f"X{n}" for n in range(1, 6)]


def unanswered_rows(folder):
    """Rows that neither a cell nor a file of the project answers."""
    answered = claims.answers(folder)
    return [
        row.id
        for row in claims.rows()
        if row.id not in answered and not row.answered_by
    ]


def cells_with_rows(folder):
    for path in sorted(folder.glob("[0-9][0-9]_*.ipynb")):
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            for identifier in cell["metadata"].get("rows", []):
                yield identifier, cell["cell_type"]


def unproved_errata(folder):
    executed = {i for i, kind in cells_with_rows(folder) if kind == "code"}
    return [erratum.id for erratum in claims.errata() if erratum.id not in executed]


def unknown_ids(folder):
    return {i for i, _ in cells_with_rows(folder)} - {*ROWS, *ERRATA}


def without(identifier, folder):
    """Copies of the notebooks, in `folder`, in which no cell names `identifier`."""
    for path in NOTEBOOKS.glob("*.ipynb"):
        content = json.loads(path.read_text("utf-8"))
        for cell in content["cells"]:
            named = cell["metadata"].get("rows", [])
            cell["metadata"]["rows"] = [i for i in named if i != identifier]
            cell.pop("outputs", None)
        (folder / path.name).write_text(json.dumps(content), "utf-8")
    return folder


def written(folder, name, *cells):
    nbformat.write(new_notebook(cells=list(cells)), folder / f"{name}.ipynb")


# --- The lists ------------------------------------------------------------------------


def test_ids_are_complete_and_unique():
    assert [row.id for row in claims.rows()] == ROWS
    assert sorted(e.id for e in claims.errata()) == sorted(ERRATA)


def test_every_entry_is_filled_in_and_of_a_known_kind():
    for row in claims.rows():
        assert row.source and row.asks
    for erratum in claims.errata():
        assert erratum.source and erratum.where and erratum.claim and erratum.correct
        assert erratum.status in claims.STATUSES, erratum.id
        assert erratum.kind in claims.KINDS, erratum.id
        assert erratum.doubt or erratum.status != "perhaps a scanning error", erratum.id


def test_one_entry_of_each_kind_teaches():
    taught = [erratum.kind for erratum in claims.errata() if erratum.lesson]
    assert sorted(taught) == sorted(claims.KINDS) == sorted(claims.CHECKS)


def test_the_check_of_each_kind_is_a_test_that_exists():
    for _, place in claims.CHECKS.values():
        file, test = place.split("::")
        assert f"def {test}(" in (ROOT / "tests" / file).read_text("utf-8"), place


def test_claims_have_ids_of_their_own_and_say_what_judges_them():
    listed = claims.claims()
    assert len({claim.id for claim in listed}) == len(listed)
    for claim in listed:
        assert claim.topic and claim.source and claim.says, claim
        assert not claim.verdict or claim.measured, claim


def test_no_key_of_ours_stands_in_what_the_reader_sees():
    shown = [f"{row.source} {row.asks}" for row in claims.rows()]
    shown += [f"{e.source} {e.where} {e.claim} {e.correct}" for e in claims.errata()]
    shown += [f"{q.source} {q.title}" for q in claims.questions()]
    assert not [text for text in shown if re.search(r"\b(S[0-4]|[ERX]\d+)\b", text)]


def test_points_add_up():
    asked = {}
    for question in claims.questions():
        asked.setdefault(question.source, []).append(question)
    assignment, photographs = asked["assignment"], asked["CIFAR-10 assignment"]
    assert [q.number for q in assignment] == [str(n) for n in range(1, 18)]
    assert sum(q.points for q in assignment) == 10
    tasks = Counter()
    for question in photographs:
        tasks[question.number[0]] += round(10 * question.points)
    assert tasks == {"1": 5, "2": 3, "3": 12}
    assert [(q.number, q.points) for q in asked["lab sheet"]] == [
        ("1", None),
        ("2", None),
        ("3", None),
    ]


def test_every_question_is_made_of_known_rows():
    for question in claims.questions():
        assert question.rows and set(question.rows) <= set(ROWS), question


def test_files_that_answer_a_row_exist():
    for row in claims.rows():
        for file in row.answered_by:
            assert (ROOT / file).is_file(), f"{row.id}: {file}"


def test_the_tables_of_the_audit_show_every_entry(monkeypatch):
    shown = {}
    monkeypatch.setattr(
        text, "table", lambda key, *content, **_: shown.update({key: content[-1]})
    )
    kinds = list(claims.KINDS)
    tables.sources()
    tables.instructive(kinds)
    tables.errata()
    tables.checks(dict.fromkeys(kinds, 1))
    tables.questions()
    tables.requirements()
    tables.looks()
    assert [name for name, *_ in shown["sources"]] == [s.name for s in claims.sources()]
    assert [kind for kind, *_ in shown["instructive"]] == kinds
    assert [row[1].removesuffix(" ‡") for row in shown["errata"]] == [
        erratum.claim for erratum in claims.errata()
    ]
    assert [row[0] for row in shown["errata-checks"]] == kinds
    assert [row[1] for row in shown["questions"]] == [
        question.title for question in claims.questions()
    ]
    assert [f"R{number}" for number, *_ in shown["requirements"]] == ROWS
    assert sum(count for _, count, _ in shown["looks"]) == sum(claims.looks().values())


def test_the_ledger_counts_runs_seeds_and_looks(monkeypatch):
    shown = []
    monkeypatch.setattr(text, "table", lambda *content: shown.extend(content[-1]))
    run = {"config": {"data": "mnist"}, "headline": None, "final": {}, "seconds": 1800}
    tested = run | {"headline": "mnist/a", "final": {"test": {}}}
    other = run | {"config": {"data": "varres"}}
    tables.ledger([run, tested, tested, tested | {"headline": "mnist/b"}, other])
    assert shown == [
        ["mnist", 4, 3, 2, 1, "2.0"],
        ["varres", 1, 0, 0, "–", "0.5"],
    ]


# --- The notebooks --------------------------------------------------------------------


def test_every_row_is_answered():
    assert unanswered_rows(NOTEBOOKS) == []


def test_every_erratum_is_proved_by_code():
    assert unproved_errata(NOTEBOOKS) == []


def test_every_id_in_a_notebook_is_known():
    assert unknown_ids(NOTEBOOKS) == set()


@pytest.mark.parametrize("identifier", ["R13", "R66"])
def test_a_row_that_no_cell_names_any_more_is_found(identifier, tmp_path):
    assert identifier not in unanswered_rows(NOTEBOOKS)
    assert identifier in unanswered_rows(without(identifier, tmp_path))


def test_an_erratum_that_no_code_names_any_more_is_found(tmp_path):
    assert "E24" not in unproved_errata(NOTEBOOKS)
    assert "E24" in unproved_errata(without("E24", tmp_path))
    words_alone = new_markdown_cell("Words alone.", metadata={"rows": ["E24"]})
    written(tmp_path, "98_words", words_alone)
    assert "E24" in unproved_errata(tmp_path)


def test_an_id_that_nobody_knows_is_found(tmp_path):
    written(tmp_path, "01_a", new_code_cell("1", metadata={"rows": ["R119"]}))
    assert unknown_ids(tmp_path) == {"R119"}


def test_cells_that_name_test_images_are_counted_by_section(tmp_path):
    written(
        tmp_path,
        "01_a",
        new_markdown_cell("# A\n\nThe images of `digits.test`."),
        new_code_cell('final["test"]; test = 1; tester.tests'),
        new_markdown_cell("## Looks"),
        new_code_cell("judged = evaluate(model, digits.test)"),
        new_code_cell("few = data.load('varres').test[32].images[:5]"),
        new_code_cell("# digits.test\ntext = 'digits.test'"),
    )
    written(tmp_path, "02_b", new_markdown_cell("# B"), new_code_cell("1"))
    assert {p.heading: n for p, n in claims.looks(tmp_path).items()} == {"Looks": 2}
    assert claims.looks()  # every notebook of the project can be read


def test_links_lead_to_a_lesson_first_and_never_to_a_summary(tmp_path, monkeypatch):
    named = {"rows": ["R1"]}
    for number, heading in ((7, "Proof"), (1, "Lesson"), (2, "Summary")):
        written(
            tmp_path,
            f"0{number}_a",
            new_markdown_cell(f"# A\n\n## {heading}"),
            new_code_cell("1", metadata=named),
        )
    monkeypatch.setattr(claims, "_answers_once", lambda: claims.answers(tmp_path))
    assert (
        claims.links("R1")
        == "[1: Lesson](01_a.ipynb#Lesson); [7: Proof](07_a.ipynb#Proof)"
    )
    assert claims.links("R1", most=1) == "[1: Lesson](01_a.ipynb#Lesson)"
    assert claims.links("R2") == "—"


# --- The links ------------------------------------------------------------------------

HEADINGS = [
    "Plain words",
    "`random_split`: validation that *inherits*",
    "Whose fault, then? (a copy's) – 50 %",
    "One [bracket] and a “quotation”",
    "It's a # sign",
]


def broken_links(folder, links):
    """What the report says of `links` in a chapter that follows those in `folder`."""
    written(folder, "99_links", new_markdown_cell("# Links\n\n" + "\n\n".join(links)))
    chapters = []
    for path in sorted(folder.glob("*.ipynb")):
        content = nbformat.read(path, as_version=4)
        content.cells = [c for c in content.cells if c.cell_type == "markdown"]
        chapters.append(ChapterExporter().chapter(content, path.stem, path.parent))
    findings = Findings()
    numbering = Numbering(findings, strict=True, numbered=True, single=False)
    cells = [cell for chapter in chapters for cell in numbering.cells(chapter)]
    references = References(chapters, numbering, project.repository())
    before = len(findings.lines)
    for place, chapter, blocks in cells:
        if chapter.name == "99_links":
            references.resolved(blocks, place, chapter)
    return findings.lines[before:]


def test_a_place_is_the_nearest_heading_above_and_comes_once(tmp_path):
    code = [new_code_cell("1", metadata={"rows": ["R1", "E2"]}) for _ in range(3)]
    written(
        tmp_path,
        "03_title",
        new_markdown_cell("# Title\n\nWords."),
        code[0],
        new_markdown_cell("## Above\n\n```\n# no heading\n```"),
        code[1],
        code[2],
    )
    written(tmp_path, "unnumbered", code[0])
    places = claims.answers(tmp_path)
    assert (
        places["R1"]
        == places["E2"]
        == [
            claims.Place("03_title.ipynb", 3, "Title", "[3: Title](03_title.ipynb)"),
            claims.Place(
                "03_title.ipynb", 3, "Above", "[3: Above](03_title.ipynb#Above)"
            ),
        ]
    )


def test_links_to_awkward_headings_resolve(tmp_path):
    cells = [new_markdown_cell("# Title")]
    for number, heading in enumerate(HEADINGS):
        cells += [
            new_markdown_cell(f"## {heading}"),
            new_code_cell("1", metadata={"rows": [f"R{number}"]}),
        ]
    written(tmp_path, "01_title", *cells)
    places = claims.answers(tmp_path)
    assert len(places) == len(HEADINGS)
    assert not broken_links(tmp_path, [place.link for (place,) in places.values()])
    assert broken_links(tmp_path, ["[gone](01_title.ipynb#Gone)"])


def test_all_links_to_the_notebooks_resolve(tmp_path):
    for path in NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"):
        content = json.loads(path.read_text("utf-8"))
        headings = [
            new_markdown_cell("".join(cell["source"]))
            for cell in content["cells"]
            if cell["cell_type"] == "markdown"
        ]
        written(tmp_path, path.stem, *headings)
    links = {p.link for places in claims.answers(NOTEBOOKS).values() for p in places}
    assert links and not broken_links(tmp_path, sorted(links))
