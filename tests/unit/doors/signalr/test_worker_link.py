"""A worker's connection as a link, where the fleet is slow or away."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from fake_fleet import FakeFleet
from signalr_clients import until
from test_worker_book import assigned, ref

from mediafleet.domain.errors import MediafleetError, StoreUnavailable
from mediafleet.domain.frames import JobAck, JobAssign, JobResultAck, Misc, NodeFrame, Registered
from mediafleet.doors.signalr import worker_link
from mediafleet.doors.signalr.worker_link import MOST_WAITING_FRAMES, WorkerLink, WorkerTimes
from mediafleet.doors.signalr.worker_words import Said, State, describe
from mediafleet.scheduler.facade import NodeLink

NODE = "n0-w-1"


class SlowFleet(FakeFleet):
    """Takes frames when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[NodeFrame] = []
        self.takes = asyncio.Event()
        self.goodbyes = 0
        self.registered: Any = None
        self.heartbeat_ms = 60_000

    async def attach(self, link: NodeLink, frame: Any) -> Registered:
        self.registered = frame
        return Registered(link.node, self.heartbeat_ms, link.lease_ms)

    async def receive(self, link: NodeLink, frame: NodeFrame) -> None:
        await self.takes.wait()
        self.taken.append(frame)

    async def detach(self, link: NodeLink) -> None:
        self.goodbyes += 1


class Worker:
    """What a worker is called with; implements `hub.Caller`."""

    connection_id = "c1"

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.closed: list[tuple[str | None, bool]] = []
        self.is_there = True

    def send(self, target: str, *arguments: Any) -> bool:
        self.calls.append((target, *arguments))
        return self.is_there

    def send_after(self, target: str, *arguments: Any) -> None:
        self.calls.append((target, *arguments))

    def close(self, error: str | None = None, *, allow_reconnect: bool = False) -> None:
        self.closed.append((error, allow_reconnect))


@pytest.fixture
def fleet() -> SlowFleet:
    return SlowFleet()


@pytest.fixture
def worker() -> Worker:
    return Worker()


async def attached(fleet: SlowFleet, worker: Worker, *, resume_s: float = 60) -> WorkerLink:
    link = WorkerLink(fleet, worker, "w", NODE, WorkerTimes(lease_s=60, resume_s=resume_s))
    await link.attach("http://w:9000")
    return link


async def test_a_worker_that_talks_faster_than_the_fleet_listens_is_slowed_down(
    fleet: SlowFleet, worker: Worker
) -> None:
    link = await attached(fleet, worker)
    words = [Said(f"word {number}", State.READY) for number in range(3 * MOST_WAITING_FRAMES)]

    async def talk() -> None:
        for word in words:
            await link.hear(word)

    talking = asyncio.create_task(talk())
    await until(lambda: link.said == words[MOST_WAITING_FRAMES - 1])
    for _ in range(100):
        await asyncio.sleep(0)
    assert link.said == words[MOST_WAITING_FRAMES - 1]
    fleet.takes.set()
    await talking
    assert link.said == words[-1]
    await link.detach(left=False)
    states = [frame for frame in fleet.taken if isinstance(frame, Misc)]
    assert [frame.data["facts"]["worker"]["status"] for frame in states] == [word.word for word in words]


async def test_a_result_is_answered_when_it_is_stored(fleet: SlowFleet, worker: Worker) -> None:
    fleet.takes.set()
    link = await attached(fleet, worker)
    assert link.send(JobAssign((assigned(7),)))
    answer = asyncio.create_task(link.complete(7, ("/r", "/t")))
    await until(lambda: any(type(frame).__name__ == "JobResults" for frame in fleet.taken))
    assert not answer.done()
    assert link.send(JobResultAck((ref(),)))
    await answer
    await link.detach(left=True)
    assert fleet.goodbyes == 1
    assert Misc("goodbye") in fleet.taken


