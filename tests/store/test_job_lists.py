"""Jobs by status and kind: the right page and the right number, and never a long look at the server."""

from __future__ import annotations

import random
from typing import Any

import pytest

from mediafleet.domain.lifecycle import JobStatus
from mediafleet.store import Store, job_lists
from mediafleet.store.job_lists import Entry, read_page

KINDS = ("transcode", "clip")


class Watched:
    """A client that notes how many entries each answer has."""

    def __init__(self, redis: Any) -> None:
        self._redis = redis
        self.sizes: list[int] = []

    def __getattr__(self, command: str) -> Any:
        async def ask(*arguments: Any, **options: Any) -> Any:
            answer: Any = await getattr(self._redis, command)(*arguments, **options)
            self.sizes.append(1 if isinstance(answer, int) else len(answer))
            return answer

        return ask


async def fill(store: Store, count: int, chances: dict[JobStatus, int], kinds: tuple[str, ...] = KINDS) -> list[Any]:
    """Put jobs on the lists, several of each moment; return them newest first as (entry, status, kind)."""
    drawn = random.Random(count)  # noqa: S311 - not a secret
    rows: list[tuple[Entry, JobStatus, str]] = []
    for number in range(count):
        (status,) = drawn.choices(list(chances), list(chances.values()))
        rows.append(((number // 7, f"j0-{number:04}"), status, drawn.choice(kinds)))
    pipeline: Any = store.redis.pipeline(transaction=False)
    for (created, job), status, kind in rows:
        for name in (store.keys.jobs(), store.keys.jobs(status), store.keys.jobs_of_kind(kind)):
            pipeline.zadd(name, {job: created})
    await pipeline.execute()
    return rows[::-1]


@pytest.mark.parametrize(
    "chances",
    [
        pytest.param({JobStatus.COMPLETED: 1, JobStatus.FAILED: 1}, id="in halves"),
        pytest.param({JobStatus.COMPLETED: 20, JobStatus.FAILED: 1, JobStatus.PENDING: 1}, id="nearly all are done"),
        pytest.param({JobStatus.COMPLETED: 1, JobStatus.FAILED: 20}, id="nearly none is done"),
    ],
)
@pytest.mark.parametrize("kinds", [KINDS, ("transcode",), ("clip",)], ids="-".join)
async def test_pages_of_a_status_and_a_kind_go_through_all_of_them_and_say_how_many_there_are(
    store: Store, monkeypatch: pytest.MonkeyPatch, chances: dict[JobStatus, int], kinds: tuple[str, ...]
) -> None:
    monkeypatch.setattr(job_lists, "PIECE", 5)
    rows = await fill(store, 120, chances, kinds)
    for status in (JobStatus.COMPLETED, JobStatus.FAILED):
        expected = [entry for entry, its_status, kind in rows if (its_status, kind) == (status, "transcode")]
        for offset, limit in ((0, 1), (0, 200), (3, 10), (17, 6), (100, 50), (500, 1)):
            page = await read_page(store.redis, store.keys, status=status, kind="transcode", offset=offset, limit=limit)
            assert page == (expected[offset : offset + limit], len(expected))


@pytest.mark.parametrize(("status", "kind"), [(None, ""), (JobStatus.FAILED, ""), (None, "clip")])
async def test_pages_of_one_list_are_put_together_from_pieces(
    store: Store, monkeypatch: pytest.MonkeyPatch, status: JobStatus | None, kind: str
) -> None:
    monkeypatch.setattr(job_lists, "PIECE", 5)
    rows = await fill(store, 60, {JobStatus.COMPLETED: 1, JobStatus.FAILED: 1})
    expected = [entry for entry, of, its in rows if status in {None, of} and kind in {"", its}]
    for offset, limit in ((0, 200), (0, 5), (2, 13), (100, 4)):
        page = await read_page(store.redis, store.keys, status=status, kind=kind, offset=offset, limit=limit)
        assert page == (expected[offset : offset + limit], len(expected))


@pytest.mark.parametrize("offset", [0, 200])
@pytest.mark.parametrize("kinds", [KINDS, ("transcode",)], ids="-".join)
async def test_no_command_answers_with_more_than_a_piece(
    store: Store, monkeypatch: pytest.MonkeyPatch, kinds: tuple[str, ...], offset: int
) -> None:
    monkeypatch.setattr(job_lists, "PIECE", 20)
    await fill(store, 300, {JobStatus.COMPLETED: 1, JobStatus.FAILED: 1}, kinds)
    for status in (JobStatus.COMPLETED, JobStatus.PROCESSING):
        watched = Watched(store.redis)
        await read_page(watched, store.keys, status=status, kind="transcode", offset=offset, limit=100)
        assert max(watched.sizes) <= 20


async def test_a_job_that_leaves_its_list_while_it_is_walked_hides_no_other(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_lists, "PIECE", 10)
    rows = await fill(store, 100, {JobStatus.PENDING: 1, JobStatus.COMPLETED: 3})
    expected = [entry for entry, status, kind in rows if (status, kind) == (JobStatus.PENDING, "clip")]
    first_piece = [job for (_, job), status, _ in rows if status is JobStatus.PENDING][:10]

    class Leaving(Watched):
        def __getattr__(self, command: str) -> Any:
            ask = super().__getattr__(command)

            async def ask_and_lose(*arguments: Any, **options: Any) -> Any:
                answer = await ask(*arguments, **options)
                if command == "zmscore":
                    await store.redis.zrem(store.keys.jobs(JobStatus.PENDING), *first_piece)
                return answer

            return ask_and_lose

    page = await read_page(Leaving(store.redis), store.keys, status=JobStatus.PENDING, kind="clip", offset=0, limit=50)
    assert page == (expected, len(expected))
