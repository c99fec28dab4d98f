"""FFmpeg's progress lines become positions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.kinds.transcode.progress import Position, ProgressReader

BLOCK = (
    "frame=120\nfps=60.5\nstream_0_0_q=28.0\nbitrate= 100.0kbits/s\ntotal_size=48000\nout_time_us=4800000\n"
    "out_time_ms=4800000\nout_time=00:00:04.800000\ndup_frames=1\ndrop_frames=2\nspeed=2.42x\nprogress=continue\n"
)


def read(text: str) -> list[Position]:
    reader = ProgressReader()
    return [position for line in text.splitlines(keepends=True) if (position := reader.feed(line.encode()))]


def test_a_block_becomes_one_position() -> None:
    assert read(BLOCK) == [
        Position(out_s=4.8, frame=120, fps=60.5, speed=2.42, total_size=48000, dropped=2, duplicated=1)
    ]


def test_the_last_block_is_the_end() -> None:
    positions = read(BLOCK + BLOCK.replace("continue", "end"))
    assert [position.is_end for position in positions] == [False, True]


def test_what_ffmpeg_does_not_know_yet_is_nought() -> None:
    unknown = "frame=0\nout_time_us=N/A\nspeed=N/A\ntotal_size=N/A\nprogress=continue\n"
    assert read(unknown) == [Position()]
    assert read("out_time_us=-9000\nprogress=continue\n") == [Position()]


@pytest.mark.parametrize(
    ("position", "duration_s", "fraction", "eta_ms"),
    [
        (Position(out_s=5, speed=2), 10, 0.5, 2500),
        (Position(out_s=12, speed=2), 10, 1.0, 0),
        (Position(out_s=5), 10, 0.5, None),
        (Position(out_s=5, speed=2), 0, 0.0, None),
    ],
)
def test_fraction_and_time_left(position: Position, duration_s: float, fraction: float, eta_ms: int | None) -> None:
    assert (position.fraction(duration_s), position.eta_ms(duration_s)) == (fraction, eta_ms)


@given(st.lists(st.binary(max_size=40)))
def test_any_line_is_survived(lines: list[bytes]) -> None:
    reader = ProgressReader()
    for line in lines:
        position = reader.feed(line)
        assert position is None or position.out_s >= 0
