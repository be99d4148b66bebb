"""figures.show, text.say, text.table: what they display and what they refuse."""

import base64
import csv
import math
import re
from datetime import date
from io import BytesIO, StringIO
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from helpers import environment, figure_data, figures, project, stats, text
from helpers.stats import t_interval


@pytest.fixture
def displayed(monkeypatch, tmp_path):
    """Collect (data, metadata) of everything displayed; figures go to tmp_path."""
    bundles = []

    def collect(data, metadata, raw):
        assert raw
        bundles.append((data, metadata["report"]))

    monkeypatch.setattr(figures, "display", collect)
    monkeypatch.setattr(text, "display", collect)
    monkeypatch.setattr(environment, "display", collect)
    monkeypatch.setenv("REPORT_FIGURES", str(tmp_path))
    return bundles


def draw():
    figures.use_house_style()
    figure, axes = plt.subplots(figsize=(3, 2))
    axes.plot([1, 2, 3])
    return figure


@pytest.mark.parametrize("format", ["svg", "png"])
def test_show_writes_the_file_and_holds_it_once(displayed, tmp_path, format):
    alt = 'A "line" from 1 to 3.'
    figures.show(draw(), "line", "Rises, n = 3 & more.", alt, format)
    (data, report) = displayed[0]
    content = (tmp_path / f"line.{format}").read_bytes()
    assert content.startswith({"svg": b"<svg", "png": b"\x89PNG"}[format])
    assert data.keys() == {"text/plain", "text/html"}
    (held,) = re.findall(r'src="data:(image/[\w+]+);base64,([^"]+)"', data["text/html"])
    assert held == (figures.MIME_TYPES[format], base64.b64encode(content).decode())
    assert 'alt="A &quot;line&quot; from 1 to 3."' in data["text/html"]
    assert "<figcaption>Rises, n = 3 &amp; more.</figcaption>" in data["text/html"]
    assert data["text/plain"] == "Figure: Rises, n = 3 & more."
    assert report == {
        "kind": "figure",
        "key": "line",
        "caption": "Rises, n = 3 & more.",
        "alt": alt,
        "width": 3.0,
        "data": "panel,kind,name,x,y,value\n"
        "1,point,,0,1,\n1,point,,1,2,\n1,point,,2,3,\n",
    }


def test_show_makes_pictures_small(displayed, tmp_path):
    drawn = {}
    for format in ("svg", "png"):
        buffer = BytesIO()
        draw().savefig(buffer, format=format, dpi=200)
        drawn[format] = buffer.getvalue()
        figures.show(draw(), "line", "Caption.", "Alt.", format)
        written = (tmp_path / f"line.{format}").read_bytes()
        assert len(written) < 0.55 * len(drawn[format])
    plt.close("all")


@pytest.mark.parametrize("format", ["svg", "png"])
def test_the_same_figure_gives_the_same_bytes(displayed, tmp_path, format):
    contents = set()
    for _ in range(2):
        figures.show(draw(), "line", "Caption.", "Alt.", format=format)
        contents.add((tmp_path / f"line.{format}").read_bytes())
    assert len(contents) == 1


@pytest.mark.parametrize("key", ["../outside", "a/b", "a b", "", ".", "..", "a\n"])
def test_a_key_names_a_file_and_an_anchor_or_is_refused(displayed, tmp_path, key):
    with pytest.raises(ValueError, match="the key is "):
        figures.show(draw(), key, "C.", "A.")
    plt.close("all")
    with pytest.raises(ValueError, match="the key is "):
        text.table(key, "C.", ["a"], [["x"]])
    assert not [*tmp_path.rglob("*.svg")] and displayed == []


def test_show_closes_the_figure(displayed):
    figures.show(draw(), "line", "Caption.", "Alt.")
    assert not plt.get_fignums()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"caption": " "}, "needs a caption"),
        ({"alt": ""}, "needs a caption and an alternative text"),
        ({"format": "jpg"}, "use 'svg' or 'png'"),
    ],
)
def test_show_refuses(displayed, options, message):
    arguments = {"key": "line", "caption": "Caption.", "alt": "Alt."} | options
    with pytest.raises(ValueError, match=message):
        figures.show(draw(), **arguments)
    assert not displayed


