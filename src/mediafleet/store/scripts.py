"""Loads the Lua scripts and runs them; each takes and returns one MessagePack map (docs/decisions/0001)."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from redis.exceptions import NoScriptError

from mediafleet.domain.lifecycle import FINAL_TASK_STATES, TRANSITIONS, TaskState
from mediafleet.domain.node import NODE_TRANSITIONS, NodeState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

    from redis.asyncio import Redis

Reply = TypeVar("Reply")

_INCLUDE = re.compile(r"^-- @include ([\w ]+)\n", re.MULTILINE)


def render_lifecycle() -> str:
    """Return the state table as Lua: scripts change a state through `after(state, event)` only."""
    rows = {
        state: ", ".join(f"{event}='{after}'" for (before, event), after in TRANSITIONS.items() if before is state)
        for state in TaskState
    }
    table = ",\n  ".join(f"{state} = {{{moves}}}" for state, moves in rows.items())
    final = ", ".join(f"{state} = true" for state in sorted(FINAL_TASK_STATES))
    # Local names only: Redis refuses a script that makes globals.
    return (
        f"local MOVES = {{\n  {table}\n}}\nlocal FINAL = {{{final}}}\n"
        "local function after(state, event) return state and MOVES[state] and MOVES[state][event] end\n"
    )


def render_node_states() -> str:
    """Return the table of a node's states as Lua; `includes/stand.lua` changes a state through it."""
    rows = {
        state: ", ".join(
            f"{event} = {{{', '.join(f'{after} = true' for after in sorted(states))}}}"
            for (before, event), states in NODE_TRANSITIONS.items()
            if before is state
        )
        for state in NodeState
    }
    table = ",\n  ".join(f"{state} = {{{moves}}}" for state, moves in rows.items())
    return f"local NODE_MOVES = {{\n  {table}\n}}\n"


def _folder() -> Traversable:
    return resources.files("mediafleet.store").joinpath("scripts")


def script_names() -> Iterator[str]:
    """Yield the names of all scripts."""
    for entry in _folder().iterdir():
        if entry.name.endswith(".lua"):
            yield entry.name.removesuffix(".lua")


def _include(match: re.Match[str]) -> str:
    return "".join(map(_included, match[1].split()))


def _included(name: str) -> str:
    if name == "state":
        return render_lifecycle()
    if name == "nodestate":
        return render_node_states()
    return _folder().joinpath("includes", f"{name}.lua").read_text("utf-8")


@cache
def load_script(name: str) -> str:
    """Return a script's whole text, its includes in place."""
    return _INCLUDE.sub(_include, _folder().joinpath(f"{name}.lua").read_text("utf-8"))


class Script:
    """One script, run on one cell of one server. Atomic; not undone if it fails half-way (it checks first)."""

    def __init__(self, name: str, redis: Redis, tag: str) -> None:
        self._redis = redis
        self._tag = tag
        self._text = load_script(name)
        # EVALSHA names scripts by their SHA-1, which a FIPS build of OpenSSL gives only for what is no security.
        self._sha = hashlib.sha1(self._text.encode(), usedforsecurity=False).hexdigest()

    async def run(self, arguments: dict[str, Any], reply: type[Reply]) -> Reply:
        """Run it and return its typed reply.

        Cancelling leaves open whether it ran. A server that lost its script cache gets the text again.
        """
        # By its hash, since the text of a script is longer than what most calls carry. NOSCRIPT is answered before
        # anything runs, so sending the text then cannot run it twice.
        packed = msgspec.msgpack.encode(arguments)
        try:
            raw: Any = await self._redis.evalsha(self._sha, 1, self._tag, packed)
        except NoScriptError:
            raw = await self._redis.eval(self._text, 1, self._tag, packed)
        return msgspec.msgpack.decode(raw, type=reply)


def as_text(document: Any) -> str:
    """Return a struct as the JSON text that the store keeps."""
    return msgspec.json.encode(document).decode()


def from_fields(fields: dict[bytes, bytes]) -> dict[str, str]:
    """Return a hash's fields as text."""
    return {name.decode(): value.decode() for name, value in fields.items()}
