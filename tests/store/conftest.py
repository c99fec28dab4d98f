"""The store's tests run against every server program of this machine: what Lua may do differs between versions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests_support.clockwork import TICK_MS, Clockwork
from tests_support.redis_cluster import RedisCluster
from tests_support.redis_server import RedisServer
from tests_support.reviewing import answer, look_again, submit_reviewed
from tests_support.servers import TestServer, find_test_servers, missing_servers
from tests_support.store_driver import LEASE_MS, PLACE_RULES, RETENTION_MS, RULES, StoreDriver, announce, spec
from tests_support.virtual_time import VirtualTime

from mediafleet.domain.lifecycle import PriorityClass
from mediafleet.domain.pace import Did
from mediafleet.domain.rules import FleetRules, Lead, TenantShare
from mediafleet.store import Store, cell_records, health, records
from mediafleet.store.cell_store import check_cells
from mediafleet.store.connection import connect
from mediafleet.store.keys import Keys
from mediafleet.store.sessions import SessionStore, SessionWord

NODE = "n0-a-1"


SERVERS = find_test_servers()


@pytest.fixture(scope="session", params=SERVERS or [None], ids=lambda server: server.id if server else "none")
def redis_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RedisServer | RedisCluster]:
    """Each server of this machine, and clusters of the newest ones."""
    wanted: TestServer | None = request.param
    kind = RedisCluster if wanted and wanted.is_cluster else RedisServer
    with kind(tmp_path_factory.mktemp("redis"), wanted.binary if wanted else None) as server:
        yield server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Measure coverage on one server: the same lines run on all of them, and slower while they are measured."""
    for item in items if SERVERS else ():
        case: Any = getattr(item, "callspec", None)
        if case and case.params.get("redis_server", SERVERS[0]) != SERVERS[0]:
            item.add_marker(pytest.mark.no_cover)


def pytest_report_header() -> list[str]:
    """Say on which servers the store is tested, and why on others it is not."""
    tested = ", ".join(f"{server.id} ({server.binary.origin})" for server in SERVERS)
    return [f"store servers: {tested}", *(f"no {name}: {why}" for name, why in missing_servers(SERVERS).items())]


@pytest.fixture
async def neighbour(redis_server: RedisServer | RedisCluster, store: Store) -> AsyncIterator[Store]:
    """Another cell of the same fleet; in a cluster, on another server."""
    client: Any = connect(redis_server.url, prefix="test", cell="b")
    yield Store(client, Keys(store.keys.prefix, "b"))
    if left := [key async for key in client.scan_iter(match=f"{store.keys.prefix}:{{b}}:*")]:
        await client.delete(*left)
    await client.aclose()


@pytest.fixture
async def lost_store(tmp_path: Path) -> AsyncIterator[Store]:
    """A store whose server is away."""
    client: Any = connect(f"unix://{tmp_path}/none.sock", prefix="test")
    yield Store(client, Keys("test", "0"))
    await client.aclose()


@pytest.fixture
async def clockwork(store: Store, virtual_time: VirtualTime) -> Clockwork:
    """A fleet whose first grace, that of every start, is over."""
    clockwork = Clockwork(store, virtual_time)
    await clockwork.driver.reap()
    await clockwork.pass_ms(LEASE_MS + TICK_MS)
    return clockwork


