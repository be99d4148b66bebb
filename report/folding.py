"""Folded cells: which they are, and what folds them in Jupyter, VS Code and Colab.

A cell tagged `hide-input` is folded in the report's page. Jupyter and VS Code fold it
by the metadata `jupyter.source_hidden`, Colab by `cellView`, where it shows the title
that stands in the cell's first line: `# @title Imports`.
"""

import ast
import re
import textwrap

from nbformat import NotebookNode

TITLE = "# @title "
FOLDED = "hide-input"
# How the titles begin that `title` makes; all others were written by hand, and stay.
MADE = (
    *("Imports", "Source of ", "Figure: ", "Table: "),
    *("Sentences", "Definition of ", "Values of "),
)
WIDTH = 75
MAKERS = {"show": "Figure", "table": "Table", "comparison_table": "Table"}


def fold(content: NotebookNode) -> None:
    """Give the folded cells of a notebook what folds them, and take it from others."""
    for cell in content.cells:
        if cell.cell_type != "code":
            continue
        tags = cell.metadata.get("tags", [])
        body = without_title(cell.source)
        if "setup" not in tags and FOLDED not in tags and _only_imports(body):
            cell.metadata["tags"] = tags = [*tags, FOLDED]
        jupyter = cell.metadata.get("jupyter", {})
        if "setup" in tags or FOLDED in tags:
            words = _written_title(cell.source) or title(body) or "Code"
            cell.source = f"{TITLE}{words}\n{body}"
            cell.metadata["jupyter"] = jupyter | {"source_hidden": True}
            cell.metadata["cellView"] = "form"
        else:
            cell.source = body
            cell.metadata.pop("cellView", None)
            jupyter.pop("source_hidden", None)
            if not jupyter:
                cell.metadata.pop("jupyter", None)


def without_title(source: str) -> str:
    """Return a cell's code without the line that is its title."""
    return source.partition("\n")[2] if source.startswith(TITLE) else source


def title(body: str) -> str:
    """Return a title for a cell's code: its first comment, what it shows or defines."""
    if body.startswith("# "):
        return _cut(body.partition("\n")[0].removeprefix("# ").rstrip("."))
    if _only_imports(body):
        return "Imports"
    try:
        tree = ast.parse(body)
    except SyntaxError:  # a line for the shell, or of magic
        return ""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            maker = MAKERS.get(node.func.attr)
            if maker and (words := _caption(node)):
                return _cut(f"{maker}: {words}")
    if re.search(r"\btext\.(say|told)\(", body):
        return "Sentences with numbers"
    if shown := re.findall(r"^text\.source\((\w+\.)*(\w+)\)", body, re.MULTILINE):
        return _cut(f"Source of {', '.join(name for _, name in shown)}")
    if body.startswith(("import ", "from ")):
        return "Imports and settings"
    defined = [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    ]
    if defined:
        return _cut(f"Definition of {', '.join(defined)}")
    assigned = [
        name.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        for name in ast.walk(target)
        if isinstance(name, ast.Name) and name.id != "_"
    ]
    return _cut(f"Values of {', '.join(dict.fromkeys(assigned))}") if assigned else ""


def _caption(call: ast.Call) -> str:
    """What a figure or table shows: the start of its caption, or else its key."""
    texts = [a for a in call.args if isinstance(a, ast.Constant | ast.JoinedStr)][:2]
    constant = [
        str(a.value)
        if isinstance(a, ast.Constant)
        else str(a.values[0].value)
        if isinstance(a.values[0], ast.Constant)
        else ""
        for a in texts
    ]
    if len(constant) > 1:
        start = re.split(r"[.:;](?:\s|$)", constant[1])
        whole = start[0].count("(") == start[0].count(")") and "$" not in start[0]
        if len(start) > 1 and " " in start[0] and whole:
            return start[0].replace("*", "")
    return constant[0].replace("-", " ") if constant else ""


def _cut(words: str) -> str:
    """As many whole words as a title has room for."""
    return textwrap.shorten(words, WIDTH, placeholder=" …")


def _only_imports(body: str) -> bool:
    try:
        statements = ast.parse(body).body
    except SyntaxError:
        return False
    return bool(statements) and all(
        isinstance(statement, ast.Import | ast.ImportFrom) for statement in statements
    )


def _written_title(source: str) -> str:
    first = source.partition("\n")[0]
    written = first.removeprefix(TITLE).strip() if first.startswith(TITLE) else ""
    return "" if written == "Code" or written.startswith(MADE) else written
