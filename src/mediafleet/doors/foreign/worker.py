"""A node as the worker of a master: all parts of this package together, as one `async with`."""

from __future__ import annotations

import asyncio
import secrets
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mediafleet.domain.clock import SystemClock
from mediafleet.domain.path_map import PathMap
from mediafleet.doors.foreign.book import Book, Stage
from mediafleet.doors.foreign.choice import MasterChoice, shown
from mediafleet.doors.foreign.desk import Desk
from mediafleet.doors.foreign.line import MasterLine, Me, Workplace
from mediafleet.doors.foreign.places import Places
from mediafleet.node.durable import write_durably

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from mediafleet.client import FleetClient
    from mediafleet.ops.settings import Settings

FOLDER = "master"
"""Of all that is kept here, below the data directory."""


@dataclass(frozen=True)
class ForeignWorker:
    """What a node's API asks and changes; `working_for_masters` makes it."""

    choice: MasterChoice
    line: MasterLine
    place: Workplace

    def describe(self) -> dict[str, Any]:
        """Return how things stand with the master."""
        finished = [entry for entry in self.place.book.entries if entry.stage is Stage.FINISHED]
        return {
            "is_connected": self.line.is_connected,
            "master_url": shown(self.choice.url),
            "status": self.place.status(len(finished)),
            "worker_id": self.place.me.worker_id,
            "trouble": self.line.trouble,
            "tasks": {"running": self.place.desk.running, "undelivered": len(finished)},
        }


@asynccontextmanager
async def working_for_masters(settings: Settings, client: FleetClient, endpoint: str) -> AsyncGenerator[ForeignWorker]:
    """Work for the master of the settings, or the one that was set last, inside the block.

    Args:
        client: Of the scheduler that tasks are handed to; open.
        endpoint: Address of the node's own API, for the master to show.
    """
    folder = settings.data / FOLDER
    choice = MasterChoice(folder / "choice.json", settings.master)
    book = Book(folder / "tasks")
    clock = SystemClock()
    places = Places(PathMap(settings.node.paths), settings.master.roots)
    desk = Desk(client, book, places, clock, spoken=settings.master.language)
    worker_id = await asyncio.to_thread(_claim_name, folder, settings.node.name)
    await asyncio.to_thread(choice.load)
    place = Workplace(Me(worker_id, endpoint), desk, book, clock, settings.master)
    line = MasterLine(choice, place)
    await desk.resume()
    running = asyncio.create_task(line.run(), name="master")
    try:
        yield ForeignWorker(choice, line, place)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await desk.close()


def _claim_name(folder: Path, name: str) -> str:
    """Return the name by which masters know this data directory: the same after a restart, another for each. Blocks."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / "worker"
    try:
        number = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        number = ""
    if not number.isalnum():
        number = secrets.token_hex(4)
        write_durably(path, number.encode())
    return f"{name or socket.gethostname()}-{number}"
