"""REST as a client meets it: the routes' answers, and a problem document for whatever is wrong."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import aiohttp
import msgspec
import pytest
from door_checks import read_problem
from fake_fleet import NODE, FakeFleet

from mediafleet.domain.errors import QueueFull
from mediafleet.domain.job import JobView
from mediafleet.domain.lifecycle import JobStatus
from mediafleet.domain.limits import LONGEST_MS, MOST_TRIES

JSON = {"Content-Type": "application/json"}


async def test_a_submitted_job_is_created_and_can_be_read(client: aiohttp.ClientSession) -> None:
    async with client.post("/api/v1/jobs", json={"kind": "noop", "name": "first"}) as response:
        assert response.status == 201
        created = await response.json()
    async with client.get(f"/api/v1/jobs/{created['id']}") as response:
        assert await response.json() == created


async def test_a_list_is_answered_in_its_order(client: aiohttp.ClientSession) -> None:
    body = [{"kind": "noop", "name": f"n{i}"} for i in range(5)]
    async with client.post("/api/v1/jobs", json=body) as response:
        assert response.status == 201
        assert [job["name"] for job in await response.json()] == [item["name"] for item in body]


async def test_a_known_idempotency_key_answers_200_with_the_first_job(client: aiohttp.ClientSession) -> None:
    body = {"kind": "noop", "idempotency_key": "k"}
    async with client.post("/api/v1/jobs", json=body) as response:
        first = await response.json()
    async with client.post("/api/v1/jobs", json=body) as response:
        assert response.status == 200
        assert (await response.json())["id"] == first["id"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "invalid-request"),
        (b"{bad", 400, "invalid-request"),
        (b"\xff\xfe", 400, "invalid-request"),
        (b"[" * 100_000, 400, "invalid-request"),
        (b'{"kind": "noop", "name": "\xff\xfe"}', 400, "invalid-request"),
        (b"null", 400, "invalid-request"),
        (b"17", 400, "invalid-request"),
        (b"[]", 400, "invalid-request"),
        (b'{"kind": 1}', 400, "invalid-request"),
        (b'{"knid": "noop"}', 400, "invalid-request"),
        (b'{"kind": "noop", "colour": "red"}', 400, "invalid-request"),
        (b'{"kind": "noop", "priority": "urgent"}', 400, "invalid-request"),
        (b'{"kind": "noop", "input": {"a": 1}}', 400, "invalid-request"),
        (b'{"kind": "nop"}', 422, "unknown-kind"),
        (b'{"kind": "encode", "params": {"preset": "h263"}}', 422, "invalid-params"),
    ],
)
async def test_a_bad_submission_is_refused_with_a_sentence(
    client: aiohttp.ClientSession, body: bytes, status: int, code: str
) -> None:
    async with client.post("/api/v1/jobs", data=body, headers=JSON) as response:
        await read_problem(response, status, code)


async def test_more_than_ten_thousand_submissions_are_too_many(client: aiohttp.ClientSession) -> None:
    async with client.post("/api/v1/jobs", json=[{"kind": "noop"}] * 10_001) as response:
        problem = await read_problem(response, 400, "invalid-request")
    assert "10000" in problem["detail"]


async def test_a_body_beyond_the_limit_is_refused(client: aiohttp.ClientSession) -> None:
    async with client.post("/api/v1/jobs", data=io.BytesIO(b" " * (17 << 20)), headers=JSON) as response:
        await read_problem(response, 413, "too-large")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not-found"),
        ("GET", "/api/v1/jobs/j0-0000000000000", 404, "not-found"),
        ("GET", "/api/v1/jobs/%2e%2e%2fetc", 404, "not-found"),
        ("GET", "/api/v1/jobs/%00", 404, "not-found"),
        ("DELETE", "/api/v1/jobs/x", 404, "not-found"),
        ("POST", "/api/v1/jobs/x/retry", 404, "not-found"),
        ("GET", "/api/v1/jobs/j0-0000000000000/events", 404, "not-found"),
        ("GET", "/api/v1/artifacts/x", 404, "not-found"),
        ("GET", "/api/v1/artifacts/a0-0000000000000", 404, "not-found"),
        ("DELETE", "/api/v1/artifacts/a0-0000000000000", 404, "not-found"),
        ("GET", "/api/v1/nodes/n0-none", 404, "not-found"),
        ("POST", "/api/v1/nodes/n0-none/drain", 404, "not-found"),
        ("PUT", "/api/v1/jobs", 405, "method-not-allowed"),
        ("DELETE", "/health", 405, "method-not-allowed"),
        ("GET", "/api/v1/jobs?limit=0", 400, "invalid-request"),
        ("GET", "/api/v1/jobs?limit=501", 400, "invalid-request"),
        ("GET", "/api/v1/jobs?limit=ten", 400, "invalid-request"),
        ("GET", "/api/v1/jobs?offset=-1", 400, "invalid-request"),
        ("GET", "/api/v1/jobs?offset=9223372036854775807", 400, "invalid-request"),
        ("GET", "/api/v1/jobs?status=done", 400, "invalid-request"),
        ("GET", "/api/v1/events?after=18446744073709551616-0", 400, "invalid-request"),
        ("GET", "/api/v1/events?after=yesterday", 400, "invalid-request"),
        ("GET", "/ws/node", 426, "upgrade-required"),
    ],
)
async def test_a_request_that_cannot_be_answered_gets_a_problem(
    client: aiohttp.ClientSession, method: str, path: str, status: int, code: str
) -> None:
    async with client.request(method, path) as response:
        await read_problem(response, status, code)


async def test_jobs_come_in_pages_newest_first(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    views = [fleet.add_job(f"{i}.mkv") for i in range(5)]
    async with client.get("/api/v1/jobs?offset=1&limit=2&status=pending&kind=encode") as response:
        page = await response.json()
    assert [job["id"] for job in page["jobs"]] == [views[3].id, views[2].id]
    assert (page["total"], page["offset"], page["limit"]) == (5, 1, 2)


async def test_a_job_is_cancelled_once_and_revived_after(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    path = f"/api/v1/jobs/{fleet.add_job().id}"
    async with client.post(path + "/retry") as response:
        await read_problem(response, 409, "illegal-transition")
    async with client.delete(path) as response:
        assert (response.status, (await response.json())["status"]) == (202, "cancelled")
    async with client.delete(path) as response:
        await read_problem(response, 409, "illegal-transition")
    async with client.post(path + "/retry") as response:
        assert (response.status, (await response.json())["status"]) == (202, "pending")


async def test_nodes_are_listed_shown_and_drained(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    fleet.add_node()
    async with client.get("/api/v1/nodes") as response:
        assert [node["id"] for node in await response.json()] == [NODE]
    for body, state in ((None, "draining"), ({"draining": False}, "ready"), ({}, "draining")):
        async with client.post(f"/api/v1/nodes/{NODE}/drain", json=body) as response:
            assert (response.status, (await response.json())["state"]) == (202, state)
    async with client.post(f"/api/v1/nodes/{NODE}/drain", json={"drainign": True}) as response:
        await read_problem(response, 400, "invalid-request")


async def test_a_job_is_paused_and_goes_on(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    job = fleet.add_job("film.mkv", status=JobStatus.PROCESSING)
    for body, now in ((None, False), ({"now": True}, True), ({}, False)):
        async with client.post(f"/api/v1/jobs/{job.id}/pause", json=body) as response:
            assert (response.status, (await response.json())["status"]) == (202, "paused")
        assert fleet.pauses.asked[-1] is now
    async with client.post(f"/api/v1/jobs/{job.id}/resume") as response:
        assert (response.status, (await response.json())["status"]) == (202, "pending")
    async with client.post(f"/api/v1/jobs/{job.id}/pause", json={"new": True}) as response:
        await read_problem(response, 400, "invalid-request")


async def test_a_batch_is_handed_in_and_tells_how_far_it_is(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    files: list[dict[str, Any]] = [{"input": [], "params": {"echo": "one"}}, {"input": [], "name": "two"}]
    body: dict[str, Any] = {"kind": "noop", "batch": "holiday", "files": files}
    async with client.post("/api/v1/batches", json=body) as response:
        accepted = await response.json()
        assert (response.status, accepted["batch"], len(accepted["jobs"])) == (201, "holiday", 2)
    for job in accepted["jobs"]:
        fleet.views[job["id"]] = msgspec.structs.replace(fleet.views[job["id"]], batch="holiday")
    async with client.get("/api/v1/batches/holiday?limit=1") as response:
        shown = await response.json()
        assert (shown["total"], shown["statuses"], len(shown["jobs"])) == (2, {"pending": 2}, 1)
        assert (shown["progress"], shown["eta_ms"]) == (0, None)
    async with client.get("/api/v1/batches/none") as response:
        await read_problem(response, 404, "not-found")
    async with client.post("/api/v1/batches", json={"kind": "noop", "files": []}) as response:
        await read_problem(response, 400, "invalid-request")


async def test_what_cannot_be_paused_says_so(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    job = fleet.add_job("film.mkv", status=JobStatus.COMPLETED)
    for verb in ("pause", "resume"):
        async with client.post(f"/api/v1/jobs/{job.id}/{verb}") as response:
            await read_problem(response, 409, "illegal-transition")
        async with client.post(f"/api/v1/jobs/j0-0000000000000/{verb}") as response:
            await read_problem(response, 404, "not-found")
        async with client.post(f"/api/v1/nodes/n0-none/{verb}") as response:
            await read_problem(response, 404, "not-found")


async def test_a_node_and_the_fleet_are_paused_and_go_on(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    fleet.add_node()
    for verb, state in (("pause", "paused"), ("resume", "ready")):
        async with client.post(f"/api/v1/nodes/{NODE}/{verb}") as response:
            assert (response.status, (await response.json())["state"]) == (202, state)
    async with client.post("/api/v1/pause", json={"now": True}) as response:
        assert (response.status, await response.json()) == (202, {"paused": True, "since_ms": 7, "now": True})
    async with client.get("/api/v1/pause") as response:
        assert (await response.json())["paused"] is True
    async with client.post("/api/v1/resume") as response:
        assert (response.status, await response.json()) == (202, {"paused": False, "since_ms": None, "now": False})


async def test_the_fleet_describes_itself(client: aiohttp.ClientSession) -> None:
    answers: dict[str, Any] = {}
    for word in ("pools", "kinds", "stats", "cluster"):
        async with client.get(f"/api/v1/{word}") as response:
            assert response.status == 200
            answers[word] = await response.json()
    assert answers["pools"][0]["free"] == 4
    assert answers["stats"]["slots"] == {"total": 0, "used": 0}
    assert answers["cluster"]["store"]["reachable"]
    kinds = {kind["name"]: kind for kind in answers["kinds"]}
    assert kinds["encode"]["inputs"] == [1, 1]
    assert kinds["encode"]["limits"]["usual"]["max_tries"] == 3
    assert kinds["encode"]["limits"]["most"] == {
        "max_tries": MOST_TRIES,
        **dict.fromkeys(("total_ms", "accept_ms", "queue_ms", "progress_ms"), LONGEST_MS),
    }
    assert "preset" in json.dumps(kinds["encode"]["params"])


async def test_health_needs_no_store_and_ready_does(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    async with client.get("/ready") as response:
        assert response.status == 200
    fleet.store_is_away = True
    async with client.get("/health") as response:
        assert response.status == 200
    async with client.get("/ready") as response:
        await read_problem(response, 503, "store-unavailable")
        assert int(response.headers["Retry-After"]) >= 1


async def test_a_submission_without_a_store_may_be_tried_again(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    fleet.store_is_away = True
    async with client.post("/api/v1/jobs", json={"kind": "noop"}) as response:
        problem = await read_problem(response, 503, "store-unavailable")
        assert problem["retryable"]
        assert "Retry-After" in response.headers


async def test_a_submission_that_does_not_fit_may_be_tried_again(
    client: aiohttp.ClientSession, fleet: FakeFleet
) -> None:
    fleet.fault = QueueFull("The fleet has 5 open tasks of 5.")
    async with client.post("/api/v1/jobs", json=[{"kind": "noop"}, {"kind": "noop"}]) as response:
        problem = await read_problem(response, 429, "queue-full")
        assert problem["retryable"]
        assert int(response.headers["Retry-After"]) >= 1


async def test_metrics_are_prometheus_text(client: aiohttp.ClientSession) -> None:
    async with client.get("/metrics") as response:
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert await response.text() == "fleet_up 1\n"


async def test_the_schema_describes_every_route_of_the_interface(client: aiohttp.ClientSession) -> None:
    async with client.get("/schema") as response:
        schema = json.loads(await response.read())
    assert schema["openapi"].startswith("3.")
    assert set(schema["paths"]["/api/v1/jobs"]) == {"get", "post"}
    assert set(schema["paths"]["/api/v1/jobs/{job_id}"]) == {"get", "delete"}
    assert set(schema["paths"]["/api/v1/artifacts/{artifact_id}"]) == {"get", "head", "put", "delete"}
    assert "JobView" in json.dumps(schema["components"])
    artifact = schema["paths"]["/api/v1/artifacts/{artifact_id}"]
    assert {"200", "202", "409"} <= set(artifact["put"]["responses"])
    assert "OpenUpload" in json.dumps(artifact["put"]["responses"]["202"])
    assert {"Upload-Offset", "Upload-Length"} == set(artifact["head"]["responses"]["200"]["headers"])
    assert not {"fleet", "end"} & {
        parameter["name"]
        for path in schema["paths"].values()
        for operation in path.values()
        for parameter in operation.get("parameters", [])
    }


async def test_a_fault_nobody_foresaw_is_a_problem_with_a_reference_and_one_log_line(
    client: aiohttp.ClientSession, fleet: FakeFleet, capfd: pytest.CaptureFixture[str]
) -> None:
    fleet.fault = ValueError("secret detail")
    async with client.get("/api/v1/jobs") as response:
        problem = await read_problem(response, 500, "internal-error")
    assert "secret" not in json.dumps(problem)
    logged = "".join(capfd.readouterr())
    reference = problem["detail"].rstrip(".").split()[-1]
    assert reference in logged
    assert "Traceback" not in logged


async def test_every_answer_carries_security_headers(client: aiohttp.ClientSession) -> None:
    for path in ("/health", "/nowhere", "/api/v1/jobs", "/schema"):
        async with client.get(path) as response:
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["X-Frame-Options"] == "DENY"
            assert "default-src 'none'" in response.headers["Content-Security-Policy"]


async def test_a_page_of_views_keeps_hostile_names_as_they_are(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    name = 'a"\n<script>alert(1)</script> é.mkv'
    view: JobView = fleet.add_job(name, JobStatus.COMPLETED)
    async with client.get(f"/api/v1/jobs/{view.id}") as response:
        assert (await response.json())["name"] == name


async def test_many_requests_at_once_are_all_answered(client: aiohttp.ClientSession) -> None:
    async def submit() -> int:
        async with client.post("/api/v1/jobs", json={"kind": "noop"}) as response:
            return response.status

    assert await asyncio.gather(*(submit() for _ in range(50))) == [201] * 50


@pytest.mark.parametrize("path", ["/schema/none", "/schema/swagger", "/schema/a/b", "/schema/openapi.yaml"])
async def test_below_the_schema_there_is_nothing_else_and_no_page_of_the_frameworks(
    client: aiohttp.ClientSession, path: str
) -> None:
    async with client.get(path, headers={"Accept": "text/html"}) as response:
        await read_problem(response, 404, "not-found")


async def test_the_schema_has_two_addresses(client: aiohttp.ClientSession) -> None:
    async with client.get("/schema") as one, client.get("/schema/openapi.json") as other:
        assert await one.read() == await other.read()


@pytest.mark.parametrize(("word", "count"), [("ready", 1), ("READY", 1), ("unavailable", 0), ("degraded", 0), ("", 1)])
async def test_nodes_are_asked_for_by_state_in_any_case_and_by_older_names(
    client: aiohttp.ClientSession, fleet: FakeFleet, word: str, count: int
) -> None:
    fleet.add_node()
    async with client.get("/api/v1/nodes", params={"state": word}) as response:
        assert len(await response.json()) == count


async def test_what_is_no_state_of_a_node_is_named_with_those_that_are(client: aiohttp.ClientSession) -> None:
    async with client.get("/api/v1/nodes", params={"state": "sleepy"}) as response:
        problem = await read_problem(response, 400, "invalid-request")
    assert "'sleepy'" in problem["detail"]
    assert "degraded" in problem["detail"]


async def test_metrics_are_there_as_text_and_as_data(client: aiohttp.ClientSession) -> None:
    async with client.get("/metrics") as answer:
        assert (answer.content_type, await answer.read()) == ("text/plain", b"fleet_up 1\n")
    async with client.get("/api/v1/metrics") as answer:
        values: Any = [{"labels": {}, "value": 1.0}]
        assert await answer.json() == [
            {"name": "fleet_up", "type": "gauge", "help": "Whether it is up.", "values": values}
        ]


async def test_log_levels_are_shown_and_set(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    async with client.put("/api/v1/log-levels", json={"module": "scheduler", "level": "debug"}) as answer:
        assert (answer.status, await answer.json()) == (200, {"default": "info", "levels": {"scheduler": "debug"}})
    async with client.get("/api/v1/log-levels") as answer:
        assert (await answer.json())["levels"] == fleet.levels == {"scheduler": "debug"}


@pytest.mark.parametrize(
    "body", [{}, {"module": "x"}, {"module": 1, "level": "debug"}, {"modul": "x", "level": "y"}, []]
)
async def test_what_names_no_level_is_refused(client: aiohttp.ClientSession, fleet: FakeFleet, body: Any) -> None:
    async with client.put("/api/v1/log-levels", json=body) as answer:
        assert answer.status == 400
    assert fleet.levels == {}
