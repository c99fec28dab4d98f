"""`mediafleet transcode --dry-run`: what would become of each stream, without a fleet and without an encode."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests_support.command_line import RunCli
from tests_support.fake_scheduler import FakeScheduler

from mediafleet.testing import make_clip


def clip(name: str) -> Path:
    path = Path(name)
    asyncio.run(make_clip(path))
    return path


def test_every_stream_has_a_line_and_nothing_is_handed_in_or_written(cli: RunCli, scheduler: FakeScheduler) -> None:
    clip("film.mp4")
    ran = cli("transcode", "film.mp4", "--dry-run", "--preset", "hevc", "--out", "done")
    assert ran.code == 0
    assert "film.mp4 → mkv" in ran.out
    assert "encode to hevc" in ran.out
    assert "libx265" in ran.out
    assert "loses nothing" in ran.out
    assert scheduler.submissions == []
    assert not Path("done").exists()


def test_json_has_the_plan_or_the_error_of_each_file(cli: RunCli) -> None:
    clip("film.mp4")
    Path("bad.mp4").write_bytes(b"no media at all")
    ran = cli("transcode", "film.mp4", "bad.mp4", "missing.mp4", "--dry-run", "--json")
    assert ran.code == 1
    film, bad, missing = ran.json
    assert [line["action"] for line in film["plan"]["streams"]] == ["encode", "copy"]
    assert film["plan"]["container"] == "mp4"
    assert bad["error"]["code"] == "unreadable-media"
    assert missing["error"]["code"] == "not-found"


def test_what_would_be_lost_is_said(cli: RunCli) -> None:
    clip("film.mp4")
    ran = cli("transcode", "film.mp4", "--dry-run", "--param", "audio.codec=none")
    assert "loses: Sound stream 1 (aac) was left out: no sound was asked for." in ran.out


def test_params_are_checked_before_any_file_is_read(cli: RunCli) -> None:
    ran = cli("transcode", "film.mp4", "--dry-run", "--preset", "h265")
    assert ran.code == 2
    assert "did you mean" in ran.err
