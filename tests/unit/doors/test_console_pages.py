"""The console without a browser's scripts: what it shows, and what its buttons do."""

from __future__ import annotations

import html
import re
from typing import Any

import aiohttp
import msgspec
import pytest
from fake_fleet import FAILED, NODE, FakeFleet
from yarl import URL

from mediafleet.console import rendering
from mediafleet.console.pages import MOST_NODES
from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.errors import ErrorInfo
from mediafleet.domain.event import EventType
from mediafleet.domain.health import Cause, Standing, Withheld
from mediafleet.domain.lifecycle import JobStatus
from mediafleet.domain.node import NodeState, RunningView
from mediafleet.kinds.noop import KIND as NOOP
from mediafleet.kinds.registry import KindRegistry
from mediafleet.kinds.seam import Kind

PARTIAL = {"HX-Request": "true"}
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
EVIL = "</td><script>alert(1)</script><img src=x onerror=alert(2)> \"quoted\" 'n'\nnew line é.mkv"
TOKEN = "correct-horse-battery-staple"  # noqa: S105 - a test's own


@pytest.fixture
def client(console: aiohttp.ClientSession) -> aiohttp.ClientSession:
    return console


async def read_page(client: aiohttp.ClientSession, path: str, status: int = 200) -> str:
    async with client.get(path, allow_redirects=False) as response:
        text = await response.text()
        assert response.status == status, text
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        return text


async def test_an_empty_fleet_teaches_what_to_do(client: aiohttp.ClientSession) -> None:
    text = await read_page(client, "/")
    assert "mediafleet transcode film.mkv" in text
    assert f"mediafleet node --scheduler http://127.0.0.1:{client._base_url.port if client._base_url else 0}" in text


@pytest.mark.parametrize(("status", "is_said"), [(JobStatus.PENDING, True), (JobStatus.PROCESSING, False)])
async def test_a_jobs_page_says_why_it_waits(
    client: aiohttp.ClientSession, fleet: FakeFleet, status: JobStatus, *, is_said: bool
) -> None:
    job = fleet.add_job("a.mkv", status)
    for path in (f"/jobs/{job.id}", f"/console/jobs/{job.id}"):
        assert ("No executor that can do it takes it now." in await read_page(client, path)) is is_said


async def test_jobs_are_shown_with_status_progress_and_what_can_be_done(
    client: aiohttp.ClientSession, fleet: FakeFleet
) -> None:
    running = fleet.add_job("run.mkv", JobStatus.PROCESSING, progress=0.57, stage="encoding", speed=2.0)
    done = fleet.add_job("done.mkv", JobStatus.COMPLETED, outputs=(fleet.add_artifact(b"x" * 1500, "done.mp4"),))
    failed = fleet.add_job("bad.mkv", **FAILED)
    text = await read_page(client, "/")
    assert f'action="/console/jobs/{running.id}/cancel"' in text
    assert 'value="57"' in text
    assert "encoding · 2.0×" in text
    assert f'href="/api/v1/artifacts/{done.outputs[0].id}"' in text
    assert "1.5 KB" in text
    assert f'action="/console/jobs/{failed.id}/retry"' in text
    assert "The file holds no stream that can be decoded." in text
    assert "5 min ago" in text


async def test_nodes_are_shown_with_executors_and_what_they_run(
    client: aiohttp.ClientSession, fleet: FakeFleet
) -> None:
    job = fleet.add_job("night.mkv", JobStatus.PROCESSING)
    fleet.add_node(running=(RunningView(f"{job.id}.encode", job.id, 1),))
    text = await read_page(client, "/console/nodes")
    assert "studio-b" in text
    assert "1 of 4 slots in use" in text
    assert f'<a href="/jobs/{job.id}"><bdi>night.mkv</bdi></a>' in text
    assert "encoder:libx264" in text


