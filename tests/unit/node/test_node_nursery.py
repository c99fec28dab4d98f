"""Children forked from prepared interpreters: they are the node's own, and bound as all its children are."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from mediafleet.node import nursery as module
from mediafleet.node.containment import Containment
from mediafleet.node.guard import DeathSignal
from mediafleet.node.isolation import isolate
from mediafleet.node.processes import Child, Children, Launcher

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

if sys.platform != "linux":
    pytest.skip("only Linux lets a child be forked for somebody else", allow_module_level=True)

DEADLINE_S = 20.0
ENVIRONMENT = {"PATH": os.environ["PATH"], "SECRET": "token"}

TELL = """
import json, os, random, resource, signal, sys, threading, time
PREPARED = os.getpid()
line = sys.stdin.readline()
if line:
    ran = []
    thread = threading.Thread(target=lambda: ran.append(threading.get_native_id()))
    thread.start()
    thread.join()
    print(json.dumps({
        "words": json.loads(line), "prepared": PREPARED, "parent": os.getppid(), "pid": os.getpid(),
        "session": os.getsid(0), "group": os.getpgrp(), "folder": os.getcwd(), "environment": dict(os.environ),
        "files": resource.getrlimit(resource.RLIMIT_NOFILE), "network": os.readlink("/proc/self/ns/net"),
        "open": sorted(os.listdir("/proc/self/fd"), key=int)[:-1], "thread": ran != [] and ran[0] != os.getpid(),
        "nice": os.nice(0), "chance": random.random(), "isolated": sys.flags.isolated, "argv": sys.argv,
        "main": threading.get_native_id(), "libc": ~(time.pthread_getcpuclockid(threading.get_ident()) >> 3), "rest": sys.stdin.read(),
    }))
"""
DO = """
import os, signal, sys, time
what = sys.stdin.readline()
if what:
    exec(eval(what)[0])
