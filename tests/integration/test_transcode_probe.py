"""The probe runs in a child: a file that kills or stalls it fails alone."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from mediafleet.domain.errors import TransientFailure, UnreadableMedia
from mediafleet.kinds.transcode import file_reader
from mediafleet.kinds.transcode.probe import probe
from mediafleet.testing import LocalChildProcess, LocalDetectContext, make_clip


class Replacing:
    """Starts another program in place of the prober, as a crash or a hang of it would look."""

    def __init__(self, folder: Path, code: str) -> None:
        self.folder = folder
        self.code = code
        self.started: list[LocalChildProcess] = []

    async def start_process(self, arguments: Sequence[str], *, cwd: Path | None = None) -> LocalChildProcess:
        child = await LocalChildProcess.start([sys.executable, "-c", self.code], cwd or self.folder)
        self.started.append(child)
        return child

    async def start_script(self, script: Path, arguments: Sequence[str]) -> LocalChildProcess:
        return await self.start_process([str(script), *arguments])


async def test_a_file_is_described(tmp_path: Path) -> None:
    clip = await make_clip(tmp_path / "clip.mp4", seconds=1)
    info = await probe(LocalDetectContext(tmp_path), clip, name="clip.mp4")
    picture, sound = info.streams
    assert (picture.codec, picture.width, picture.height, picture.packets) == ("h264", 128, 96, 25)
    assert (picture.decodable, picture.frame_s, picture.length_s) == (True, pytest.approx(0.04), pytest.approx(1.0))
    assert (sound.codec, sound.sample_rate, sound.channels) == ("aac", 48000, 1)
    assert info.duration_s == pytest.approx(1.0, abs=0.03)
    assert info.size == clip.stat().st_size


async def test_a_prober_that_crashes_takes_nobody_along(tmp_path: Path) -> None:
    crash = Replacing(tmp_path, f"import os; os.kill(os.getpid(), {int(signal.SIGSEGV)})")
    clip = await make_clip(tmp_path / "evil.mp4", sound=False)
    with pytest.raises(UnreadableMedia, match=r"“evil\.mp4” is damaged in a way that stops every reader"):
        await probe(crash, clip, name="evil.mp4")


async def test_a_prober_that_hangs_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_reader, "_LEAST_S", 0.2)
    hang = Replacing(tmp_path, "import signal; signal.pause()")
    clip = await make_clip(tmp_path / "slow.mp4", sound=False)
    with pytest.raises(TransientFailure, match="could not be read in good time"):
        await probe(hang, clip, name="slow.mp4")
    with pytest.raises(ProcessLookupError):
        os.killpg(hang.started[0].pid, 0)


async def test_an_encrypted_file_says_so(tmp_path: Path) -> None:
    extra = ["-encryption_scheme", "cenc-aes-ctr", "-encryption_key", "0" * 32, "-encryption_kid", "1" * 32]
    clip = await make_clip(tmp_path / "locked.mp4", extra=extra, sound=False)
    info = await probe(LocalDetectContext(tmp_path), clip, name="locked.mp4")
    assert info.encrypted
