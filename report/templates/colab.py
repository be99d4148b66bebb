"""A stand-in for google.colab, for `report.replica`: what a notebook asks the page.

The page in the browser knows what the notebook holds, and saves files for the reader.
Here a file holds the notebook, and what is saved is only named.
"""

import json
import os
from pathlib import Path


class _message:
    """As google.colab._message."""

    @staticmethod
    def blocking_request(
        request_type: str, request: object = None, timeout_sec: float | None = None
    ) -> dict | None:
        """Return the answer of the page; it answers `get_ipynb` alone."""
        if request_type != "get_ipynb":
            return None
        page = Path(os.environ["STAND_IN_PAGE"])
        return {"ipynb": json.loads(page.read_text("utf-8"))}


class files:
    """As google.colab.files."""

    @staticmethod
    def download(filename: str) -> None:
        """Say that a file was saved on the reader's machine."""
        print(f"Saved by the browser: {filename}, {os.path.getsize(filename):,} bytes")