async def test_a_result_that_cannot_be_stored_is_asked_for_again(
    fleet: SlowFleet, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_link, "STORED_WITHIN_S", 0.05)
    link = await attached(fleet, worker)
    link.send(JobAssign((assigned(7),)))
    with pytest.raises(MediafleetError, match="send it again"):
        await link.complete(7, ("/r", "/t"))
    fleet.takes.set()
    await link.detach(left=True)
    # It has something of the worker's still.
    assert Misc("goodbye") not in fleet.taken


async def test_what_is_under_way_to_the_fleet_when_the_connection_ends_arrives(
    fleet: SlowFleet, worker: Worker
) -> None:
    link = await attached(fleet, worker)
    link.send(JobAssign((assigned(7),)))
    ending = asyncio.create_task(link.detach(left=False))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not ending.done()
    fleet.takes.set()
    await ending
    assert JobAck((ref(),)) in fleet.taken


async def test_a_worker_that_was_away_and_says_nothing_wants_work_after_a_while(
    fleet: SlowFleet, worker: Worker
) -> None:
    fleet.takes.set()
    fleet.heartbeat_ms = 10
    facts = {"worker": msgspec.to_builtins(describe("w", "", Said("paused", State.AWAY, 4, has_gpu=True)))}
    fleet.node_views[NODE] = msgspec.structs.replace(fleet.add_node(NODE), facts=facts)
    link = await attached(fleet, worker, resume_s=0.05)
    assert fleet.registered.state == "degraded"
    assert fleet.registered.executors[0].slots == 4
    await until(lambda: any(isinstance(frame, Misc) for frame in fleet.taken))
    (news,) = [frame for frame in fleet.taken if isinstance(frame, Misc)]
    assert news.data["state"] == "ready"
    assert link.said == Said(slots=4, has_gpu=True)
    await link.detach(left=False)


async def test_an_assignment_that_nobody_hears_is_handed_back(fleet: SlowFleet, worker: Worker) -> None:
    link = await attached(fleet, worker)
    worker.is_there = False
    assert not link.send(JobAssign((assigned(7),)))
    assert not link.send(JobAssign((assigned(8, "g2", "j0-b"),)))
    assert len(worker.calls) == 1
    fleet.takes.set()
    await link.detach(left=False)


@pytest.mark.parametrize("code", [4409, 1001, 4408])
async def test_only_a_worker_that_was_replaced_is_told_to_stay_away(
    fleet: SlowFleet, worker: Worker, code: int
) -> None:
    fleet.takes.set()
    link = await attached(fleet, worker)
    link.close(code, "why")
    assert worker.closed == [("why", code != 4409)]
    assert not link.send(JobAssign((assigned(7),)))
    await link.detach(left=False)


async def test_progress_while_the_store_is_away_is_an_error_and_not_the_end(
    fleet: SlowFleet, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(number: int) -> str:
        raise StoreUnavailable("The store is away.")

    fleet.takes.set()
    link = await attached(fleet, worker)
    monkeypatch.setattr(fleet.workers, "numbered", away)
    with pytest.raises(StoreUnavailable):
        await link.progress(5, 1, "x")
    assert worker.calls == []
    await link.detach(left=False)


async def test_one_that_is_busy_still_when_its_task_of_ours_is_done_gets_no_other(
    fleet: SlowFleet, worker: Worker
) -> None:
    fleet.takes.set()
    link = await attached(fleet, worker)
    busy = Said("busy", State.BUSY)
    link.send(JobAssign((assigned(7),)))
    await link.hear(busy)
    answer = asyncio.create_task(link.complete(7, ("/r", "/t")))
    await until(lambda: any(type(frame).__name__ == "JobResults" for frame in fleet.taken))
    link.send(JobResultAck((ref(),)))
    await answer
    await link.hear(busy)
    await link.hear(busy)
    await link.hear(Said("idle", State.IDLE))
    await link.detach(left=False)
    told = [frame.data["state"] for frame in fleet.taken if isinstance(frame, Misc)]
    assert told == ["ready", "degraded", "ready"]
