"""No limit is in the way of real films: the shared ones go through a contained transcode, whole and as they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests_support.contained import contained_children, transcode_contained

from mediafleet.domain.errors import UnreadableMedia
from mediafleet.kinds.transcode.probe import probe

MEDIA = Path(__file__).resolve().parents[3] / "shared" / "media" / "video"
ENDINGS = {".mp4", ".mkv", ".webm", ".mov", ".ts"}
FILMS = sorted((path for path in MEDIA.glob("*") if path.suffix in ENDINGS), key=lambda path: path.stat().st_size)
BEYOND_ALL_READERS = {"bad_free_box.mp4", "drm_widevine.mp4"}
COPIED = (
    "editlist_positive_shift.mp4",
    "subs_ass.mkv",
    "subs_vobsub.mkv",
    "chapters.mp4",
    "encore_test.mp4",
    "bbb_1080p_mpeg2.ts",
)
ENCODED = ("av1.mkv", "sowt_1080p50.mov", "hdr10_hevc_1080p.mp4", "pixel7_1080p_vfr.mp4")
"""The last of them is the largest."""

pytestmark = [
    pytest.mark.media,
    pytest.mark.skipif(not MEDIA.is_dir(), reason="the shared test media are not beside this checkout"),
]


class _Starter:
    def __init__(self, children: object) -> None:
        self.start_process = getattr(children, "start")  # noqa: B009 - the name differs, the call is the same
        self.start_script = getattr(children, "start_script")  # noqa: B009 - as above


async def test_every_film_is_within_the_caps(tmp_path: Path) -> None:
    unread: set[str] = set()
    async with contained_children(tmp_path) as children:
        for film in FILMS:
            try:
                info = await probe(_Starter(children), film, name=film.name)
                assert info.streams, film.name
            except UnreadableMedia:
                unread.add(film.name)
    assert unread == BEYOND_ALL_READERS


@pytest.mark.parametrize("name", COPIED)
async def test_a_real_film_is_packed_anew_within_the_limits(tmp_path: Path, name: str) -> None:
    context, _ = await transcode_contained(MEDIA / name, tmp_path, {"preset": "copy", "container": "mkv"})
    (made,) = context.published.values()
    assert made.stat().st_size


@pytest.mark.parametrize("name", ENCODED)
async def test_a_real_film_is_encoded_within_the_limits(tmp_path: Path, name: str) -> None:
    wanted = {"preset": "h264", "speed": "fastest", "scale": {"max": 320}}
    context, _ = await transcode_contained(MEDIA / name, tmp_path, wanted)
    (made,) = context.published.values()
    assert made.stat().st_size
