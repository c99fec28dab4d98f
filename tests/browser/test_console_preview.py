"""Previews in the console, as a person uses them."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_fleet import FakeFleet
from playwright.async_api import Page, expect

from mediafleet.domain.event import EventType
from mediafleet.domain.lifecycle import JobStatus
from mediafleet.kinds.noop import KIND as NOOP
from mediafleet.kinds.registry import KindRegistry
from mediafleet.kinds.transcode import KIND as TRANSCODE

pytestmark = [pytest.mark.browser]

EVIL = '<img src=x onerror="document.title=1337">'


@pytest.fixture
def fleet() -> FakeFleet:
    return FakeFleet(kinds=KindRegistry([TRANSCODE, NOOP]))


async def test_a_file_is_looked_into_before_it_is_submitted(page: Page, fleet: FakeFleet, tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    path.write_bytes(b"film")
    await page.locator("#files").set_input_files(path)
    await page.get_by_role("button", name="Preview").click()
    await expect(page.locator("#preview")).to_contain_text("A node looks into it")
    (job,) = fleet.views.values()
    assert job.params["dry_run"] is True
    stream = {"index": 0, "what": EVIL, "action": "encode", "codec": "av1", "encoder": "libsvtav1", "why": "a preset"}
    losing = stream | {"losses": ["It loses HDR10+."]}
    plan = {"streams": [losing], "losses": [], "preset": "av1", "container": "mkv", "duration_s": 7.0, "chapters": 1}
    await fleet.update(job.id, EventType.JOB_COMPLETED, status=JobStatus.COMPLETED, result=plan)
    await expect(page.locator("#preview tbody tr")).to_contain_text(EVIL)
    await expect(page.locator("#preview tbody tr")).to_contain_text("It loses HDR10+.")
    assert await page.title() == "Fleet · mediafleet"


async def test_the_enter_key_submits_and_previews_are_offered_where_the_kind_has_them(
    page: Page, fleet: FakeFleet
) -> None:
    await expect(page.get_by_role("button", name="Preview")).to_be_visible()
    await page.get_by_label("or a path that the fleet can see").fill("/m/film.mkv")
    await page.keyboard.press("Enter")
    await expect(page.locator("#notice")).to_contain_text("was accepted.")
    assert [view.params["dry_run"] for view in fleet.views.values()] == [False]
    await page.get_by_label("Kind").select_option("noop")
    await expect(page.get_by_role("button", name="Preview")).to_be_hidden()
