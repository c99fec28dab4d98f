"""The client: settings that fit scripts and blocking reads, and errors of Redis in sentences a user can act on."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from redis import exceptions

from mediafleet.domain.errors import ConfigError, MediafleetError, StoreUnavailable
from mediafleet.store import connection
from mediafleet.store.connection import connect, translate_errors
from mediafleet.store.embedded import EmbeddedRedis

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path


@pytest.fixture
async def server(tmp_path: Path) -> AsyncGenerator[EmbeddedRedis]:
    async with EmbeddedRedis(tmp_path) as server:
        yield server


@pytest.fixture
async def client(server: EmbeddedRedis) -> AsyncGenerator[Any]:
    client = connect(server.url, prefix="te st")
    yield client
    await client.aclose()


async def test_replies_are_bytes_and_the_client_is_named(client: Any) -> None:
    await client.set("key", b"\xff")
    assert await client.get("key") == b"\xff"
    assert await client.client_getname() in {b"mediafleet-te-st", "mediafleet-te-st"}


async def test_more_callers_than_connections_wait_instead_of_failing(client: Any) -> None:
    results = await asyncio.gather(*(client.incr("count") for _ in range(connection.MAX_CONNECTIONS * 4)))
    assert sorted(results) == list(range(1, connection.MAX_CONNECTIONS * 4 + 1))
    assert (await client.info("clients"))["connected_clients"] <= connection.MAX_CONNECTIONS


async def test_longest_blocking_read_fits_into_the_socket_timeout(client: Any) -> None:
    settings = client.connection_pool.connection_kwargs
    assert settings["socket_timeout"] * 1000 > connection.LONGEST_BLOCK_MS
    reading = asyncio.create_task(client.xread({"stream": "$"}, block=connection.LONGEST_BLOCK_MS))
    async with asyncio.timeout(10):
        while (await client.info("clients"))["blocked_clients"] == 0:
            pass
    await client.xadd("stream", {"field": "value"})
    assert (await reading)[0][0] == b"stream"


@pytest.mark.chaos
async def test_failed_command_is_not_sent_again(server: EmbeddedRedis, client: Any) -> None:
    await client.set("count", 0)
    script = "redis.call('INCR', 'count') while true do end"
    running = asyncio.create_task(client.eval(script, 0))
    await asyncio.to_thread(wait_until_busy, server.pid)
    os.kill(server.pid, signal.SIGKILL)
    with pytest.raises(StoreUnavailable), translate_errors():
        await running
    await server.restart()
    assert int(await client.get("count")) <= 1


def wait_until_busy(pid: int) -> None:
    """Wait until the server has spent processor time on an endless script."""
    import psutil  # noqa: PLC0415

    process = psutil.Process(pid)
    start = process.cpu_times().user
    while process.cpu_times().user < start + 0.05:
        pass


async def test_absent_server_is_store_unavailable_at_once(tmp_path: Path) -> None:
    client: Any = connect(f"unix://{tmp_path}/none.sock", prefix="test")
    with pytest.raises(StoreUnavailable, match="cannot be reached") as failure, translate_errors():
        await client.ping()
    assert failure.value.retryable
    assert isinstance(failure.value.__cause__, exceptions.ConnectionError)
    await client.aclose()


async def test_silent_server_is_store_unavailable(server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "SOCKET_TIMEOUT_S", 0.1)
    client: Any = connect(server.url, prefix="test")
    await client.ping()
    os.kill(server.pid, signal.SIGSTOP)
    try:
        with pytest.raises(StoreUnavailable, match="not known"), translate_errors():
            await client.ping()
    finally:
        os.kill(server.pid, signal.SIGCONT)
        await client.aclose()


async def test_full_memory_is_store_unavailable_also_inside_a_script(client: Any) -> None:
    await client.config_set("maxmemory", "1")
    with pytest.raises(StoreUnavailable, match="memory limit"), translate_errors():
        await client.set("key", "value")
    with pytest.raises(StoreUnavailable, match="memory limit"), translate_errors():
        await client.eval("return redis.call('SET', KEYS[1], 'value')", 1, "key")


async def test_replica_is_store_unavailable_also_inside_a_script(client: Any) -> None:
    await client.execute_command("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(StoreUnavailable, match="read-only replica"), translate_errors():
        await client.set("key", "value")
    with pytest.raises(StoreUnavailable, match="read-only replica"), translate_errors():
        await client.eval("return redis.call('SET', KEYS[1], 'value')", 1, "key")


async def test_too_few_replicas_is_store_unavailable(client: Any) -> None:
    await client.config_set("min-replicas-to-write", 1)
    with pytest.raises(StoreUnavailable, match="too few replicas"), translate_errors():
        await client.set("key", "value")


async def test_wrong_password_is_a_configuration_error_that_does_not_show_it(
    server: EmbeddedRedis, client: Any
) -> None:
    await client.config_set("requirepass", "right")
    stranger: Any = connect(server.url.replace("unix://", "unix://:hunter2@"), prefix="test")
    with pytest.raises(ConfigError, match="user name or password") as failure, translate_errors():
        await stranger.ping()
    assert "hunter2" not in f"{failure.value} {failure.value.detail}"
    await stranger.aclose()
    await client.config_set("requirepass", "")


@pytest.mark.parametrize(
    ("theirs", "expected"),
    [
        (exceptions.BusyLoadingError("Redis is loading the dataset in memory"), "loading"),
        (exceptions.TimeoutError("Timeout reading"), "in time"),
        (exceptions.MaxConnectionsError("Too many connections"), "cannot be reached"),
        (exceptions.ResponseError("MISCONF Errors writing to the AOF file: No space left on device"), "to disk"),
        (exceptions.ResponseError("BUSY Redis is busy running a script."), "long script"),
        (exceptions.MasterDownError("Link with MASTER is down"), "primary"),
    ],
)
def test_every_way_of_being_away_is_retryable(theirs: Exception, expected: str) -> None:
    with pytest.raises(MediafleetError, match=expected) as failure, translate_errors():
        raise theirs
    assert failure.value.retryable


@pytest.mark.parametrize("mistake", ["WRONGTYPE", "NOSCRIPT", "unknown command"])
async def test_mistakes_of_ours_pass_unchanged(client: Any, mistake: str) -> None:
    calls = {
        "WRONGTYPE": lambda: client.eval("redis.call('SET', 'k', 1) return redis.call('LPOP', 'k')", 0),
        "NOSCRIPT": lambda: client.evalsha("0" * 40, 0),
        "unknown command": lambda: client.execute_command("NOSUCH"),
    }
    with pytest.raises(exceptions.ResponseError), translate_errors():
        await calls[mistake]()


def test_errors_of_others_pass_unchanged() -> None:
    with pytest.raises(KeyError), translate_errors():
        raise KeyError


@pytest.mark.parametrize("url", ["http://user:hunter2@host", "redis://host:port/0", ""])
def test_malformed_address_is_a_configuration_error_that_does_not_repeat_it(url: str) -> None:
    with pytest.raises(ConfigError, match="Redis address") as failure:
        connect(url, prefix="test")
    assert "hunter2" not in str(failure.value)


def flat(classes: connection._Theirs) -> tuple[type[exceptions.RedisError], ...]:
    return classes if isinstance(classes, tuple) else (classes,)


def test_no_class_is_hidden_by_a_wider_one_before_it() -> None:
    """Most errors of redis-py are ConnectionErrors: the first sentence that fits is the one a user reads."""
    seen: list[type[exceptions.RedisError]] = []
    for theirs, _, _ in connection._BY_CLASS:
        assert not any(issubclass(one, earlier) for one in flat(theirs) for earlier in seen)
        seen += flat(theirs)


@pytest.mark.parametrize(
    ("theirs", "sentence"), [(one, text) for theirs, _, text in connection._BY_CLASS for one in flat(theirs)]
)
def test_each_class_has_its_sentence_and_keeps_what_the_server_said(
    theirs: type[exceptions.RedisError], sentence: str
) -> None:
    # redis-py reads a slot and an address out of the words of an ASK.
    said = "1 host:2" if issubclass(theirs, exceptions.AskError) else "what the server said"
    with pytest.raises(MediafleetError) as failure, translate_errors():
        raise theirs(said)
    assert failure.value.message == sentence
    assert said in str(failure.value.detail)
    assert isinstance(failure.value.__cause__, theirs)


@pytest.mark.parametrize("code", connection._BY_CODE)
@pytest.mark.parametrize(
    "text",
    ["{} something is wrong", "Error running script (call to f_0): @user_script:1: -{} something is wrong"],
)
def test_a_code_is_known_wherever_a_server_puts_it(code: str, text: str) -> None:
    with pytest.raises(StoreUnavailable) as failure, translate_errors():
        raise exceptions.ResponseError(text.format(code))
    assert failure.value.message == connection._BY_CODE[code]


@pytest.mark.parametrize(
    "text", ["BUSYGROUP Consumer Group name already exists", "WRONGTYPE of ROOM", "ZOOM in", "BUSY", "oom killer"]
)
def test_a_word_that_only_looks_like_a_code_is_a_mistake_of_ours(text: str) -> None:
    with pytest.raises(exceptions.ResponseError), translate_errors():
        raise exceptions.ResponseError(text)


@pytest.mark.parametrize(
    ("hidden", "sentence"),
    [
        (exceptions.AuthenticationError("WRONGPASS"), "user name or password"),
        (exceptions.NoPermissionError("client|setname"), "may not run a command"),
        (exceptions.BusyLoadingError("LOADING"), "still loading"),
        (exceptions.ResponseError("DB index is out of range"), "cannot be reached; check that it runs and the address"),
    ],
)
def test_what_was_refused_while_connecting_is_seen_through_the_error_around_it(hidden: Any, sentence: str) -> None:
    around = exceptions.ConnectionError(str(hidden))
    around.__cause__ = hidden
    with pytest.raises(MediafleetError, match=sentence), translate_errors():
        raise around


async def test_a_user_without_rights_is_told_what_to_grant(server: EmbeddedRedis, client: Any) -> None:
    await client.acl_setuser("small", enabled=True, passwords=["+word"], commands=["+ping"], keys=["test:*"])
    small: Any = connect(server.url.replace("unix://", "unix://small:word@"), prefix="test")
    with pytest.raises(ConfigError, match="give it all commands on keys of this prefix"), translate_errors():
        await small.set("key", "value")
    await small.aclose()


async def test_an_idle_connection_is_tried_before_it_is_used(client: Any) -> None:
    settings = client.connection_pool.connection_kwargs
    assert settings["health_check_interval"] == connection.HEALTH_CHECK_S
    assert settings["socket_connect_timeout"] == connection.CONNECT_TIMEOUT_S
    assert client.connection_pool.timeout == connection.POOL_WAIT_S


def test_a_block_without_an_error_and_one_that_is_cancelled_are_left_alone() -> None:
    with translate_errors():
        pass
    with pytest.raises(asyncio.CancelledError), translate_errors():
        raise asyncio.CancelledError
