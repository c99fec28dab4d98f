"""What is listened to: quiet recordings are made louder, all of a recording by one gain, and silence stays silence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests_support.local_job import run_job
from toy_talk import HIGH, LOW, samples, write_models, write_talk

from mediafleet.domain.errors import UnreadableMedia
from mediafleet.kinds.subtitle import KIND
from mediafleet.testing import run_ffmpeg

TOO_QUIET = 64
"""A sixty-fourth of full scale is below what the toy hears."""


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Engines that understand tones."""
    return write_models(tmp_path / "models")


async def said_in(talk: Path, *, folder: Path, models: Path) -> list[str]:
    _, results = await run_job(KIND, talk, folder=folder, models=models, language="eo", formats=["json"])
    return [word["text"].lower().strip(".") for word in json.loads((results / "talk.eo.json").read_text())["words"]]


async def test_a_quiet_recording_is_heard(tmp_path: Path, models: Path) -> None:
    talk = write_talk(tmp_path / "talk.wav", samples([LOW, HIGH]) // TOO_QUIET)
    assert await said_in(talk, folder=tmp_path, models=models) == f"{LOW} {HIGH}".split()


async def test_what_is_quiet_in_a_loud_recording_does_not_become_speech(tmp_path: Path, models: Path) -> None:
    talk = write_talk(tmp_path / "talk.wav", np.concatenate([samples([LOW, HIGH]), samples(["cent"]) // TOO_QUIET]))
    assert await said_in(talk, folder=tmp_path, models=models) == f"{LOW} {HIGH}".split()


async def test_nobody_speaks_in_silence(tmp_path: Path, models: Path) -> None:
    talk = write_talk(tmp_path / "talk.wav", np.zeros(48_000, dtype="<i2"))
    outcome, _ = await run_job(KIND, talk, folder=tmp_path, models=models, language="eo")
    assert outcome.warnings == ("Nobody speaks in it; it has no subtitles.",)
    assert outcome.outputs == ()


async def test_a_film_without_sound_is_refused_in_a_sentence(tmp_path: Path, models: Path) -> None:
    film = tmp_path / "mute.mkv"
    await run_ffmpeg(["-f", "lavfi", "-i", "testsrc2=s=128x96:r=10:d=1", "-c:v", "mpeg4"], film)
    with pytest.raises(UnreadableMedia, match="has no sound, so nobody speaks in it"):
        await run_job(KIND, film, folder=tmp_path, models=models, language="eo")
