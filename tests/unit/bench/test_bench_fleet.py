"""A measured fleet is a real one, and nothing of it is left afterwards."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

import aiohttp
import psutil
import pytest

from mediafleet.bench import noop
from mediafleet.bench.fleet import BenchFleet, bench_fleet
from mediafleet.domain.errors import SchedulerUnavailable


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own for what is made among the temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


async def test_the_fleet_answers_inside_the_block_and_is_gone_after_it(temporary: Path) -> None:
    async with bench_fleet("scheduler") as fleet, aiohttp.ClientSession(fleet.url) as session:
        async with session.get("/health") as response:
            assert response.status == 200
        assert fleet.cpu_seconds() > 0
        store = psutil.Process(fleet.pid).children()
        assert store
    assert not psutil.pid_exists(fleet.pid)
    psutil.wait_procs(store, timeout=20)
    assert not any(process.is_running() for process in store)
    assert not os.listdir(temporary)


async def test_a_fleet_that_does_not_start_says_what_to_try_and_leaves_nothing(temporary: Path) -> None:
    with pytest.raises(SchedulerUnavailable, match="mediafleet up"):
        async with bench_fleet("no-such-command"):
            pytest.fail("there is no fleet to be measured")
    assert not os.listdir(temporary)


async def test_processor_time_counts_what_the_children_used() -> None:
    spin = "import time\nwhile time.process_time() < 0.3: pass"
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {spin + chr(10) + 'print(flush=True); input()'!r}])"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdin=-1, stdout=-1)
    assert process.stdout
    await process.stdout.readline()
    # The kernel tells user and system time in whole ticks, each rounded down.
    assert BenchFleet("", process.pid).cpu_seconds() >= 0.2
    await process.communicate(b"\n")


async def test_nodes_that_do_not_join_end_the_measurement_with_a_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SchedulerUnavailable, match="did not join"):
        async with noop.fake_nodes("http://127.0.0.1:1"):
            pytest.fail("there are no nodes")
    assert "Traceback" in capfd.readouterr().err


async def test_a_bulk_that_nobody_works_on_ends_the_measurement_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(noop, "PUSH_LIMIT_S", 0.0)
    async with bench_fleet("scheduler") as fleet, aiohttp.ClientSession(fleet.url) as session:
        with pytest.raises(SchedulerUnavailable, match="did not complete 3 jobs"):
            await noop.push_jobs([session], 3)
