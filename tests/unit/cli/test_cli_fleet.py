"""A command finds the fleet that its options mean, holds a local one, and explains its end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests_support.fake_scheduler import FakeScheduler

from mediafleet.cli import _fleet, _local
from mediafleet.cli._fleet import LOCAL_PATIENCE_S, REMOTE_PATIENCE_S, open_fleet
from mediafleet.cli._local import FleetRecord, ensure_fleet, find_fleet, wait_until_gone
from mediafleet.cli._options import ClientOptions
from mediafleet.domain.errors import ConfigError, SchedulerUnavailable, Unauthorized, Unavailable
from mediafleet.doors.http.presence import Presence
from mediafleet.doors.http.server import HttpServer

TOKEN = "a-token-of-sufficient-length-000000"  # noqa: S105 - of a fake
pytestmark = pytest.mark.usefixtures("workplace")


def record_of(scheduler: FakeScheduler, *, pid: int | None = None) -> FleetRecord:
    return FleetRecord(scheduler.url, pid or os.getpid(), scheduler.token)


def serve_locally(data: Path, scheduler: FakeScheduler) -> None:
    """Let the fake be the fleet of a data directory."""
    data.mkdir(exist_ok=True)
    text = f'{{"url": "{scheduler.url}", "pid": {os.getpid()}, "token": "{scheduler.token}"}}'
    (data / "fleet.json").write_text(text)


@pytest.fixture
def local(scheduler: FakeScheduler, tmp_path: Path) -> ClientOptions:
    serve_locally(tmp_path / "data", scheduler)
    return ClientOptions(data=tmp_path / "data")


async def test_a_named_server_is_used_as_it_is_and_not_held(scheduler: FakeScheduler) -> None:
    async with open_fleet(ClientOptions(server=scheduler.url)) as fleet:
        assert (fleet.local, fleet.is_new, fleet.patience_s) == (None, False, REMOTE_PATIENCE_S)
        assert await fleet.client.nodes()
    assert scheduler.requests == ["GET /api/v1/nodes"]


async def test_a_running_fleet_is_joined_and_held_until_the_block_ends(
    scheduler: FakeScheduler, local: ClientOptions
) -> None:
    async with open_fleet(local) as fleet:
        assert (fleet.local, fleet.is_new) == (record_of(scheduler), False)
        assert fleet.patience_s == LOCAL_PATIENCE_S
        await asyncio.to_thread(scheduler.wait_until, lambda: scheduler.holders == 1)
    await asyncio.to_thread(scheduler.wait_until, lambda: scheduler.holders == 0)


async def test_a_hold_that_is_lost_is_taken_up_again(scheduler: FakeScheduler, local: ClientOptions) -> None:
    async with open_fleet(local):
        scheduler.drop_streams()
        await asyncio.to_thread(scheduler.wait_until, lambda: len(scheduler.resumed_from) == 2)
        await asyncio.to_thread(scheduler.wait_until, lambda: scheduler.holders == 1)


async def test_the_token_of_a_local_fleet_need_not_be_given(tmp_path: Path) -> None:
    with FakeScheduler(token=TOKEN) as guarded:
        serve_locally(tmp_path / "data", guarded)
        async with open_fleet(ClientOptions(data=tmp_path / "data")) as fleet:
            assert await fleet.client.nodes()


async def test_a_token_that_is_given_and_wrong_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeScheduler(token=TOKEN) as guarded:
        serve_locally(tmp_path / "data", guarded)
        monkeypatch.setenv("MEDIAFLEET_TOKEN", "another-token-of-sufficient-length-0")
        with pytest.raises(Unauthorized):
            async with open_fleet(ClientOptions(data=tmp_path / "data")):
                pytest.fail("the token does not fit")


async def test_a_fleet_that_ends_while_it_is_joined_is_looked_for_again(
    scheduler: FakeScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_fleet, "_KNOCK_S", 0.1)
    found = iter([FleetRecord("http://127.0.0.1:1", os.getpid()), record_of(scheduler)])

    async def ensure() -> tuple[FleetRecord, bool]:
        return next(found), False

    async with _fleet._open_local(ensure, "") as fleet:
        assert fleet.client.base_url == scheduler.url


class Ending:
    """A fleet that still answers but takes no clients any more; its process is another one."""

    def __init__(self) -> None:
        self.presence = Presence(self.serve)
        self.presence.refuse()

    async def serve(self, *_: Any) -> None:
        pytest.fail("only clients come here")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        await self.presence(scope, receive, send)

    def stop(self) -> None:
        """Nothing waits for its clients."""


async def test_a_command_that_comes_to_a_fleet_that_ends_waits_until_it_is_gone(
    scheduler: FakeScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_fleet, "_KNOCK_S", 0.01)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=-1, stderr=-1)
    ending = Ending()
    were_gone: list[bool] = []
    async with HttpServer(ending, host="127.0.0.1", port=0) as server:
        old = FleetRecord(server.url, process.pid)

        async def ensure() -> tuple[FleetRecord, bool]:
            were_gone.append(not old.is_running)
            return (old, False) if len(were_gone) == 1 else (record_of(scheduler), True)

        async def wait(record: FleetRecord) -> None:
            # It ends only now that it is waited for.
            waiting = asyncio.create_task(wait_until_gone(record))
            await process.communicate(b"\n")
            await waiting

        monkeypatch.setattr(_fleet, "wait_until_gone", wait)
        async with asyncio.timeout(20):
            async with _fleet._open_local(ensure, "") as fleet:
                assert fleet.is_new
                assert await fleet.client.nodes()
    assert were_gone == [False, True]


async def test_after_a_few_tries_the_command_goes_on_and_finds_out_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_fleet, "_KNOCK_S", 0.01)
    tries = 0

    async def ensure() -> tuple[FleetRecord, bool]:
        nonlocal tries
        tries += 1
        return FleetRecord("http://127.0.0.1:1", os.getpid()), False

    async with _fleet._open_local(ensure, "") as fleet:
        assert fleet.local
    assert tries == 3


async def test_an_error_after_the_fleets_process_is_gone_says_that_it_ended(
    scheduler: FakeScheduler, local: ClientOptions
) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=-1, stderr=-1)
    assert local.data
    record = f'{{"url": "{scheduler.url}", "pid": {process.pid}}}'
    await asyncio.to_thread((local.data / "fleet.json").write_text, record)
    with pytest.raises(SchedulerUnavailable, match="ended unexpectedly"):
        async with open_fleet(local):
            await process.communicate(b"\n")
            raise Unavailable("No answer.")


async def test_an_error_of_a_fleet_that_still_runs_is_left_as_it_is(local: ClientOptions) -> None:
    with pytest.raises(Unavailable, match="No answer") as caught:
        async with open_fleet(local):
            raise Unavailable("No answer.")
    assert not isinstance(caught.value, SchedulerUnavailable)


async def test_options_that_cannot_work_open_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        async with open_fleet(ClientOptions(token_file=tmp_path / "missing")):
            pytest.fail("there is no token")


def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Let a shell script be the fleet that is started; the data directory is its current one."""
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(path))


