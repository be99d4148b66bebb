# @title Set-up: find the report or fetch it, say what this runs on
import os
import shutil
import subprocess
import sys
from pathlib import Path

address = os.environ.get(
    "REPORT_REPOSITORY",
    "{repository}",
)
here = Path.cwd()


def find() -> Path | None:
    folders = [here, *here.parents, *sorted(here.glob("convolution-report*"))]
    return next((f for f in folders if (f / "helpers/environment.py").exists()), None)


home = find()
if not home:
    if archives := sorted(here.glob("convolution-report*.zip")):
        shutil.unpack_archive(archives[0], here)
    elif shutil.which("git"):
        fetch = ["git", "clone", "--quiet", "--depth=1", address, "convolution-report"]
        silent = os.environ | {"GIT_TERMINAL_PROMPT": "0"}
        subprocess.run(fetch, env=silent, stderr=subprocess.DEVNULL)
    home = find()
if not home:
    sys.exit(
        f"The report could not be fetched from {address}: let this machine use the "
        "network, or name an address or folder that has it, as in %env "
        "REPORT_REPOSITORY=/path/to/it, or put the report's archive here as "
        f"{here / 'convolution-report.zip'}; then run this cell again."
    )
sys.path.insert(0, str(home))

from helpers.environment import prepare

device = prepare()
