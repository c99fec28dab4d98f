"""Opens the fleet that a client command works with: a named one, the local one, or one started for the call."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mediafleet.cli._local import FleetRecord, dismiss_fleet, ensure_fleet, wait_until_gone
from mediafleet.client import FleetClient
from mediafleet.domain.errors import FleetEnding, SchedulerUnavailable, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from mediafleet.cli._options import ClientOptions
    from mediafleet.domain.errors import QueueFull

LOCAL_PATIENCE_S = 10.0
"""How long a local fleet may be silent: it ended, unless somebody starts it again."""
REMOTE_PATIENCE_S = 60.0
"""How long a named scheduler may be silent: it may be restarting."""
_HOLD_S = 10.0
"""Longest wait for the connection that holds a local fleet."""
_KNOCK_S = 1.0
"""How long a local fleet that was just found is tried."""
_JOIN_TRIES = 3
"""A found fleet may end while we knock; more than two in a row is no accident."""


@dataclass(frozen=True)
class Fleet:
    """An open fleet."""

    client: FleetClient
    local: FleetRecord | None = None
    """The record of a fleet on this machine that was found or started; None for a named server."""
    is_new: bool = False
    """This command started it."""

    @property
    def patience_s(self) -> float:
        """How long it may be away before work that follows it gives up."""
        return LOCAL_PATIENCE_S if self.local else REMOTE_PATIENCE_S

    def explain(self, error: Unavailable) -> Unavailable:
        """Return the error with the reason that is known here, if the fleet of this machine has ended."""
        if self.local is None or self.local.is_running:
            return error
        return SchedulerUnavailable(
            f"The local fleet ended unexpectedly (process {self.local.pid} is gone). What it accepted goes on when it is "
            "started again: run `mediafleet up`, then `mediafleet jobs`."
        )


class _FullNotice:
    """Says once why a command waits; a hundred files that are handed in together all wait for the same thing."""

    def __init__(self) -> None:
        self._was_said = False

    def __call__(self, error: QueueFull, wait_s: float) -> None:
        if not self._was_said:
            print(f"{error.message} Trying again in {wait_s:.0f} s.", file=sys.stderr)
        self._was_said = True


@asynccontextmanager
async def open_fleet(options: ClientOptions, *, nodes: int = 1) -> AsyncGenerator[Fleet]:
    """Open the fleet that the options mean; one that was started for the call stays at least as long as the block.

    Cancelled, it ends a fleet that was started for the call, unless another client is there.

    Args:
        nodes: How many nodes a fleet that is started for the call has.

    Raises:
        ConfigError: Settings or token file cannot work.
        SchedulerUnavailable: A local fleet could not be started.
    """
    settings = options.settings()
    if options.server:
        async with FleetClient(options.server, settings.server.token, on_full=_FullNotice()) as client:
            yield Fleet(client)
        return
    started: FleetRecord | None = None

    async def ensure() -> tuple[FleetRecord, bool]:
        nonlocal started
        record, is_new = await ensure_fleet(settings.data, options, nodes=nodes)
        # Kept over further tries: they find the fleet that the first one started.
        started = record if is_new else started
        return record, is_new

    try:
        async with _open_local(ensure, settings.server.token) as fleet:
            try:
                yield fleet
            except Unavailable as error:
                raise fleet.explain(error) from error
    except asyncio.CancelledError:
        # Only now, with our connection closed: the fleet looks whether anybody else is there.
        if started is not None:
            await dismiss_fleet(settings.data, started)
        raise


@asynccontextmanager
async def _open_local(ensure: Callable[[], Awaitable[tuple[FleetRecord, bool]]], token: str) -> AsyncGenerator[Fleet]:
    for tries_left in reversed(range(_JOIN_TRIES)):
        record, is_new = await ensure()
        # The user's token goes first: one that is wrong must be told, not healed by the recorded one.
        async with FleetClient(record.url, token or record.token, on_full=_FullNotice()) as client:
            held = asyncio.Event()
            hold = asyncio.create_task(_hold(client, held), name="hold the local fleet")
            try:
                if not await _is_held(hold, held) and tries_left:
                    await _make_way(hold, record)
                    continue
                yield Fleet(client, record, is_new)
                return
            finally:
                # Waited for, because the session below it is closed next.
                hold.cancel()
                with suppress(asyncio.CancelledError, Unavailable):
                    await hold


async def _is_held(hold: asyncio.Task[None], held: asyncio.Event) -> bool:
    waiter = asyncio.create_task(held.wait())
    try:
        await asyncio.wait({hold, waiter}, timeout=_HOLD_S, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiter.cancel()
    # An absent fleet is worth another try; a refused token would only be refused again.
    if hold.done() and (error := hold.exception()) and not isinstance(error, Unavailable):
        raise error
    return held.is_set()


async def _make_way(hold: asyncio.Task[None], record: FleetRecord) -> None:
    """Wait for the end of a fleet that said that it ends; another can serve here only then."""
    if hold.done() and isinstance(hold.exception(), FleetEnding):
        await wait_until_gone(record)


async def _hold(client: FleetClient, held: asyncio.Event) -> None:
    """Keep a connection open that counts as a client of the fleet, as long as this command runs."""
    while True:
        try:
            async for _ in client.feed(hold=True).follow(patience_s=_KNOCK_S, on_open=held.set):
                pass
        # Once it was held, a lost connection ends nothing here: the command's own requests have their own patience.
        except Unavailable:
            if not held.is_set():
                raise
