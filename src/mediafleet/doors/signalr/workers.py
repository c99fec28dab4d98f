"""The hub's methods: what workers of an older fleet call, and what becomes of it."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import structlog

from mediafleet.domain.errors import Conflict, InvalidRequest, MediafleetError
from mediafleet.domain.worker import check_worker_id, worker_node_id
from mediafleet.doors.signalr.hub import Caller, Hub
from mediafleet.doors.signalr.worker_link import WorkerLink, WorkerTimes
from mediafleet.doors.signalr.worker_words import read_status
from mediafleet.ops.settings import SignalrSettings
from mediafleet.scheduler.facade import Fleet

MOST_ENDPOINT = 2_000
_Int = Annotated[int, msgspec.Meta(ge=-(2**31), lt=2**31)]
"""What workers of older fleets send as a number: 32 bits with a sign."""

_log = structlog.get_logger(__name__)


class WorkerHub:
    """All workers of this instance."""

    def __init__(self, fleet: Fleet, cell: str, settings: SignalrSettings) -> None:
        """Begin without any.

        Args:
            fleet: Whose nodes they become.
            cell: Of a fleet that has only one; the first one of several.
            settings: How patient it is.
        """
        self._fleet = fleet
        self._cell = cell
        self._times = WorkerTimes(settings.worker_timeout_ms / 1000, settings.resume_ms / 1000)
        self._links: dict[str, WorkerLink] = {}

    def hub(self) -> Hub:
        """Return it as the door wants it."""
        methods = {
            "RegisterWorker": self.register,
            "UpdateWorkerStatus": self.update_status,
            "UpdateTaskProgress": self.update_progress,
            "TaskCompleted": self.complete,
            "TaskFailed": self.fail,
        }
        return Hub(methods=methods, on_disconnected=self.part)

    async def register(self, caller: Caller, worker_id: str, endpoint: str | None) -> None:
        """`RegisterWorker`: the connection is a worker's from here on; safe to repeat."""
        check_worker_id(worker_id)
        if endpoint and len(endpoint) > MOST_ENDPOINT:
            raise InvalidRequest(f"The endpoint has {len(endpoint)} characters; {MOST_ENDPOINT} are possible.")
        known = self._links.get(caller.connection_id)
        if known and known.worker != worker_id:
            raise Conflict(f"This connection is the worker {known.worker!r}; open another for {worker_id[:40]!r}.")
        if known:
            return
        node = worker_node_id(self._cell, worker_id)
        link = WorkerLink(self._fleet, caller, worker_id, node, self._times)
        # Before the fleet knows of it: where attaching breaks off halfway, it still has to be taken back.
        self._links[caller.connection_id] = link
        try:
            await link.attach(endpoint or "")
        except MediafleetError:
            del self._links[caller.connection_id]
            await link.detach(left=False)
            raise

    async def update_status(self, caller: Caller, worker_id: str, status: Any) -> None:
        """`UpdateWorkerStatus`: a word, or an object with `status` and `capabilities`."""
        link = self._link(caller)
        if worker_id != link.worker:
            raise Conflict(f"This connection is the worker {link.worker!r}; it cannot speak for another.")
        await link.hear(read_status(status, link.said))

    async def update_progress(self, caller: Caller, task_id: _Int, progress: _Int, state: str | None) -> None:
        """`UpdateTaskProgress`: 0 to 10000, and a word for what happens."""
        await self._link(caller).progress(task_id, progress, state or "")

    async def complete(self, caller: Caller, task_id: _Int, raw_path: str | None, translated_path: str | None) -> None:
        """`TaskCompleted`: answered once the result is stored, or will never be wanted; `Acknowledge` follows."""
        await self._link(caller).complete(task_id, (raw_path or "", translated_path or ""))
        caller.send_after("Acknowledge", task_id)

    async def fail(self, caller: Caller, task_id: _Int, error: str | None) -> None:
        """`TaskFailed`: like `TaskCompleted`."""
        await self._link(caller).fail(task_id, error or "")
        caller.send_after("Acknowledge", task_id)

    async def part(self, caller: Caller, error: str) -> None:
        """The connection is gone; without an error the worker has closed it itself."""
        link = self._links.pop(caller.connection_id, None)
        if link:
            await link.detach(left=not error)

    def _link(self, caller: Caller) -> WorkerLink:
        link = self._links.get(caller.connection_id)
        if link is None:
            raise InvalidRequest("This connection is no worker yet; call RegisterWorker(workerId, endpoint) first.")
        return link
