"""The inbox of an instance: a stream with one consumer group, so that another may go on with what it left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

from mediafleet.store.cell_records import Message
from mediafleet.store.connection import translate_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediafleet.store import Store

GROUP = "owners"

Entries = list[tuple[bytes, dict[bytes, bytes]]]


class Inbox:
    """What other instances sent to this one. Each message is delivered once or more."""

    def __init__(self, store: Store, instance: str) -> None:
        self.instance = instance
        self._redis: Any = store.redis  # redis-py's types serve its sync and async halves at once
        self._keys = store.keys
        self._is_open = False

    async def read(self, *, count: int, block_ms: int) -> list[tuple[str, Message]]:
        """Return new messages, waiting up to `block_ms` for the first. Cancelling is safe: they come again by claim."""
        if not self._is_open:
            await self._open(self.instance)
            self._is_open = True
        try:
            return await self._read(self.instance, count=count, block_ms=block_ms)
        except ResponseError:
            # The store was emptied, or went back to a time before the group: it is made anew.
            self._is_open = False
            return []

    async def _open(self, instance: str) -> None:
        with translate_errors():
            try:
                await self._redis.xgroup_create(self._keys.inbox(instance), GROUP, id="0", mkstream=True)
            except ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise

    async def _read(self, instance: str, *, count: int, block_ms: int | None) -> list[tuple[str, Message]]:
        with translate_errors():
            answer: list[tuple[bytes, Entries]] | None = await self._redis.xreadgroup(
                GROUP, self.instance, {self._keys.inbox(instance): ">"}, count=count, block=block_ms
            )
        return [_message(entry, fields) for _, entries in answer or [] for entry, fields in entries]

    async def acknowledge(self, positions: Sequence[str], *, of: str = "") -> None:
        """Remove messages that were delivered."""
        if not positions:
            return
        key = self._keys.inbox(of or self.instance)
        with translate_errors():
            # In no transaction: a server at `maxmemory` refuses those. What is acknowledged never comes again.
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.xack(key, GROUP, *positions)
            pipeline.xdel(key, *positions)
            await pipeline.execute()

    async def claim(self, dead: str, *, count: int) -> list[tuple[str, Message]]:
        """Return messages that an instance that is gone left: those it had begun with first."""
        await self._open(dead)
        try:
            begun = await self._claim_begun(dead, count=count)
            return begun or await self._read(dead, count=count, block_ms=None)
        except ResponseError as error:
            # Of two that take it over, or one and its owner that lives after all, the other has just removed it.
            if "NOGROUP" not in str(error):
                raise
            return []

    async def _claim_begun(self, dead: str, *, count: int) -> list[tuple[str, Message]]:
        with translate_errors():
            _, entries, *_ = await self._redis.xautoclaim(
                self._keys.inbox(dead), GROUP, self.instance, min_idle_time=0, count=count
            )
        return [_message(entry, fields) for entry, fields in entries]

    async def drop(self, dead: str) -> None:
        """Remove an inbox that is empty, and its instance from the list."""
        with translate_errors():
            # The list last: whoever is still on it is dropped again.
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.delete(self._keys.inbox(dead))
            pipeline.hdel(self._keys.instances, dead)
            await pipeline.execute()


def _message(entry: bytes, fields: dict[bytes, bytes]) -> tuple[str, Message]:
    kind = "assign" if b"assign" in fields else "frame"
    return entry.decode(), Message(
        fields[b"node"].decode(), kind, fields[kind.encode()].decode(), int(fields.get(b"hops", 0))
    )