def test_show_refuses_a_figure_wider_than_the_page(displayed):
    with pytest.raises(ValueError, match=r"7\.0 inches wide: the page has 6\.5"):
        figures.show(plt.figure(figsize=(7, 2)), "wide", "Caption.", "Alt.")


def test_say_sets_numbers_into_markdown(displayed):
    text.say("**{share:.1%}** of {n:,}", share=0.5, n=2000)
    assert displayed[0][0]["text/markdown"] == "**50.0%** of 2,000"
    assert displayed[0][1] == {"kind": "prose"}
    with pytest.raises(KeyError, match="share"):
        text.say("{share}")


def test_source_shows_a_function_as_code(displayed):
    text.source(text.say)
    markdown = displayed[0][0]["text/markdown"]
    assert markdown.startswith("```python\ndef say(template") and markdown.endswith(
        ")\n```"
    )


def test_table_aligns_numbers_and_escapes(displayed):
    text.table("t", "Two rows.", ["name", "value"], [["a|b", 1.5], ["<c>", "−2"]])
    data, report = displayed[0]
    assert data["text/markdown"].splitlines() == [
        "| name | value |",
        "|:---|---:|",
        r"| a\|b | 1.5 |",
        "| <c> | −2 |",
    ]
    assert '<td style="text-align:right">1.5</td>' in data["text/html"]
    assert "&lt;c&gt;" in data["text/html"]
    assert "<caption>Two rows.</caption>" in data["text/html"]
    assert report == {"kind": "table", "key": "t", "caption": "Two rows."}
    text.table("u", "One.", ["n"], [[1]], on_paper=False)
    assert displayed[1][1]["print"] is False


def test_a_cell_with_a_line_break_stays_one_row(displayed):
    text.table("k", "C.", ["a", "b"], [["x\ny", 1]])
    data = displayed[0][0]
    assert data["text/markdown"].splitlines()[2:] == ["| x<br>y | 1 |"]
    assert ">x<br>y</td>" in data["text/html"]


def test_cells_of_a_table_are_markdown_in_jupyter_too(displayed):
    cells = ["*a* `b * c` 2 * 3 * 4", "[d](e.ipynb#f)", "g < h"]
    text.table("k", "A caption.", ["x", "y", "z"], [cells])
    (bundle, _) = displayed[0]
    for cell in (
        "<em>a</em> <code>b * c</code> 2 * 3 * 4",
        '<a href="e.ipynb#f">d</a>',
        "g &lt; h",
    ):
        assert f">{cell}</td>" in bundle["text/html"]


@pytest.mark.parametrize(
    ("caption", "rows", "message"),
    [
        ("", [["a"]], "needs a caption"),
        ("C.", [["a", "b"]], "has 2 cells, the header 1"),
    ],
)
def test_table_refuses(displayed, caption, rows, message):
    with pytest.raises(ValueError, match=message):
        text.table("t", caption, ["one"], rows)


@pytest.mark.parametrize("profile", ["quick", None])
def test_prepare_says_device_data_and_versions(displayed, monkeypatch, profile):
    monkeypatch.delenv("REPORT_DATA", raising=False)
    monkeypatch.setenv("REPORT_PROFILE", profile or "")
    device = environment.prepare("mnist", "varres")
    data, report = displayed[0]
    assert device.type in ("cpu", "cuda") and report["kind"] == "environment"
    assert report["profile"] == (profile or "full")
    assert len(report["data"]) == 2
    assert all(source in data["text/markdown"] for source in report["data"])
    assert report["versions"].keys() == {"Python", "torch"}
    assert date.fromisoformat(report["date"]) <= date.today()
    quick = profile == "quick"
    assert data["text/markdown"].startswith("**A quick run on small data") == quick


def test_a_notebook_without_images_names_no_data(displayed):
    environment.prepare()
    assert "Data" not in displayed[0][0]["text/markdown"]


