"""What scripts take and give keeps its shape: the other side is Lua, where nothing checks names."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.domain.capability import Requirement
from mediafleet.domain.frames import AttemptRef
from mediafleet.domain.lifecycle import PriorityClass
from mediafleet.store import records
from mediafleet.store.records import QueueSpec, ReapRules

requirements = st.builds(
    Requirement,
    st.lists(st.sampled_from(["kind:noop", "hw:cuda", "lang:en"]), unique=True).map(lambda words: tuple(sorted(words))),
    st.integers(1, 3),
)
specs = st.builds(QueueSpec, requirements, st.sampled_from(PriorityClass))

FREED: dict[str, Any] = {"pools": [], "waiting_version": 0}
RECORDS = [kind for kind in vars(records).values() if isinstance(kind, type) and kind.__module__ == records.__name__]


@given(specs, specs)
def test_tasks_share_a_queue_exactly_if_requirement_class_and_policy_are_equal(one: QueueSpec, two: QueueSpec) -> None:
    assert (one.id == two.id) == (one == two)


@given(specs)
def test_the_name_of_a_queue_fits_into_a_key(spec: QueueSpec) -> None:
    assert re.fullmatch(r"[lib]-[0-9a-f]{16}", spec.id)
    assert spec.id[0] == spec.priority[0], "the scripts take the class from the name"
    assert msgspec.json.decode(msgspec.json.encode(spec), type=QueueSpec).id == spec.id


def test_the_name_of_a_queue_stays_the_same_over_restarts_and_versions() -> None:
    """Waiting tasks lie under it: a change of this literal needs a migration."""
    assert QueueSpec(Requirement(("kind:noop",), 2), PriorityClass.LIVE).id == "l-05bb29588bd874a3"


def test_another_policy_is_another_queue() -> None:
    plain = QueueSpec(Requirement(), PriorityClass.BATCH)
    assert plain.policy == "least_loaded"
    assert QueueSpec(Requirement(), PriorityClass.BATCH, "spread").id != plain.id


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_a_script_gets_and_gives_maps_with_names(kind: Any) -> None:
    """A list would shift every field that follows a new one, without an error on either side."""
    assert issubclass(kind, msgspec.Struct)
    assert not kind.__struct_config__.array_like
    assert kind.__struct_config__.frozen


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_a_field_of_a_newer_script_does_not_break_an_older_instance(kind: Any) -> None:
    """Two versions share a store while an upgrade lasts."""
    assert not kind.__struct_config__.forbid_unknown_fields


@pytest.mark.parametrize(("expired", "shown"), [({"node": 2}, {"node": 2}), ([], []), ({}, {})])
def test_counts_that_are_empty_come_from_lua_as_a_list(expired: Any, shown: Any) -> None:
    lists: dict[str, Any] = {name: [] for name in ("stops", "jobs", "artifacts", "queues")}
    packed = msgspec.msgpack.encode(lists | {"grace": False, "more": False, "freed": FREED, "expired": expired})
    assert msgspec.msgpack.decode(packed, type=records.Reaped).expired == shown


@pytest.mark.parametrize(
    ("kind", "reply"),
    [
        (records.Finished, {"verdicts": ["won"], "stops": [], "queues": [], "freed": FREED}),
        (records.Failed, {"verdicts": ["accepted"], "queues": [], "freed": FREED}),
        (records.Finished, {"verdicts": [], "stops": [], "queues": [], "freed": {"pools": []}}),
        (records.Placed, {"assignments": [], "sent": 0, "waiting": 0, "version": 1}),
        (records.Stops, {"stops": [{"task": "j0-1.a", "grant": "g"}]}),
    ],
)
def test_a_reply_that_is_not_what_was_agreed_is_refused(kind: Any, reply: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(reply), type=kind)


def test_a_submission_without_a_missing_artifact_need_not_say_so() -> None:
    reply = msgspec.msgpack.encode({"jobs": [{"id": "j0-1", "created": True}], "queues": []})
    assert msgspec.msgpack.decode(reply, type=records.Submitted).missing == ""


def test_progress_leaves_out_what_nobody_knows() -> None:
    """Lua's `nil` is a missing name; a `null` of MessagePack would be written into the hash as text."""
    packed = msgspec.to_builtins(records.ProgressRecord("j0-1.a", "g", 0.5, "encoding", "{}"))
    assert set(packed) == {"task", "grant", "fraction", "stage", "about"}


def test_attempts_inside_a_record_become_plain_maps() -> None:
    attempts = records.NodeAttempts("n0-a", 3, (AttemptRef("j0-1.a", "g"),))
    expected = {"node": "n0-a", "epoch": 3, "attempts": ({"task": "j0-1.a", "grant": "g"},)}
    assert msgspec.to_builtins(attempts) == expected


def test_the_reaper_takes_its_work_in_bounded_pieces_unless_told_otherwise() -> None:
    rules = ReapRules(gap_ms=1, grace_ms=1, retention_ms=1, timeout_error="{}", delays=[])
    assert (rules.limit, rules.retry_ms) == (200, 60_000)
