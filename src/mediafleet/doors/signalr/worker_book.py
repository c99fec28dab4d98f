"""What one worker has to do, between the attempts of the fleet and the numbers of the worker. Pure.

The worker is told a task by its number and paths, and speaks of it by its number; the fleet speaks of attempts and
grants. Times are in, what is to be said to either is out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, NamedTuple

import msgspec

from mediafleet.domain.errors import ErrorInfo
from mediafleet.domain.frames import (
    Assignment,
    AttemptRef,
    JobAck,
    JobProgress,
    JobReject,
    JobResults,
    NodeFrame,
    Outcome,
    Progress,
)
from mediafleet.domain.plan import TaskResult, TaskSpec
from mediafleet.domain.worker import HeldAttempt
from mediafleet.kinds.subtitize import SubtitizeParams

WHOLE = 10_000
"""How far a worker is when all is done."""
STOP_S = 10.0
"""How long a worker may take to say that it has stopped, before its place counts as free."""
MOST_STATE = 60
MOST_ERROR = 1_000
FAILED = "worker-failed"


class Call(NamedTuple):
    """A method of the worker, with its arguments."""

    target: str
    arguments: tuple[Any, ...]


Act = Call | NodeFrame


class _Phase(Enum):
    CARRIED = auto()
    """It was placed on an earlier connection, and nothing was heard of it on this one."""
    RUNNING = auto()
    STOPPING = auto()
    ENDED = auto()
    """Its outcome is under way to the store."""


@dataclass
class _Attempt:
    ref: AttemptRef
    phase: _Phase
    since_s: float
    """When it came into its phase."""
    fraction: float = 0.0


class WorkerBook:
    """The tasks of one worker on one connection, by number."""

    def __init__(self, worker: str, *, resume_s: float, stop_s: float = STOP_S) -> None:
        """Begin without any.

        Args:
            worker: Its id, for results.
            resume_s: How long a worker that came back may be silent about what it had.
            stop_s: How long it may take to say that it has stopped.
        """
        self._worker = worker
        self._resume_s = resume_s
        self._stop_s = stop_s
        self._attempts: dict[int, _Attempt] = {}

    @property
    def running(self) -> tuple[AttemptRef, ...]:
        """All attempts that it has, those included whose outcome is not stored yet."""
        return tuple(attempt.ref for attempt in self._attempts.values())

    @property
    def is_busy(self) -> bool:
        """Whether it works on anything."""
        return any(attempt.phase is not _Phase.ENDED for attempt in self._attempts.values())

    # --- what the fleet says ---

    def carry(self, held: Iterable[HeldAttempt], now_s: float) -> None:
        """Take what the fleet holds as the worker's from an earlier connection; it says nothing of that by itself."""
        for one in held:
            number = _order(one.spec).number
            self._attempts.setdefault(number, _Attempt(one.ref, _Phase.CARRIED, now_s))

    def drop(self, refs: Iterable[AttemptRef]) -> list[Act]:
        """Forget attempts that are not the worker's any more, and have it stop."""
        gone = set(refs)
        numbers = [number for number, one in self._attempts.items() if one.ref in gone]
        for number in numbers:
            del self._attempts[number]
        return [Call("StopSubtitize", (number,)) for number in numbers]

    def assign(self, assignments: Sequence[Assignment], now_s: float) -> list[Act]:
        """Take new attempts."""
        acts: list[Act] = []
        for one in assignments:
            ref = AttemptRef(one.task, one.grant)
            try:
                order = _order(one.spec)
            except msgspec.MsgspecError as error:
                acts.append(JobReject(*_named(ref), f"unreadable task: {error}"))
                continue
            number = order.number
            known = self._attempts.get(number)
            if known and known.ref == ref:
                continue
            if known and known.phase is not _Phase.ENDED:
                # The worker could not tell the two apart.
                acts.append(JobReject(*_named(ref), f"the worker is still at task {number}"))
                continue
            self._attempts[number] = _Attempt(ref, _Phase.RUNNING, now_s)
            call = Call(
                "StartSubtitize",
                (number, order.video_path, order.raw_subtitle_path, order.translated_subtitle_path, order.language),
            )
            acts += [call, JobAck((ref,))]
        return acts

    def cancel(self, refs: Iterable[AttemptRef], now_s: float) -> list[Act]:
        """Have attempts stopped."""
        acts: list[Act] = []
        by_ref = {attempt.ref: (number, attempt) for number, attempt in self._attempts.items()}
        for ref in refs:
            number, attempt = by_ref.get(ref, (0, None))
            if attempt is None:
                acts.append(_stopped(ref))
            elif attempt.phase in {_Phase.CARRIED, _Phase.RUNNING}:
                attempt.phase, attempt.since_s = _Phase.STOPPING, now_s
                acts.append(Call("StopSubtitize", (number,)))
        return acts

    def settle(self, refs: Iterable[AttemptRef]) -> None:
        """Forget attempts whose outcome is stored, or will never be wanted."""
        settled = set(refs)
        self._attempts = {number: one for number, one in self._attempts.items() if one.ref not in settled}

    # --- what the worker says ---

    def progress(self, number: int, value: int, state: str, now_s: float) -> list[Act]:
        """Note how far a task is, 0 to 10000."""
        attempt = self._attempts.get(number)
        if attempt is None or attempt.phase in {_Phase.STOPPING, _Phase.ENDED}:
            return []
        if attempt.phase is _Phase.CARRIED:
            attempt.phase, attempt.since_s = _Phase.RUNNING, now_s
        attempt.fraction = max(attempt.fraction, min(WHOLE, max(0, value)) / WHOLE)
        return [JobProgress((Progress(*_named(attempt.ref), attempt.fraction, state[:MOST_STATE]),))]

    def attempt(self, number: int) -> AttemptRef | None:
        """Return the attempt that the worker calls by a number."""
        found = self._attempts.get(number)
        return found.ref if found else None

    def complete(self, number: int, ref: AttemptRef, paths: tuple[str, str], now_s: float) -> JobResults:
        """Return the result of an attempt, which may be one that this connection does not know."""
        result = {"raw_path": paths[0], "translated_path": paths[1], "worker_id": self._worker}
        return self._end(number, Outcome(*_named(ref), result=TaskResult(result)), now_s)

    def fail(self, number: int, ref: AttemptRef, error: str, now_s: float) -> JobResults:
        """Return the failure of an attempt; of one that was to stop it is no fault."""
        known = self._attempts.get(number)
        if known and known.ref == ref and known.phase is _Phase.STOPPING:
            return self._end(number, Outcome(*_named(ref), cancelled=True), now_s)
        sentence = error.strip()[:MOST_ERROR] or f"The worker {self._worker} did not say why it failed."
        return self._end(number, Outcome(*_named(ref), error=ErrorInfo(FAILED, sentence, retryable=True)), now_s)

    def _end(self, number: int, outcome: Outcome, now_s: float) -> JobResults:
        attempt = self._attempts.get(number)
        if attempt and attempt.ref.grant == outcome.grant:
            attempt.phase, attempt.since_s = _Phase.ENDED, now_s
        return JobResults((outcome,))

    def idle(self) -> list[Act]:
        """The worker says that it does nothing: what it had on an earlier connection goes elsewhere."""
        return list(self._give_up(lambda one: one.phase is _Phase.CARRIED))

    def look(self, now_s: float) -> list[Act]:
        """Return what is to be said because time has passed."""
        acts = list(self._give_up(lambda o: o.phase is _Phase.CARRIED and now_s - o.since_s >= self._resume_s))
        for number, one in list(self._attempts.items()):
            if one.phase is _Phase.STOPPING and now_s - one.since_s >= self._stop_s:
                del self._attempts[number]
                acts.append(_stopped(one.ref))
        return acts

    def _give_up(self, chosen: Callable[[_Attempt], bool]) -> Iterator[Act]:
        for number, one in list(self._attempts.items()):
            if chosen(one):
                del self._attempts[number]
                # It may be at work on it all the same, and then must not go on beside the next.
                yield Call("StopSubtitize", (number,))
                yield JobReject(*_named(one.ref), "the worker came back without it")


def _order(spec: msgspec.Raw) -> SubtitizeParams:
    """Return the order of a task. Raises msgspec.MsgspecError."""
    return msgspec.convert(msgspec.json.decode(spec, type=TaskSpec).params, SubtitizeParams)


def _named(ref: AttemptRef) -> tuple[str, str]:
    return ref.task, ref.grant


def _stopped(ref: AttemptRef) -> JobResults:
    return JobResults((Outcome(*_named(ref), cancelled=True),))
