"""Finds out who could do a piece of work, before it is begun; pure.

That nobody could is told only for kinds that say what to do about it (`Kind.advise`): tasks of others wait until a node comes
that can.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import msgspec

from mediafleet.domain.capability import PERSON, Requirement, check_capabilities, find_lacking, is_covered

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mediafleet.domain.capability import Signature
    from mediafleet.domain.plan import Expand, NewTask
    from mediafleet.kinds import Kind


def explain_unoffered(kind: Kind, version: int, wanted: Iterable[str], pools: Iterable[Signature]) -> str:
    """Return what to do where no executor offers one of these capabilities, as a sentence; "" where all are offered.

    Args:
        kind: Whose tasks ask for them.
        version: Of the job.
        wanted: Capabilities; with a `*`, any that fits will do.
        pools: Of all executors that are here, or were a short while ago.
    """
    if kind.advise is None:
        return ""
    own = kind.capability_of(version)
    offered = {capability for pool in pools if own in pool.capabilities for capability in pool.capabilities}
    # Where no node runs the kind at all, they may just be starting. A person is none, and need not be there yet.
    lacking = find_lacking(wanted, {*offered, PERSON}) if offered else []
    lacking = [one for one in lacking if "*" not in one or not any(fnmatchcase(other, one) for other in offered)]
    return kind.advise(lacking[0]) if lacking else ""


def ask_for_preferred(kind: Kind, version: int, step: Expand, pools: Iterable[Signature]) -> Expand:
    """Return a step whose tasks require what they prefer, each where an executor offers all of it; arguments as above."""
    own = kind.capability_of(version)
    able = [pool for pool in pools if own in pool.capabilities]

    def ask(task: NewTask) -> NewTask:
        wanted = check_capabilities((*task.requirement.capabilities, *task.prefers))
        requirement = Requirement(wanted, task.requirement.slots)
        is_there = any(is_covered(requirement, pool) for pool in able)
        return msgspec.structs.replace(task, requirement=requirement, prefers=()) if is_there else task

    return msgspec.structs.replace(step, tasks=tuple(ask(task) if task.prefers else task for task in step.tasks))
