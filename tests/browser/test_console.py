"""The console as a person uses it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fake_fleet import FAILED, FakeFleet
from playwright.async_api import Page, Route, expect

from mediafleet.domain.event import EventType
from mediafleet.domain.lifecycle import JobStatus

pytestmark = [pytest.mark.browser]

EVIL = "<img src=x onerror=\"document.title=1337\"> & 'film'.mkv"


async def test_a_new_job_appears_and_its_bar_moves_without_a_reload(page: Page, fleet: FakeFleet) -> None:
    job = fleet.add_job("night.mkv", JobStatus.PROCESSING)
    await fleet.add_event(EventType.JOB_ACCEPTED, job.id)
    row = page.locator(f"#row-{job.id}")
    await expect(row).to_contain_text("night.mkv")
    for whole in (7, 57, 99):
        await fleet.update(job.id, EventType.JOB_PROGRESSED, progress=whole / 100, stage="encoding")
        await expect(row.locator(".percent")).to_have_text(f"{whole} %")
    await expect(row.locator(".pace")).to_have_text("encoding")
    await fleet.update(job.id, EventType.JOB_COMPLETED, status=JobStatus.COMPLETED, progress=1.0)
    await expect(row.locator(".pill")).to_have_text("completed")


async def test_a_hostile_name_is_shown_and_runs_nothing(page: Page, fleet: FakeFleet) -> None:
    job = fleet.add_job(EVIL)
    await fleet.add_event(EventType.JOB_ACCEPTED, job.id)
    await expect(page.locator(f"#row-{job.id} a").first).to_have_text(EVIL)
    await page.locator(f"#row-{job.id} a").first.click()
    await expect(page.locator("#job-title")).to_have_text(EVIL)
    assert await page.title() == f"{EVIL} · mediafleet"


async def test_a_file_is_uploaded_and_its_job_submitted(page: Page, fleet: FakeFleet, tmp_path: Path) -> None:
    path = tmp_path / "my clip.mkv"
    path.write_bytes(bytes(range(256)) * 4096)
    await page.locator("#files").set_input_files(path)
    await expect(page.locator("#files-chosen")).to_have_text("my clip.mkv")
    await page.get_by_label("Preset").select_option("av1")
    await page.get_by_role("button", name="Submit").click()
    await expect(page.locator("#notice")).to_contain_text("my clip.mkv was accepted.")
    await expect(page.locator("#jobs")).to_contain_text("my clip.mkv")
    (artifact,) = fleet.artifacts.values()
    assert artifact.content == path.read_bytes()
    assert [view.name for view in fleet.views.values()] == ["my clip.mkv"]


async def test_an_upload_goes_on_where_it_broke_off_and_its_bar_never_falls(
    page: Page, fleet: FakeFleet, tmp_path: Path
) -> None:
    path = tmp_path / "long.mkv"
    path.write_bytes(os.urandom(40 << 20))
    fleet.breaks = [5 << 20, 16 << 20, 1 << 20]
    dropped: list[str] = []

    async def drop_once(route: Route) -> None:
        if route.request.method == "PUT" and "offset=0" not in route.request.url and not dropped:
            dropped.append(route.request.url)
            await route.abort("connectionreset")
        else:
            await route.continue_()

    await page.route("**/api/v1/artifacts/*", drop_once)
    await page.evaluate(
        """() => {
          window.shares = [];
          new MutationObserver(() => {
            const bar = document.querySelector("#uploads progress");
            if (bar) window.shares.push(bar.value);
          }).observe(document.querySelector("#uploads"), { subtree: true, childList: true, attributes: true });
        }"""
    )
    await page.locator("#files").set_input_files(path)
    await page.get_by_role("button", name="Submit").click()
    await expect(page.locator("#notice")).to_contain_text("long.mkv was accepted.", timeout=30_000)
    (artifact,) = fleet.artifacts.values()
    assert artifact.content == path.read_bytes()
    assert (fleet.breaks, len(dropped)) == ([], 1)
    shares: list[float] = await page.evaluate("window.shares")
    assert shares == sorted(shares)
    assert shares[-1] == 1


async def test_an_upload_that_is_refused_says_why_beside_the_file(page: Page, fleet: FakeFleet, tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    path.write_bytes(b"x" * 1000)
    fleet.store_is_away = True
    await page.locator("#files").set_input_files(path)
    await page.get_by_role("button", name="Submit").click()
    await expect(page.locator("#uploads .bad")).to_have_text("The store does not answer; try again in a moment.")
    fleet.store_is_away = False


async def test_a_path_is_submitted_and_a_mistake_is_a_sentence(page: Page, fleet: FakeFleet) -> None:
    await page.get_by_role("button", name="Submit").click()
    await expect(page.locator("#notice")).to_contain_text("Choose a file to upload")
    await page.get_by_label("or a path that the fleet can see").fill("/m/film one.mkv")
    await page.get_by_role("button", name="Submit").click()
    await expect(page.locator("#notice")).to_contain_text("was accepted.")
    assert len(fleet.views) == 1


async def test_another_kind_brings_its_own_fields(page: Page) -> None:
    await expect(page.get_by_label("Preset")).to_be_visible()
    await page.get_by_label("Kind").select_option("noop")
    await expect(page.get_by_label("Preset")).to_have_count(0)


async def test_buttons_cancel_and_retry_in_place(page: Page, fleet: FakeFleet) -> None:
    job = fleet.add_job("a.mkv")
    await fleet.add_event(EventType.JOB_ACCEPTED, job.id)
    row = page.locator(f"#row-{job.id}")
    await row.get_by_role("button", name="Cancel a.mkv").click()
    await expect(row.locator(".pill")).to_have_text("cancelled")
    await row.get_by_role("button", name="Retry a.mkv").click()
    await expect(row.locator(".pill")).to_have_text("pending")


async def test_paging_and_filter_change_address_and_table(page: Page, fleet: FakeFleet) -> None:
    for number in range(30):
        fleet.add_job(f"clip-{number}.mkv", **FAILED)
    fleet.add_job("fine.mkv", JobStatus.COMPLETED)
    await fleet.add_event(EventType.JOB_ACCEPTED)
    await page.get_by_role("link", name="failed 30").click()
    await expect(page.locator("#jobs tbody tr")).to_have_count(25)
    await page.get_by_role("link", name="Older →").click()
    await expect(page.locator("#jobs tbody tr")).to_have_count(5)
    assert page.url.endswith("/?status=failed&offset=25")
    await page.reload()
    await expect(page.locator("#jobs tbody tr")).to_have_count(5)


async def test_a_jobs_page_lists_its_events_and_ends_with_it(page: Page, fleet: FakeFleet, url: str) -> None:
    job = fleet.add_job("a.mkv", JobStatus.PROCESSING)
    await fleet.add_event(EventType.JOB_STARTED, job.id)
    await page.goto(f"{url}/jobs/{job.id}")
    await expect(page.locator("#events li")).to_have_count(1)
    await fleet.update(job.id, EventType.JOB_PROGRESSED, progress=0.5, stage="encoding")
    await expect(page.locator("#job .percent")).to_have_text("50 %")
    await fleet.update(job.id, EventType.JOB_COMPLETED, status=JobStatus.COMPLETED, progress=1.0)
    await expect(page.locator("#events li").first).to_contain_text("job completed")
    await expect(page.locator("#job .pill").first).to_have_text("completed")
    await expect(page.locator("#live")).to_have_text("finished")


async def test_a_node_that_joins_appears_and_can_be_drained(page: Page, fleet: FakeFleet) -> None:
    await expect(page.locator("#nodes")).to_contain_text("No node has joined.")
    fleet.add_node()
    await fleet.add_event(EventType.NODE_REGISTERED)
    await expect(page.locator("#nodes")).to_contain_text("studio-b")
    await page.get_by_role("button", name="Drain studio-b").click()
    await expect(page.locator("#nodes .pill")).to_have_text("draining")


async def test_the_fleet_and_a_node_are_paused_and_go_on(page: Page, fleet: FakeFleet) -> None:
    fleet.add_node()
    await fleet.add_event(EventType.NODE_REGISTERED)
    await page.get_by_role("button", name="Pause the fleet").click()
    await expect(page.locator("#fleet-paused")).to_contain_text("nothing begins")
    await page.get_by_role("button", name="Resume the fleet").click()
    await expect(page.locator("#fleet-paused")).to_have_count(0)
    await page.get_by_role("button", name="Pause studio-b").click()
    await expect(page.locator("#nodes .pill")).to_have_text("paused")
    await page.get_by_role("button", name="Resume studio-b").click()
    await expect(page.locator("#nodes .pill")).to_have_text("ready")


async def test_everything_can_be_reached_by_keyboard(page: Page, fleet: FakeFleet) -> None:
    fleet.add_job("a.mkv")
    await page.reload()
    await page.locator("#live[data-state=on]").wait_for()
    seen: set[str] = set()
    for _ in range(22):
        await page.keyboard.press("Tab")
        if await page.locator(":focus").count():
            seen.add(await page.locator(":focus").first.evaluate("element => element.id || element.textContent.trim()"))
    assert {"Skip to the content", "files", "input", "kind", "priority", "Submit", "a.mkv", "Cancel"} <= seen
