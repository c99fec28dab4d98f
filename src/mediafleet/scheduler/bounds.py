"""How many tasks may be open at once: what the script goes by, and what it means when it refuses; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mediafleet.domain.errors import QueueFull
from mediafleet.domain.lifecycle import PriorityClass
from mediafleet.store.cell_records import Bounds

if TYPE_CHECKING:
    from mediafleet.domain.insight import OpenTasks
    from mediafleet.domain.rules import FleetRules
    from mediafleet.store.cell_records import Full

_CLASS_OF = {priority.value[0]: priority.value for priority in PriorityClass}


def bounds_of(rules: FleetRules) -> Bounds:
    """Return the bounds that the fleet's rules set."""
    by_class = {
        PriorityClass.LIVE: rules.max_open_live,
        PriorityClass.INTERACTIVE: rules.max_open_interactive,
        PriorityClass.BATCH: rules.max_open_batch,
    }
    return Bounds(
        rules.max_open, rules.max_open_per_tenant, {priority.value[0]: most for priority, most in by_class.items()}
    )


def describe_bounds(rules: FleetRules, found: OpenTasks, *, cells: int = 1) -> dict[str, Any]:
    """Return each bound with what counts against it; `most` is 0 where there is none. Each cell has the same bounds."""
    bounds = bounds_of(rules)
    by_class = {
        priority.value: {
            "open": found.by_class.get(priority, 0),
            "most": bounds.by_class.get(priority.value[0], 0) * cells,
        }
        for priority in PriorityClass
    }
    return {
        "all": {"open": found.all, "most": bounds.all * cells},
        # One cell's: a tenant is refused where its jobs go, whatever room the others have.
        "tenant": {"open": found.of_tenant, "most": bounds.tenant, "fullest": found.tenant},
        "class": by_class,
    }


def queue_full(full: Full) -> QueueFull:
    """Return the answer to a submission that does not fit: which bound, how full, and what to do."""
    error = QueueFull(_explain(full))
    error.bound = full.field.partition(":")[0]
    return error


def _explain(full: Full) -> str:
    what, _, name = full.field.partition(":")
    subject, setting = {
        "all": ("The fleet", "max_open"),
        "tenant": (f"The tenant {name!r}", "max_open_per_tenant"),
        "class": (f"The class {_CLASS_OF.get(name, name)!r}", f"max_open_{_CLASS_OF.get(name, name)}"),
    }[what]
    state = f"{subject} has {full.open} open tasks of {full.most} that scheduler.{setting} allows"
    if full.asked > full.most:
        # Waiting cannot help: it would not fit into an empty queue either.
        return f"{state}, and {full.asked} in one submission are more than that; hand in fewer at a time."
    return (
        f"{state}, and {full.asked} more were asked for; nothing was taken. Try again when some have ended, "
        "or cancel some."
    )
