"""Finds jobs in the lists of a cell, by status and by kind: in pieces, so that no list, however long, holds the server up.

Each status and each kind has a list by time of creation, and none is kept for a pair of both: that would cost each job two
more writes at every change of its status, for a question that people ask now and then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mediafleet.store.connection import translate_errors

if TYPE_CHECKING:
    from mediafleet.domain.lifecycle import JobStatus
    from mediafleet.store.keys import Keys

PIECE = 1000
"""Most jobs of one command: the server needs about a millisecond for so many, and then others have their turn."""

Entry = tuple[int, str]
"""Time of creation, milliseconds, and id of a job."""


async def read_page(
    redis: Any, keys: Keys, *, status: JobStatus | None, kind: str, offset: int, limit: int
) -> tuple[list[Entry], int]:
    """Return a page of the jobs of a status and a kind, newest first, and how many there are.

    Args:
        status: None for all.
        kind: Empty for all.
    """
    lists = _Lists(redis, keys)
    with translate_errors():
        if status and kind:
            return await lists.of_both(status, kind, offset=offset, limit=limit)
        name = keys.jobs_of_kind(kind) if kind else keys.jobs(status or "")
        return await lists.slice(name, offset, limit), await lists.size(name)


class _Walk:
    """One way through a list, newest first: by score, since ranks move when a job comes or goes meanwhile."""

    def __init__(self, redis: Any, name: str) -> None:
        self._redis, self._name = redis, name
        self._last: float = float("inf")
        """Score of the last job."""
        self._passed = 0
        """Jobs of that score that were passed."""
        self.is_done = False

    async def step(self) -> list[Entry]:
        """Return the next piece; the last one may be empty."""
        found: list[tuple[bytes, float]] = await self._redis.zrevrangebyscore(
            self._name, self._last, "-inf", start=self._passed, num=PIECE, withscores=True
        )
        self.is_done = len(found) < PIECE
        if found:
            last: float = found[-1][1]
            alike = sum(score == last for _, score in found)
            self._passed = alike + (self._passed if last == self._last else 0)
            self._last = last
        return [(int(score), name.decode()) for name, score in found]


class _Lists:
    def __init__(self, redis: Any, keys: Keys) -> None:
        self._redis, self._keys = redis, keys

    async def size(self, name: str) -> int:
        return int(await self._redis.zcard(name))

    async def slice(self, name: str, offset: int, limit: int) -> list[Entry]:
        found: dict[str, int] = {}
        # A job that comes meanwhile moves the others by one place, and the next piece begins with one that is known.
        for start in range(offset, offset + limit, PIECE):
            end = min(start + PIECE, offset + limit)
            piece = await self._redis.zrevrange(name, start, end - 1, withscores=True)
            found |= {member.decode(): int(score) for member, score in piece}
            if len(piece) < end - start:
                break
        return [(score, member) for member, score in found.items()]

    async def of_both(self, status: JobStatus, kind: str, *, offset: int, limit: int) -> tuple[list[Entry], int]:
        mine, of_kind, everything = self._keys.jobs(status), self._keys.jobs_of_kind(kind), self._keys.jobs()
        sizes = {name: await self.size(name) for name in (mine, of_kind, everything)}
        shorter, longer = sorted((mine, of_kind), key=sizes.__getitem__)
        if sizes[longer] == sizes[everything]:
            return await self.slice(shorter, offset, limit), sizes[shorter]
        if sizes[shorter] <= sizes[everything] - sizes[mine]:
            found, total = await self._match(shorter, longer, keep=offset + limit, to_the_end=True)
            return found[offset:], total
        # Most jobs have this status: those of the kind that have another are counted faster than those that have it.
        found, _ = await self._match(shorter, longer, keep=offset + limit, to_the_end=False)
        others = [self._keys.jobs(other) for other in type(status) if other is not status]
        counts = [(await self._match(other, of_kind, keep=0, to_the_end=True))[1] for other in others]
        return found[offset:], max(sizes[of_kind] - sum(counts), len(found))

    async def _match(self, walked: str, other: str, *, keep: int, to_the_end: bool) -> tuple[list[Entry], int]:
        """Return the newest jobs that are in both lists, and how many were met: all, if the walk went to the end."""
        walk, found, count = _Walk(self._redis, walked), list[Entry](), 0
        while not walk.is_done and (to_the_end or len(found) < keep):
            piece = await walk.step()
            names = [name for _, name in piece]
            scores: list[float | None] = await self._redis.zmscore(other, names) if names else []
            both = [entry for entry, score in zip(piece, scores, strict=True) if score is not None]
            found += both[: keep - len(found)]
            count += len(both)
        return found, count
