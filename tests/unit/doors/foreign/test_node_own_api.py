"""A node's own API over real sockets: who may ask, what is answered, and what malformed requests get."""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from foreign_fleet import FakeFleet

from mediafleet.domain.errors import ConfigError
from mediafleet.domain.push import parse_listen
from mediafleet.doors.foreign import node_api
from mediafleet.doors.foreign.node_api import DEFAULT_API, MOST_BODY_BYTES, standing_alone
from mediafleet.ops.settings import MasterSettings, NodeSettings, Settings

TOKEN = "correct-horse-battery"  # noqa: S105 - a word for the test
NOBODY = "http://127.0.0.1:1/signalrhub"
SCHEDULER = "http://127.0.0.1:8000"


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch) -> FakeFleet:
    fleet = FakeFleet()

    def make(address: str, token: str) -> FakeFleet:
        return fleet

    monkeypatch.setattr(node_api, "FleetClient", make)
    return fleet


@asynccontextmanager
async def node(folder: Path, *, token: str = "", **master: Any) -> AsyncGenerator[aiohttp.ClientSession]:
    """A node's API, and who asks it."""
    settings = Settings(
        data=folder / "data", node=NodeSettings(api="127.0.0.1:0"), master=MasterSettings(retry_s=60, **master)
    )
    async with standing_alone(settings, SCHEDULER, token) as url, aiohttp.ClientSession(url) as client:
        yield client


@pytest.fixture
async def client(fleet: FakeFleet, tmp_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    async with node(tmp_path) as client:
        yield client


async def ask(client: aiohttp.ClientSession, method: str, path: str, **options: Any) -> tuple[int, Any]:
    async with client.request(method, path, **options) as answer:
        assert answer.headers.get("Cache-Control", "no-store") == "no-store"
        return answer.status, await answer.json(content_type=None)


async def test_a_master_is_set_and_left_while_the_node_runs(client: aiohttp.ClientSession) -> None:
    assert (await ask(client, "GET", "/status"))[1]["master_url"] == ""
    for method in ("GET", "POST"):
        status, answer = await ask(client, method, f"/set-master?url={NOBODY}")
        assert (status, answer["success"], answer["master_url"]) == (200, True, NOBODY)
        assert NOBODY in answer["message"]
    _, answer = await ask(client, "GET", "/status")
    assert (answer["success"], answer["master_url"], answer["is_connected"]) == (True, NOBODY, False)
    assert answer["status"] == "idle"
    assert answer["tasks"] == {"running": 0, "undelivered": 0}
    status, answer = await ask(client, "POST", "/disconnect-master")
    assert (status, answer["success"]) == (200, True)
    assert (await ask(client, "GET", "/status"))[1]["master_url"] == ""


async def test_a_master_that_was_set_is_there_after_a_restart(fleet: FakeFleet, tmp_path: Path) -> None:
    async with node(tmp_path) as client:
        first = (await ask(client, "GET", "/status"))[1]["worker_id"]
        await ask(client, "POST", "/set-master", json={"url": NOBODY, "token": "for-the-master"})
    async with node(tmp_path) as client:
        _, answer = await ask(client, "GET", "/status")
    assert (answer["master_url"], answer["worker_id"]) == (NOBODY, first)
    assert "for-the-master" not in str(answer)


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Referer": "http://evil.example/page"},
        {"Referer": "http://["},
        {"User-Agent": "Mozilla/5.0 (an old one)"},
        {"Host": "rebound.example"},
    ],
)
@pytest.mark.parametrize("method", ["GET"])
async def test_a_page_of_another_site_sets_no_master_by_a_get(
    client: aiohttp.ClientSession, method: str, headers: dict[str, str]
) -> None:
    status, problem = await ask(client, method, f"/set-master?url={NOBODY}", headers=headers)
    assert status in {401, 403}, problem
    assert (await ask(client, "GET", "/status"))[1]["master_url"] == ""


@pytest.mark.parametrize("path", [f"/set-master?url={NOBODY}", "/disconnect-master", "/task"])
async def test_a_page_of_another_site_changes_nothing(
    client: aiohttp.ClientSession, fleet: FakeFleet, path: str
) -> None:
    status, _ = await ask(client, "POST", path, data=b'{"kind":"noop"}', headers={"Origin": "http://evil.example"})
    assert status == 403
    assert fleet.submitted == []


