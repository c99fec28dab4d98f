"""Answers that wait for a job's end."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import aiohttp
import pytest
from door_checks import read_problem
from fake_fleet import FakeFleet

from mediafleet.domain.event import EventType
from mediafleet.domain.lifecycle import JobStatus
from mediafleet.doors.http.server import HttpServer
from mediafleet.doors.http.sse import StreamEnd
from mediafleet.doors.http.waiting import wait_for_job


async def watched(fleet: FakeFleet) -> None:
    """Return once somebody waits for a job."""
    async with asyncio.timeout(10), fleet.news:
        await fleet.news.wait_for(lambda: fleet.watchers > 0)


async def test_an_answer_waits_for_the_jobs_end(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    job = fleet.add_job()
    request = asyncio.create_task(client.get(f"/api/v1/jobs/{job.id}", params={"wait_s": "30"}).__aenter__())
    await watched(fleet)
    await fleet.update(job.id, EventType.JOB_STARTED, status=JobStatus.PROCESSING)
    await fleet.update(job.id, EventType.JOB_COMPLETED, status=JobStatus.COMPLETED)
    response = await request
    assert (await response.json())["status"] == "completed"


async def test_a_job_that_is_final_is_answered_at_once(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    job = fleet.add_job(status=JobStatus.FAILED)
    async with client.get(f"/api/v1/jobs/{job.id}", params={"wait_s": "60"}) as response:
        assert (await response.json())["status"] == "failed"
    assert fleet.watchers == 0


async def test_after_its_time_an_answer_tells_how_the_job_is(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    job = fleet.add_job()
    async with client.get(f"/api/v1/jobs/{job.id}", params={"wait_s": "0.01"}) as response:
        assert (response.status, (await response.json())["status"]) == (200, "pending")
    assert fleet.watchers == 0


async def test_a_submission_may_wait_for_its_end(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    body = {"kind": "noop"}
    request = asyncio.create_task(client.post("/api/v1/jobs", json=body, params={"wait_s": "30"}).__aenter__())
    await watched(fleet)
    (job,) = fleet.views
    await fleet.update(job, EventType.JOB_COMPLETED, status=JobStatus.COMPLETED)
    response = await request
    assert (response.status, (await response.json())["status"]) == (201, "completed")


@pytest.mark.parametrize("wait_s", ["-1", "60.1", "nan", "inf", "soon"])
async def test_a_wait_that_is_none_is_refused(client: aiohttp.ClientSession, fleet: FakeFleet, wait_s: str) -> None:
    job = fleet.add_job()
    async with client.get(f"/api/v1/jobs/{job.id}", params={"wait_s": wait_s}) as response:
        await read_problem(response, 400, "invalid-request")


async def test_nobody_waits_for_many_jobs_in_one_answer(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    async with client.post("/api/v1/jobs", json=[{"kind": "noop"}], params={"wait_s": "1"}) as response:
        await read_problem(response, 400, "invalid-request")
    assert not fleet.views


async def test_a_job_that_is_not_there_is_not_waited_for(client: aiohttp.ClientSession) -> None:
    async with client.get("/api/v1/jobs/j0-none", params={"wait_s": "30"}) as response:
        await read_problem(response, 404, "not-found")


async def test_a_server_that_stops_answers_those_who_wait(fleet: FakeFleet) -> None:
    end = StreamEnd(asyncio.Event())
    job = fleet.add_job()
    answer = asyncio.create_task(wait_for_job(fleet, end, job.id, 30))
    await watched(fleet)
    end.stopping.set()
    assert (await answer).status is JobStatus.PENDING


async def test_a_client_that_goes_is_waited_for_no_more(server: HttpServer, fleet: FakeFleet) -> None:
    job = fleet.add_job()
    async with aiohttp.ClientSession(server.url) as session:
        request = asyncio.create_task(session.get(f"/api/v1/jobs/{job.id}", params={"wait_s": "0.2"}).__aenter__())
        await watched(fleet)
        request.cancel()
        with suppress(asyncio.CancelledError):
            await request
    async with asyncio.timeout(10), fleet.news:
        await fleet.news.wait_for(lambda: fleet.watchers == 0)
