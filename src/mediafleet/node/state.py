"""What a node does with its attempts, as a pure state machine: a stimulus in, instructions out.

No I/O, no clock, no tasks: `mediafleet.node.agent` feeds it frames and endings and carries out what
it answers. So every rule about slots, duplicates, cancelling and the outbox is tested with literals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

import msgspec

from mediafleet.domain.errors import ErrorInfo, TransientFailure
from mediafleet.domain.frames import (
    MAX_FRAME_BYTES,
    Assignment,
    AttemptRef,
    Drain,
    Heartbeat,
    JobAck,
    JobAssign,
    JobCancel,
    JobReject,
    JobResultAck,
    JobResults,
    NodeFrame,
    Outcome,
    Ping,
    Registered,
    SchedulerFrame,
    SetLogLevels,
    encode_frame,
)
from mediafleet.domain.insight import KindTally
from mediafleet.domain.node import Executor
from mediafleet.domain.pace import Did
from mediafleet.domain.plan import TaskResult, TaskSpec

LARGEST_OUTCOME_BYTES = MAX_FRAME_BYTES // 4
"""An outcome above this is refused by the runner, so that a frame always has room for one."""
_LARGEST_BATCH_BYTES = MAX_FRAME_BYTES // 2
_RESEND_LEASES = 0.5
"""A result not confirmed for this many node leases is sent again: the store may have been away. Well before one lease, after
which an attempt that no heartbeat names any more counts as lost."""


@dataclass(frozen=True)
class Send:
    """Send this frame if the node is linked; dropped otherwise, because registering tells it all anew."""

    frame: NodeFrame


@dataclass(frozen=True)
class Start:
    """Begin the attempt."""

    assignment: Assignment
    spec: TaskSpec
    share: Fraction
    """Of its executor's slots."""


@dataclass(frozen=True)
class Stop:
    """End the attempt's handler and its children."""

    grant: str


@dataclass(frozen=True)
class Keep:
    """Write the outcome to the outbox."""

    outcome: Outcome


@dataclass(frozen=True)
class Forget:
    """Remove the outcome of this grant from the outbox."""

    grant: str


Instruction = Send | Start | Stop | Keep | Forget

Ending = TaskResult | ErrorInfo | None
"""How a handler ended: with a result, with an error, or (None) because it was cancelled."""


class Phase(StrEnum):
    """Where an attempt that still holds slots stands."""

    RUNNING = "running"
    STOPPING = "stopping"
    """The scheduler wants it to end; its outcome will be `cancelled`."""
    ABORTED = "aborted"
    """The node itself ends; the scheduler learns that by the goodbye, or by the lost lease."""


@dataclass
class _Attempt:
    ref: AttemptRef
    executor: str
    cost: int
    phase: Phase = Phase.RUNNING
    began_s: float = 0.0
    kind: str = ""
    traceparent: str = ""
    pace: str = ""
    size: float = 0.0


@dataclass
class _Held:
    outcome: Outcome
    sent_s: float | None = None


