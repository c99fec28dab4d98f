"""The inbox of an instance: a stream with one consumer group; a leader sends on what an instance that is gone left in it."""

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
        """Return new messages, waiting up to `block_ms` for the first. Who buries this instance sends on what is not acknowledged."""
        if not self._is_open:
            await self._open()
            self._is_open = True
        try:
            return await self._read(count=count, block_ms=block_ms)
        except ResponseError:
            # The store was emptied, or went back to a time before the group: it is made anew.
            self._is_open = False
            return []

    async def _open(self) -> None:
        with translate_errors():
            try:
                await self._redis.xgroup_create(self._keys.inbox(self.instance), GROUP, id="0", mkstream=True)
            except ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise

    async def _read(self, *, count: int, block_ms: int) -> list[tuple[str, Message]]:
        with translate_errors():
            answer: list[tuple[bytes, Entries]] | None = await self._redis.xreadgroup(
                GROUP, self.instance, {self._keys.inbox(self.instance): ">"}, count=count, block=block_ms
            )
        return [_message(entry, fields) for _, entries in answer or [] for entry, fields in entries]

    async def acknowledge(self, positions: Sequence[str]) -> None:
        """Remove messages that were delivered."""
        if not positions:
            return
        key = self._keys.inbox(self.instance)
        with translate_errors():
            # In no transaction: a server at `maxmemory` refuses those. What is acknowledged never comes again.
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.xack(key, GROUP, *positions)
            pipeline.xdel(key, *positions)
            await pipeline.execute()


def _message(entry: bytes, fields: dict[bytes, bytes]) -> tuple[str, Message]:
    kind = "assign" if b"assign" in fields else "frame"
    return entry.decode(), Message(
        fields[b"node"].decode(), kind, fields[kind.encode()].decode(), int(fields.get(b"hops", 0))
    )
