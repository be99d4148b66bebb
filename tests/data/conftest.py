"""Fixtures of the tests of helpers.data."""

import pytest
from data_files import UNREACHABLE, change_recipe, everything_in

from helpers import data
from helpers.data import download, settings, sources


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty data/ folder, no variable set, no server, and any data set genuine."""
    monkeypatch.delenv("REPORT_DATA", raising=False)
    monkeypatch.delenv("REPORT_PROFILE", raising=False)
    monkeypatch.setattr(settings, "DATA_FOLDER", tmp_path / "data")
    monkeypatch.setattr(download, "FURTHER_ATTEMPTS", 0)
    change_recipe(monkeypatch, "cifar10", download=UNREACHABLE)
    monkeypatch.setattr(sources, "_check_genuine", lambda found, wanted: None)
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
