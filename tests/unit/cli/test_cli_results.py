"""Results are fetched all or none, under names that are safe here, and never over what is there."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests_support.command_line import RunCli
from tests_support.fake_scheduler import FakeScheduler

from mediafleet.cli._names import Targets
from mediafleet.cli.results import fetch_results
from mediafleet.client import FleetClient
from mediafleet.domain.errors import Conflict, ErrorInfo, NotFound
from mediafleet.domain.job import JobView, Submission
from mediafleet.domain.lifecycle import JobStatus


@pytest.fixture
async def client(scheduler: FakeScheduler) -> AsyncGenerator[FleetClient]:
    async with FleetClient(scheduler.url) as opened:
        yield opened


@pytest.fixture
async def done(client: FleetClient, scheduler: FakeScheduler) -> JobView:
    scheduler.holding = True
    view = await client.submit(Submission("noop"))
    return msgspec.structs.replace(view, status=JobStatus.COMPLETED)


def with_outputs(view: JobView, scheduler: FakeScheduler, *names: str) -> JobView:
    """Return the view with a result under each name, whose content is its number."""
    outputs = tuple(scheduler._store(name, str(number).encode()) for number, name in enumerate(names))
    return msgspec.structs.replace(view, outputs=outputs)


def contents(folder: Path) -> dict[str, str]:
    return {name: (folder / name).read_text() for name in sorted(os.listdir(folder))}


async def test_every_result_is_fetched_under_its_name(
    client: FleetClient, scheduler: FakeScheduler, done: JobView, tmp_path: Path
) -> None:
    paths = await fetch_results(client, with_outputs(done, scheduler, "a.mp4", "b.srt"), Targets(tmp_path / "new"))
    assert paths == [tmp_path / "new" / "a.mp4", tmp_path / "new" / "b.srt"]
    assert contents(tmp_path / "new") == {"a.mp4": "0", "b.srt": "1"}


async def test_results_with_the_same_name_do_not_overwrite_each_other(
    client: FleetClient, scheduler: FakeScheduler, done: JobView, tmp_path: Path
) -> None:
    await fetch_results(client, with_outputs(done, scheduler, "a.mp4", "a.mp4", "A.MP4"), Targets(tmp_path))
    assert contents(tmp_path) == {"A-3.MP4": "2", "a-2.mp4": "1", "a.mp4": "0"}


async def test_a_name_that_leads_elsewhere_stays_in_the_folder(
    client: FleetClient, scheduler: FakeScheduler, done: JobView, tmp_path: Path
) -> None:
    names = ("../../evil.mp4", "/etc/passwd", "C:\\x\\b.mp4", "..")
    await fetch_results(client, with_outputs(done, scheduler, *names), Targets(tmp_path / "in"))
    assert set(contents(tmp_path / "in")) == {"evil.mp4", "passwd", "C:\\x\\b.mp4", "output"}
    assert os.listdir(tmp_path) == ["in"]


async def test_a_name_that_is_too_long_is_cut_and_keeps_its_ending(
    client: FleetClient, scheduler: FakeScheduler, done: JobView, tmp_path: Path
) -> None:
    [path] = await fetch_results(client, with_outputs(done, scheduler, "漢" * 100 + ".mp4"), Targets(tmp_path))
    assert path.name.endswith("漢.mp4")
    assert contents(tmp_path) == {path.name: "0"}


async def test_where_one_name_is_taken_nothing_is_fetched(
    client: FleetClient, scheduler: FakeScheduler, done: JobView, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "b.srt")
    with pytest.raises(Conflict, match="exists already"):
        await fetch_results(client, with_outputs(done, scheduler, "a.mp4", "b.srt"), Targets(tmp_path))
    assert os.listdir(tmp_path) == ["b.srt"]
    assert not any(request.startswith("GET /api/v1/artifacts") for request in scheduler.requests)


async def test_a_result_that_is_gone_leaves_no_half_file(
    client: FleetClient, scheduler: FakeScheduler, done: JobView, tmp_path: Path
) -> None:
    view = with_outputs(done, scheduler, "a.mp4")
    scheduler.blobs.clear()
    with pytest.raises(NotFound):
        await fetch_results(client, view, Targets(tmp_path))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"status": JobStatus.PROCESSING}, "is processing and has no results."),
        ({"status": JobStatus.CANCELLED}, "is cancelled and has no results."),
        ({"status": JobStatus.FAILED, "error": ErrorInfo("x", "It broke.")}, "is failed and has no results: It broke."),
    ],
)
async def test_a_job_that_is_not_completed_has_no_results_and_says_why(
    client: FleetClient, done: JobView, tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(Conflict) as caught:
        await fetch_results(client, msgspec.structs.replace(done, **changes), Targets(tmp_path))
    assert caught.value.message == f"Job {done.id} {sentence}"


def test_people_are_told_where_each_result_is_and_how_large(cli: RunCli, scheduler: FakeScheduler) -> None:
    Path("a.mkv").write_bytes(b"x")
    job = cli("submit", "transcode", "a.mkv", "--name", "a.mkv", "--wait", "--json").json["id"]
    ran = cli("get", job, "--out", "done")
    assert (ran.code, ran.out) == (0, "done/a.mp4 (10 B)\n")
    assert job in scheduler.jobs


def test_a_job_without_results_is_an_empty_list_for_a_program(cli: RunCli) -> None:
    job = cli("submit", "noop", "--wait", "--json").json["id"]
    ran = cli("get", job, "--json")
    assert (ran.code, ran.json) == (0, [])


def test_without_a_folder_for_them_no_results_are_asked_for(cli: RunCli, scheduler: FakeScheduler) -> None:
    Path("taken").touch()
    ran = cli("get", "j0-x", "--out", "taken")
    assert (ran.code, ran.err) == (1, "mediafleet: taken is no folder; name another with --out.\n")
    assert not scheduler.requests


def test_an_unknown_job_has_no_results(cli: RunCli) -> None:
    ran = cli("get", "j0-nothing")
    assert ran.code == 1
    assert "There is no job" in ran.err
