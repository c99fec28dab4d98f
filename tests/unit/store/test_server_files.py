"""The private server's socket has a path that fits, and only that server's process is ever found again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.store.server_files import (
    LONGEST_SOCKET_PATH,
    ServerRecord,
    choose_socket,
    discard_socket,
    find_process,
    read_record,
    write_record,
)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files of the test's own."""
    folder = tmp_path / "t"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives until the test ends it."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def folder_of_length(socket_length: int) -> Path:
    return Path("/" + "d" * (socket_length - len("//redis.sock")))


def test_a_path_of_exactly_the_longest_length_is_used_as_it_is() -> None:
    folder = folder_of_length(LONGEST_SOCKET_PATH)
    assert choose_socket(folder) == folder / "redis.sock"
    assert len(str(choose_socket(folder))) == LONGEST_SOCKET_PATH


def test_a_path_one_longer_moves_to_a_private_short_folder(temporary: Path) -> None:
    socket = choose_socket(folder_of_length(LONGEST_SOCKET_PATH + 1))
    assert len(os.fsencode(socket)) <= LONGEST_SOCKET_PATH
    assert socket.parent.stat().st_mode & 0o777 == 0o700
    discard_socket(socket, folder_of_length(LONGEST_SOCKET_PATH + 1))
    assert not socket.parent.exists()


def test_bytes_count_not_letters(temporary: Path) -> None:
    folder = Path("/" + "ä" * 60)
    assert len(str(folder / "redis.sock")) < LONGEST_SOCKET_PATH
    socket = choose_socket(folder)
    assert socket.parent != folder
    discard_socket(socket, folder)


def test_a_folder_for_temporary_files_that_is_itself_too_long_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("deep" * 25)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    socket = choose_socket(deep)
    assert len(os.fsencode(socket)) <= LONGEST_SOCKET_PATH
    discard_socket(socket, deep)
    assert not socket.parent.exists()


def test_discarding_leaves_the_data_beside_the_socket_alone(tmp_path: Path) -> None:
    """Also where somebody called the data directory like one of ours."""
    directory = tmp_path / "mediafleet-data"
    directory.mkdir()
    (directory / "redis.sock").touch()
    (directory / "appendonly.aof").touch()
    discard_socket(directory / "redis.sock", directory)
    assert [path.name for path in directory.iterdir()] == ["appendonly.aof"]


def test_a_folder_that_was_not_made_for_a_socket_is_never_removed(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    discard_socket(tmp_path / "redis.sock", tmp_path / "elsewhere")
    assert (tmp_path / "precious").exists()


def test_discarding_twice_is_fine(temporary: Path) -> None:
    socket = choose_socket(folder_of_length(LONGEST_SOCKET_PATH + 1))
    for _ in range(2):
        discard_socket(socket, Path("/d"))


def test_a_running_server_is_found_by_its_record(tmp_path: Path, child: subprocess.Popen[bytes]) -> None:
    write_record(tmp_path / "redis.pid", pid=child.pid, socket=tmp_path / "redis.sock")
    record = read_record(tmp_path / "redis.pid")
    assert record is not None
    assert record.socket == str(tmp_path / "redis.sock")
    found = find_process(record)
    assert found is not None
    assert found.pid == child.pid


def test_a_record_is_written_whole_or_not_at_all(tmp_path: Path, child: subprocess.Popen[bytes]) -> None:
    record = tmp_path / "redis.pid"
    record.write_text("an older record that is much longer than the new one will be" * 9)
    write_record(record, pid=child.pid, socket=tmp_path)
    assert read_record(record) is not None
    assert os.listdir(tmp_path) == ["redis.pid"]


def test_a_server_that_ended_before_it_was_noted_leaves_the_old_record(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with pytest.raises(psutil.NoSuchProcess):
        write_record(tmp_path / "redis.pid", pid=ended.pid, socket=tmp_path)
    assert os.listdir(tmp_path) == []


@given(st.binary())
def test_a_record_of_any_bytes_is_no_obstacle(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "redis.pid"
    path.write_bytes(content)
    assert read_record(path) is None


@pytest.mark.parametrize(
    "content", [b'{"pid":1,"started_s":1.0,"socket":"\xff"}', b'{"pid":"1","started_s":1.0,"socket":""}', b'{"pid":1}']
)
def test_a_record_that_is_almost_right_is_as_good_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "redis.pid").write_bytes(content)
    assert read_record(tmp_path / "redis.pid") is None


def test_no_record_is_none(tmp_path: Path) -> None:
    assert read_record(tmp_path / "redis.pid") is None


@pytest.mark.parametrize("shift", [-60.0, -2.5, 2.5, 60.0])
def test_a_process_with_that_pid_but_another_start_is_somebody_else(
    child: subprocess.Popen[bytes], shift: float
) -> None:
    started = psutil.Process(child.pid).create_time()
    assert find_process(ServerRecord(child.pid, started + shift, "")) is None


@pytest.mark.parametrize("shift", [-1.5, 0.0, 1.5])
def test_a_clock_that_was_set_a_little_does_not_hide_the_server(child: subprocess.Popen[bytes], shift: float) -> None:
    started = psutil.Process(child.pid).create_time()
    assert find_process(ServerRecord(child.pid, started + shift, "")) is not None


def test_a_server_that_ended_but_was_not_waited_for_counts_as_gone(child: subprocess.Popen[bytes]) -> None:
    process = psutil.Process(child.pid)
    record = ServerRecord(child.pid, process.create_time(), "")
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process.status() == psutil.STATUS_ZOMBIE
    assert find_process(record) is None


@pytest.mark.parametrize("pid", [-1, 2**22 + 1, 2**80])
def test_a_pid_that_cannot_be_is_nobody(pid: int) -> None:
    assert find_process(ServerRecord(pid, 0.0, "")) is None
