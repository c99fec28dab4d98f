"""`why` and `simulate` over REST, at their own addresses and at those of older tools."""

from __future__ import annotations

import aiohttp
import pytest
from door_checks import read_problem
from fake_fleet import FakeFleet

from mediafleet.domain.explanation import Simulation
from mediafleet.domain.lifecycle import PriorityClass
from mediafleet.domain.placement import Policy

SIMULATE = ["/api/v1/simulate", "/api/v1/phase3/simulate"]
WISH = Simulation(("kind:noop", "lang:en"), 2, PriorityClass.LIVE, "studio", Policy.PACK)


async def test_a_job_says_why_it_waits(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    job = fleet.add_job("a.mkv")
    async with client.get(f"/api/v1/jobs/{job.id}/why") as response:
        body = await response.json()
        assert (response.status, body["job"]) == (200, job.id)
        assert body["sentence"].startswith("The task run waits:")


@pytest.mark.parametrize("job", ["j0-none", "x"])
async def test_a_job_that_is_not_there_is_not_found(client: aiohttp.ClientSession, job: str) -> None:
    async with client.get(f"/api/v1/jobs/{job}/why") as response:
        await read_problem(response, 404, "not-found")


@pytest.mark.parametrize("path", SIMULATE)
async def test_a_task_is_simulated_from_a_body(client: aiohttp.ClientSession, fleet: FakeFleet, path: str) -> None:
    body = {
        "capabilities": list(WISH.capabilities),
        "slots": 2,
        "priority": "live",
        "tenant": "studio",
        "policy": "pack",
    }
    async with client.post(path, json=body) as response:
        assert (response.status, (await response.json())["waits_for"]) == (200, "pool")
    async with client.post(path, json={}) as response:
        assert response.status == 200
    assert fleet.simulated == [WISH, Simulation()]


@pytest.mark.parametrize("path", SIMULATE)
async def test_a_task_is_simulated_from_an_address(client: aiohttp.ClientSession, fleet: FakeFleet, path: str) -> None:
    query = "?capabilities=kind:noop&capabilities=lang:en&slots=2&priority=live&tenant=studio&policy=pack"
    for asked in (path + query, path, path + "?capabilities=kind:noop"):
        async with client.get(asked) as response:
            assert response.status == 200
    assert fleet.simulated == [WISH, Simulation(), Simulation(("kind:noop",))]


@pytest.mark.parametrize("body", [{"slot": 2}, {"priority": "soon"}, {"policy": "best"}])
async def test_a_question_that_is_misspelt_is_refused(client: aiohttp.ClientSession, body: dict[str, object]) -> None:
    async with client.post(SIMULATE[0], json=body) as response:
        await read_problem(response, 400, "invalid-request")


async def test_older_tools_find_the_pools(client: aiohttp.ClientSession) -> None:
    async with client.get("/api/v1/phase3/pools") as old, client.get("/api/v1/pools") as new:
        assert await old.json() == await new.json()
