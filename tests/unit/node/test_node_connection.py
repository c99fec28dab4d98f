"""A registered link: what goes out, in which order, and what ends it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from node_samples import DEADLINE_S, REGISTER, REGISTERED, ScriptedLink

from mediafleet.domain.errors import Conflict, MediafleetError, SchedulerUnavailable
from mediafleet.domain.frames import Drain, Heartbeat, JobProgress, Misc, Ping, Progress, SchedulerFrame
from mediafleet.node import connection as module
from mediafleet.node.connection import Connection
from mediafleet.node.progress import ProgressBoard

if TYPE_CHECKING:
    from collections.abc import Callable

    from mediafleet.domain.frames import NodeFrame


async def serving(connection: Connection, *, beat: Callable[[], None] = lambda: None) -> None:
    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(SchedulerUnavailable):
            await connection.serve(handle=lambda _: None, beat=beat, board=ProgressBoard())


async def test_registering_needs_the_agreed_answer_and_closes_the_link_otherwise() -> None:
    link = ScriptedLink(Ping())
    with pytest.raises(SchedulerUnavailable, match="something else"):
        await Connection.register(link, REGISTER)
    assert link.is_closed


async def test_what_is_posted_is_sent_in_order_and_flushed() -> None:
    link = ScriptedLink(REGISTERED)
    connection = await Connection.register(link, REGISTER)
    serve_task = asyncio.create_task(serving(connection))
    connection.post(Misc("one"))
    connection.post(Misc("two"))
    await connection.flush()
    assert [link.sent.get_nowait() for _ in range(3)] == [REGISTER, Misc("one"), Misc("two")]
    await link.close()
    await serve_task


async def test_a_send_that_fails_ends_the_connection() -> None:
    link = ScriptedLink(REGISTERED)
    connection = await Connection.register(link, REGISTER)
    link.fails = True
    connection.post(Misc("lost"))
    await serving(connection)
    assert link.is_closed


async def test_a_beat_that_fails_ends_the_connection() -> None:
    """A node that cannot beat must not look linked."""

    def fail() -> None:
        raise ZeroDivisionError

    link = ScriptedLink(REGISTERED)
    await serving(await Connection.register(link, REGISTER), beat=fail)
    assert link.is_closed


async def test_beats_come_as_often_as_the_scheduler_says() -> None:
    link = ScriptedLink(REGISTERED)
    connection = await Connection.register(link, REGISTER)
    serve_task = asyncio.create_task(serving(connection, beat=lambda: connection.post(Heartbeat())))
    async with asyncio.timeout(DEADLINE_S):
        assert [await link.sent.get() for _ in range(3)] == [REGISTER, Heartbeat(), Heartbeat()]
    await link.close()
    await serve_task


async def test_a_new_link_is_told_all_progress_again() -> None:
    board = ProgressBoard()
    board.note(Progress("t", "g", 0.25))
    await board.next_frame()
    link = ScriptedLink(REGISTERED)
    connection = await Connection.register(link, REGISTER)
    serve_task = asyncio.create_task(connection.serve(handle=lambda _: None, beat=lambda: None, board=board))
    async with asyncio.timeout(DEADLINE_S):
        assert [await link.sent.get() for _ in range(2)] == [REGISTER, JobProgress((Progress("t", "g", 0.25),))]
    await link.close()
    await asyncio.wait([serve_task])
    assert isinstance(serve_task.exception(), SchedulerUnavailable)


# --- registering ---------------------------------------------------------------------------


async def test_a_scheduler_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REGISTER_S", 0.01)
    link = ScriptedLink()
    with pytest.raises(SchedulerUnavailable, match="did not answer `register`"):
        await Connection.register(link, REGISTER)
    assert link.is_closed


async def test_a_link_that_takes_no_register_is_closed() -> None:
    link = ScriptedLink()
    link.fails = True
    with pytest.raises(SchedulerUnavailable, match="down"):
        await Connection.register(link, REGISTER)
    assert link.is_closed


async def test_a_refusal_at_the_door_is_passed_on_with_its_sentence() -> None:
    link = ScriptedLink()
    link.end = Conflict("Another node has this id.")
    link.incoming.put_nowait(None)
    with pytest.raises(Conflict, match="Another node"):
        await Connection.register(link, REGISTER)
    assert link.is_closed


async def test_a_registration_that_is_cancelled_leaves_no_link_open() -> None:
    link = ScriptedLink()
    registering = asyncio.create_task(Connection.register(link, REGISTER))
    assert await link.sent.get() == REGISTER
    registering.cancel()
    await asyncio.wait([registering])
    assert registering.cancelled()
    assert link.is_closed


# --- serving -------------------------------------------------------------------------------


class DeafLink(ScriptedLink):
    """A scheduler that has stopped reading: a send never ends."""

    async def send(self, frame: NodeFrame) -> None:
        """Take the registration, and nothing after it."""
        if frame is not REGISTER:
            await asyncio.Event().wait()


async def test_a_scheduler_that_does_not_read_loses_the_link(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded, and no frame in the middle is missing without either side noticing."""
    monkeypatch.setattr(module, "_MOST_QUEUED", 3)
    link = DeafLink(REGISTERED)
    connection = await Connection.register(link, REGISTER)
    for _ in range(5):
        connection.post(Heartbeat())
    await serving(connection)
    assert link.is_closed


