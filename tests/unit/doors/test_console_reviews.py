"""The console's page for reviews: a text is corrected in a plain form, and nothing that was typed is lost."""

from __future__ import annotations

import html

import aiohttp
import pytest
from fake_fleet import FakeFleet

from mediafleet.console import reviews
from mediafleet.domain.job import JobView

MENDED = '{"text": "<the> end"}'


@pytest.fixture
async def job(fleet: FakeFleet) -> JobView:
    """A job that waits for a person."""
    return await fleet.reviews.ask(fleet.add_job("film.mkv").id)


async def test_a_job_in_review_leads_to_its_document(
    console: aiohttp.ClientSession, fleet: FakeFleet, job: JobView
) -> None:
    async with console.get(f"/jobs/{job.id}") as response:
        assert f'href="/jobs/{job.id}/review?review=read"' in await response.text()
    async with console.get(f"/jobs/{job.id}/review") as response:
        page = await response.text()
    assert (
        html.unescape(page.partition("<textarea")[2])
        .partition(">")[2]
        .startswith(f"\n{fleet.reviews.document.decode()}")
    )
    assert 'name="tag" value="read-1"' in page


async def test_what_is_put_back_lets_the_job_go_on(
    console: aiohttp.ClientSession, fleet: FakeFleet, job: JobView
) -> None:
    form = {"review": "read", "tag": "read-1", "document": MENDED}
    async with console.post(f"/console/jobs/{job.id}/review", data=form, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (303, f"/jobs/{job.id}")
    (answer,) = fleet.reviews.answers
    assert (answer.body.decode(), answer.review, answer.tags) == (MENDED, "read", ("read-1",))


async def test_what_does_not_fit_stays_on_the_page_with_the_reason(
    console: aiohttp.ClientSession, fleet: FakeFleet, job: JobView
) -> None:
    form = {"review": "read", "tag": "read-1", "document": MENDED + "</textarea>"}
    async with console.post(f"/console/jobs/{job.id}/review", data=form) as response:
        page = await response.text()
        assert response.status == 422
    assert "is no JSON" in page
    assert html.escape(form["document"], quote=False) in page.replace("&#34;", '"')
    assert not fleet.reviews.answers


async def test_a_document_that_has_changed_is_told(console: aiohttp.ClientSession, job: JobView) -> None:
    form = {"review": "read", "tag": "old", "document": MENDED}
    async with console.post(f"/console/jobs/{job.id}/review", data=form) as response:
        assert response.status == 412
        assert "another document" in await response.text()


async def test_a_large_document_is_for_an_editor(
    console: aiohttp.ClientSession, job: JobView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reviews, "MOST_SHOWN_BYTES", 3)
    async with console.get(f"/jobs/{job.id}/review") as response:
        page = await response.text()
    assert "<textarea" not in page
    assert f"mediafleet review {job.id} --review read --put FILE" in page
