"""Copies of films with their subtitles as tracks: nothing else changes, and players are told what each track is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests_support.local_job import run_job
from toy_talk import LOW, samples, write_models, write_talk

from mediafleet.kinds.subtitle import KIND
from mediafleet.testing import LocalChildProcess, find_program, run_ffmpeg


async def write_film(path: Path) -> Path:
    talk = write_talk(path.with_suffix(".wav"), samples([LOW, LOW]))
    words = ["-i", str(talk), "-f", "lavfi", "-i", "testsrc2=s=128x96:r=10:d=3", "-map", "1:v", "-map", "0:a"]
    await run_ffmpeg([*words, "-c:v", "mpeg4", "-c:a", "aac", "-shortest"], path)
    return path


async def subtitle_tracks(path: Path) -> list[tuple[str, set[str]]]:
    """Return language and flags of each subtitle track, as FFmpeg tells them."""
    child = await LocalChildProcess.start([find_program(), "-hide_banner", "-i", str(path)], path.parent)
    await child.wait()
    lines = [line for line in child.errors().splitlines() if "Subtitle:" in line]
    return [
        (line.partition("(")[2][:3], {flag for flag in ("default", "forced") if f"({flag})" in line}) for line in lines
    ]


@pytest.mark.parametrize("forced", [False, True])
@pytest.mark.parametrize("ending", ["mkv", "mp4"])
async def test_tracks_tell_their_language_and_whether_they_are_forced(
    tmp_path: Path, ending: str, *, forced: bool
) -> None:
    film = await write_film(tmp_path / f"film.{ending}")
    outcome, folder = await run_job(
        KIND,
        film,
        folder=tmp_path,
        models=write_models(tmp_path / "models"),
        language="eo",
        to=["en"],
        formats=["srt"],
        mux=True,
        forced=forced,
    )
    more = {"forced"} if forced else set[str]()
    assert await subtitle_tracks(folder / f"film.subtitled.{ending}") == [("epo", more), ("eng", {"default", *more})]
    files: list[dict[str, Any]] = outcome.result["files"]
    flag = ".forced" if forced else ""
    assert [one["name"] for one in files][:2] == [f"film.eo{flag}.srt", f"film.en{flag}.srt"]
    assert "One two three." in (folder / f"film.en{flag}.srt").read_text()