async def test_a_person_may_type_the_address_of_a_master(client: aiohttp.ClientSession) -> None:
    headers = {"Sec-Fetch-Site": "none", "User-Agent": "Mozilla/5.0"}
    assert (await ask(client, "GET", f"/set-master?url={NOBODY}", headers=headers))[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/set-master", None),
        ("GET", "/set-master?url=", None),
        ("POST", "/set-master", None),
        ("POST", "/set-master?url=ftp://a/hub", None),
        ("POST", "/set-master", b"{"),
        ("POST", "/set-master", b'{"url": 5}'),
        ("POST", "/set-master", b'{"url": "http://a/hub", "tokn": "x"}'),
        ("POST", "/set-master", b'{"url": "http://me:secret@a/hub"}'),
        ("POST", "/set-master", b'{"url": "http://a/hub", "token": "a\\nsecret"}'),
        ("POST", "/task", None),
        ("POST", "/task", b"[]"),
        ("POST", "/task", b'{"kind": "noop", "prio": 1}'),
        ("POST", "/task", b"\xff"),
    ],
)
async def test_what_is_malformed_is_answered_with_a_problem(
    client: aiohttp.ClientSession, method: str, path: str, body: bytes | None
) -> None:
    status, problem = await ask(client, method, path, data=body)
    assert (status, problem["code"]) == (400, "invalid-request")
    assert "secret" not in problem["detail"]


async def test_a_body_has_a_limit(client: aiohttp.ClientSession) -> None:
    status, _ = await ask(client, "POST", "/task", data=io.BytesIO(b" " * (MOST_BODY_BYTES + 1)))
    assert status == 413


async def test_work_is_handed_in_looked_at_and_ended(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    body = {"kind": "subtitle", "input": "file:///m/a.mkv", "params": {"to": ["en"], "formats": ["srt"]}}
    status, answer = await ask(client, "POST", "/task", json=body)
    assert (status, answer["success"], answer["status"]) == (202, True, "pending")
    job = answer["id"]
    assert fleet.submitted[0].params == body["params"]
    fleet.keys[fleet.submitted[0].idempotency_key] = job
    fleet.complete(job, spoken="en")
    status, answer = await ask(client, "GET", f"/task/{job}")
    assert (status, answer["status"], answer["kind"]) == (200, "completed", "subtitle")
    assert answer["outputs"][0]["url"] == f"{fleet.base_url}/api/v1/artifacts/a0-0"
    assert (await ask(client, "POST", f"/task/{job}/stop"))[1]["status"] == "cancelled"
    assert (await ask(client, "DELETE", f"/task/{job}"))[1]["status"] == "cancelled"


@pytest.mark.parametrize("task", ["j0-0000000000000009", "nobody", "..%2f..%2fapi"])
async def test_work_that_nobody_knows_is_not_found(client: aiohttp.ClientSession, task: str) -> None:
    assert (await ask(client, "GET", f"/task/{task}"))[0] == 404


async def test_a_token_is_asked_for_at_every_address_where_there_is_one(fleet: FakeFleet, tmp_path: Path) -> None:
    async with node(tmp_path, token=TOKEN) as client:
        for method, path in (
            ("GET", "/status"),
            ("GET", f"/set-master?url={NOBODY}"),
            ("POST", "/task"),
            ("GET", "/x"),
        ):
            assert (await ask(client, method, path))[0] == 401
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        assert (await ask(client, "GET", "/status", headers=bearer))[0] == 200
        assert (await ask(client, "GET", f"/set-master?url={NOBODY}", headers=bearer))[0] == 200


async def test_an_address_that_others_reach_needs_a_token(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, node=NodeSettings(api="0.0.0.0:0"))
    with pytest.raises(ConfigError, match=r"node\.api is '0\.0\.0\.0:0'"):
        async with standing_alone(settings, SCHEDULER, ""):
            pass


async def test_an_address_that_is_taken_is_told_by_its_setting(fleet: FakeFleet, tmp_path: Path) -> None:
    async with node(tmp_path) as client:
        taken = Settings(data=tmp_path / "other", node=NodeSettings(api=f"127.0.0.1:{client._base_url.port}"))  # pyright: ignore[reportOptionalMemberAccess] - it has one
        with pytest.raises(ConfigError, match=r"node\.api is .* in use"):
            async with standing_alone(taken, SCHEDULER, ""):
                pass


def test_where_it_listens_if_nobody_says_otherwise_is_this_machine_only() -> None:
    assert parse_listen(DEFAULT_API) == ("127.0.0.1", 9000)
