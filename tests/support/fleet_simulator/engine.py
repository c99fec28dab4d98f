"""Redis in memory: fakeredis runs the real scripts, on the time and the chance of the simulation.

What is adapted of fakeredis: scripts are compiled once, `cmsgpack` and `redis.sha1hex` are there, blocking reads return
at once (the client waits in virtual time instead), and expiry and stream ids go by virtual time.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Self, cast

import msgspec
from fakeredis import FakeServer, _helpers
from fakeredis._helpers import SimpleError
from fakeredis._socket import _base
from fakeredis._socket._fakesocket import FakeSocket
from fakeredis.commands_mixins import server_mixin
from fakeredis.commands_mixins.scripting_mixin import LUA_MODULE
from fakeredis.model import _stream
from redis.asyncio import Redis

_TIMED_MODULES = (_helpers, _base, server_mixin, _stream)


class _Session(FakeSocket):
    """One connection to the server; `last` is the answer to the latest command."""

    last: Any = None

    def put_response(self, msg: Any) -> None:
        self.last = msg

    def _blocking(self, timeout: float | None, func: Callable[[bool], Any], shape: Any = None) -> Any:
        found = func(True)  # noqa: FBT003 - fakeredis's
        return found if shape is None else shape(found)

    def eval(self, script: bytes, numkeys: int, *keys_and_args: bytes) -> Any:
        lua = self._get_server_runtime(self._server)
        state: Any = self._server
        cached: dict[bytes, Any] = state.compiled
        if script not in cached:
            cached[script] = lua.compile(script)
            self._server.script_cache[hashlib.sha1(script).hexdigest().encode()] = script  # noqa: S324 - a name
        state._lua_current_socket[0] = self
        self._script_resp = 2
        state._lua_set_keys_argv(
            lua.table_from(list(keys_and_args[:numkeys])), lua.table_from(list(keys_and_args[numkeys:]))
        )
        try:
            return self._convert_lua_result(cached[script](), nested=False)
        except LUA_MODULE.LuaError as error:
            raise SimpleError(f"ERR Error running script: {error}") from error
        finally:
            self._script_resp = None

    def _lua_redis_call(self, lua_runtime: Any, expected_globals: set[Any], op: bytes, *args: Any) -> Any:
        # As fakeredis does it, without looking for new globals at each command: the real server's tests hold that.
        func, sig = self._name_to_func(op.decode().lower())
        given = [value if type(value) is bytes else f"{value:.17g}".encode() for value in args]
        return self._convert_redis_result(lua_runtime, self._run_command(func, sig, given, from_script=True))


class Engine:
    """The server: commands in, answers out, at once. It can be looked at, copied and put back."""

    def __init__(self, wall_s: Callable[[], float]) -> None:
        self._wall_s = wall_s
        self._server = FakeServer(version=(7,))
        state: Any = self._server
        state.compiled = {}
        self._session = _Session(self._server, 0, client_class=Redis)
        self._add_functions()
        self._old_times: list[Any] = []

    def __enter__(self) -> Self:
        """Put fakeredis on virtual time."""
        clock = SimpleNamespace(time=self._wall_s, monotonic=self._wall_s)
        self._old_times = [cast("Any", module).time for module in _TIMED_MODULES]
        for module in _TIMED_MODULES:
            cast("Any", module).time = clock
        return self

    def __exit__(self, *_: object) -> None:
        """Put it back."""
        for module, before in zip(_TIMED_MODULES, self._old_times, strict=True):
            cast("Any", module).time = before

    def run(self, *command: Any) -> Any:
        """Run one command; return its raw answer, or raise redis-py's error."""
        fields = [_as_bytes(part) for part in command]
        self._session._process_command(fields)
        answer, self._session.last = self._session.last, None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def snapshot(self) -> Any:
        """Return all data as they are now."""
        database = self._server.dbs[0]
        return copy.deepcopy((database._dict, database._expiry_heap))

    def rewind(self, snapshot: Any) -> None:
        """Put older data back, as a fail-over or a cut append-only file does."""
        database = self._server.dbs[0]
        database._dict, database._expiry_heap = copy.deepcopy(snapshot)

    def forget_scripts(self) -> None:
        """Lose the script cache, as SCRIPT FLUSH and a restart do."""
        self._server.script_cache.clear()

    def stream_position(self, key: str) -> Any:
        """Return what changes when something is added to a stream."""
        item = self._server.dbs[0]._dict.get(key.encode())
        return item.value._last_id if item is not None else None

    def _add_functions(self) -> None:
        lua = self._session._get_server_runtime(self._server)
        state: Any = self._server

        def unpack(text: bytes) -> Any:
            return _to_lua(lua, msgspec.msgpack.decode(text))

        def pack(value: Any) -> bytes:
            return msgspec.msgpack.encode(_from_lua(value))

        def sha1hex(text: bytes) -> bytes:
            return hashlib.sha1(text).hexdigest().encode()  # noqa: S324 - a name

        lua.globals()[b"cmsgpack"] = lua.table_from({b"pack": pack, b"unpack": unpack})
        lua.globals()[b"redis"][b"sha1hex"] = sha1hex
        state._lua_expected_globals.add(b"cmsgpack")


def _as_bytes(part: Any) -> bytes:
    if isinstance(part, bytes):
        return part
    if isinstance(part, float):
        return repr(part).encode()
    return str(part).encode()


def _to_lua(lua: Any, value: Any) -> Any:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, list):
        return lua.table_from([_to_lua(lua, item) for item in cast("list[Any]", value)])
    if isinstance(value, dict):
        given = cast("dict[Any, Any]", value)
        return lua.table_from(
            {_to_lua(lua, key): _to_lua(lua, item) for key, item in given.items() if item is not None}
        )
    return value


def _from_lua(value: Any) -> Any:
    """Return what Redis's cmsgpack would have packed: tables with keys 1…n are lists, all others maps."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if LUA_MODULE.lua_type(value) != "table":
        return value
    items: dict[Any, Any] = dict(value.items())
    if all(position in items for position in range(1, len(items) + 1)):
        return [_from_lua(items[position]) for position in range(1, len(items) + 1)]
    return {_from_lua(key): _from_lua(item) for key, item in items.items()}
