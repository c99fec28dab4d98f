"""Identifiers: every one carries its cell, so that any instance knows where a record lives.

Job, node, artifact and session ids are `<letter><cell>-<tail>`; the id of a task is `<job id>.<name>` and
the id of an executor `<node id>/<name>`, so both are deterministic.
"""

from __future__ import annotations

import base64
import os
import re
import secrets
from collections import deque
from contextlib import suppress

from mediafleet.domain.errors import InvalidRequest

DEFAULT_CELL = "0"
"""The cell of a fleet that has only one."""

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32, lower case: no i, l, o or u that people misread."""
_TAIL_LENGTH = 13
"""13 × 5 = 65 random bits: a million ids collide with odds of 1 in 37 million."""

_ID = re.compile(r"(?P<letter>[jnas])(?P<cell>[a-z0-9]{1,16})-(?P<tail>[A-Za-z0-9._-]{1,80})")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


_fresh: deque[bytes] = deque()
# What a child process takes must not be what its parent takes.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fresh.clear)


def _random_bits() -> bytes:
    """Return 128 random bits of the system's, each only once; safe from any thread."""
    # Fetched many at a time: a thousand jobs take thousands of them, and each fetch is a system call.
    while True:
        with suppress(IndexError):
            return _fresh.popleft()
        many = secrets.token_bytes(16 * 256)
        _fresh.extend(many[start : start + 16] for start in range(0, len(many), 16))


# Two letters at a time: bulk submissions make a thousand ids in one call.
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]


def _random_tail() -> str:
    # Random and not counted, so that any instance makes ids without asking the store.
    bits = int.from_bytes(_random_bits(), "big")
    return "".join([_PAIRS[(bits >> shift) & 1023] for shift in range(0, 70, 10)])[:_TAIL_LENGTH]


def new_job_id(cell: str) -> str:
    """Return a fresh job id of the cell."""
    return f"j{cell}-{_random_tail()}"


def new_artifact_id(cell: str) -> str:
    """Return a fresh artifact id of the cell."""
    return f"a{cell}-{_random_tail()}"


def new_session_id(cell: str) -> str:
    """Return a fresh id of a live session of the cell."""
    return f"s{cell}-{_random_tail()}"


def new_node_id(cell: str, host: str) -> str:
    """Return a fresh node id that shows the host's name."""
    readable = re.sub(r"[^a-z0-9]+", "-", host.lower()).strip("-")[:40] or "node"
    return f"n{cell}-{readable}-{_random_tail()[:6]}"


def new_token() -> str:
    """Return 128 random bits as text: a grant, an incarnation, an epoch's owner."""
    return base64.urlsafe_b64encode(_random_bits())[:-2].decode()


def task_id(job_id: str, name: str) -> str:
    """Return the id of the job's task of that name."""
    return f"{job_id}.{name}"


def job_of(task: str) -> str:
    """Return the job id inside a task id."""
    # Only the name of a task brings a dot into an id that we made.
    return task.partition(".")[0]


def name_of(task: str) -> str:
    """Return the name, inside its job, of the task of that id."""
    return task.partition(".")[2]


def executor_id(node_id: str, name: str) -> str:
    """Return the id of the node's executor of that name."""
    return f"{node_id}/{name}"


def node_of(executor: str) -> str:
    """Return the node id inside an executor id."""
    return executor.partition("/")[0]


def cell_of(identifier: str) -> str:
    """Return the cell that an id names.

    Raises:
        InvalidRequest: The text is no id of ours.
    """
    # The id of an executor is that of its node, a slash and a name; the id of a task has the form of a job's.
    found = _ID.fullmatch(identifier.partition("/")[0])
    if not found:
        raise InvalidRequest(f"{identifier!r} is not an id of this fleet; copy it from `mediafleet jobs` or `nodes`.")
    return found["cell"]


def is_id(identifier: str, letter: str) -> bool:
    """Tell whether the text is a well-formed id of that letter (`j`, `n`, `a` or `s`)."""
    found = _ID.fullmatch(identifier)
    return found is not None and found["letter"] == letter


def check_name(name: str, what: str) -> str:
    """Return the name of a task or executor if it is well formed.

    Raises:
        InvalidRequest: It is not 1 to 40 of a-z, 0-9, `_` and `-`.
    """
    if not _NAME.fullmatch(name):
        raise InvalidRequest(f"{name!r} is no name for {what}: use 1 to 40 of a-z, 0-9, '_' and '-'.")
    return name