async def test_a_full_line_that_nothing_was_left_out_of_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_QUEUED", 3)
    link = ScriptedLink(REGISTERED)
    connection = await Connection.register(link, REGISTER)
    for word in ("one", "two", "three"):
        connection.post(Misc(word))
    beaten = asyncio.Event()
    serve_task = asyncio.create_task(serving(connection, beat=beaten.set))
    await connection.flush()
    await beaten.wait()
    assert not link.is_closed
    await link.close()
    await serve_task


async def test_frames_are_handled_in_the_order_they_came() -> None:
    seen: list[SchedulerFrame] = []
    link = ScriptedLink(REGISTERED, Ping(), Drain(), Drain(draining=False))
    connection = await Connection.register(link, REGISTER)
    link.incoming.put_nowait(None)
    with pytest.raises(SchedulerUnavailable):
        await connection.serve(handle=seen.append, beat=lambda: None, board=ProgressBoard())
    assert seen == [Ping(), Drain(), Drain(draining=False)]


async def test_a_frame_that_cannot_be_handled_ends_the_link_and_its_helpers() -> None:
    def fail(_: SchedulerFrame) -> None:
        raise ZeroDivisionError

    link = ScriptedLink(REGISTERED, Ping())
    connection = await Connection.register(link, REGISTER)
    with pytest.raises(ZeroDivisionError):
        await connection.serve(handle=fail, beat=lambda: None, board=ProgressBoard())
    assert link.is_closed
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_cancelled_link_is_closed_and_leaves_no_task_behind() -> None:
    link = ScriptedLink(REGISTERED)
    connection = await Connection.register(link, REGISTER)
    beaten = asyncio.Event()
    serve_task = asyncio.create_task(connection.serve(handle=lambda _: None, beat=beaten.set, board=ProgressBoard()))
    await beaten.wait()
    serve_task.cancel()
    await asyncio.wait([serve_task])
    assert link.is_closed
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_link_ends_with_the_reason_that_its_scheduler_gave() -> None:
    link = ScriptedLink(REGISTERED)
    link.end = Conflict("A newer link took over.")
    connection = await Connection.register(link, REGISTER)
    link.incoming.put_nowait(None)
    with pytest.raises(MediafleetError, match="A newer link took over") as end:
        await connection.serve(handle=lambda _: None, beat=lambda: None, board=ProgressBoard())
    assert end.type is Conflict


async def test_a_scheduler_that_shows_no_sign_ends_the_link_before_three_heartbeats() -> None:
    link = ScriptedLink(REGISTERED)
    connection = await Connection.register(link, REGISTER)
    link.is_silent = True
    await serving(connection)
    assert link.is_closed
    beat_s = module._SHORTEST_BEAT_S
    assert REGISTERED.heartbeat_ms / 1000 < beat_s
    assert link.probes.get_nowait() + beat_s < 3 * beat_s


async def test_a_scheduler_that_answers_is_asked_again_and_again() -> None:
    link = ScriptedLink(REGISTERED)
    serve_task = asyncio.create_task(serving(await Connection.register(link, REGISTER)))
    async with asyncio.timeout(DEADLINE_S):
        for _ in range(3):
            await link.probes.get()
    assert not link.is_closed
    await link.close()
    await serve_task
