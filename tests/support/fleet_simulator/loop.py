"""An event loop whose time jumps to the next timer, and which can stop all that belongs to one process of the fleet."""

from __future__ import annotations

import asyncio
import gc
import selectors
import sys
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field
from typing import Any

START_S = 1_800_000_000.0
"""Where virtual time begins, seconds since 1970."""


@dataclass(eq=False)
class Process:
    """What would be a process of its own: its callbacks run while it is not stopped, and never after it was killed."""

    name: str
    stopped: bool = False
    killed: bool = False
    parked: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])


WORLD = Process("world")
"""What is no part of the fleet: networks, clients that watch, faults."""
current: ContextVar[Process] = ContextVar("current", default=WORLD)


class Stuck(RuntimeError):
    """Nothing is left that could ever happen."""


class _NeverWaits(selectors.SelectSelector):
    """Tells the loop that no socket is ready; where a real one would wait, time moves."""

    def __init__(self, advance: Callable[[float], None]) -> None:
        super().__init__()
        self._advance = advance

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Stuck("Every task waits for another one.")
        if timeout > 0:
            self._advance(timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs what is ready, then jumps to the next timer. Stopped processes keep their callbacks for later."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self.tasks: list[asyncio.Task[Any]] = []
        """All that have not ended. The tasks of a killed process are kept as well: collecting one would run its code."""
        super().__init__(_NeverWaits(self._pass))
        self.set_task_factory(self._make_task)
        self._prune_at = 1_000

    def _make_task(self, loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
        if len(self.tasks) >= self._prune_at:
            self.tasks = [task for task in self.tasks if not task.done()]
            self._prune_at = 2 * len(self.tasks) + 1_000
        self.tasks.append(asyncio.Task(work, loop=loop, **options))
        return self.tasks[-1]

    def _pass(self, seconds: float) -> None:
        self._seconds += seconds

    def time(self) -> float:
        """Return virtual seconds since the loop was made."""
        return self._seconds

    def wall_s(self) -> float:
        """Return the virtual date, seconds since 1970."""
        return START_S + self._seconds

    # The two doors by which every callback comes in; asyncio's tasks and futures use them as well, each with the
    # context of whoever waits. So a process is stopped as SIGSTOP does it: in the middle of whatever it does.
    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Context | None = None) -> asyncio.Handle:
        """Run a callback soon, unless its process is stopped."""
        owner = _owner(context)
        if owner.killed:
            return asyncio.Handle(_nothing, (), self, context)
        if owner.stopped:
            kept = copy_context() if context is None else context
            handle = asyncio.Handle(callback, args, self, kept)
            owner.parked.append(lambda: self._resume(handle, callback, args, kept))
            return handle
        return super().call_soon(callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Run a callback at a time, or as soon after it as its process goes on."""
        owner = _owner(context)
        if owner is WORLD:
            return super().call_at(when, callback, *args, context=context)
        kept = copy_context() if context is None else context
        timer: list[asyncio.TimerHandle] = []

        def fire() -> None:
            if owner.killed:
                return
            if owner.stopped:
                owner.parked.append(lambda: self._resume(timer[0], callback, args, kept))
            else:
                callback(*args)

        timer.append(super().call_at(when, fire, context=kept))
        return timer[0]

    def _resume(
        self, handle: asyncio.Handle, callback: Callable[..., Any], args: tuple[Any, ...], kept: Context
    ) -> None:
        # What was parked may have been cancelled since, by another callback of its process.
        if not handle.cancelled():
            super().call_soon(_unless_cancelled, handle, callback, args, context=kept)

    def stop_process(self, process: Process) -> None:
        """Stop a process, like SIGSTOP."""
        process.stopped = True

    def resume_process(self, process: Process) -> None:
        """Let a process go on, like SIGCONT; its timers that ran out meanwhile fire now, oldest first."""
        if process.killed:
            return
        process.stopped = False
        parked, process.parked = process.parked, []
        for resume in parked:
            resume()

    def kill_process(self, process: Process) -> None:
        """End a process without a word, like SIGKILL: none of its code runs again, no `finally` either."""
        process.killed = True
        process.parked.clear()

    def end(self) -> None:
        """Close the loop and let go of all tasks, those that could not end included."""
        real_hook = sys.unraisablehook
        # What coroutines of killed processes say while they are collected is no news.
        sys.unraisablehook = _nothing
        self.set_exception_handler(_nothing)
        for task in self.tasks:
            setattr(task, "_log_destroy_pending", False)  # noqa: B010 - asyncio's own way, not in its types
        self.tasks.clear()
        self.close()
        gc.collect()
        sys.unraisablehook = real_hook


def _owner(context: Context | None) -> Process:
    return current.get() if context is None else context.get(current, WORLD)


def _nothing(*_: object) -> None:
    """Stand in for what a dead process would have done."""


def _unless_cancelled(handle: asyncio.Handle, callback: Callable[..., Any], args: tuple[Any, ...]) -> None:
    if not handle.cancelled():
        callback(*args)
