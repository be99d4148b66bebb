"""How notebooks become documents: all of them merged, or one by one, of anybody."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from report.exporters import (
        EPUBReport,
        HTMLReport,
        PDFReport,
        SlidesReport,
        export,
    )

__all__ = ["EPUBReport", "HTMLReport", "PDFReport", "SlidesReport", "export"]


def __getattr__(name: str) -> Any:
    """Import the exporters when they are asked for: `live` installs what they need."""
    if name in __all__:
        from report import exporters

        return getattr(exporters, name)
    raise AttributeError(f"report has no {name!r}: there is {', '.join(__all__)}")
