"""Everything a store holds, read in one step, so that a test can judge all of it after each step of its own."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from mediafleet.store.keys import Keys

_READ_ALL = """
local read = {
  hash = function(key) return redis.call('HGETALL', key) end,
  zset = function(key) return redis.call('ZRANGE', key, 0, -1, 'WITHSCORES') end,
  set = function(key) return redis.call('SMEMBERS', key) end,
  list = function(key) return redis.call('LRANGE', key, 0, -1) end,
  string = function(key) return {redis.call('GET', key)} end,
}
local found = {}
for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
  local reader = read[redis.call('TYPE', key).ok]
  if reader then found[key] = reader(key) end
end
return cmsgpack.pack(found)
"""


class StoreDump:
    """All keys of a cell but its streams, by their names without the common beginning."""

    def __init__(self, found: dict[str, list[str]], tag: str) -> None:
        self._found = {name.removeprefix(tag): values for name, values in found.items()}

    def names(self, beginning: str) -> list[str]:
        """Return the keys that begin so."""
        return [name for name in self._found if name.startswith(beginning)]

    def hash(self, name: str) -> dict[str, str]:
        """Return a hash; empty where there is none."""
        flat = self._found.get(name, [])
        return dict(zip(flat[::2], flat[1::2], strict=True))

    def scores(self, name: str) -> dict[str, float]:
        """Return a sorted set."""
        flat = self._found.get(name, [])
        return dict(zip(flat[::2], map(float, flat[1::2]), strict=True))

    def items(self, name: str) -> list[str]:
        """Return a set or a list."""
        return self._found.get(name, [])

    def text(self, name: str) -> str:
        """Return a string; empty where there is none."""
        return "".join(self._found.get(name, []))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StoreDump) and self._sorted() == other._sorted()

    __hash__ = None  # pyright: ignore[reportAssignmentType] - what is compared by its content has none

    def _sorted(self) -> dict[str, list[str]]:
        return {name: sorted(values) for name, values in self._found.items()}


async def dump_store(redis: Any, keys: Keys) -> StoreDump:
    """Read a cell, in one step of the server."""
    packed = await redis.eval(_READ_ALL, 0, f"{keys.prefix}:*")
    found = cast("dict[str, list[str]] | list[Any]", msgspec.msgpack.decode(packed))
    return StoreDump(found if isinstance(found, dict) else {}, keys.tag)
