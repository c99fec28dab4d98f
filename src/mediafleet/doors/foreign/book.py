"""The tasks of masters that are not delivered yet, one small file each, so that they survive this process."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec
import structlog

from mediafleet.doors.foreign.orders import Order, TaskId, key_of
from mediafleet.node.durable import TEMPORARY_SUFFIX, write_durably

if TYPE_CHECKING:
    from pathlib import Path

_log = structlog.get_logger(__name__)


class Stage(StrEnum):
    """How far a task is."""

    ACCEPTED = "accepted"
    """Heard of; it may have no job yet."""
    RUNNING = "running"
    """It has a job."""
    FINISHED = "finished"
    """The files are in their places, or it failed; the master is to be told."""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One task of a master; it is forgotten once it is delivered."""

    master: str
    order: Order
    stage: Stage = Stage.ACCEPTED
    job: str = ""
    error: str = ""
    """Why it failed, where it is finished and did."""
    finished_ms: int = 0
    """Milliseconds since 1970."""
    is_stopped: bool = False
    """The master does not want it any more: one attempt to tell of its end is enough."""

    @property
    def key(self) -> str:
        """Its name: the same order of the same master has the same."""
        return key_of(self.master, self.order)


class Book:
    """A folder of entries; one process owns it. Nothing in memory depends on a write having worked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._entries: dict[str, Entry] = {}
        self._turn = asyncio.Lock()

    def load(self) -> list[Entry]:
        """Return the entries of earlier starts; set unreadable files aside as `.corrupt`. Blocks."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for leftover in self._folder.glob(f"*{TEMPORARY_SUFFIX}"):
            leftover.unlink(missing_ok=True)
        paths = sorted(self._folder.glob("*.json"), key=lambda path: (path.stat().st_mtime_ns, path.name))
        self._entries = {entry.key: entry for path in paths if (entry := _read(path))}
        return self.entries

    @property
    def entries(self) -> list[Entry]:
        """All that is known, oldest first."""
        return list(self._entries.values())

    def get(self, key: str) -> Entry | None:
        """Return the entry of that name, if it is known."""
        return self._entries.get(key)

    def find(self, master: str, task: TaskId) -> list[Entry]:
        """Return the entries of a master under its id of a task; there may be several for other arguments."""
        return [entry for entry in self.entries if (entry.master, entry.order.task) == (master, task)]

    async def put(self, entry: Entry) -> None:
        """Keep an entry in place of the earlier one of its name.

        A full or broken disk costs only the survival of a restart.
        """
        self._entries[entry.key] = entry
        await self._follow(entry.key)

    async def remove(self, key: str) -> None:
        """Forget an entry; nothing happens if it is not there."""
        self._entries.pop(key, None)
        await self._follow(key)

    async def _follow(self, key: str) -> None:
        # Shielded: a cancel would else leave the file behind what is known, or a line for the lock without its holder.
        await asyncio.shield(self._write(key))

    async def _write(self, key: str) -> None:
        async with self._turn:
            # Whatever it is by now: of two changes the later one counts, in whatever order they come here.
            entry = self._entries.get(key)
            path = self._folder / f"{key}.json"
            try:
                if entry is None:
                    path.unlink(missing_ok=True)
                else:
                    await asyncio.to_thread(write_durably, path, msgspec.json.encode(entry))
            except OSError as error:
                _log.error("a task of the master is not written down", path=str(path), reason=str(error))


def _read(path: Path) -> Entry | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Entry)
    except (msgspec.DecodeError, UnicodeDecodeError, OSError) as error:
        _log.warning("an unreadable task of a master is set aside", path=str(path), reason=str(error))
        path.replace(path.with_suffix(".corrupt"))
        return None
