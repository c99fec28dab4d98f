"""Children of a node: real processes, real signals."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from mediafleet.domain.errors import TransientFailure
from mediafleet.kinds.last_words import TAIL_BYTES
from mediafleet.node import processes
from mediafleet.node.guard import DeathSignal, Guard, Watchdog, choose_guard
from mediafleet.node.processes import Children, Launcher

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

DEADLINE_S = 20.0
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/home/somebody", "LANG": "C.UTF-8", "SECRET": "token"}


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with suppress(OSError):
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    return True


def is_zombie(pid: int) -> bool:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


def open_descriptors() -> list[Path]:
    return list(Path("/dev/fd").iterdir())


async def until(claim: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not claim():  # noqa: ASYNC110 - another process sets no event of ours
            await asyncio.sleep(0.01)


@pytest.fixture(params=[choose_guard, Watchdog])
def guard(request: pytest.FixtureRequest) -> Generator[Guard]:
    made = request.param()
    yield made
    made.close()


@asynccontextmanager
async def family(guard: Guard, folder: Path, *, grace_s: float = 5.0) -> AsyncGenerator[Children]:
    async with Launcher(guard, environment=ENVIRONMENT, grace_s=grace_s).children(folder) as children:
        yield children


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", code]


async def test_a_child_gets_a_clean_environment_and_the_workspace(guard: Guard, tmp_path: Path) -> None:
    code = "import os, sys; print(sorted(os.environ.items())); print(os.getcwd()); print(repr(sys.stdin.read()))"
    async with family(guard, tmp_path) as children:
        child = await children.start(["env"])
        lines = {await child.read_line() for _ in range(4)}
        assert lines == {
            f"PATH={ENVIRONMENT['PATH']}\n".encode(),
            b"HOME=/home/somebody\n",
            b"LANG=C.UTF-8\n",
            f"TMPDIR={tmp_path}\n".encode(),
        }
        assert await child.read_line() == b""
        other = await children.start(python(code))
        await other.read_line()
        assert await other.read_line() == f"{tmp_path}\n".encode()
        assert await other.read_line() == b"''\n"
        assert await other.wait() == 0


async def test_a_child_leads_a_group_of_its_own(guard: Guard, tmp_path: Path) -> None:
    async with family(guard, tmp_path) as children:
        child = await children.start(["sleep", "1000"])
        assert os.getpgid(child.pid) == child.pid
        assert os.getsid(child.pid) == child.pid


async def test_arguments_are_never_read_by_a_shell(guard: Guard, tmp_path: Path) -> None:
    async with family(guard, tmp_path) as children:
        child = await children.start(["echo", "$HOME; `id` 'ü\n"])
        assert await child.read_line() == "$HOME; `id` 'ü\n".encode()


async def test_a_program_that_is_not_there_is_an_error_of_ours(guard: Guard, tmp_path: Path) -> None:
    async with family(guard, tmp_path) as children:
        for arguments in (["no-such-program"], [str(tmp_path)], ["echo", "a\0b"]):
            with pytest.raises(TransientFailure, match="could not be started"):
                await children.start(arguments)


async def test_output_written_before_the_end_is_readable_after_it(guard: Guard, tmp_path: Path) -> None:
    async with family(guard, tmp_path) as children:
        child = await children.start(["printf", "one\\ntwo"])
        assert await child.wait() == 0
        assert [await child.read_line() for _ in range(3)] == [b"one\n", b"two", b""]


async def test_an_endless_line_comes_in_pieces(guard: Guard, tmp_path: Path) -> None:
    size = 3 * 1024 * 1024
    async with family(guard, tmp_path) as children:
        child = await children.start(python(f"print('x' * {size})"))
        total = 0
        while piece := await child.read_line():
            total += len(piece)
        assert total == size + 1


async def test_only_the_tail_of_standard_error_is_kept(guard: Guard, tmp_path: Path) -> None:
    async with family(guard, tmp_path) as children:
        child = await children.start(python("import sys; sys.stderr.write('a' * 1_000_000 + 'the end')"))
        assert await child.wait() == 0
        assert len(child.errors()) == TAIL_BYTES
        assert child.errors().endswith("athe end")


async def test_the_exit_code_tells_the_signal_and_stays(guard: Guard, tmp_path: Path) -> None:
    async with family(guard, tmp_path) as children:
        child = await children.start(["sleep", "1000"])
        os.kill(child.pid, signal.SIGKILL)
        assert await child.wait() == -signal.SIGKILL
        assert await child.stop() == -signal.SIGKILL
        assert await (await children.start(["false"])).wait() == 1


async def test_cancelling_a_wait_leaves_the_child_running(guard: Guard, tmp_path: Path) -> None:
    async with family(guard, tmp_path) as children:
        child = await children.start(["sleep", "1000"])
        waiting = asyncio.create_task(child.wait())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert is_alive(child.pid)
        assert await child.stop() == -signal.SIGTERM


async def test_a_child_that_ignores_the_request_is_killed_after_its_grace(guard: Guard, tmp_path: Path) -> None:
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); signal.pause()"
    async with family(guard, tmp_path, grace_s=0.1) as children:
        child = await children.start(python(code))
        assert await child.read_line() == b"ready\n"
        assert await child.stop() == -signal.SIGKILL


async def test_a_child_may_finish_cleanly_within_its_grace(guard: Guard, tmp_path: Path) -> None:
    code = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); print('ready', flush=True); signal.pause()"
    async with family(guard, tmp_path) as children:
        child = await children.start(python(code))
        await child.read_line()
        assert await child.stop() == 7


async def test_a_variable_that_the_node_has_not_is_not_made_up(tmp_path: Path) -> None:
    launcher = Launcher(choose_guard(), environment={"PATH": os.environ["PATH"]}, grace_s=1)
    async with launcher.children(tmp_path) as children:
        child = await children.start(["env"])
        assert {await child.read_line() for _ in range(3)} == {
            f"PATH={os.environ['PATH']}\n".encode(),
            f"TMPDIR={tmp_path}\n".encode(),
            b"",
        }


async def test_standard_error_that_is_no_text_is_still_shown(guard: Guard, tmp_path: Path) -> None:
    async with family(guard, tmp_path) as children:
        child = await children.start(python(r"import sys; sys.stderr.buffer.write(b'caf\xe9')"))
        assert await child.wait() == 0
        assert child.errors() == "caf\N{REPLACEMENT CHARACTER}"


async def test_last_words_are_kept_of_a_child_that_ends_before_its_pipes_are_connected(
    guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect: Any = processes._connect
    note_exit = processes.Child._set_exit
    ended = asyncio.Event()

    async def connect_late(*pipe: Any) -> Any:
        await ended.wait()
        return await connect(*pipe)

    monkeypatch.setattr(processes, "_connect", connect_late)

    def note_and_tell(child: processes.Child, code: int) -> None:
        note_exit(child, code)
        ended.set()

    monkeypatch.setattr(processes.Child, "_set_exit", note_and_tell)
    async with family(guard, tmp_path) as children:
        child = await children.start(python("import sys; sys.exit('no such codec')"))
        assert await child.wait() == 1
        assert child.errors() == "no such codec\n"


async def test_the_end_is_told_though_a_stranger_holds_standard_error_open(
    guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A grandchild in a session of its own is no part of the group and may live on."""
    monkeypatch.setattr(processes, "_DRAIN_S", 0.05)
    code = (
        "import os, time; reader, writer = os.pipe(); os.fork() and os.read(reader, 1) or "
        "(os.setsid(), print(os.getpid(), flush=True), os.write(writer, b'x'), time.sleep(1000))"
    )
    async with family(guard, tmp_path) as children:
        child = await children.start(python(code))
        stranger = int(await child.read_line())
        assert await child.wait() == 0
        assert is_alive(stranger)
        os.kill(stranger, signal.SIGKILL)


