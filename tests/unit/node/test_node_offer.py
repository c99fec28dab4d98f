"""What a node offers, reports and insists on."""

from __future__ import annotations

import asyncio
import math
import os
import platform
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from mediafleet.domain.errors import InvalidRequest, NotFound, SchedulerUnavailable
from mediafleet.domain.frames import JobProgress, Progress, encode_frame
from mediafleet.domain.node import Executor
from mediafleet.domain.plan import Wait
from mediafleet.kinds.seam import DetectContext, Detected, Kind
from mediafleet.node.context import Persistence
from mediafleet.node.executors import (
    CapabilityMemory,
    Offer,
    build_executors,
    count_cores,
    describe_machine,
    detect_offer,
    find_unknown_sorts,
)
from mediafleet.node.guard import choose_guard
from mediafleet.node.patience import finish
from mediafleet.node.processes import Launcher
from mediafleet.node.progress import ProgressBoard
from mediafleet.node.workspace import Workspaces
from mediafleet.ops.settings import NodeSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path


class NoParams(msgspec.Struct, frozen=True):
    """Takes nothing."""


def kind(name: str, detect: Callable[[DetectContext], Awaitable[Detected]]) -> Kind:
    return Kind(name, 1, NoParams, lambda _, __: Wait(), {}, "Test.", detect=detect)


async def detect(folder: Path, *kinds: Kind) -> Offer:
    workspaces = Workspaces(folder / "work")
    workspaces.sweep()
    launcher = Launcher(choose_guard(), environment=os.environ, grace_s=1)
    memory = CapabilityMemory(folder / "capabilities.json")
    offer = await detect_offer(kinds, workspaces=workspaces, launcher=launcher, memory=memory)
    assert list((folder / "work").iterdir()) == []
    return offer


# --- executors -----------------------------------------------------------------------------


@pytest.mark.parametrize(("slots", "cores", "expected"), [(0, 2, 2), (0, 64, 4), (0, 0, 1), (7, 2, 7)])
def test_slots_are_as_set_or_follow_the_cores_up_to_four(slots: int, cores: int, expected: int) -> None:
    (cpu,) = build_executors(NodeSettings(slots=slots), Offer(), cores=cores)
    assert cpu.slots == expected


OFFER = Offer(capabilities={"kind:b", "hw:cuda", "kind:a"})


def test_an_executor_offers_what_was_found_and_the_labels() -> None:
    offered = build_executors(NodeSettings(slots=1, labels=("studio-b",)), OFFER, cores=1)
    assert offered == (Executor("cpu", 1, ("hw:cuda", "kind:a", "kind:b", "label:studio-b")),)


def test_the_operators_word_on_a_node_is_that_of_its_executor() -> None:
    (cpu,) = build_executors(NodeSettings(slots=4, live_reserve=1, priority=7), Offer(), cores=1)
    assert (cpu.live_reserve, cpu.priority) == (1, 7)


def test_more_slots_cannot_be_reserved_than_there_are() -> None:
    with pytest.raises(InvalidRequest, match="has 2 slots, 3 reserved"):
        build_executors(NodeSettings(live_reserve=3), Offer(), cores=2)


SORTED = Offer(
    capabilities={"kind:a", "encoder:aac", "encoder:x", "encoder:y", "encoder:h264@hardware"},
    sorts={
        "x": frozenset({"encoder:x"}),
        "y": frozenset({"encoder:y"}),
        "z": frozenset({"encoder:z"}),
        "hardware": frozenset({"encoder:h264@hardware", "hw:nvenc"}),
    },
)


def test_an_encoder_with_slots_of_its_own_shares_them_with_no_other() -> None:
    settings = NodeSettings(slots=4, live_reserve=1, encoder_slots=("y:1", "hardware:3"))
    assert build_executors(settings, SORTED, cores=1) == (
        Executor("cpu", 4, ("encoder:aac", "encoder:x", "kind:a"), live_reserve=1),
        Executor("y", 1, ("encoder:aac", "encoder:y", "kind:a")),
        Executor("hardware", 3, ("encoder:aac", "encoder:h264@hardware", "kind:a")),
    )


def test_slots_of_an_encoder_that_does_not_work_here_are_not_offered() -> None:
    (cpu,) = build_executors(NodeSettings(slots=1, encoder_slots=("z:2",)), SORTED, cores=1)
    assert cpu.slots == 1


def test_slots_of_an_encoder_that_no_kind_knows_change_nothing_and_are_told() -> None:
    settings = NodeSettings(slots=1, encoder_slots=("libx26:2", "y:1"))
    assert build_executors(settings, SORTED, cores=1)[0].capabilities == (
        *("encoder:aac", "encoder:h264@hardware", "encoder:x", "kind:a"),
    )
    (found,) = find_unknown_sorts(settings, SORTED).items()
    assert found == (
        "slots:libx26",
        "No kind of this node has an encoder 'libx26' to give slots to; there are hardware, x, y, z.",
    )


