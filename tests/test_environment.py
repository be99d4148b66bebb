"""`make environment`: what is made, kept and left alone, without an installation.

environment.sh runs in a copy of what it reads, with a Python that only records what it
is asked for; environment.py links a torch that was written for the purpose.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import environment

ROOT = Path(__file__).resolve().parent.parent
FILES = (
    "environment.sh environment.py pyproject.toml requirements.txt requirements.lock"
)

# In the place of python3, and of the Python of environments that it makes.
PYTHON = r"""#!/bin/sh
echo "$*" >>"$CALLS"
case "$*" in
*sys.executable*) echo "$0" ;;
*version_info*) exit "${OLD:-0}" ;;
*"import ensurepip, venv"*) exit "${NO_VENV:-0}" ;;
-V) echo "${VERSION:-Python 3.11.7}" ;;
"-m venv "*) mkdir "$3/bin" && cp "$0" "$3/bin/python" ;;
*"keep "*)
    [ -d "${TORCH:-}" ] || exit 1
    mkdir -p "$3/kept_torch/torch.dist-info"
    ln -s "$TORCH" "$3/kept_torch/torch.dist-info/origin"
    echo "torch 2.4.0 of elsewhere" ;;
*nms*) [ ! -d "$VENV/kept_torch" ] || exit "${MISMATCH:-0}" ;;
*" -c requirements.lock"*) echo "$LOCK_SAYS$PIP_SAYS"; [ -z "$LOCK_SAYS$PIP_SAYS" ] ;;
*kept_torch/constraints.txt) echo "$KEPT_SAYS"; [ -z "$KEPT_SAYS" ] ;;
"-m pip "*) echo "$PIP_SAYS"; [ -z "$PIP_SAYS" ] ;;
*) exit 99 ;;
esac
"""


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / "a checkout's folder"
    folder.mkdir()
    for name in [*FILES.split(), "Makefile"]:
        shutil.copy(ROOT / name, folder)
    return folder


TOOLS = "sh make awk cat cmp cp date dirname find grep ln ls mkdir mv rm sed tail"


class Maker:
    """Runs environment.sh; `calls` are those of Python in the last run."""

    def __init__(self, checkout, tmp_path):
        self.checkout = checkout
        self.venv = checkout / "the environment"
        self.programs = tmp_path / "programs"
        self.programs.mkdir()
        for tool in TOOLS.split():  # and no other Python
            (self.programs / tool).symlink_to(shutil.which(tool))
        self.python = self.program("python3")
        self.log = tmp_path / "calls"
        self.calls = []

    def program(self, name):
        path = self.programs / name
        path.write_text(PYTHON, "utf-8")
        path.chmod(0o755)
        return path

    def run(self, venv=None, **variables):
        return self.start(["sh", "environment.sh", str(venv or self.venv)], **variables)

    def start(self, command, **variables):
        self.log.write_text("", "utf-8")
        known = {"PATH": str(self.programs), "CALLS": str(self.log)}
        known["VENV"] = str(self.venv)
        finished = subprocess.run(
            command,
            cwd=self.checkout,
            env=known | {name: str(value) for name, value in variables.items()},
            capture_output=True,
            text=True,
        )
        self.calls = self.log.read_text("utf-8").splitlines()
        return finished

    def made(self, *arguments, **variables):
        """Run it, and return whether it made the environment (anew)."""
        finished = self.run(*arguments, **variables)
        assert finished.returncode == 0, finished.stderr
        assert (self.venv / "installed").is_file()
        return any(call.startswith("-m pip install") for call in self.calls)

    def refuses(self, *arguments, **variables):
        """Run it, and return the one sentence with which it refuses."""
        finished = self.run(*arguments, **variables)
        assert finished.returncode == 1 and finished.stdout == ""
        assert not [call for call in self.calls if call.startswith("-m")]
        assert finished.stderr.count("\n") == 1
        return finished.stderr


@pytest.fixture
def maker(checkout, tmp_path):
    return Maker(checkout, tmp_path)


# --- When it is made ------------------------------------------------------------------


def test_it_is_made_once_and_then_only_looked_at(maker):
    finished = maker.run()
    assert re.match("Making the environment .*, once: .* minutes", finished.stdout)
    (pip,) = (call for call in maker.calls if call.startswith("-m pip"))
    assert pip.split()[2:5] == ["install", "-r", "requirements.txt"]
    assert "-c requirements.lock" in pip
    finished = maker.run()
    assert finished.returncode == 0 and finished.stdout == finished.stderr == ""
    assert maker.calls == ["-V"]


@pytest.mark.parametrize("name", FILES.split())
def test_contents_decide_not_times(name, maker):
    assert maker.made()
    os.utime(maker.checkout / name)
    assert not maker.made()
    file = maker.checkout / name
    file.write_text("# new\n" + file.read_text("utf-8"), "utf-8")
    assert maker.made()
    assert not maker.made()


def test_settings_of_tools_ask_for_nothing_new(maker):
    assert maker.made()
    file = maker.checkout / "pyproject.toml"
    settings = file.read_text("utf-8")
    assert re.search(r'^line-length|^target-version = "py311"', settings, re.MULTILINE)
    file.write_text(settings.replace('"py311"', '"py312"') + "\n[tool.x]\n", "utf-8")
    assert not maker.made()


def test_no_name_of_a_package_stands_behind_the_settings_of_tools():
    settings = (ROOT / "pyproject.toml").read_text("utf-8")
    behind = settings[settings.index("[tool.ruff]") :]
    assert "[project" not in behind and "[build-system" not in behind


def test_the_same_folder_by_another_name_is_the_same(maker):
    assert maker.made()
    assert not maker.made(maker.venv.name)
    assert not maker.made(f"../{maker.checkout.name}/{maker.venv.name}/")


def test_moved_folders_and_another_python_need_another_one(maker, tmp_path):
    assert maker.made()
    maker.checkout = maker.checkout.rename(tmp_path / "moved")
    maker.venv = maker.checkout / maker.venv.name
    assert maker.made()
    assert maker.made(VERSION="Python 3.12.1")  # as after an upgrade of the system
    assert not maker.made(VERSION="Python 3.12.1")
    assert maker.made() and not maker.made()
    # A named one counts, any other that happens to be active does not.
    other = maker.program("python3.13")
    other.write_text(PYTHON.replace("${VERSION:-Python 3.11.7}", "Python 3.13.0"))
    assert maker.made(PYTHON=other)
    assert not maker.made(PYTHON=other) and not maker.made()


def test_an_interrupted_installation_is_begun_again(maker):
    failed = maker.run(PIP_SAYS="No space left on device")
    assert failed.returncode == 1
    assert "No space left on device" in failed.stderr and "pip.log" in failed.stderr
    (maker.venv / "half").write_text("written", "utf-8")
    assert maker.made()
    assert not (maker.venv / "half").exists()
    # So is one that was made, and then made anew.
    (maker.checkout / "requirements.txt").write_text("# new\n", "utf-8")
    assert maker.run(PIP_SAYS="Killed").returncode == 1
    assert maker.made()


def test_one_that_was_emptied_in_part_is_not_taken_for_whole(maker):
    assert maker.made()
    file, find = maker.checkout / "requirements.txt", maker.programs / "find"
    before = file.read_text("utf-8")
    file.write_text("# new\n", "utf-8")
    find.rename(maker.programs / "kept")
    find.write_text("#!/bin/sh\nexit 1\n", "utf-8")
    find.chmod(0o755)
    assert maker.run().returncode == 1
    (maker.programs / "kept").rename(find)
    file.write_text(before, "utf-8")
    assert maker.made()


def test_make_starts_it_in_folders_with_blanks(maker, checkout):
    for _ in range(2):
        made = maker.start(["make", "environment", f"VENV={maker.venv}"])
        assert made.returncode == 0, made.stderr
    assert maker.calls == ["-V"]
    maker.start(["make", "report", f"VENV={maker.venv}"])
    assert maker.calls == ["-V", "-m report"]


def test_make_alone_lists_every_command_that_is_named_anywhere(maker):
    listed = maker.start(["make"])
    assert listed.returncode == 0 and maker.calls == []
    assert maker.start(["make", "help"]).stdout == listed.stdout
    described = re.findall(r"^make (\w+) +\S.*", listed.stdout, re.MULTILINE)
    assert len(described) == len(listed.stdout.splitlines())

    lines = (ROOT / "Makefile").read_text().replace("\\\n", " ")  # those that go on
    phony = re.search(r"^\.PHONY: (.*)$", lines, re.M)[1]
    assert set(phony.split()) == {*described, "say-report"}
    texts = [*ROOT.glob("*.md"), *ROOT.glob("environment.*"), *ROOT.glob("require*")]
    texts += [ROOT / ".ci/run", *ROOT.glob(".github/workflows/*")]
    texts += [*ROOT.glob("report/*.py"), *ROOT.glob("tests/*.py")]
    for path in texts:
        words = r"(?:`|as in: |^|run: |REPORT_CI=1 )make (\w+)"
        named = re.findall(words, path.read_text("utf-8"), re.MULTILINE)
        assert set(named) <= set(described), path.name


def test_the_first_line_says_what_comes_and_how_long_it_takes(maker):
    first, second, *_ = maker.start(["make", "report"]).stdout.splitlines()
    assert re.match(r"Building the report: about \d+ minutes", first)
    assert re.match(r"Making the environment .+, once: \d+ to \d+ minutes", second)


# --- What is left alone ---------------------------------------------------------------


def entries(folder):
    return sorted(path.name for path in folder.rglob("*"))


@pytest.mark.parametrize("ending", ["", "/", "//"])
@pytest.mark.parametrize("target", ["things", "environment", "nothing"])
def test_a_link_is_never_followed(target, ending, maker, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    if target == "things":
        elsewhere.mkdir()
        (elsewhere / "thesis.txt").write_text("mine", "utf-8")
    if target == "environment":
        assert maker.run(elsewhere).returncode == 0
    before = entries(elsewhere)
    maker.venv.symlink_to(elsewhere)
    message = maker.refuses(f"{maker.venv}{ending}")
    assert "is a link" in message and "VENV=/path/to/folder" in message
    assert entries(elsewhere) == before and maker.venv.is_symlink()


@pytest.mark.parametrize("name", ["thesis.txt", ".hidden", "installed", "pyvenv.cfg"])
def test_a_folder_with_something_else_inside_is_left_alone(name, maker):
    maker.venv.mkdir()
    (maker.venv / name).write_text("mine", "utf-8")
    message = maker.refuses()
    assert "is a folder" in message and "VENV=/path/to/folder" in message
    assert (maker.venv / name).read_text("utf-8") == "mine"


def test_a_file_the_checkout_and_a_tilde_are_no_environments(maker):
    assert "is a file" in maker.refuses(maker.checkout / "Makefile")
    assert "is a folder" in maker.refuses(maker.checkout)
    assert "is a folder" in maker.refuses("..")
    assert "is a folder" in maker.refuses("/")
    assert "write $HOME instead" in maker.refuses("~/environment")


def test_an_empty_folder_may_be_filled(maker):
    maker.venv.mkdir()
    assert maker.made()


def test_a_checkout_that_cannot_be_written_is_named(maker, tmp_path):
    if os.getuid() == 0:  # may write everywhere: be somebody else
        for folder in (tmp_path, *tmp_path.parents):
            if folder.stat().st_uid == 0 and len(folder.parts) > 2:
                folder.chmod(0o755)
        maker.log.touch(0o666)
    maker.checkout.chmod(0o555)
    finished = subprocess.run(
        ["sh", "environment.sh", str(maker.venv)],
        cwd=maker.checkout,
        user=65534 if os.getuid() == 0 else None,
        capture_output=True,
        text=True,
    )
    maker.checkout.chmod(0o755)
    assert finished.returncode == 1 and finished.stdout == ""
    assert f"{maker.checkout} cannot be written" in finished.stderr
    assert "copy it to a folder of your own" in finished.stderr


# --- The Python that makes it ---------------------------------------------------------


def test_a_python_that_is_too_old_or_missing_is_named(maker):
    message = maker.refuses(OLD=1, VERSION="Python 3.9.18")
    assert "Python 3.11 or newer is needed, and python3 is Python 3.9.18" in message
    assert "PYTHON=/path/to/" in message
    assert "and /no/python is missing" in maker.refuses(PYTHON="/no/python")
    assert not maker.venv.exists()


@pytest.mark.parametrize("minor", [11, 12, 13, 14])
def test_a_newer_python_than_the_first_is_found(minor, maker):
    old = PYTHON.replace("${OLD:-0}", "1")
    maker.python.write_text(old, "utf-8")
    maker.program(f"python3.{minor}")
    assert maker.made()


def test_a_python_without_venv_is_named(maker):
    message = maker.refuses(NO_VENV=1)
    assert "cannot make virtual environments" in message and "python3-venv" in message


def test_an_active_environment_is_made_anew_by_the_python_behind_it(maker, tmp_path):
    base = tmp_path / "base"
    (base / "bin").mkdir(parents=True)
    (base / "lib").mkdir()
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    (base / "lib" / version).symlink_to(sysconfig.get_path("stdlib"))
    shutil.copy(maker.python, base / "bin" / version)
    (maker.venv / "bin").mkdir(parents=True)
    (maker.venv / "pyvenv.cfg").write_text(f"home = {base}/bin\n", "utf-8")
    (maker.venv / "bin" / "python3").symlink_to(Path(sys.executable).resolve())
    (maker.venv / "made-by-environment.sh").touch()
    active = f"{maker.venv}/bin:{maker.programs}"
    assert maker.made(PATH=active)
    assert not (maker.venv / "bin" / "python3").exists()


# --- What is installed ----------------------------------------------------------------

CONFLICT = "ERROR: ResolutionImpossible: for help visit"
NO_NETWORK = "WARNING: Retrying after connection broken by\nNo matching distribution"


def pip_calls(maker):
    return [call for call in maker.calls if call.startswith("-m pip")]


def test_versions_that_cannot_be_had_give_way_to_allowed_ones(maker):
    finished = maker.run(LOCK_SAYS=CONFLICT)
    assert finished.returncode == 0
    assert "Not all versions of requirements.lock can be had here" in finished.stdout
    locked, free = pip_calls(maker)
    assert "requirements.lock" in locked and "requirements.lock" not in free


def test_without_a_network_it_does_not_try_on(maker):
    failed = maker.run(PIP_SAYS=NO_NETWORK)
    assert failed.returncode == 1 and len(pip_calls(maker)) == 1
    assert "With a network" in failed.stderr
    failed = maker.run(PIP_SAYS=CONFLICT)
    assert failed.returncode == 1 and len(pip_calls(maker)) == 2
    assert "No versions that fit" in failed.stderr and CONFLICT in failed.stderr


def test_a_torch_that_is_there_is_kept_while_it_is_there(maker, tmp_path):
    torch = tmp_path / "elsewhere"
    torch.mkdir()
    finished = maker.run(TORCH=torch)
    assert "Kept torch 2.4.0 of elsewhere." in finished.stdout
    (call,) = pip_calls(maker)
    assert f"-c {maker.venv}/kept_torch/constraints.txt" in call
    assert not maker.made()
    torch.rename(tmp_path / "upgraded")
    assert maker.made()


@pytest.mark.parametrize("fault", [{"MISMATCH": 1}, {"KEPT_SAYS": CONFLICT}])
def test_a_torch_without_a_fitting_torchvision_gives_way_to_a_pair(
    fault, maker, tmp_path
):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    if "KEPT_SAYS" in fault:
        fault = fault | {"LOCK_SAYS": CONFLICT}
    finished = maker.run(TORCH=elsewhere, **fault)
    assert finished.returncode == 0, finished.stderr
    assert "No torchvision fits torch 2.4.0 of elsewhere" in finished.stdout
    assert "constraints" in pip_calls(maker)[0]
    assert "constraints" not in pip_calls(maker)[-1]
    assert not (maker.venv / "kept_torch").exists() and elsewhere.exists()


# --- Keeping a torch ------------------------------------------------------------------

VISION = """
import torch
class ops:
    def nms(boxes, scores, threshold):
        if torch.BUILT_FOR != "this": raise RuntimeError("operator does not exist")
