"""Files that hold more than any film does: one sentence each, in little time and memory, before anything is decoded."""

from __future__ import annotations

import os
import resource
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests_support import bombs
from tests_support.contained import contained_children, transcode_contained

from mediafleet.domain.errors import MediafleetError, UnreadableMedia
from mediafleet.kinds.transcode.caps import CAPS, Caps, Excess, find_in_log, refuse
from mediafleet.kinds.transcode.media import MediaInfo
from mediafleet.kinds.transcode.probe import probe
from mediafleet.testing import LocalTaskContext, make_clip

COPY = {"preset": "copy", "container": "mkv"}


async def make_streams(path: Path) -> Path:
    return bombs.streams(path, 900)


async def make_more_streams(path: Path) -> Path:
    return bombs.streams(path, 5_000)


async def make_picture(path: Path) -> Path:
    return bombs.pictures(path, [16_000])


BOMBS: dict[str, tuple[str, Callable[[Path], Awaitable[Path]], str]] = {
    "picture": ("nut", make_picture, "has a picture of 256,000,000 pixels, more than"),
    "cover": ("mkv", lambda path: bombs.cover(path, 16_000), "has a picture of 256,000,000 pixels"),
    "cover beyond what FFmpeg takes": (
        "mkv",
        lambda path: bombs.cover(path, 30_000),
        "has a picture of 900,000,000 pixels",
    ),
    "gap in mp4": ("mp4", lambda path: bombs.gap(path, 1), "has a gap of 3,600 s at 0.4 s"),
    "gap in mkv": ("mkv", lambda path: bombs.gap(path, 1), "has a gap of 3,600 s at 0.4 s"),
    "chapters in mp4": ("mp4", lambda path: bombs.chapters(path, 5_000), " chapters; at most 2,000 are taken"),
    "chapters in mkv": ("mkv", lambda path: bombs.chapters(path, 5_000), " chapters; at most 2,000 are taken"),
    "attachments": (
        "mkv",
        lambda path: bombs.attachments(path, ["a.ttf"] * 600),
        "has 600 attachments; at most 512 are taken",
    ),
    "streams": ("mkv", make_streams, "has 900 streams; at most 256 are taken"),
    "more streams than FFmpeg takes": ("mkv", make_more_streams, "streams; at most 256 are taken"),
}


@pytest.mark.parametrize("what", BOMBS)
async def test_each_bomb_gets_one_clear_sentence(tmp_path: Path, what: str) -> None:
    ending, make, said = BOMBS[what]
    bomb = await make(tmp_path / f"bomb.{ending}")
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    with pytest.raises(UnreadableMedia) as refused:
        await transcode_contained(bomb, tmp_path / "work", COPY)
    assert refused.value.message.startswith(f"“bomb.{ending}” ")
    assert said in refused.value.message
    assert "\n" not in refused.value.message
    # Of all children that ever ended; none of the bombs may raise it beyond what a film needs.
    peak_kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert peak_kib <= max(before, 1 << 20)


async def test_a_picture_that_grows_in_the_middle_stops_the_encoder(tmp_path: Path) -> None:
    """The probe looks at the first one; FFmpeg is told the same limit."""
    film = bombs.pictures(tmp_path / "grows.nut", [64] + [16_000] * 4)
    with pytest.raises(MediafleetError) as refused:
        await transcode_contained(film, tmp_path / "work", {"preset": "h264", "speed": "fastest"})
    assert "grows.nut" in refused.value.message
    assert not refused.value.retryable


async def test_what_ordinary_large_films_hold_passes(tmp_path: Path) -> None:
    """Hundreds of fonts and chapters, and a picture of 12K."""
    fonts = await bombs.attachments(tmp_path / "fonts.mkv", [f"{n}.ttf" for n in range(300)])
    marked = await bombs.chapters(tmp_path / "marked.mkv", 1_189)
    large = bombs.pictures(tmp_path / "large.nut", [8_900])
    assert len((await look(fonts, tmp_path)).streams) == 301
    assert (await look(marked, tmp_path)).chapters == 1_189
    assert (await look(large, tmp_path)).streams[0].decodable


