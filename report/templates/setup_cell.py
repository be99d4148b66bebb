# @title Set-up: find the report or fetch it, say what this runs on
import os
import subprocess
import sys
from pathlib import Path

address = os.environ.get(
    "REPORT_REPOSITORY",
    "{repository}",
)
here = Path.cwd()
homes = [f for f in (here, *here.parents) if (f / "helpers/environment.py").exists()]
home = homes[0] if homes else here / "convolution-report"
if not home.exists():
    subprocess.run(["git", "clone", "--depth=1", address, str(home)], check=True)
sys.path.insert(0, str(home))

from helpers.environment import prepare

device = prepare()