async def test_stopping_asks_the_whole_group(guard: Guard, tmp_path: Path) -> None:
    """A wrapper script passes no signal on by itself."""
    async with family(guard, tmp_path) as children:
        child = await children.start(["sh", "-c", "sleep 1000 & echo $!; wait"])
        grandchild = int(await child.read_line())
        assert await child.stop() == -signal.SIGTERM
        await until(lambda: not is_alive(grandchild))


async def test_stopping_twice_at_once_is_one_end(guard: Guard, tmp_path: Path) -> None:
    async with family(guard, tmp_path) as children:
        child = await children.start(["sleep", "1000"])
        assert await asyncio.gather(child.stop(), child.stop(), child.wait()) == [-signal.SIGTERM] * 3


async def test_a_start_that_is_cancelled_leaves_no_child(guard: Guard, tmp_path: Path) -> None:
    async with family(guard, tmp_path) as children:
        starting = asyncio.create_task(children.start(["sleep", "1000"]))
        await asyncio.sleep(0)
        starting.cancel()
        await asyncio.wait([starting])
        assert starting.cancelled()
        (child,) = children._started
        assert is_alive(child.pid)
    assert not is_alive(child.pid)


async def test_a_child_that_could_not_be_started_is_none_to_stop(guard: Guard, tmp_path: Path) -> None:
    async with family(guard, tmp_path) as children:
        with pytest.raises(TransientFailure, match="'no-such-program'"):
            await children.start(["no-such-program"])
        assert children._started == []


