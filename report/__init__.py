"""How notebooks become documents: all of them merged, or one through nbconvert."""

from report.exporters import (
    EPUBReport,
    HTMLReport,
    PDFReport,
    SlidesReport,
    export,
)

__all__ = ["EPUBReport", "HTMLReport", "PDFReport", "SlidesReport", "export"]
