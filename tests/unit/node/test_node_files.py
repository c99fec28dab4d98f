"""What a node keeps on disk: its id, its outbox, its workspaces."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from node_samples import DEADLINE_S
from structlog.testing import capture_logs

from mediafleet.domain.errors import DataDirectoryInUse, ErrorInfo
from mediafleet.domain.frames import Outcome
from mediafleet.domain.ids import is_id
from mediafleet.domain.plan import TaskResult
from mediafleet.node import outbox as outbox_module
from mediafleet.node import workspace as workspace_module
from mediafleet.node.durable import write_durably
from mediafleet.node.identity import claim_identity
from mediafleet.node.outbox import Outbox
from mediafleet.node.workspace import Workspaces, _retry_with_permission, remove_tree

HOLD = """
import sys
from pathlib import Path
from mediafleet.node.identity import claim_identity
with claim_identity(Path(sys.argv[1]), cell="0", host="a"):
    print("held", flush=True)
    sys.stdin.read()
"""
IDLE = "import signal; print('idle', flush=True); signal.pause()"
OUTCOME = Outcome("j0-x.a", "grant/../with%odd", result=TaskResult({"n": 1}))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- identity ------------------------------------------------------------------------------


def test_the_id_stays_and_the_incarnation_changes(tmp_path: Path) -> None:
    with claim_identity(tmp_path / "new", cell="7", host="Büro-PC") as first:
        assert is_id(first.node, "n")
        assert first.node.startswith("n7-b-ro-pc-")
    with claim_identity(tmp_path / "new", cell="7", host="renamed") as second:
        assert second.node == first.node
        assert second.incarnation != first.incarnation


def test_a_second_agent_on_the_directory_is_refused(tmp_path: Path) -> None:
    with (
        claim_identity(tmp_path, cell="0", host="a"),
        pytest.raises(DataDirectoryInUse, match="--data"),
        claim_identity(tmp_path, cell="0", host="a"),
    ):
        pass


@pytest.mark.parametrize("content", [b"", b"{", b'{"node": "../x"}', b"\xff"])
def test_an_unreadable_identity_is_replaced(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "node.json").write_bytes(content)
    with claim_identity(tmp_path, cell="0", host="a") as identity:
        assert is_id(identity.node, "n")
    with claim_identity(tmp_path, cell="0", host="a") as again:
        assert again.node == identity.node


def test_the_lock_ends_with_its_process_even_on_kill_9(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdin
    assert holder.stdout
    with holder.stdin, holder.stdout:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(DataDirectoryInUse), claim_identity(tmp_path, cell="0", host="a"):
            pass
        holder.kill()
        holder.wait()
    with claim_identity(tmp_path, cell="0", host="a"):
        pass


def test_a_child_that_outlives_its_node_does_not_keep_the_directory(tmp_path: Path) -> None:
    with claim_identity(tmp_path, cell="0", host="a"):
        child = subprocess.Popen([sys.executable, "-c", IDLE], close_fds=False, stdout=subprocess.PIPE)
        assert child.stdout
        with child.stdout:
            # The kernel closes what must not be inherited only while the child begins its new program.
            assert child.stdout.readline() == b"idle\n"
    try:
        with claim_identity(tmp_path, cell="0", host="a"):
            pass
    finally:
        child.kill()
        child.wait()


def test_a_failure_gives_the_directory_back(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), claim_identity(tmp_path, cell="0", host="a"):
        raise ZeroDivisionError
    with claim_identity(tmp_path, cell="0", host="a"):
        pass


def test_two_nodes_of_one_name_are_two_nodes(tmp_path: Path) -> None:
    with (
        claim_identity(tmp_path / "a", cell="0", host="studio") as one,
        claim_identity(tmp_path / "b", cell="0", host="studio") as other,
    ):
        assert one.node != other.node


def test_a_directory_of_a_node_of_a_later_version_keeps_its_id(tmp_path: Path) -> None:
    """A field that this version does not know is no reason to become somebody else."""
    with claim_identity(tmp_path, cell="0", host="a") as first:
        (tmp_path / "node.json").write_text(f'{{"node": "{first.node}", "colour": "blue"}}')
    with claim_identity(tmp_path, cell="0", host="a") as second:
        assert second.node == first.node


# --- durable files -------------------------------------------------------------------------


def test_a_failed_write_leaves_the_old_content_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_durably(path, b"old")
    with pytest.raises(TypeError):
        write_durably(path, None)  # pyright: ignore[reportArgumentType] - the fault is the point
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.json"]


def test_a_write_replaces_the_file_for_readers_that_have_it_open(tmp_path: Path) -> None:
    """They go on with what they opened, and never see half of both."""
    path = tmp_path / "a.json"
    write_durably(path, b"old and long")
    with path.open("rb") as reader:
        write_durably(path, b"new")
        assert reader.read() == b"old and long"
    assert path.read_bytes() == b"new"


def test_a_leftover_of_a_killed_writer_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "a.json.tmp").write_bytes(b"half of something longer")
    write_durably(tmp_path / "a.json", b"whole")
    assert names(tmp_path) == ["a.json"]
    assert (tmp_path / "a.json").read_bytes() == b"whole"


def test_both_the_bytes_and_the_name_are_on_the_disk_before_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[bool, bool]] = []

    def note(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        synced.append((is_folder, (tmp_path / "a.json").exists()))

    monkeypatch.setattr(os, "fsync", note)
    write_durably(tmp_path / "a.json", b"x")
    assert synced == [(False, False), (True, True)]


# --- outbox --------------------------------------------------------------------------------


async def test_outcomes_survive_until_they_are_removed(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    failed = Outcome("j0-x.b", "g2", error=ErrorInfo("task-failed", "No."))
    await outbox.put(OUTCOME)
    await outbox.put(failed)
    assert Outbox(tmp_path).load() == [OUTCOME, failed]
    outbox.remove(OUTCOME.grant)
    outbox.remove("never kept")
    assert Outbox(tmp_path).load() == [failed]


async def test_an_outcome_confirmed_while_it_is_written_is_not_left_behind(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    writing = asyncio.create_task(outbox.put(OUTCOME))
    await asyncio.sleep(0)
    outbox.remove(OUTCOME.grant)
    await writing
    assert names(tmp_path) == []


async def test_a_restarted_outbox_can_remove_what_it_loaded(tmp_path: Path) -> None:
    await Outbox(tmp_path).put(OUTCOME)
    outbox = Outbox(tmp_path)
    outbox.load()
    outbox.remove(OUTCOME.grant)
    assert names(tmp_path) == []


async def test_outcomes_of_an_earlier_start_come_oldest_first(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outcomes = [Outcome("j0-x.a", grant, cancelled=True) for grant in ("g1", "g2", "g3", "g4")]
    for age, outcome in enumerate(outcomes):
        await outbox.put(outcome)
        os.utime(outbox._path(outcome.grant), ns=(0, 1_000 - age))
    assert Outbox(tmp_path).load() == outcomes[::-1]


async def test_a_second_outcome_of_a_grant_takes_the_place_of_the_first(tmp_path: Path) -> None:
    outbox, later = Outbox(tmp_path), Outcome("j0-x.a", OUTCOME.grant, cancelled=True)
    await outbox.put(OUTCOME)
    await outbox.put(later)
    assert Outbox(tmp_path).load() == [later]


async def test_what_was_set_aside_is_not_looked_at_again(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_bytes(b"{")
    (tmp_path / "folder.json").mkdir()
    with capture_logs() as said:
        assert Outbox(tmp_path).load() == []
        assert Outbox(tmp_path).load() == []
    assert len(said) == 2
    assert names(tmp_path) == ["bad.corrupt", "folder.corrupt"]


async def test_an_outcome_is_written_to_its_end_though_the_one_who_asked_is_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, gate, done = threading.Event(), threading.Event(), threading.Event()

    def write_slowly(path: Path, content: bytes) -> None:
        begun.set()
        assert gate.wait(DEADLINE_S)
        write_durably(path, content)
        done.set()

    monkeypatch.setattr(outbox_module, "write_durably", write_slowly)
    putting = asyncio.create_task(Outbox(tmp_path).put(OUTCOME))
    assert await asyncio.to_thread(begun.wait, DEADLINE_S)
    putting.cancel()
    await asyncio.wait([putting])
    gate.set()
    assert await asyncio.to_thread(done.wait, DEADLINE_S)
    assert Outbox(tmp_path).load() == [OUTCOME]


@pytest.mark.parametrize("content", [b"", b'{"task": "t"', b"[]", b"\xff\xfe"])
async def test_a_corrupt_file_is_set_aside_and_hides_no_other(content: bytes, tmp_path: Path) -> None:
    await Outbox(tmp_path).put(OUTCOME)
    (tmp_path / "bad.json").write_bytes(content)
    (tmp_path / "half.json.tmp").write_bytes(b"{")
    assert Outbox(tmp_path).load() == [OUTCOME]
    assert "bad.corrupt" in names(tmp_path)
    assert not any(name.endswith(".tmp") for name in names(tmp_path))


async def test_a_disk_that_refuses_does_not_stop_delivery(tmp_path: Path) -> None:
    folder = tmp_path / "outbox"
    outbox = Outbox(folder)
    folder.rmdir()
    await outbox.put(OUTCOME)
    outbox.remove(OUTCOME.grant)


@given(st.text(max_size=50), st.text(min_size=1, max_size=300))
def test_any_grant_makes_a_safe_file_name(task: str, grant: str) -> None:
    path = Outbox(Path(os.devnull).parent)._path(grant)
    assert path.parent == Path(os.devnull).parent
    assert len(path.name) < 50


# --- workspaces ----------------------------------------------------------------------------


@pytest.fixture
def workspaces(tmp_path: Path) -> Workspaces:
    made = Workspaces(tmp_path / "work")
    made.sweep()
    return made


async def test_a_workspace_is_empty_its_own_and_gone_afterwards(workspaces: Workspaces, tmp_path: Path) -> None:
    async with workspaces.open("j0-x.a/../..") as first, workspaces.open("j0-x.a/../..") as second:
        assert first != second
        assert first.parent == second.parent == tmp_path / "work"
        assert names(first) == []
        (first / "deep").mkdir()
        (first / "deep" / "file").write_bytes(b"x")
    assert names(tmp_path / "work") == []


async def test_a_workspace_goes_also_on_error_and_cancel(workspaces: Workspaces, tmp_path: Path) -> None:
    entered = asyncio.Event()

    async def use() -> None:
        async with workspaces.open("a") as folder:
            (folder / "file").write_bytes(b"x")
            entered.set()
            await asyncio.Event().wait()

    using = asyncio.create_task(use())
    await entered.wait()
    using.cancel()
    await asyncio.wait([using])
    with pytest.raises(ZeroDivisionError):
        async with workspaces.open("b"):
            raise ZeroDivisionError
    assert names(tmp_path / "work") == []


@given(st.text(max_size=300))
def test_any_label_makes_one_folder_directly_below_the_root(label: str) -> None:
    async def use(root: Path) -> Path:
        workspaces = Workspaces(root)
        async with workspaces.open(label) as folder:
            assert folder.parent == root
            assert folder.stat().st_mode & 0o077 == 0
        return folder

    with tempfile.TemporaryDirectory() as root:
        folder = asyncio.run(use(Path(root)))
        assert not folder.exists()
    assert len(folder.name) <= 60 + 1 + 8
    assert folder.name.isascii()


async def test_removal_is_seen_through_though_it_is_cancelled(
    workspaces: Workspaces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, gate = threading.Event(), threading.Event()

    def remove_slowly(folder: Path) -> None:
        begun.set()
        assert gate.wait(DEADLINE_S)
        remove_tree(folder)

    async def use() -> None:
        async with workspaces.open("a"):
            pass

    monkeypatch.setattr(workspace_module, "remove_tree", remove_slowly)
    using = asyncio.create_task(use())
    assert await asyncio.to_thread(begun.wait, DEADLINE_S)
    using.cancel()
    gate.set()
    await asyncio.wait([using])
    assert names(tmp_path / "work") == []


def test_a_first_start_makes_the_folder_and_all_above_it(tmp_path: Path) -> None:
    Workspaces(tmp_path / "a" / "b").sweep()
    assert names(tmp_path / "a" / "b") == []


def test_removing_what_is_not_there_is_no_fault(tmp_path: Path) -> None:
    with capture_logs() as said:
        remove_tree(tmp_path / "gone")
    assert said == []


def test_a_start_sweeps_what_a_killed_node_left(tmp_path: Path) -> None:
    left = tmp_path / "work" / "j0-x.a-1-abc"
    left.mkdir(parents=True)
    (left / "half.mkv").write_bytes(b"x")
    Workspaces(tmp_path / "work").sweep()
    assert names(tmp_path / "work") == []


def test_folders_without_permission_and_links_are_removed_but_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(b"x")
    locked = tmp_path / "work" / "locked"
    locked.mkdir(parents=True)
    (locked / "file").write_bytes(b"x")
    (locked / "link").symlink_to(outside)
    locked.chmod(0o500)
    remove_tree(tmp_path / "work")
    assert names(tmp_path) == ["outside"]
    assert names(outside) == ["precious"]


def test_an_entry_that_resists_is_given_rights_and_removed_again(tmp_path: Path) -> None:
    """What `rmtree` calls for each entry it cannot remove; a test that runs as root never gets there by itself."""
    folder, file = tmp_path / "folder", tmp_path / "file"
    (folder / "inner").mkdir(parents=True)
    folder.chmod(0o000)
    file.write_bytes(b"x")
    _retry_with_permission(os.rmdir, str(folder), None)
    _retry_with_permission(os.unlink, str(file), None)
    _retry_with_permission(os.unlink, str(tmp_path / "gone"), None)
    assert names(tmp_path) == []