@pytest.mark.parametrize("lines", [("x",), ("x:0",), ("x:-1",), ("x:9999",), ("cpu:2",), ("x:1", "x:2"), ("X y:1",)])
def test_encoder_slots_that_make_no_sense_are_refused(lines: tuple[str, ...]) -> None:
    with pytest.raises(InvalidRequest, match="gives no encoder slots"):
        build_executors(NodeSettings(encoder_slots=lines), SORTED, cores=1)


def test_a_label_that_cannot_be_one_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="label:two words"):
        build_executors(NodeSettings(labels=("two words",)), Offer(), cores=1)


async def test_detection_runs_programs_and_remembers_over_restarts(tmp_path: Path) -> None:
    runs: list[int] = []

    async def look(context: DetectContext) -> Detected:
        if (known := context.recall("echo 1")) is None:
            child = await context.start_process(["echo", "works"])
            known = (await child.read_line()).decode().strip()
            runs.append(await child.wait())
            context.remember("echo 1", known)
        return Detected(frozenset({f"encoder:{known}"}), {"encoder:no": "It is not there."}, {"echo": "1"})

    first, second = [await detect(tmp_path, kind("a", look)) for _ in range(2)]
    assert first == second == Offer({"kind:a", "encoder:works"}, {"encoder:no": "It is not there."}, {"echo": "1"})
    assert runs == [0]


@pytest.mark.parametrize("found", [None, Detected(frozenset({"not a capability"}))])
async def test_a_kind_whose_detection_fails_is_not_offered_and_spoils_no_other(
    found: Detected | None, tmp_path: Path
) -> None:
    async def fail(_: DetectContext) -> Detected:
        if found is None:
            raise ZeroDivisionError
        return found

    async def work(_: DetectContext) -> Detected:
        return Detected()

    offer = await detect(tmp_path, kind("bad", fail), kind("good", work))
    assert offer.capabilities == {"kind:good"}
    assert "Its detection failed" in offer.missing["kind:bad"]


async def test_a_kind_that_finds_it_cannot_run_here_is_not_offered(tmp_path: Path) -> None:
    """Else a task that needs nothing but the kind would come to a node without FFmpeg."""

    async def find_nothing(_: DetectContext) -> Detected:
        return Detected(missing={"kind:a": "Install FFmpeg."})

    assert await detect(tmp_path, kind("a", find_nothing)) == Offer(set(), {"kind:a": "Install FFmpeg."})


async def test_a_detection_that_hangs_is_given_up_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids: list[int] = []
    limits: list[asyncio.Timeout] = []
    make_limit = asyncio.timeout

    def note_limit(delay_s: float) -> asyncio.Timeout:
        limits.append(make_limit(delay_s))
        return limits[-1]

    async def hang(context: DetectContext) -> Detected:
        child = await context.start_process(["sleep", "1000"])
        pids.append(child.pid)
        # The time is over now: a short limit might be over before the child is there.
        limits[0].reschedule(asyncio.get_running_loop().time())
        await child.wait()
        return Detected()

    monkeypatch.setattr(asyncio, "timeout", note_limit)
    offer = await detect(tmp_path, kind("slow", hang))
    assert offer.capabilities == set()
    assert "TimeoutError" in offer.missing["kind:slow"]
    with pytest.raises(ProcessLookupError):
        os.killpg(pids[0], 0)


async def test_what_several_kinds_find_is_put_together(tmp_path: Path) -> None:
    async def find(context: DetectContext) -> Detected:
        del context
        return Detected(frozenset({"hw:cuda"}), {"encoder:x": "No."}, {"ffmpeg": "9.0"})

    async def find_more(_: DetectContext) -> Detected:
        return Detected(frozenset({"hw:vaapi"}), {"encoder:y": "No."}, {"driver": "5"})

    offer = await detect(tmp_path, kind("a", find), kind("b", find_more))
    assert offer.capabilities == {"kind:a", "kind:b", "hw:cuda", "hw:vaapi"}
    assert offer.missing.keys() == {"encoder:x", "encoder:y"}
    assert offer.facts == {"ffmpeg": "9.0", "driver": "5"}


def test_a_kind_cannot_pass_its_own_words_off_as_facts_of_the_machine() -> None:
    facts = describe_machine(Offer(facts={"cores": "1000", "python": "2"}))
    assert facts["cores"] == count_cores()
    assert facts["python"] == platform.python_version()


def test_a_memory_that_cannot_be_written_still_serves_this_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    memory = CapabilityMemory(tmp_path / "file" / "capabilities.json")
    with capture_logs() as said:
        memory.remember("a", 1)
    assert memory.recall("a") == 1
    assert "could not be kept" in said[0]["event"]


