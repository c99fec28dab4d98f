"""The store as a whole: which cells it takes, what it tells of itself, and what it says when its server is away."""

from __future__ import annotations

import inspect
from typing import Any, get_type_hints

import pytest
from tests_support.store_driver import PLACE_RULES, RULES, StoreDriver, announce
from tests_support.virtual_time import VirtualTime

from mediafleet.domain.errors import ConfigError, StoreUnavailable
from mediafleet.domain.lifecycle import JobStatus
from mediafleet.store import Store, health, records
from mediafleet.store.schema import SCHEMA
from mediafleet.store.scripts import script_names
from mediafleet.store.sessions import SessionStore
from mediafleet.store.store import PIECE

NODE = records.NodeRecord("n0-a", "i-1", "inc", "{}", draining=False, lease_ms=1, executors=[], pools={}, announced=())
PIECES: dict[Any, Any] = {
    records.NodeRecord: NODE,
    records.ReapRules: RULES,
    records.PlaceRules: PLACE_RULES,
    records.PlaceRequest: records.PlaceRequest([], [], [], draw=0.5),
    health.NodeChange: health.NodeChange("n0-a", 1, "ready", "", [], {}),
    records.ExpandPiece: records.ExpandPiece("j0-1", 0, "", [], last=True, queues={}),
    int: 1,
    bool: True,
    str: "x",
}
STEPS = [
    name
    for name, _ in inspect.getmembers(Store, inspect.iscoroutinefunction)
    # `run` is what the steps, and those of sessions, are made of.
    if not name.startswith("_") and name != "run"
]
SESSION_STEPS = {name for name, _ in inspect.getmembers(SessionStore, inspect.iscoroutinefunction)}


@pytest.mark.parametrize("name", STEPS)
async def test_every_step_says_so_when_the_server_is_away(lost_store: Store, name: str) -> None:
    step = getattr(lost_store, name)
    hints = get_type_hints(step, vars(inspect.getmodule(Store)) | {"Sequence": list})
    needed = [p.name for p in inspect.signature(step).parameters.values() if p.default is p.empty]
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        await step(**{argument: PIECES.get(hints[argument], []) for argument in needed})


async def test_an_empty_cell_is_marked_with_the_schema_and_taken_again_later(store: Store) -> None:
    await store.check_schema()
    assert [await store.read.schema_field(field) for field in ("version", "oldest_reader")] == [SCHEMA, SCHEMA]


async def test_a_cell_that_only_newer_versions_can_read_is_refused(store: Store) -> None:
    client: Any = store.redis
    await client.hset(store.keys.schema, "oldest_reader", SCHEMA + 1)
    with pytest.raises(ConfigError) as refused:
        await store.check_schema()
    assert refused.value.message == (
        f"The store was written by a newer mediafleet (schema {SCHEMA + 1}, this one reads {SCHEMA}); upgrade this instance."
    )


async def test_a_cell_of_a_newer_version_that_this_one_can_still_read_is_taken(store: Store) -> None:
    client: Any = store.redis
    await client.hset(store.keys.schema, "version", SCHEMA + 1)
    await store.check_schema()
    assert await store.read.schema_field("version") == SCHEMA + 1, "it must not be marked as older than it is"


async def test_each_script_is_told_to_whoever_measures(store: Store) -> None:
    told: list[tuple[str, float]] = []
    measured = Store(store.redis, store.keys, observe=lambda name, seconds: told.append((name, seconds)))
    await measured.drain("n0-none", draining=True)
    await measured.reap(RULES)
    assert [name for name, _ in told] == ["drain", "reap"]
    assert all(seconds > 0 for _, seconds in told)


async def test_a_script_that_failed_is_not_measured(lost_store: Store) -> None:
    told: list[str] = []
    measured = Store(lost_store.redis, lost_store.keys, observe=lambda name, _: told.append(name))
    with pytest.raises(StoreUnavailable):
        await measured.reap(RULES)
    assert told == []


async def test_without_a_clock_of_its_own_a_store_goes_by_the_servers(store: Store, virtual_time: VirtualTime) -> None:
    client: Any = store.redis
    await store.open_artifact("a0-virtual", doc="{}", state="open", retention_ms=0)
    await Store(store.redis, store.keys).open_artifact("a0-real", doc="{}", state="open", retention_ms=0)
    due = dict(await client.zrange(store.keys.due, 0, -1, withscores=True))
    seconds, _ = await client.time()
    assert due[b"artifact|a0-virtual"] == virtual_time.ms
    assert abs(due[b"artifact|a0-real"] - seconds * 1000) < 60_000


async def test_only_about_so_many_events_are_kept(store: Store) -> None:
    client: Any = store.redis
    short = StoreDriver(Store(store.redis, store.keys, history=10))
    for _ in range(30):
        await short.submit(*(short.job_record({"noop": ()}) for _ in range(10)))
    kept = await client.xlen(store.keys.events)
    assert 10 <= kept < 300


async def test_an_instance_that_stops_announcing_itself_is_forgotten_by_the_server(store: Store) -> None:
    client: Any = store.redis
    await announce(store, "i-1")
    assert 0 < await client.pttl(store.keys.instance("i-1")) <= 60_000
    await announce(store, "i-1", ttl_ms=120_000)
    assert await client.pttl(store.keys.instance("i-1")) > 60_000


async def test_large_jobs_are_cancelled_revived_and_forgotten_in_pieces(store: Store) -> None:
    driver = StoreDriver(store)
    job = await driver.submit_one(*(f"t{number}" for number in range(PIECE + 1)))
    assert (await store.cancel(job, cursor=0, sweep=False)).cursor == PIECE
    assert (await store.cancel(job, cursor=PIECE, sweep=False)).cursor == 0
    assert [await store.forget(job, inputs=[]), await store.forget(job, inputs=[])] == [False, True]
    assert await driver.key_names() == {store.keys.schema, store.keys.events, store.keys.waiting_version}


async def test_two_cells_know_nothing_of_each_other(store: Store, neighbour: Store) -> None:
    await StoreDriver(store).submit_one("noop")
    assert await neighbour.read.count_jobs() == dict.fromkeys(JobStatus, 0)


def test_every_script_has_its_step() -> None:
    """A script that no method runs is dead."""
    called = {"report" if name == "progress" else name for name in script_names()}
    of_sessions = {name for name in called if name.partition("_")[0] in SESSION_STEPS and "session" in name}
    assert called - of_sessions <= set(STEPS)
    assert len(of_sessions) == len(SESSION_STEPS & {"claim", "renew", "release"}) == 3
