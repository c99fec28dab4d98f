"""Capabilities, requirements, and when one covers the other."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import msgspec

from mediafleet.domain.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

ANY = "any"
"""Stands for all capabilities of its sort, in what is offered."""
PERSON = "person:review"
"""What a task asks for that a person does: no node has it, and none may say so."""

_CAPABILITY = re.compile(r"[a-z][a-z0-9]*:[A-Za-z0-9_.>@/+-]{1,80}")


def check_capabilities(capabilities: Iterable[str]) -> tuple[str, ...]:
    """Return the capabilities sorted and without repeats.

    Raises:
        InvalidRequest: One is not of the form `encoder:libx264`.
    """
    found = sorted(set(capabilities))
    for capability in found:
        # Not `match` with a `$`, which lets a line break at the end pass.
        if not _CAPABILITY.fullmatch(capability):
            raise InvalidRequest(
                f"{capability!r} is not a capability; write it like 'encoder:libx264' or 'label:studio-b'."
            )
    return tuple(found)


def kind_capability(kind: str, version: int) -> str:
    """Return the capability of a node that runs a version of a kind: what it cannot run it is not given."""
    # The first version has none in its name. Scripts make the same name (includes/health.lua).
    return f"kind:{kind}" if version == 1 else f"kind:{kind}@{version}"


class Requirement(msgspec.Struct, frozen=True):
    """What an executor must offer for a task, and how much of it the task takes."""

    capabilities: tuple[str, ...] = ()
    """Sorted, without repeats."""
    slots: int = 1
    """Slots the task takes while it is placed, 1 or more."""


class Signature(msgspec.Struct, frozen=True):
    """What all executors of one pool have in common (DESIGN.md §3, rule 1)."""

    capabilities: tuple[str, ...]
    slots: int
    live_reserve: int = 0
    """Slots of each executor that batch work may not take."""
    priority: int = 0
    """The operator's word on the node, for the policy `priority`: larger goes first."""

    @property
    def pool(self) -> str:
        """Name of the pool: 16 hexadecimal digits of a hash of the signature."""
        # Fields are written in the order of the class, so every instance finds the same name. SHA-1 because scripts have
        # no other hash, and they name pools as well (includes/shape.lua).
        return hashlib.sha1(msgspec.json.encode(self), usedforsecurity=False).hexdigest()[:16]


def find_lacking(wanted: Iterable[str], offered: Collection[str]) -> list[str]:
    """Return what is wanted and not offered, in order; `mt:any` offers every `mt:…`, as a service does that names no languages.

    Args:
        wanted: Capabilities.
        offered: Capabilities; best a set.
    """
    return [one for one in wanted if one not in offered and f"{one.partition(':')[0]}:{ANY}" not in offered]


def is_covered(requirement: Requirement, signature: Signature) -> bool:
    """Tell whether the pool of that signature matches the requirement."""
    return requirement.slots <= signature.slots and not find_lacking(
        requirement.capabilities, frozenset(signature.capabilities)
    )
