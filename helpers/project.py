"""Where the project stands: its folders, its files, and the variables that set them."""

import os
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
DATA = ROOT / "data"
BUILD = ROOT / "build"
KEY = re.compile(r"\w[\w.-]*")  # of figures and tables

# The environment variables that the report knows, each by the name REPORT_<key>.
VARIABLES = {
    "DATA": "a folder in which data sets are looked for first, see data/README.md",
    "PROFILE": "quick: small data and short runs; full, which is the default",
    "RUNS": "the one folder of recorded runs, see `folders`",
    "BENCH": "the one folder of recorded timings, see `folders`",
    "FIGURES": "the folder that figures are written to, instead of build/figures",
    "CLUSTER": "the address of a Dask cluster on which sweeps run",
}


def variable(key: str) -> str | None:
    """Return what REPORT_<key> is set to; None when it is not set, or empty.

    Raises KeyError for a key that is none of VARIABLES.
    """
    if key not in VARIABLES:
        raise KeyError(f"REPORT_{key} is not known: there is {', '.join(VARIABLES)}")
    return os.environ.get(f"REPORT_{key}") or None


def folders(name: str) -> list[Path]:
    """Where records are looked for, in this order; new ones go to the last folder.

    name: "runs" or "bench". They are data/<name>/, which is committed, and
    build/<name>/, so that a reader's own stay apart. The environment variable
    REPORT_<NAME> names one folder instead, below the project's if it is relative:
    REPORT_RUNS=data/runs adds to the committed runs.
    """
    if named := variable(name.upper()):
        return [ROOT / Path(named).expanduser()]
    return [ROOT / "data" / name, ROOT / "build" / name]


def figures() -> Path:
    """The folder that figures are written to."""
    named = variable("FIGURES")
    return Path(named) if named else BUILD / "figures"


def check_key(key: str) -> None:
    """Raise ValueError for what cannot be the key of a figure or table.

    A key names a file and an anchor: no blank, no slash, nothing outside a folder.
    """
    if not KEY.fullmatch(key):
        raise ValueError(
            f"the key is {key!r}: give letters, digits, '-', '_' and '.', and begin "
            "with a letter or digit"
        )


def spoken(path: Path) -> Path:
    """Return `path` as sentences name it: from the project's folder on, if inside."""
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that appears whole and at once, whoever reads it meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}-{os.getpid()}")
    draft.write_bytes(content)
    os.replace(draft, path)
