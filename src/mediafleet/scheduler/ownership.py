"""Which live sessions are this instance's: claimed, renewed while it lives, given up or lost to another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from mediafleet.domain.errors import Conflict, InvalidRequest, StoreUnavailable, Unavailable
from mediafleet.domain.ids import is_id
from mediafleet.store.sessions import SessionClaim, SessionStore, SessionWord

RENEWALS_PER_LEASE = 3
MOST_AT_ONCE = 256
"""Sessions that one call renews: more would hold the server for too long."""

log = structlog.get_logger(__name__)


class Ownership:
    """The sessions of one instance. What it believes to have may be another's by now: the store judges each write."""

    def __init__(self, instance: str, store: SessionStore, *, on_lost: Callable[[str], None] = lambda _: None) -> None:
        """Begin with none.

        Args:
            on_lost: Told of each session that another has, or may have, from now on; it is not to be served any more.
        """
        self.instance = instance
        self._store = store
        self._every_s = store.ttl_ms / RENEWALS_PER_LEASE / 1000
        self._on_lost = on_lost
        self._epochs: dict[str, int] = {}
        self._wake = asyncio.Event()

    @property
    def sessions(self) -> tuple[str, ...]:
        """Those that it has, as far as it knows."""
        return tuple(self._epochs)

    async def claim(self, session: str) -> SessionClaim:
        """Take a session, from its owner if that is gone, and go on where that had got to; safe to repeat.

        Raises:
            InvalidRequest: It is no id of a session.
            Conflict: Another instance has it; the sentence names it.
            Unavailable: This instance has not said lately that it lives.
            StoreUnavailable: Nobody can tell.
        """
        if not is_id(session, "s"):
            raise InvalidRequest(f"{session[:100]!r} is no id of a session.")
        found = await self._store.claim(session, self.instance)
        if not found.owner:
            raise Unavailable("This instance was asleep; ask again in a moment.")
        if found.owner != self.instance:
            self._lose(session)
            raise Conflict(f"The session {session[:100]!r} is served by {found.owner}.")
        self._epochs[session] = found.epoch
        self._wake.set()
        return found

    async def write(self, session: str, *, next_index: int | None = None, acknowledged: int | None = None) -> None:
        """Write how far a session is, and renew its lease.

        Raises:
            Conflict: It is not this instance's any more; nothing was written.
            StoreUnavailable: It may have been written.
        """
        epoch = self._epochs.get(session, 0)
        word = SessionWord(session, epoch, next_index, acknowledged)
        if not epoch or await self._store.renew(self.instance, [word]):
            self._lose(session, epoch)
            raise Conflict(f"The session {session[:100]!r} is not this instance's any more.")

    async def release(self, session: str, *, is_over: bool) -> None:
        """Let another instance take a session, or forget one that is over. Raises StoreUnavailable; safe to repeat."""
        epoch = self._epochs.get(session)
        if epoch is not None:
            await self._store.release(session, self.instance, epoch, is_over=is_over)
            # A claim that was answered meanwhile has a later epoch, and stands.
            if self._epochs.get(session) == epoch:
                del self._epochs[session]

    async def release_all(self) -> None:
        """Let others take all of them, because this instance ends; what the store cannot be told ends by itself."""
        try:
            for session in self.sessions:
                await self.release(session, is_over=False)
        except StoreUnavailable as error:
            log.warning("leases of sessions end by themselves", reason=error.message)

    async def step(self) -> None:
        """Renew all leases once there are any, and wait. Raises StoreUnavailable."""
        await self._wake.wait()
        await self.renew()
        if not self._epochs:
            self._wake.clear()
        await asyncio.sleep(self._every_s)

    async def renew(self) -> None:
        """Renew all leases now. Raises StoreUnavailable."""
        held = list(self._epochs.items())
        for start in range(0, len(held), MOST_AT_ONCE):
            part = dict(held[start : start + MOST_AT_ONCE])
            for session in await self._store.renew(self.instance, [SessionWord(*one) for one in part.items()]):
                self._lose(session, part[session])

    def _lose(self, session: str, epoch: int | None = None) -> None:
        # A claim that came in meanwhile has a later epoch, and stands.
        if session not in self._epochs or epoch not in (None, self._epochs[session]):
            return
        del self._epochs[session]
        log.warning("a session is not this instance's any more", session=session)
        self._on_lost(session)
