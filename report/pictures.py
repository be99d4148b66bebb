"""Pictures that notebooks hold or name: checked, in forms that every output shows."""

import base64
import binascii
import re
import xml.etree.ElementTree as ElementTree
from io import BytesIO
from pathlib import Path
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from nbformat import NotebookNode
from PIL import Image

KEPT = {"PNG": "png", "JPEG": "jpg", "GIF": "gif"}  # all outputs can show these
PIXELS = {"px": 1.0, "": 1.0, "pt": 4 / 3, "in": 96.0, "cm": 96 / 2.54, "mm": 96 / 25.4}
PIXELS |= {"em": 16.0, "ex": 8.0, "pc": 16.0}


class PictureError(ValueError):
    """What cannot be shown as a picture, and why."""


def usable(content: bytes) -> tuple[str, bytes]:
    """Return a picture as (ending of its file, content): SVG, PNG, JPEG or GIF.

    Other kinds become PNG. Raises PictureError for what is no picture, or damaged.
    """
    if re.match(rb"(\xef\xbb\xbf)?\s*<", content):
        svg_size(content)
        return "svg", content
    try:
        with Image.open(BytesIO(content)) as image:
            image.load()
            if image.format in KEPT:
                return KEPT[image.format], content
            buffer = BytesIO()
            image.convert("RGBA" if image.has_transparency_data else "RGB").save(
                buffer, "PNG"
            )
            return "png", buffer.getvalue()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise PictureError(f"it is no picture, or damaged ({error})") from error


def size(name: str, content: bytes) -> tuple[float, float]:
    """Return width and height in pixels of what `usable` returned."""
    if name.endswith(".svg"):
        return svg_size(content)
    with Image.open(BytesIO(content)) as image:
        return image.size


def svg_size(content: bytes) -> tuple[float, float]:
    """Return width and height of a drawing in pixels; raise PictureError for others."""
    try:
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise PictureError(f"it is no sound SVG ({error})") from error
    if root.tag.rpartition("}")[2] != "svg":
        raise PictureError(f"it is no SVG but <{root.tag}>")
    box = re.findall(r"[-+.\deE]+", root.get("viewBox", ""))
    sizes = [length(root.get(name, "")) for name in ("width", "height")]
    if None in sizes and len(box) == 4:
        sizes = [float(box[2]), float(box[3])]
    return sizes[0] or 300.0, sizes[1] or 150.0


def length(text: str) -> float | None:
    """Return a length of HTML in pixels; None for a share, and for what is none."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)\s*", text)
    if not found or found[2] not in PIXELS or not float(found[1]):
        return None
    return float(found[1]) * PIXELS[found[2]]


def named(address: str, attachments: NotebookNode, folder: Path) -> bytes:
    """Return the picture that an address in a cell's text names.

    address: of an attachment of the cell, a data URI, or a file, seen from `folder`.
    Raises PictureError when there is none.
    """
    if address.startswith("attachment:"):
        name = unquote(address.removeprefix("attachment:"))
        bundle = attachments.get(name) or attachments.get(name.strip())
        if not bundle:
            raise PictureError(f"the cell has no attachment {name!r}")
        return content_of(*next(iter(bundle.items())))
    if address.startswith("data:"):
        head, _, data = address.partition(",")
        if not head.endswith(";base64"):
            return unquote_to_bytes(data)
        return decoded(unquote(data))
    try:
        path = unquote(urlsplit(address).path)
        return (folder / path).read_bytes()
    except (OSError, ValueError):
        raise PictureError(
            f"there is no file {address!r} beside the notebook: put it there, or "
            "attach the picture to the cell"
        ) from None


def content_of(mime: str, data: str | list) -> bytes:
    """Return the bytes of a picture as a notebook stores it: SVG as text."""
    text = "".join(data)
    return text.encode() if mime == "image/svg+xml" and "<" in text else decoded(text)


def decoded(text: str) -> bytes:
    """Return what a text in base64 stands for; raise PictureError if it is none."""
    try:
        return base64.b64decode("".join(text.split()))
    except (binascii.Error, ValueError) as error:
        raise PictureError(f"its data are damaged ({error})") from error
