"""What environment.sh needs a Python for; the standard library alone, any Python 3.11.

keep FOLDER  run by a Python that may have a torch: make it, and nothing else that this
             Python has, visible in the environment FOLDER, and print what was kept
lock         write the newest versions that pyproject.toml allows to requirements.lock
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).resolve().parent
OLDEST = (3, 11)

# What depends on the machine, or comes in the one version that a torch asks for.
OPEN = re.compile(r"torch|torchvision|triton|sympy|mpmath|setuptools|(nvidia|cuda)-.+")

LOCK_HEAD = """\
# The versions that made the finished report, which `make environment` takes. Written by
# `make lock` with the oldest Python, so that they fit newer ones. What depends on the
# machine is left open: torch, torchvision, and what comes with them.
"""


class NotKept(Exception):
    """Why the torch that is there is not taken."""


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    keeping = commands.add_parser("keep")
    keeping.add_argument("environment", type=Path)
    keeping.set_defaults(run=lambda arguments: keep(arguments.environment))
    commands.add_parser("lock").set_defaults(run=lambda _: lock())
    arguments = parser.parse_args()
    arguments.run(arguments)


# --- A torch that is there already ----------------------------------------------------


def keep(environment: Path) -> None:
    """Link the torch of this Python into `environment` and print its name.

    Its folder kept_torch/ holds links to the packages of torch and of its compiled
    companions, and of a torchvision that works with it, and constraints.txt with their
    versions. Ends the program when there is no torch, or none that can be kept.
    """
    try:
        torch = distribution("torch")
    except PackageNotFoundError:
        sys.exit(1)
    named = f"torch {torch.version} of {sys.prefix}"
    try:
        _check(torch)
        chosen = [torch, *_companions(torch)]
        if vision := _torchvision():
            chosen.append(vision)
        folder = environment / "kept_torch"
        folder.mkdir()
        _link(chosen, folder)
    except NotKept as reason:
        sys.exit(f"Not kept: {named} ({reason}).")
    constraints = [f"{found.name}=={found.version}\n" for found in chosen]
    (folder / "constraints.txt").write_text("".join(constraints), "utf-8")
    base = {"base": str(environment), "platbase": str(environment)}
    packages = Path(sysconfig.get_path("purelib", "venv", base))
    path = os.path.relpath(folder, packages)
    (packages / "kept_torch.pth").write_text(f"{path}\n", "utf-8")
    print(f"{named}, with its torchvision {vision.version}" if vision else named)


def _check(torch: Distribution) -> None:
    """Raise NotKept for a torch that is too old, or does not work."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    needed = "\n".join(settings["project"]["dependencies"])
    (oldest,) = re.findall(r"^torch>=([\d.]+)", needed, re.MULTILINE)
    parts = len(oldest.split("."))
    if _numbers(torch.version)[:parts] < _numbers(oldest):
        raise NotKept(f"pyproject.toml asks for {oldest} or newer")
    try:
        import torch as _  # noqa: F401
    except Exception as error:
        raise NotKept(f"it fails to import: {error}") from error


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def _torchvision() -> Distribution | None:
    """Return the torchvision of this Python if it works with its torch."""
    try:
        import torch
        import torchvision

        torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
        return distribution("torchvision")
    except Exception:  # of any kind: it is missing, or was built for another torch
        return None


def _companions(package: Distribution, seen: frozenset = frozenset()) -> list:
    """Return the compiled packages that `package` needs, as deep as they need others.

    What is pure Python is left to pip. A package without files only lists others, as
    cuda-toolkit does by its extras: it counts as they do.
    """
    found: dict[str, Distribution] = {}
    for requirement in package.requires or []:
        name, needs_extra = _name(requirement), re.search(r"\bextra *==", requirement)
        if name in seen or (needs_extra and _tops(package)):
            continue
        try:
            needed = distribution(name)
        except PackageNotFoundError:
            continue
        if _is_compiled(needed) or not _tops(needed):
            deeper = _companions(needed, seen | {name})
            found |= {_name(d.name): d for d in [needed, *deeper]}
    return list(found.values())


