"""The Lua scripts: whole when they are loaded, as their headers say, and there again after a restart."""

from __future__ import annotations

import hashlib
import re
from importlib import resources
from itertools import product
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from redis import exceptions

from mediafleet.domain.lifecycle import FINAL_TASK_STATES, TRANSITIONS, TaskEvent, TaskState
from mediafleet.domain.node import NODE_TRANSITIONS, NodeEvent, NodeState
from mediafleet.domain.push import PushClaims
from mediafleet.domain.rules import Membership
from mediafleet.store import Store, cell_records, health, pause_records, records, sessions
from mediafleet.store.scripts import (
    Script,
    as_text,
    from_fields,
    load_script,
    render_lifecycle,
    render_node_states,
    script_names,
)

if TYPE_CHECKING:
    from conftest import WholeLife

FOLDER = resources.files("mediafleet.store").joinpath("scripts")
NAMES = sorted(script_names())
INCLUDES = sorted(entry.name.removesuffix(".lua") for entry in FOLDER.joinpath("includes").iterdir())
LONGEST = 60
REPLIES: dict[str, Any] = {
    "check_schema": cell_records.SchemaAdopted,
    "announce": Membership,
    "borrow_artifact": records.Opened,
    "cancel": records.CancelPiece,
    "claim_homes": cell_records.HomesClaimed,
    "claim_root": cell_records.RootClaimed,
    "claim_push": PushClaims,
    "commit": records.Stops,
    "bury": cell_records.Buried,
    "claim_session": sessions.SessionClaim,
    "release_session": sessions.SessionReleased,
    "renew_sessions": sessions.SessionsRenewed,
    "configure": cell_records.Configured,
    "complete_artifact": records.Completed,
    "defer": cell_records.Deferred,
    "drain": records.Drained,
    "drop_artifact": records.Dropped,
    "drop_upload": records.Dropped,
    "expand": records.Expanded,
    "fail": records.Failed,
    "finish": records.Finished,
    "forward": cell_records.Forwarded,
    "forget": records.Forgotten,
    "leave_homes": cell_records.HomesLeft,
    "open_artifact": records.Opened,
    "pause": pause_records.PausePiece,
    "pause_fleet": pause_records.FleetPaused,
    "pause_node": pause_records.NodePaused,
    "place": records.Placed,
    "prolong_artifact": records.Opened,
    "progress": records.Stale,
    "reap": records.Reaped,
    "recheck": cell_records.Rechecked,
    "register": records.NodeAdmitted,
    "renew": records.Renewed,
    "reshape": health.Reshaped,
    "resume": pause_records.ResumePiece,
    "retire": cell_records.Retired,
    "retry": records.RetryPiece,
    "submit": records.Submitted,
    "unlink": records.Unlinked,
    "withhold": health.WithheldReply,
}


def source(name: str) -> str:
    return FOLDER.joinpath(f"{name}.lua").read_text("utf-8")


def included(name: str) -> list[str]:
    """Return the shared parts that a script asks for, in order."""
    return [part for line in re.findall(r"^-- @include (.+)$", source(name), re.MULTILINE) for part in line.split()]


def header(name: str) -> str:
    """Return the comment a script begins with, as one line."""
    lines = re.match(r"(-- (?!@).*\n)+", source(name))
    assert lines is not None, f"{name}.lua has no header"
    return " ".join(line.removeprefix("--").strip() for line in lines[0].splitlines())


def names_in(text: str) -> set[str]:
    """Return the names of a list like `job, tasks = [{id}] (at most 256), last = none follows`."""
    while (flat := re.sub(r"\[[^][]*\]|\{[^{}]*\}|\([^()]*\)", "", text)) != text:
        text = flat
    return {piece.group(1) for part in text.split(",") if (piece := re.match(r"\s*(\w+)\s*(?:=.*|or nil)?$", part))}


def taken(name: str) -> set[str]:
    return names_in(header(name).partition(" A: ")[2].partition(" Returns ")[0].partition(" how: ")[0])


def given(name: str) -> set[str]:
    reply = header(name).partition(" Returns ")[2]
    depth = 0
    for position, letter in enumerate(reply):
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if depth == 0:
            return names_in(reply[1:position])
    raise AssertionError(f"{name}.lua does not say what it returns")


def test_every_reply_is_known() -> None:
    assert sorted(REPLIES) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_header_names_what_the_script_gives(name: str) -> None:
    assert given(name) == set(REPLIES[name].__struct_fields__)


@pytest.mark.parametrize("name", NAMES)
def test_a_script_uses_no_argument_that_its_header_does_not_name(name: str) -> None:
    assert set(re.findall(r"\bA\.(\w+)", re.sub(r"--.*", "", source(name)))) <= taken(name)


