"""Pictures made small, without a difference that a reader could see.

matplotlib writes SVG with six decimals, a style for each element and a group for each
artist, and photographs in true colours: two to three times as much as is needed. Only
what comes with matplotlib is used here, so that a figure is the same on any machine.
"""

import base64
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from io import BytesIO
from itertools import count, product
from string import ascii_letters
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np
from PIL import Image

COLOURS = 256  # as many as a palette holds
LARGEST_ERROR = 6.0  # of colours, root mean square, in 255ths: more could be seen

DECIMALS = 2  # of coordinates in points: finer than any printer
# matplotlib gives glyphs 6,400 units to the em and scales them to 100, from which the
# group around them scales to the size of the text. With 400 whole units they are right
# to an 800th of an em, and need neither decimals nor a scale of their own.
GLYPH_SCALE = 0.015625
GLYPH_UNITS = 4  # for each of the 100

REFERENCE = re.compile(r"#([^\s\"()]+)")
SEGMENT = re.compile(r"([MLQCz])([^MLQCz]*)")
KNOWN_PATH = re.compile(r"[MLQCz\d\s.e+-]+")
NUMBER = re.compile(r"-?(?:\d+\.?\d*|\.\d+)(?:e-?\d+)?")
TRANSFORMATION = re.compile(r"(\w+)\(([^)]*)\)")
EMBEDDED_PNG = re.compile(r"data:image/png;base64,([\w+/=\s]+)")


def picture(content: bytes, format: str) -> bytes:
    """Return a picture in the format "svg" or "png", made small."""
    return svg(content.decode()).encode() if format == "svg" else png(content)


def png(content: bytes) -> bytes:
    """Return a PNG in greys, or with a palette of 256 colours, where it looks the same.

    A picture with transparent parts, and one whose colours would change by more than
    `LARGEST_ERROR`, keeps its colours.
    """
    image: Image.Image = Image.open(BytesIO(content))
    is_opaque = image.convert("RGBA").getextrema()[-1] == (255, 255)
    if is_opaque and image.mode not in ("L", "P"):
        image = image.convert("RGB")
        grey = image.convert("L")
        # The strongest colours of a map are rare, and must stay as they are: this way
        # none is lost. Dithering would weigh a lot, and hide small things behind noise.
        reduced = image.quantize(
            COLOURS, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE
        )
        if _error(image, grey) == 0:
            image = grey
        elif _error(image, reduced) <= LARGEST_ERROR:
            image = reduced
    buffer = BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _error(image: Image.Image, reduced: Image.Image) -> float:
    """Return the root mean square difference of two images' colours, in 255ths."""
    difference = np.asarray(image, float) - np.asarray(reduced.convert("RGB"), float)
    return float(np.sqrt(np.mean(difference**2)))


def svg(text: str) -> str:
    """Return an SVG that matplotlib has written, shortened: it is drawn the same.

    Made for text that is drawn as paths (`svg.fonttype`).
    """
    root = ElementTree.fromstring(text)
    _tidy(root, set(REFERENCE.findall(text)))
    definitions = Element("defs")
    _flatten(root, definitions)
    _drop_blanks(root, definitions)
    root.insert(0, definitions)
    _round(root, {f"#{e.get('id')}" for e in definitions if _is_glyph(e)})
    _rename(root)
    _style_definitions(root, definitions)
    _share_styles(root, definitions)
    root.set("xmlns", "http://www.w3.org/2000/svg")
    return ElementTree.tostring(root, "unicode").replace(" />", "/>")


def _tidy(root: Element, referenced: set[str]) -> None:
    """Drop metadata, prefixes of namespaces, blanks, identifiers that nothing uses."""
    root.attrib.pop("version", None)
    for element in root.iter():
        element.tag = element.tag.split("}")[-1]
        element.attrib = {k.split("}")[-1]: v for k, v in element.attrib.items()}
        element.text = element.text and element.text.strip()
        element.tail = None
        if element.get("id") not in referenced:
            element.attrib.pop("id", None)
        if (style := element.get("style")) is not None:
            element.set("style", _declarations(style))
        if found := EMBEDDED_PNG.match(element.get("href", "")):
            smaller = base64.b64encode(png(base64.b64decode(found[1]))).decode()
            element.set("href", f"data:image/png;base64,{smaller}")
    for metadata in root.findall("metadata"):
        root.remove(metadata)


