"""What is listened to: quiet recordings are made louder, all of a recording by one gain, and silence stays silence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests_support.local_job import run_job
from toy_talk import HIGH, LOW, samples, write_models, write_talk

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


async def test_a_film_without_sound_has_no_speech_either(tmp_path: Path, models: Path) -> None:
    film = tmp_path / "mute.mkv"
    await run_ffmpeg(["-f", "lavfi", "-i", "testsrc2=s=128x96:r=10:d=1", "-c:v", "mpeg4"], film)
    outcome, _ = await run_job(KIND, film, folder=tmp_path, models=models, language="eo")
    assert outcome.warnings == ("“mute.mkv” has no sound.", "Nobody speaks in it; it has no subtitles.")


async def write_film(path: Path, *languages: str) -> Path:
    """Write a film with a track of subtitles in each of these languages; its sound is tagged as Esperanto."""
    talk = write_talk(path.with_suffix(".wav"), samples([LOW]))
    text = path.with_suffix(".srt")
    text.write_text("1\n00:00:00,000 --> 00:00:01,000\nUnu.\n")
    words = ["-i", str(talk), "-f", "lavfi", "-i", "testsrc2=s=128x96:r=10:d=1"]
    words += [word for _ in languages for word in ("-i", str(text))]
    words += ["-map", "0", "-map", "1", "-metadata:s:a:0", "language=epo", "-c:v", "mpeg4", "-c:s", "srt"]
    for number, language in enumerate(languages):
        words += ["-map", str(2 + number), f"-metadata:s:s:{number}", f"language={language}"]
    await run_ffmpeg(words, path)
    return path


@pytest.mark.parametrize(
    ("tracks", "wanted", "found"),
    [
        (["spa"], {"to": ["es"], "language": "eo"}, "es"),
        (["spa", "eng"], {"to": ["es", "en"]}, "es, en"),
        (["epo"], {}, "eo"),
    ],
)
async def test_a_track_in_that_language_is_enough(
    tmp_path: Path, models: Path, tracks: list[str], wanted: dict[str, Any], found: str
) -> None:
    film = await write_film(tmp_path / "film.mkv", *tracks)
    outcome, _ = await run_job(KIND, film, folder=tmp_path, models=models, skip_tracks=True, **wanted)
    assert outcome.warnings == (f"It has {found} as a subtitle track already, so nothing was made.",)
    assert outcome.outputs == ()


@pytest.mark.parametrize(
    "wanted", [{"skip_tracks": False}, {"skip_tracks": True, "to": ["en"]}, {"skip_tracks": True, "language": "eo"}]
)
async def test_a_track_in_another_language_is_not(tmp_path: Path, models: Path, wanted: dict[str, Any]) -> None:
    film = await write_film(tmp_path / "film.mkv", "spa")
    outcome, _ = await run_job(KIND, film, folder=tmp_path, models=models, **{"language": "eo", **wanted})
    assert "film.eo.srt" in [output.name for output in outcome.outputs]
