"""Chains as data: modules that one job needs, each after those that it depends on.

`domain/modules.py` makes them of what a kind declares; `domain/layout.py` decides where their parts run.
"""

from __future__ import annotations

from typing import Any

import msgspec

from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.limits import USUAL, TaskLimits

CHAIN_STEP = "chain"
"""The handler that runs several parts of a chain, one after the other; every kind with modules has it."""


class ChainPart(msgspec.Struct, frozen=True, omit_defaults=True):
    """A module as one chain needs it."""

    name: str
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    slots: int = 1
    weight: float = 1.0
    limits: TaskLimits = USUAL
    reads_inputs: bool = False
    is_asked_for: bool = False
    """Its outputs are results; those of other parts need not outlive the chain."""


class Chain(msgspec.Struct, frozen=True, omit_defaults=True):
    """Modules that a job needs, each after those that it depends on."""

    parts: tuple[ChainPart, ...]
    inputs: tuple[ArtifactRef, ...] = ()
    payload: dict[str, Any] = {}
    """Handed to the handler of every part."""
    name: str = "chain"
    """Tells the chains of one job apart."""


def part_name(chain: str, part: str) -> str:
    """Return the name under which a plan finds the result of a part."""
    return f"{chain}_{part}"
