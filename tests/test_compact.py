"""Pictures made small: they look the same, and come out the same each time."""

import base64
import os
import re
import subprocess
import sys
from io import BytesIO
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pytest
import typst
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.patches import FancyBboxPatch
from PIL import Image

from helpers import compact, figures
from report.project import ROOT


def everything():
    """A figure with all that the notebooks draw: what an SVG of matplotlib can hold."""
    figures.use_house_style()
    draw = np.random.default_rng(0)
    figure, axes = plt.subplots(2, 3, figsize=(6.5, 4))
    x = np.linspace(0.1, 3, 60)
    axes[0, 0].plot(x, np.sin(x), "--", marker="o", ms=3, label="dashes and marks")
    axes[0, 0].fill_between(x, np.sin(x) - 0.2, np.sin(x) + 0.2, alpha=0.2, lw=0)
    axes[0, 0].errorbar([1, 2], [0, 0.1], yerr=0.2, fmt="D", capsize=3)
    axes[0, 0].legend(title="a legend")
    axes[0, 1].scatter(*draw.normal(size=(2, 50)), c=draw.random(50), alpha=0.5)
    axes[0, 1].scatter(*draw.normal(size=(2, 9)), marker="s", facecolors="none")
    axes[0, 1].set_title(r"$\mathbf{Y} = \sqrt{\frac{a_i^2}{b}} \ast K$")
    axes[0, 2].loglog(x, x**-3, color="#112233", lw=0.7)
    axes[0, 2].grid(which="both", alpha=0.4)
    axes[1, 0].bar(range(3), [3, 1, 2], hatch="//", edgecolor="white")
    axes[1, 0].bar_label(axes[1, 0].containers[0])
    axes[1, 0].set_ylabel("height of the bars, °C")
    figures.image(axes[1, 1], draw.random((8, 8)), "an image")
    axes[1, 1].add_patch(FancyBboxPatch((1, 1), 3, 3, boxstyle="round", fc="none"))
    axes[1, 2].imshow(draw.random((5, 5)), cmap="viridis", alpha=0.7)
    axes[1, 2].annotate("here", (1, 1), (3, 3), arrowprops={"arrowstyle": "->"})
    axes[1, 2].text(0.5, 0.5, "turned", rotation=30, color="#FF0000")
    return figure


def saved(figure, format):
    buffer = BytesIO()
    figure.savefig(buffer, format=format, dpi=200)
    plt.close(figure)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def written():
    return saved(everything(), "svg").decode()


def drawn(svg, folder, ppi=200):
    """The pixels of an SVG (height, width, 3), as Typst draws it."""
    (folder / "picture.svg").write_text(svg, "utf-8")
    main = folder / "main.typ"
    main.write_text(
        '#set page(width: auto, height: auto, margin: 0pt)\n#image("picture.svg")'
    )
    png = typst.compile(str(main), root=str(folder), format="png", ppi=ppi)
    return np.asarray(Image.open(BytesIO(png)).convert("RGB"), float)


def test_a_shortened_svg_looks_the_same(written, tmp_path):
    short = compact.svg(written)
    before, after = drawn(written, tmp_path), drawn(short, tmp_path)
    assert before.shape == after.shape and before.std() > 20
    difference = np.abs(before - after).max(axis=2)
    assert difference.mean() < 0.5
    assert (difference > 64).mean() < 1e-4


def test_a_shortened_svg_is_short_and_still_an_svg(written):
    short = compact.svg(written)
    assert len(short) < 0.45 * len(written)
    root = ElementTree.fromstring(short)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    before = ElementTree.fromstring(written)
    for name in ("width", "height", "viewBox"):
        assert root.get(name) == before.get(name)
    named = {e.get("id") for e in root.iter() if e.get("id")}
    used = set(re.findall(r"(?:href=\"|url\()#(\w+)", short))
    assert used and used == named
    classes = {e.get("class") for e in root.iter() if e.get("class")}
    assert classes == set(re.findall(r"\.(\w+)\{", short))
    assert "xlink" not in short and "matplotlib" not in short and "\n" not in short


def test_what_is_short_stays_as_it_is(written):
    short = compact.svg(written)
    assert len(compact.svg(short)) == len(short)
    once = compact.png(saved(everything(), "png"))
    assert compact.png(once) == once


# For another process, with another seed of hash().
PRINT = """
from test_compact import compact, everything, saved
print(compact.svg(saved(everything(), "svg").decode()))
"""


@pytest.mark.slow
def test_another_process_makes_the_same_bytes(written):
    path = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    for seed in ("1", "2"):
        environment = os.environ | path | {"PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", PRINT]
        printed = subprocess.check_output(command, env=environment, text=True)
        assert printed.strip() == compact.svg(written)


# --- Paths ----------------------------------------------------------------------------

LENGTHS = {"M": 1, "L": 1, "Q": 2, "C": 3}  # points of each command
coordinate = st.floats(-999, 999).map(lambda value: round(value, 6))
point = st.tuples(coordinate, coordinate)
segment = st.sampled_from("LLLQQC").flatmap(
    lambda command: st.tuples(
        st.just(command), st.lists(point, min_size=(n := LENGTHS[command]), max_size=n)
    )
)
outline = st.tuples(point, st.lists(segment, min_size=1, max_size=8), st.booleans())


def as_matplotlib(outlines):
    lines = []
    for start, segments, closed in outlines:
        for command, points in [("M", [start]), *segments]:
            lines.append(f"{command} " + " ".join(f"{x} {y}" for x, y in points) + " ")
        lines += ["z"] if closed else []
    return "\n".join(lines)


