"""The plan that people see has a line for every stream of the source, whatever becomes of it."""

from __future__ import annotations

import msgspec
from transcode_samples import media, params, sound, subtitle, video

from mediafleet.kinds.transcode.media import StreamInfo
from mediafleet.kinds.transcode.preview import Preview, preview

FONT = StreamInfo(index=0, type="attachment", codec="ttf", title="a.ttf")
TIMECODE = StreamInfo(index=0, type="data", metadata=("timecode",), packets=1)


def lines(shown: Preview) -> list[tuple[int, str, str, str]]:
    return [(line.index, line.action, line.codec, line.encoder) for line in shown.streams]


def test_every_stream_of_the_source_has_a_line_in_its_order() -> None:
    info = media(
        FONT, video(), sound(codec="dts"), sound(), subtitle("subrip"), subtitle("hdmv_pgs_subtitle"), TIMECODE
    )
    assert lines(preview(info, params(), name="film.mkv")) == [
        (0, "leave out", "", ""),
        (1, "encode", "h264", "libx264"),
        (2, "encode", "aac", "aac"),
        (3, "copy", "aac", ""),
        (4, "convert", "mov_text", "mov_text"),
        (5, "leave out", "", ""),
        (6, "write anew", "", ""),
    ]


def test_each_line_says_why() -> None:
    shown = preview(media(video(), sound(), subtitle("subrip"), FONT), params(), name="film.mkv")
    assert [line.why for line in shown.streams] == [
        "the preset h264",
        "encoding it twice would only lose",
        "an mp4 file holds no subrip",
        "an mp4 file cannot hold attachments",
    ]


def test_losses_stand_at_their_stream_and_all_together_with_those_of_the_file() -> None:
    info = media(video(bit_depth=10), sound(), metadata={"IMDB": "tt1"})
    shown = preview(info, params(), name="film.mkv")
    assert [len(line.losses) for line in shown.streams] == [1, 0]
    assert [loss.stream for loss in shown.losses] == [0, None]
    assert shown.streams[0].losses[0] == shown.losses[0].sentence


def test_what_the_output_is_stands_at_the_top() -> None:
    shown = preview(media(video(), chapters=4), params(preset="vp9"), name="film.mkv")
    assert (shown.preset, shown.container, shown.duration_s, shown.chapters) == ("vp9", "webm", 10.0, 4)


def test_it_travels_as_json() -> None:
    shown = preview(media(video(hdr10_plus=True), FONT), params(), name="film.mkv")
    assert msgspec.json.decode(msgspec.json.encode(shown), type=Preview) == shown
