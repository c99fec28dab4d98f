"""A SignalR master on our own hub that does what a test wants: drops, restarts, forgets, repeats, refuses."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from mediafleet.domain.errors import Conflict
from mediafleet.doors.http.application import Extras, build_application
from mediafleet.doors.http.server import HttpServer
from mediafleet.doors.signalr.door import SignalrDoor
from mediafleet.doors.signalr.hub import Caller, Hub
from mediafleet.ops.settings import ServerSettings
from mediafleet.scheduler.facade import Fleet

PATIENCE_S = 60.0


class StubMaster:
    """What workers told it, in order; it hands out tasks and nothing else."""

    def __init__(self, *, token: str = "") -> None:
        self.token = token
        self.caller: Caller | None = None
        self.port = 0
        self.registered: list[tuple[str, str]] = []
        self.statuses: list[Any] = []
        self.progress: list[tuple[int, int, str]] = []
        self.completed: list[tuple[int, str, str]] = []
        self.failed: list[tuple[int, str]] = []
        self.refusals = 0
        """How many results it still answers with an error."""
        self.drops = 0
        """How many results it still takes without an answer, and ends the connection."""
        self.on_completed: Callable[[Caller], object] = lambda _: None
        self.on_failed: Callable[[Caller], object] = lambda _: None
        self._news = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/signalrhub"

    @property
    def done(self) -> Counter[int]:
        """How often each task was completed."""
        return Counter(task for task, _, _ in self.completed)

    def hub(self) -> Hub:
        return Hub(
            methods={
                "RegisterWorker": self._register,
                "UpdateWorkerStatus": self._note_status,
                "UpdateTaskProgress": self._note_progress,
                "TaskCompleted": self._complete,
                "TaskFailed": self._fail,
            },
            on_disconnected=self._disconnected,
        )

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[None]:
        """Be there; the second time at the same address."""
        extras = Extras(signalr=SignalrDoor(self.hub()))
        # The hub asks nothing of a fleet.
        application = build_application(cast("Fleet", None), ServerSettings(token=self.token), extras)
        async with HttpServer(application, host="127.0.0.1", port=self.port) as server:
            self.port = server.port
            yield
        self.caller = None

    async def until(self, claim: Callable[[], Any]) -> Any:
        """Wait until a claim about what was told holds; return what it gives."""
        async with asyncio.timeout(PATIENCE_S):
            while not (found := claim()):
                self._news.clear()
                await self._news.wait()
        return found

    async def worker(self) -> Caller:
        """Return the worker that is connected, or the next."""
        return await self.until(lambda: self.caller if self.statuses else None)

    def forget(self) -> None:
        """Forget all that was told."""
        for told in (self.registered, self.statuses, self.progress, self.completed, self.failed):
            cast("list[Any]", told).clear()

    async def start(self, task: int, video: Path, raw: Path, translated: Path, language: str = "en") -> None:
        """Hand a task out."""
        (await self.worker()).send("StartSubtitize", task, str(video), str(raw), str(translated), language)

    async def _register(self, caller: Caller, worker_id: str, endpoint: str) -> None:
        self.caller = caller
        self._note(self.registered, (worker_id, endpoint))

    async def _note_status(self, caller: Caller, worker_id: str, status: Any) -> None:
        self._note(self.statuses, status)

    async def _note_progress(self, caller: Caller, task: int, progress: int, state: str) -> None:
        self._note(self.progress, (task, progress, state))

    async def _complete(self, caller: Caller, task: int, raw: str, translated: str) -> None:
        self.on_completed(caller)
        self._judge(caller)
        self._note(self.completed, (task, raw, translated))
        caller.send_after("Acknowledge", task)

    async def _fail(self, caller: Caller, task: int, error: str) -> None:
        self.on_failed(caller)
        self._judge(caller)
        self._note(self.failed, (task, error))

    def _judge(self, caller: Caller) -> None:
        if self.drops:
            self.drops -= 1
            caller.close("The master falls over.")
        if self.refusals:
            self.refusals -= 1
            self._news.set()
            raise Conflict("The master is not in the mood.")

    async def _disconnected(self, caller: Caller, error: str) -> None:
        if self.caller is caller:
            self.caller = None
        self._news.set()

    def _note(self, told: list[Any], what: Any) -> None:
        told.append(what)
        self._news.set()
