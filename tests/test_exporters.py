"""The exporters: anybody's notebook, from any folder, to every format."""

import nbformat
import pytest
from nbformat.v4 import new_markdown_cell, new_notebook

from report import export

BEGIN = {"html": b"<!DOCTYPE html>", "pdf": b"%PDF-"}


def test_a_notebook_is_exported_from_its_content_and_from_its_file(tmp_path):
    notebook = new_notebook(cells=[new_markdown_cell("# One\n\nIt is $x^2$.")])
    files, warnings = export(notebook, BEGIN, tmp_path, name="one", beside=tmp_path)
    assert [file.name for file in files] == ["one.html", "one.pdf"]
    assert [
        f.read_bytes()[: len(b)] for f, b in zip(files, BEGIN.values(), strict=True)
    ] == [*BEGIN.values()]
    nbformat.write(notebook, tmp_path / "two.ipynb")
    (file,), _ = export(str(tmp_path / "two.ipynb"), ["html"], tmp_path)
    assert file.name == "two.html" and warnings == []


def test_an_unknown_format_is_an_error_that_names_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match=r"\['doc'\]: take some of .*'html'"):
        export(new_notebook(), ["html", "doc"], tmp_path)