def _declarations(style: str) -> str:
    """Return CSS declarations without blanks, #rrggbb as #rgb where it is the same."""
    tight = re.sub(r"\s*([:;,])\s*", r"\1", style.strip("; "))
    return re.sub(r"#(\w)\1(\w)\2(\w)\3\b", r"#\1\2\3", tight)


def _flatten(element: Element, definitions: Element) -> None:
    """Move all definitions to one place; take out groups that say nothing."""
    children: list[Element] = []
    for child in element:
        _flatten(child, definitions)
        if child.tag == "defs":
            definitions.extend(child)
        elif child.tag == "g" and not (child.attrib and len(child)):
            children += child
        else:
            children.append(child)
    element[:] = children


def _drop_blanks(root: Element, definitions: Element) -> None:
    """Drop shapes without an outline, as the glyph between words, and their uses."""
    blanks = {
        f"#{shape.get('id')}"
        for shape in definitions.findall("path")
        if not shape.get("d")
    }
    for parent in (definitions, *root.iter()):
        parent[:] = [
            child
            for child in parent
            if child.get("href") not in blanks and f"#{child.get('id')}" not in blanks
        ]


# --- Coordinates ----------------------------------------------------------------------


def _is_glyph(element: Element) -> bool:
    return element.get("transform") == f"scale({GLYPH_SCALE})"


def _round(element: Element, glyphs: set[str], in_text: bool = False) -> None:
    """Round all coordinates; in text, set them in the units of glyphs."""
    attributes = element.attrib
    if _is_glyph(element):
        del attributes["transform"]
        attributes["d"] = _path(attributes["d"], GLYPH_SCALE * GLYPH_UNITS, 0)
        return
    factor, decimals = (GLYPH_UNITS, 0) if in_text else (1, DECIMALS)
    is_text = any(child.get("href") in glyphs for child in element)
    for name in ("x", "y", "width", "height"):
        if NUMBER.fullmatch(attributes.get(name, "")):
            attributes[name] = _number(float(attributes[name]) * factor, decimals)
    if "d" in attributes:
        attributes["d"] = _path(attributes["d"], factor, decimals)
    if "transform" in attributes:
        scale = 1 / GLYPH_UNITS if is_text else 1
        _transform(attributes, factor, decimals, scale)
    for child in element:
        _round(child, glyphs, in_text or is_text)


def _transform(attributes: dict, factor: float, decimals: int, scale: float) -> None:
    """Round a transformation; say a shift alone by x and y, which is shorter."""
    steps = []
    for name, arguments in TRANSFORMATION.findall(attributes.pop("transform")):
        values = [float(value) for value in NUMBER.findall(arguments)]
        if name == "translate":
            numbers = [_number(value * factor, decimals) for value in values]
        else:
            by = scale if name == "scale" else 1
            numbers = [_number(value * by, 6) for value in values]
        steps.append((name, numbers))
    if [name for name, _ in steps] == ["translate"] and "x" not in attributes:
        shift = zip("xy", steps[0][1], strict=False)
        attributes |= {axis: number for axis, number in shift if number != "0"}
    else:
        attributes["transform"] = "".join(
            f"{name}({_tight(' '.join(numbers))})" for name, numbers in steps
        )