def test_figures_stay_apart_from_the_committed_ones_unless_asked(
    displayed, monkeypatch
):
    monkeypatch.delenv("REPORT_FIGURES")
    root = Path(__file__).resolve().parents[1]
    assert project.figures() == root / "build" / "figures"
    monkeypatch.setenv("REPORT_FIGURES", "elsewhere")
    assert project.figures() == Path("elsewhere")


# --- Numbers in words -----------------------------------------------------------------


def test_numbers_are_spelt_the_same_everywhere():
    assert text.signed(-0.125, 1) == "−0.1" and text.signed(2) == "+2.00"
    assert text.percent(t_interval([0.99, 0.992])) == "99.10% (97.83% – 100.37%)"
    assert [text.p_value(p) for p in (0.0301, 0.0004)] == ["0.030", "< 0.001"]
    assert [text.p_value(p, "p") for p in (0.5, 0)] == ["p = 0.500", "p < 0.001"]


@pytest.mark.parametrize("p", [math.nan, -0.1, 1.1, math.inf])
def test_what_is_no_probability_gets_no_words(p):
    with pytest.raises(ValueError, match="came in"):
        text.p_value(p)


def test_names_are_listed():
    assert text.listed(["a", "b"]) == "*a*, *b*"
    assert text.listed([], "none of them") == "none of them"


BETTER = [0.9931, 0.9935, 0.9929, 0.9942, 0.9938, 0.9933, 0.994, 0.993, 0.9937, 0.993]
WORSE = [0.9901, 0.9906, 0.99, 0.991, 0.9909, 0.9902, 0.9911, 0.9901, 0.9906, 0.9902]


def test_every_family_becomes_the_same_table(displayed):
    pairs = {"a − b": (BETTER, WORSE), "b − a": (WORSE, BETTER), "b − b": [WORSE] * 2}
    findings = stats.family(pairs, margin=0.0005)
    text.comparison_table("pairs", "Of two networks.", findings)
    ((bundle, report),) = displayed
    lines = bundle["text/markdown"].splitlines()
    assert lines[0] == (
        "| comparison | difference (95% interval) | raw p | adjusted p | detectable | "
        "verdict |"
    )
    assert lines[1] == "|:---|---:|---:|---:|---:|:---|"
    one = findings["a − b"]
    assert lines[2] == (
        f"| a − b | +{100 * one.difference:.2f} (+{100 * one.low:.2f} to "
        f"+{100 * one.high:.2f}) | 0.002 | 0.006 | {100 * one.detectable:.2f} | found |"
    )
    assert lines[3].startswith("| b − a | −0.3") and lines[3].endswith(
        "| found, the other way |"
    )
    assert lines[4] == (
        "| b − b | +0.00 (+0.00 to +0.00) | 1.000 | 1.000 | 0.00 | equal within 0.05 |"
    )
    assert report["caption"] == (
        "Of two networks. Differences in percentage points, intervals over 10 seeds, "
        "simultaneous for 3 rows. p: the larger of t test and sign-flip test; "
        "adjusted: times 3. Detectable: the difference that is found with a "
        "probability of 80%."
    )


def test_the_note_says_what_an_interval_covers():
    right = np.random.default_rng(0).random((10, 200)) < 0.9
    one = {"a": stats.compare(right, right[::-1], images="same")}
    assert "over 10 seeds and 200 images. p: the larger" in text.comparison_note(one)
    other = {"a": stats.compare(right, right[:, :150], images="different")}
    assert "150 to 200 images, different ones in the two arms" in text.comparison_note(
        other
    )
    few = {"a": stats.compare(BETTER[:5], WORSE[:5])}
    note = text.comparison_note(few, "nats")
    assert note.startswith(
        "Differences in nats, intervals over 5 seeds. p: of the t test"
    )
    assert "too few seeds for a verdict" in note
    assert "whose interval misses zero with a probability of 80%" in note
    pairs = {"a": (BETTER, WORSE), "b": (BETTER[:5], WORSE[:5])}
    note = text.comparison_note(stats.family(pairs))
    assert "over 5 to 10 seeds" in note and "of few seeds the t test's" in note
    middle = {"a": stats.compare(BETTER, WORSE, of="median")}
    note = text.comparison_note(middle, "")
    assert (
        note.startswith("Medians of the differences, intervals") and "sign test" in note
    )


