"""The local context is a real context: it runs children, moves files and records what it was told."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.errors import NotFound
from mediafleet.testing import (
    LocalChildProcess,
    LocalDetectContext,
    LocalTaskContext,
    Report,
    make_clip,
    ref_to,
    run_ffmpeg,
)


def context_in(folder: Path) -> LocalTaskContext:
    source = folder / "in put.bin"
    source.write_bytes(b"abc")
    return LocalTaskContext.for_file(source, folder=folder / "work", kind="some", params={"a": 1})


async def test_an_input_is_read_in_place(tmp_path: Path) -> None:
    context = context_in(tmp_path)
    assert (context.spec.kind, context.spec.params) == ("some", {"a": 1})
    assert await context.fetch(context.spec.inputs[0]) == tmp_path / "in put.bin"


@pytest.mark.parametrize("uri", ["", "file:///nowhere/at/all", "http://127.0.0.1/x"])
async def test_an_input_that_is_not_there_is_not_found(tmp_path: Path, uri: str) -> None:
    with pytest.raises(NotFound):
        await context_in(tmp_path).fetch(ArtifactRef(id="a0-x", name="x", uri=uri))


async def test_publishing_moves_the_file(tmp_path: Path) -> None:
    context = context_in(tmp_path)
    made = context.workspace / "made"
    made.write_bytes(b"result")
    ref = await context.publish(made, name="out.bin")
    assert not made.exists()
    assert context.published["out.bin"].read_bytes() == b"result"
    assert (ref.name, ref.size) == ("out.bin", 6)
    assert await context.fetch(ref) == context.published["out.bin"]


def test_reports_are_kept_and_told(tmp_path: Path) -> None:
    context = context_in(tmp_path)
    told: list[Report] = []
    context.on_report = told.append
    context.report(0.0, stage="one")
    context.report(0.5, stage="two", speed=2.0, eta_ms=10)
    context.report(1.0, stage="two")
    assert context.stages == ["one", "two"]
    assert told == context.reports
    assert told[1] == Report(0.5, "two", 2.0, 10)


async def test_a_child_is_read_line_by_line(tmp_path: Path) -> None:
    code = "import sys; print('one'); print('two'); print('oh', file=sys.stderr); sys.exit(3)"
    child = await context_in(tmp_path).start_process([sys.executable, "-c", code])
    assert [await child.read_line() for _ in range(3)] == [b"one\n", b"two\n", b""]
    assert await child.wait() == 3
    assert child.errors() == "oh\n"
    assert await child.stop() == 3


async def test_a_child_has_no_input_and_a_clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FFREPORT", "file=/tmp/never")
    code = "import os, sys; print('FFREPORT' in os.environ, repr(sys.stdin.read()))"
    child = await LocalChildProcess.start([sys.executable, "-c", code], tmp_path)
    assert await child.read_line() == b"False ''\n"
    await child.wait()


async def test_stopping_ends_a_child_that_does_not_listen_and_its_children(tmp_path: Path) -> None:
    code = (
        "import signal, subprocess, sys\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "kid = subprocess.Popen(['sleep', '600'])\nprint(kid.pid, flush=True)\nkid.wait()"
    )
    child = await LocalChildProcess.start([sys.executable, "-c", code], tmp_path)
    kid = int(await child.read_line())
    assert await child.stop() < 0
    async with asyncio.timeout(10):
        # The pipe closes when the last member of the group is gone.
        assert await child.read_line() == b""
        while _is_alive(kid):  # noqa: ASYNC110 - a foreign process has no event to wait for
            await asyncio.sleep(0)


def _is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


async def test_a_clip_may_have_any_name(tmp_path: Path) -> None:
    clip = await make_clip(tmp_path / "-a b%03d\nü.mp4", seconds=0.2)
    assert clip.stat().st_size > 1000
    assert ref_to(clip).name == clip.name


async def test_a_refusal_of_ffmpeg_is_told(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="could not make"):
        await run_ffmpeg(["-f", "lavfi", "-i", "nonsense"], tmp_path / "x.mp4")


def test_cleaning_leaves_the_outputs(tmp_path: Path) -> None:
    context = context_in(tmp_path)
    context.outputs.mkdir()
    context.clean()
    assert not context.workspace.exists()
    assert context.outputs.exists()


async def test_detection_remembers_what_it_found_and_runs_programs_in_its_folder(tmp_path: Path) -> None:
    context = LocalDetectContext(tmp_path)
    assert context.recall("version") is None
    context.remember("version", "7.1")
    child = await context.start_process([sys.executable, "-c", "import os; print(os.getcwd())"])
    assert await child.read_line() == f"{tmp_path}\n".encode()
    assert await child.wait() == 0
    assert (context.workspace, context.started) == (tmp_path, [child])
    assert LocalDetectContext(tmp_path, memory=context.memory).recall("version") == "7.1"


async def test_only_the_end_of_what_a_child_complains_of_is_kept(tmp_path: Path) -> None:
    code = "import sys; sys.stderr.write('a' * 100_000 + 'the end')"
    child = await LocalChildProcess.start([sys.executable, "-c", code], tmp_path)
    assert await child.wait() == 0
    assert (len(child.errors()), child.errors()[-7:]) == (16 * 1024, "the end")


async def test_a_child_ends_politely_where_it_listens(tmp_path: Path) -> None:
    code = "import signal\nsignal.signal(signal.SIGTERM, lambda *_: exit(7))\nprint('up', flush=True)\nsignal.pause()"
    child = await LocalChildProcess.start([sys.executable, "-c", code], tmp_path)
    assert await child.read_line() == b"up\n"
    assert await child.stop() == 7


async def test_a_clip_may_be_silent(tmp_path: Path) -> None:
    silent = await make_clip(tmp_path / "silent.mp4", seconds=0.2, sound=False)
    loud = await make_clip(tmp_path / "loud.mp4", seconds=0.2)
    assert b"mp4a" not in silent.read_bytes()
    assert b"mp4a" in loud.read_bytes()
