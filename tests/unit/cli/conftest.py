"""A command line against a fake scheduler."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests_support.command_line import Ran, RunCli
from tests_support.fake_scheduler import FakeScheduler

from mediafleet.cli import main


@pytest.fixture
def scheduler() -> Iterator[FakeScheduler]:
    with FakeScheduler() as running:
        yield running


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, and no setting from outside."""
    for name in ("MEDIAFLEET_SERVER", "MEDIAFLEET_TOKEN", "MEDIAFLEET_DATA", "MEDIAFLEET_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


@pytest.fixture
def bare(workplace: Path, capfd: pytest.CaptureFixture[str]) -> RunCli:
    """Runs a command line as it is."""

    def run(*words: str) -> Ran:
        capfd.readouterr()
        code = main(words)
        out, err = capfd.readouterr()
        return Ran(code, out, err)

    return run


@pytest.fixture
def cli(bare: RunCli, scheduler: FakeScheduler) -> RunCli:
    """Runs a command line against the fake scheduler."""

    def run(command: str, *words: str) -> Ran:
        return bare(command, "--server", scheduler.url, *words)

    return run
