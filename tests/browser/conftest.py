"""A real Chromium on the console of a served application over an in-memory fleet."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator

import pytest
from fake_fleet import FakeFleet
from playwright.async_api import Browser, Page, async_playwright

from mediafleet.console import console_handlers
from mediafleet.console.rendering import missing_vendor_files
from mediafleet.doors.http.application import Extras, build_application
from mediafleet.doors.http.server import HttpServer
from mediafleet.ops.settings import ServerSettings

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")


def find_chromium() -> str:
    """Return the path of a Chromium, or skip the test with what to do."""
    named = os.environ.get("MEDIAFLEET_TEST_CHROMIUM", "")
    found = named or next((path for name in CHROMIUM_NAMES if (path := shutil.which(name))), "")
    if not found:
        pytest.skip("no Chromium on PATH; install chromium or name one in MEDIAFLEET_TEST_CHROMIUM")
    if missing := missing_vendor_files():
        pytest.skip(f"{', '.join(missing)} not fetched; run `make assets`")
    return found


@pytest.fixture
def fleet() -> FakeFleet:
    return FakeFleet()


@pytest.fixture
async def url(fleet: FakeFleet) -> AsyncIterator[str]:
    settings = ServerSettings()
    extras = Extras(handlers=console_handlers(settings))
    async with HttpServer(build_application(fleet, settings, extras), host="127.0.0.1", port=0) as server:
        yield server.url


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    path = find_chromium()
    async with async_playwright() as playwright:
        # No sandbox: tests often run as root in a container, and visit only pages of ours.
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        await browser.close()


@pytest.fixture
async def page(browser: Browser, url: str) -> AsyncIterator[Page]:
    """The console, live; at the end nothing may have been blocked or thrown."""
    page = await browser.new_page()
    page.set_default_timeout(15_000)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
    await page.goto(url)
    await page.locator("#live[data-state=on]").wait_for()
    yield page
    await page.close()
    assert not [fault for fault in faults if not fault.startswith("Failed to load resource")]
