"""The index of a stream, read from real files by a real child."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import av
import pytest

from mediafleet.domain.plan import TaskSpec
from mediafleet.kinds.transcode.index import FrameIndex, read_index
from mediafleet.testing import LocalTaskContext, make_clip, run_ffmpeg

H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "10", "-bf", "2")


async def read(path: Path, stream: int = 0) -> FrameIndex:
    context = LocalTaskContext(TaskSpec("transcode", 1, "transcode", "a", "default"), folder=path.parent / "work")
    index = await read_index(context, path, stream, name=path.name)
    assert not any(is_running(child.pid) for child in context.started)
    return index


def is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts"])
async def test_pictures_are_in_the_order_of_showing_with_the_times_a_decoder_gives(tmp_path: Path, ending: str) -> None:
    path = await make_clip(tmp_path / f"film.{ending}", seconds=2, extra=H264)
    index = await read(path)
    with av.open(str(path)) as container:
        shown = tuple(frame.pts for frame in container.decode(video=0))
    assert index.pts == shown
    assert len(index.keys) == 5
    assert {shown for shown, _ in index.keys} <= set(index.pts)
    # Pictures that are decoded before they are shown can only be found by the earlier time.
    assert all(early <= shown for shown, early in index.keys)
    assert (index.untimed, index.broken) == (0, "")
    assert float((index.end - index.pts[0]) * index.tick) == pytest.approx(2.0, abs=0.001)


@pytest.mark.parametrize(
    ("ending", "flags", "is_placed"),
    [("mp4", "+faststart", True), ("mp4", "+frag_keyframe+empty_moov", False), ("mkv", "+faststart", True)],
)
async def test_places_in_a_file_that_is_read_piece_by_piece_help_nobody(
    tmp_path: Path, ending: str, flags: str, *, is_placed: bool
) -> None:
    extra = [*H264, *(("-movflags", flags) if ending == "mp4" else ())]
    index = await read(await make_clip(tmp_path / f"film.{ending}", seconds=2, extra=extra))
    assert len(index.keys) == 5
    assert (len(index.begins), len(index.ends)) == ((5, 50) if is_placed else (0, 0))


async def test_pictures_that_an_edit_list_hides_are_left_out(tmp_path: Path) -> None:
    plain = await make_clip(tmp_path / "plain.mp4", seconds=2, sound=False, extra=H264)
    await run_ffmpeg(["-ss", "0.52", "-i", str(plain), "-c", "copy"], tmp_path / "cut.mp4")
    index = await read(tmp_path / "cut.mp4")
    assert len(index.pts) == 50 - 13
    assert all(after - before == 512 for before, after in pairwise(index.pts))


async def test_files_of_the_same_settings_have_the_same_header(tmp_path: Path) -> None:
    one = await read(await make_clip(tmp_path / "one.mp4", sound=False, extra=H264))
    two = await read(await make_clip(tmp_path / "two.mp4", sound=False, seconds=2, extra=H264))
    other = await read(await make_clip(tmp_path / "other.mp4", sound=False, size="160x96", extra=H264))
    assert one.header == two.header
    assert one.header != other.header


async def test_pictures_without_a_time_are_counted(tmp_path: Path) -> None:
    path = await make_clip(tmp_path / "film.h264", sound=False, extra=H264)
    index = await read(path)
    assert (len(index.pts), index.untimed) == (0, 25)


async def test_what_cannot_be_opened_or_has_no_such_stream_is_broken(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no film")
    assert (await read(tmp_path / "text.mp4")).broken
    assert (await read(await make_clip(tmp_path / "film.mp4", sound=False), 3)).broken == "it has no such stream"


async def test_a_file_that_names_others_is_not_followed(tmp_path: Path) -> None:
    await make_clip(tmp_path / "film.mp4", sound=False)
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile film.mp4\n")
    index = await read(tmp_path / "list.mp4")
    assert (index.pts, bool(index.broken)) == ((), True)
