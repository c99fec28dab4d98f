"""What each container holds, and in which of them a source comes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.kinds.transcode.containers import CONTAINERS, STYLED_SUBTITLES, TEXT_SUBTITLES, same_container


@pytest.mark.parametrize(
    ("container", "kind", "codec", "expected"),
    [
        ("mp4", "video", "h264", True),
        ("mp4", "video", "vp8", False),
        ("mp4", "audio", "opus", True),
        ("mov", "audio", "opus", False),
        ("mov", "audio", "pcm_s24le", True),
        ("mov", "video", "prores", True),
        ("mp4", "subtitle", "subrip", False),
        ("mp4", "subtitle", "mov_text", True),
        ("mkv", "video", "no-such-codec", True),
        ("mkv", "audio", "no-such-codec", True),
        ("mkv", "subtitle", "mov_text", False),
        ("mkv", "data", "bin_data", False),
        ("mkv", "attachment", "ttf", False),
        ("webm", "video", "h264", False),
        ("webm", "audio", "vorbis", True),
        ("m4a", "video", "h264", False),
        ("mp3", "audio", "mp3", True),
        ("mp3", "audio", "aac", False),
    ],
)
def test_a_container_holds_what_players_of_it_know(container: str, kind: str, codec: str, *, expected: bool) -> None:
    assert CONTAINERS[container].holds(kind, codec) == expected


@pytest.mark.parametrize("name", CONTAINERS)
def test_what_a_container_falls_back_to_can_be_held_by_it(name: str) -> None:
    """Else a plan would be made that the muxer refuses after the whole encode."""
    made = CONTAINERS[name]
    assert not made.text or made.holds("subtitle", made.text)
    assert made.audio_encoder is None or made.holds("audio", made.audio_encoder[0])
    assert made.audio_tracks >= 1


def test_a_styled_subtitle_is_a_text_subtitle() -> None:
    assert STYLED_SUBTITLES <= TEXT_SUBTITLES


@given(st.text(max_size=30), st.text(max_size=30))
def test_every_source_has_a_container_of_ours(demuxer: str, name: str) -> None:
    assert same_container(demuxer, name) in CONTAINERS


@given(st.sampled_from(sorted(CONTAINERS)))
def test_an_ending_alone_convinces_nobody(ending: str) -> None:
    """An AVI that is called .mp4 has to hold what an AVI may hold."""
    assert same_container("avi", f"film.{ending}") == "mkv"


@pytest.mark.parametrize(
    ("demuxer", "name", "container"),
    [
        ("mov,mp4,m4a,3gp,3g2,mj2", "song.m4a", "m4a"),
        ("mov,mp4,m4a,3gp,3g2,mj2", "film.mkv", "mp4"),
        ("mov,mp4,m4a,3gp,3g2,mj2", "archive.tar.mp4", "mp4"),
        ("matroska,webm", "film.mkv", "mkv"),
        ("mp3", "song", "mp3"),
        ("", "", "mkv"),
    ],
)
def test_a_source_without_a_telling_name_goes_by_its_demuxer(demuxer: str, name: str, container: str) -> None:
    assert same_container(demuxer, name) == container