def _name(requirement: str) -> str:
    """Return the name of the package in a requirement, normalised."""
    name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def _is_compiled(package: Distribution) -> bool:
    tags = re.findall(r"^Tag: *(\S+)", package.read_text("WHEEL") or "", re.MULTILINE)
    return any(not tag.endswith("-any") for tag in tags)


def _tops(package: Distribution) -> dict[str, set[str]]:
    """Return the folders and modules that the package installs beside its metadata.

    Name -> what it has in a folder of that name; scripts are left out.
    """
    if package.files is None:
        raise NotKept(f"{package.name} has no list of its files")
    tops: dict[str, set[str]] = {}
    for top, *rest in (file.parts for file in package.files):
        if top not in ("..", "__pycache__") and not top.endswith(
            (".dist-info", ".egg-info", ".pth")
        ):
            tops.setdefault(top, set()).update(rest[:1])
    return tops


def _link(packages: list[Distribution], folder: Path) -> None:
    """Link all that the packages have into `folder`, and copy their metadata.

    A folder that others have a part in, as they may in nvidia/, is linked part by part.
    """
    places: dict[Path, set[str]] = {}
    for package in packages:
        for top, parts in _tops(package).items():
            place = Path(str(package.locate_file(top)))
            if place.exists():
                places.setdefault(place, set()).update(parts)
    if not any(place.name == "torch" and place.is_dir() for place in places):
        raise NotKept("it is not installed as a package of its own")
    for place, parts in places.items():
        link = folder / place.name
        parts_there = {p.name for p in place.iterdir()} if place.is_dir() else set()
        if parts_there <= parts | {"__pycache__"}:
            link.symlink_to(place)
            continue
        link.mkdir(exist_ok=True)
        for part in sorted(parts & parts_there):
            (link / part).symlink_to(place / part)
    for package in packages:
        _copy_metadata(package, folder)


def _copy_metadata(package: Distribution, folder: Path) -> None:
    """Copy what describes the package, without the list of its files.

    With it, pip would delete through the links what belongs to the other environment;
    without it, pip refuses to uninstall, and names the installer.
    """
    (place,) = {
        Path(str(package.locate_file(file))).parent
        for file in package.files or []
        if file.name == "METADATA" and file.parts[0].endswith(".dist-info")
    }
    copy = folder / place.name
    copy.mkdir()
    for name in ("METADATA", "WHEEL", "entry_points.txt", "top_level.txt"):
        if (place / name).exists():
            shutil.copyfile(place / name, copy / name)
    (copy / "INSTALLER").write_text(f"the environment {sys.prefix}\n", "utf-8")
    (copy / "origin").symlink_to(place)


# --- The versions behind the finished report ------------------------------------------


def lock() -> None:
    """Write to requirements.lock what pip would install now, but for what is open.

    Ends the program when this Python is not the oldest that the report runs on.
    """
    if sys.version_info[:2] != OLDEST:
        sys.exit(
            "requirements.lock is written with the oldest Python, so that it fits "
            f"newer ones, and this is {sys.version.split()[0]}: run "
            "`make lock VENV=build/lock PYTHON=python{}.{}`.".format(*OLDEST)
        )
    print("Asking the package index for the newest versions: some minutes.", flush=True)
    command = "install --dry-run --ignore-installed -qq --report - -r"
    resolved = subprocess.run(
        [sys.executable, "-m", "pip", *command.split(), "requirements.txt"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    file = ROOT / "requirements.lock"
    file.write_text(locked(json.loads(resolved)), "utf-8")
    print(
        f"{file.name} is written: `make notebooks` makes the finished report with it."
    )


def locked(report: dict) -> str:
    """Return the text of requirements.lock for pip's installation report."""
    versions = {
        _name(item["metadata"]["name"]): item["metadata"]["version"]
        for item in report["install"]
        if not item.get("download_info", {}).get("dir_info")
    }
    lines = [
        f"{name}=={version}\n"
        for name, version in sorted(versions.items())
        if not OPEN.fullmatch(name)
    ]
    return LOCK_HEAD + "".join(lines)


if __name__ == "__main__":
    main()
