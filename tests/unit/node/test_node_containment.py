"""What a child may take: limits that it really meets, and the words for them."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from tests_support.contained import contained_children

from mediafleet.domain.errors import ConfigError
from mediafleet.node import containment
from mediafleet.node.containment import Containment, choose_limits, contain, describe
from mediafleet.node.isolation import Isolation
from mediafleet.ops.settings import NodeSettings

GIB = 1 << 30
SETTINGS = NodeSettings(child_isolation="off")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="memory and the order of reads are limited on Linux only")


async def run(
    code: str, folder: Path, settings: NodeSettings = SETTINGS, *, limits: dict[int, int] | None = None
) -> tuple[int, str]:
    """Run Python as a contained child; return its exit code and its first line."""
    made = contain(settings)
    if limits is not None:
        made = replace(made, limits=limits)
    async with contained_children(folder, containment=made) as children:
        child = await children.start([sys.executable, "-I", "-c", code])
        line = (await child.read_line()).decode().strip()
        return await child.wait(), line or child.errors()


LIMITS: Sequence[tuple[str, int, int]] = [
    ("RLIMIT_CORE", 0, 0),
    ("RLIMIT_FSIZE", 1024 * GIB, 1024 * GIB),
    ("RLIMIT_CPU", 720 * 3600, 720 * 3600 + 5),
    ("RLIMIT_NOFILE", 1024, 1024),
]


@pytest.mark.parametrize(("name", "soft", "hard"), LIMITS)
async def test_a_child_runs_within_the_limits(tmp_path: Path, name: str, soft: int, hard: int) -> None:
    code, said = await run(f"import resource; print(*resource.getrlimit(resource.{name}))", tmp_path)
    assert (code, said) == (0, f"{soft} {hard}")


async def test_nought_is_no_limit(tmp_path: Path) -> None:
    free = replace(SETTINGS, child_file_gib=0, child_cpu_hours=0, child_open_files=0, child_memory_percent=0)
    assert choose_limits(free, memory_bytes=8 * GIB, platform="linux") == {resource.RLIMIT_CORE: 0}
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    _, said = await run("import resource; print(*resource.getrlimit(resource.RLIMIT_FSIZE))", tmp_path, free)
    assert said == f"{before[0]} {before[1]}"


@pytest.mark.parametrize(
    ("gib", "percent", "platform", "expected"),
    [
        (64, 90, "linux", 64 * GIB * 90 // 100),
        # A small machine swaps rather than fails: what is counted is not what is used.
        (2, 90, "linux", 8 * GIB),
        (64, 0, "linux", None),
        (64, 90, "darwin", None),
    ],
)
def test_memory_is_a_share_of_the_machines(gib: int, percent: int, platform: str, expected: int | None) -> None:
    wanted = replace(SETTINGS, child_memory_percent=percent)
    limits = choose_limits(wanted, memory_bytes=gib * GIB, platform=platform)
    assert limits.get(resource.RLIMIT_DATA) == expected


@on_linux
async def test_memory_beyond_the_limit_is_not_given(tmp_path: Path) -> None:
    code, said = await run("bytearray(1 << 30)", tmp_path, limits={resource.RLIMIT_DATA: 512 << 20})
    assert code == 1
    assert "MemoryError" in said


async def test_a_file_grows_no_further_than_allowed(tmp_path: Path) -> None:
    write = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_DFL); open('f', 'wb', 0).write(bytes(2 << 20))"
    code, _ = await run(write + "; open('f', 'ab', 0).write(b'x')", tmp_path, limits={resource.RLIMIT_FSIZE: 1 << 20})
    assert code == -signal.SIGXFSZ
    assert (tmp_path / "f").stat().st_size == 1 << 20


async def test_a_loop_without_end_has_one(tmp_path: Path) -> None:
    code, _ = await run("while True: pass", tmp_path, limits={resource.RLIMIT_CPU: 1})
    assert code == -signal.SIGXCPU


def test_what_this_process_may_not_exceed_its_children_do_not_either(monkeypatch: pytest.MonkeyPatch) -> None:
    def small(_: int) -> tuple[int, int]:
        return 10, 100

    monkeypatch.setattr(resource, "getrlimit", small)
    assert containment._lowered(resource.RLIMIT_NOFILE, 1024) == (100, 100)
    assert containment._lowered(resource.RLIMIT_CPU, 98) == (98, 100)
    assert containment._lowered(resource.RLIMIT_CPU, 50) == (50, 55)


async def test_a_child_stands_back_as_far_as_was_set(tmp_path: Path) -> None:
    _, said = await run("import os; print(os.nice(0))", tmp_path, replace(SETTINGS, child_nice=7))
    assert said == str(os.nice(0) + 7)


@on_linux
@pytest.mark.parametrize(("io", "kind", "level"), [("low", "IOPRIO_CLASS_BE", 7), ("idle", "IOPRIO_CLASS_IDLE", 0)])
async def test_its_turn_at_the_disk_is_set(tmp_path: Path, io: str, kind: str, level: int) -> None:
    made = Containment(io=io)
    async with contained_children(tmp_path, containment=made) as children:
        child = await children.start(["sleep", "1000"])
        told = psutil.Process(child.pid).ionice()
        assert (told.ioclass, told.value) == (getattr(psutil, kind), level)


def test_a_child_that_has_ended_already_is_left_alone() -> None:
    Containment(io="idle").settle(2**22 - 1)
    Containment(io="normal").settle(os.getpid())


def test_a_node_that_must_isolate_does_not_start_where_it_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    def isolate_nothing() -> Isolation:
        return Isolation(reason="it is forbidden here")

    monkeypatch.setattr(containment, "isolate", isolate_nothing)
    with pytest.raises(ConfigError, match="children keep the network: it is forbidden here"):
        contain(replace(SETTINGS, child_isolation="required"))
    assert contain(replace(SETTINGS, child_isolation="auto")).isolation.reason == "it is forbidden here"
    assert contain(SETTINGS).isolation.reason == "node.child_isolation is off"


def test_the_limits_are_told_in_a_line() -> None:
    limits = choose_limits(SETTINGS, memory_bytes=10 * GIB, platform="linux")
    assert describe(Containment(limits), platform="linux") == (
        "20 GiB of memory, 1024 GiB a file, 720 hours of processor time, 1024 open files, no core dumps"
    )
    assert describe(Containment(), platform="darwin") == (
        "memory cannot be limited on this system, files of any size, any time of the processor, any number of open files, "
        "no core dumps"
    )
