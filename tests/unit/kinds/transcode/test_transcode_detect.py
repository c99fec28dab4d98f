"""An encoder counts only if it works, and is asked once for each FFmpeg."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from mediafleet.domain.capability import check_capabilities
from mediafleet.kinds.transcode import program
from mediafleet.kinds.transcode.detect import detect_ffmpeg, try_encoders
from mediafleet.kinds.transcode.program import Ffmpeg, find_ffmpeg
from mediafleet.testing import LocalDetectContext


def pretender(folder: Path, *, working: str) -> Ffmpeg:
    """An FFmpeg whose encoders are all listed and only one of which works."""
    path = folder / "pretender.py"
    path.write_text(
        f"#!{sys.executable}\nimport sys\n"
        f"if {working!r} in sys.argv: sys.exit(0)\n"
        "print('[enc @ 0x55d0] [error] Cannot load libcuda.so.1', file=sys.stderr)\nsys.exit(1)\n"
    )
    path.chmod(0o755)
    return Ffmpeg(str(path), "9.0")


async def test_this_machine_can_do_what_its_ffmpeg_does(tmp_path: Path) -> None:
    context = LocalDetectContext(tmp_path)
    found = await detect_ffmpeg(context)
    assert {"encoder:libx264", "encoder:aac", "encoder:libmp3lame"} <= found.capabilities
    assert check_capabilities(found.capabilities)
    assert found.facts["ffmpeg_path"] == (await asyncio.to_thread(find_ffmpeg)).path
    assert found.capabilities.isdisjoint(found.missing)


async def test_a_listed_encoder_that_fails_is_missing_with_its_reason(tmp_path: Path) -> None:
    found = await try_encoders(LocalDetectContext(tmp_path), pretender(tmp_path, working="libx264"))
    assert found.capabilities == {"encoder:libx264"}
    assert found.missing["encoder:h264_nvenc"] == "h264_nvenc failed a two-frame encode: Cannot load libcuda.so.1."
    assert "h264_qsv" in found.missing["hw:qsv"]


async def test_hardware_counts_when_one_of_its_encoders_works(tmp_path: Path) -> None:
    found = await try_encoders(LocalDetectContext(tmp_path), pretender(tmp_path, working="hevc_vaapi"))
    assert found.capabilities == {"encoder:hevc_vaapi", "encoder:hevc@hardware", "hw:vaapi"}
    assert "hw:vaapi" not in found.missing


async def test_the_second_start_tries_nothing(tmp_path: Path) -> None:
    ffmpeg = pretender(tmp_path, working="aac")
    first = LocalDetectContext(tmp_path)
    found = await try_encoders(first, ffmpeg)
    again = LocalDetectContext(tmp_path, memory=first.memory)
    assert await try_encoders(again, ffmpeg) == found
    assert (len(first.started) > 10, again.started) == (True, [])


@pytest.mark.parametrize("memory", ["nonsense", {"libx264": 3}, []])
async def test_another_version_and_a_damaged_memory_are_tried_anew(tmp_path: Path, memory: object) -> None:
    ffmpeg = pretender(tmp_path, working="aac")
    context = LocalDetectContext(tmp_path)
    await try_encoders(context, ffmpeg)
    key = next(iter(context.memory))
    damaged = LocalDetectContext(tmp_path, memory={key: memory})
    assert (await try_encoders(damaged, ffmpeg)).capabilities == {"encoder:aac"}
    newer = LocalDetectContext(tmp_path, memory=context.memory)
    await try_encoders(newer, Ffmpeg(ffmpeg.path, "9.1"))
    assert newer.started


async def test_without_ffmpeg_the_reason_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find_ffmpeg.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(program, "_bundled", lambda: None)
    found = await detect_ffmpeg(LocalDetectContext(tmp_path))
    assert found.capabilities == frozenset()
    assert "install one" in found.missing["kind:transcode"]