def _number(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else re.sub(r"^(-?)0\.", r"\1.", text)


def _tight(numbers: str) -> str:
    """Drop the blanks before a sign, and before a point when one has gone before."""
    return re.sub(r" (?=-)|(?<=\.\d) (?=\.)|(?<=\.\d\d) (?=\.)", "", numbers)


def _path(data: str, factor: float, decimals: int) -> str:
    """Return path data as steps from point to point, all on one grid.

    The steps are those between the rounded points, so that errors do not add up. Data
    with commands that matplotlib does not write is returned as it is.
    """
    if not KNOWN_PATH.fullmatch(data):
        return data
    unit = factor * 10**decimals
    segments: list[tuple[str, list[int]]] = []
    pen = start = [0, 0]
    # The last control point of a quadratic curve that ends at the pen.
    control: list[int] | None = None
    for command, numbers in SEGMENT.findall(data):
        points = [round(float(number) * unit) for number in numbers.split()]
        steps = [value - pen[i % 2] for i, value in enumerate(points)]
        last, control = control, None
        if command == "z":
            if pen == start and segments[-1][0] in "lhv" and segments[-2][0] != "m":
                segments.pop()  # z draws this line, too
            segments.append(("z", []))
            pen = start
            continue
        if command == "M":
            segments.append(("m", steps))
            start = points
        elif command == "L":
            if any(steps) or segments[-1][0] == "m":
                segments.append(_line(*steps))
        elif command == "Q":
            # Most curves of glyphs go on as their mirror image: that needs no saying.
            mirrored = last and [2 * pen[0] - last[0], 2 * pen[1] - last[1]]
            if mirrored and _near(mirrored, points):
                segments.append(("t", steps[2:]))
                control = mirrored
            else:
                segments.append(("q", steps))
                control = points[:2]
        else:
            segments.append(("c", steps))
        pen = points[-2:]
    return _written(segments, decimals)


def _near(point: list[int], other: list[int]) -> bool:
    return abs(point[0] - other[0]) <= 1 and abs(point[1] - other[1]) <= 1


def _line(x: int, y: int) -> tuple[str, list[int]]:
    if y == 0:
        return "h", [x]
    return ("v", [y]) if x == 0 else ("l", [x, y])


def _written(segments: list[tuple[str, list[int]]], decimals: int) -> str:
    """Return path data; a command that is repeated is named once."""
    parts, last = [], ""
    for command, steps in segments:
        numbers = [_number(step / 10**decimals, decimals) for step in steps]
        parts.append((" " if command == last else command) + " ".join(numbers))
        last = command
    return _tight("".join(parts))


# --- Names and styles -----------------------------------------------------------------


def _names() -> Iterator[str]:
    """Yield a, b, ... Z, aa, ab, ..."""
    for length in count(1):
        yield from map("".join, product(ascii_letters, repeat=length))


def _rename(root: Element) -> None:
    """Give everything that is referred to a short name."""
    named = [element.get("id") for element in root.iter() if "id" in element.attrib]
    new = dict(zip(named, _names(), strict=False))
    for element in root.iter():
        attributes = element.attrib
        if "id" in attributes:
            attributes["id"] = new[attributes["id"]]
        for name in ("href", "clip-path", "fill", "style"):
            if "#" in attributes.get(name, ""):
                attributes[name] = REFERENCE.sub(
                    lambda m: f"#{new.get(m[1], m[1])}", attributes[name]
                )


def _style_definitions(root: Element, definitions: Element) -> None:
    """Style a shape itself where all uses of it have the same style."""
    uses = defaultdict(list)
    for use in root.iter("use"):
        uses[use.get("href")].append(use)
    for element in definitions:
        found = uses.get(f"#{element.get('id')}", [])
        styles = {use.get("style") for use in found}
        if len(styles) == 1 and (style := styles.pop()):
            # Corners and ends of lines follow from the shape's style alone already.
            handed_on = re.sub(r"stroke-line(join|cap):\w+;?", "", style).strip(";")
            # Of two values for one property the later one counts: the shape's own.
            told = f"{handed_on};{element.get('style', '')}".split(";")
            both = dict(
                declaration.split(":", 1) for declaration in told if declaration
            )
            element.set("style", ";".join(f"{k}:{v}" for k, v in both.items()))
            for use in found:
                del use.attrib["style"]


def _share_styles(root: Element, definitions: Element) -> None:
    """Say a style that several elements have once, as a class."""
    styled = [element for element in root.iter() if "style" in element.attrib]
    repeated = Counter(element.get("style") for element in styled)
    shared = [style for style, number in repeated.items() if number > 1]
    classes = dict(zip(shared, _names(), strict=False))
    for element in styled:
        if element.get("style") in classes:
            element.set("class", classes[element.attrib.pop("style")])
    sheet = definitions.find("style")
    if sheet is None:
        sheet = Element("style")
        definitions.insert(0, sheet)
    sheet.attrib.clear()
    general = re.sub(r"\s*([:;{}])\s*", r"\1", sheet.text or "")
    sheet.text = general + "".join(f".{c}{{{s}}}" for s, c in classes.items())