def followed(data):
    """The points that path data leads to, and control points, by the grammar of SVG."""
    tokens = re.findall(r"[a-zA-Z]|-?(?:\d+\.?\d*|\.\d+)", data)
    assert "".join(tokens) == data.replace(" ", "")
    pen = start = control = (0, 0)
    ends, controls = [], []
    while tokens:
        if tokens[0].isalpha():
            command = tokens.pop(0)
        n = {"h": 1, "v": 1, "q": 4, "c": 6, "z": 0}.get(command, 2)
        steps = [float(tokens.pop(0)) for _ in range(n)]
        steps = {"h": [*steps, 0], "v": [0, *steps]}.get(command, steps)
        points = [
            (pen[0] + x, pen[1] + y)
            for x, y in zip(steps[::2], steps[1::2], strict=True)
        ]
        if command == "t":
            points.insert(0, (2 * pen[0] - control[0], 2 * pen[1] - control[1]))
        if command == "z":
            points = [start]
        controls += points[:-1]
        control, pen = (points[0] if command in "qt" else None), points[-1]
        ends.append(pen)
        start = pen if command == "m" else start
    return ends, controls


def without_repeats(points, decimals):
    scale = 10**decimals
    whole = [(round(x * scale), round(y * scale)) for x, y in points]
    return [p for before, p in zip([None, *whole], whole, strict=False) if p != before]


@settings(max_examples=300, deadline=None)
@given(st.lists(outline, min_size=1, max_size=3), st.sampled_from([0, 1, 2]))
def test_steps_lead_to_the_same_points(outlines, decimals):
    """Each point is right to half a unit: the errors of the steps do not add up."""
    ends, controls = followed(compact._path(as_matplotlib(outlines), 1, decimals))
    expected_ends, expected_controls = [], []
    for start, segments, closed in outlines:
        expected_ends += [start, *(points[-1] for _, points in segments)]
        expected_ends += [start] if closed else []
        expected_controls += [p for _, points in segments for p in points[:-1]]
    assert without_repeats(ends, decimals) == without_repeats(expected_ends, decimals)
    # Those of mirrored curves may lie one unit beside.
    difference = np.abs(np.array(controls) - np.array(expected_controls))
    assert difference.max(initial=0) <= 1.51 * 10**-decimals


SHORT = {
    "M 0 180 \nL 468 180 \nL 468 0 \nL 0 0 \nL 0 180 z\n": "m0 180h468v-180h-468z",
    "M 0.5 -0.254 L 1.006 0.25": "m.5-.25l.51.5",
    "M 5 5 L 5.001 5 L 5.002 5": "m5 5h0",  # a dot, where lines have round ends
    "M 0 0 Q 9 0 9 9 Q 9 18 18 18 Q 27 18 27 9": "m0 0q9 0 9 9t9 9 9-9",
    "M 0 0 Q 9 0 9 9 Q 9.02 18 18 18": "m0 0q9 0 9 9 .02 9 9 9",  # no mirror image
}


@pytest.mark.parametrize("long", SHORT)
def test_a_path_is_short(long):
    assert compact._path(long, 1, 2) == SHORT[long]


def test_what_matplotlib_does_not_write_stays():
    arc = "M0 0A5 5 0 0 1 10 10"
    svg = f'<svg xmlns="http://www.w3.org/2000/svg"><path d="{arc}"/></svg>'
    assert arc in compact.svg(svg)
    lone = '<svg xmlns="http://www.w3.org/2000/svg"><title>a &lt; b</title></svg>'
    assert "<title>a &lt; b</title>" in compact.svg(lone)


# --- Pixels ---------------------------------------------------------------------------


def png(image):
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def compressed(image):
    return Image.open(BytesIO(compact.png(png(image))))


def test_greys_stay_exactly():
    greys = np.arange(256, dtype=np.uint8).repeat(8).reshape(32, 64)
    image = compressed(Image.fromarray(greys).convert("RGBA"))
    assert image.mode == "L" and (np.asarray(image) == greys).all()


def test_a_rare_strong_colour_stays():
    """As in a map of gradients, whose few extremes are what it is about."""
    draw = np.random.default_rng(0)
    pixels = draw.integers(200, 230, (100, 100, 3), np.uint8)
    pixels[50, 50], pixels[20, 70] = (180, 4, 38), (59, 76, 192)
    image = compressed(Image.fromarray(pixels))
    assert image.mode == "P"
    found = np.asarray(image.convert("RGB"), int)
    assert np.abs(found - pixels).max() <= 8


def test_colours_that_a_palette_would_spoil_stay():
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (64, 64, 3), np.uint8)
    image = compressed(Image.fromarray(pixels))
    assert image.mode == "RGB" and (np.asarray(image) == pixels).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_parts_stay(mode):
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[2:5, 2:5] = (255, 255, 255, 255)
    before = Image.fromarray(pixels).convert(mode)
    assert compressed(before).convert("RGBA") == before.convert("RGBA")


def test_pixels_in_an_svg_are_made_small_too(written):
    embedded = r'<image [^>]*href="data:image/png;base64,([^"]+)"'
    before, after = (re.findall(embedded, s) for s in (written, compact.svg(written)))
    assert len(after) == len(before) == 2
    modes = [Image.open(BytesIO(base64.b64decode(data))).mode for data in after]
    assert "L" in modes
    assert sum(map(len, after)) < 0.7 * sum(map(len, before))
