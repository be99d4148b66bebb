"""How notebooks become documents: all of them merged, or one through nbconvert."""

from report.exporters import HTMLReport, PDFReport, export

__all__ = ["HTMLReport", "PDFReport", "export"]