async def test_a_fleet_that_never_serves_is_ended_and_its_log_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_local, "START_S", 0.5)
    stand_in(tmp_path, monkeypatch, "echo $$\nexec sleep 1000")
    data = tmp_path / "data"
    with pytest.raises(SchedulerUnavailable, match=r"did not serve within 0 s; its log is .*up\.log") as caught:
        await ensure_fleet(data, ClientOptions(data=data))
    assert not psutil.pid_exists(int(caught.value.detail))


async def test_an_interrupted_start_leaves_no_fleet_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, monkeypatch, "echo $$\nexec sleep 1000")
    data = tmp_path / "data"
    start = asyncio.create_task(ensure_fleet(data, ClientOptions(data=data)))
    async with asyncio.timeout(20):
        while not (pid := await asyncio.to_thread(_local._tail, data / "up.log")):  # noqa: ASYNC110 - a process
            await asyncio.sleep(0)
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert not FleetRecord("", int(pid)).is_running


# A fleet is meant to outlive the command that started it, and so is this one's process.
@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
async def test_a_start_that_another_fleet_was_faster_than_joins_it(
    scheduler: FakeScheduler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    serve_locally(tmp_path / "prepared", scheduler)
    record = tmp_path / "prepared" / "fleet.json"
    said = '{"error": {"code": "data-directory-in-use"}}'
    stand_in(tmp_path, monkeypatch, f"echo '{said}'\ncp {record} .\nexit 1")
    found, is_new = await ensure_fleet(data, ClientOptions(data=data))
    assert found == record_of(scheduler)
    assert not is_new


# As above.
@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
async def test_a_start_waits_for_the_fleet_of_before_to_let_go_of_the_directory(
    scheduler: FakeScheduler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    serve_locally(tmp_path / "prepared", scheduler)
    holder = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=-1, stderr=-1)
    data.mkdir()
    (data / "lock").write_text(f"{holder.pid}\n")
    # The first start finds the directory in use, the second one serves, which the copy of a record stands for.
    said = '{"error": {"code": "data-directory-in-use"}}'
    second = f"[ -e started ] && {{ cp {tmp_path / 'prepared' / 'fleet.json'} .; exec sleep 1000; }}"
    stand_in(tmp_path, monkeypatch, f"echo $$ >>pids\n{second}\n>started\necho '{said}'\nexit 1")
    looks = 0

    async def look(data: Path) -> FleetRecord | None:
        nonlocal looks
        looks += 1
        return await find_fleet(data)

    monkeypatch.setattr(_local, "find_fleet", look)
    start = asyncio.create_task(ensure_fleet(data, ClientOptions(data=data)))
    async with asyncio.timeout(20):
        while not (data / "started").exists():  # noqa: ASYNC110 - a process
            await asyncio.sleep(0)
        # It looks again and again, and does not start another one while the directory is taken.
        seen = looks
        while looks < seen + 4:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
        assert len((data / "pids").read_text().split()) == 1
        await holder.communicate(b"\n")
        assert (await start)[0] == record_of(scheduler)
    first, other = (data / "pids").read_text().split()
    assert first != other
    await _local.end_fleet(FleetRecord("", int(other)))


async def test_a_directory_that_is_never_let_go_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_local, "START_S", 0.2)
    stand_in(tmp_path, monkeypatch, "echo data-directory-in-use: stop that process\nexit 1")
    with pytest.raises(SchedulerUnavailable, match="stop that process"):
        await ensure_fleet(tmp_path / "data", ClientOptions())


