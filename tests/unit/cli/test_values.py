"""Params and results are told as people would: what is set, in units, and never as a program's own notation."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.cli._text import moment_text
from mediafleet.cli._values import defaults_of, value_lines
from mediafleet.kinds.transcode.params import TranscodeParams

KINDS = [{"name": "noop"}, {"name": "transcode", "params": msgspec.json.schema(TranscodeParams)}]
DEFAULTS = defaults_of(KINDS, "transcode")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1), inner, max_size=3),
    max_leaves=8,
)


def params(**said: Any) -> list[str]:
    """Return the lines of a transcode's params as the fleet keeps them: complete."""
    whole = msgspec.to_builtins(msgspec.convert(said, TranscodeParams))
    return value_lines(whole, DEFAULTS)


def test_of_params_nobody_set_only_what_means_something_is_told() -> None:
    assert params() == ["preset = h264"]
    assert params(speed="slow", chunks="never") == ["preset = h264", "speed = slow", "chunks = never"]


def test_zero_is_told_where_it_was_chosen() -> None:
    assert params(crf=0) == ["preset = h264", "crf = 0"]


def test_of_a_record_only_what_is_set_is_told() -> None:
    lines = params(scale={"height": 720}, audio={"codec": "aac", "channels": 2})
    assert lines[1:3] == ["scale = height=720", "audio = codec=aac channels=2"]


@pytest.mark.parametrize(
    ("values", "lines"),
    [
        ({"size": 96_020, "source_size": 314_241}, ["size = 93.8 KiB", "source_size = 306.9 KiB"]),
        ({"sent_bytes": 0}, ["sent = 0 B"]),
        ({"duration_s": 1.089, "wait_ms": 65_000}, ["duration = 1.1 s", "wait = 1:05"]),
        ({"until_ms": 1_800_000_000_000}, [f"until = {moment_text(1_800_000_000_000)}"]),
        ({"fps": 29.97002997, "speed": 2.0, "frames": 30}, ["fps = 29.97", "speed = 2", "frames = 30"]),
        ({"dropped": 0, "is_exact": False}, ["dropped = 0", "is_exact = false"]),
        ({"a": None, "b": "", "c": [], "d": {}}, []),
        ({"command": ["ffmpeg", "-i", "a b.mkv"]}, ["command = ffmpeg -i 'a b.mkv'"]),
        ({"numbers": [1, 2]}, ["numbers = [1,2]"]),
        ({"name_s": "text"}, ["name_s = text"]),
    ],
)
def test_values_have_units_and_no_brackets_where_they_need_none(values: dict[str, Any], lines: list[str]) -> None:
    assert value_lines(values) == lines


def test_a_list_of_records_has_a_line_for_each() -> None:
    streams = [
        {"type": "video", "width": 1080, "length_s": 1.001, "language": None},
        {"type": "audio", "title": "Left and right", "tags": {"a": [1]}},
    ]
    assert value_lines({"streams": streams}) == [
        'streams 1 = type=video width=1080 length="1.0 s"',
        'streams 2 = type=audio title="Left and right" tags={"a":[1]}',
    ]


@given(st.dictionaries(st.text("abc", min_size=1), JSON), st.dictionaries(st.text("abc", min_size=1), JSON))
def test_anything_can_be_told_and_what_means_something_is(values: dict[str, Any], defaults: dict[str, Any]) -> None:
    lines = value_lines(values, defaults)
    assert all(" = " in line for line in lines)
    told = {line.split()[0] for line in lines}
    plain = {name: value for name, value in values.items() if value and not isinstance(value, (dict, list))}
    assert told >= {
        name for name, value in plain.items() if not (isinstance(value, (str, int)) and defaults.get(name) == value)
    }
    assert not told & {name for name, value in values.items() if value in (None, "", [], {}, [{}], {"a": None})}


@pytest.mark.parametrize("kinds", [[], [{"name": "transcode"}], [{"name": "transcode", "params": 3}], [{"other": 1}]])
def test_a_fleet_that_tells_no_defaults_is_no_error(kinds: list[dict[str, Any]]) -> None:
    assert defaults_of(kinds, "transcode") == {}
