"""Children without a network: made where the system permits it, and said why not where it does not."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests_support.contained import contained_children

from mediafleet.node import isolation
from mediafleet.node.containment import Containment
from mediafleet.node.isolation import Isolation, isolate

CALL = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])), 5).close()"
LOOK = "import socket; print(*(name for _, name in socket.if_nameindex()))"
PATIENCE_S = 20


@pytest.fixture
def made() -> Iterator[Isolation]:
    with closing(isolate()) as made:
        if not made.is_on:
            pytest.skip(f"children keep the network here: {made.reason}")
        yield made


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def run(code: str, *words: str, made: Isolation | None = None) -> subprocess.CompletedProcess[str]:
    hook = made.hook() if made else None
    command = [sys.executable, "-I", "-c", code, *words]
    return subprocess.run(command, preexec_fn=hook, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def test_a_child_reaches_nobody_not_even_this_machine(made: Isolation, listening: socket.socket) -> None:
    port = str(listening.getsockname()[1])
    assert run(CALL, port).returncode == 0
    refused = run(CALL, port, made=made)
    assert refused.returncode == 1
    assert "OSError" in refused.stderr or "unreachable" in refused.stderr
    assert run(LOOK, made=made).stdout.split() == ["lo"]


async def test_a_child_that_a_node_starts_reaches_nobody(
    made: Isolation, listening: socket.socket, tmp_path: Path
) -> None:
    """All the way of a node: its launcher, and what contains its children."""
    words = [sys.executable, "-I", "-c", CALL, str(listening.getsockname()[1])]
    codes: list[int] = []
    for containment in (Containment(), Containment(isolation=made)):
        async with contained_children(tmp_path, containment=containment) as children:
            child = await children.start(words)
            codes.append(await child.wait())
    assert codes == [0, 1]


def test_files_keep_their_owner(made: Isolation, tmp_path: Path) -> None:
    code = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text('x')"
    assert run(code, str(tmp_path / "made"), made=made).returncode == 0
    assert (tmp_path / "made").stat().st_uid == os.geteuid()


def test_a_child_holds_no_way_back(made: Isolation) -> None:
    """With a descriptor of the outer namespace it could leave the inner one."""
    code = "import os; print(*(os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd') if n > '2'))"
    assert "net:" not in run("import contextlib\n" + code.replace("print(", "print(''); print("), made=made).stdout
    inherited = [os.get_inheritable(number) for number in made.namespaces]
    assert not any(inherited)


def test_closing_gives_the_descriptors_back(made: Isolation) -> None:
    again = isolate()
    again.close()
    for number in again.namespaces:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(number)


def test_a_namespace_that_cannot_be_entered_starts_no_child(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("namespaces are Linux")
    with (tmp_path / "file").open("wb") as file:
        hook = Isolation((file.fileno(),)).hook()
        with pytest.raises(subprocess.SubprocessError):
            subprocess.run([sys.executable, "-c", ""], preexec_fn=hook, check=False)


def test_without_the_rights_of_a_superuser_a_user_namespace_is_used(listening: socket.socket) -> None:
    """As most nodes run; here the right over networks is taken away from a process of its own."""
    setpriv = shutil.which("setpriv")
    if sys.platform != "linux" or setpriv is None or os.geteuid() != 0:
        pytest.skip("needs root on Linux and setpriv of util-linux")
    code = f"""
import subprocess, sys
from mediafleet.node.isolation import isolate
made = isolate()
print(len(made.namespaces), made.reason)
done = subprocess.run([sys.executable, "-I", "-c", {CALL!r}, sys.argv[1]], preexec_fn=made.hook(), stderr=-1)
print(done.returncode)
"""
    port = str(listening.getsockname()[1])
    words = [setpriv, "--bounding-set=-sys_admin", sys.executable, "-c", code, port]
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    count, *said = done.stdout.split()
    if count == "0":
        pytest.skip(f"this system permits no user namespaces: {' '.join(said)}")
    assert (count, said) == ("2", ["1"])


@pytest.mark.parametrize("answer", ["Operation not permitted", ""])
def test_a_system_that_forbids_it_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    script = tmp_path / "maker.py"
    script.write_text(f"print({answer!r})")
    monkeypatch.setattr(isolation, "_SCRIPT", script)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(isolation, "_PROFILE", tmp_path / "no profile")
    made = isolate()
    assert not made.is_on
    assert made.reason == f"this system permits no user and network namespaces ({answer or 'no answer'})"
    profile = tmp_path / "profile"
    profile.write_text("1\n")
    monkeypatch.setattr(isolation, "_PROFILE", profile)
    assert isolate().reason.endswith("; kernel.apparmor_restrict_unprivileged_userns is 1)")


def test_a_maker_that_is_gone_at_once_leaves_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says that it has one, and ends before the node could open it."""
    script = tmp_path / "maker.py"
    script.write_text("import os, sys; sys.stdout.write('user\\n'); sys.stdout.flush()")
    monkeypatch.setattr(isolation, "_SCRIPT", script)
    monkeypatch.setattr(sys, "platform", "linux")
    made = isolate()
    # Whichever was faster: the namespaces of a maker that made none are the node's own, and cannot be entered.
    assert not made.is_on
    assert made.reason


def test_other_systems_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert isolate() == Isolation(reason="only Linux can take it away")
    Isolation().hook()()
