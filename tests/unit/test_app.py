"""What the composition root decides before and between the parts that it wires."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from mediafleet.app import processes
from mediafleet.app.alone import private
from mediafleet.app.local_nodes import node_environment, own_headroom, own_replace_roots
from mediafleet.app.processes import dismissed
from mediafleet.app.serving import Serving, complete_settings, fleet_record
from mediafleet.app.signals import Signals, first_of, only_if_it_fails
from mediafleet.doors.http.presence import Presence
from mediafleet.ops.config import load_settings
from mediafleet.ops.dismissal import DISMISSAL
from mediafleet.ops.settings import ArtifactSettings, LogSettings, NodeSettings, ServerSettings, Settings, StoreSettings

DEADLINE_S = 20.0


def test_on_loopback_no_token_is_asked_for_and_every_file_may_be_used(tmp_path: Path) -> None:
    settings = complete_settings(Settings(data=tmp_path))
    assert settings.server.token == ""
    assert settings.artifacts.file_roots == ("/",)
    assert os.listdir(tmp_path) == []


def test_folders_that_were_named_stay_the_only_ones(tmp_path: Path) -> None:
    named = Settings(data=tmp_path, artifacts=ArtifactSettings(file_roots=("/media",)))
    assert complete_settings(named).artifacts.file_roots == ("/media",)


def test_off_loopback_a_token_is_made_told_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings(data=tmp_path, server=ServerSettings(host="0.0.0.0"))  # noqa: S104 - never bound
    first, again = complete_settings(settings), complete_settings(settings)
    assert len(first.server.token) >= 20
    assert again.server.token == first.server.token
    told = capsys.readouterr().err
    assert first.server.token in told
    assert "--token-file or MEDIAFLEET_TOKEN" in told
    assert first.artifacts.file_roots == ()


def test_a_token_that_was_given_is_neither_replaced_nor_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(data=tmp_path, server=ServerSettings(host="0.0.0.0", token="mine"))  # noqa: S104, S106 - as above
    assert complete_settings(settings).server.token == "mine"  # noqa: S105 - as above
    assert capsys.readouterr().err == ""


def test_clients_find_the_fleet_while_it_serves_and_nobody_else_reads_its_token(tmp_path: Path) -> None:
    record = tmp_path / "fleet.json"
    settings = Settings(data=tmp_path, server=ServerSettings(token="mine"))  # noqa: S106 - as above
    with fleet_record(settings, "http://127.0.0.1:1"):
        assert stat.S_IMODE(record.stat().st_mode) == 0o600
        assert msgspec.json.decode(record.read_bytes()) == {
            "url": "http://127.0.0.1:1",
            "pid": os.getpid(),
            "token": "mine",
            "lingers": False,
        }
        assert os.listdir(tmp_path) == ["fleet.json"]
    assert os.listdir(tmp_path) == []


def test_the_record_of_a_fleet_that_was_killed_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "fleet.json").write_text("old")
    (tmp_path / "fleet.tmp").write_text("half")
    with fleet_record(Settings(data=tmp_path), "http://127.0.0.1:1"):
        assert b'"url"' in (tmp_path / "fleet.json").read_bytes()


def test_a_node_of_up_runs_with_the_settings_of_its_parent(tmp_path: Path) -> None:
    settings = Settings(
        data=tmp_path,
        store=StoreSettings(cell="7"),
        node=NodeSettings(slots=3, labels=("a", "b"), name="box", listen="127.0.0.1:9000"),
        log=LogSettings(level="error"),
    )
    environment = node_environment(settings, "secret-of-twenty-signs")
    assert environment["PATH"] == os.environ["PATH"]
    assert environment["MEDIAFLEET_TOKEN"] == "secret-of-twenty-signs"  # noqa: S105 - no password
    child = load_settings(environ=environment, flags={})
    # It calls the scheduler that started it: of several nodes only one could listen there. What else its user does on
    # his own machine keeps no work from it.
    headroom = ("cpu:0", "memory:5", "disk:1")
    # It serves this machine only, so it may replace files as it may read them.
    own = {"headroom": headroom, "replace_roots": ("/",)}
    expected = replace(settings.node, scheduler=child.node.scheduler, listen="", **own)
    assert (child.node, child.log) == (expected, settings.log)
    assert (child.store.cell, child.server.token) == ("7", "secret-of-twenty-signs")


def test_a_node_of_a_fleet_on_one_machine_has_no_master_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It would be a second worker, under a name of its own.
    monkeypatch.setenv("MEDIAFLEET_MASTER__URL", "http://studio.example/hub")
    monkeypatch.setenv("MEDIAFLEET_MASTER__TOKEN", "of-the-master")
    settings = Settings(data=tmp_path, node=NodeSettings(api="127.0.0.1:9000"))
    child = load_settings(environ=node_environment(settings, ""), flags={})
    assert (child.master.url, child.master.token, child.node.api) == ("", "", "")


def test_a_fleet_that_a_node_brings_along_is_its_own(tmp_path: Path) -> None:
    shared = StoreSettings(redis_url="redis://store.example:6379/0", cells=4)
    own = private(Settings(data=tmp_path, store=shared, server=ServerSettings(host="0.0.0.0", port=8000)))  # noqa: S104 - nothing is bound
    assert (own.server.host, own.server.port) == ("127.0.0.1", 0)
    assert (own.store.redis_url, own.store.cells) == ("", 1)


def test_originals_are_replaced_where_somebody_said_so_or_where_nobody_else_can_ask(tmp_path: Path) -> None:
    def roots(**changes: object) -> tuple[str, ...]:
        return own_replace_roots(replace(Settings(data=tmp_path), **changes))

    read, written = ArtifactSettings(file_roots=("/media",)), NodeSettings(replace_roots=("/media/tv",))
    outside = ServerSettings(host="0.0.0.0")  # noqa: S104 - nothing is bound
    assert roots() == ("/",)
    assert roots(artifacts=read) == ("/media",)
    assert roots(artifacts=read, node=written) == ("/media/tv",)
    assert roots(artifacts=read, server=outside) == ()
    assert roots(node=written, server=outside) == ("/media/tv",)


async def test_the_first_of_several_waits_ends_the_others() -> None:
    cancelled = asyncio.Event()

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with asyncio.timeout(DEADLINE_S):
        await first_of(forever(), asyncio.sleep(0))
    assert cancelled.is_set()


async def test_what_the_first_of_several_waits_raises_is_raised() -> None:
    async def fails() -> None:
        raise ValueError("ours")

    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(ValueError, match="ours"):
            await first_of(asyncio.Event().wait(), fails())


async def test_work_beside_the_fleet_goes_on_when_the_wait_for_it_is_cancelled() -> None:
    go_on = asyncio.Event()

    async def work() -> None:
        await go_on.wait()

    running = asyncio.create_task(work())
    async with asyncio.timeout(DEADLINE_S):
        await first_of(asyncio.sleep(0), only_if_it_fails(running))
        assert not running.done()
        go_on.set()
        await running


@pytest.mark.parametrize(
    ("sent", "interrupted"),
    [
        ([signal.SIGTERM], False),
        ([signal.SIGINT], True),
        ([signal.SIGTERM, signal.SIGTERM], True),
        ([signal.SIGTERM, signal.SIGINT], True),
    ],
)
async def test_one_sigterm_is_a_request_and_all_else_is_a_demand(sent: list[signal.Signals], interrupted: bool) -> None:  # noqa: FBT001 - a parameter
    signals = Signals()
    async with asyncio.timeout(DEADLINE_S):
        for number in sent:
            signals._note(number)
        await signals.wait_first()
        if interrupted:
            await signals.wait_interrupt()
    assert signals.interrupted is interrupted
    assert not signals.ending.is_set()


async def test_a_dismissal_is_no_request_to_end_by_itself() -> None:
    signals = Signals()
    os.kill(os.getpid(), DISMISSAL)
    async with asyncio.timeout(DEADLINE_S):
        await signals.dismissal.wait()
    assert not signals.interrupted
    assert not signals._first.is_set()


async def test_a_signal_of_the_system_is_an_event_of_the_loop() -> None:
    signals = Signals()
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(DEADLINE_S):
        await signals.wait_first()
    assert signals.interrupted is False


async def test_a_dismissed_fleet_goes_on_while_there_is_work_of_others(tmp_path: Path) -> None:
    asked = asyncio.Event()
    work = [True]

    async def has_work() -> bool:
        asked.set()
        return bool(work)

    async def nobody(*_: object) -> None:
        """Serve nothing."""

    signals = Signals()
    fleet = Serving("", "", Presence(nobody), tmp_path, has_work=has_work)
    ending = asyncio.create_task(dismissed(Settings(data=tmp_path), fleet, signals))
    signals.dismissal.set()
    await asked.wait()
    assert not signals.interrupted
    work.clear()
    signals.dismissal.set()
    async with asyncio.timeout(DEADLINE_S):
        await ending
    assert signals.interrupted


class Client:
    """Holds a fleet from when it is made until it leaves; an application that serves it."""

    def __init__(self) -> None:
        self.presence = Presence(self.serve)
        self.came, self.leave = asyncio.Event(), asyncio.Event()

    async def serve(self, *_: object) -> None:
        self.came.set()
        await self.leave.wait()

    async def hold(self) -> asyncio.Task[None]:
        scope = {"type": "http", "path": "/api/v1/events", "query_string": b"client=1"}
        task = asyncio.create_task(self.presence(scope, None, None))
        await self.came.wait()
        return task


async def test_a_client_that_comes_while_a_dismissed_fleet_looks_for_work_keeps_it(tmp_path: Path) -> None:
    client = Client()
    asked, answer = asyncio.Event(), asyncio.Event()

    async def has_work() -> bool:
        asked.set()
        await answer.wait()
        return False

    signals = Signals()
    settings = Settings(data=tmp_path)
    fleet = Serving("", "", client.presence, tmp_path, has_work=has_work)
    with fleet_record(settings, ""):
        ending = asyncio.create_task(dismissed(settings, fleet, signals))
        signals.dismissal.set()
        async with asyncio.timeout(DEADLINE_S):
            await asked.wait()
            held = await client.hold()
            answer.set()
            # A decision takes a few turns of the loop; no clock is asked.
            for _ in range(20):
                await asyncio.sleep(0)
            client.leave.set()
            await held
            assert (tmp_path / "fleet.json").exists()
            assert not signals.interrupted
            signals.dismissal.set()
            await ending
        assert not (tmp_path / "fleet.json").exists()
    assert signals.interrupted
    assert client.presence.close()


async def test_a_client_that_comes_while_an_abandoned_fleet_finishes_has_it_work_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client()
    begun: list[bool] = []
    finishing, finish = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def serving(settings: Settings, *, lingers: bool) -> AsyncGenerator[Serving]:
        assert lingers
        with fleet_record(settings, "", lingers=True):
            yield Serving("", "", client.presence, tmp_path)

    async def nodes(_: Serving, signals: Signals) -> None:
        begun.append(client.came.is_set())
        if len(begun) > 1:
            client.leave.set()
        await signals.ending.wait()
        finishing.set()
        await finish.wait()

    monkeypatch.setattr(processes, "serving", serving)
    fleet = asyncio.create_task(
        processes.serve_until(Settings(data=tmp_path), nodes, tell=lambda _: None, linger_s=0.01)
    )
    async with asyncio.timeout(DEADLINE_S):
        await finishing.wait()
        held = await client.hold()
        finish.set()
        await held
        assert await fleet == 0
    assert begun == [False, True]
    assert client.presence.close()


async def test_an_interrupted_fleet_lets_nobody_join_while_its_nodes_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client()
    seen: list[bool] = []

    @asynccontextmanager
    async def serving(settings: Settings, *, lingers: bool) -> AsyncGenerator[Serving]:
        assert not lingers
        with fleet_record(settings, ""):
            yield Serving("", "", client.presence, tmp_path)

    async def nodes(_: Serving, signals: Signals) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        await signals.ending.wait()
        seen.append(client.presence.close() and not (tmp_path / "fleet.json").exists())

    monkeypatch.setattr(processes, "serving", serving)
    async with asyncio.timeout(DEADLINE_S):
        assert await processes.serve_until(Settings(data=tmp_path), nodes, tell=lambda _: None) == 0
    assert seen == [True]


def test_a_fleet_that_ends_leaves_the_record_of_another_one(tmp_path: Path) -> None:
    record = tmp_path / "fleet.json"
    with fleet_record(Settings(data=tmp_path), ""):
        record.write_text('{"url": "http://127.0.0.1:1", "pid": 1}')
    assert record.exists()


def test_a_headroom_of_ones_own_machine_is_kept_where_it_was_asked_for() -> None:
    assert own_headroom(("cpu:10", "disk:5")) == ("cpu:10", "disk:5", "memory:5")
    assert own_headroom(()) == ("cpu:0", "memory:5", "disk:1")


def test_a_node_starts_without_a_web_server() -> None:
    code = "import sys, mediafleet.app.node; assert not {'litestar', 'uvicorn', 'jinja2', 'redis'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