"""
TORCH = "BUILT_FOR = {!r}\nFROM = __file__\ndef zeros(*size): return size\n"


def install(site, name, version, files, tag="py3-none-any", requires=()):
    """Write a package as pip would install it."""
    metadata = f"{name.replace('-', '_')}-{version}.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    files = {
        **files,
        f"{metadata}/METADATA": "\n".join(lines) + "\n",
        f"{metadata}/WHEEL": f"Root-Is-Purelib: true\nTag: {tag}\n",
        f"{metadata}/RECORD": "",
    }
    for path, content in files.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(content, "utf-8")
    record = "".join(f"{path},,\n" for path in files)
    (site / metadata / "RECORD").write_text(record + "../../bin/run,,\n", "utf-8")


@pytest.fixture
def outer(tmp_path):
    """Packages of another environment: torch, what it needs, and others."""
    site = tmp_path / "outer packages"
    linux = "py3-none-manylinux_2_27_x86_64"
    needs = ["sympy>=1.13", "cuda-toolkit[cublas]==13; platform_system == 'Linux'"]
    needs += ["triton~=3.0", "missing>=1", "optree; extra == 'optree'"]
    files = {"torch/__init__.py": TORCH.format("this"), "torch/nn/__init__.py": ""}
    install(site, "torch", "2.9.0+cpu", files, "cp311-cp311-linux_x86_64", needs)
    install(site, "sympy", "1.13.1", {"sympy/__init__.py": "", "isympy.py": ""})
    install(site, "triton", "3.1", {"triton/__init__.py": ""}, linux)
    install(site, "optree", "1.0", {"optree/__init__.py": ""}, linux)
    listed = ["nvidia-cublas==1; extra == 'cublas'", "nvidia-other; extra == 'other'"]
    install(site, "cuda-toolkit", "13.0", {}, requires=listed)
    install(site, "nvidia-cublas", "1.0", {"nvidia/cublas/lib.so": ""}, linux)
    install(site, "nvidia-dali", "1.0", {"nvidia/dali/lib.so": ""}, linux)
    install(site, "torchvision", "0.24.0", {"torchvision/__init__.py": VISION}, linux)
    install(site, "jupyter", "1.1.1", {"jupyter.py": ""})
    return site


@pytest.fixture
def inner(tmp_path):
    """An environment without any package."""
    folder = tmp_path / "inner"
    command = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
    subprocess.run(command, check=True)
    return folder


def keep(outer, inner):
    """Run `environment.py keep` with a Python that sees the packages of `outer`."""
    return subprocess.run(
        [sys.executable, "-S", "environment.py", "keep", str(inner)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(outer), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )


def seen(inner, expression):
    """What the Python of `inner` says; a name that cannot be found becomes None."""
    code = (
        "import importlib.util, importlib.metadata as metadata\n"
        f"print(repr({expression}))"
    )
    python = str(inner / "bin" / "python")
    bare = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    finished = subprocess.run(
        [python, "-P", "-c", code], env=bare, capture_output=True, text=True, cwd=inner
    )
    assert finished.returncode == 0, finished.stderr
    return eval(finished.stdout)


def test_torch_and_its_compiled_companions_are_kept_alone(outer, inner):
    finished = keep(outer, inner)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.startswith("torch 2.9.0+cpu of ")
    assert "with its torchvision 0.24.0" in finished.stdout
    names = "sorted(d.name for d in metadata.distributions())"
    assert seen(inner, names) == sorted(
        ["torch", "torchvision", "triton", "cuda-toolkit", "nvidia-cublas"]
    )
    modules = "torch torchvision triton nvidia.cublas sympy isympy optree jupyter"
    found = seen(
        inner,
        f"[n for n in {modules.split()} if importlib.util.find_spec(n) is not None]",
    )
    assert found == ["torch", "torchvision", "triton", "nvidia.cublas"]
    assert seen(inner, "importlib.util.find_spec('nvidia.dali')") is None
    assert seen(inner, "__import__('torch').FROM").startswith(str(inner))
    constraints = (inner / "kept_torch/constraints.txt").read_text("utf-8").split()
    assert {"torch==2.9.0+cpu", "torchvision==0.24.0"} < set(constraints)


def test_a_torchvision_that_does_not_fit_is_left_to_pip(outer, inner):
    (outer / "torch/__init__.py").write_text(TORCH.format("another"), "utf-8")
    finished = keep(outer, inner)
    assert finished.returncode == 0 and "torchvision" not in finished.stdout
    assert seen(inner, "importlib.util.find_spec('torchvision')") is None
    assert "torchvision" not in (inner / "kept_torch/constraints.txt").read_text()


def test_pip_cannot_remove_what_belongs_to_the_other_environment(outer, inner):
    before = entries(outer)
    assert keep(outer, inner).returncode == 0
    pip = [sys.executable, "-m", "pip", "--python", str(inner), "uninstall", "-y"]
    bare = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    tried = subprocess.run(
        [*pip, "torch", "triton"], env=bare, capture_output=True, text=True, cwd=inner
    )
    assert tried.returncode != 0 and "RECORD file" in tried.stderr
    shutil.rmtree(inner)
    assert entries(outer) == before


@pytest.mark.parametrize(
    "fault, words",
    [
        ("old", "asks for 2.4 or newer"),
        ("broken", "it fails to import: no CUDA"),
        ("no list", "has no list of its files"),
        ("elsewhere", "not installed as a package of its own"),
    ],
)
def test_why_a_torch_is_not_kept_is_said(fault, words, outer, inner):
    (metadata,) = outer.glob("torch-*.dist-info")
    if fault == "old":
        file = metadata / "METADATA"
        file.write_text(file.read_text().replace("2.9.0+cpu", "2.3.1"), "utf-8")
    if fault == "broken":
        (outer / "torch/__init__.py").write_text("raise OSError('no CUDA')", "utf-8")
    if fault == "no list":
        (metadata / "RECORD").unlink()
    if fault == "elsewhere":  # an editable installation
        record = f"__editable__.torch.pth,,\n{metadata.name}/METADATA,,\n"
        (metadata / "RECORD").write_text(record, "utf-8")
    finished = keep(outer, inner)
    assert finished.returncode == 1 and finished.stdout == ""
    assert finished.stderr.startswith("Not kept: torch 2.") and words in finished.stderr
    assert not list(inner.rglob("kept_torch.pth"))


def test_without_a_torch_nothing_is_said(inner, tmp_path):
    finished = keep(tmp_path / "none", inner)
    assert finished.returncode == 1 and finished.stdout == finished.stderr == ""


# --- The versions ---------------------------------------------------------------------


def test_the_lock_holds_what_does_not_depend_on_the_machine():
    def item(name, version, **info):
        return {
            "metadata": {"name": name, "version": version},
            "download_info": info,
        }

    names = "torch torchvision triton nvidia-cublas cuda-toolkit sympy setuptools"
    text = environment.locked(
        {
            "install": [
                item("Zope.Interface", "5.0"),
                item("torch-tools", "1.0"),
                item("numpy", "2.0.0"),
                item("convolution-report", "0.1.0", dir_info={"editable": True}),
                *(item(name, "1.0") for name in names.split()),
            ]
        }
    )
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert lines == ["numpy==2.0.0", "torch-tools==1.0", "zope-interface==5.0"]


def test_the_lock_is_written_by_the_oldest_python_alone(monkeypatch):
    monkeypatch.setattr(environment, "OLDEST", (3, 8))
    with pytest.raises(SystemExit, match=r"VENV=build/lock PYTHON=python3\.8"):
        environment.lock()
