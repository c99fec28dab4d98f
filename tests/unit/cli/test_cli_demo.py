"""The demo shows real work, judges it honestly, and leaves nothing but the results."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
from tests_support.command_line import RunCli
from tests_support.fake_scheduler import NODE, FakeScheduler

from mediafleet.cli import demo as tour
from mediafleet.cli._demo_media import look_at, make_clips
from mediafleet.cli._fleet import Fleet
from mediafleet.cli._item import Item
from mediafleet.cli._output import Output
from mediafleet.client import FleetClient
from mediafleet.domain.errors import ErrorInfo, SchedulerUnavailable, TaskFailed
from mediafleet.domain.job import Submission
from mediafleet.testing import make_clip


@pytest.fixture
async def fleet(scheduler: FakeScheduler) -> AsyncGenerator[Fleet]:
    async with FleetClient(scheduler.url) as client:
        yield Fleet(client)


@pytest.fixture
async def clip(tmp_path: Path) -> Path:
    return await make_clip(tmp_path / "clip.mkv", seconds=1)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own for what is made among the temporary files."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


async def finished(fleet: Fleet, path: Path, *outputs: Path) -> Item:
    """Return an item that completed, as if the fleet had made these outputs of it."""
    view = await fleet.client.submit(Submission("noop"))
    return Item(path, path, job=view.id, status="completed", outputs=list(outputs))


def test_the_tour_makes_verified_results_on_a_fleet_that_is_gone_afterwards(
    temporary: Path, workplace: Path, clip: Path
) -> None:
    command = [sys.executable, "-m", "mediafleet.cli", "demo", "--input", clip, "--out", "done"]
    ran = subprocess.run(
        command, env={**os.environ, "TMPDIR": str(temporary)}, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "All is well" in ran.stdout
    assert {path.name for path in (workplace / "done").iterdir()} >= {"clip.mp4", "clip.mkv"}
    assert look_at(workplace / "done" / "clip.mkv").streams[0] == "hevc"
    assert not list(temporary.iterdir())
    [address] = re.findall(r"http://127.0.0.1:(\d+)$", ran.stdout, re.MULTILINE)
    with socket.socket() as knock:
        assert knock.connect_ex(("127.0.0.1", int(address)))


def test_a_program_gets_the_tour_as_one_document(
    bare: RunCli, temporary: Path, clip: Path, scheduler: FakeScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def canned(_: Path, __: Output) -> AsyncGenerator[Fleet]:
        async with FleetClient(scheduler.url) as client:
            yield Fleet(client)

    async def visit(_: object, fleet: Fleet, *__: object) -> list[Item]:
        return [await finished(fleet, clip, clip)]

    monkeypatch.setattr(tour, "_own_fleet", canned)
    monkeypatch.setattr(tour, "_visit", visit)
    ran = bare("demo", "--json", "--input", str(clip), "--out", str(temporary))
    told = ran.json
    assert (ran.code, told["good"], told["results"]) == (0, True, str(temporary))
    assert [file["status"] for file in told["files"]] == ["completed"] * 3


def test_a_file_that_is_missing_ends_the_tour_before_it_begins(bare: RunCli, temporary: Path) -> None:
    ran = bare("demo", "--input", "missing.mkv")
    assert ran.code == 1
    assert "missing.mkv does not exist or is no file." in ran.err
    assert not list(temporary.iterdir())


def test_what_is_no_media_ends_the_tour_and_leaves_nothing(bare: RunCli, temporary: Path, workplace: Path) -> None:
    (workplace / "notes.txt").write_text("words")
    ran = bare("demo", "--input", "notes.txt")
    assert ran.code == 1
    assert "cannot be read as media" in ran.err
    assert not list(temporary.iterdir())


async def test_a_silent_film_has_no_stop_for_its_sound(tmp_path: Path, clip: Path) -> None:
    silent = await make_clip(tmp_path / "silent.mp4", seconds=0.5, sound=False)
    assert [stop.preset for stop in tour.plan_tour([silent, clip])] == ["h264", "hevc"]


async def test_every_stop_asks_for_what_its_results_are_named_by(clip: Path) -> None:
    works = [stop.work() for stop in tour.plan_tour([clip])]
    assert [(work.params["container"], work.ending) for work in works][:2] == [("mp4", ".mp4"), ("mkv", ".mkv")]


async def test_a_result_is_told_with_its_measures_and_its_node(fleet: Fleet, clip: Path) -> None:
    item = await finished(fleet, clip, clip)
    item.seconds = 2.0
    name, _, plays, _, took, node = await tour._row(item, fleet)
    assert (name, took, node) == ("clip.mkv", "2.0 s", "?")
    assert float(plays.removesuffix(" s")) == pytest.approx(1, abs=0.1)


async def test_a_result_that_is_shorter_than_its_source_is_not_well(
    fleet: Fleet, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = await make_clip(tmp_path / "short.mp4", seconds=0.4)
    items = [await finished(fleet, clip, clip), await finished(fleet, clip, short)]
    assert not await tour._tell(items, fleet, Output())
    printed = capsys.readouterr()
    assert "short.mp4 plays for" in printed.err
    assert "clip.mkv" in printed.out


async def test_an_item_that_failed_says_why_and_is_not_well(
    fleet: Fleet, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    item = Item(clip, clip)
    item.fail(ErrorInfo("task-failed", "It broke."))
    assert not await tour._tell([item], fleet, Output())
    printed = capsys.readouterr()
    assert printed.err == "clip.mkv has no result: It broke.\n"
    assert "No results." in printed.out


async def test_a_tour_without_items_is_not_well(fleet: Fleet) -> None:
    assert not await tour._tell([], fleet, Output())


async def test_the_tour_begins_once_enough_nodes_are_ready(
    fleet: Fleet, scheduler: FakeScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tour, "NODES", 1)
    await tour._until_ready(fleet)
    assert NODE.state == "ready"
    assert scheduler.requests == ["GET /api/v1/nodes"]


async def test_nodes_that_do_not_join_end_the_tour_with_a_hint(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tour, "JOIN_S", 0.2)
    with pytest.raises(SchedulerUnavailable, match="mediafleet check"):
        await tour._until_ready(fleet)


async def test_clips_that_cannot_be_made_say_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mediafleet.cli._demo_media.CLIPS", {"odd.mkv": ("no-such-source", "sine")})
    with pytest.raises(TaskFailed, match=r"could not make odd\.mkv") as caught:
        await make_clips(tmp_path)
    assert caught.value.detail
    assert os.listdir(tmp_path) == []


async def test_a_clip_that_takes_for_ever_is_given_up_and_its_process_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mediafleet.cli._demo_media._MAKE_S", 0.0)
    monkeypatch.setattr("mediafleet.cli._demo_media.CLIPS", {"long.mkv": ("testsrc2", "sine")})
    before = set(psutil.Process().children())
    with pytest.raises(TaskFailed, match=r"did not make long\.mkv"):
        await make_clips(tmp_path)
    assert set(psutil.Process().children()) <= before