"""


async def until(claim: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not claim():  # noqa: ASYNC110 - another process sets no event of ours
            await asyncio.sleep(0.01)


def is_alive(pid: int) -> bool:
    with suppress(psutil.Error):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def family() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


def own_network() -> str:
    return str(Path("/proc/self/ns/net").readlink())


def write(folder: Path, code: str) -> Path:
    path = folder / "script.py"
    path.write_text(code)
    return path


@asynccontextmanager
async def ready(
    folder: Path, script: Path, containment: Containment | None = None, *, spares: int = 1
) -> AsyncGenerator[tuple[Launcher, Children]]:
    """Yield the children of a task, when a spare of the script waits."""
    launcher = Launcher(
        DeathSignal(), environment=ENVIRONMENT, grace_s=5, containment=containment or Containment(), spares=spares
    )
    async with launcher.spares, launcher.children(folder) as children:
        launcher.spares.prepare([script])
        await until(lambda: len(launcher.spares.pids) == spares)
        yield launcher, children


async def answer(child: Child) -> dict[str, Any]:
    async with asyncio.timeout(DEADLINE_S):
        line = await child.read_line()
        assert await child.wait() == 0, child.errors()
    return json.loads(line)


async def do(children: Children, script: Path, what: str) -> Child:
    return await children.start_script(script, [what])


async def test_a_script_is_prepared_once_and_every_child_of_it_is_the_nodes_own(tmp_path: Path) -> None:
    script = write(tmp_path, TELL)
    async with ready(tmp_path, script) as (launcher, children):
        told = [await answer(await children.start_script(script, [f"{number}"])) for number in range(4)]
        assert {one["prepared"] for one in told} == {launcher.spares.nurseries[script]}
    assert [one["words"] for one in told] == [["0"], ["1"], ["2"], ["3"]]
    assert {one["parent"] for one in told} == {os.getpid()}
    assert len({one["pid"] for one in told}) == 4
    for one in told:
        assert one["session"] == one["group"] == one["main"] == one["libc"] == one["pid"]
        assert one["thread"]
    # Whatever was drawn by lot before the fork is drawn anew.
    assert len({one["chance"] for one in told}) == 4


async def test_the_end_leaves_no_child_that_was_under_way(tmp_path: Path) -> None:
    script = write(tmp_path, TELL)
    before = family()
    for turns in range(20):
        async with ready(tmp_path, script) as (launcher, children):
            asked = asyncio.create_task(children.start_script(script, ["x"]))
            asked_again = asyncio.create_task(children.start_script(script, ["y"]))
            # At another moment of the fork each time.
            for _ in range(turns):
                await asyncio.sleep(0)
            asked.cancel()
            asked_again.cancel()
            await launcher.spares.close()
        await asyncio.wait([asked, asked_again])
        assert family() <= before


async def test_a_child_is_bound_as_one_that_was_started(tmp_path: Path) -> None:
    script = write(tmp_path, TELL)
    with closing(isolate()) as isolation:
        limits = Containment({resource.RLIMIT_NOFILE: 99}, nice=3, isolation=isolation)
        async with ready(tmp_path, script, limits) as (_, children):
            forked = await answer(await children.start_script(script, ["x"]))
        started = Launcher(DeathSignal(), environment=ENVIRONMENT, grace_s=5, containment=limits)
        async with started.children(tmp_path) as children:
            anew = await answer(await children.start_script(script, ["x"]))
        assert (forked["network"] != own_network()) == isolation.is_on
        own = {"prepared", "pid", "session", "group", "chance", "main", "libc", "network"}
        assert {name: forked[name] for name in forked.keys() - own} == {name: anew[name] for name in anew.keys() - own}
        assert forked["network"] == anew["network"]
    assert forked["files"] == [99, 99]
    assert forked["open"] == ["0", "1", "2"]
    assert forked["environment"].keys() - {"LC_CTYPE"} == {"PATH"}


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("sys.exit(7)", 7),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        # libc signals the thread by the number that it knows of it, which is another since the fork.
        ("os.abort()", -signal.SIGABRT),
        ("import ctypes; ctypes.string_at(0)", -signal.SIGSEGV),
        ("1 / 0", 1),
    ],
)
async def test_how_a_child_ended_is_known(what: str, code: int, tmp_path: Path) -> None:
    script = write(tmp_path, DO)
    async with ready(tmp_path, script, Containment({resource.RLIMIT_CORE: 0})) as (launcher, children):
        nursery = launcher.spares.nurseries[script]
        child = await do(children, script, what)
        assert await child.wait() == code
        assert ("ZeroDivisionError" in child.errors()) == (code == 1)
        # And the next one knows nothing of it.
        assert await (await do(children, script, "pass")).wait() == 0
        assert launcher.spares.nurseries == {script: nursery}


async def test_processor_time_is_counted_for_each_child(tmp_path: Path) -> None:
    script = write(tmp_path, DO)
    busy = "began = time.process_time()\nwhile time.process_time() - began < 0.7: pass"
    async with ready(tmp_path, script, Containment({resource.RLIMIT_CPU: 1})) as (_, children):
        # Together more than one of them may take.
        for _ in range(2):
            assert await (await do(children, script, busy)).wait() == 0
        assert await (await do(children, script, "while True: pass")).wait() == -signal.SIGXCPU


async def test_what_a_child_leaves_in_its_group_ends_with_it(tmp_path: Path) -> None:
    script = write(tmp_path, DO)
    what = "pid = os.fork()\nif pid == 0: time.sleep(1000)\nprint(pid, flush=True)"
    async with ready(tmp_path, script) as (_, children):
        child = await do(children, script, what)
        left = int(await child.read_line())
        assert await child.wait() == 0
        await until(lambda: not is_alive(left))


async def test_the_prepared_interpreter_learns_nothing_of_what_its_children_do(tmp_path: Path) -> None:
    """Neither does it hold any of their descriptors."""
    secret = "film-" + os.urandom(8).hex()
    script = write(tmp_path, TELL)
    async with ready(tmp_path, script) as (launcher, children):
        nursery = launcher.spares.nurseries[script]
        before = os.listdir(f"/proc/{nursery}/fd")
        for _ in range(3):
            assert (await answer(await children.start_script(script, [secret])))["words"] == [secret]
            await until(lambda: len(launcher.spares.pids) == 1)
        assert os.listdir(f"/proc/{nursery}/fd") == before
        assert holds(nursery, b"PREPARED")
        assert not holds(nursery, secret.encode())


def holds(pid: int, word: bytes) -> bool:
    """Tell whether a word is anywhere in what a process has written to its memory."""
    with Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights, *_ = line.split()
            if rights.startswith("rw") and "[v" not in line:
                begin, end = (int(place, 16) for place in span.split("-"))
                memory.seek(begin)
                if word in memory.read(end - begin):
                    return True
    return False


async def test_a_nursery_that_is_killed_takes_nobody_along_and_is_started_again(tmp_path: Path) -> None:
    script = write(tmp_path, DO)
    async with ready(tmp_path, script) as (launcher, children):
        child = await do(children, script, "print('began', flush=True); time.sleep(1000)")
        assert await child.read_line() == b"began\n"
        killed = launcher.spares.nurseries[script]
        os.kill(killed, signal.SIGKILL)
        await until(lambda: script not in launcher.spares.nurseries)
        assert is_alive(child.pid)
        # The spare that waited, if there was time to fork it, and then one of a new nursery.
        for _ in range(3):
            assert await (await do(children, script, "pass")).wait() == 0
        assert launcher.spares.nurseries[script] != killed
        assert await child.stop() == -signal.SIGTERM


async def test_a_nursery_that_is_killed_in_the_middle_of_a_fork_costs_no_task(tmp_path: Path) -> None:
    script = write(tmp_path, DO)
    async with ready(tmp_path, script) as (launcher, children):
        nursery = launcher.spares.nurseries[script]
        os.kill(nursery, signal.SIGSTOP)
        # The first takes the spare; for the second there is none, and the nursery does not answer.
        first = await do(children, script, "pass")
        second = asyncio.create_task(do(children, script, "print('here')"))
        await until(lambda: launcher.spares._nurseries and launcher.spares._nurseries._open[script]._orders)
        os.kill(nursery, signal.SIGKILL)
        async with asyncio.timeout(DEADLINE_S):
            assert await (await second).read_line() == b"here\n"
        assert await first.wait() == 0


async def test_a_nursery_that_hangs_is_ended_and_costs_no_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = write(tmp_path, DO)
    async with ready(tmp_path, script) as (launcher, children):
        monkeypatch.setattr(module, "_PATIENCE_S", 0.1)
        nursery = launcher.spares.nurseries[script]
        os.kill(nursery, signal.SIGSTOP)
        for _ in range(2):
            assert await (await do(children, script, "pass")).wait() == 0
        os.kill(nursery, signal.SIGCONT)
        await until(lambda: not is_alive(nursery))


def keep(_: Path) -> None:
    """End nothing."""


async def test_a_child_that_is_born_too_late_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = write(tmp_path, DO)
    async with ready(tmp_path, script) as (launcher, children):
        nurseries, nursery = launcher.spares._nurseries, launcher.spares.nurseries[script]
        assert nurseries
        monkeypatch.setattr(module, "_PATIENCE_S", 0.1)
        # It would be ended for that; here it answers in the very moment.
        monkeypatch.setattr(nurseries, "retire", keep)
        os.kill(nursery, signal.SIGSTOP)
        for _ in range(2):
            assert await (await do(children, script, "pass")).wait() == 0
        waiting = nurseries._open[script]._orders
        assert waiting
        monkeypatch.undo()
        os.kill(nursery, signal.SIGCONT)
        await until(lambda: not waiting and len(launcher.spares.pids) == 1)
        await until(lambda: {one for one in family() if is_child_of(one, script)} == {nursery, *launcher.spares.pids})


async def test_a_start_that_is_cancelled_leaves_no_child(tmp_path: Path) -> None:
    script = write(tmp_path, DO)
    before = family()
    async with ready(tmp_path, script) as (launcher, children):
        nursery = launcher.spares.nurseries[script]
        os.kill(nursery, signal.SIGSTOP)
        await (await do(children, script, "pass")).wait()
        starting = asyncio.create_task(do(children, script, "pass"))
        await until(lambda: launcher.spares._nurseries and launcher.spares._nurseries._open[script]._orders)
        starting.cancel()
        await asyncio.wait([starting])
        assert starting.cancelled()
        await launcher.spares.close()
        os.kill(nursery, signal.SIGCONT) if is_alive(nursery) else None
    assert family() == before


async def test_a_child_that_is_born_after_a_cancel_is_ended(tmp_path: Path) -> None:
    script = write(tmp_path, DO)
    async with ready(tmp_path, script, spares=1) as (launcher, children):
        nursery = launcher.spares.nurseries[script]
        await (await do(children, script, "pass")).wait()
        os.kill(nursery, signal.SIGSTOP)
        # Whatever waits now is taken, so that the last one has to be born.
        while launcher.spares.pids:
            await (await do(children, script, "pass")).wait()
        starting = asyncio.create_task(do(children, script, "pass"))
        nurseries = launcher.spares._nurseries
        assert nurseries
        await until(lambda: nurseries._open[script]._orders)
        starting.cancel()
        await asyncio.wait([starting])
        os.kill(nursery, signal.SIGCONT)
        await until(lambda: not nurseries._open[script]._orders)
        # All that are left are the nursery and what waits on its shelf.
        await until(lambda: len(launcher.spares.pids) == 1)
        await until(lambda: {one for one in family() if is_child_of(one, script)} == {nursery, *launcher.spares.pids})


def is_child_of(pid: int, script: Path) -> bool:
    with suppress(psutil.Error):
        return str(script) in psutil.Process(pid).cmdline()
    return False


@pytest.mark.parametrize(
    "code",
    [
        "import threading, time; threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\n" + TELL,
        TELL.replace("sys.stdin.readline()", "sys.stdin.buffer.readline()"),
        TELL.replace("sys.stdin.readline()", "os.fdopen(0).readline()").replace("sys.stdin.read()", "''"),
    ],
    ids=["threads", "buffer", "descriptor"],
)
async def test_a_script_that_cannot_be_forked_is_started_as_before(code: str, tmp_path: Path) -> None:
    script = write(tmp_path, code)
    async with ready(tmp_path, script) as (launcher, children):
        told = await answer(await children.start_script(script, ["x"]))
        assert told["words"] == ["x"]
        assert told["prepared"] == told["pid"]
        assert launcher.spares.nurseries == {}


async def test_a_system_without_such_a_fork_starts_children_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unfit = tmp_path / "unfit.py"
    unfit.write_text(
        f"import runpy, sys; sys.path.insert(0, {str(Path(module.__file__).parent)!r})\n"
        "import os; os.uname = lambda: type('U', (), {'machine': 'vax'})\n"
        "runpy.run_module('_nursery', run_name='__main__')\n"
    )
    monkeypatch.setattr(module, "_SCRIPT", unfit)
    script = write(tmp_path, TELL)
    async with ready(tmp_path, script) as (launcher, children):
        told = await answer(await children.start_script(script, ["x"]))
        assert told["prepared"] == told["pid"]
        assert launcher.spares.nurseries == {}


async def test_the_end_of_a_node_is_the_end_of_its_nurseries(tmp_path: Path) -> None:
    script = write(tmp_path, DO)
    async with ready(tmp_path, script) as (launcher, _):
        nursery = launcher.spares.nurseries[script]
    assert not is_alive(nursery)


NODE = """
import asyncio, os, sys
from pathlib import Path
from mediafleet.node.guard import DeathSignal
from mediafleet.node.processes import Launcher

async def main():
    script = Path({script!r})
    launcher = Launcher(DeathSignal(), environment=os.environ, grace_s=5, spares=2)
    async with launcher.spares, launcher.children(Path("/")) as children:
        launcher.spares.prepare([script])
        while len(launcher.spares.pids) < 2:
            await asyncio.sleep(0.01)
        child = await children.start_script(script, ["print('began', flush=True)\\nwhile True: signal.pause()"])
        await child.read_line()
        print(child.pid, *launcher.spares.nurseries.values(), *launcher.spares.pids, flush=True)
        await asyncio.sleep(1000)

asyncio.run(main())
"""


def test_kill_9_of_the_node_leaves_neither_nursery_nor_child(tmp_path: Path) -> None:
    code = NODE.format(script=str(write(tmp_path, DO)))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as node:
        pids = [int(word) for word in node.stdout.readline().split()] if node.stdout else []
        node.kill()
    assert len(pids) >= 3
    asyncio.run(until(lambda: not any(map(is_alive, pids))))
