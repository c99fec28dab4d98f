"""A JSON route reads what says it is JSON; all else is told which header to send."""

from __future__ import annotations

import json

import aiohttp
import pytest
from door_checks import read_problem
from fake_fleet import NODE, FakeFleet
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.domain.node import NodeState
from mediafleet.doors.http.bodies import explain_refusal

BODY = json.dumps({"kind": "noop"}).encode()
FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    "sent",
    ["application/json", "Application/JSON", "application/json; charset=utf-8", 'application/json;charset="UTF-8"'],
)
async def test_a_body_that_is_json_by_its_header_is_read(client: aiohttp.ClientSession, sent: str) -> None:
    async with client.post("/api/v1/jobs", data=BODY, headers={"Content-Type": sent}) as response:
        assert response.status == 201


async def test_a_body_without_a_type_is_read_as_json(client: aiohttp.ClientSession) -> None:
    async with client.post("/api/v1/jobs", data=BODY, skip_auto_headers=["Content-Type"]) as response:
        assert response.status == 201


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ("text/plain", "'text/plain'"),
        (FORM, "form-urlencoded"),
        ("multipart/form-data; boundary=x", "multipart"),
        ("application/json-patch+json", "json-patch"),
        ("application/json;charset=utf-16", "'utf-16'"),
        ("application/json; charset=latin-1", "'latin-1'"),
        ("nonsense", "'nonsense'"),
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/jobs", "/api/v1/artifacts", f"/api/v1/nodes/{NODE}/drain"])
async def test_a_body_of_another_type_is_told_which_header_to_send(
    client: aiohttp.ClientSession, fleet: FakeFleet, sent: str, words: str, path: str
) -> None:
    fleet.add_node()
    async with client.post(path, data=BODY, headers={"Content-Type": sent}) as response:
        problem = await read_problem(response, 415, "unsupported-media-type")
    assert words in problem["detail"]
    assert "'Content-Type: application/json'" in problem["detail"]
    assert not fleet.views


async def test_a_body_in_pieces_is_held_to_its_type_too(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    async def pieces():  # noqa: ANN202 - an async generator of bytes
        yield BODY

    async with client.post("/api/v1/jobs", data=pieces(), headers={"Content-Type": FORM}) as response:
        await read_problem(response, 415, "unsupported-media-type")
    assert not fleet.views


async def test_a_type_without_a_body_is_no_reason_to_refuse(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    fleet.add_node()
    async with client.post(f"/api/v1/nodes/{NODE}/drain", data=b"", headers={"Content-Type": FORM}) as response:
        assert (response.status, (await response.json())["state"]) == (202, "draining")
    async with client.post("/api/v1/jobs", data=b"", headers={"Content-Type": FORM}) as response:
        assert "no body" in (await read_problem(response, 400, "invalid-request"))["detail"]


async def test_a_route_that_reads_no_json_takes_a_body_of_any_type(
    client: aiohttp.ClientSession, fleet: FakeFleet
) -> None:
    job = fleet.add_job()
    await fleet.cancel(job.id)
    async with client.post(f"/api/v1/jobs/{job.id}/retry", data=b"x=1", headers={"Content-Type": FORM}) as response:
        assert response.status == 202
    async with client.post("/api/v1/artifacts", json={"name": "a", "size": 4}) as response:
        path = f"/api/v1/artifacts/{(await response.json())['id']}"
    async with client.put(path, data=b"text", headers={"Content-Type": "text/plain"}) as response:
        assert response.status == 200


@given(st.text(max_size=300), st.text(max_size=300))
def test_whatever_is_claimed_the_answer_is_nothing_or_one_short_sentence(media_type: str, charset: str) -> None:
    sentence = explain_refusal(media_type, charset)
    assert sentence == "" or (sentence.endswith("application/json'.") and len(sentence) < 1_200)


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        (
            "/api/v1/jobs",
            {"kind": "noop", "limits": {"queue_ms": "5000"}},
            "limits.queue_ms: Expected `int`, got `str`",
        ),
        ("/api/v1/jobs", {"kind": 5}, "kind: Expected `str`, got `int`"),
        ("/api/v1/jobs", [{"kind": "noop"}, {"kind": "noop", "params": "{}"}], "[1].params: Expected `object`"),
        ("/api/v1/artifacts", {"name": "a.mkv", "size": "5"}, "size: Expected `int`, got `str`"),
        (f"/api/v1/nodes/{NODE}/drain", {"draining": "true"}, "draining: Expected `bool`, got `str`"),
        (f"/api/v1/nodes/{NODE}/drain", {"draining": 1}, "draining: Expected `bool`, got `int`"),
        ("/api/v1/simulate", {"capabilities": [], "slots": "2"}, "slots: Expected `int`, got `str`"),
    ],
)
async def test_a_number_in_quotes_is_no_number(
    client: aiohttp.ClientSession, fleet: FakeFleet, path: str, body: object, words: str
) -> None:
    fleet.add_node()
    async with client.post(path, json=body) as response:
        problem = await read_problem(response, 400, "invalid-request")
    assert words in problem["detail"]
    assert not fleet.views
    assert (await fleet.node(NODE)).state is NodeState.READY


async def test_numbers_in_an_address_are_text_and_stay_numbers(client: aiohttp.ClientSession) -> None:
    async with client.get("/api/v1/jobs?limit=5") as response:
        assert (await response.json())["limit"] == 5
