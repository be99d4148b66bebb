"""The script of the page: modules in page/, put into it as one, allowed by its hash.

What one can choose from, and what each convolution to move begins with,
stands in pictures.json, which the still figures of the PDF are made of, too.

The page allows no other script and asks nothing of any server: its policy names the
hash of this one. Without scripts the page is complete; they add to it.
"""

import base64
import hashlib
import json
import re
from pathlib import Path

FOLDER = Path(__file__).parent / "page"
# In this order: what a module uses when it starts stands above it.
WORKED_ON = ("numbers", "movable", "networks", "readers", "exercises")
MODULES = (*WORKED_ON, "search", "links", "code", "contents")
START = "start"
STYLE = FOLDER / "page.css"
PICTURES = json.loads((FOLDER / "pictures.json").read_text("utf-8"))
# What a reader works on, and where trained networks read a digit; no other page has to
# carry what it takes.
WORK = re.compile('class="(movable|exercise)')
READERS = re.compile('class="movable" data-part="(canvas|maps)"')


def source(*modules: str) -> str:
    """Return modules of page/ as one text, in which all names are known to all."""
    texts = [(FOLDER / f"{name}.js").read_text("utf-8") for name in modules]
    return re.sub(r"^export ", "", "\n".join(texts), flags=re.MULTILINE)


def pictures() -> str:
    """Return pictures.json as constants of the script."""
    return "".join(
        f"const {name.upper()} = {json.dumps(values, ensure_ascii=False)};\n"
        for name, values in PICTURES.items()
    )


def placed(page: str) -> str:
    """Return the page with the script, its style and the policy where they belong."""
    # A function of its own, so that none of its names meets those of the browser.
    works = WORK.search(page)
    modules = [name for name in MODULES if works or name not in WORKED_ON]
    held = pictures() if works else ""
    if READERS.search(page):
        from report import weights  # torch takes its time, and few pages read

        held += weights.script()
    script = f'"use strict";\n{{\n{held}{source(*modules, START)}}}\n'
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = page.replace("hash-of-page.js", f"sha256-{digest}", 1)
    page = page.replace("/* page.css */", STYLE.read_text("utf-8"), 1)
    return page.replace("<script></script>", f"<script>{script}</script>", 1)