def test_a_brief_table_leaves_out_what_does_not_decide(displayed):
    findings = stats.family({"a − b": (BETTER[:5], WORSE[:5]), "0": (WORSE, WORSE)})
    text.comparison_table("pairs", "Of two networks.", findings, brief=True)
    ((bundle, report),) = displayed
    header, _, first, _ = bundle["text/markdown"].splitlines()
    one = findings["a − b"]
    assert header.count("|") == 6 and "detectable" not in header
    raw, adjusted = map(text.p_value, one.p)
    assert f"| {raw} | {adjusted} | {text.verdict(one)} |" in first
    assert report["caption"] == (
        "Of two networks. In points; intervals over 5 to 10 seeds, they and adjusted p "
        "for the family of 2."
    )
    right = np.random.default_rng(0).random((10, 200)) < 0.9
    one = stats.family({"a − b": (right, right[::-1])}, images="same")
    text.comparison_table("images", "Of two networks.", one, brief=True)
    assert "over 10 seeds and images, they" in displayed[1][1]["caption"]


def test_a_family_is_shown_whole_or_not_at_all():
    findings = stats.family({"a": (BETTER, WORSE), "b": (WORSE, BETTER)})
    for part in ({}, {"a": findings["a"]}):
        for show in (text.comparison_rows, text.comparison_note):
            with pytest.raises(ValueError, match="show a family whole"):
                show(part)


def test_a_note_speaks_of_one_kind_of_interval():
    right = np.eye(10, 20) == 0
    pairs = {"seeds": (BETTER, WORSE), "images": (right, right)}
    mixed = stats.family(pairs, images={"images": "same"})
    assert len(text.comparison_rows(mixed)[1]) == 2
    with pytest.raises(ValueError, match="write a caption that tells them apart"):
        text.comparison_note(mixed)


def test_a_finding_is_told_with_what_its_verdict_needs():
    found = stats.compare(BETTER, WORSE)
    assert text.told(found) == (
        f"found: +{100 * found.difference:.2f} points (+{100 * found.low:.2f} to "
        f"+{100 * found.high:.2f}), p = 0.002"
    )
    same = np.array(WORSE) + 0.0001 * np.array([1, -1] * 5)
    equal = stats.compare(same, WORSE, margin=0.001)
    assert text.told(equal).startswith("equal within 0.10: +0.00 points (−0.0")
    open_ = stats.compare(same, WORSE)
    assert text.told(open_).endswith(
        f"; {100 * open_.detectable:.2f} points would have been found with a "
        "probability of 80%"
    )
    few = stats.compare(BETTER[:5], WORSE[:5])
    assert text.verdict(few) == "not decided, worth a look"
    assert text.told(few).endswith("; 5 seeds, no verdict from fewer than 10")
    large = stats.family({str(i): (BETTER, WORSE) for i in range(26)})["3"]
    assert text.told(large, "", 4).startswith("not decided, worth a look: +0.0030 (")
    one = large.p
    assert text.told(large).endswith(
        f", {text.p_value(one.raw, 'p')}, adjusted {text.p_value(one.adjusted)}; "
        "10 seeds, too few for a family of 26"
    )
    three = stats.family({str(i): (BETTER, WORSE) for i in range(3)})["0"]
    assert text.told(three).endswith(", p = 0.002, adjusted 0.006")
    without_end = stats.compare(BETTER[:5], WORSE[:5], of="median")
    assert "(−∞ to +∞)" in text.told(without_end)


def test_a_column_of_differences_and_p_values_stands_on_the_right(displayed):
    rows = [["a", "−0.1 (−0.3 to +0.1)", "< 0.001"], ["b", "0.2", "0.5"]]
    text.table("differences", "Of two.", ["pair", "difference", "p"], rows)
    assert "|:---|---:|---:|" in displayed[0][0]["text/markdown"]


