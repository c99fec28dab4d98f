"""One start of a node at work: carries out what `AttemptTable` decides, and owns every task that this takes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

import structlog

from mediafleet.domain.frames import Registered, SetLogLevels
from mediafleet.node.runner import bind_attempt
from mediafleet.node.state import AttemptTable, Ending, Forget, Instruction, Keep, Send, Start, Stop
from mediafleet.ops.log_levels import apply_levels

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable
    from types import TracebackType

    from mediafleet.domain.clock import Clock
    from mediafleet.domain.frames import NodeFrame, SchedulerFrame
    from mediafleet.node.connection import Connection
    from mediafleet.node.outbox import Outbox
    from mediafleet.node.runner import Runner

_GIVE_UP_S = 15.0
"""How long a handler may resist its cancel when the node ends; its children are gone long before."""

_log = structlog.get_logger(__name__)


class Duty:
    """Attempts, outbox and link of one start. Leaving the block stops all work without reporting it."""

    def __init__(
        self, table: AttemptTable, *, outbox: Outbox, runner: Runner, clock: Clock, load: Callable[[], dict[str, float]]
    ) -> None:
        self.table = table
        self._outbox = outbox
        self._runner = runner
        self.board = runner.board
        self._clock = clock
        self._load = load
        self._connection: Connection | None = None
        self._handlers: dict[str, asyncio.Task[Ending]] = {}
        self._owned: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Stopping a handler ends in `finish`, which may own another task: hence a loop until none is left.
        self.apply(self.table.abort())
        while self._owned:
            _, pending = await asyncio.wait(self._owned, timeout=_GIVE_UP_S)
            if pending:
                _log.error(
                    "handlers resist being stopped and are given up", tasks=[task.get_name() for task in pending]
                )
                return

    # --- what happens ---

    def handle(self, frame: SchedulerFrame) -> None:
        """Do what a frame asks for."""
        match frame:
            case Registered():
                # A scheduler may have set or taken back levels while there was no link.
                _follow_levels(frame.log_levels)
            case SetLogLevels():
                _follow_levels(frame.levels)
            case _:
                pass
        self.apply(self.table.handle(frame, now_s=self._clock.monotonic()))

    def beat(self) -> None:
        """Send the heartbeat that is due."""
        self.apply(self.table.beat(now_s=self._clock.monotonic(), load=self._load()))

    def link(self, connection: Connection) -> None:
        """Begin to use a link that has just been registered."""
        # In this order: handling the registration sends what the outbox holds, over this link.
        self._connection = connection
        self.handle(connection.registered)

    def unlink(self) -> None:
        """Note that the link has ended; work goes on."""
        self._connection = None
        # What was posted to the old link may be lost, so the next one is sent every outcome that is not confirmed.
        self.table.lose_link()

    def post(self, frame: NodeFrame) -> None:
        """Send a frame if there is a link."""
        if self._connection:
            self._connection.post(frame)

    async def until(self, claim: Callable[[], bool], *, seconds: float | None = None) -> bool:
        """Wait until the claim holds; return whether it does in time. It is looked at after every change here."""
        try:
            async with asyncio.timeout(seconds):
                while not claim():
                    # Cleared after the claim was looked at and before anything is
                    # awaited, so no change can fall in between.
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def note_change(self) -> None:
        """Have the claims of `until` looked at again."""
        self._changed.set()

    async def flush(self) -> None:
        """Wait until what was posted is sent, as far as there is a link."""
        if self._connection:
            await self._connection.flush()

    # --- what is done about it ---

    def apply(self, instructions: Iterable[Instruction]) -> None:
        """Carry out the table's instructions. Never waits, so that no cancel can lose half of them."""
        for instruction in instructions:
            match instruction:
                case Send(frame):
                    self.post(frame)
                case Start():
                    self._start(instruction)
                case Stop(grant):
                    self._handlers[grant].cancel()
                case Keep(outcome):
                    if outcome.error:
                        # Job and number of the attempt are bound where it is seen through.
                        reason = outcome.error.message
                        _log.warning("attempt failed", task=outcome.task, code=outcome.error.code, reason=reason)
                    # Not waited for: a slow disk must not hold up heartbeats, and
                    # the outcome is sent beside being written.
                    self._own(self._outbox.put(outcome), name=f"keep {outcome.task}")
                case Forget(grant):
                    self._outbox.remove(grant)
        self._changed.set()

    def _own(self, work: Coroutine[Any, Any, None], *, name: str) -> None:
        # The loop itself holds tasks only weakly: one that nobody refers to may be collected before it ends.
        task = asyncio.create_task(work, name=name)
        self._owned.add(task)
        task.add_done_callback(self._disown)

    def _disown(self, task: asyncio.Task[None]) -> None:
        self._owned.discard(task)
        self._changed.set()
        if not task.cancelled() and (error := task.exception()):
            _log.error("a part of the node failed", part=task.get_name(), exc_info=error)

    def _start(self, start: Start) -> None:
        # Two tasks: the inner one may be cancelled, even before its first step, and the outer one still reports it.
        task, grant = start.assignment.task, start.assignment.grant
        self._handlers[grant] = asyncio.create_task(self._runner.run(start), name=f"handler {task}")
        self._own(self._see_through(start), name=f"attempt {task}")

    async def _see_through(self, start: Start) -> None:
        """Wait for the end of one attempt and report it."""
        bind_attempt(start.assignment)
        grant = start.assignment.grant
        handler = self._handlers[grant]
        await asyncio.wait([handler])
        # Gone before the outcome is told, so that no instruction can stop a handler that has ended.
        del self._handlers[grant]
        self.board.forget(grant)
        ending = None if handler.cancelled() else handler.result()
        self.apply(self.table.finish(grant, ending, now_s=self._clock.monotonic()))


def _follow_levels(levels: dict[str, str]) -> None:
    if apply_levels(levels):
        _log.info("log levels changed", levels=levels)
