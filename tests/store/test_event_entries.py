"""Events share entries of the stream, and none is lost or repeated where a reader goes on in the middle of one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests_support.store_driver import StoreDriver

from mediafleet.domain.event import EventType, event_position
from mediafleet.store import Store
from mediafleet.store.event_entries import EVENTS_OF_ENTRY, entry_of, read_events
from mediafleet.store.scripts import load_script

TIMES = st.tuples(st.integers(0, 2**53), st.integers(0, 2**31))


@pytest.fixture
def driver(store: Store) -> StoreDriver:
    return StoreDriver(store)


def entry(name: str, *lines: str) -> tuple[bytes, dict[bytes, bytes]]:
    return name.encode(), {b"e": "\n".join(lines).encode()}


@given(TIMES, TIMES)
def test_positions_are_compared_as_numbers(one: tuple[int, int], other: tuple[int, int]) -> None:
    first, second = (event_position(f"{time}-{sequence}") for time, sequence in (one, other))
    assert (first < second) == (one < other)


def test_a_position_without_a_sequence_is_the_first_of_its_millisecond() -> None:
    assert event_position("17") == (17, 0)


@given(TIMES, st.integers(1, EVENTS_OF_ENTRY))
def test_each_line_has_a_position_that_leads_back_to_its_entry(name: tuple[int, int], count: int) -> None:
    text = f"{name[0]}-{name[1]}"
    found = read_events(entry(text, *["job.accepted\tjob\tj0-x\t{}"] * count))
    assert [entry_of(event.id) for event in found] == [text] * count
    positions = [event_position(event.id) for event in found]
    assert positions == sorted(set(positions))
    following = read_events(entry(f"{name[0]}-{name[1] + 1}", "job.accepted\tjob\tj0-x\t{}"))
    assert positions[-1] < event_position(following[0].id)


def test_an_event_is_of_a_job_or_of_a_node() -> None:
    job, node = read_events(entry("5-0", 'job.failed\tjob\tj0-x\t{"a":"b c"}', "node.lost\tnode\tn0-y\t{}"))
    assert (job.type, job.job, job.node, job.data, job.at_ms) == (EventType.JOB_FAILED, "j0-x", "", {"a": "b c"}, 5)
    assert (node.type, node.job, node.node, node.data, node.id) == (EventType.NODE_LOST, "", "n0-y", {}, "5-1")


def test_scripts_write_as_many_lines_as_readers_reckon_with() -> None:
    assert f"LINES, happened = {EVENTS_OF_ENTRY}," in load_script("submit")


async def test_events_of_one_call_share_entries_and_come_in_order(driver: StoreDriver) -> None:
    jobs = [driver.job_record({"run": ()}) for _ in range(EVENTS_OF_ENTRY + 3)]
    await driver.submit(*jobs)
    read = driver.store.read
    found = await read.past_events("0-0")
    assert [event.job for event in found] == [job.id for job in jobs]
    assert await driver.store.redis.xlen(driver.store.keys.events) == 2
    assert await read.last_event_id() == found[-1].id


async def test_a_reader_goes_on_in_the_middle_of_an_entry(driver: StoreDriver) -> None:
    await driver.submit(*[driver.job_record({"run": ()}) for _ in range(EVENTS_OF_ENTRY + 3)])
    read = driver.store.read
    found = await read.past_events("0-0")
    for number, event in enumerate(found):
        assert await read.past_events(event.id) == found[number + 1 :]
    assert await read.past_events(found[0].id, count=2) == found[1:]
