"""Copies of films with their subtitles as tracks: nothing else changes, and players are told what each track is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests_support.local_job import run_job
from toy_talk import LOW, samples, write_models, write_talk

from mediafleet.domain.errors import InvalidParams, TaskFailed
from mediafleet.kinds.subtitle import KIND
from mediafleet.kinds.subtitle.cue import Cue
from mediafleet.kinds.subtitle.fonts import check_fonts, judge
from mediafleet.kinds.subtitle.formats import Transcript
from mediafleet.kinds.transcode.program import find_ffmpeg
from mediafleet.testing import LocalChildProcess, LocalTaskContext, find_program, run_ffmpeg


async def write_film(path: Path, picture: str = "testsrc2=s=128x96") -> Path:
    talk = write_talk(path.with_suffix(".wav"), samples([LOW, LOW]))
    words = ["-i", str(talk), "-f", "lavfi", "-i", f"{picture}:r=10:d=3", "-map", "1:v", "-map", "0:a"]
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


async def streams_of(path: Path) -> list[str]:
    """Return what FFmpeg says of each stream."""
    child = await LocalChildProcess.start([find_program(), "-hide_banner", "-i", str(path)], path.parent)
    await child.wait()
    return [line for line in child.errors().splitlines() if "Stream #" in line]


@pytest.mark.parametrize(("name", "made"), [("talk.mp3", "talk.subtitled.mkv"), ("talk.m4a", "talk.subtitled.mp4")])
async def test_a_cover_picture_stays_one_and_plays_as_no_track(tmp_path: Path, name: str, made: str) -> None:
    talk = write_talk(tmp_path / "talk.wav", samples([LOW, LOW]))
    cover = tmp_path / "cover.png"
    await run_ffmpeg(["-f", "lavfi", "-i", "color=s=64x64", "-frames:v", "1", "-c:v", "png"], cover)
    inputs = ["-i", str(talk), "-i", str(cover), "-map", "0", "-map", "1", "-c:v", "copy"]
    await run_ffmpeg([*inputs, "-disposition:v", "attached_pic"], tmp_path / name)
    models = write_models(tmp_path / "models")
    outcome, folder = await run_job(KIND, tmp_path / name, folder=tmp_path, models=models, language="eo", mux=True)
    [picture] = [line for line in await streams_of(folder / made) if "Video:" in line]
    assert "png" in picture
    assert picture.rstrip().endswith("(attached pic)")
    assert outcome.warnings == ()
    # A copy of the copy has it as well.
    more, folder = await run_job(KIND, folder / made, folder=tmp_path / "2", models=models, language="eo", mux=True)
    [picture] = [line for line in await streams_of(folder / more.outputs[-1].name) if "Video:" in line]
    assert picture.rstrip().endswith("(attached pic)")


async def with_track(film: Path, path: Path) -> Path:
    """Write a film with a track of subtitles that players show unasked."""
    text = path.with_suffix(".srt")
    text.write_text("1\n00:00:00,000 --> 00:00:02,000\nUnu du tri.\n")
    more = ["-metadata:s:s:0", "language=epo", "-disposition:s:0", "default", "-c", "copy", "-c:s", "srt"]
    await run_ffmpeg(["-i", str(film), "-i", str(text), "-map", "0", "-map", "1", *more], path)
    return path


async def test_a_tracks_own_text_is_not_added_again_and_one_track_is_shown_unasked(tmp_path: Path) -> None:
    film = await with_track(await write_film(tmp_path / "bare.mkv"), tmp_path / "film.mkv")
    models = write_models(tmp_path / "models")
    _, folder = await run_job(KIND, film, folder=tmp_path, models=models, subtitle_track=0, to=["en"], mux=True)
    assert await subtitle_tracks(folder / "film.subtitled.mkv") == [("epo", set()), ("eng", {"default"})]


async def test_a_track_whose_text_is_all_there_is_has_nothing_to_add(tmp_path: Path) -> None:
    film = await with_track(await write_film(tmp_path / "bare.mkv"), tmp_path / "film.mkv")
    models = write_models(tmp_path / "models")
    outcome, _ = await run_job(KIND, film, folder=tmp_path, models=models, subtitle_track=0, mux=True)
    assert outcome.warnings == ("“film.mkv” has that text as a track already; there is none to add.",)
    assert [output.name for output in outcome.outputs] == ["film.eo.srt"]


async def need_fonts(folder: Path) -> None:
    """Skip a test that draws, on a machine without any font."""
    context = LocalTaskContext.for_file(folder, folder=folder)
    try:
        assert await check_fonts(context, find_ffmpeg(), Transcript("en", (Cue(0, 1000, ("abc",)),))) == []
    except TaskFailed as error:
        pytest.skip(error.message)


async def test_what_is_drawn_is_in_the_picture(tmp_path: Path) -> None:
    await need_fonts(tmp_path)
    film = await write_film(tmp_path / "film.mkv", "color=gray:s=640x360")
    models = write_models(tmp_path / "models")
    outcome, folder = await run_job(KIND, film, folder=tmp_path, models=models, language="eo", burn=True)
    pictures = tmp_path / "pictures.gray"
    await run_ffmpeg(["-i", str(folder / "film.eo.burned.mkv"), "-f", "rawvideo", "-pix_fmt", "gray"], pictures)
    assert max(pictures.read_bytes()) > 220, "letters are white, and all else is gray"
    assert outcome.warnings == ()


NO_FALLBACK = (
    "[Parsed_ass_0 @ 0x7f] fontselect: failed to find any fallback with glyph 0x{} for font: (Arial, 400, 0)\n"
)


@pytest.mark.parametrize(
    "log",
    [
        "[Parsed_ass_0 @ 0x56] Failed to load fontconfig fonts!\n",
        NO_FALLBACK.format("0"),
        "".join(NO_FALLBACK.format(code) for code in ("4F60", "597D")),
    ],
    ids=["no fonts", "no font", "none of its letters"],
)
def test_what_cannot_be_drawn_is_an_error_that_tells_what_to_install(log: str) -> None:
    with pytest.raises(TaskFailed, match=r"fonts-(dejavu|noto)"):
        judge(log, "你好a", "zh")


def test_a_letter_that_no_font_has_is_told() -> None:
    assert judge(NO_FALLBACK.format("4F60"), "abc你", "en") == [
        "No font of this node has 你; boxes are drawn in their place."
    ]
    assert judge("", "abc", "en") == []


@pytest.mark.parametrize("ending", ["mkv", "mp4"])
async def test_no_track_is_shown_unasked_over_what_is_drawn(tmp_path: Path, ending: str) -> None:
    film = await write_film(tmp_path / f"film.{ending}")
    models = write_models(tmp_path / "models")
    await need_fonts(tmp_path)
    wishes: dict[str, Any] = {"mux": True, "burn": True, "forced": True}
    _, folder = await run_job(KIND, film, folder=tmp_path, models=models, language="eo", **wishes)
    assert await subtitle_tracks(folder / f"film.eo.burned.subtitled.{ending}") == [("epo", set())]


async def test_a_file_of_subtitles_has_no_film_to_copy(tmp_path: Path) -> None:
    text = tmp_path / "film.eo.srt"
    text.write_text("1\n00:00:00,000 --> 00:00:02,000\nUnu du tri.\n")
    models = write_models(tmp_path / "models")
    with pytest.raises(InvalidParams, match="is a file of subtitles, which has no film to make a copy of"):
        await run_job(KIND, text, folder=tmp_path, models=models, to=["en"], mux=True)


async def test_a_bilingual_file_keeps_each_language_in_as_few_lines_as_its_style_has(tmp_path: Path) -> None:
    text = tmp_path / "film.eo.srt"
    text.write_text("1\n00:00:00,000 --> 00:00:03,000\nUnu\ndu tri.\n")
    models = write_models(tmp_path / "models")
    _, folder = await run_job(KIND, text, folder=tmp_path, models=models, to=["en"], bilingual=True)
    lines = (folder / "film.eo+en.srt").read_text().split("\n\n")[0].splitlines()[2:]
    assert lines == ["Unu du tri.", "One two three."]
