"""`mediafleet catalogue`, what `why` says of modules, and what `check` says of the catalogue."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
from tests_support.command_line import RunCli
from tests_support.fake_scheduler import FakeScheduler

from mediafleet.cli.check import look_at_catalogue
from mediafleet.cli.why import why_lines
from mediafleet.domain.catalogue import CatalogueSource, CatalogueView, Service
from mediafleet.domain.explanation import JobWhy, ModuleState, ModuleWhy
from mediafleet.domain.lifecycle import JobStatus
from mediafleet.ops.settings import CatalogueSettings, Settings

SERVICE = Service("vosk", "0.22", ("recognise:en",), ("asr:vosk@0.22", "lang:en"), "English \x1b[2J")
VIEW = CatalogueView(CatalogueSource.URL, "https://models.example/list", "r7", (SERVICE,), 1, 1)


def test_services_are_listed_with_what_they_provide_and_need(cli: RunCli, scheduler: FakeScheduler) -> None:
    scheduler.catalogue = VIEW
    ran = cli("catalogue")
    first, _, row = ran.out.splitlines()[:3]
    assert first == "The catalogue comes from https://models.example/list, revision r7: 1 service."
    assert row.split()[:5] == ["vosk", "0.22", "recognise:en", "asr:vosk@0.22", "lang:en"]
    assert "\x1b" not in ran.out
    assert msgspec.convert(cli("catalogue", "--json").json, CatalogueView) == VIEW


def test_a_problem_is_told(cli: RunCli, scheduler: FakeScheduler) -> None:
    scheduler.catalogue = msgspec.structs.replace(VIEW, problem="The catalogue at x answers 500.")
    assert "The catalogue at x answers 500." in cli("catalogue").out.splitlines()


def test_the_built_in_one_is_explained(cli: RunCli) -> None:
    assert cli("catalogue").out == (
        "The catalogue is the built-in one, which is empty: modules are placed by the capabilities they name.\n"
    )


def test_why_tells_of_each_module() -> None:
    module = ModuleWhy("es", "tts", ModuleState.WAITING, "es", ("tts:es",), ("tts:es",), "No executor can do it: …")
    found = JobWhy("j0-1", JobStatus.PENDING, "No executor can do tts.", (), 0, (module,))
    assert list(why_lines(found)) == ["No executor can do tts.", "", "es tts waiting: No executor can do it: …"]


async def look(*, url: str = "", file: str = "") -> list[tuple[str, bool, bool]]:
    found = await look_at_catalogue(Settings(catalogue=CatalogueSettings(url=url, file=file)))
    return [(one.text, one.is_good, one.is_needed) for one in found]


async def test_check_looks_at_each_source_that_is_configured(tmp_path: Path, scheduler: FakeScheduler) -> None:
    assert await look() == []
    path = tmp_path / "list.json"
    path.write_text(json.dumps({"format": 1, "services": [msgspec.to_builtins(SERVICE)]}))
    assert await look(file=str(path)) == [(f"{path}: 1 service", True, True)]
    url = f"{scheduler.url}/api/v1/catalogue"
    address, file = await look(url=url, file=str(path))
    assert "The catalogue cannot be read: Object missing required field `format`" in address[0]
    assert address[1:] == (False, False), "a fleet works without a catalogue"
    assert file[1]


async def test_check_says_that_an_address_is_away(scheduler: FakeScheduler) -> None:
    scheduler.stop()
    ((text, is_good, _),) = await look(url=f"{scheduler.url}/list.json")
    assert "cannot be reached" in text
    assert not is_good
