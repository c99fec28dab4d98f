"""Whole jobs that tell who speaks, on a language of tones: `tests/packages/mediafleet_engine_toy` understands it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests_support.local_job import run_job
from toy_talk import HIGH, LOW, samples, write_models, write_talk

from mediafleet.domain.errors import CapabilityMissing, InvalidParams
from mediafleet.kinds.subtitle import KIND


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Engines that understand tones."""
    return write_models(tmp_path / "models")


def mixed(own: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return what the microphone of one speaker hears: the other one from across the room."""
    length = max(len(own), len(other))
    one, far = (np.pad(sound.astype(np.float64), (0, length - len(sound))) for sound in (own, other))
    return one + far * 0.08


def cues_of(folder: Path, name: str = "talk.eo.json") -> list[tuple[str, str]]:
    cues = json.loads((folder / name).read_text())["cues"]
    return [(cue.get("speaker", ""), " ".join(cue["lines"]).lower().replace(".", "")) for cue in cues]


async def test_each_channel_is_a_speaker_and_nothing_is_heard_twice(tmp_path: Path, models: Path) -> None:
    anna, ben = samples([LOW, LOW]), samples([HIGH], after_s=6.0)
    talk = write_talk(tmp_path / "talk.wav", mixed(anna, ben), mixed(ben, anna))
    outcome, folder = await run_job(
        KIND,
        talk,
        folder=tmp_path,
        models=models,
        language="eo",
        to=["en"],
        formats=["json", "txt", "vtt", "ass", "srt", "txt"],
        speakers="channels",
        speaker_names=["Anna", "Ben & Co."],
    )
    assert cues_of(folder) == [("Anna", LOW), ("Anna", LOW), ("Ben & Co.", HIGH)]
    assert sorted(output.name for output in outcome.outputs) == sorted(
        f"talk.{language}.{form}" for language in ("eo", "en") for form in ("json", "txt", "vtt", "ass", "srt")
    )
    assert cues_of(folder, "talk.en.json")[-1] == ("Ben & Co.", "six seven eight ten")
    assert (folder / "talk.eo.txt").read_text().splitlines()[-1] == "Ben & Co.: Ses sep ok dek."
    assert "<v Ben &amp; Co.>Ses sep ok dek." in (folder / "talk.eo.vtt").read_text()
    assert ",Ben & Co.,0,0,0,,Ses sep ok dek." in (folder / "talk.eo.ass").read_text()
    assert "Ben" not in (folder / "talk.eo.srt").read_text()


async def test_what_is_said_at_once_is_shown_at_once(tmp_path: Path, models: Path) -> None:
    talk = write_talk(tmp_path / "talk.wav", samples([f"{LOW} {LOW} {LOW}"]), samples([HIGH], after_s=0.8))
    outcome, folder = await run_job(
        KIND, talk, folder=tmp_path, models=models, language="eo", formats=["json"], speakers="channels"
    )
    cues = json.loads((folder / "talk.eo.json").read_text())["cues"]
    assert [(cue["speaker"], cue.get("layer", 0)) for cue in cues] == [("Speaker 1", 0), ("Speaker 2", 1)]
    assert cues[1]["start_ms"] < cues[0]["end_ms"]
    assert outcome.result["broken"] == 0


async def test_channels_that_carry_the_same_are_told_and_heard_once(tmp_path: Path, models: Path) -> None:
    talk = write_talk(tmp_path / "talk.wav", samples([LOW]), samples([LOW]) // 2)
    outcome, folder = await run_job(
        KIND, talk, folder=tmp_path, models=models, language="eo", formats=["json"], speakers="channels"
    )
    assert cues_of(folder) == [("", LOW)]
    assert any("has 2 channels that carry the same; who speaks cannot be told" in text for text in outcome.warnings)


async def test_voices_are_told_apart_by_an_engine(tmp_path: Path, models: Path) -> None:
    talk = write_talk(tmp_path / "talk.wav", samples([LOW, HIGH, f"{LOW} {HIGH}"]))
    _, folder = await run_job(
        KIND, talk, folder=tmp_path, models=models, language="eo", formats=["json"], speakers="voices", pieces=2
    )
    one, two = "Speaker 1", "Speaker 2"
    assert cues_of(folder) == [(one, LOW), (two, HIGH), (one, LOW), (two, HIGH)]


async def test_where_nothing_tells_voices_apart_it_is_said_what_would(tmp_path: Path, models: Path) -> None:
    (models / "toy-census" / "census").rmdir()
    talk = write_talk(tmp_path / "talk.wav", samples([LOW]))
    with pytest.raises(CapabilityMissing, match=r"tell voices apart: install the extra 'sherpa-onnx'"):
        await run_job(KIND, talk, folder=tmp_path, models=models, language="eo", speakers="voices")


async def test_more_channels_than_anybody_has_microphones_are_refused(tmp_path: Path, models: Path) -> None:
    talk = write_talk(tmp_path / "talk.wav", *[samples([LOW])] * 17)
    with pytest.raises(InvalidParams, match="has 17 channels; speakers of 16 at most"):
        await run_job(KIND, talk, folder=tmp_path, models=models, language="eo", speakers="channels")


async def test_channels_that_repeat_others_and_names_that_are_too_many_are_told(tmp_path: Path, models: Path) -> None:
    anna, ben = samples([LOW]), samples([HIGH], after_s=6.0)
    talk = write_talk(tmp_path / "talk.wav", anna, ben, anna)
    names = ["Anna", "Ben", "Carl", "Dora"]
    wishes: dict[str, Any] = {"language": "eo", "formats": ["json"], "speakers": "channels", "speaker_names": names}
    outcome, folder = await run_job(KIND, talk, folder=tmp_path, models=models, **wishes)
    assert cues_of(folder) == [("Anna", LOW), ("Ben", HIGH)]
    assert outcome.warnings == (
        "1 of the 3 channels of “talk.wav” carry what others do; they are heard once.",
        "4 speakers are named, and “talk.wav” has 3 channels.",
    )
