"""Lets `jupyter nbconvert --to report.HTMLReport` find the package, started here."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
