"""The browser of the tests: whichever Chromium or Chrome this machine has."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAMES = (
    "chromium",  # Debian, Fedora, Homebrew
    "chromium-browser",  # Ubuntu, Alpine
    "google-chrome",
    "google-chrome-stable",
)
APPLICATIONS = (
    "Chromium.app/Contents/MacOS/Chromium",
    "Google Chrome.app/Contents/MacOS/Google Chrome",
)
MISSING = (
    "no Chromium or Chrome here: install one with the system's packages (Debian: "
    "`apt-get install chromium`), or `python -m playwright install chromium`"
)


def find(of_playwright: str, applications: Path = Path("/Applications")) -> str | None:
    """Return the path of a browser to start, or None.

    of_playwright: where Playwright keeps its own, which is preferred if it is there,
    since it was tested with it. applications: the folder of programs on macOS.
    """
    paths = [of_playwright, *map(shutil.which, NAMES)]
    paths += [applications / name for name in APPLICATIONS]
    return next((str(path) for path in paths if path and Path(path).is_file()), None)


@contextmanager
def started() -> Iterator:
    """A browser of Playwright's synchronous interface; None when there is none."""
    from playwright.sync_api import sync_playwright

    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        path = find(playwright.chromium.executable_path)
        if path is None:
            yield None
            return
        browser = playwright.chromium.launch(executable_path=path, args=quiet)
        yield browser
        browser.close()