class AttemptTable:
    """The attempts of one node: which run, and whose outcome is not yet confirmed."""

    def __init__(self, executors: Iterable[Executor], *, find_missing: Callable[[TaskSpec], str]) -> None:
        """Start empty.

        Args:
            executors: What the node offers.
            find_missing: Returns the capability that the node lacks for a task, or an empty text.
        """
        self._slots = {executor.name: executor.slots for executor in executors}
        self._find_missing = find_missing
        self._attempts: dict[str, _Attempt] = {}
        self._held: dict[str, _Held] = {}
        self._ran: dict[str, KindTally] = {}
        self._linked = False
        self._lease_s = 0.0
        self._told_to_drain = False
        self._leaving = False

    def offer(self, executors: Iterable[Executor]) -> None:
        """Offer these executors from now on; what runs goes on, also on one that is not offered any more."""
        self._slots = {executor.name: executor.slots for executor in executors}

    @property
    def running(self) -> tuple[AttemptRef, ...]:
        """Attempts that hold slots, in the order they came."""
        return tuple(attempt.ref for attempt in self._attempts.values())

    @property
    def holding(self) -> tuple[AttemptRef, ...]:
        """Attempts whose outcome is not confirmed."""
        return tuple(_ref(held.outcome) for held in self._held.values())

    @property
    def is_draining(self) -> bool:
        """Whether new assignments are refused."""
        return self._leaving or self._told_to_drain

    def free_slots(self, executor: str) -> int:
        """Return the slots of the executor that no attempt holds."""
        used = sum(attempt.cost for attempt in self._attempts.values() if attempt.executor == executor)
        return self._slots.get(executor, 0) - used

    def restore(self, outcomes: Iterable[Outcome]) -> None:
        """Take over what the outbox kept from an earlier start of the node."""
        self._held.update((outcome.grant, _Held(outcome)) for outcome in outcomes)

    # --- stimuli from the scheduler ---

    def handle(self, frame: SchedulerFrame, *, now_s: float) -> list[Instruction]:
        """Return what to do about a frame."""
        match frame:
            case JobAssign():
                return self._assign(frame, now_s)
            case JobCancel():
                return [step for ref in frame.attempts for step in self._cancel(ref)]
            case JobResultAck():
                return [step for ref in frame.attempts for step in self._forget(ref.grant)]
            case Registered():
                return self._registered(frame, now_s)
            case Drain():
                self._told_to_drain = frame.draining
                return []
            case Ping() | SetLogLevels():
                # Levels are the process's and not of its work: `Duty` sees to them.
                return self.beat(now_s=now_s, load={}) if isinstance(frame, Ping) else []

    def lose_link(self) -> None:
        """Note that nothing sent can be relied on any more."""
        self._linked = False
        for held in self._held.values():
            # Makes it stale for the next beat, whatever becomes of the registration before it.
            held.sent_s = None

    def _registered(self, frame: Registered, now_s: float) -> list[Instruction]:
        self._linked = True
        self._lease_s = frame.lease_ms / 1000
        self._told_to_drain = frame.draining
        # What is no longer wanted goes first, so that none of it is sent below.
        dropped = [
            step
            for ref in frame.drop
            for step in (self._forget(ref.grant) if ref.grant in self._held else self._cancel(ref))
        ]
        return dropped + self._deliver(self._held.values(), now_s)

    def _assign(self, frame: JobAssign, now_s: float) -> list[Instruction]:
        acks: list[AttemptRef] = []
        starts: list[Instruction] = []
        answers: list[Instruction] = []
        for assignment in frame.assignments:
            ref = AttemptRef(assignment.task, assignment.grant)
            # Before any judging: a repeat is confirmed also by a node that is full or draining by now.
            if self._knows(assignment.grant):
                acks.append(ref)
                answers += self._deliver(self._held_of(assignment.grant), now_s)
                continue
            verdict = self._judge(assignment)
            if isinstance(verdict, JobReject):
                answers.append(Send(verdict))
                continue
            self._attempts[assignment.grant] = _Attempt(
                ref,
                assignment.executor,
                _cost(assignment),
                began_s=now_s,
                kind=verdict.kind,
                traceparent=verdict.traceparent,
                pace=verdict.pace,
                size=verdict.size,
            )
            acks.append(ref)
            share = Fraction(_cost(assignment), self._slots[assignment.executor])
            starts.append(Start(assignment, verdict, share))
        # The acknowledgement leads: a short task must not deliver its outcome before the scheduler knows that it runs.
        acknowledged: list[Instruction] = [Send(JobAck(tuple(acks)))] if acks else []
        return acknowledged + starts + answers

    def _knows(self, grant: str) -> bool:
        return grant in self._attempts or grant in self._held

    def _held_of(self, grant: str) -> list[_Held]:
        held = self._held.get(grant)
        return [held] if held else []

    def _judge(self, assignment: Assignment) -> TaskSpec | JobReject:
        """Return the task to start, or why not."""

        def reject(reason: str, missing: str = "") -> JobReject:
            return JobReject(assignment.task, assignment.grant, reason, missing)

        if self.is_draining:
            return reject("draining")
        if assignment.executor not in self._slots:
            return reject(f"no executor {assignment.executor!r}")
        if self.free_slots(assignment.executor) < _cost(assignment):
            return reject("no slot")
        try:
            spec = msgspec.json.decode(assignment.spec, type=TaskSpec)
        except msgspec.DecodeError as error:
            return reject(f"unreadable task: {error}")
        if missing := self._find_missing(spec):
            return reject(f"this node lacks {missing}", missing)
        return spec

    def _cancel(self, ref: AttemptRef) -> list[Instruction]:
        if attempt := self._attempts.get(ref.grant):
            if attempt.phase is not Phase.RUNNING:
                return []
            attempt.phase = Phase.STOPPING
            return [Stop(ref.grant)]
        if ref.grant in self._held:
            return []
        # Not here, so its slots are free: say so, or the scheduler would wait for the lease to end.
        return [Send(JobResults((Outcome(ref.task, ref.grant, cancelled=True),)))]

    def _forget(self, grant: str) -> list[Instruction]:
        return [Forget(grant)] if self._held.pop(grant, None) else []

    # --- stimuli from the node itself ---

    def finish(self, grant: str, ending: Ending, *, now_s: float) -> list[Instruction]:
        """Free the attempt's slots and keep its outcome, unless the node itself ended it."""
        attempt = self._attempts.pop(grant)
        # An error or a cancel is only the echo of our own abort, but a result is work that need not be done again.
        if attempt.phase is Phase.ABORTED and not isinstance(ending, TaskResult):
            return []
        if attempt.phase is Phase.RUNNING:
            self._count(attempt, ending, now_s)
        held = self._held[grant] = _Held(_outcome(attempt, ending, now_s))
        return [Keep(held.outcome), *(self._deliver([held], now_s) if self._linked else [])]

    def _count(self, attempt: _Attempt, ending: Ending, now_s: float) -> None:
        so_far = self._ran.get(attempt.kind, KindTally())
        self._ran[attempt.kind] = KindTally(
            so_far.runs + 1,
            so_far.failed + (not isinstance(ending, TaskResult)),
            so_far.took_ms + max(0, round((now_s - attempt.began_s) * 1000)),
        )

    def _take_ran(self) -> dict[str, KindTally]:
        """Return what ran since the last heartbeat that could be sent."""
        if not self._linked:
            return {}
        ran, self._ran = self._ran, {}
        return ran

    def beat(self, *, now_s: float, load: dict[str, float]) -> list[Instruction]:
        """Return the heartbeat that is due, and outcomes that were sent long ago and not confirmed."""
        stale = [
            held
            for held in self._held.values()
            if held.sent_s is None or now_s - held.sent_s >= self._lease_s * _RESEND_LEASES
        ]
        return [Send(Heartbeat(self.running, load, self._take_ran())), *self._deliver(stale, now_s)]

    def leave(self) -> None:
        """Refuse new work from now on, whatever the scheduler says."""
        self._leaving = True

    def abort(self) -> list[Instruction]:
        """Stop everything because the node ends."""
        self.leave()
        for attempt in self._attempts.values():
            attempt.phase = Phase.ABORTED
        return [Stop(grant) for grant in self._attempts]

    def _deliver(self, held: Iterable[_Held], now_s: float) -> list[Instruction]:
        chosen = list(held)
        for one in chosen:
            one.sent_s = now_s
        return [Send(frame) for frame in pack_outcomes(one.outcome for one in chosen)]