def test_a_band_is_the_mean_and_the_t_interval_of_every_epoch():
    values = np.array([[0.1, 0.3, 0.4], [0.2, 0.5, 0.4]])
    _, axes = plt.subplots()
    figures.draw_band(axes, values, 1, "some")
    (line,) = axes.lines
    assert line.get_xdata().tolist() == [1, 2, 3]
    assert line.get_ydata() == pytest.approx([0.15, 0.4, 0.4])
    corners = axes.collections[0].get_paths()[0].vertices
    for epoch in (1, 2, 3):
        edges = corners[corners[:, 0] == epoch, 1]
        interval = t_interval(values[:, epoch - 1])
        assert edges.min() == pytest.approx(interval.low)
        assert edges.max() == pytest.approx(interval.high)
    plt.close("all")


@pytest.mark.parametrize("across", [False, True])
def test_a_whisker_shows_the_mean_its_interval_and_every_value(across):
    figure, axes = plt.subplots()
    values = [1.0, 2.0, 4.0]
    figures.whisker(axes, 7, values, across=across)
    interval = t_interval(values)

    rings, mean = axes.lines[:2]
    read = (rings.get_xdata(), rings.get_ydata())
    assert [*read[0 if across else 1]] == values
    assert set(read[1 if across else 0]) == {7}
    middle = (mean.get_xdata()[0], mean.get_ydata()[0])
    assert middle[0 if across else 1] == interval.mean
    ends = axes.collections[0].get_segments()[0]
    assert sorted(ends[:, 0 if across else 1]) == [interval.low, interval.high]
    plt.close(figure)


def test_a_whisker_takes_a_wider_interval_where_there_is_one():
    figure, axes = plt.subplots()
    wide = stats.Interval(2.0, 0.0, 4.0, 3)
    figures.whisker(axes, 0, [1.0, 2.0, 3.0], interval=wide)
    assert [*axes.collections[0].get_segments()[0][:, 1]] == [0.0, 4.0]
    plt.close(figure)


# --- What a figure shows, as CSV ------------------------------------------------------


def values_of(figure):
    lines = csv.reader(StringIO(figure_data.table(figure)))
    assert tuple(next(lines)) == figure_data.HEADER
    return [tuple(line) for line in lines]


def test_points_bars_intervals_and_small_matrices_are_in_the_data():
    drawn, axes = plt.subplots(1, 4)
    axes[0].plot([1, 2], [0.123456789, -3], label="a curve")
    axes[0].axhline(7)
    axes[0].set_title("left")
    axes[1].bar(["p", "q"], [3, 4], label="counts")
    axes[1].scatter([5], [6])
    axes[2].errorbar([1], [2], yerr=[[0.5], [1]], label="mean")
    axes[3].pcolormesh([[1, 2], [3, 4]])
    axes[3].text(0, 1, "33")
    values = values_of(drawn)
    assert values[:2] == [
        ("1 left", "point", "a curve", "1", "0.123457", ""),
        ("1 left", "point", "a curve", "2", "-3", ""),
    ]
    assert ("2", "bar", "counts", "1", "2", "4") in values
    assert ("2", "point", "", "5", "6", "") in values
    ends = {v[4] for v in values if v[1] == "interval"}
    assert ends == {"1.5", "3"}
    pixels = [v for v in values if v[1] == "pixel"]
    assert pixels[1] == ("4", "pixel", "", "1", "0", "2") and len(pixels) == 4
    assert ("4", "text", "", "0", "1", "33") in values
    assert not any("7" in v[3:5] for v in values)


def test_a_photograph_is_its_own_data():
    drawn, axes = plt.subplots()
    axes.imshow(np.zeros((28, 28)))
    assert values_of(drawn) == []


def test_the_data_lie_beside_the_figure(displayed, tmp_path):
    drawn, axes = plt.subplots()
    axes.plot([1, 2], [3, 4])
    figures.show(drawn, "curve", "A curve.", "It rises.")
    _, report = displayed[-1]
    assert (tmp_path / "curve.csv").read_text("utf-8") == report["data"]
    assert report["data"].count("\n") == 3
