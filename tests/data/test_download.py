"""The download of CIFAR-10: complete and genuine, or none of it, and soon."""

import hashlib
import http.server
import threading
import time

import pytest
from data_files import change_recipe, cifar_files, everything_in, tar

from helpers import data
from helpers.data import catalogue, download, settings
from helpers.data.download import Download
from helpers.data.formats import CIFAR_ARCHIVE


class Server(http.server.ThreadingHTTPServer):
    """Serves `content` from 127.0.0.1; `moods` says how the next requests go wrong."""

    daemon_threads = True

    def __init__(self, content):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.moods, self.requests = content, [], 0
        self.closing = threading.Event()

    def handle_error(self, *_):
        pass  # clients that hang up are part of the tests


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.requests += 1
        mood = server.moods.pop(0) if server.moods else "well"
        content = server.content
        if mood == "silent":
            server.closing.wait(30)
        elif mood in ("404", "503"):
            self.send_error(int(mood))
        else:
            if mood == "tampered":
                content = content[:-1] + bytes([content[-1] ^ 1])
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(
                content[: len(content) // 2 if mood == "breaks off" else None]
            )

    def log_message(self, *_):
        pass


@pytest.fixture
def server(home, monkeypatch):
    """A server that has CIFAR-10, here as a small archive of images."""
    content = tar(cifar_files())
    place = catalogue.Place(catalogue.read_objects)
    with Server(content) as server:
        address = f"http://127.0.0.1:{server.server_port}/"
        checksum = f"md5:{hashlib.md5(content).hexdigest()}"
        change_recipe(
            monkeypatch,
            "cifar10",
            download=Download(address, CIFAR_ARCHIVE, checksum),
            places={CIFAR_ARCHIVE: place},
        )
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.closing.set()
        server.shutdown()


def test_it_is_fetched_once(home, server):
    first = data.locate("cifar10")
    assert (first.place, first.quick) == ("just downloaded", False)
    assert everything_in(home) == {CIFAR_ARCHIVE}
    assert data.locate("cifar10").place == f"{CIFAR_ARCHIVE} in data/"
    assert server.requests == 1


@pytest.mark.parametrize("mood", ["404", "503", "tampered", "breaks off", "silent"])
def test_what_goes_wrong_leaves_nothing_and_is_told(home, server, mood, monkeypatch):
    monkeypatch.setattr(download, "SECONDS_TO_ANSWER", 0.3)
    server.moods = [mood]
    with pytest.raises(data.DataMissing) as caught:
        data.locate("cifar10")
    assert everything_in(home) == set()
    message = str(caught.value)
    assert f"{server.server_port}/{CIFAR_ARCHIVE}" in message
    assert "REPORT_DATA" in message and "REPORT_PROFILE=quick" in message


def test_a_transfer_that_breaks_off_is_tried_again(home, server, monkeypatch):
    monkeypatch.setattr(download, "FURTHER_ATTEMPTS", 1)
    server.moods = ["breaks off"]
    assert data.locate("cifar10").place == "just downloaded"


def test_without_a_network_it_is_given_up_at_once(home):
    started = time.monotonic()
    with pytest.raises(data.DataMissing, match="CIFAR-10 could not be had"):
        data.load("cifar10")
    assert time.monotonic() - started < 2


def test_a_folder_that_cannot_be_written_is_told_without_its_path(
    home, server, monkeypatch
):
    home.rmdir()
    home.write_text("a file where the folder should be")
    with pytest.raises(data.DataMissing, match="data/ cannot be written") as caught:
        data.locate("cifar10")
    assert str(settings.DATA_FOLDER.parent) not in str(caught.value)
