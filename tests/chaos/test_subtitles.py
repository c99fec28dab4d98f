"""Speech becomes subtitles on real nodes, whatever is killed meanwhile: no word is lost or doubled.

What is spoken is a language of tones, so that every word can be told; `tests/packages/mediafleet_engine_toy` understands it.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from mediafleet_engine_toy.tones import ENGLISH, NUMBERS, RATE_HZ, speak
from tests_support.aftermath import check_aftermath
from tests_support.fleet_process import FleetProcesses, wait_for

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]

SENTENCES = [" ".join(NUMBERS[(start + step) % 10] for step in range(5)) for start in range(12)]
PIECES = 4


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where nodes remember what loads here, so that not each of them has to try it."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def models(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Engines that understand tones, in the environment of all nodes; a file `gate` keeps the ears waiting."""
    models = folder / "models"
    for name in ("toy/ears", "toy-vad/ear", "toy-mt/tongue"):
        (models / name).mkdir(parents=True)
    monkeypatch.setenv("MEDIAFLEET_ENGINES__ENABLED", "true")
    monkeypatch.setenv("MEDIAFLEET_ENGINES__MODELS", str(models))
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    return models / "toy" / "ears"


@pytest.fixture
def talk(folder: Path) -> Path:
    """Twelve sentences of five words."""
    path = folder / "talk.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(speak(SENTENCES))
    return path


@pytest.fixture
def fleet(models: Path, fleet: FleetProcesses) -> FleetProcesses:
    """A scheduler whose nodes understand tones."""
    del models
    return fleet


def submit(fleet: FleetProcesses, talk: Path, **params: Any) -> str:
    return fleet.submit("subtitle", source=talk, language="eo", pieces=PIECES, formats=["json"], **params)


def transcripts(fleet: FleetProcesses, job: str) -> dict[str, Any]:
    """Return the transcripts of a job that must complete, by language."""
    view = fleet.wait_status(job, "completed", "failed", "cancelled")
    assert view["status"] == "completed", view["error"]
    documents = [json.loads(fleet.download(output["id"])) for output in view["outputs"]]
    return {document["language"]: document for document in documents}


def words_of(transcript: Any) -> list[str]:
    return [word["text"].lower().strip(".") for word in transcript["words"]]


def hosts(fleet: FleetProcesses) -> list[psutil.Process]:
    """Processes of engines."""
    found = [child for one in fleet.processes() for child in one.children(recursive=True)]
    return [one for one in found if "mediafleet.engines.host" in " ".join(one.cmdline())]


def test_all_that_is_said_is_written_down_once_and_translated(fleet: FleetProcesses, talk: Path) -> None:
    fleet.start_node("one")
    fleet.start_node("two")
    job = submit(fleet, talk, to=["en"])
    found = transcripts(fleet, job)
    spoken = " ".join(SENTENCES).split()
    assert words_of(found["eo"]) == spoken
    said = " ".join(" ".join(cue["lines"]) for cue in found["en"]["cues"]).lower().replace(".", "").split()
    assert said == [ENGLISH[NUMBERS.index(word)] for word in spoken]
    times = [{(cue["start_ms"], cue["end_ms"]) for cue in one["cues"]} for one in found.values()]
    assert times[0] == times[1]
    names = {task["id"].partition(".")[2] for task in fleet.job(job)["tasks"]}
    assert names == {"listen", "text", "translate-en", "files", *(f"words-{n}" for n in range(1, PIECES + 1))}
    check_aftermath(fleet, fleet.accepted)


def test_a_node_that_is_killed_takes_its_engines_along_and_costs_only_what_it_had(
    fleet: FleetProcesses, talk: Path, models: Path
) -> None:
    fleet.start_node("one", MEDIAFLEET_NODE__SLOTS="1")
    (models / "gate").touch()
    job = submit(fleet, talk)
    fleet.wait_stage(job, "recognizing")
    wait_for(lambda: hosts(fleet), "an engine runs")
    engines = hosts(fleet)
    fleet.kill_node("one")
    gone, alive = psutil.wait_procs(engines, timeout=5)
    assert gone, "an engine ran"
    assert not alive
    (models / "gate").unlink()
    fleet.start_node("two")
    assert words_of(transcripts(fleet, job)["eo"]) == " ".join(SENTENCES).split()
    attempts = [task["attempt"] for task in fleet.job(job)["tasks"]]
    assert sorted(attempts)[-2:] == [1, 2], "one piece was recognized twice, and nothing else"


