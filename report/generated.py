"""The command line of what is written from other files, and must not be out of date."""

import argparse
import sys
from collections.abc import Callable


def command(module: str, description: str, update: Callable[[bool], list[str]]) -> None:
    """Bring files up to date; with --check only tell which ones are not, and fail.

    update: takes whether to write, returns the names of the files that
    are or were out of date.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}", description=description
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail if something would be"
    )
    check = parser.parse_args().check
    outdated = update(not check)
    for name in outdated:
        print(f"{name}: {'out of date' if check else 'updated'}")
    if check and outdated:
        sys.exit(f"Run `python -m {module}`.")
