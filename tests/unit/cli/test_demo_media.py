"""The demo's clips are real media, and its comparison tells a good result from a bad one."""

from __future__ import annotations

from pathlib import Path

import pytest

from mediafleet.cli._demo_media import CLIP_S, CLIPS, Look, compare, look_at, make_clips
from mediafleet.cli.demo import plan_tour
from mediafleet.domain.errors import OutputRejected, UnreadableMedia

GOOD = Look(5.0, ("h264", "aac"), has_sound=True)


async def test_clips_have_picture_and_sound_and_the_tour_uses_them_all(tmp_path: Path) -> None:
    clips = await make_clips(tmp_path)
    assert [clip.name for clip in clips] == list(CLIPS)
    for clip in clips:
        look = look_at(clip)
        assert look.seconds == pytest.approx(CLIP_S, abs=0.1)
        assert len(look.streams) == 2
        assert look.has_sound
    stops = plan_tour(clips)
    assert [stop.preset for stop in stops] == ["h264", "hevc", "mp3"]
    assert stops[0].sources == tuple(clips)
    assert stops[0].work().ending == ".mp4"


def test_what_is_no_media_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("#EXTM3U\nfile:///etc/passwd\n")
    with pytest.raises(UnreadableMedia):
        look_at(tmp_path / "a.mp4")


@pytest.mark.parametrize("result", [Look(4.5, ("h264",), has_sound=False), Look(5.0, (), has_sound=False)])
def test_a_short_or_empty_result_is_rejected(result: Look) -> None:
    compare(GOOD, Look(5.1, ("hevc",), has_sound=False), name="x")
    with pytest.raises(OutputRejected):
        compare(GOOD, result, name="x")
