"""Versions of the stored shapes: who may work in a cell, and what the others are told."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests_support.store_driver import StoreDriver

from mediafleet.domain.errors import ConfigError
from mediafleet.domain.rules import InstanceDocument
from mediafleet.store import Store, schema
from mediafleet.store.scripts import as_text


async def mark(store: Store, **fields: int) -> None:
    client: Any = store.redis
    await client.delete(store.keys.schema)
    if fields:
        await client.hset(store.keys.schema, mapping=fields)


async def marks(store: Store) -> tuple[int, int]:
    return await store.read.schema_field("version"), await store.read.schema_field("oldest_reader")


async def live(store: Store, version: int | None, *, ttl_ms: int = 60_000) -> None:
    """Let an instance of another version live; None for one that does not yet say which."""
    document: dict[str, Any] = msgspec.to_builtins(InstanceDocument("0", "host", 1, version or 1))
    if version is None:
        del document["schema"]
    await store.announce("i-other", doc=as_text(document), ttl_ms=ttl_ms)


def upgrade(monkeypatch: pytest.MonkeyPatch, *, writes: int, oldest_reader: int, reads_from: int = 1) -> None:
    """Stand in for a program of another version."""
    monkeypatch.setattr(schema, "SCHEMA", writes)
    monkeypatch.setattr(schema, "OLDEST_READER", oldest_reader)
    monkeypatch.setattr(schema, "READS_FROM", reads_from)


def test_the_numbers_fit_together() -> None:
    assert 1 <= schema.READS_FROM <= schema.OLDEST_READER <= schema.SCHEMA


async def test_an_empty_cell_is_marked(store: Store) -> None:
    await mark(store)
    await store.check_schema()
    assert await marks(store) == (schema.SCHEMA, schema.OLDEST_READER)


async def test_a_cell_that_only_newer_programs_read_is_refused_with_a_sentence(store: Store) -> None:
    await mark(store, version=schema.SCHEMA + 3, oldest_reader=schema.SCHEMA + 1)
    with pytest.raises(ConfigError, match=rf"newer mediafleet \(schema {schema.SCHEMA + 1}.*upgrade this instance"):
        await store.check_schema()
    assert await marks(store) == (schema.SCHEMA + 3, schema.SCHEMA + 1), "nothing was written"


async def test_a_newer_cell_that_this_program_can_read_is_taken_and_stays_newer(store: Store) -> None:
    await mark(store, version=schema.SCHEMA + 1, oldest_reader=schema.SCHEMA)
    await store.check_schema()
    assert await marks(store) == (schema.SCHEMA + 1, schema.SCHEMA)


async def test_a_cell_from_before_the_oldest_shapes_that_are_read_is_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade(monkeypatch, writes=5, oldest_reader=4, reads_from=3)
    await mark(store, version=2, oldest_reader=1)
    with pytest.raises(ConfigError, match=r"schema 2, this one reads from 3\); start a version in between"):
        await store.check_schema()
    await mark(store, version=3, oldest_reader=1)
    await store.check_schema()
    assert await marks(store) == (5, 4)


@pytest.mark.parametrize("version", [None, 1, 2])
async def test_instances_that_could_not_read_on_are_stopped_first(
    store: Store, monkeypatch: pytest.MonkeyPatch, version: int | None
) -> None:
    upgrade(monkeypatch, writes=4, oldest_reader=3)
    await mark(store, version=2, oldest_reader=2)
    await live(store, version)
    with pytest.raises(ConfigError, match=r"i-other of an older mediafleet.*stop the older instances first"):
        await store.check_schema()
    assert await marks(store) == (2, 2)
    await store.retire("i-other")
    await store.check_schema()
    assert await marks(store) == (4, 3)


async def test_instances_that_can_read_on_are_upgraded_one_by_one(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade(monkeypatch, writes=4, oldest_reader=2)
    await mark(store, version=2, oldest_reader=2)
    await live(store, 2)
    await store.check_schema()
    assert await marks(store) == (4, 2)
    upgrade(monkeypatch, writes=2, oldest_reader=2)
    await store.check_schema()


async def test_what_is_left_of_an_instance_that_was_killed_holds_nobody_up(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    client: Any = store.redis
    await live(store, 1)
    await client.delete(store.keys.instance("i-other"))
    upgrade(monkeypatch, writes=9, oldest_reader=9)
    await store.check_schema()
    assert await marks(store) == (9, 9)


async def test_tasks_of_the_first_shape_are_worked_off(store: Store) -> None:
    """Their rule has no place for limits, and no count of open tasks was kept."""
    driver = StoreDriver(store)
    job = await driver.submit_one("noop")
    await driver.redis.delete(store.keys.open)
    rule = (await driver.redis.hget(store.keys.task(f"{job}.noop"), "rule")).decode()
    assert rule.count("|") == 6
    await driver.join("n0-a-1")
    (placed,) = await driver.place_all()
    await driver.ack(placed)
    assert await driver.finish(placed) == ["accepted"]
    assert not await driver.redis.exists(store.keys.open), "a count that would be below zero is none"
