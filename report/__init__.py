"""How notebooks become documents: all of them merged, or one through nbconvert."""

from report.exporters import HTMLReport, PDFReport

__all__ = ["HTMLReport", "PDFReport"]
