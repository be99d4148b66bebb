"""Write what opens and ends a notebook, links, set-up and export, and what folds cells.

All follows from file names, titles, tags and the repository's address, so that a second
time changes nothing.
"""

from pathlib import Path
from urllib.parse import urlsplit

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from helpers import data
from report import folding, generated, project
from report.chapter import TEMPLATES

COLAB = "https://colab.research.google.com/github"
# The last cell. A build leaves it out, as it makes documents of all that is executed.
EXPORT = """\
# This notebook, with its outputs as they are now, as a PDF beside it (or export_html).
from report.live import export_pdf

export_pdf()"""
EXPORT_TAGS = ["export", "skip-execution", "remove-cell"]
KAGGLE = "https://kaggle.com/kernels/welcome?src="


def main() -> None:
    """Bring all notebooks up to date; with --check only tell which ones are not."""
    generated.command(
        "report.navigation",
        __doc__.splitlines()[0],
        lambda write: [
            f"notebooks/{notebook.name}"
            for notebook in update(project.notebooks(), write)
        ],
    )


def update(notebooks: list[Path], write: bool) -> list[Path]:
    """Return those notebooks whose file is not as it should be; `write` mends them.

    All are written in nbformat's own form, so that two tools never fight over a blank.
    """
    contents = [nbformat.read(notebook, as_version=4) for notebook in notebooks]
    titles = [
        f"{int(notebook.name[:2])} {_title(content, notebook)}"
        for notebook, content in zip(notebooks, contents, strict=True)
    ]
    outdated = []
    for index, (notebook, content) in enumerate(zip(notebooks, contents, strict=True)):
        row = _row(index, notebooks, titles)
        _set(content, new_markdown_cell(row, id="navigation"), position=0)
        cell = setup_cell(_data(content, notebook))
        _set(content, new_code_cell(cell, id="setup"), position=2)
        _end(content, new_code_cell(EXPORT, id="export"), EXPORT_TAGS)
        folding.fold(content)
        content.metadata.update(_opened_with(notebook))
        text = nbformat.writes(content) + "\n"
        if text != notebook.read_text("utf-8"):
            outdated.append(notebook)
            if write:
                notebook.write_text(text, "utf-8")
    return outdated


def _opened_with(notebook: Path) -> dict:
    """What Jupyter and Colab open a notebook with: a kernel, a name, a GPU."""
    return {
        "kernelspec": {
            "display_name": "Python 3",
            "language": "python",
            "name": "python3",
        },
        "accelerator": "GPU",
        "colab": {"name": notebook.name, "provenance": [], "toc_visible": True},
    }


def setup_cell(data_sets: list[str]) -> str:
    """Return the code of the set-up cell of a notebook that needs these data sets."""
    template = (TEMPLATES / "setup_cell.py").read_text("utf-8")
    names = ", ".join(f'"{name}"' for name in data_sets)
    return (
        template.strip()
        .replace("{repository}", project.repository())
        .replace("prepare()", f"prepare({names})")
    )


def _data(content: NotebookNode, notebook: Path) -> list[str]:
    """The data sets that a notebook needs, which its metadata must tell."""
    told = content.metadata.get("report", {})
    if not {"data", "runs"} <= told.keys() or not {*told["data"]} <= {*data.NAMES}:
        raise ValueError(
            f"{notebook.name} must say in its metadata on which data sets it rests, as "
            'in "report": {"data": ["mnist"], "runs": ["mnist"]}: those whose images '
            "it needs, and those whose recorded training runs it reads; there are "
            f"{', '.join(data.NAMES)}"
        )
    return told["data"]


def _title(content: NotebookNode, notebook: Path) -> str:
    for cell in content.cells:
        for line in cell.source.splitlines():
            if cell.cell_type == "markdown" and line.startswith("# "):
                return line.removeprefix("# ").strip()
    raise ValueError(f"{notebook.name} has no title: begin a text cell with '# Title'")


def _row(index: int, notebooks: list[Path], titles: list[str]) -> str:
    repository = project.repository()
    this = f"blob/main/notebooks/{notebooks[index].name}"
    links = ["[Contents](../README.md)"]
    if index > 0:
        links.insert(0, f"[← {titles[index - 1]}]({notebooks[index - 1].name})")
    if index + 1 < len(notebooks):
        links.append(f"[{titles[index + 1]} →]({notebooks[index + 1].name})")
    links.append(f"[Open in Colab]({COLAB}{urlsplit(repository).path}/{this})")
    links.append(f"[in Kaggle]({KAGGLE}{repository}/{this})")
    return " | ".join(links)


def _set(content: NotebookNode, cell: NotebookNode, position: int) -> None:
    """Give the cell tagged with the new one's id its source, or insert the new one."""
    tag = cell.id
    for existing in content.cells:
        if tag in existing.metadata.get("tags", []):
            existing.source = cell.source
            return
    cell.metadata["tags"] = [tag]
    content.cells.insert(position, cell)


def _end(content: NotebookNode, cell: NotebookNode, tags: list[str]) -> None:
    """Let the notebook end with this cell, which the first of the tags marks."""
    cell.metadata["tags"] = tags
    others = [c for c in content.cells if tags[0] not in c.metadata.get("tags", [])]
    content.cells = [*others, cell]


if __name__ == "__main__":
    main()
