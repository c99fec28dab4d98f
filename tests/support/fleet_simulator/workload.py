"""The jobs that come in, drawn from the seed, with what may become of each."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, Literal

from mediafleet.domain.lifecycle import PriorityClass

Trouble = Literal["", "fails", "hopeless", "crashes", "slow", "late", "deadline", "cancel"]
TROUBLES: tuple[Trouble, ...] = ("", "", "", "fails", "hopeless", "crashes", "slow", "late", "deadline", "cancel")


@dataclass(frozen=True)
class Wish:
    """One job that a client will want."""

    at_s: float
    """Seconds after the beginning."""
    trouble: Trouble
    fields: dict[str, Any]
    """Of its submission; times in it count from the moment it is handed in."""
    expected: tuple[str, ...] = ("completed",)
    """How it may end. As poison it may end as well, where two nodes were lost that worked on it."""
    cancel_after_s: float = 0.0
    times: dict[str, int] = field(default_factory=dict[str, int])
    """Submission fields that are moments, as milliseconds from the hand-in."""


def draw_wish(rng: random.Random, seconds: float) -> Wish:
    """Return a job that comes in during so many seconds."""
    params: dict[str, Any] = {
        "shape": rng.choice(["one", "fan", "chain", "grown"]),
        "seconds": rng.uniform(0.1, 6),
        "slots": rng.choice([1, 1, 1, 2, 4]),
    }
    fields = {"tenant": rng.choice(["ann", "bob"]), "priority": rng.choice(list(PriorityClass)), "params": params}
    at_s, trouble = rng.uniform(0, seconds), rng.choice(TROUBLES)
    match trouble:
        case "fails":
            params["fails"] = 2
        case "crashes":
            params["crashes"] = rng.choice([1, 2])
        case "hopeless":
            # A node that dies with its failure unsaid has failed for nothing; then a later attempt may succeed.
            params["fails"] = 3
            return Wish(at_s, trouble, fields, ("failed", "completed"))
        case "slow":
            params["total_ms"] = int(params["seconds"] * 1000)
            return Wish(at_s, trouble, fields, ("failed", "completed"))
        case "late":
            return Wish(at_s, trouble, fields, times={"not_before": rng.randint(0, 20_000)})
        case "deadline":
            times = {"deadline": rng.randint(8_000, 30_000)}
            return Wish(at_s, trouble, fields, ("failed", "completed"), times=times)
        case "cancel":
            return Wish(at_s, trouble, fields, ("completed", "cancelled"), cancel_after_s=rng.uniform(0, 10))
        case _:
            pass
    return Wish(at_s, trouble, fields)