async def test_a_child_that_resists_sigkill_is_given_up_and_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hangs in the kernel, on a share that is gone: here its end is only learnt of late."""
    gate = threading.Event()
    reap = processes._reap

    def reap_late(process: subprocess.Popen[bytes]) -> int:
        assert gate.wait(DEADLINE_S)
        return reap(process)

    for name in ("_DRAIN_S", "_KILL_S"):
        monkeypatch.setattr(processes, name, 0.01)
    monkeypatch.setattr(processes, "_reap", reap_late)
    with capture_logs() as said:
        async with family(choose_guard(), tmp_path, grace_s=0.01) as children:
            child = await children.start(["true"])
            assert await child.read_line() == b"", "it has ended by itself"
    assert [(line["event"], line["pid"]) for line in said] == [
        ("child process resists SIGKILL and is given up", child.pid)
    ]
    gate.set()
    assert await child.wait() == 0


@pytest.mark.parametrize("end", ["normal", "error", "cancel"])
async def test_all_children_end_with_their_task(end: str, guard: Guard, tmp_path: Path) -> None:
    pids: list[int] = []
    ready = asyncio.Event()

    async def work() -> None:
        async with family(guard, tmp_path) as children:
            pids.extend([(await children.start(["sleep", "1000"])).pid for _ in range(3)])
            ready.set()
            if end == "error":
                raise ZeroDivisionError
            if end == "cancel":
                await asyncio.Event().wait()

    working = asyncio.create_task(work())
    await ready.wait()
    if end == "cancel":
        working.cancel()
    await asyncio.wait([working])
    assert working.cancelled() == (end == "cancel")
    assert not any(map(is_alive, pids))


async def test_grandchildren_go_with_the_child(guard: Guard, tmp_path: Path) -> None:
    """A wrapper that ends and leaves a process of its group behind."""
    async with family(guard, tmp_path) as children:
        child = await children.start(["sh", "-c", "sleep 1000 & echo $!"])
        grandchild = int(await child.read_line())
        assert await child.wait() == 0
        await until(lambda: not is_alive(grandchild))


async def test_nothing_is_left_open(guard: Guard, tmp_path: Path) -> None:
    """Neither descriptors nor zombies, whatever number of children there were."""
    async with family(guard, tmp_path) as children:
        await (await children.start(["true"])).wait()
    await asyncio.sleep(0)
    before = len(open_descriptors())
    async with family(guard, tmp_path) as children:
        started = [await children.start(["true"]) for _ in range(5)]
        for child in started:
            await child.wait()
    await asyncio.sleep(0)
    assert len(open_descriptors()) == before
    assert all(not is_zombie(child.pid) for child in started)


# --- guards --------------------------------------------------------------------------------

STARTER = """
import subprocess, sys
from mediafleet.node.guard import {guard}
guard = {guard}()
children = [
    subprocess.Popen(["sleep", "1000"], start_new_session=True, preexec_fn=guard.hook(), stdout=subprocess.DEVNULL)
    for _ in range(2)
]
children[1].kill()
children[1].wait()
guard.forget(children[1].pid)
print(children[0].pid, getattr(getattr(guard, "_process", None), "pid", 0), flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            "DeathSignal", marks=pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux")
        ),
        "Watchdog",
    ],
)
async def test_kill_9_of_the_parent_kills_the_child(name: str) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", STARTER.format(guard=name), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert parent.stdout
    child, watchdog = map(int, (await parent.stdout.readline()).split())
    assert is_alive(child)
    if watchdog:
        # Ctrl-C reaches every process of a terminal: the watchdog must outlive it.
        os.kill(watchdog, signal.SIGINT)
        os.kill(watchdog, signal.SIGTERM)
    parent.kill()
    await parent.wait()
    await until(lambda: not is_alive(child))
    await until(lambda: not watchdog or not is_alive(watchdog))


def test_a_child_whose_parent_died_before_the_tie_ends_itself() -> None:
    """The race of PR_SET_PDEATHSIG: no signal will ever come, so the hook looks for itself."""
    if sys.platform != "linux":
        pytest.skip("PR_SET_PDEATHSIG is Linux")
    hook = DeathSignal().hook()
    child = os.fork()
    if child == 0:
        grandchild = os.fork()
        if grandchild == 0:
            hook()
            os._exit(0)
        _, status = os.waitpid(grandchild, 0)
        os._exit(os.waitstatus_to_exitcode(status))
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 127
