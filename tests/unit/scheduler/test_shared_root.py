"""Instances on one store see one artifact root, or do not start."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from tests_support.store_driver import announce

from mediafleet.artifacts.blobs import BlobStore
from mediafleet.domain.errors import ConfigError, InvalidRequest, Unavailable
from mediafleet.scheduler import shared_root as module
from mediafleet.scheduler.shared_root import shared_root
from mediafleet.store import Store

PRESENCE_MS = 60_000


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up at the first look."""
    monkeypatch.setattr(module, "PATIENCE_MS", -PRESENCE_MS)


@pytest.fixture
def real_store(redis: Redis, store: Store) -> Store:
    """The store on the server's own clock."""
    return Store(redis, store.keys)


@asynccontextmanager
async def instance(store: Store, name: str, root: Path) -> AsyncGenerator[BlobStore]:
    blobs = BlobStore(root)
    async with shared_root(store, blobs, name, presence_ms=PRESENCE_MS):
        yield blobs


async def marks(store: Store) -> set[str]:
    client: Any = store.redis
    return {name.decode() for name in await client.hkeys(store.keys.roots)}


async def test_instances_with_one_root_start_and_leave_nothing_behind(real_store: Store, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        for name in ("i-1", "i-2", "i-3"):
            await stack.enter_async_context(instance(real_store, name, tmp_path / "shared"))
        assert await marks(real_store) == {"i-1", "i-2", "i-3"}
    assert await marks(real_store) == set()
    assert list((tmp_path / "shared" / ".instances").iterdir()) == []


async def test_an_instance_with_another_root_is_refused_and_the_first_goes_on(
    real_store: Store, tmp_path: Path
) -> None:
    async with instance(real_store, "i-1", tmp_path / "one"):
        with pytest.raises(
            ConfigError, match=r"i-1 runs on this store and keeps its artifacts elsewhere.*artifacts\.root"
        ):
            async with instance(real_store, "i-2", tmp_path / "two"):
                pytest.fail("it started")
        assert await marks(real_store) == {"i-1"}
        assert not await real_store.redis.exists(real_store.keys.instance("i-2")), "it is not taken for one that lives"
        async with instance(real_store, "i-3", tmp_path / "one"):
            pass


async def test_a_copy_of_the_root_is_another_root(real_store: Store, tmp_path: Path) -> None:
    async with instance(real_store, "i-0", tmp_path / "one"):
        shutil.copytree(tmp_path / "one", tmp_path / "copy")
    async with instance(real_store, "i-1", tmp_path / "one"):
        with pytest.raises(ConfigError):
            async with instance(real_store, "i-2", tmp_path / "copy"):
                pytest.fail("it started")


async def test_a_root_by_another_path_is_the_same(real_store: Store, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "mount").symlink_to(tmp_path / "one")
    async with instance(real_store, "i-1", tmp_path / "one"), instance(real_store, "i-2", tmp_path / "mount"):
        assert await marks(real_store) == {"i-1", "i-2"}


async def test_of_two_that_start_at_once_with_roots_of_their_own_one_starts(real_store: Store, tmp_path: Path) -> None:
    ended = asyncio.Event()

    async def start(name: str) -> bool:
        try:
            async with instance(real_store, name, tmp_path / name):
                await ended.wait()
        except ConfigError:
            ended.set()
            return False
        return True

    async with asyncio.timeout(20):
        started = await asyncio.gather(start("i-1"), start("i-2"))
    assert sorted(started) == [False, True]


async def test_a_single_instance_may_move_its_root(real_store: Store, tmp_path: Path) -> None:
    async with instance(real_store, "i-1", tmp_path / "old"):
        pass
    async with instance(real_store, "i-2", tmp_path / "new"):
        assert await marks(real_store) == {"i-2"}


async def test_an_instance_that_was_killed_holds_nobody_up_once_its_presence_is_over(
    real_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its mark is taken away by the next one."""
    monkeypatch.setattr(module, "PATIENCE_MS", 20_000)
    killed = BlobStore(tmp_path / "new")
    await real_store.claim_root("i-silent", mark="not here", ttl_ms=300)
    await real_store.claim_root("i-killed", mark=await killed.marks.leave("i-killed"), ttl_ms=1)
    async with instance(real_store, "i-2", tmp_path / "new"):
        assert await marks(real_store) == {"i-2"}
    assert list((tmp_path / "new" / ".instances").iterdir()) == []


async def test_an_instance_of_a_version_without_marks_is_left_alone(real_store: Store, tmp_path: Path) -> None:
    await announce(real_store, "i-old")
    async with instance(real_store, "i-new", tmp_path):
        pass


async def test_a_root_that_cannot_be_written_to_is_said_at_the_start(real_store: Store, tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path / "root")
    (tmp_path / "root" / ".instances").write_text("no folder")
    with pytest.raises(Unavailable):
        async with shared_root(real_store, blobs, "i-1", presence_ms=PRESENCE_MS):
            pytest.fail("it started")


async def test_a_mark_that_cannot_be_read_is_not_seen(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path)
    digest = await blobs.marks.leave("i-1")
    assert await blobs.marks.sees("i-1", digest)
    (tmp_path / ".instances" / "i-1").write_bytes(b"\xff\xfe")
    assert not await blobs.marks.sees("i-1", digest)
    assert not await blobs.marks.sees("i-2", digest)
    with pytest.raises(InvalidRequest):
        await blobs.marks.sees("../../etc/passwd", digest)


async def test_marks_are_no_blobs(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path)
    await blobs.marks.leave("i-1")
    assert [key async for key in blobs.list_keys()] == []
