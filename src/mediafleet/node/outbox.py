"""Outcomes that the scheduler has not confirmed, one file each, so that they survive the node's end.

Artifacts were stored before their outcome comes here; the outbox holds only small records.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

import msgspec
import structlog

from mediafleet.domain.frames import Outcome
from mediafleet.node.durable import TEMPORARY_SUFFIX, write_durably

if TYPE_CHECKING:
    from pathlib import Path

_log = structlog.get_logger(__name__)


class Outbox:
    """A folder of outcomes; one agent owns it. Nothing in memory depends on a write having worked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept: set[str] = set()
        folder.mkdir(parents=True, exist_ok=True)

    def load(self) -> list[Outcome]:
        """Return the outcomes of earlier starts, oldest first; set unreadable files aside as `.corrupt`."""
        for leftover in self._folder.glob(f"*{TEMPORARY_SUFFIX}"):
            leftover.unlink(missing_ok=True)
        paths = sorted(self._folder.glob("*.json"), key=lambda path: (path.stat().st_mtime_ns, path.name))
        outcomes = [outcome for path in paths if (outcome := _read(path))]
        self._kept.update(outcome.grant for outcome in outcomes)
        return outcomes

    async def put(self, outcome: Outcome) -> None:
        """Keep an outcome until it is removed.

        A full or broken disk costs only the survival of a restart: the outcome is still delivered.
        """
        # Before the first wait: the scheduler may confirm the outcome while it is being written.
        self._kept.add(outcome.grant)
        path = self._path(outcome.grant)
        try:
            # Without the shield a cancel would take the write out of the line for a thread before it has begun.
            await asyncio.shield(asyncio.to_thread(write_durably, path, msgspec.json.encode(outcome)))
        except OSError as error:
            _log.error("outcome not written to the outbox", task=outcome.task, reason=str(error))
        if outcome.grant not in self._kept:
            # Confirmed while it was being written.
            path.unlink(missing_ok=True)

    def remove(self, grant: str) -> None:
        """Drop the outcome of a grant; nothing happens if it is not there."""
        self._kept.discard(grant)
        self._path(grant).unlink(missing_ok=True)

    def _path(self, grant: str) -> Path:
        # A grant comes from the network: its hash is a safe file name whatever it contains.
        return self._folder / f"{hashlib.blake2b(grant.encode(), digest_size=16).hexdigest()}.json"


def _read(path: Path) -> Outcome | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Outcome)
    except (msgspec.DecodeError, UnicodeDecodeError, OSError) as error:
        _log.warning("outbox file is unreadable and set aside", path=str(path), reason=str(error))
        # Kept for whoever wants to know why: it may be the only trace of hours of work.
        path.replace(path.with_suffix(".corrupt"))
        return None
