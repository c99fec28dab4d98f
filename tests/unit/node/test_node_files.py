"""What a node keeps on disk: its id, its outbox, its workspaces."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.domain.errors import DataDirectoryInUse, ErrorInfo
from mediafleet.domain.frames import Outcome
from mediafleet.domain.ids import is_id
from mediafleet.domain.plan import TaskResult
from mediafleet.node.durable import write_durably
from mediafleet.node.identity import claim_identity
from mediafleet.node.outbox import Outbox
from mediafleet.node.workspace import Workspaces, _retry_with_permission, remove_tree

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


# --- durable files -------------------------------------------------------------------------


def test_a_failed_write_leaves_the_old_content_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_durably(path, b"old")
    with pytest.raises(TypeError):
        write_durably(path, None)  # pyright: ignore[reportArgumentType] - the fault is the point
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.json"]


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
