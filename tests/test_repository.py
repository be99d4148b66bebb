"""What is committed: no links, no machine's paths, nothing heavy."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODES = ("100644", "100755")  # files; a link is 120000, another repository 160000
MOST_BYTES = 20e6
# A folder of somebody's machine; `/home/me` is the example's.
PATH = re.compile(
    r"(?<![\w.~*/>-])/(?:root|home|Users|work|tmp|mnt)/(?!me\b)\w[\w./-]*"
    r"|\b[A-Z]:\\+Users\\+\w+"
)


@pytest.fixture(scope="module")
def committed():
    """(mode, path) of all that git keeps."""
    if not (ROOT / ".git").exists():
        pytest.skip("a tree without a history (a zip): nothing says what is committed")
    if not shutil.which("git"):
        pytest.skip("no program `git` here: nothing says what is committed")
    command = ["git", "ls-files", "-s", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    entries = [entry.split("\t", 1) for entry in listed.decode().split("\0") if entry]
    assert entries
    return [(about.split()[0], ROOT / path) for about, path in entries]


def paths_of_machines(content):
    """The absolute paths in a file's content; in pictures and weights, none."""
    try:
        return PATH.findall(content.decode("utf-8")) if b"\0" not in content else []
    except UnicodeDecodeError:
        return []


@pytest.mark.parametrize("folder", ["home", "root", "Users", "work", "tmp"])
def test_paths_of_machines_are_seen(folder):
    path = f"/{folder}/ann/report.py"
    for text in ("{}", 'File "{}", line 1', "see ({})", "a\n{}\n", "at={}"):
        assert paths_of_machines(text.format(path).encode()) == [path]
    for text in ("https://example.org{}", "~{}", "build{}", "$HOME{}"):
        assert not paths_of_machines(text.format(path).encode())
    assert paths_of_machines(b"C:" + b"\\Users\\ann") and not paths_of_machines(
        b"\xff/"
    )


def test_no_link_is_committed(committed):
    assert [str(path) for mode, path in committed if mode not in MODES] == []


def test_no_path_of_a_machine_is_committed(committed):
    found = {
        path.name: paths[:3]
        for _, path in committed
        if path.is_file() and (paths := paths_of_machines(path.read_bytes()))
    }
    assert found == {}


def test_nothing_heavy_is_committed(committed):
    sizes = {path.name: path.stat().st_size for _, path in committed if path.is_file()}
    assert {name: size for name, size in sizes.items() if size > MOST_BYTES} == {}