def test_all_is_killed_and_what_was_recognized_is_not_recognized_again(
    fleet: FleetProcesses, talk: Path, models: Path
) -> None:
    fleet.start_node("one", MEDIAFLEET_NODE__SLOTS="1")
    (models / "gate").touch()
    job = submit(fleet, talk, to=["en"])
    fleet.wait_stage(job, "recognizing")
    fleet.kill_node("one")
    fleet.kill_store_and_scheduler()
    (models / "gate").unlink()
    fleet.start_scheduler()
    fleet.start_node("one", MEDIAFLEET_NODE__SLOTS="1")
    found = transcripts(fleet, job)
    assert words_of(found["eo"]) == " ".join(SENTENCES).split()
    assert set(found) == {"eo", "en"}
    listened = next(task for task in fleet.job(job)["tasks"] if task["id"].endswith(".listen"))
    assert listened["attempt"] == 1


def test_a_person_corrects_the_text_before_it_is_translated(fleet: FleetProcesses, talk: Path) -> None:
    fleet.start_node("one")
    job = submit(fleet, talk, to=["en"], review=True)
    fleet.wait_status(job, "review")
    document = fleet.get(f"/api/v1/jobs/{job}/review")
    document["cues"][0]["lines"] = ["Dek dek."]
    put(fleet, f"/api/v1/jobs/{job}/review", document)
    found = transcripts(fleet, job)
    assert found["eo"]["cues"][0]["lines"] == ["Dek dek."]
    assert found["en"]["cues"][0]["lines"] == ["Ten ten."]
    assert found["en"]["cues"][1]["lines"] != ["Ten ten."]


def test_subtitles_that_are_late_are_put_into_the_time_of_the_film(
    fleet: FleetProcesses, talk: Path, folder: Path
) -> None:
    fleet.start_node("one")
    right = transcripts(fleet, submit(fleet, talk))["eo"]["cues"]
    late = folder / "late.srt"
    late.write_text("".join(_srt(number, cue, late_ms=2_500) for number, cue in enumerate(right, start=1)))
    body = {"kind": "subtitle", "input": [talk.as_uri(), late.as_uri()]}
    body |= {"params": {"language": "eo", "formats": ["json"]}}
    job = fleet.post("/api/v1/jobs", body)["id"]
    made = transcripts(fleet, job)["eo"]["cues"]
    assert [cue["lines"] for cue in made] == [cue["lines"] for cue in right]
    assert all(abs(one["start_ms"] - other["start_ms"]) < 100 for one, other in zip(made, right, strict=True))
    assert "were -2.50 s off" in fleet.job(job)["warnings"][0]


def _srt(number: int, cue: Any, *, late_ms: int) -> str:
    begin, end = (
        f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1_000 % 60:02},{ms % 1_000:03}"
        for ms in (cue["start_ms"] + late_ms, cue["end_ms"] + late_ms)
    )
    return f"{number}\n{begin} --> {end}\n" + "\n".join(cue["lines"]) + "\n\n"


def put(fleet: FleetProcesses, path: str, body: Any) -> None:
    request = urllib.request.Request(fleet.url + path, json.dumps(body).encode(), method="PUT")
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=30) as response:
        assert response.status == 200


def test_what_nobody_can_do_is_refused_before_it_begins(fleet: FleetProcesses, talk: Path) -> None:
    fleet.start_node("one")
    assert "No node of this fleet can translate eo>fr: " in refusal(lambda: submit(fleet, talk, to=["fr"]))
    assert "No node of this fleet can recognize sv: " in refusal(
        lambda: fleet.submit("subtitle", source=talk, language="sv")
    )
    assert fleet.get("/api/v1/jobs")["jobs"] == []


def refusal(ask: Callable[[], object]) -> str:
    """Return why a request is refused."""
    with pytest.raises(urllib.error.HTTPError) as raised:
        ask()
    assert raised.value.code == 422
    return str(json.loads(raised.value.read())["detail"])
