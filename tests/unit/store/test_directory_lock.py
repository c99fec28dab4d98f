"""One live process a data directory, whatever became of the last one."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mediafleet.domain.errors import ConfigError, DataDirectoryInUse
from mediafleet.store.directory_lock import DirectoryLock

HOLD = """
import sys
from pathlib import Path
from mediafleet.store.directory_lock import DirectoryLock
with DirectoryLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold_elsewhere(directory: Path) -> subprocess.Popen[str]:
    """Start a process that holds the directory until its input is closed; return once it does."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_the_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    with DirectoryLock(tmp_path / "new" / "data"):
        assert (tmp_path / "new" / "data").stat().st_mode & 0o777 == 0o700
        assert (tmp_path / "new" / "data" / "lock").stat().st_mode & 0o777 == 0o600


def test_the_lock_names_its_holder(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("99999999999999 and more of an older holder\n")
    with DirectoryLock(tmp_path):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_another_process_is_told_which_one_to_stop(tmp_path: Path) -> None:
    with hold_elsewhere(tmp_path) as holder:
        with pytest.raises(DataDirectoryInUse) as refused, DirectoryLock(tmp_path):
            pass
        expected = f"{tmp_path} is in use by process {holder.pid}; stop that process, or choose another data directory with --data."
        assert refused.value.message == expected
        holder.communicate("")


def test_a_holder_that_was_killed_leaves_no_lock(tmp_path: Path) -> None:
    with hold_elsewhere(tmp_path) as holder:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    with DirectoryLock(tmp_path):
        pass


def test_a_refused_process_does_not_rename_the_holder(tmp_path: Path) -> None:
    with DirectoryLock(tmp_path):
        for _ in range(2):
            with pytest.raises(DataDirectoryInUse, match=f"process {os.getpid()};"), DirectoryLock(tmp_path):
                pass


def test_a_holder_that_has_not_written_its_name_yet_is_unknown(tmp_path: Path) -> None:
    with DirectoryLock(tmp_path):
        os.truncate(tmp_path / "lock", 0)
        with pytest.raises(DataDirectoryInUse, match="process unknown"), DirectoryLock(tmp_path):
            pass


def test_the_lock_ends_with_its_block_also_after_an_error_and_can_be_taken_again(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path)
    with pytest.raises(ZeroDivisionError), lock:
        raise ZeroDivisionError
    with lock, pytest.raises(DataDirectoryInUse), DirectoryLock(tmp_path):
        pass


def test_the_file_of_the_lock_stays_so_that_nobody_locks_a_second_one(tmp_path: Path) -> None:
    with DirectoryLock(tmp_path):
        inode = (tmp_path / "lock").stat().st_ino
    with DirectoryLock(tmp_path):
        assert (tmp_path / "lock").stat().st_ino == inode


def test_a_child_process_does_not_inherit_the_lock(tmp_path: Path) -> None:
    program = [sys.executable, "-c", "print('runs', flush=True); input()"]
    with DirectoryLock(tmp_path):
        child = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=False, text=True)
        assert child.stdout is not None
        # The kernel closes what is not inherited only while the new program is loaded.
        assert child.stdout.readline() == "runs\n"
    with DirectoryLock(tmp_path):
        assert child.poll() is None
    child.communicate("\n")


@pytest.mark.parametrize("obstacle", ["data", "data/lock"])
def test_a_place_that_cannot_be_a_data_directory_is_named_with_the_reason(tmp_path: Path, obstacle: str) -> None:
    path = tmp_path / obstacle
    path.parent.mkdir(exist_ok=True)
    if obstacle == "data":
        path.write_text("a file")
    else:
        path.mkdir()
    with pytest.raises(ConfigError, match=r"data cannot be used as data directory \(.+\); choose a local folder"):
        DirectoryLock(tmp_path / "data").__enter__()


def test_a_full_disk_is_a_sentence_and_leaves_no_lock(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        with pytest.raises(ConfigError, match="cannot be used as data directory"):
            DirectoryLock(tmp_path).__enter__()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with DirectoryLock(tmp_path):
        pass
