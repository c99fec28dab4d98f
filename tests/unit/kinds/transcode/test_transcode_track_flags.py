"""The one bit that has players show a subtitle unasked, found in boxes of every form."""

from __future__ import annotations

from pathlib import Path

import pytest
from transcode_samples import media, params, sound, subtitle, video

from mediafleet.kinds.transcode.streams import plan_output
from mediafleet.kinds.transcode.track_flags import disable_subtitles, show_no_subtitles

ENABLED, DISABLED = b"\0\0\0\x03", b"\0\0\0\x02"


def box(kind: bytes, content: bytes, *, form: str = "plain") -> bytes:
    if form == "large":
        return (1).to_bytes(4, "big") + kind + (len(content) + 16).to_bytes(8, "big") + content
    size = 0 if form == "last" else len(content) + 8
    return size.to_bytes(4, "big") + kind + content


def track(handler: bytes, flags: bytes = ENABLED) -> bytes:
    described = box(b"mdhd", bytes(24)) + box(b"hdlr", bytes(8) + handler + bytes(13))
    return box(b"trak", box(b"tkhd", flags + bytes(80)) + box(b"mdia", described))


def film(*tracks: bytes, form: str = "plain") -> bytes:
    moov = box(b"moov", box(b"mvhd", bytes(100)) + b"".join(tracks), form=form)
    # What looks like boxes may lie in the media as well.
    return box(b"ftyp", b"isom") + box(b"mdat", track(b"sbtl"), form="large") + moov


@pytest.mark.parametrize("form", ["plain", "large", "last"])
@pytest.mark.parametrize("handler", [b"sbtl", b"text", b"subt", b"subp", b"clcp"])
def test_only_the_bit_of_subtitles_is_cleared(tmp_path: Path, handler: bytes, form: str) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(film(track(b"vide"), track(b"soun"), track(handler), track(handler, DISABLED), form=form))
    assert disable_subtitles(path) == 1
    assert path.read_bytes() == film(
        track(b"vide"), track(b"soun"), track(handler, DISABLED), track(handler, DISABLED), form=form
    )
    assert disable_subtitles(path) == 0


@pytest.mark.parametrize("cut", [1, 9, 40, 100, 150])
def test_a_file_that_ends_early_is_left_as_it_is(tmp_path: Path, cut: int) -> None:
    path, content = tmp_path / "film.mp4", film(track(b"sbtl"))[:-cut]
    path.write_bytes(content)
    assert disable_subtitles(path) == 0
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("marks", "container", "is_cleared"),
    [((), "mp4", True), (("forced",), "mov", True), (("default",), "mp4", False), ((), "mkv", False)],
)
def test_what_the_source_marks_stays_marked(
    tmp_path: Path, marks: tuple[str, ...], container: str, *, is_cleared: bool
) -> None:
    info = media(video(), sound(), subtitle("subrip"), subtitle("subrip", index=3, disposition=marks))
    path = tmp_path / "film"
    path.write_bytes(film(track(b"sbtl")))
    show_no_subtitles(plan_output(info, params(container=container), name="film.mkv"), path)
    assert path.read_bytes() == film(track(b"sbtl", DISABLED if is_cleared else ENABLED))