async def test_a_gap_of_minutes_is_only_a_pause(tmp_path: Path) -> None:
    film = await bombs.gap(tmp_path / "pause.mkv", 0.4)
    context, result = await transcode_contained(film, tmp_path / "work", {"preset": "h264", "speed": "fastest"})
    assert result.result["frames"] == 25, "the pause was not filled with pictures"
    (made,) = context.published.values()
    assert made.stat().st_size < 10 * film.stat().st_size


async def look(path: Path, folder: Path) -> MediaInfo:
    return await probe(LocalTaskContext.for_file(path, folder=folder / "look"), path, name=path.name)


ATTACHED = ["../../x", "/etc/cron.d/x", "..\\..\\x", "$(touch x)", "-x", "x\u202egnp.exe"]


async def test_attached_files_are_written_nowhere(tmp_path: Path) -> None:
    """They go from one container into the other by their bytes; their names stay words in it."""
    film = await bombs.attachments(tmp_path / "film.mkv", ATTACHED, b"#!/bin/sh\n")
    folder = tmp_path / "a" / "b" / "c"
    context, _ = await transcode_contained(film, folder, COPY)
    assert sorted(os.listdir(tmp_path)) == ["a", "film.mkv", "film.txt"]
    assert sorted(os.listdir(tmp_path / "a" / "b")) == ["c"]
    (made,) = context.published.values()
    info = await look(made, tmp_path)
    assert [stream.title for stream in info.streams if stream.type == "attachment"] == ATTACHED


async def test_what_a_file_says_of_itself_is_cut(tmp_path: Path) -> None:
    """All of it is kept in the memory of the node, and much of it shown."""
    words = [word for n in range(400) for word in ("-metadata", f"tag{n}={'x' * 5_000}")]
    clip = await make_clip(tmp_path / "talks.mkv", seconds=0.2, sound=False, extra=[*words, "-metadata", "title=t"])
    info = await look(clip, tmp_path)
    assert len(info.metadata) <= 200
    assert max(map(len, info.metadata.values())) <= 1_000


async def test_a_file_that_wants_too_much_memory_is_told_apart_from_a_short_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = await bombs.attachments(tmp_path / "film.mkv", ["a.ttf"], bytes(8 << 20))
    assert len((await look(film, tmp_path)).streams) == 2
    # Less than the first look at the header takes.
    monkeypatch.setattr("mediafleet.kinds.transcode.file_reader.CAPS", Caps(memory_bytes=1 << 20))
    with pytest.raises(UnreadableMedia, match=r"needs more than .* bytes of memory only to be opened"):
        await look(film, tmp_path)


async def test_the_reader_can_write_nothing(tmp_path: Path) -> None:
    script = Path(probe.__code__.co_filename).with_name("_bounds.py")
    code = f"import runpy; runpy.run_path({str(script)!r})['bind_oneself'](1 << 30); __import__('pathlib').Path('made').write_bytes(b'x')"
    async with contained_children(tmp_path) as children:
        child = await children.start(["python3", "-I", "-c", code])
        assert await child.wait() != 0
    assert not (tmp_path / "made").exists() or not (tmp_path / "made").stat().st_size


@pytest.mark.parametrize("what", Caps.__struct_fields__)
def test_every_cap_has_a_sentence(what: str) -> None:
    error = refuse(Excess(what, found=12_345_678, at_s=1.25), name="a\nb.mp4")
    assert error.message.startswith("“a\N{REPLACEMENT CHARACTER}b.mp4” ")
    assert f"{getattr(CAPS, what):,}" in error.message
    assert not error.retryable


def test_a_size_that_was_only_guessed_at_is_no_excess() -> None:
    assert find_in_log("[h264 @ 0x1] Picture size 0x0 is invalid") is None
    assert find_in_log("[h264 @ 0x1] Picture size 9000x9000 exceeds specified max pixel count 80216064") == Excess(
        "pixels", 81_000_000
    )