async def test_every_script_gets_exactly_what_its_header_names(
    whole_life: WholeLife, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Besides `now` and `history`, which go to all scripts; `base.lua` explains them."""
    sent: dict[str, set[str]] = {}
    run: Any = Script.run
    by_text = {load_script(name): name for name in NAMES}

    async def note(script: Script, arguments: dict[str, Any], reply: Any) -> Any:
        sent.setdefault(by_text[script._text], set()).update(arguments)
        return await run(script, arguments, reply)

    monkeypatch.setattr(Script, "run", note)
    await whole_life.live()
    assert {name: names - {"now", "history"} for name, names in sent.items()} == {name: taken(name) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_a_script_is_complete_when_it_is_loaded(name: str) -> None:
    assert "@include" not in load_script(name)
    wanted = included(name)
    assert len(set(wanted)) == len(wanted)
    assert set(wanted) <= {*INCLUDES, "state", "nodestate"}
    assert wanted[0] == "base"


@pytest.mark.parametrize("name", [*NAMES, *(f"includes/{name}" for name in INCLUDES)])
def test_a_script_can_be_read_on_one_screen(name: str) -> None:
    assert source(name).count("\n") <= LONGEST
    assert source(name).startswith("-- ")


def test_every_shared_part_is_used_and_includes_no_other() -> None:
    assert {part for name in NAMES for part in included(name)} == {*INCLUDES, "state", "nodestate"}
    assert not any("@include" in source(f"includes/{name}") for name in INCLUDES)


@pytest.mark.parametrize("name", NAMES)
def test_no_script_walks_over_all_keys_of_the_server(name: str) -> None:
    assert not re.search(r"call\('(KEYS|SCAN|FLUSH\w+)'", load_script(name))


def test_a_script_that_does_not_exist_is_noticed_when_the_store_is_made() -> None:
    with pytest.raises(FileNotFoundError):
        load_script("no_such_script")


async def test_the_table_of_moves_is_the_same_in_lua(store: Store) -> None:
    client: Any = store.redis
    pairs = list(product(TaskState, TaskEvent))
    ask = render_lifecycle() + "return after(ARGV[1], ARGV[2])"
    told = {pair: await client.eval(ask, 0, *pair) for pair in pairs}
    assert {pair: answer.decode() for pair, answer in told.items() if answer} == TRANSITIONS


async def test_lua_knows_the_final_states_and_takes_a_missing_task_for_none(store: Store) -> None:
    client: Any = store.redis
    final = "local list = {} for state in pairs(FINAL) do list[#list + 1] = state end return list"
    assert {name.decode() for name in await client.eval(render_lifecycle() + final, 0)} == FINAL_TASK_STATES
    assert await client.eval(render_lifecycle() + "return after(false, 'cancel')", 0) is None
    assert await client.eval(render_lifecycle() + "return after('UNHEARD-OF', 'cancel')", 0) is None


async def test_the_table_of_a_nodes_states_is_the_same_in_lua(store: Store) -> None:
    client: Any = store.redis
    ask = render_node_states() + "local m = NODE_MOVES[ARGV[1]][ARGV[2]] return m and m[ARGV[3]] and 1 or 0"
    for state, event, target in product(NodeState, NodeEvent, NodeState):
        legal = target in NODE_TRANSITIONS.get((state, event), ())
        assert await client.eval(ask, 0, state, event, target) == legal


async def test_a_server_that_lost_its_scripts_gets_them_again(store: Store) -> None:
    client: Any = store.redis
    script = Script("open_artifact", store.redis, store.keys.tag)
    arguments = {"id": "a0-1", "doc": "{}", "state": "open", "retention_ms": 1}
    sha = hashlib.sha1(load_script("open_artifact").encode(), usedforsecurity=False).hexdigest()
    for _ in range(2):
        await client.script_flush()
        assert await client.script_exists(sha) == [False]
        assert (await script.run(arguments, records.Opened)).opened
        assert await client.script_exists(sha) == [True]


async def test_a_script_runs_once_though_it_had_to_be_sent_again(store: Store) -> None:
    client: Any = store.redis
    await client.script_flush()
    before = await store.read.last_event_id()
    await store.drain("n0-none", draining=True)
    await store.open_artifact("a0-1", doc="{}", state="open", retention_ms=1)
    assert await client.zcard(store.keys.due) == 1
    assert await store.read.last_event_id() == before


async def test_a_mistake_inside_a_script_is_not_taken_for_a_lost_script(store: Store) -> None:
    script = Script("open_artifact", store.redis, store.keys.tag)
    with pytest.raises(exceptions.ResponseError, match="nil"):
        await script.run({}, records.Opened)


async def test_a_reply_of_another_shape_is_refused(store: Store) -> None:
    script = Script("open_artifact", store.redis, store.keys.tag)
    arguments = {"id": "a0-1", "doc": "{}", "state": "open", "retention_ms": 1}
    with pytest.raises(msgspec.ValidationError, match="done"):
        await script.run(arguments, records.Forgotten)


def test_stored_text_is_compact_json_and_fields_come_back_as_text() -> None:
    assert as_text(records.SubmittedJob("j0-ñ", created=True)) == '{"id":"j0-ñ","created":true}'
    assert from_fields({b"name": "ñ".encode(), b"": b""}) == {"name": "ñ", "": ""}
