"""Fleets of real processes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests_support.fleet_process import FleetProcesses, running_fleet
from tests_support.measuring import unmeasured_children

from mediafleet.testing import make_clip


@pytest.fixture(scope="module", autouse=True)
def unmeasured() -> Iterator[None]:
    """Leave the fleets out of the report: most are killed before they could write what was measured."""
    with unmeasured_children():
        yield


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path: a unix socket must fit below it."""
    path = Path(tempfile.mkdtemp(prefix="mf-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def fleet(folder: Path) -> Iterator[FleetProcesses]:
    """A scheduler that serves; nodes are the test's to start."""
    with running_fleet(folder) as fleet:
        yield fleet


@pytest.fixture
async def clip(folder: Path) -> Path:
    """A clip that takes some seconds to encode at the slowest speed."""
    return await make_clip(folder / "clip.mp4", seconds=8, size="640x360")
