"""Options of an encoder: what each takes, and that it really takes it."""

from __future__ import annotations

import re
import subprocess
from itertools import zip_longest
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.kinds.transcode.encoder_facts import VIDEO_ENCODERS, Speed, VideoEncoder
from mediafleet.kinds.transcode.options import VideoOptions, combine, find_misfit, option_words
from mediafleet.kinds.transcode.presets import EncoderName
from mediafleet.kinds.transcode.program import find_ffmpeg

HARMLESS = re.compile(r"[a-z0-9.-]+(=[a-z0-9.-]+(:[a-z0-9-]+=[a-z0-9.-]+)*)?")


def misfit(name: str, options: VideoOptions) -> str:
    return find_misfit(options, VIDEO_ENCODERS[name], name=name)


def words(name: str, **options: Any) -> str:
    return " ".join(option_words(VideoOptions(**options), VIDEO_ENCODERS[name], stream=0))


def test_every_option_that_an_encoder_takes_is_one_that_users_can_name() -> None:
    fields = {field.name for field in msgspec.structs.fields(VideoOptions)}
    assert set(get_args(EncoderName)) == set(VIDEO_ENCODERS)
    for name, encoder in VIDEO_ENCODERS.items():
        assert set(encoder.options) <= fields, name
    assert fields == {option for encoder in VIDEO_ENCODERS.values() for option in encoder.options}


def test_options_are_told_in_each_encoders_own_words() -> None:
    assert words("libx264", tune="film", b_frames=3, lookahead=40) == "-tune:0 film -bf:0 3 -rc-lookahead:0 40"
    assert words("libx265", references=4, lookahead=40, aq_mode=2) == "-x265-params:0 ref=4:rc-lookahead=40:aq-mode=2"
    assert words("libsvtav1", film_grain=8, keyframe_every=250) == "-g:0 250 -svtav1-params:0 film-grain=8"
    assert words("libvpx-vp9", tune="screen", max_bitrate=1_000_000) == "-tune-content:0 screen -b:0 1000000"


def test_a_highest_rate_comes_with_the_buffer_that_it_is_measured_over() -> None:
    assert words("libx264", max_bitrate=2_000_000) == "-maxrate:0 2000000 -bufsize:0 4000000"


def test_nothing_is_said_of_what_is_not_set() -> None:
    assert option_words(VideoOptions(), VIDEO_ENCODERS["libx264"], stream=3) == []


@pytest.mark.parametrize(
    ("encoder", "options"),
    [
        ("libsvtav1", {"tune": "film"}),
        ("libx264", {"film_grain": 1}),
        ("libx264", {"tune": "screen"}),
        ("libvpx-vp9", {"lookahead": 26}),
        # These come past the struct's own checks, as no user's can.
        ("libx264", {"tune": "film:stats=/tmp/x"}),
        ("libx265", {"references": "1:csv=/tmp/x"}),
        ("libx265", {"references": -1}),
    ],
)
def test_what_an_encoder_does_not_take_never_becomes_a_word(encoder: str, options: dict[str, Any]) -> None:
    made = VideoOptions(**options)
    with pytest.raises(ValueError, match="is not for"):
        option_words(made, VIDEO_ENCODERS[encoder], stream=0)


def _value(kind: Any) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), *(_of_type(part) for part in get_args(kind) if part is not type(None)))


def _of_type(part: Any) -> st.SearchStrategy[Any]:
    choices = get_args(part)
    if choices and isinstance(choices[0], str):
        return st.sampled_from(choices)
    meta = choices[1]
    return st.integers(meta.ge, meta.le)


OPTIONS = st.builds(
    VideoOptions, **{name: _value(kind) for name, kind in get_type_hints(VideoOptions, include_extras=True).items()}
)


@given(st.sampled_from(sorted(VIDEO_ENCODERS)), OPTIONS)
def test_options_that_fit_become_plain_words_and_others_none(name: str, options: VideoOptions) -> None:
    encoder = VIDEO_ENCODERS[name]
    if misfit(name, options):
        return
    said = option_words(options, encoder, stream=0)
    allowed = {f"-{takes.packed or takes.word}:0" for takes in encoder.options.values()} | {"-bufsize:0"}
    assert set(said[::2]) <= allowed
    assert all(HARMLESS.fullmatch(value) for value in said[1::2])


@given(OPTIONS, OPTIONS)
def test_the_second_options_win_where_both_say_something(base: VideoOptions, over: VideoOptions) -> None:
    both = combine(base, over)
    for name in VideoOptions.__struct_fields__:
        expected = getattr(base, name) if getattr(over, name) is None else getattr(over, name)
        assert getattr(both, name) == expected


def _ends(encoder: VideoEncoder) -> list[dict[str, str | int]]:
    """Settings that hold, together, every choice and both ends of every number that an encoder takes."""
    values = [
        [(name, value) for value in (takes.choices or (takes.least, takes.most))]
        for name, takes in encoder.options.items()
    ]
    rows = [dict(pair for pair in row if pair) for row in zip_longest(*values)]
    return [{k: v for k, v in row.items() if not _is_ruled_out(k, row)} for row in rows]


def _is_ruled_out(option: str, row: dict[str, str | int]) -> bool:
    return row.get("tune") == "zerolatency" and option in {"b_frames", "lookahead"}


@pytest.mark.parametrize("name", sorted(VIDEO_ENCODERS))
@pytest.mark.parametrize("speed", ["fastest", "medium"])
def test_the_encoder_takes_all_that_the_table_says(name: str, speed: Speed) -> None:
    """The table is held to the encoder itself: a word that it has dropped fails here and not on a user's film."""
    encoder, ffmpeg = VIDEO_ENCODERS[name], find_ffmpeg()
    pairs = [*encoder.speeds[speed], *encoder.always, ("crf", "40"), *encoder.with_crf]
    base = [word for key, value in pairs for word in (f"-{key}:0", value)]
    for row in _ends(encoder):
        options = msgspec.convert(row, VideoOptions)
        assert misfit(name, options) == ""
        command = [
            ffmpeg.path,
            "-nostdin",
            "-loglevel",
            "level+warning",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=s=128x96:d=0.1",
        ]
        command += ["-c:0", name, *base, *option_words(options, encoder, stream=0), "-pix_fmt", "yuv420p"]
        done = subprocess.run([*command, "-f", "null", "-"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, (row, done.stderr)
        assert "has not been used" not in done.stderr, (row, done.stderr)
        assert "nknown" not in done.stderr, (row, done.stderr)
