"""What goes wrong in the console is a sentence: a page, a notice in its place, or a document for a program."""

from __future__ import annotations

import io
import re

import aiohttp
import pytest
from door_checks import read_problem
from fake_fleet import FakeFleet

from mediafleet.console.pages import MOST_FIELDS
from mediafleet.doors.http.application import MOST_JSON_BYTES

PARTIAL = {"HX-Request": "true"}
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def test_a_fault_nobody_foresaw_is_a_page_with_a_sentence_and_a_reference(
    console: aiohttp.ClientSession, fleet: FakeFleet, capfd: pytest.CaptureFixture[str]
) -> None:
    fleet.fault = ValueError("secret detail")
    async with console.get("/", headers=BROWSER) as response:
        assert (response.status, response.content_type) == (500, "text/html")
        text = await response.text()
    reference = re.findall(r"beside the reference ([0-9a-f]{8})\.", text)[0]
    assert "That did not work" in text
    assert "secret" not in text
    logged = "".join(capfd.readouterr())
    assert reference in logged
    assert "Traceback" not in logged


async def test_a_fault_is_shown_in_place_to_htmx(console: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    fleet.fault = ValueError()
    async with console.get("/console/jobs", headers=PARTIAL | {"Accept": "text/html"}) as response:
        assert response.status == 500
        assert (await response.text()).startswith('<p class="notice problem">The server could not do this')


@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/json, text/html;q=0.5", "image/png", ""])
async def test_a_fault_is_a_problem_document_to_a_program(
    console: aiohttp.ClientSession, fleet: FakeFleet, accept: str
) -> None:
    fleet.fault = ValueError()
    async with console.get("/", headers={"Accept": accept}) as response:
        await read_problem(response, 500, "internal-error")


async def test_a_form_larger_than_any_is_told_so(console: aiohttp.ClientSession) -> None:
    body = io.BytesIO(b"x" * (MOST_JSON_BYTES + 1))
    async with console.post("/console/jobs", data=body, headers=FORM) as response:
        assert response.status == 413
        assert "too large" in await response.text()


async def test_a_form_may_have_as_many_fields_as_the_cap(console: aiohttp.ClientSession, fleet: FakeFleet) -> None:
    filler = "".join(f"&params.unknown{number}=x" for number in range(MOST_FIELDS - 1))
    async with console.post(
        "/console/jobs", data="kind=noop" + filler, headers=FORM, allow_redirects=False
    ) as response:
        assert response.status == 303
    assert len(fleet.views) == 1


async def test_form_text_that_is_no_utf8_is_taken_with_marks_in_its_place(
    console: aiohttp.ClientSession, fleet: FakeFleet
) -> None:
    async with console.post("/console/jobs", data=b"kind=noop&name=a\xff%FFb", headers=FORM, allow_redirects=False):
        (job,) = fleet.views.values()
    assert job.name == "a\ufffd\ufffdb"
