"""Downloads from servers in all moods, and two processes at once."""

import gzip
import hashlib
import http.server
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from data_files import (
    RAW_FILES,
    download_from,
    everything_in,
    mnist_files,
    tar,
    varres_files,
    varres_fingerprint,
    write_mnist,
)
from torchvision.datasets import CIFAR10

from helpers import data
from helpers.data import download, settings
from helpers.data.catalogue import RECIPES
from helpers.data.download import git_blob_is, md5_is

ROOT = Path(__file__).resolve().parents[2]


class Server(http.server.ThreadingHTTPServer):
    """Serves `files` from 127.0.0.1; `moods` says how the next requests go wrong."""

    daemon_threads = True

    def __init__(self, files):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.moods, self.requests = files, [], []
        self.closing = threading.Event()
        self.before_answer = lambda: None
        self.address = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_):
        pass  # clients that hang up are part of the tests


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        name = self.path.lstrip("/")
        server.requests.append(name)
        mood = server.moods.pop(0) if server.moods else "well"
        server.before_answer()
        if mood == "silent":
            server.closing.wait(30)
        elif mood in ("404", "503"):
            self.send_error(int(mood))
        else:
            content = server.files[name]
            if mood == "tampered":
                content = content[:-1] + bytes([content[-1] ^ 1])
            self.send_response(200)
            if mood != "endless":
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            half = content[: len(content) // 2]
            self.wfile.write(half if mood in ("breaks off", "stalls") else content)
            self.wfile.flush()
            while mood == "endless":
                self.wfile.write(bytes(2**16))
            if mood == "stalls":
                server.closing.wait(30)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    files = {
        "mnist-varres.tgz": gzip.compress(tar(varres_files()), 1),
        **{f"{k}.gz": gzip.compress(v) for k, v in mnist_files().items()},
    }
    with Server(files) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.closing.set()
        server.shutdown()


@pytest.fixture
def varres_online(home, server, monkeypatch):
    download_from(monkeypatch, "varres", server.address, content=server.files)
    return server


def test_download(home, varres_online, capsys):
    location = data.locate("varres")
    assert str(location) == (
        "variable-resolution MNIST from mnist-varres.tgz in data/ (just downloaded)"
    )
    assert "mnist-varres.tgz" in capsys.readouterr().err  # the progress bar
    assert everything_in(home) == {"mnist-varres.tgz"}
    assert data.load("varres").fingerprint == varres_fingerprint()
    assert data.locate("varres").reason == "a local copy comes first"
    assert varres_online.requests == ["mnist-varres.tgz"]


@pytest.mark.parametrize("mood", ["503", "breaks off", "stalls"])
def test_another_attempt_after_an_interruption(home, varres_online, mood):
    varres_online.moods = [mood, mood]
    assert not data.locate("varres").stand_in
    assert len(varres_online.requests) == 3
    assert data.load("varres").fingerprint == varres_fingerprint()


@pytest.mark.parametrize(
    ("mood", "requests", "reason"),
    [
        ("503", 3, "503"),
        ("breaks off", 3, "bytes early"),
        ("stalls", 3, "timed out"),
        ("404", 1, "404"),
        ("tampered", 1, "checksum is not the published one"),
        ("endless", 1, "checksum is not the published one"),
        ("silent", 1, "timed out"),
    ],
)
def test_a_download_that_fails(
    home, varres_online, monkeypatch, mood, requests, reason
):
    """Nothing is left behind, and the sentence says where it was tried and why not."""
    monkeypatch.setattr(settings, "MOST_FILE_BYTES", 2**21)
    varres_online.moods = [mood] * 10
    start = time.monotonic()
    location = data.locate("varres")
    assert time.monotonic() - start < 4
    assert location.stand_in
    assert f"{varres_online.address}/mnist-varres.tgz (" in location.reason
    assert reason in location.reason
    assert len(varres_online.requests) == requests
    assert list(home.iterdir()) == []
    monkeypatch.setenv("REPORT_PROFILE", "full")
    with pytest.raises(data.DataError, match=reason):
        data.load("varres")


def test_a_black_hole_costs_one_waiting_time(home, monkeypatch):
    """Neither many addresses of a server nor a dead name server can prolong it."""
    monkeypatch.setattr(download, "CONNECT_SECONDS", 0.3)
    monkeypatch.setattr(download, "STALL_SECONDS", 60)
    with socket.create_server(("127.0.0.1", 0)) as hole:  # connects, never answers
        address = f"http://127.0.0.1:{hole.getsockname()[1]}"
        download_from(monkeypatch, "varres", address)
        start = time.monotonic()
        location = data.locate("varres")
        assert time.monotonic() - start < 3
    assert "no answer within 0.3 s" in location.reason


def test_giving_up_takes_well_under_a_minute():
    """The waiting times as they are, over all mirrors of the first file of each set."""
    for recipe in RECIPES.values():
        assert len(recipe.downloads[0].addresses) * download.CONNECT_SECONDS <= 30


def test_the_second_mirror(home, server, monkeypatch):
    files = server.files
    refused = "http://127.0.0.1:9"
    download_from(monkeypatch, "mnist", refused, server.address, content=files)
    loaded = data.load("mnist")
    assert not loaded.stand_in
    assert everything_in(home) == {f"MNIST/raw/{name}.gz" for name in RAW_FILES}


def test_all_files_of_a_set_or_none(home, server, monkeypatch):
    download_from(monkeypatch, "mnist", server.address, content=server.files)
    server.moods = ["well", "well", "404"]
    assert data.locate("mnist").stand_in
    assert list(home.iterdir()) == []
    assert not data.locate("mnist").stand_in


def test_another_process_is_faster(home, server, monkeypatch):
    """Its files stay, ours go."""
    download_from(monkeypatch, "mnist", server.address, content=server.files)
    server.before_answer = lambda: write_mnist(home)
    assert not data.load("mnist").stand_in
    assert everything_in(home) == {f"MNIST/raw/{name}" for name in RAW_FILES}
    assert [path.name for path in home.iterdir()] == ["MNIST"]


def test_an_unwritable_data_folder(home, varres_online, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("where a folder should be")
    monkeypatch.setattr(settings, "DATA_FOLDER", tmp_path / "file" / "data")
    location = data.locate("varres")
    assert location.stand_in
    assert "cannot write to data/ (Not a directory)" in location.reason
    assert str(tmp_path) not in str(location)


def test_the_official_checksums(tmp_path):
    """git's name for a content, and torchvision's md5, tell a copy from a forgery."""
    path = tmp_path / "file"
    path.write_bytes(b"what is up, doc?")
    blob = git_blob_is("bd9dbf5aae1a3862dd1526723246b20206e5fc37")
    md5 = md5_is(hashlib.md5(b"what is up, doc?").hexdigest())
    assert blob(path) and md5(path)
    path.write_bytes(b"what is up, Doc?")
    assert not blob(path) and not md5(path)


def test_the_official_addresses():
    addresses = {
        name: [d.addresses for d in recipe.downloads]
        for name, recipe in RECIPES.items()
    }
    assert addresses["varres"] == [("https://dlvu.github.io/data/mnist-varres.tgz",)]
    assert addresses["cifar10"] == [(CIFAR10.url,)]
    assert len(addresses["mnist"]) == 4
    for mirrors in addresses["mnist"]:
        assert all(address.endswith("-ubyte.gz") for address in mirrors)
    for recipe in RECIPES.values():
        assert recipe.arrives_at in recipe.places


# --- Two processes at once ------------------------------------------------------------

LOADER = """
import sys
from dataclasses import replace
from pathlib import Path
from helpers import data
from helpers.data import settings
from helpers.data.catalogue import RECIPES

settings.DATA_FOLDER = Path(sys.argv[1])
recipe = RECIPES["varres"]
download = replace(
    recipe.downloads[0], addresses=(sys.argv[2],), is_genuine=lambda path: True
)
RECIPES["varres"] = replace(recipe, downloads=(download,))
print("ready", flush=True)
sys.stdin.readline()
print(data.load("varres").fingerprint)
"""


def test_two_processes_at_once(home, server):
    """Both download, decode and cache; one archive and one cache are left."""
    gate = threading.Barrier(2)  # neither gets the archive before both asked for it
    server.before_answer = lambda: gate.wait(30)
    address = f"{server.address}/mnist-varres.tgz"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", LOADER, str(home), address],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert outputs == [varres_fingerprint()] * 2
    assert len(server.requests) == 2
    left = everything_in(home)
    assert len(left) == 2 and "mnist-varres.tgz" in left
    assert {path.name for path in home.iterdir()} == {"mnist-varres.tgz", "cache"}
