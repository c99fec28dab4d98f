"""What goes out to nodes reaches the newest link of each, in frames that they take."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from recording_link import RecordingLink

from mediafleet.domain.frames import MAX_FRAME_BYTES, AttemptRef, Drain, JobAssign, JobCancel, encode_frame
from mediafleet.scheduler.links import LinkedNode, LinkTable, split_by_bytes
from mediafleet.store.records import PlacedTask, Stop


def placed(name: str, size: int = 2, *, node: str = "n0-a", job: str = "j0-x") -> PlacedTask:
    doc = '"' + "d" * (size - 2) + '"'
    return PlacedTask(f"{job}.{name}", f"g-{name}", 1, f"{node}/cpu", 1, job, doc)


def linked(table: LinkTable, node: str, *, epoch: int = 1) -> RecordingLink:
    link = RecordingLink(node)
    table.put(node, LinkedNode(link, epoch))
    return link


def test_assignments_are_split_before_a_frame_is_too_large() -> None:
    tasks = [placed("a", 400), placed("b", 500), placed("c", 200), placed("d", 900), placed("e", 100)]
    parts = split_by_bytes(tasks, limit_bytes=1_000)
    assert [[task.task[-1] for task in part] for part in parts] == [["a", "b"], ["c"], ["d", "e"]]


def test_a_task_that_is_too_large_by_itself_gets_a_frame_of_its_own() -> None:
    parts = split_by_bytes([placed("a", 5), placed("b", 50), placed("c", 5)], limit_bytes=10)
    assert [len(part) for part in parts] == [1, 1, 1]


def test_no_tasks_make_no_frame() -> None:
    assert split_by_bytes([]) == []


@given(st.lists(st.integers(2, 60), max_size=30), st.integers(1, 100))
def test_splitting_keeps_every_task_in_order_and_every_frame_below_the_limit(sizes: list[int], limit: int) -> None:
    tasks = [placed(str(number), size) for number, size in enumerate(sizes)]
    parts = split_by_bytes(tasks, limit_bytes=limit)
    assert [task for part in parts for task in part] == tasks
    assert all(part for part in parts)
    assert all(len(part) == 1 or sum(len(task.doc) for task in part) <= limit for part in parts)


def test_tasks_with_other_than_ascii_text_stay_below_the_largest_frame_as_well() -> None:
    table = LinkTable()
    link = linked(table, "n0-a")
    long = msgspec.structs.replace(placed("a"), doc='"' + "漢" * 500_000 + '"')
    table.assign([msgspec.structs.replace(long, task=f"j0-x.{number}") for number in range(4)])
    assert all(len(encode_frame(frame)) <= MAX_FRAME_BYTES for frame in link.frames)


def test_the_link_that_a_newer_one_replaces_is_named_once() -> None:
    table, first, second = LinkTable(), RecordingLink("n0-a"), RecordingLink("n0-a")
    assert table.put("n0-a", LinkedNode(first, 1)) is None
    assert table.put("n0-a", LinkedNode(second, 2)) is first
    assert table.get("n0-a") == LinkedNode(second, 2)


def test_a_node_that_registers_again_on_its_link_does_not_replace_itself() -> None:
    table, link = LinkTable(), RecordingLink("n0-a")
    table.put("n0-a", LinkedNode(link, 1))
    assert table.put("n0-a", LinkedNode(link, 2)) is None
    found = table.of_link(link)
    assert found
    assert found.epoch == 2


def test_a_link_that_was_replaced_speaks_for_nobody_and_removes_nothing() -> None:
    table = LinkTable()
    old = linked(table, "n0-a", epoch=1)
    new = linked(table, "n0-a", epoch=2)
    assert table.of_link(old) is None
    assert table.remove(old) is None
    assert table.all() == [new]


def test_a_link_is_removed_once() -> None:
    table = LinkTable()
    link = linked(table, "n0-a", epoch=3)
    assert table.remove(link) == LinkedNode(link, 3)
    assert table.remove(link) is None
    assert table.all() == []


def test_a_frame_that_no_link_takes_is_told_to_its_sender() -> None:
    table = LinkTable()
    link = linked(table, "n0-a")
    assert table.send("n0-a", Drain()) is True
    assert table.send("n0-b", Drain()) is False
    link.is_full = True
    assert table.send("n0-a", Drain()) is False
    assert link.frames == [Drain()]


def test_each_node_gets_its_assignments_in_one_frame() -> None:
    table = LinkTable()
    a, b = linked(table, "n0-a"), linked(table, "n0-b")
    assert table.assign([placed("one"), placed("two", node="n0-b"), placed("three")]) == []
    assert [len(frame.assignments) for frame in a.of_type(JobAssign)] == [2]
    (only,) = b.of_type(JobAssign)[0].assignments
    assert (only.task, only.grant, only.attempt, only.executor, only.cost) == ("j0-x.two", "g-two", 1, "cpu", 1)


def test_a_task_is_sent_as_it_was_stored() -> None:
    table = LinkTable()
    link = linked(table, "n0-a")
    table.assign([msgspec.structs.replace(placed("one"), doc='{"step": "noop",  "spaces":1}')])
    assert b'"spec":{"step": "noop",  "spaces":1}' in encode_frame(link.frames[0])


def test_only_what_could_not_be_handed_over_comes_back() -> None:
    table = LinkTable()
    linked(table, "n0-a")
    linked(table, "n0-b").is_full = True
    tasks = [placed("one"), placed("two", node="n0-b"), placed("three", node="n0-gone"), placed("four")]
    assert [task.task for task in table.assign(tasks)] == ["j0-x.two", "j0-x.three"]


def test_a_link_that_fills_up_between_two_frames_gets_none_of_the_second() -> None:
    table = LinkTable()
    link = linked(table, "n0-a")
    link.room = 1
    large = [placed("one", 1_500_000), placed("two", 1_500_000)]
    assert table.assign(large) == large[1:]
    assert len(link.frames) == 1


def test_nodes_are_told_what_to_end_and_why_in_one_frame_each() -> None:
    table = LinkTable()
    a, b = linked(table, "n0-a"), linked(table, "n0-b")
    stops = [Stop("j0-x.1", "g1", "n0-a/cpu"), Stop("j0-x.2", "g2", "n0-b/"), Stop("j0-x.3", "g3", "n0-a/gpu0")]
    table.cancel([*stops, Stop("j0-x.4", "g4", "n0-gone/cpu")], "the job has ended")
    assert a.frames == [JobCancel((AttemptRef("j0-x.1", "g1"), AttemptRef("j0-x.3", "g3")), "the job has ended")]
    assert b.frames == [JobCancel((AttemptRef("j0-x.2", "g2"),), "the job has ended")]


def test_nobody_is_written_to_where_there_is_nothing_to_end() -> None:
    table = LinkTable()
    link = linked(table, "n0-a")
    table.cancel([], "the job has ended")
    assert link.frames == []
