"""The private Redis: it serves, keeps what it was given, and leaves nothing behind, whatever kills whom."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import psutil
import pytest
from redis.exceptions import RedisError

from mediafleet.domain.errors import ConfigError, DataDirectoryInUse, StoreUnavailable
from mediafleet.store import embedded, server_binary, server_files
from mediafleet.store.connection import connect
from mediafleet.store.embedded import EmbeddedRedis
from mediafleet.store.server_binary import find_server
from mediafleet.store.server_files import read_record

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

DEADLINE_S = 30.0


@asynccontextmanager
async def client_of(server: EmbeddedRedis) -> AsyncGenerator[Any]:
    client = connect(server.url, prefix="test")
    try:
        yield client
    finally:
        await client.aclose()


async def wait_gone(pid: int) -> None:
    """Wait until a process that is not our child has ended."""
    if psutil.pid_exists(pid):
        await asyncio.to_thread(psutil.Process(pid).wait, DEADLINE_S)


def servers_under(data: Path) -> list[int]:
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if any(str(data) in word for word in process.info["cmdline"] or ())
    ]


class Owner:
    """Another process that owns a server, wrote 100 values to it, and waits for ever."""

    def __init__(self, data: Path) -> None:
        program = f"""
            import asyncio
            from pathlib import Path
            from mediafleet.store.connection import connect
            from mediafleet.store.embedded import EmbeddedRedis

            async def own():
                async with EmbeddedRedis(Path({str(data)!r}), "always") as server:
                    client = connect(server.url, prefix="test")
                    for number in range(100):
                        await client.set(f"key{{number}}", number)
                    print(f"pid={{server.pid}}", flush=True)
                    await asyncio.Event().wait()

            asyncio.run(own())
        """
        self._process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True
        )

    async def server_pid(self) -> int:
        """Wait until the server runs and has the values."""
        assert self._process.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            while line := await asyncio.to_thread(self._process.stdout.readline):
                if line.startswith("pid="):
                    return int(line.removeprefix("pid="))
        raise AssertionError("The owner ended before its server was ready.")

    def end(self, sent: signal.Signals) -> None:
        """Send a signal and wait for the end of the process."""
        self._process.send_signal(sent)
        self._process.communicate(timeout=DEADLINE_S)


@pytest.fixture
def start_owner() -> Iterator[Callable[[Path], Owner]]:
    """Start owners that are ended after the test, however it ends."""
    owners: list[Owner] = []

    def start_one(data: Path) -> Owner:
        owners.append(Owner(data))
        return owners[-1]

    yield start_one
    for owner in owners:
        owner.end(signal.SIGINT)


async def test_serves_on_a_private_socket_and_leaves_nothing_behind(tmp_path: Path) -> None:
    async with EmbeddedRedis(tmp_path) as server:
        pid = server.pid
        assert read_record(tmp_path / "redis" / "redis.pid") is not None
        async with client_of(server) as client:
            assert await client.ping()
            settings = await client.config_get("*")
        assert (tmp_path / "redis").stat().st_mode & 0o777 == 0o700
        assert (tmp_path / "redis" / "redis.sock").stat().st_mode & 0o077 == 0
    assert settings["port"] == "0"
    assert settings["appendonly"] == "yes"
    assert settings["appendfsync"] == "everysec"
    assert settings["maxmemory-policy"] == "noeviction"
    assert settings["save"] == ""
    assert not psutil.pid_exists(pid)
    assert not list((tmp_path / "redis").glob("redis.sock"))
    assert not list((tmp_path / "redis").glob("redis.pid"))


async def test_durability_always_syncs_before_each_answer(tmp_path: Path) -> None:
    async with EmbeddedRedis(tmp_path, "always") as server, client_of(server) as client:
        assert await client.config_get("appendfsync") == {"appendfsync": "always"}


async def test_keeps_its_data_from_one_start_to_the_next(tmp_path: Path) -> None:
    async with EmbeddedRedis(tmp_path) as server, client_of(server) as client:
        await client.set("kept", "yes")
    async with EmbeddedRedis(tmp_path) as server, client_of(server) as client:
        assert await client.get("kept") == b"yes"


async def test_runs_apart_from_the_terminals_group(tmp_path: Path) -> None:
    async with EmbeddedRedis(tmp_path) as server:
        assert os.getpgid(server.pid) == server.pid != os.getpgid(0)


async def test_second_owner_is_told_who_the_first_is(tmp_path: Path) -> None:
    async with EmbeddedRedis(tmp_path) as server:
        with pytest.raises(DataDirectoryInUse, match=rf"process {os.getpid()}; stop .*--data"):
            await EmbeddedRedis(tmp_path).__aenter__()
        async with client_of(server) as client:
            assert await client.ping()


async def test_two_owners_starting_at_once_make_one_server(tmp_path: Path) -> None:
    first, second = EmbeddedRedis(tmp_path), EmbeddedRedis(tmp_path)
    outcomes = await asyncio.gather(first.__aenter__(), second.__aenter__(), return_exceptions=True)
    try:
        assert [type(outcome) for outcome in outcomes if isinstance(outcome, Exception)] == [DataDirectoryInUse]
        assert len(servers_under(tmp_path)) == 1
    finally:
        for outcome in outcomes:
            if isinstance(outcome, EmbeddedRedis):
                await outcome.__aexit__(None, None, None)


@pytest.mark.chaos
async def test_killed_owner_leaves_no_server_and_loses_nothing(
    tmp_path: Path, start_owner: Callable[[Path], Owner]
) -> None:
    owner = start_owner(tmp_path)
    pid = await owner.server_pid()
    owner.end(signal.SIGKILL)
    if sys.platform == "linux":
        await wait_gone(pid)
    async with EmbeddedRedis(tmp_path) as server, client_of(server) as client:
        assert server.pid != pid
        assert await client.dbsize() == 100
        assert not psutil.pid_exists(pid)


@pytest.mark.chaos
async def test_owner_and_server_killed_together_lose_nothing(
    tmp_path: Path, start_owner: Callable[[Path], Owner]
) -> None:
    owner = start_owner(tmp_path)
    pid = await owner.server_pid()
    os.kill(pid, signal.SIGSTOP)  # It cannot even react to its owner's death.
    owner.end(signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    await wait_gone(pid)
    async with EmbeddedRedis(tmp_path) as server, client_of(server) as client:
        assert await client.dbsize() == 100


@pytest.mark.chaos
async def test_interrupted_owner_stops_its_server(tmp_path: Path, start_owner: Callable[[Path], Owner]) -> None:
    owner = start_owner(tmp_path)
    pid = await owner.server_pid()
    owner.end(signal.SIGINT)
    await wait_gone(pid)
    assert not servers_under(tmp_path)
    assert not (tmp_path / "redis" / "redis.sock").exists()


def start(arguments: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


async def start_orphan(data: Path) -> subprocess.Popen[bytes]:
    """Start a server as an owner on a system without death signals would leave it: alive, with its record."""
    folder = data / "redis"
    folder.mkdir(parents=True)
    path = folder / "redis.sock"
    arguments = ["--port", "0", "--unixsocket", str(path), "--dir", str(folder), "--appendonly", "yes", "--save", ""]
    orphan = start([str(find_server().path), *arguments])
    server_files.write_record(folder / "redis.pid", pid=orphan.pid, socket=path)
    client: Any = connect(f"unix://{path}", prefix="test")
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                await client.set("orphan", "heard")
                break
            except RedisError:
                await asyncio.sleep(0)
    await client.aclose()
    return orphan


@pytest.mark.parametrize("hangs", [False, True], ids=["answers", "hangs"])
async def test_orphan_is_ended_before_the_next_server_starts(
    tmp_path: Path, *, hangs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mediafleet.store.embedded._ASK_LIMIT_S", 0.2)
    monkeypatch.setattr("mediafleet.store.embedded.STOP_GRACE_S", 0.2)
    orphan = await start_orphan(tmp_path)
    if hangs:
        orphan.send_signal(signal.SIGSTOP)
    async with EmbeddedRedis(tmp_path) as server, client_of(server) as client:
        assert not psutil.pid_exists(orphan.pid)
        assert await client.get("orphan") == b"heard"
    orphan.wait()


async def test_process_that_got_the_pid_of_an_old_server_is_left_alone(tmp_path: Path) -> None:
    innocent = start([sys.executable, "-c", "import signal; signal.pause()"])
    folder = tmp_path / "redis"
    folder.mkdir()
    record = {"pid": innocent.pid, "started_s": 1_000_000.0, "socket": str(folder / "redis.sock")}
    (folder / "redis.pid").write_text(json.dumps(record))
    try:
        async with EmbeddedRedis(tmp_path) as server:
            assert server.pid != innocent.pid
        assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.wait()


async def test_stale_socket_and_spoiled_record_do_not_hinder_a_start(tmp_path: Path) -> None:
    folder = tmp_path / "redis"
    folder.mkdir()
    (folder / "redis.pid").write_bytes(b"\x00{")
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(folder / "redis.sock"))
    async with EmbeddedRedis(tmp_path) as server, client_of(server) as client:
        assert await client.ping()


@pytest.mark.chaos
async def test_killed_server_is_noticed_and_a_restart_has_all_writes(tmp_path: Path) -> None:
    async with EmbeddedRedis(tmp_path, "always") as server, client_of(server) as client:
        watching = asyncio.create_task(server.watch())
        async with client.pipeline(transaction=False) as pipe:
            for number in range(1000):
                pipe.set(f"key{number}", number)
            await pipe.execute()
        os.kill(server.pid, signal.SIGKILL)
        assert "killed by SIGKILL" in await asyncio.wait_for(watching, DEADLINE_S)
        await server.restart()
        # The same client, without an error for its stale connections.
        assert await client.dbsize() == 1000


@pytest.mark.chaos
async def test_kept_running_server_comes_back_each_time_it_is_killed(tmp_path: Path) -> None:
    async with EmbeddedRedis(tmp_path, "always") as server:
        keeping = asyncio.create_task(server.keep_running())
        for _ in range(2):
            killed = server.pid
            os.kill(killed, signal.SIGKILL)
            async with asyncio.timeout(DEADLINE_S):
                while True:
                    try:
                        async with client_of(server) as client:
                            info = await client.info("server")
                        if info["process_id"] != killed:
                            break
                    except RedisError:
                        await asyncio.sleep(0)
    await asyncio.wait_for(keeping, DEADLINE_S)
    assert not servers_under(tmp_path)


async def test_watcher_hears_of_an_orderly_stop(tmp_path: Path) -> None:
    async with EmbeddedRedis(tmp_path) as server:
        watching = asyncio.create_task(server.watch())
        await asyncio.sleep(0)
    assert await asyncio.wait_for(watching, DEADLINE_S) == ""


async def test_append_only_file_with_a_torn_end_is_loaded(tmp_path: Path) -> None:
    async with EmbeddedRedis(tmp_path, "always") as server, client_of(server) as client:
        await client.set("whole", "1")
        await client.set("torn", "2")
    files = [path for path in (tmp_path / "redis").rglob("*.aof") if path.stat().st_size]
    newest = max(files, key=lambda path: path.stat().st_mtime_ns)
    os.truncate(newest, newest.stat().st_size - 3)
    async with EmbeddedRedis(tmp_path) as server, client_of(server) as client:
        assert await client.get("whole") == b"1"
        assert await client.get("torn") is None


async def test_unreadable_data_are_reported_with_the_servers_own_words(tmp_path: Path) -> None:
    folder = tmp_path / "redis"
    folder.mkdir()
    (folder / "appendonly.aof").write_bytes(b"this is no append-only file\r\n" * 10)
    with pytest.raises(StoreUnavailable, match=r"redis\.log") as failure:
        await EmbeddedRedis(tmp_path).__aenter__()
    assert "Bad file format" in failure.value.detail
    assert not servers_under(tmp_path)
    with pytest.raises(StoreUnavailable):  # The lock was let go: the second try fails for the same reason.
        await EmbeddedRedis(tmp_path).__aenter__()


async def test_data_of_a_newer_server_are_not_taken_for_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = server_binary.ServerBinary(find_server().path, "PATH", (6, 2))
    monkeypatch.setattr("mediafleet.store.embedded.find_server", lambda: old)
    (tmp_path / "redis" / "appendonlydir").mkdir(parents=True)
    with pytest.raises(ConfigError, match="version 7 or newer"):
        await EmbeddedRedis(tmp_path).__aenter__()


async def test_long_and_odd_data_paths_work_and_are_cleaned_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = tmp_path / "t"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    data = tmp_path / ("long " * 20) / 'quoted "däta" %2F?#'
    async with EmbeddedRedis(data) as server, client_of(server) as client:
        await client.set("kept", "yes")
    assert not list(temporary.iterdir())
    async with EmbeddedRedis(data) as server, client_of(server) as client:
        assert await client.get("kept") == b"yes"


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for a socket's name, as those of the test runner do not."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


@pytest.mark.chaos
async def test_short_folder_of_a_killed_owner_is_removed_by_the_next(
    tmp_path: Path, short_folder: Path, monkeypatch: pytest.MonkeyPatch, start_owner: Callable[[Path], Owner]
) -> None:
    temporary = short_folder
    monkeypatch.setenv("TMPDIR", str(temporary))
    data = tmp_path / ("long" * 25)
    owner = start_owner(data)
    await owner.server_pid()
    owner.end(signal.SIGKILL)
    assert len(list(temporary.iterdir())) == 1
    async with EmbeddedRedis(data) as server, client_of(server) as client:
        assert await client.dbsize() == 100
        assert len([path for path in temporary.iterdir() if path.is_dir()]) <= 1
    assert not list(temporary.iterdir())


def test_unusable_data_directory_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    async def enter() -> None:
        await EmbeddedRedis(tmp_path / "file").__aenter__()

    with pytest.raises(ConfigError, match="cannot be used as data directory"):
        asyncio.run(enter())


async def test_failing_owner_still_stops_its_server(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with EmbeddedRedis(tmp_path):
            raise ZeroDivisionError
    assert not servers_under(tmp_path)


async def test_cancelled_stop_kills_rather_than_leaves_the_server(tmp_path: Path) -> None:
    entered = asyncio.Event()

    async def own() -> None:
        async with EmbeddedRedis(tmp_path) as server:
            os.kill(server.pid, signal.SIGSTOP)  # It will not follow an orderly stop.
            entered.set()

    owning = asyncio.create_task(own())
    await asyncio.wait_for(entered.wait(), DEADLINE_S)
    await asyncio.sleep(0)
    owning.cancel()
    with pytest.raises(asyncio.CancelledError):
        await owning
    assert not servers_under(tmp_path)


class EndingProcess:
    """A server process in the last moment of its life, which the test chooses."""

    pid, returncode = 1, None

    def __init__(self) -> None:
        self.waited_for, self.ended = asyncio.Event(), asyncio.get_running_loop().create_future()

    def terminate(self) -> None:
        """Take the request."""

    kill = terminate

    async def wait(self) -> None:
        """Return once the test says so."""
        self.waited_for.set()
        await self.ended


async def test_a_stop_cancelled_in_the_moment_its_server_ends_is_cancelled_all_the_same(tmp_path: Path) -> None:
    server, process = EmbeddedRedis(tmp_path), EndingProcess()
    server._process = cast("Any", process)
    stopping = asyncio.create_task(server.__aexit__(None, None, None))
    await asyncio.wait_for(process.waited_for.wait(), DEADLINE_S)
    process.ended.set_result(None)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping


async def test_a_server_that_was_never_started_has_no_process(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="was not started"):
        _ = EmbeddedRedis(tmp_path).pid


async def test_a_restart_that_comes_after_the_stop_starts_nothing(tmp_path: Path) -> None:
    async with EmbeddedRedis(tmp_path) as server:
        pass
    await server.restart()
    assert not servers_under(tmp_path)


async def test_the_log_of_the_last_start_is_kept_beside_the_new_one(tmp_path: Path) -> None:
    for _ in range(2):
        async with EmbeddedRedis(tmp_path):
            pass
    async with EmbeddedRedis(tmp_path) as server:
        pid = server.pid
    logs = sorted(path.name for path in (tmp_path / "redis").glob("redis.log*"))
    assert logs == ["redis.log", "redis.log.1"]
    assert f"pid={pid}" in (tmp_path / "redis" / "redis.log").read_text()


@pytest.mark.parametrize(
    ("code", "sentence"),
    [(0, "exit code 0"), (3, "exit code 3"), (-9, "killed by SIGKILL"), (-99, "killed by signal 99")],
)
def test_the_end_of_a_server_is_told_in_words(code: int, sentence: str) -> None:
    assert embedded._describe_exit(code) == sentence
