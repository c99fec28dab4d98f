"""Children that wait for work: real interpreters, told on standard input what to do."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mediafleet.domain.errors import InvalidRequest, TransientFailure
from mediafleet.kinds.scripts import MOST_BYTES
from mediafleet.node import spares as module
from mediafleet.node.containment import Containment
from mediafleet.node.guard import DeathSignal, Guard, Watchdog, choose_guard
from mediafleet.node.processes import Child, Children, Launcher
from mediafleet.node.spares import Spares

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

DEADLINE_S = 20.0
ENVIRONMENT = {"PATH": os.environ["PATH"], "SECRET": "token"}


class HandClock:
    """Moves when the test says so."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def now_ms(self) -> int:
        return int(self.now_s * 1000)

    def monotonic(self) -> float:
        return self.now_s


TELL = """
import json, os, resource, sys
if line := sys.stdin.readline():
    print(json.dumps({
        "words": json.loads(line), "rest": sys.stdin.read(), "environment": dict(os.environ), "folder": os.getcwd(),
        "session": os.getsid(0), "files": resource.getrlimit(resource.RLIMIT_NOFILE)[0], "isolated": sys.flags.isolated,
    }))
"""


async def until(claim: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not claim():  # noqa: ASYNC110 - another process sets no event of ours
            await asyncio.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    return True


def await_death(pid: int) -> None:
    """Wait for the end of a child without a turn of the loop; who waits for it elsewhere may be faster."""
    with suppress(ChildProcessError):
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


@pytest.fixture(params=[choose_guard, Watchdog])
def guard(request: pytest.FixtureRequest) -> Generator[Guard]:
    made = request.param()
    yield made
    made.close()


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """A script that says that it works, and works for ever."""
    path = tmp_path / "endless.py"
    path.write_text("import signal, sys; sys.stdin.readline(); print('began', flush=True); signal.pause()")
    return path


@pytest.fixture
def stubborn(tmp_path: Path) -> Path:
    """A script that goes on after the end of its standard input: that is not what ends it."""
    path = tmp_path / "stubborn.py"
    path.write_text("import signal, sys\nsys.stdin.readline()\nwhile True: signal.pause()")
    return path


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "tell.py"
    path.write_text(TELL)
    return path


def make_launcher(guard: Guard, spares: int = 2) -> Launcher:
    limits = Containment({resource.RLIMIT_NOFILE: 99})
    return Launcher(guard, environment=ENVIRONMENT, grace_s=5, containment=limits, spares=spares)


@asynccontextmanager
async def ready(launcher: Launcher, script: Path, folder: Path) -> AsyncGenerator[Children]:
    """Yield the children of a task, when spares of the script wait."""
    async with launcher.spares, launcher.children(folder) as children:
        launcher.spares.prepare([script])
        await until(lambda: len(launcher.spares.pids) == 2)
        yield children


async def answer(child: Child) -> dict[str, Any]:
    async with asyncio.timeout(DEADLINE_S):
        line = await child.read_line()
        assert await child.wait() == 0, child.errors()
    return json.loads(line)


async def test_a_spare_is_told_its_arguments_and_nothing_else(guard: Guard, script: Path, tmp_path: Path) -> None:
    launcher = make_launcher(guard)
    words = ["/films/a b.mp4", "ü\n\udcff", ""]
    async with ready(launcher, script, tmp_path) as children:
        waiting = launcher.spares.pids
        child = await children.start_script(script, words)
        assert child.pid == waiting[0]
        told = await answer(child)
    assert told["words"] == words
    assert told["rest"] == ""


@pytest.mark.parametrize("spares", [0, 2])
async def test_a_spare_is_bound_as_any_child(guard: Guard, script: Path, tmp_path: Path, spares: int) -> None:
    """And the same holds where none waited."""
    launcher = make_launcher(guard, spares)
    async with launcher.spares, launcher.children(tmp_path) as children:
        launcher.spares.prepare([script])
        await until(lambda: len(launcher.spares.pids) == spares)
        child = await children.start_script(script, [])
        told = await answer(child)
    assert told["session"] == child.pid
    assert told["files"] == 99
    assert told["environment"].keys() - {"LC_CTYPE"} == {"PATH"}
    assert told["folder"] == "/"
    assert told["isolated"] == 1


async def test_each_serves_once_and_is_replaced(guard: Guard, script: Path, tmp_path: Path) -> None:
    launcher = make_launcher(guard)
    seen: list[int] = []
    async with ready(launcher, script, tmp_path) as children:
        for _ in range(3):
            waiting = launcher.spares.pids
            child = await children.start_script(script, [])
            seen.append(child.pid)
            await answer(child)
            assert child.pid in waiting
            assert child.pid not in launcher.spares.pids
            await until(lambda: len(launcher.spares.pids) == 2)
    assert len(set(seen)) == 3


async def test_spares_of_a_script_wait_after_its_first_use(guard: Guard, script: Path, tmp_path: Path) -> None:
    launcher = make_launcher(guard)
    async with launcher.spares, launcher.children(tmp_path) as children:
        assert launcher.spares.pids == []
        await answer(await children.start_script(script, []))
        await until(lambda: len(launcher.spares.pids) == 2)


async def test_without_the_block_nothing_waits(guard: Guard, script: Path, tmp_path: Path) -> None:
    launcher = make_launcher(guard)
    launcher.spares.prepare([script])
    async with launcher.children(tmp_path) as children:
        await answer(await children.start_script(script, []))
    assert launcher.spares.pids == []


async def test_a_spare_that_died_costs_nothing(guard: Guard, script: Path, tmp_path: Path) -> None:
    launcher = make_launcher(guard)
    async with ready(launcher, script, tmp_path) as children:
        first, second = launcher.spares.pids
        os.killpg(first, signal.SIGKILL)
        await until(lambda: launcher.spares.pids == [second])
        child = await children.start_script(script, ["x"])
        assert child.pid == second
        assert (await answer(child))["words"] == ["x"]


async def test_a_spare_whose_death_nobody_has_noticed_yet_costs_nothing(
    guard: Guard, script: Path, tmp_path: Path
) -> None:
    launcher = make_launcher(guard)
    async with ready(launcher, script, tmp_path) as children:
        dead = launcher.spares.pids
        for pid in dead:
            os.killpg(pid, signal.SIGKILL)
            await_death(pid)
        child = await children.start_script(script, ["x"])
        assert child.pid not in dead
        assert (await answer(child))["words"] == ["x"]


async def test_a_script_that_cannot_start_is_not_started_for_ever(guard: Guard, script: Path, tmp_path: Path) -> None:
    # It is tried once more where an interpreter is prepared to fork it.
    marks, tries = tmp_path / "marks", 2 + isinstance(guard, DeathSignal)
    marks.mkdir()
    broken = tmp_path / "broken.py"
    broken.write_text(f"import os; open({str(marks)!r} + '/' + str(os.getpid()), 'w').close(); raise SystemExit(1)")
    launcher = make_launcher(guard)
    async with launcher.spares:
        launcher.spares.prepare([broken])
        await until(lambda: len(list(marks.iterdir())) == tries and not launcher.spares.pids)
        # The keeper has been round again once these wait.
        launcher.spares.prepare([script])
        await until(lambda: len(launcher.spares.pids) == 2)
        assert len(list(marks.iterdir())) == tries


async def test_a_system_that_starts_no_child_is_asked_again_only_when_one_is_needed(script: Path) -> None:
    asked: list[Path] = []

    def refuse(path: Path) -> Child:
        asked.append(path)
        raise TransientFailure("No process can be started.")

    async with Spares(refuse, lambda _: None, most=2) as spares:
        spares.prepare([script])
        await until(lambda: asked)
        with pytest.raises(TransientFailure):
            await spares.start(script, b"[]\n", own=lambda _: None)
        assert asked == [script, script]


async def test_nobody_waits_for_a_script_that_nobody_uses(guard: Guard, script: Path) -> None:
    clock, launcher = HandClock(), make_launcher(guard)
    released: list[int] = []
    async with Spares(launcher.spares._spawn, released.append, most=2, clock=clock, idle_s=0.05) as spares:
        spares.prepare([script])
        await until(lambda: len(spares.pids) == 2)
        waiting = spares.pids
        clock.now_s += 1
        await until(lambda: not spares.pids)
        await until(lambda: sorted(released) == sorted(waiting))
        assert not any(map(is_alive, waiting))
        # Used again, they wait again.
        spares.prepare([script])
        await until(lambda: len(spares.pids) == 2)
    for pid in waiting:
        guard.forget(pid)


async def test_closing_ends_what_waits_and_leaves_what_works(guard: Guard, endless: Path, tmp_path: Path) -> None:
    launcher = make_launcher(guard)
    async with ready(launcher, endless, tmp_path) as children:
        child = await children.start_script(endless, [])
        assert await child.read_line() == b"began\n"
        left = launcher.spares.pids
        await launcher.spares.close()
        assert launcher.spares.pids == []
        assert not any(map(is_alive, left))
        assert is_alive(child.pid)
        # Work that still runs gets its children all the same, and nothing takes their place.
        other = await children.start_script(endless, [])
        assert await other.read_line() == b"began\n"
        assert launcher.spares.pids == []
    assert not is_alive(child.pid)
    assert not is_alive(other.pid)


async def test_a_spare_that_was_taken_ends_with_its_task(guard: Guard, endless: Path, tmp_path: Path) -> None:
    launcher = make_launcher(guard)
    async with launcher.spares:
        launcher.spares.prepare([endless])
        await until(lambda: len(launcher.spares.pids) == 2)
        async with launcher.children(tmp_path) as children:
            child = await children.start_script(endless, [])
        assert not is_alive(child.pid)
        assert child.pid not in launcher.spares.pids


async def test_a_line_that_no_pipe_takes_at_once_is_refused(guard: Guard, script: Path, tmp_path: Path) -> None:
    launcher = make_launcher(guard)
    async with ready(launcher, script, tmp_path) as children:
        with pytest.raises(InvalidRequest, match="arguments of a script"):
            await children.start_script(script, ["x" * MOST_BYTES])
        # The longest line is taken also by a script that is not reading yet.
        longest = ["x" * (MOST_BYTES - 5)]
        assert (await answer(await children.start_script(script, longest)))["words"] == longest


async def test_a_child_without_a_pipe_cannot_be_told(guard: Guard, tmp_path: Path) -> None:
    async with make_launcher(guard).children(tmp_path) as children:
        child = await children.start(["sleep", "1000"])
        with pytest.raises(BrokenPipeError):
            child.tell(b"x\n")


async def test_nothing_is_left_open(guard: Guard, script: Path, tmp_path: Path) -> None:
    def count() -> int:
        return len(list(Path("/dev/fd").iterdir()))

    launcher = make_launcher(guard)
    before = count()
    async with ready(launcher, script, tmp_path) as children:
        await answer(await children.start_script(script, []))
        os.killpg(launcher.spares.pids[0], signal.SIGKILL)
        await until(lambda: len(launcher.spares.pids) > 0)
    await until(lambda: count() == before)


NODE = """
import asyncio, os, sys
from pathlib import Path
from mediafleet.node.guard import DeathSignal, Watchdog
from mediafleet.node.processes import Launcher

async def main():
    launcher = Launcher({guard}(), environment=os.environ, grace_s=5, spares=2)
    async with launcher.spares:
        launcher.spares.prepare([Path({script!r})])
        while len(launcher.spares.pids) < 2:
            await asyncio.sleep(0.01)
        print(*launcher.spares.pids, flush=True)
        await asyncio.sleep(1000)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("DeathSignal", marks=pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux")),
        "Watchdog",
    ],
)
def test_kill_9_of_the_node_leaves_no_spare(name: str, stubborn: Path) -> None:
    code = NODE.format(guard=name, script=str(stubborn))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as node:
        pids = [int(word) for word in node.stdout.readline().split()] if node.stdout else []
        node.kill()
    assert len(pids) == 2
    asyncio.run(until(lambda: not any(map(is_alive, pids))))


async def test_the_end_of_a_node_is_the_end_of_its_spares(
    guard: Guard, script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in the middle of starting them."""
    monkeypatch.setattr(module, "REST_S", 0)
    launcher = make_launcher(guard)
    started: list[int] = []
    spawn = launcher.spares._spawn

    def note(path: Path) -> Child:
        child = spawn(path)
        started.append(child.pid)
        return child

    async with Spares(note, guard.forget, most=2) as spares:
        spares.prepare([script])
        await until(lambda: started)
    assert not any(map(is_alive, started))
