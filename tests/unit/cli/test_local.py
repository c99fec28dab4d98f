"""The fleet of a data directory is found, or a sentence says why there is none."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from tests_support.command_line import RunCli
from tests_support.fake_scheduler import NODE, FakeScheduler

from mediafleet.cli import _local
from mediafleet.cli._fleet import Fleet
from mediafleet.cli._local import FleetRecord, dismiss_fleet, end_fleet, find_fleet, read_record, replace_lingering
from mediafleet.client import FleetClient
from mediafleet.domain.errors import SchedulerUnavailable


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.mkdir()
    return path


def write_record(data: Path, url: str, pid: int) -> None:
    (data / "fleet.json").write_text(json.dumps({"url": url, "pid": pid}))


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_record_of_a_dead_process_or_a_broken_one_counts_as_none(data: Path) -> None:
    assert read_record(data) is None
    write_record(data, "http://127.0.0.1:1", dead_pid())
    assert read_record(data) is None
    (data / "fleet.json").write_text("{")
    assert read_record(data) is None


def test_a_process_that_ended_but_was_not_collected_is_not_running() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.read()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not FleetRecord("", process.pid).is_running
    process.communicate()


async def test_a_fleet_that_does_not_answer_is_not_used(data: Path) -> None:
    write_record(data, "http://127.0.0.1:1", os.getpid())
    assert await find_fleet(data) is None


def test_commands_use_the_running_fleet_and_hold_it_as_long_as_they_run(
    bare: RunCli, scheduler: FakeScheduler, data: Path
) -> None:
    write_record(data, scheduler.url, os.getpid())
    ran = bare("nodes", "--data", str(data), "--json")
    assert ran.json[0]["id"] == NODE.id
    assert scheduler.requests.index("GET /api/v1/events") < scheduler.requests.index("GET /api/v1/nodes")
    scheduler.wait_until(lambda: scheduler.holders == 0)


def test_a_fleet_that_cannot_start_says_so_with_its_log(
    bare: RunCli, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "python"
    line = '{"event": "redis", "level": "error"}'
    script.write_text(f"#!/bin/sh\necho '{line}'\necho the disk is full >&2\necho '{line}'\nexit 3\n")
    script.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(script))
    ran = bare("nodes", "--data", str(data))
    assert ran.code == 1
    assert "exit code 3" in ran.err
    assert "the disk is full" in ran.err
    assert "{" not in ran.err
    assert str(data / "up.log") in ran.err


async def test_the_end_of_a_local_fleet_is_told_as_what_it_is() -> None:
    lost = SchedulerUnavailable("No scheduler answers.")
    client = FleetClient("http://127.0.0.1:1")
    assert "ended unexpectedly" in Fleet(client, FleetRecord("", dead_pid())).explain(lost).message
    assert Fleet(client, FleetRecord("", os.getpid())).explain(lost) is lost
    assert Fleet(client).explain(lost) is lost


LEAVES = """
import pathlib, signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
print(flush=True)
signal.sigwait({signal.SIGUSR1})
pathlib.Path("fleet.json").unlink()
"""
"""A fleet that nobody else uses: told that it is not needed, it withdraws its record and ends."""
STAYS = """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
print(flush=True)
signal.sigwait({signal.SIGUSR1})
print("heard", flush=True)
signal.pause()
"""
"""A fleet that another client uses: it stays."""


async def start_script(script: str, data: Path) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=-1, cwd=data)
    assert process.stdout
    await process.stdout.readline()
    write_record(data, "http://127.0.0.1:1", process.pid)
    return process


async def test_a_fleet_that_is_dismissed_is_gone_afterwards(data: Path) -> None:
    process = await start_script(LEAVES, data)
    record = read_record(data)
    assert record
    await dismiss_fleet(data, record)
    assert not record.is_running
    assert await process.wait() == 0


async def test_a_dismissed_fleet_that_another_client_uses_is_left_alone(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_local, "DISMISS_WITHIN_S", 0.05)
    process = await start_script(STAYS, data)
    record = read_record(data)
    assert record
    await dismiss_fleet(data, record)
    assert process.stdout
    assert await process.stdout.readline() == b"heard\n"
    assert record.is_running
    process.kill()
    await process.communicate()


async def test_a_fleet_that_is_told_to_end_is_gone_afterwards() -> None:
    waiting = "import signal; print(flush=True); signal.pause()"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", waiting, stdout=-1, stderr=-1)
    assert process.stdout
    await process.stdout.readline()
    record = FleetRecord("", process.pid)
    await end_fleet(record)
    assert not record.is_running
    await process.communicate()


@pytest.mark.parametrize(("lingers", "stays"), [(True, False), (False, True)])
async def test_only_a_fleet_that_lingers_makes_room_for_one_that_is_to_stay(
    data: Path, *, lingers: bool, stays: bool
) -> None:
    process = await start_script(LEAVES, data)
    record = read_record(data)
    assert record
    (data / "fleet.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(record, lingers=lingers)))
    await replace_lingering(data)
    assert record.is_running is stays
    if stays:
        process.kill()
    await process.communicate()


async def test_where_no_fleet_is_nobody_has_to_make_room(data: Path) -> None:
    await replace_lingering(data)
    assert read_record(data) is None
