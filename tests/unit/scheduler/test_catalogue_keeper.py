"""The catalogue is read from an address and a file, refreshed, and never replaced by a bad one."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from mediafleet.domain.catalogue import EMPTY, CatalogueSource
from mediafleet.domain.clock import SystemClock
from mediafleet.domain.errors import Unavailable
from mediafleet.ops.settings import CatalogueSettings
from mediafleet.scheduler.catalogue import CatalogueKeeper, fetch_catalogue, shown_address

DEADLINE_S = 20.0
LIMIT = 4096


def document(version: str = "1", **changes: Any) -> bytes:
    service = {"name": "vosk", "version": version, "provides": ["recognise:en"], "capabilities": ["asr:vosk"]}
    return json.dumps({"format": 1, "revision": f"r{version}", "services": [service]} | changes).encode()


class Server:
    """An address that answers as a test wants."""

    def __init__(self) -> None:
        self.url = ""
        self.body = document()
        self.status = 200
        self.etag = ""
        self.headers: dict[str, str] = {}
        self.asked: list[tuple[str, int]] = []
        """`If-None-Match` of each request, and the status of the answer."""
        self.hold: asyncio.Event | None = None

    async def answer(self, request: web.Request) -> web.Response:
        """Answer as a server does that knows ETags."""
        if self.hold:
            await self.hold.wait()
        known = request.headers.get("If-None-Match", "")
        status = 304 if self.status == 200 and known and known == self.etag else self.status
        self.asked.append((known, status))
        headers = self.headers | ({"ETag": self.etag} if self.etag else {})
        return web.Response(body=b"" if status == 304 else self.body, status=status, headers=headers)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    found = Server()
    app = web.Application()
    app.add_routes([web.get("/list.json", found.answer)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/list.json"
    yield found
    if found.hold:
        found.hold.set()
    await runner.cleanup()


def keeper(url: str = "", file: Path | None = None, **changes: Any) -> CatalogueKeeper:
    settings = CatalogueSettings(url=url, file=str(file or ""), max_bytes=LIMIT, **changes)
    return CatalogueKeeper(settings, SystemClock())


async def test_without_a_source_the_built_in_one_is_empty_and_no_problem() -> None:
    found = keeper()
    await found.refresh()
    view = found.view()
    assert (view.source, view.location, view.services, view.problem) == (CatalogueSource.BUILT_IN, "", (), "")
    assert found.current is EMPTY


async def test_the_address_goes_before_the_file(server: Server, tmp_path: Path) -> None:
    (tmp_path / "list.json").write_bytes(document("0"))
    found = keeper(server.url, tmp_path / "list.json")
    await found.refresh()
    view = found.view()
    assert (view.source, view.location, view.revision, view.problem) == (CatalogueSource.URL, server.url, "r1", "")
    assert view.loaded_ms is not None
    assert view.checked_ms is not None


async def test_a_document_that_has_not_changed_is_neither_sent_nor_read_again(server: Server) -> None:
    server.etag = '"one"'
    found = keeper(server.url)
    await found.refresh()
    first = found.current
    await found.refresh()
    assert server.asked == [("", 200), ('"one"', 304)]
    assert found.current is first
    server.body, server.etag = document("2"), '"two"'
    await found.refresh()
    assert found.view().revision == "r2"
    assert found.current is not first


async def test_the_same_bytes_from_a_server_without_etags_are_the_same_catalogue(server: Server) -> None:
    found = keeper(server.url)
    await found.refresh()
    first = found.current
    await found.refresh()
    assert found.current is first


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"body": b"<html>"}, "The catalogue cannot be read"),
        ({"body": document(format=9)}, "The catalogue has the format 9"),
        ({"status": 500}, "answers 500"),
        ({"status": 304}, "answers 304"),
        ({"body": b" " * (LIMIT + 1)}, f"is larger than catalogue.max_bytes, {LIMIT} bytes"),
        (
            {"body": gzip.compress(b" " * 10_000_000), "headers": {"Content-Encoding": "gzip"}},
            f"is larger than catalogue.max_bytes, {LIMIT} bytes",
        ),
        ({"body": b"not packed", "headers": {"Content-Encoding": "gzip"}}, "cannot be reached: "),
        ({"status": 302, "headers": {"Location": "ftp://127.0.0.1/x"}}, "cannot be reached: "),
        ({"status": 302, "headers": {"Location": "/list.json"}}, "cannot be reached: TooManyRedirects"),
    ],
)
async def test_a_bad_answer_keeps_the_last_good_one_and_is_told_until_it_is_mended(
    server: Server, changes: dict[str, Any], problem: str
) -> None:
    found = keeper(server.url)
    await found.refresh()
    good = found.current
    before = vars(server).copy()
    vars(server).update(changes)
    for _ in range(2):
        await found.refresh()
        assert found.current is good
        assert problem in found.view().problem
        assert found.view().source is CatalogueSource.URL
    vars(server).update({name: before[name] for name in changes})
    await found.refresh()
    assert found.view().problem == ""


async def test_a_bad_document_with_a_new_tag_is_complained_of_until_it_is_mended(server: Server) -> None:
    server.etag = '"good"'
    found = keeper(server.url)
    await found.refresh()
    server.body, server.etag = b"{", '"bad"'
    for _ in range(2):
        await found.refresh()
    assert "cannot be read" in found.view().problem
    assert [known for known, _ in server.asked] == ["", '"good"', '"good"']


async def test_an_address_that_does_not_answer_in_time_is_given_up(server: Server, tmp_path: Path) -> None:
    server.hold = asyncio.Event()
    (tmp_path / "list.json").write_bytes(document("0"))
    found = keeper(server.url, tmp_path / "list.json", timeout_ms=50)
    await found.refresh()
    view = found.view()
    assert (view.source, view.revision) == (CatalogueSource.FILE, "r0"), "the file stands in"
    assert view.problem == f"The catalogue at {server.url} did not come within 50 ms."
    server.hold.set()
    server.hold = None
    settings = CatalogueSettings(url=server.url, max_bytes=LIMIT)
    found._settings = settings
    await found.refresh()
    assert found.view().source is CatalogueSource.URL


async def test_a_file_that_changes_is_read_again_and_a_bad_one_keeps_the_last_good(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    found = keeper(file=path)
    await found.refresh()
    assert "cannot be read: No such file" in found.view().problem
    assert found.view().source is CatalogueSource.BUILT_IN
    path.write_bytes(document("1"))
    await found.refresh()
    assert (found.view().revision, found.view().location, found.view().problem) == ("r1", str(path), "")
    path.write_bytes(b"[]")
    await found.refresh()
    assert (found.view().revision, found.view().source) == ("r1", CatalogueSource.FILE)
    assert "The catalogue cannot be read" in found.view().problem
    path.write_bytes(b" " * (LIMIT + 1))
    await found.refresh()
    assert f"is larger than {LIMIT} bytes" in found.view().problem


async def test_what_is_wrong_with_the_file_is_no_problem_once_the_address_answers(
    server: Server, tmp_path: Path
) -> None:
    server.status = 503
    found = keeper(server.url, tmp_path / "none.json")
    await found.refresh()
    assert "answers 503" in found.view().problem
    assert "No such file" in found.view().problem
    server.status = 200
    await found.refresh()
    assert found.view().problem == ""


async def test_the_loop_asks_again_when_it_is_time(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def note(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("mediafleet.scheduler.catalogue.asyncio.sleep", note)
    await keeper(server.url, refresh_s=100).step()
    await keeper().step()
    assert 80 <= waits[0] <= 120
    assert waits[1] == 3600
    assert len(server.asked) == 1


async def test_credentials_of_an_address_are_sent_and_never_shown(server: Server) -> None:
    url = server.url.replace("http://", "http://user:secret@") + "?key=secret"
    found = keeper(url)
    await found.refresh()
    assert found.view().location == server.url
    server.status = 401
    await found.refresh()
    assert "secret" not in found.view().problem
    assert shown_address("") == ""


async def test_nobody_at_the_address_is_told_without_a_trace() -> None:
    with pytest.raises(Unavailable, match="cannot be reached: ClientConnectorError"):
        await fetch_catalogue(CatalogueSettings(url="http://127.0.0.1:9/list.json"))