def test_cores_are_those_that_this_process_may_use() -> None:
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("no processor affinity on this system")
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert count_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff"])
def test_a_broken_memory_only_costs_time(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "capabilities.json"
    path.write_bytes(content)
    memory = CapabilityMemory(path)
    assert memory.recall("a") is None
    memory.remember("a", [1])
    assert CapabilityMemory(path).recall("a") == [1]


def test_the_machine_is_described_with_what_kinds_found(tmp_path: Path) -> None:
    facts = describe_machine(Offer(facts={"ffmpeg": "9.0"}, missing={"encoder:x": "No."}))
    assert facts["ffmpeg"] == "9.0"
    assert facts["missing"] == {"encoder:x": "No."}
    assert facts["cores"] >= 1
    assert facts["memory_bytes"] > 0


# --- progress ------------------------------------------------------------------------------


async def test_only_the_latest_of_each_attempt_is_sent() -> None:
    board = ProgressBoard()
    for fraction in (0.1, 0.2, 0.3):
        board.note(Progress("t", "a", fraction))
    board.note(Progress("t", "b", 0.9))
    assert await board.next_frame() == JobProgress((Progress("t", "a", 0.3), Progress("t", "b", 0.9)))


async def test_a_frame_waits_for_news_and_ended_attempts_make_none() -> None:
    board = ProgressBoard()
    board.note(Progress("t", "a", 0.5))
    board.forget("a")
    waiting = asyncio.create_task(board.next_frame())
    await asyncio.sleep(0)
    assert not waiting.done()
    board.note(Progress("t", "b", 0.5, "encoding", 2.0, 10))
    assert await waiting == JobProgress((Progress("t", "b", 0.5, "encoding", 2.0, 10),))
    board.note(Progress("t", "b", 0.5, "encoding", 2.0, 10))
    assert not board._unsent


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1), st.floats())
async def test_whatever_handlers_report_progress_is_a_share_that_never_falls(
    fractions: list[float], speed: float
) -> None:
    board, seen = ProgressBoard(), [0.0]
    for fraction in fractions:
        board.note(Progress("t", "a", fraction, speed=speed))
        if board._unsent:
            frame = await board.next_frame()
            seen.append(frame.updates[0].fraction)
            assert msgspec.json.decode(encode_frame(frame), type=JobProgress) == frame
    assert seen == sorted(seen)
    assert all(0 <= one <= 1 and math.isfinite(one) for one in seen)


# --- insisting -----------------------------------------------------------------------------


async def test_a_transfer_is_tried_for_ever_while_the_scheduler_is_away() -> None:
    calls = 0

    async def transfer() -> str:
        nonlocal calls
        calls += 1
        if calls < 1_200:
            raise SchedulerUnavailable("Away.")
        return "there"

    assert await Persistence(0.00001, 0.00002).insist(transfer) == "there"
    assert calls == 1_200


async def test_a_transfer_that_cannot_help_is_not_repeated() -> None:
    calls: list[int] = []

    async def transfer() -> str:
        calls.append(1)
        raise NotFound("Gone.")

    with pytest.raises(NotFound):
        await Persistence(0.00001, 0.00002).insist(transfer)
    assert calls == [1]


async def test_insisting_ends_when_it_is_cancelled() -> None:
    tried = asyncio.Event()

    async def transfer() -> str:
        tried.set()
        raise SchedulerUnavailable("Away.")

    insisting = asyncio.create_task(Persistence(60, 60).insist(transfer))
    await tried.wait()
    insisting.cancel()
    await asyncio.wait([insisting])
    assert insisting.cancelled()


async def test_a_clean_up_is_finished_however_often_it_is_cancelled() -> None:
    gate, begun = asyncio.Event(), asyncio.Event()
    done: list[str] = []

    async def clean() -> None:
        begun.set()
        await gate.wait()
        done.append("clean")

    cleaning = asyncio.create_task(finish(clean(), name="clean"))
    await begun.wait()
    for _ in range(3):
        cleaning.cancel()
        await asyncio.sleep(0)
    assert not cleaning.done()
    gate.set()
    await asyncio.wait([cleaning])
    assert done == ["clean"]
    assert cleaning.cancelled()


async def test_a_node_offers_the_versions_that_it_can_run_and_none_where_its_kind_cannot_run(tmp_path: Path) -> None:
    async def fine(_: DetectContext) -> Detected:
        return Detected()

    async def broken(_: DetectContext) -> Detected:
        return Detected(missing={"kind:bad": "It cannot run here."})

    kinds = [replace(kind(name, how), version=2, continues=(1,)) for name, how in (("good", fine), ("bad", broken))]
    assert (await detect(tmp_path, *kinds)).capabilities == {"kind:good", "kind:good@2"}
