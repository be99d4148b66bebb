"""figures.show, text.say, text.table: what they display and what they refuse."""

import base64
import os
import re
from io import BytesIO

import matplotlib.pyplot as plt
import numpy as np
import pytest

from helpers import environment, figures, text
from helpers.stats import paired_t, t_interval


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
    if profile:
        monkeypatch.setenv("REPORT_PROFILE", profile)
    else:
        # Take the real path of a machine that has the data, without needing it here.
        real = environment.data.Location("MNIST from a test", "", False, dict)
        monkeypatch.setattr(environment.data, "locate", lambda name: real)
    monkeypatch.delenv("REPORT_FIGURES")
    device = environment.prepare()
    data, report = displayed[0]
    assert device.type in ("cpu", "cuda") and report["kind"] == "environment"
    assert report["profile"] == (profile or "full")
    assert report["data"] in data["text/markdown"]
    assert report["versions"].keys() == {"Python", "torch"}
    quick = profile == "quick"
    assert data["text/markdown"].startswith("**Quick run on stand-in data") == quick
    folder = "build/figures" if quick else "figures"
    assert os.environ["REPORT_FIGURES"] == str(environment.ROOT / folder)
    monkeypatch.delenv("REPORT_FIGURES")


# --- Numbers in words -----------------------------------------------------------------


def test_numbers_are_spelt_the_same_everywhere():
    assert text.signed(-0.125, 1) == "−0.1" and text.signed(2) == "+2.00"
    assert text.percent(t_interval([0.99, 0.992])) == "99.10% (97.83% – 100.37%)"
    assert text.points(paired_t([0.5, 0.52], [0.49, 0.5])) == "+1.50 (−4.85 to +7.85)"
    assert [text.p_value(p) for p in (0.0301, 0.0004)] == ["0.030", "< 0.001"]
    assert [text.p_value(p, "p") for p in (0.5, 0)] == ["p = 0.500", "p < 0.001"]


def test_words_of_a_comparison_follow_its_p_value_and_sign():
    clear = paired_t([0.5, 0.52, 0.51], [0.4, 0.42, 0.412])
    assert text.in_words(clear, "better", "worse") == "better"
    assert text.in_words(clear._replace(mean=-0.1), "better", "worse") == "worse"
    assert text.in_words(clear, "better", "worse", p=0.06).startswith("no difference")
    assert text.listed(["a", "b"]) == "*a*, *b*"
    assert text.listed([], "none of them") == "none of them"


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
