"""Reviews over REST: a document with a tag goes out, its correction comes back, and what does not fit is told."""

from __future__ import annotations

import io

import aiohttp
import pytest
from door_checks import read_problem
from fake_fleet import FakeFleet

from mediafleet.doors.http import reviews
from mediafleet.doors.http.content import named_tags

MENDED = b'{"text":"the end"}'


@pytest.fixture
async def address(fleet: FakeFleet) -> str:
    """Where the review of a job is."""
    job = fleet.add_job("film.mkv")
    await fleet.reviews.ask(job.id)
    return f"/api/v1/jobs/{job.id}/review"


async def test_a_document_is_fetched_and_put_back(
    client: aiohttp.ClientSession, fleet: FakeFleet, address: str
) -> None:
    async with client.get(address) as response:
        assert (response.status, await response.read()) == (200, fleet.reviews.document)
        assert response.content_type == "application/json"
        assert response.headers["Mediafleet-Review"] == "read"
        assert 'filename="text.json"' in response.headers["Content-Disposition"]
        tag = response.headers["ETag"]
    async with client.put(address, data=MENDED, headers={"If-Match": tag}) as response:
        assert (response.status, (await response.json())["status"]) == (200, "processing")
    (answer,) = fleet.reviews.answers
    assert (answer.body, answer.review, answer.tags, answer.by) == (MENDED, "", (tag.strip('"'),), "local")


async def test_a_document_that_is_known_is_not_sent_again(client: aiohttp.ClientSession, address: str) -> None:
    async with client.get(address, headers={"If-None-Match": '"read-1"'}) as response:
        assert (response.status, await response.read()) == (304, b"")


async def test_a_review_may_be_named(client: aiohttp.ClientSession, fleet: FakeFleet, address: str) -> None:
    async with client.get(f"{address}?review=second") as response:
        assert response.headers["Mediafleet-Review"] == "second"
    async with client.put(f"{address}?review=second", data=MENDED) as response:
        assert response.status == 200
    assert fleet.reviews.answers[-1].review == "second"


async def test_a_correction_of_an_older_document_is_refused(client: aiohttp.ClientSession, address: str) -> None:
    for tag in ('"old"', 'W/"read-1"'):
        async with client.put(address, data=MENDED, headers={"If-Match": tag}) as response:
            await read_problem(response, 412, "outdated")


async def test_what_is_no_json_is_refused_with_a_sentence(client: aiohttp.ClientSession, address: str) -> None:
    async with client.put(address, data=b"{") as response:
        await read_problem(response, 422, "invalid-params")


async def test_a_job_that_waits_for_nobody_has_no_document(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    job = fleet.add_job("film.mkv")
    async with client.get(f"/api/v1/jobs/{job.id}/review") as response:
        await read_problem(response, 409, "conflict")
    async with client.put(f"/api/v1/jobs/{job.id}/review", data=MENDED) as response:
        await read_problem(response, 409, "conflict")
    async with client.get("/api/v1/jobs/none/review") as response:
        await read_problem(response, 404, "not-found")


async def test_a_document_of_any_length_is_not_read(
    client: aiohttp.ClientSession, fleet: FakeFleet, address: str
) -> None:
    body = b'"' + b"a" * reviews.MOST_DOCUMENT_BYTES + b'"'
    async with client.put(address, data=io.BytesIO(body)) as response:
        await read_problem(response, 413, "too-large")
    assert not fleet.reviews.answers


@pytest.mark.parametrize(
    ("header", "tags"),
    [("", ()), ("*", ()), ('"a"', ("a",)), ('"a", "b"', ("a", "b")), ('W/"a"', ('W/"a',)), ("a", ("a",))],
)
def test_tags_are_read_as_a_client_names_them(header: str, tags: tuple[str, ...]) -> None:
    assert named_tags(header) == tags