async def test_two_nodes_of_one_host_are_told_apart(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    fleet.add_node("n0-studio-b-1")
    fleet.add_node("n0-studio-b-2")
    text = await read_page(client, "/console/nodes")
    assert all(f'<code class="muted small">n0-studio-b-{number}</code>' in text for number in (1, 2))


async def test_the_table_has_pages_and_a_filter(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    for number in range(60):
        fleet.add_job(f"clip-{number:02}.mkv", JobStatus.FAILED if number % 2 else JobStatus.PENDING)
    first = await read_page(client, "/")
    assert re.findall(r"clip-(\d\d)\.mkv</bdi>", first)[::24] == ["59", "35"]
    assert "1–25 of 60" in first
    assert 'href="/?status=&amp;offset=25"' in first
    last = await read_page(client, "/?status=failed&offset=25")
    assert re.findall(r"clip-(\d\d)\.mkv</bdi>", last) == ["09", "07", "05", "03", "01"]
    assert 'href="/?status=failed&amp;offset=0"' in last
    assert "Older" not in last
    assert "No job is completed right now" in await read_page(client, "/?status=completed")


async def test_a_job_has_a_page_with_everything_known(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    job = fleet.add_job(
        "a.mkv",
        inputs=(ArtifactRef("a0-1", "a.mkv", "file:///m/a.mkv", 2_000_000),),
        warnings=("Stream 3 was left out.",),
        params={"preset": "h264"},
        **FAILED,
    )
    text = await read_page(client, f"/jobs/{job.id}")
    for words in ("file:///m/a.mkv", "2.0 MB", "Stream 3 was left out.", "moov atom not found", "preset"):
        assert words in text
    assert f'hx-sse:connect="/api/v1/jobs/{job.id}/events?after=0-0"' in text


@pytest.mark.parametrize("path", ["/", "/jobs/{id}", "/console/jobs", "/console/jobs/{id}", "/console/nodes"])
async def test_a_hostile_name_stays_text(client: aiohttp.ClientSession, fleet: FakeFleet, path: str) -> None:
    job = fleet.add_job(EVIL, JobStatus.PROCESSING, stage=EVIL, outputs=(ArtifactRef("a0-1", EVIL),), warnings=(EVIL,))
    fleet.add_node(running=(RunningView(f"{job.id}.{EVIL}", job.id, 1),))
    text = await read_page(client, path.format(id=job.id))
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert html.escape("<script>alert(1)</script>") in text


async def test_every_script_and_htmx_element_carries_the_nonce_of_the_policy(
    client: aiohttp.ClientSession, fleet: FakeFleet
) -> None:
    fleet.add_job()
    fleet.add_node()
    async with client.get("/") as response:
        policy, text = response.headers["Content-Security-Policy"], await response.text()
    nonce = re.findall(r"script-src 'nonce-([^']+)';", policy)[0]
    assert "unsafe" not in policy
    assert all(f'nonce="{nonce}"' in tag for tag in re.findall(r"<script[^>]*>", text))
    driven = [tag for tag in re.findall(r"<[a-z]+\s[^>]*>", text) if re.search(r"\shx-(get|post|sse)", tag)]
    assert len(driven) > 5
    assert all(f'hx-nonce="{nonce}"' in tag for tag in driven)
    assert not re.findall(r"\son[a-z]+=|style=|javascript:", text)


async def test_each_page_has_a_nonce_of_its_own(client: aiohttp.ClientSession) -> None:
    found = {re.findall(r'nonce="([^"]+)"', await read_page(client, "/console/jobs"))[0] for _ in range(5)}
    assert len(found) == 5


async def test_without_htmx_the_page_says_so_and_can_be_read(
    client: aiohttp.ClientSession, fleet: FakeFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendering, "VENDOR_FILES", ("htmx.min.js", "not-there.min.js"))
    fleet.add_job("still-readable.mkv")
    text = await read_page(client, "/")
    assert "This page does not update by itself." in text
    assert "not-there.min.js" in text
    assert "<script" not in text
    assert "still-readable.mkv" in text


async def test_a_path_is_submitted_and_the_browser_sent_to_the_job(
    client: aiohttp.ClientSession, fleet: FakeFleet
) -> None:
    form = {"kind": "encode", "input": "/m/a b.mkv", "priority": "interactive", "params.preset": "av1", "name": ""}
    async with client.post("/console/jobs", data=form, allow_redirects=False) as response:
        assert response.status == 303
        (job,) = fleet.views.values()
        assert response.headers["Location"] == f"/jobs/{job.id}"


async def test_htmx_gets_a_notice_and_is_told_to_refresh(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    form = {"kind": "encode", "input": "artifact:a0-1", "name": EVIL}
    async with client.post("/console/jobs", data=form, headers=PARTIAL) as response:
        assert response.status == 200
        assert response.headers["HX-Trigger"] == "refresh-jobs"
        text = await response.text()
    assert "was accepted." in text
    assert html.escape("<script>") in text
    (job,) = fleet.views.values()
    assert job.name == EVIL


@pytest.mark.parametrize(
    ("form", "status", "words"),
    [
        ({"kind": "encode"}, 400, "Choose a file to upload"),
        ({"kind": "encdoe", "input": "/a"}, 422, "did you mean"),
        ({"kind": "encode", "input": "/a", "params.crf": "x"}, 422, "must be a whole number"),
        ({"kind": "encode", "input": "/a", "params.preset": "h263"}, 422, "preset"),
        ({}, 422, "no job kind"),
    ],
)
async def test_a_form_that_cannot_be_submitted_says_why(
    client: aiohttp.ClientSession, form: dict[str, str], status: int, words: str
) -> None:
    for headers in (PARTIAL, {}):
        async with client.post("/console/jobs", data=form, headers=headers) as response:
            assert response.status == status
            text = html.unescape(await response.text())
        assert words in text
        assert ("<!doctype html>" in text) == (not headers)


async def test_a_preview_waits_for_a_node_and_shows_what_becomes_of_each_stream(
    client: aiohttp.ClientSession, fleet: FakeFleet
) -> None:
    params = {"dry_run": True}
    job = fleet.add_job("film <b>.mkv", JobStatus.PROCESSING, kind="transcode", params=params)
    async with client.get(f"/console/previews/{job.id}", headers=PARTIAL) as response:
        page = await response.text()
    assert "A node looks into it" in page
    assert f'hx-get="/console/previews/{job.id}"' in page
    blank: dict[str, Any] = {"codec": "", "encoder": "", "why": "", "losses": []}
    plan: dict[str, Any] = {
        "preset": "h264",
        "container": "mp4",
        "duration_s": 61.0,
        "chapters": 1,
        "streams": [
            blank | {"index": 0, "what": "the picture", "action": "encode", "codec": "h264", "encoder": "libx264"},
            blank | {"index": 1, "what": "subtitle <i>", "action": "leave out", "losses": ["MP4 holds no bitmaps."]},
        ],
        "losses": [{"topic": "x", "sentence": "MP4 holds no bitmaps.", "stream": 1}, {"sentence": "No <u>tags</u>."}],
    }
    await fleet.update(job.id, EventType.JOB_COMPLETED, status=JobStatus.COMPLETED, result=plan)
    for place in (f"/console/previews/{job.id}", f"/jobs/{job.id}"):
        async with client.get(place) as response:
            page = await response.text()
        for words in (
            "the picture",
            "libx264",
            "subtitle &lt;i&gt;",
            "leave out",
            "No &lt;u&gt;tags",
            "1 min 1 s, 1 chapter.",
        ):
            assert words in page, words
        assert page.count("MP4 holds no bitmaps.") == 1, "what a stream loses stands beside it"
        assert "/console/previews/" not in page, "there is nothing to wait for"


async def test_the_list_says_which_jobs_only_look(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    for name, params in (("looks", {"dry_run": True}), ("works", {"dry_run": False})):
        fleet.add_job(name, kind="transcode", params=params)
    async with client.get("/console/jobs", headers=PARTIAL) as response:
        rows = (await response.text()).split("<tr ")
    assert {name: "preview only" in row for row in rows for name in ("looks", "works") if name in row} == {
        "looks": True,
        "works": False,
    }


async def test_a_preview_that_failed_says_why(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    error = ErrorInfo("unreadable-media", "It is no film.")
    about: dict[str, Any] = {"kind": "transcode", "params": {"dry_run": True}}
    failed = fleet.add_job(status=JobStatus.FAILED, error=error, **about)
    async with client.get(f"/console/previews/{failed.id}") as response:
        assert "It is no film." in await response.text()
    gone = fleet.add_job(status=JobStatus.CANCELLED, **about)
    async with client.get(f"/console/previews/{gone.id}") as response:
        assert "the job was cancelled" in await response.text()


async def test_buttons_cancel_and_retry(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    job = fleet.add_job()
    for verb, status in (("cancel", JobStatus.CANCELLED), ("retry", JobStatus.PENDING)):
        async with client.post(f"/console/jobs/{job.id}/{verb}", headers=PARTIAL) as response:
            assert (response.status, response.headers["HX-Trigger"]) == (200, "refresh-jobs")
        assert fleet.views[job.id].status == status
    async with client.post(f"/console/jobs/{job.id}/cancel", allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (303, f"/jobs/{job.id}")
    async with client.post(f"/console/jobs/{job.id}/cancel", headers=PARTIAL) as response:
        assert response.status == 409
        assert "notice problem" in await response.text()


async def test_buttons_pause_and_resume(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    job = fleet.add_job(status=JobStatus.PROCESSING)
    for verb, status in (("pause", JobStatus.PAUSED), ("resume", JobStatus.PENDING)):
        async with client.get(f"/jobs/{job.id}") as response:
            assert f'action="/console/jobs/{job.id}/{verb}"' in await response.text()
        async with client.post(f"/console/jobs/{job.id}/{verb}", headers=PARTIAL) as response:
            assert (response.status, response.headers["HX-Trigger"]) == (200, "refresh-jobs")
        assert fleet.views[job.id].status == status


async def test_a_paused_fleet_says_so_on_every_table_of_jobs(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    async with client.get("/") as response:
        assert "fleet-paused" not in await response.text()
    await fleet.pauses.pause_fleet(now=True)
    async with client.get("/") as response:
        assert "The fleet is paused: nothing begins" in await response.text()


async def test_a_node_is_paused_and_resumed(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    fleet.add_node()
    for verb, state, offered in (("pause", "paused", "resume"), ("resume", "ready", "pause")):
        async with client.post(f"/console/nodes/{NODE}/{verb}", headers=PARTIAL) as response:
            assert response.headers["HX-Trigger"] == "refresh-jobs"
            page = await response.text()
        assert f'class="pill {state}"' in page
        assert f'action="/console/nodes/{NODE}/{offered}"' in page
    async with client.post(f"/console/nodes/{NODE}/pause", allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (303, "/")


async def test_the_fleet_is_paused_and_resumed(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    for verb, is_paused, offered in (("pause", True, "Resume the fleet"), ("resume", False, "Pause the fleet")):
        async with client.post(f"/console/{verb}", headers=PARTIAL) as response:
            assert offered in await response.text()
        assert (await fleet.pauses.fleet()).paused is is_paused


async def test_a_node_is_drained_and_taken_back(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    fleet.add_node()
    for choice, state in (("yes", "draining"), ("no", "ready")):
        async with client.post(f"/console/nodes/{NODE}/drain", data={"draining": choice}, headers=PARTIAL) as response:
            assert f'class="pill {state}"' in await response.text()
    async with client.post(f"/console/nodes/{NODE}/drain", allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (303, "/")


async def test_a_node_that_takes_no_work_says_why_and_how_full_it_is(
    client: aiohttp.ClientSession, fleet: FakeFleet
) -> None:
    view = fleet.add_node()
    entry = Withheld("asr:vosk", Standing.OUT, Cause.MISSING, 1)
    fleet.node_views[NODE] = msgspec.structs.replace(
        view,
        state=NodeState.DEGRADED,
        reason="Too little <is> free.",
        load={"cpu": 0.5, "disk": 0.99, "cpu_own": 0.1},
        executors=(msgspec.structs.replace(view.executors[0], withheld=(entry,)),),
    )
    async with client.get("/console/nodes") as response:
        page = await response.text()
    assert 'class="pill degraded"' in page
    assert "Too little &lt;is&gt; free." in page
    assert "cpu 50 % · disk 99 %" in " ".join(page.split())
    assert "asr:vosk" in page
    assert 'value="yes"' in page, "it may be drained as well"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/jobs/none", 404),
        ("/?status=done", 400),
        ("/?offset=-1", 400),
        ("/?offset=x", 400),
        ("/console/fields?kind=x", 422),
    ],
)
async def test_what_cannot_be_shown_is_a_page_with_a_sentence(
    client: aiohttp.ClientSession, path: str, status: int
) -> None:
    assert "That did not work" in await read_page(client, path, status)


async def test_a_store_that_is_away_is_a_page_with_a_sentence(client: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    fleet.store_is_away = True
    assert "The store does not answer" in await read_page(client, "/", 503)


async def test_the_fields_of_another_kind_can_be_asked_for(client: aiohttp.ClientSession) -> None:
    assert "params.preset" in await read_page(client, "/console/fields?kind=encode")
    assert "params.preset" not in await read_page(client, "/console/fields?kind=noop")


async def test_static_files_are_served_and_nothing_beside_them(client: aiohttp.ClientSession) -> None:
    for path, kind in (
        ("/static/console.css", "text/css"),
        ("/static/console.js", "javascript"),
        ("/static/icon.svg", "svg"),
    ):
        async with client.get(path) as response:
            assert response.status == 200
            assert kind in response.headers["Content-Type"]
    for path in ("/static/../pages.py", "/static/%2e%2e/pages.py", "/static/none.css", "/static/", "/static/vendor"):
        async with client.get(path) as response:
            assert response.status == 404, path


@pytest.mark.parametrize("name", ["%00", "a" * 9000, "none.css"])
async def test_a_file_that_cannot_be_is_not_found(client: aiohttp.ClientSession, name: str) -> None:
    async with client.get(URL(f"/static/{name}", encoded=True)) as response:
        assert response.status == 404, await response.text()


async def test_a_form_of_too_many_fields_is_refused(client: aiohttp.ClientSession) -> None:
    form = "&".join(["kind=noop"] * 1_000)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    async with client.post("/console/jobs", data=form, headers=headers) as response:
        assert response.status == 400, await response.text()
        assert "200 fields" in await response.text()


async def test_the_first_of_the_kinds_is_transcode_and_the_last_noop(
    client: aiohttp.ClientSession, fleet: FakeFleet
) -> None:
    others = [Kind(name, 1, NOOP.params, NOOP.plan, NOOP.handlers, "K.") for name in ("analyse", "transcode", "zip")]
    fleet.kinds = KindRegistry([NOOP, *others])
    page = await read_page(client, "/")
    assert re.findall(r'<option value="(analyse|noop|transcode|zip)"', page) == ["transcode", "analyse", "zip", "noop"]


async def test_a_large_fleet_shows_its_first_cards_and_counts_the_rest(
    client: aiohttp.ClientSession, fleet: FakeFleet
) -> None:
    for number in range(MOST_NODES + 3):
        fleet.add_node(f"n0-host-{number:03}")
    text = await read_page(client, "/console/nodes")
    assert len(set(re.findall(r"n0-host-\d{3}", text))) == MOST_NODES
    assert re.search(r"\b3\b[^<]*more", text), text[-800:]


async def test_the_middle_page_leads_both_ways_and_keeps_the_filter(
    client: aiohttp.ClientSession, fleet: FakeFleet
) -> None:
    for _ in range(60):
        fleet.add_job(status=JobStatus.FAILED)
    text = html.unescape(await read_page(client, "/?status=failed&offset=10"))
    assert 'href="/?status=failed&offset=0"' in text
    assert 'href="/?status=failed&offset=35"' in text
    assert 'href="/?status=failed&offset=60"' not in html.unescape(await read_page(client, "/?status=failed&offset=35"))


async def test_the_old_address_of_the_icon_leads_to_the_new_one(client: aiohttp.ClientSession) -> None:
    async with client.get("/favicon.ico", allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (308, "/static/icon.svg")


async def test_pages_are_never_kept_by_a_cache(client: aiohttp.ClientSession) -> None:
    for path in ("/", "/console/jobs", "/jobs/none"):
        async with client.get(path) as response:
            assert response.headers["Cache-Control"] == "no-store"
