"""Dead letters over REST."""

from __future__ import annotations

import aiohttp
import pytest
from door_checks import read_problem
from fake_fleet import FAILED, NODE, FakeFleet

PATH = "/api/v1/dead-letters"


async def test_letters_are_listed_with_what_is_known_of_their_attempts(
    client: aiohttp.ClientSession, fleet: FakeFleet
) -> None:
    tasks = [fleet.dead.add(fleet.add_job().id).task for _ in range(3)]
    async with client.get(PATH, params={"offset": 1, "limit": 1}) as response:
        page = await response.json()
    assert ([letter["task"] for letter in page["letters"]], page["total"]) == (tasks[1:2], 3)
    async with client.get(f"{PATH}/{tasks[0]}") as response:
        letter = await response.json()
    assert letter["error"]["code"] == "poison"
    assert (letter["ends"][0]["node"], letter["ends"][0]["how"]) == (NODE, "lease-ended")


async def test_a_retry_is_one_of_the_job(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    job = fleet.add_job(**FAILED)
    async with client.post(f"{PATH}/{fleet.dead.add(job.id).task}/retry") as response:
        assert response.status == 202
        view = await response.json()
    assert (view["id"], view["status"]) == (job.id, "pending")


async def test_a_dropped_letter_is_gone(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    task = fleet.dead.add(fleet.add_job().id).task
    async with client.delete(f"{PATH}/{task}") as response:
        assert response.status == 204
    async with client.delete(f"{PATH}/{task}") as response:
        await read_problem(response, 404, "not-found")


@pytest.mark.parametrize(("method", "path"), [("GET", "/j0-x.y"), ("POST", "/j0-x.y/retry"), ("DELETE", "/%00")])
async def test_a_letter_that_is_not_there_is_a_problem(client: aiohttp.ClientSession, method: str, path: str) -> None:
    async with client.request(method, PATH + path) as response:
        assert response.status == 404


async def test_a_page_has_bounds(client: aiohttp.ClientSession) -> None:
    async with client.get(PATH, params={"limit": 501}) as response:
        assert response.status == 400