def pack_outcomes(outcomes: Iterable[Outcome], *, limit_bytes: int = _LARGEST_BATCH_BYTES) -> list[JobResults]:
    """Return frames that carry the outcomes in order, each below the limit unless one alone is above it."""
    batches: list[list[Outcome]] = []
    room = 0
    for outcome in outcomes:
        size = len(encode_frame(outcome))
        if size > room or not batches:
            batches.append([])
            room = limit_bytes
        batches[-1].append(outcome)
        room -= size
    return [JobResults(tuple(batch)) for batch in batches]


def _ref(outcome: Outcome) -> AttemptRef:
    return AttemptRef(outcome.task, outcome.grant)


def _cost(assignment: Assignment) -> int:
    return max(1, assignment.cost)


def _outcome(attempt: _Attempt, ending: Ending, now_s: float) -> Outcome:
    task, grant, trace = attempt.ref.task, attempt.ref.grant, attempt.traceparent
    if attempt.phase is Phase.STOPPING:
        return Outcome(task, grant, cancelled=True, traceparent=trace)
    if isinstance(ending, TaskResult):
        return Outcome(task, grant, result=ending, traceparent=trace, did=_did(attempt, now_s))
    if ending is None:
        ending = TransientFailure("The task's handler stopped itself without a result; it is tried again.").info()
    return Outcome(task, grant, error=ending, traceparent=trace)


def _did(attempt: _Attempt, now_s: float) -> Did | None:
    if not attempt.pace:
        return None
    return Did(attempt.pace, attempt.size, max(0, round((now_s - attempt.began_s) * 1000)))
