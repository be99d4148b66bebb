"""Train again every run that notebooks rest on, and compare with the recorded ones.

The notebooks are executed as scripts, so that their progress bars show, with an empty
folder of runs, build/reproduced/. Started again, this goes on where it stopped.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from report import project
from report.errors import ReportError

REPRODUCED = project.BUILD / "reproduced"


def main() -> None:
    """Reproduce what the command line asks for; say what to mend when that fails."""
    parser = argparse.ArgumentParser(
        prog="python -m report.reproduce", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "numbers", nargs="*", metavar="NN", help="of notebooks; default: all"
    )
    try:
        chosen = choose(parser.parse_args().numbers, project.notebooks())
        for notebook in chosen:
            train_again(notebook)
    except ReportError as error:
        sys.exit(f"Not reproduced.\n{error}")
    except KeyboardInterrupt:
        sys.exit("\nInterrupted: start again to go on from there.")
    command = [sys.executable, "-m", "helpers.runs", "--compare", str(REPRODUCED)]
    sys.exit(subprocess.run(command, cwd=project.ROOT).returncode)


def choose(numbers: list[str], notebooks: list[Path]) -> list[Path]:
    """Return the notebooks of these numbers, as "03" or "3", or all without a number.

    Raises ReportError, naming what there is, for a number without a notebook.
    """
    by_number = {path.name[:2]: path for path in notebooks}
    if unknown := [n for n in numbers if n.zfill(2) not in by_number]:
        raise ReportError(
            f"There is no notebook {', '.join(unknown)}. These can be reproduced:",
            *(f"  {number}  {path.stem}" for number, path in by_number.items()),
        )
    return [by_number[n.zfill(2)] for n in numbers] or notebooks


def train_again(notebook: Path) -> None:
    """Execute `notebook` with runs and figures of its own.

    Raises ReportError when a cell fails, whose
    traceback stands in the terminal.
    """
    print(f"{notebook.stem}: training into build/reproduced/", flush=True)
    environment = os.environ | {
        "REPORT_RUNS": str(REPRODUCED),
        "REPORT_FIGURES": str(REPRODUCED / "figures"),
        "MPLBACKEND": "agg",  # figures go to files, and no window opens
    }
    # IPython runs a notebook's cells, up to the first that fails.
    command = [sys.executable, "-m", "IPython", "--quick", "--no-banner"]
    command += ["--HistoryManager.enabled=False"]
    command += ["--TerminalInteractiveShell.term_title=False", str(notebook)]
    done = subprocess.run(command, cwd=project.ROOT, env=environment)
    if done.returncode:
        raise ReportError(
            f"{notebook.name} failed: see above. What was trained is kept; "
            "start again to go on from there."
        )


if __name__ == "__main__":
    main()
