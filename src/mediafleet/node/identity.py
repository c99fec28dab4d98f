"""Who a node is: an id that lasts as long as its data directory, and an incarnation for each start."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import structlog

from mediafleet.domain.errors import DataDirectoryInUse
from mediafleet.domain.ids import is_id, new_node_id, new_token
from mediafleet.node.durable import write_durably

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Identity:
    """One start of one node."""

    node: str
    incarnation: str
    """Random, new at each start: what an earlier start ran is known to be dead."""


class _Record(msgspec.Struct, frozen=True):
    node: str


@contextmanager
def claim_identity(data: Path, *, cell: str, host: str) -> Generator[Identity]:
    """Hold the data directory for one agent and yield who it is.

    Args:
        data: Made if it is not there.
        cell: Goes into the id of a new node.
        host: Shown name, goes into the id of a new node.

    Raises:
        DataDirectoryInUse: Another agent runs on the directory. The lock ends with the process,
            also on `kill -9`.
    """
    data.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(data / "node.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            # A lock of the kernel and not a file with a process number:
            # that would outlive `kill -9` and name a stranger.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataDirectoryInUse(
                f"Another node already runs on {data}; stop it, or give this one its own directory with --data."
            ) from None
        yield Identity(_load_node_id(data, cell=cell, host=host), new_token())
    finally:
        # Gives the lock back. The file stays: removing it would let two agents lock two files of one name.
        os.close(descriptor)


def _load_node_id(data: Path, *, cell: str, host: str) -> str:
    path = data / "node.json"
    try:
        record = msgspec.json.decode(path.read_bytes(), type=_Record)
    except FileNotFoundError:
        return _new_node_id(path, cell=cell, host=host)
    except msgspec.DecodeError as error:
        _log.warning("node.json is unreadable; the node gets a new id", path=str(path), reason=str(error))
        return _new_node_id(path, cell=cell, host=host)
    # Somebody may have edited the file, and the id becomes part of keys in the store.
    return record.node if is_id(record.node, "n") else _new_node_id(path, cell=cell, host=host)


def _new_node_id(path: Path, *, cell: str, host: str) -> str:
    node = new_node_id(cell, host)
    write_durably(path, msgspec.json.encode(_Record(node)))
    return node
