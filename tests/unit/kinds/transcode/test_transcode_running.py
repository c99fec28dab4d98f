"""FFmpeg under a task: small scripts play its part, so that each way of behaving can be had at will."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mediafleet.domain.errors import TransientFailure
from mediafleet.domain.plan import TaskSpec
from mediafleet.kinds.transcode import running
from mediafleet.kinds.transcode.running import FfmpegRun
from mediafleet.testing import LocalTaskContext

if TYPE_CHECKING:
    from collections.abc import Callable

    from mediafleet.kinds.transcode.progress import Position

DEADLINE_S = 20.0
TELL = """
import sys, time
def tell(out_s, end="continue", frame=1):
    print(f"frame={frame}\\nout_time_us={out_s * 1_000_000}\\nprogress={end}", flush=True)
"""


@pytest.fixture
def context(tmp_path: Path) -> LocalTaskContext:
    return LocalTaskContext(TaskSpec("transcode", 1, "transcode", "a", "default"), folder=tmp_path / "work")


def pretend(
    context: LocalTaskContext,
    code: str,
    *,
    stall_s: float = DEADLINE_S,
    output: Path | None = None,
    on_progress: Callable[[Position], None] = lambda _: None,
) -> FfmpegRun:
    """Return a run of a script in the place of FFmpeg."""
    words = [sys.executable, "-I", "-S", "-c", TELL + code]
    return FfmpegRun(context, words, "film.mkv", stall_s, output, on_progress)


def has_ended(context: LocalTaskContext) -> bool:
    (child,) = context.started
    return not Path(f"/proc/{child.pid}").exists()


async def test_a_run_tells_how_it_ended_and_how_far_it_came(context: LocalTaskContext) -> None:
    seen: list[Position] = []
    code = "tell(1); tell(2, 'end', frame=50); sys.stderr.write('[info] done'); sys.exit(3)"
    done = await pretend(context, code, on_progress=seen.append).finish()
    assert (done.exit_code, done.log) == (3, "[info] done")
    assert [(one.out_s, one.is_end) for one in seen] == [(1.0, False), (2.0, True)]
    assert done.last == seen[-1]


async def test_a_run_without_a_word_of_progress_is_a_run(context: LocalTaskContext) -> None:
    assert (await pretend(context, "").finish()).exit_code == 0


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("tell(1); time.sleep(1000)", id="says nothing more"),
        pytest.param("while True: tell(1); time.sleep(0.01)", id="says the same again and again"),
        pytest.param("time.sleep(1000)", id="never says a thing"),
    ],
)
async def test_an_ffmpeg_that_stands_still_is_stopped_and_tried_again(code: str, context: LocalTaskContext) -> None:
    with pytest.raises(TransientFailure, match=r"no progress on “film\.mkv” for 0\.3 s and was stopped"):
        await pretend(context, code, stall_s=0.3).finish()
    assert has_ended(context)


async def test_a_file_that_grows_counts_as_movement(context: LocalTaskContext, tmp_path: Path) -> None:
    """Moving the index to the front of an MP4 takes long, and FFmpeg tells nothing of it."""
    output = tmp_path / "out.mp4"
    code = f"""
tell(1)
for number in range(50):
    with open({str(output)!r}, "ab") as file: file.write(b"x")
    time.sleep(0.05)
tell(2, "end")
"""
    done = await pretend(context, code, stall_s=2.0, output=output).finish()
    assert (done.exit_code, done.last.out_s) == (0, 2.0)


async def test_an_ffmpeg_that_has_closed_its_output_but_does_not_end_is_stopped(
    context: LocalTaskContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "_DRAIN_S", 0.05)
    code = "import os; tell(1, 'end'); os.close(1); time.sleep(1000)"
    with pytest.raises(TransientFailure, match="was stopped"):
        await pretend(context, code, stall_s=0.3).finish()
    assert has_ended(context)


async def test_cancelling_stops_the_child(context: LocalTaskContext) -> None:
    moved = asyncio.Event()
    run = pretend(context, "tell(1); time.sleep(1000)", on_progress=lambda _: moved.set())
    finishing = asyncio.create_task(run.finish())
    async with asyncio.timeout(DEADLINE_S):
        await moved.wait()
    finishing.cancel()
    await asyncio.wait([finishing])
    assert finishing.cancelled()
    assert has_ended(context)


async def test_a_fault_of_the_one_who_listens_stops_the_child(context: LocalTaskContext) -> None:
    def fail(_: Position) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await pretend(context, "tell(1); time.sleep(1000)", on_progress=fail).finish()
    assert has_ended(context)
