"""Uploads and downloads over real sockets."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

import aiohttp
import pytest
from door_checks import read_problem
from fake_fleet import FakeFleet

from mediafleet.doors.http.server import HttpServer

CONTENT = bytes(range(256)) * 1000


async def announce(client: aiohttp.ClientSession, size: int = len(CONTENT)) -> str:
    async with client.post("/api/v1/artifacts", json={"name": "a.mkv", "size": size}) as response:
        assert response.status == 201
        upload = await response.json()
    assert (upload["offset"], upload["length"]) == (0, size)
    return f"/api/v1/artifacts/{upload['id']}"


async def test_what_was_uploaded_comes_back(client: aiohttp.ClientSession) -> None:
    path = await announce(client)
    async with client.put(path + "?offset=0", data=CONTENT) as response:
        assert response.status == 200
        assert (await response.json())["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    async with client.get(path) as response:
        assert await response.read() == CONTENT
        assert response.headers["Content-Length"] == str(len(CONTENT))
        assert response.headers["Content-Type"].startswith("application/octet-stream")
        assert "sandbox" in response.headers["Content-Security-Policy"]


async def test_an_empty_file_can_be_uploaded(client: aiohttp.ClientSession) -> None:
    path = await announce(client, 0)
    async with client.put(path, data=b"") as response:
        assert response.status == 200
    async with client.get(path) as response:
        assert await response.read() == b""


async def test_an_upload_may_come_in_parts_and_tells_where_it_goes_on(client: aiohttp.ClientSession) -> None:
    path = await announce(client)
    offset = 0
    for part in (CONTENT[:1], CONTENT[1:70_000]):
        async with client.put(f"{path}?offset={offset}", data=part) as response:
            offset += len(part)
            assert (response.status, response.headers["Upload-Offset"]) == (202, str(offset))
            missing = len(CONTENT) - offset
            assert await response.json() == {"id": path.rpartition("/")[2], "offset": offset, "length": missing}
        async with client.head(path) as response:
            assert response.status == 200
            assert response.headers["Upload-Offset"] == str(offset)
            assert response.headers["Upload-Length"] == str(len(CONTENT))
            assert response.headers["Cache-Control"] == "no-store"
            assert "ETag" not in response.headers
    async with client.put(f"{path}?offset={offset}", data=CONTENT[offset:]) as response:
        assert (response.status, (await response.json())["sha256"]) == (200, hashlib.sha256(CONTENT).hexdigest())
    async with client.head(path) as response:
        assert "Upload-Offset" not in response.headers
        assert response.headers["Content-Length"] == str(len(CONTENT))
    async with client.get(path) as response:
        assert await response.read() == CONTENT


async def test_an_open_upload_cannot_be_read_and_an_unknown_one_has_no_head(client: aiohttp.ClientSession) -> None:
    path = await announce(client)
    async with client.get(path) as response:
        await read_problem(response, 404, "not-found")
    async with client.head("/api/v1/artifacts/a0-0123456789abc") as response:
        assert response.status == 404


@pytest.mark.parametrize("offset", [1, len(CONTENT)])
async def test_another_offset_than_what_is_there_is_refused_and_names_the_right_one(
    client: aiohttp.ClientSession, offset: int
) -> None:
    path = await announce(client)
    async with client.put(f"{path}?offset={offset}", data=b"x") as response:
        problem = await read_problem(response, 409, "upload-mismatch")
    assert "go on from offset 0" in problem["detail"]


async def test_bytes_without_a_length_are_refused(client: aiohttp.ClientSession) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"x"

    path = await announce(client)
    async with client.put(path, data=pieces()) as response:
        await read_problem(response, 411, "length-required")


@pytest.mark.parametrize("query", ["?offset=-1", "?offset=first", "?offset=1.5"])
async def test_a_bad_offset_is_refused(client: aiohttp.ClientSession, query: str) -> None:
    path = await announce(client)
    async with client.put(path + query, data=CONTENT) as response:
        await read_problem(response, 400, "invalid-request")


@pytest.mark.parametrize(
    "body", [{"name": "a"}, {"name": "a", "size": 1, "x": 2}, {"name": "a", "size": 1, "sha256": "AB"}, []]
)
async def test_an_announcement_must_be_whole(client: aiohttp.ClientSession, body: object) -> None:
    async with client.post("/api/v1/artifacts", json=body) as response:
        await read_problem(response, 400, "invalid-request")


async def test_what_a_client_that_goes_away_has_sent_stays(server: HttpServer, fleet: FakeFleet) -> None:
    async with aiohttp.ClientSession(server.url) as client:
        path = await announce(client)
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        head = f"PUT {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(CONTENT)}\r\n\r\n"
        writer.write(head.encode() + CONTENT[:1000])
        await fleet.wait_for(lambda: any(fleet.arrived.values()))
        writer.close()
        await writer.wait_closed()
        async with client.head(path) as response:
            assert response.headers["Upload-Offset"] == "1000"
        async with client.put(f"{path}?offset=1000", data=CONTENT[1000:]) as response:
            assert response.status == 200


async def test_an_open_upload_can_be_given_up_and_a_used_one_cannot(
    client: aiohttp.ClientSession, fleet: FakeFleet
) -> None:
    async with client.delete(await announce(client)) as response:
        assert response.status == 204
    async with client.delete(f"/api/v1/artifacts/{fleet.add_artifact(CONTENT).id}") as response:
        await read_problem(response, 409, "conflict")


async def test_a_range_sends_only_its_bytes(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    path = f"/api/v1/artifacts/{fleet.add_artifact(CONTENT).id}"
    async with client.get(path, headers={"Range": "bytes=70000-140000"}) as response:
        assert response.status == 206
        assert response.headers["Content-Range"] == f"bytes 70000-140000/{len(CONTENT)}"
        assert await response.read() == CONTENT[70000:140001]
    async with client.get(path, headers={"Range": f"bytes={len(CONTENT)}-"}) as response:
        assert response.headers["Content-Range"] == f"bytes */{len(CONTENT)}"
        await read_problem(response, 416, "range-not-satisfiable")


async def test_a_range_of_another_version_is_answered_whole(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    path = f"/api/v1/artifacts/{fleet.add_artifact(CONTENT).id}"
    async with client.get(path, headers={"Range": "bytes=0-1", "If-Range": '"other"'}) as response:
        assert (response.status, await response.read()) == (200, CONTENT)


async def test_a_client_that_has_the_bytes_gets_none(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    ref = fleet.add_artifact(CONTENT)
    path = f"/api/v1/artifacts/{ref.id}"
    async with client.get(path, headers={"If-None-Match": f'"{ref.sha256}"'}) as response:
        assert (response.status, await response.read()) == (304, b"")


async def test_head_tells_size_and_name_without_bytes(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    ref = fleet.add_artifact(CONTENT, 'we"ird\r\nname: é.mkv')
    async with client.head(f"/api/v1/artifacts/{ref.id}") as response:
        assert response.status == 200
        assert response.headers["Content-Length"] == str(len(CONTENT))
        assert response.headers["ETag"] == f'"{ref.sha256}"'
        assert "filename*=UTF-8''we%22irdname%3A%20%C3%A9.mkv" in response.headers["Content-Disposition"]
        assert await response.read() == b""


async def test_a_reader_that_goes_away_closes_the_file(
    server: HttpServer, fleet: FakeFleet, caplog: pytest.LogCaptureFixture
) -> None:
    ref = fleet.add_artifact(bytes(64 << 20))
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(f"GET /api/v1/artifacts/{ref.id} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    assert await reader.read(1000)
    writer.close()
    async with asyncio.timeout(10):
        await fleet.artifacts[ref.id].closed.wait()
    assert not caplog.records


async def test_bytes_that_lie_elsewhere_have_an_address_and_others_have_none(
    client: aiohttp.ClientSession, fleet: FakeFleet
) -> None:
    path = f"/api/v1/artifacts/{fleet.add_artifact(CONTENT).id}/location"
    async with client.get(path) as response:
        assert (response.status, (await response.json())["code"]) == (404, "not-found")
    fleet.takes_direct_uploads = True
    async with client.get(path) as response:
        found = await response.json()
        assert (found["method"], found["life_s"], response.headers["Cache-Control"]) == ("GET", 900, "no-store")


async def test_an_upload_may_be_written_elsewhere_and_be_completed_here(
    client: aiohttp.ClientSession, fleet: FakeFleet
) -> None:
    assert "direct" not in await (await client.post("/api/v1/artifacts", json={"name": "a", "size": 1})).json()
    fleet.takes_direct_uploads = True
    path = await announce(client)
    assert (await (await client.get(f"{path}/location")).json())["method"] == "PUT"
    async with client.post(f"{path}/complete", json={"sha256": "A" * 64}) as response:
        assert response.status == 400
    async with client.post(f"{path}/complete", json={"sha256": "a" * 64}) as response:
        assert (response.status, (await response.json())["sha256"]) == (200, "a" * 64)
