"""The printed pages: no large white before a figure or a listing, no lonely heading."""

from pathlib import Path

import numpy as np
import pikepdf
import pypdfium2
import pytest

from report import project

# Of the height of the text: what may stay white at the foot of a page.
MOST_WHITE = 0.25
PAGE, TOP, FOOT = 297, 28, 26  # millimetres, as in report/templates/report.typ
DOTS_PER_INCH = 30

pytestmark = pytest.mark.real


def rendered(pdf: Path) -> list[np.ndarray]:
    """The text of every page, without header and footer, as rows of grey dots."""
    pages = []
    with pypdfium2.PdfDocument(pdf) as document:
        for page in document:
            picture = page.render(scale=DOTS_PER_INCH / 72, grayscale=True)
            dots = picture.to_numpy().squeeze()
            top, foot = (round(len(dots) * mm / PAGE) for mm in (TOP, FOOT))
            pages.append(dots[top:-foot])
    return pages


def white_at_the_foot(page: np.ndarray) -> float:
    """Share of the height of the text that nothing is printed on, at the foot."""
    (printed,) = np.nonzero((page < 245).any(1))
    return 1 - (printed[-1] + 1) / len(page) if len(printed) else 1


def first_pages(pdf: Path) -> set[int]:
    """The pages on which a chapter begins, from 0, as the outline of the file says."""
    with pikepdf.open(pdf) as document:
        numbers = {page.objgen: number for number, page in enumerate(document.pages)}
        with document.open_outline() as outline:
            targets = [item.destination or item.action.D for item in outline.root]
        return {numbers[target[0].objgen] for target in targets}


def test_what_is_white_is_measured():
    page = np.full((100, 50), 255)
    assert white_at_the_foot(page) == 1
    page[59, 3] = 0
    assert white_at_the_foot(page) == pytest.approx(0.4)


def test_only_the_last_page_of_a_chapter_is_left_white():
    pdf = project.PUBLISHED.with_suffix(".pdf")
    pages = rendered(pdf)
    begin = first_pages(pdf)
    assert len(begin) - len(project.notebooks()) in (0, 1)  # an appendix may follow
    ends = {number - 1 for number in begin} | {len(pages) - 1}
    white = {
        number + 1: round(white_at_the_foot(page), 2)
        for number, page in enumerate(pages)
        if number not in ends and white_at_the_foot(page) > MOST_WHITE
    }
    assert not white, f"page: share of the text's height that is white {white}"
