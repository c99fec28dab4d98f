"""How long a task may take at each step, and who decides: its kind, its plan, and within the kind's range its submitter.

Pure. A limit of 0 means none; in a wish it means "as the kind says".
"""

from __future__ import annotations

import msgspec

from mediafleet.domain.errors import InvalidRequest

LONGEST_MS = 30 * 24 * 3600 * 1000
"""30 days, milliseconds: what is meant to take longer is meant to have no limit."""
SHORTEST_MS = 1_000
"""The reaper looks twice a second, and a node's answer may take a round trip over a bad line."""
MOST_TRIES = 100


class TaskLimits(msgspec.Struct, frozen=True, omit_defaults=True):
    """How long a task may take and how often it is tried."""

    max_tries: int = 3
    """Tries before the task fails for good, 1 or more."""
    total_ms: int = 0
    """Longest run of one attempt, milliseconds from its ACK; spends a try."""
    accept_ms: int = 0
    """Longest wait for the node's ACK after placement, milliseconds; spends no try. 0 for `scheduler.reservation_ms`."""
    queue_ms: int = 0
    """Longest wait for an executor, milliseconds from each time that it could be placed; the task fails for good."""
    progress_ms: int = 0
    """Longest standstill of one attempt, milliseconds: no higher fraction and no other stage; spends a try."""
    deadline_ms: int = 0
    """When the task must have ended, milliseconds since 1970; it fails for good. A plan may set it beside the job's."""


USUAL = TaskLimits()
"""One object for all tasks that say nothing, so that their documents leave it out."""


class LimitWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a submission asks for in place of its kind's limits, for each of its tasks; 0 for what the kind says."""

    max_tries: int = 0
    total_ms: int = 0
    accept_ms: int = 0
    queue_ms: int = 0
    progress_ms: int = 0


NO_WISH = LimitWish()


def show_limits(limits: TaskLimits | LimitWish) -> dict[str, int]:
    """Return all limits by name, for people: the usual ones too."""
    return msgspec.structs.asdict(limits)


class KindLimits(msgspec.Struct, frozen=True):
    """What a kind says of the limits of its tasks."""

    usual: TaskLimits = USUAL
    """For what a plan leaves open."""
    most: LimitWish = NO_WISH
    """The largest that a submission may ask for; 0 for `LONGEST_MS`, and for `MOST_TRIES` tries."""


def largest_wish(kind: KindLimits) -> LimitWish:
    """Return the largest limits that a submission of the kind may ask for."""
    return LimitWish(*(getattr(kind.most, name) or _ceiling(name) for name in LimitWish.__struct_fields__))


def _ceiling(name: str) -> int:
    return MOST_TRIES if name == "max_tries" else LONGEST_MS


def check_wish(wish: LimitWish, kind: KindLimits) -> None:
    """Check what a submission asks for.

    Raises:
        InvalidRequest: A limit is out of the range that the kind allows.
    """
    if wish == NO_WISH:
        return
    largest = largest_wish(kind)
    for name in LimitWish.__struct_fields__:
        value: int = getattr(wish, name)
        least = 1 if name == "max_tries" else SHORTEST_MS
        most: int = getattr(largest, name)
        if value and not least <= value <= most:
            raise InvalidRequest(f"limits.{name} is {value}; this kind allows {least} to {most}, and 0 for its own.")


def effective_limits(task: TaskLimits, kind: KindLimits, wish: LimitWish) -> TaskLimits:
    """Return what holds for a task: the submitter's wish, else the plan's word, else the kind's."""
    if wish == NO_WISH and kind.usual == USUAL:
        return task
    # A plan that says nothing at all leaves the tries to the kind as well.
    tries = kind.usual.max_tries if task == USUAL else task.max_tries
    return TaskLimits(
        max_tries=wish.max_tries or tries,
        total_ms=wish.total_ms or task.total_ms or kind.usual.total_ms,
        accept_ms=wish.accept_ms or task.accept_ms or kind.usual.accept_ms,
        queue_ms=wish.queue_ms or task.queue_ms or kind.usual.queue_ms,
        progress_ms=wish.progress_ms or task.progress_ms or kind.usual.progress_ms,
        deadline_ms=task.deadline_ms,
    )


def check_limits(limits: TaskLimits, name: str) -> None:
    """Check what a plan says of its task. Raises InvalidRequest."""
    for field in TaskLimits.__struct_fields__:
        value: int = getattr(limits, field)
        # The store's scripts count in doubles; what is larger would be rounded, or refused half-way.
        if not (1 if field == "max_tries" else 0) <= value <= 2**53:
            raise InvalidRequest(f"The task {name!r} has the limit {field} = {value}, which cannot be.")


def limits_of_rule(rule: str) -> TaskLimits:
    """Return the limits of a task as the store's scripts keep them: `…|max_tries|total_ms|weight[|encoded limits]`."""
    _, _, _, _, tries, total_ms, _, *rest = rule.split("|")
    accept, queue, progress, deadline = (rest[0] if rest and rest[0] else "0,0,0,0").split(",")
    # Lua may write a whole number with a point or an exponent.
    numbers = [int(float(text)) for text in (tries, total_ms, accept, queue, progress, deadline)]
    return TaskLimits(*numbers)


def encode_limits(limits: TaskLimits) -> str:
    """Return the limits that most tasks do not have as the store's scripts want them; empty where all are 0."""
    values = (limits.accept_ms, limits.queue_ms, limits.progress_ms, limits.deadline_ms)
    return ",".join(map(str, values)) if any(values) else ""