async def test_only_the_end_of_a_long_log_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, monkeypatch, "for n in 1 2 3 4 5 6 7 8 9 10; do echo line $n; done\nexit 3")
    with pytest.raises(SchedulerUnavailable) as caught:
        await ensure_fleet(tmp_path / "data", ClientOptions())
    assert caught.value.detail.splitlines() == [f"line {number}" for number in range(3, 11)]


async def test_a_started_fleet_is_told_where_what_and_how_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, monkeypatch, 'echo "$@"\nexit 3')
    token = tmp_path / "token"
    await asyncio.to_thread(token.write_text, TOKEN)
    data = tmp_path / "data"
    with pytest.raises(SchedulerUnavailable) as caught:
        await ensure_fleet(data, ClientOptions(data=data, token_file=token), nodes=2)
    words = f"-P -m mediafleet.cli up --data {data} --port 0 --json --linger 10 --nodes 2 --token-file {token}"
    assert caught.value.detail == words


async def test_the_data_directory_is_made_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, monkeypatch, "exit 3")
    with pytest.raises(SchedulerUnavailable, match="exit code 3"):
        await ensure_fleet(tmp_path / "deep" / "data", ClientOptions())
    assert os.stat(tmp_path / "deep" / "data").st_mode & 0o777 == 0o700  # noqa: PTH116 - pathlib blocks as well


async def test_commands_that_start_at_once_wait_for_each_other(tmp_path: Path) -> None:
    order: list[str] = []
    inside, leave = asyncio.Event(), asyncio.Event()

    async def first() -> None:
        async with _local._start_lock(tmp_path):
            inside.set()
            await leave.wait()
            order.append("first")

    async def second() -> None:
        await inside.wait()
        leave.set()
        async with _local._start_lock(tmp_path):
            order.append("second")

    async with asyncio.timeout(20):
        await asyncio.gather(first(), second())
    assert order == ["first", "second"]


async def test_a_stranger_that_answers_at_the_records_address_is_no_fleet(tmp_path: Path) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        record = f'{{"url": "http://127.0.0.1:{port}", "pid": {os.getpid()}}}'
        await asyncio.to_thread((tmp_path / "fleet.json").write_text, record)
        assert await find_fleet(tmp_path) is None


async def test_a_fleet_that_does_not_end_when_asked_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_local, "END_S", 0.2)
    script = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); print(flush=True); signal.pause()"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=-1)
    assert process.stdout
    await process.stdout.readline()
    await _local.end_fleet(FleetRecord("", process.pid))
    assert await process.wait() == -signal.SIGKILL
