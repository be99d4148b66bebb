"""The tests find a browser under all of its usual names."""

import browser
import pytest


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """An empty folder that is all of PATH, and of /Applications."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def place(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    "name",
    [
        "own",
        "chromium",
        "chromium-browser",
        "google-chrome",
        "google-chrome-stable",
        "Chromium.app/Contents/MacOS/Chromium",
        "Google Chrome.app/Contents/MacOS/Google Chrome",
    ],
)
def test_a_browser_is_found_under_every_name(name, nowhere):
    assert browser.find(str(nowhere / "own"), nowhere) is None
    placed = place(nowhere / name)
    assert browser.find(str(nowhere / "own"), nowhere) == placed


def test_the_one_of_playwright_comes_first(nowhere):
    place(nowhere / "chromium")
    own = place(nowhere / "own")
    assert browser.find(own, nowhere) == own
