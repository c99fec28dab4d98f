"""A worker at its master."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from foreign_scene import Scene

from mediafleet.doors.foreign import desk, line
from mediafleet.doors.foreign.worker import ForeignWorker


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tell progress often, so that no test waits for a second."""
    monkeypatch.setattr(desk, "PROGRESS_S", 0.02)
    monkeypatch.setattr(line, "PROGRESS_S", 0.02)


@pytest.fixture
async def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@pytest.fixture
async def working(scene: Scene) -> AsyncIterator[ForeignWorker]:
    """A worker at its master."""
    async with scene.master.serving(), scene.worker() as worker:
        await scene.master.worker()
        yield worker
