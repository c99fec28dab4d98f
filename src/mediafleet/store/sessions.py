"""Ownership of live sessions in the store's verbs; what each script does stands in its header."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from mediafleet.store.connection import translate_errors

if TYPE_CHECKING:
    from mediafleet.store.store import Store


class SessionClaim(msgspec.Struct, frozen=True):
    """Reply of `claim_session`: who has a session, and how far it is."""

    owner: str
    """Empty: nobody, since the one who asked has not said lately that it lives."""
    epoch: int
    """The fencing token of that owner: rises each time the session changes hands."""
    next: int = 0
    """Index of the next utterance."""
    acknowledged: int = 0
    """The last index that its client has confirmed."""


class SessionWord(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an owner says of a session; None leaves what was said."""

    id: str
    epoch: int
    next: int | None = None
    acknowledged: int | None = None


class SessionsRenewed(msgspec.Struct, frozen=True):
    """Reply of `renew_sessions`."""

    lost: list[str]


class SessionReleased(msgspec.Struct, frozen=True):
    """Reply of `release_session`."""

    released: bool


class SessionStore:
    """Sessions of one cell. Every method raises StoreUnavailable, and is safe to repeat."""

    def __init__(self, store: Store, *, ttl_ms: int, gap_ms: int) -> None:
        """Take the parts.

        Args:
            ttl_ms: How long a lease lasts without being renewed.
            gap_ms: A pause of the reaper longer than this is an outage, in which no lease ends.
        """
        self._store = store
        self.ttl_ms = ttl_ms
        self._times = {"ttl_ms": ttl_ms, "gap_ms": gap_ms}

    async def claim(self, session: str, instance: str) -> SessionClaim:
        """Take a session for an instance if it is free; return who has it now."""
        return await self._store.run("claim_session", SessionClaim, id=session, instance=instance, **self._times)

    async def renew(self, instance: str, words: Sequence[SessionWord]) -> list[str]:
        """Renew leases and write what is said; return the sessions that are the instance's no more."""
        given: dict[str, Any] = {"instance": instance, "sessions": words, **self._times}
        return (await self._store.run("renew_sessions", SessionsRenewed, **given)).lost

    async def release(self, session: str, instance: str, epoch: int, *, is_over: bool) -> bool:
        """Let another claim a session, or forget one that is over; False if it was not the instance's any more."""
        given: dict[str, Any] = {"id": session, "instance": instance, "epoch": epoch, "is_over": is_over}
        return (await self._store.run("release_session", SessionReleased, **given)).released

    async def of_instance(self, instance: str) -> list[str]:
        """Return the sessions that an instance has, sorted."""
        client: Any = self._store.redis
        with translate_errors():
            found = await client.smembers(self._store.keys.instance_sessions(instance))
        return sorted(name.decode() for name in found)
