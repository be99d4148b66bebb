"""Two editions of the notebooks for courses, written to build/editions/.

The instructor's edition is the notebooks as they are. In the student's one the answers
to the exercises are taken out, with their outputs and the sections called Solutions;
the checks stay, and so do nbgrader's marks on the cells, so that courses can grade.
"""

import argparse
import re
from copy import deepcopy
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from report import project
from report.exercises import BEGIN, CHECK

FOLDER = project.BUILD / "editions"
SECTION = re.compile(r"^## (.+)$", re.MULTILINE)


def main() -> None:
    """Write both editions of all notebooks, and say where."""
    argparse.ArgumentParser(
        prog="python -m report.editions", description=__doc__.splitlines()[0]
    ).parse_args()
    for path in project.notebooks():
        content = nbformat.read(path, as_version=4)
        write(instructor(content), FOLDER / "instructor" / path.name)
        write(student(content), FOLDER / "student" / path.name)
    print(f"{FOLDER.relative_to(project.ROOT)}: student, instructor")


def write(content: NotebookNode, file: Path) -> None:
    """Write one notebook, and the folder that it lies in."""
    file.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(content, file)


def instructor(content: NotebookNode) -> NotebookNode:
    """Return a notebook as it is, its links leading out of another folder."""
    content = deepcopy(content)
    address = f"]({project.repository()}/blob/main/"
    for cell in content.cells:
        if cell.cell_type == "markdown":
            cell.source = cell.source.replace("](../", address)
    return content


def student(content: NotebookNode) -> NotebookNode:
    """Return a notebook without a line of a solution, and with all checks.

    Raises ValueError when an answer has no check behind it, which gives it its name.
    """
    content = instructor(content)
    content.cells = _without_solutions(content.cells)
    for cell, following in zip(content.cells, [*content.cells[1:], None], strict=True):
        tags = cell.metadata.get("tags", [])
        if "solution" in tags:
            _ask(cell, following)
        elif "check" in tags:
            # So that all cells run, though nothing is answered yet.
            cell.metadata["tags"] = [*tags, "raises-exception"]
        else:
            continue
        cell.outputs, cell.execution_count = [], None
    # Chapter 7 links to answers: from there to the questions.
    text = nbformat.writes(content).replace("#Solutions", "#Exercises")
    return nbformat.reads(text, as_version=4)


def _ask(cell: NotebookNode, check: NotebookNode | None) -> None:
    """Put an empty answer in the place of a solution."""
    named = CHECK.search(check.source) if check else None
    if not named:
        raise ValueError(
            f"no check stands behind the answer {cell.source.partition(BEGIN)[0]!r}: "
            'the next cell has to say exercises.check("1.2", name_of_the_answer)'
        )
    cell.source = f"{named[2]} = ...  # your answer"
    cell.metadata["tags"] = [t for t in cell.metadata["tags"] if t != "hide-input"]
    cell.metadata.pop("cellView", None)
    cell.metadata.pop("jupyter", None)


def _without_solutions(cells: list[NotebookNode]) -> list[NotebookNode]:
    """Leave out what stands from a heading "Solutions" to the next one."""
    kept, inside = [], False
    for cell in cells:
        if cell.cell_type == "markdown" and (titles := SECTION.findall(cell.source)):
            inside = titles[0].strip() == "Solutions"
        if not inside:
            kept.append(cell)
    return kept


if __name__ == "__main__":
    main()
