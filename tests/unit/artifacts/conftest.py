"""A client of the artifact routes, and files to move."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import aiohttp
import pytest
import stamina
from artifact_routes import CONTENT, TOKEN, Scheduler, serve
from tests_support.shelf import NEW, SetClock, Shelf

from mediafleet.artifacts.transfer import ArtifactClient


@pytest.fixture(autouse=True)
def retries_without_waiting() -> Iterator[None]:
    with stamina.set_testing(True, attempts=3):
        yield


@pytest.fixture
def scheduler() -> Scheduler:
    return Scheduler()


@pytest.fixture
async def address(scheduler: Scheduler) -> AsyncGenerator[str]:
    async with serve(scheduler) as address:
        yield address


@pytest.fixture
async def client(address: str) -> AsyncGenerator[ArtifactClient]:
    async with aiohttp.ClientSession() as session:
        yield ArtifactClient(session, address, TOKEN)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.mkv"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "result.mkv"


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    folder = tmp_path / "media"
    folder.mkdir()
    made = tmp_path / "made.mp4"
    made.write_bytes(NEW)
    return Shelf(folder, made, SetClock(), tmp_path / "data")
