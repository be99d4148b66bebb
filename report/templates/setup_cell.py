import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = "{repository}"

here = Path.cwd()
root = next((f for f in (here, *here.parents) if (f / "helpers").is_dir()), None)
if root is None:  # opened on its own, as Colab does: fetch what it belongs to
    root = here / REPOSITORY.rpartition("/")[2]
    subprocess.run(["git", "clone", "--depth=1", REPOSITORY, str(root)], check=True)
os.chdir(root)
sys.path.insert(0, str(root))

from helpers import environment

device = environment.prepare()
