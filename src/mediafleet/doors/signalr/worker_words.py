"""What workers of older fleets say of themselves, and how they are shown to programs of such a fleet; pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Any, NamedTuple, cast

import msgspec

from mediafleet.domain.errors import InvalidRequest
from mediafleet.domain.node import MAX_SLOTS

MOST_WORD = 40


class State(Enum):
    """What a worker's word means."""

    READY = auto()
    IDLE = auto()
    """Ready, and at work on nothing."""
    BUSY = auto()
    """At work; where it has nothing of ours, on something else."""
    AWAY = auto()
    """It wants nothing new."""


_WORDS = {
    "idle": State.IDLE,
    "free": State.IDLE,
    "waiting": State.IDLE,
    "busy": State.BUSY,
    "processing": State.BUSY,
    "working": State.BUSY,
    "running": State.BUSY,
    "unavailable": State.AWAY,
    "offline": State.AWAY,
    "error": State.AWAY,
    "paused": State.AWAY,
    "stopped": State.AWAY,
    "stopping": State.AWAY,
    "draining": State.AWAY,
    "maintenance": State.AWAY,
    "disconnected": State.AWAY,
}
"""All others are taken for ready: a worker that connects wants work."""


class Said(NamedTuple):
    """A worker's last word on itself."""

    word: str = "idle"
    state: State = State.READY
    slots: int = 1
    has_gpu: bool = False


class Capabilities(msgspec.Struct, frozen=True):
    """What a worker is able to do, in the words of older fleets."""

    gpu_available: bool = False
    concurrent_tasks: int = 1
    """At a time."""


class WorkerFacts(msgspec.Struct, frozen=True):
    """What is kept of a worker among the facts of its node."""

    worker_id: str
    endpoint: str
    status: str
    capabilities: Capabilities


def read_status(status: Any, before: Said) -> Said:
    """Return what a worker says: a word, or an object with a word and capabilities; what it leaves out stays.

    Raises:
        InvalidRequest: It is neither, or a number cannot be.
    """
    if isinstance(status, str):
        return _with_word(before, status)
    fields = _plain(status)
    if fields is None:
        raise InvalidRequest("The status of a worker is a word, or an object with 'status' and 'capabilities'.")
    said = _with_word(before, fields["status"]) if isinstance(fields.get("status"), str) else before
    able = _plain(fields.get("capabilities"))
    return said if able is None else _with_capabilities(said, able)


def describe(worker: str, endpoint: str, said: Said) -> WorkerFacts:
    """Return a worker as it is shown."""
    return WorkerFacts(worker, endpoint, said.word, Capabilities(said.has_gpu, said.slots))


def recall(facts: Mapping[str, Any]) -> Said:
    """Return what the worker of a node said last, by the node's facts (`describe`)."""
    if "worker" not in facts:
        return Said()
    known = msgspec.convert(facts["worker"], WorkerFacts)
    able = known.capabilities
    return _with_word(Said(slots=able.concurrent_tasks, has_gpu=able.gpu_available), known.status)


def _with_word(said: Said, word: str) -> Said:
    word = word.strip()[:MOST_WORD]
    return said._replace(word=word, state=_WORDS.get(word.lower(), State.READY))


def _with_capabilities(said: Said, able: dict[str, Any]) -> Said:
    slots = able.get("concurrenttasks", said.slots)
    if isinstance(slots, bool) or not isinstance(slots, int) or not 1 <= slots <= MAX_SLOTS:
        raise InvalidRequest(f"concurrent_tasks is {str(slots)[:40]}; it must be 1 to {MAX_SLOTS}.")
    return said._replace(slots=slots, has_gpu=able.get("gpuavailable", said.has_gpu) is True)


def _plain(value: Any) -> dict[str, Any] | None:
    """Return an object by names without case and underscores, as serializers of workers write them in either way."""
    if not isinstance(value, dict):
        return None
    fields = cast("dict[Any, Any]", value)
    return {str(name).replace("_", "").lower(): item for name, item in fields.items()}