class WholeLife:
    """A short life of a cell in which every script runs and every kind of key exists once."""

    def __init__(self, store: Store) -> None:
        self.driver = StoreDriver(store)
        self.types: dict[str, str] = {}
        """Names of the keys that existed after any of the steps, with their types."""
        self.fields: dict[str, set[str]] = {}
        """Names of the hashes with all fields they ever had."""

    async def live(self) -> None:
        """Go through it."""
        for step in (
            self._accept,
            self._work,
            self._end,
            self._share,
            self._plan,
            self._ail,
            self._pause,
            self._ask,
            self._leave,
        ):
            await step()
            await self._look()

    async def _look(self) -> None:
        for name in await self.driver.key_names():
            kind = (await self.driver.redis.type(name)).decode()
            self.types[name] = kind
            if kind == "hash":
                names = await self.driver.redis.hkeys(name)
                self.fields.setdefault(name, set()).update(field.decode() for field in names)

    async def _accept(self) -> None:
        store = self.driver.store
        await check_cells([store])
        await store.check_schema()
        await store.claim_root("i-1", mark="0", ttl_ms=60_000)
        for key in ("once", "never"):
            await store.claim_homes([cell_records.HomeClaim("default", key, "0")])
        await store.leave_homes([cell_records.HomeClaim("default", "never", "0")])
        await store.keep_room(cell_records.Bounds(0, 0, {}), cell_records.Coming("call", {"bdefault": 1}, 60_000))
        await store.borrow_artifact("a1-b", doc="{}", state="open", retention_ms=RETENTION_MS)
        member = await announce(store, "i-1")
        self.lead = Lead("i-1", member.epoch)
        await store.configure(self.lead, FleetRules())
        await store.set_log_level("mediafleet", "debug")
        await store.claim_push("i-1", ["http://a:1"])
        await store.count_up(store.keys.task_numbers)
        await store.forward([cell_records.Message("n0-nobody-1", "frame", "{}")], instance="i-1")
        await store.open_artifact("a0-up", doc="{}", state="open", retention_ms=RETENTION_MS)
        await store.open_artifact("a0-out", doc="{}", state="complete", retention_ms=RETENTION_MS)
        await self.driver.submit(self.driver.job_record({"a": (), "b": ("a",)}, key="once", batch="all"))
        await self.driver.submit_one("noop", inputs=["a0-up"])
        first = await self.driver.submit_one("first", spec=spec("kind:none"))
        await self.driver.submit_one("second", spec=spec("kind:none"), after=[first])
        await self.driver.submit_one("late", spec=spec("kind:late"), deadline=4_000_000_000_000, not_before=1)

    async def _work(self) -> None:
        store = self.driver.store
        await self.driver.join(NODE, slots=2)
        await store.prolong_artifact("a0-up", retention_ms=RETENTION_MS)
        await store.complete_artifact("a0-up", doc="{}")
        placed = await self.driver.place_all()
        await self.driver.ack(*placed)
        attempt = placed[0]
        about = '{"stage":"encoding"}'
        update = records.ProgressRecord(attempt.task, attempt.grant, 0.5, "encoding", about, 2.0, 900)
        await store.report([update])
        report = records.NodeReport(NODE, self.driver.epochs[NODE], '{"cpu":0.5}', ())
        await store.renew([report], lease_ms=LEASE_MS)
        await store.finish([records.ResultRecord(attempt.task, attempt.grant, "{}", ["a0-out"], Did("p", 1, 5))])
        await self._look()
        await self.driver.fail(placed[1], delays=[0])

    async def _end(self) -> None:
        (placed, *_) = await self.driver.place_all()
        await self.driver.fail(placed, retryable=False)
        await self._look()
        await self.driver.store.retry(placed.job, cursor=0)
        await self.driver.store.cancel(placed.job, cursor=0, sweep=False)
        await self.driver.reap()

    async def _share(self) -> None:
        """A capped tenant, classes, kept slots, a task that needs many, and a node of another instance."""
        rules = msgspec.structs.replace(PLACE_RULES, hold_after_ms=0, tenants={"capped": TenantShare(1.0, 1)})
        await self.driver.join("n0-b-1", slots=2, live_reserve=1, capabilities=("kind:other",))
        live, batch = spec("kind:other", priority=PriorityClass.LIVE), spec("kind:other")
        wide = spec("kind:other", slots=2, priority=PriorityClass.INTERACTIVE)
        for name, queue in (("live", live), ("batch", batch), ("wide", wide)):
            await self.driver.submit_one(name, spec=queue)
        await self.driver.place(live, batch, limit=1, rules=rules)
        await self._look()
        for _ in range(2):
            await self.driver.place(wide, rules=rules)
        await self._look()
        await self.driver.join("n0-c-1", slots=2, capabilities=("kind:third",))
        capped = spec("kind:third")
        await self.driver.submit_one("a", "b", tenant="capped", spec=capped)
        await self.driver.place(capped, rules=msgspec.structs.replace(rules, instance="i-2"))

    async def _plan(self) -> None:
        job = self.driver.job_record({}, outcome_of="")
        await self.driver.submit(job)
        piece = records.ExpandPiece(job.id, 1, "", [], last=True, queues={}, chains="[]", waits=True)
        await self.driver.store.expand(piece)
        await self.driver.store.recheck([job.id], plan=True)
        await self.driver.store.defer(job.id, 1)
        await self._look()
        planned = self.driver.job_record({"only": ()}, outcome_of="")
        await self.driver.submit(planned)
        for task in await self.driver.place_all():
            await self.driver.finish(task)

    async def _ail(self) -> None:
        """An executor that lacks what it claimed, and a node that says anew what it has."""
        node = "n0-d-1"
        await self.driver.join(node, capabilities=("kind:fourth",))
        await self.driver.submit_one("lacking", spec=spec("kind:fourth"))
        (placed,) = (await self.driver.place(spec("kind:fourth"))).assignments
        report = health.MissingReport(node, placed.task, placed.grant, "kind:fourth", "It is gone.")
        await self.driver.store.withhold([report], span_ms=1000, longest_ms=1000)
        await self._look()
        await self.driver.change(node, ("kind:fifth",), state="degraded", reason="a fan")

    async def _pause(self) -> None:
        """A job, a node and the fleet are paused and go on; of a large job in pieces."""
        node, wanted, store = "n0-p-1", spec("kind:pause"), self.driver.store
        await self.driver.join(node, capabilities=("kind:pause",))
        job = await self.driver.submit_one(*(f"t{number}" for number in range(300)), spec=wanted)
        await self.driver.place(wanted, limit=1)
        await store.pause(job, cursor=0, now=True)
        await store.pause_node(node, paused=True, now=True)
        await store.pause_fleet(paused=True, now=True)
        await self._look()
        await store.resume(job, first=True)
        await store.pause_fleet(paused=False, now=False)
        await store.cancel(job, cursor=0, sweep=False)

    async def _ask(self) -> None:
        """A person is asked, and answers."""
        job = await submit_reviewed(self.driver, {"review": ()}, "review")
        await look_again(self.driver, job)
        await self._look()
        await answer(self.driver, job)

    async def _leave(self) -> None:
        store = self.driver.store
        await store.drop_artifact("a0-out", error="{}", unused=False)
        await store.drop_upload("a0-gone")
        await store.forget("j0-gone", inputs=[])
        await self._doubt()
        await store.drain(NODE, draining=True)
        sessions = SessionStore(store, ttl_ms=60_000, gap_ms=3_000)
        claim = await sessions.claim("s0-1", "i-1")
        await sessions.renew("i-1", [SessionWord("s0-1", claim.epoch, 1, 1)])
        await self._look()
        await sessions.release("s0-1", "i-1", claim.epoch, is_over=True)
        await store.retire("i-2")
        await store.adopt(NODE, 0, retention_ms=RETENTION_MS, live_grace_ms=0)
        await store.bury("i-2", self.lead)
        await store.unlink(NODE, self.driver.epochs[NODE], goodbye=True, retention_ms=RETENTION_MS)

    async def _doubt(self) -> None:
        """A link closed, and live work went elsewhere before anybody knows more."""
        node, wanted = "n0-e-1", spec("kind:live", priority=PriorityClass.LIVE)
        await self.driver.join(node, capabilities=("kind:live",))
        await self.driver.submit_one("moves", spec=wanted)
        await self.driver.ack(*(await self.driver.place(wanted)).assignments)
        epoch = self.driver.epochs[node]
        await self.driver.store.unlink(node, epoch, goodbye=False, retention_ms=RETENTION_MS, live_grace_ms=0)
        # The grace of the first tick, or no lease would end yet.
        await self.driver.redis.delete(f"{self.driver.store.keys.tag}tick")
        await self.driver.store.reap(msgspec.structs.replace(RULES, grace_ms=0))


@pytest.fixture
def whole_life(store: Store) -> WholeLife:
    """A life that a test may go through."""
    return WholeLife(store)
