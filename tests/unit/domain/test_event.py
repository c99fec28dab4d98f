"""What the fleet tells those who watch it keeps its names and its shape."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.domain.event import Event, EventType
from mediafleet.domain.lifecycle import FINAL_JOB_STATUSES

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
events = st.builds(
    Event,
    st.from_regex(r"[0-9]{1,13}-[0-9]{1,3}", fullmatch=True),
    st.sampled_from(EventType),
    st.integers(0, 2**45),
    st.text(),
    st.text(),
    st.dictionaries(st.text(), json_values, max_size=3),
)


@given(events)
def test_a_watcher_reads_what_was_told(event: Event) -> None:
    assert msgspec.json.decode(msgspec.json.encode(event), type=Event) == event


def test_the_names_are_those_that_clients_listen_for() -> None:
    assert [kind.value for kind in EventType] == [
        "job.accepted",
        "job.started",
        "job.progressed",
        "job.completed",
        "job.failed",
        "job.cancelled",
        "job.revived",
        "job.paused",
        "job.resumed",
        "job.asked",
        "job.reviewed",
        "task.retried",
        "task.dead",
        "node.registered",
        "node.unlinked",
        "node.draining",
        "node.paused",
        "node.resumed",
        "fleet.paused",
        "fleet.resumed",
        "node.changed",
        "node.lost",
        "unknown",
    ]


@pytest.mark.parametrize("status", sorted(FINAL_JOB_STATUSES))
def test_every_end_of_a_job_is_told_under_the_name_of_its_status(status: str) -> None:
    """The scripts build the name that way."""
    assert EventType(f"job.{status}")


def test_an_event_of_a_job_says_nothing_of_nodes() -> None:
    event = Event("1-0", EventType.JOB_STARTED, 1, job="j0-1")
    assert msgspec.to_builtins(event) == {"id": "1-0", "type": "job.started", "at_ms": 1, "job": "j0-1"}


def test_two_events_do_not_share_their_data() -> None:
    one, two = (Event(f"{position}-0", EventType.JOB_STARTED, 1) for position in (1, 2))
    one.data["status"] = "processing"
    assert two.data == {}


@pytest.mark.parametrize("text", ['{"id": "1-0", "type": "job.eaten", "at_ms": 1}', '{"id": "1-0", "at_ms": 1}'])
def test_what_is_no_event_is_refused(text: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=Event)
