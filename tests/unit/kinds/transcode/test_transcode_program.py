"""Which FFmpeg is good enough, and which is taken."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mediafleet.domain.errors import CapabilityMissing
from mediafleet.kinds.transcode import program
from mediafleet.kinds.transcode.program import find_ffmpeg, is_recent, parse_version


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    find_ffmpeg.cache_clear()
    yield
    find_ffmpeg.cache_clear()


@pytest.mark.parametrize(
    ("version", "recent"),
    [
        ("5.1.4-0+deb12u1", True),
        ("5.0.1", False),
        ("4.4.2-0ubuntu0.22.04.1", False),
        ("n9.0.2-17-g2a571b6068-20260930", True),
        ("10.0", True),
        ("N-112345-g1234567", True),
        ("2026-01-02-git-abc", True),
        ("", False),
        ("banana", False),
    ],
)
def test_a_version_is_recent_from_5_1_on(version: str, recent: bool) -> None:  # noqa: FBT001 - a table of cases
    assert is_recent(version) is recent


def test_the_version_is_the_third_word() -> None:
    assert parse_version("ffmpeg version 7.1 Copyright (c) 2000-2024") == "7.1"
    assert parse_version("ls: unknown option") == ""


def fake_ffmpeg(folder: Path, version: str) -> None:
    path = folder / "ffmpeg"
    path.write_text(f"#!/bin/sh\necho 'ffmpeg version {version} Copyright'\n")
    path.chmod(0o755)


def test_the_one_on_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_ffmpeg(tmp_path, "7.1")
    monkeypatch.setenv("PATH", str(tmp_path))
    found = find_ffmpeg()
    assert (found.path, found.version) == (str(tmp_path / "ffmpeg"), "7.1")


def test_an_old_one_on_path_gives_way_to_the_bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_ffmpeg(tmp_path, "4.4")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "imageio_ffmpeg" in find_ffmpeg().path


def test_without_any_the_capability_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(program, "_bundled", lambda: None)
    with pytest.raises(CapabilityMissing):
        find_ffmpeg()


def test_ffmpeg_is_not_asked_with_a_report_switched_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would write one even when it only tells its version."""
    report = tmp_path / "report.log"
    monkeypatch.setenv("FFREPORT", f"file={report}")
    assert find_ffmpeg().version
    assert not report.exists()
