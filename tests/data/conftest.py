"""Fixtures of the tests of helpers.data."""

import pytest
from data_files import change_recipe, download_from, everything_in

from helpers import data
from helpers.data import download, settings
from helpers.data.catalogue import RECIPES


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty data/ folder, no variable set, and downloads that are refused."""
    monkeypatch.delenv("REPORT_DATA", raising=False)
    monkeypatch.delenv("REPORT_PROFILE", raising=False)
    monkeypatch.setattr(settings, "DATA_FOLDER", tmp_path / "data")
    monkeypatch.setattr(download, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(download, "STALL_SECONDS", 0.3)
    for name in RECIPES:
        download_from(monkeypatch, name, "http://127.0.0.1:9")  # nobody listens there
    change_recipe(monkeypatch, "mnist", fingerprint=None)
    settings.DATA_FOLDER.mkdir()
    return settings.DATA_FOLDER


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.setenv("REPORT_DATA", str(folder))
    return folder


@pytest.fixture
def assert_damaged(home):
    """load names the file and the damage, leaves nothing behind, takes nothing else."""

    def check(name, message=None):
        before = everything_in(home)
        with pytest.raises(data.DataError, match=message) as caught:
            data.load(name)
        assert "cannot be used" in str(caught.value)
        assert everything_in(home) == before

    return check
