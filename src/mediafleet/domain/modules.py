"""Modules and chains: what a kind can do in steps that need each other, and what a job asks of them.

A kind declares modules once (`synthesise` needs `translate` needs `recognise`). For a job, `make_chain` expands the
features that are asked for into a chain: every module that they need, in an order that can be run, with what each
needs of an executor for the params of this job. Where its parts run is decided later, by `domain/layout.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from graphlib import CycleError, TopologicalSorter
from typing import Any

from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.capability import check_capabilities
from mediafleet.domain.chain import CHAIN_STEP, Chain, ChainPart
from mediafleet.domain.errors import InvalidRequest
from mediafleet.domain.limits import TaskLimits

MOST_PARTS = 32
MOST_NEEDS = 16
"""Of one part; each is matched with every pool, so their number must stay small."""

# Without `_`, which joins the name of a chain and that of a part to the name of a task (at most 40 characters).
_WORD = re.compile(r"[a-z][a-z0-9-]{0,15}")

Needs = Callable[[Mapping[str, Any]], Iterable[str]]
"""From params to features and capabilities; pure."""


@dataclass(frozen=True)
class Module:
    """One thing that a kind can do, as it is declared: the same for all jobs."""

    name: str
    """1 to 16 of a-z, 0-9 and `-`, beginning with a letter; also the name of its handler."""
    after: tuple[str, ...] = ()
    """Modules whose results it needs."""
    needs: Needs | tuple[str, ...] = ()
    """Capabilities (`tts:es`), or features that the catalogue knows services for (`recognise:en`)."""
    slots: int = 1
    weight: float = 1.0
    """Share of the chain's progress that it stands for."""
    limits: TaskLimits = field(default_factory=TaskLimits)
    reads_inputs: bool = False
    """Give it the chain's inputs after the outputs of the modules it needs; one that needs none gets them anyway."""


def check_modules(modules: Sequence[Module]) -> None:
    """Check what a kind declares, before any job asks for it.

    Raises:
        InvalidRequest: A name cannot be or stands twice, a module needs one that there is not, or some need each other.
    """
    known: set[str] = set()
    for module in modules:
        check_word(module.name, "a module")
        if module.name in known or module.name == CHAIN_STEP:
            raise InvalidRequest(f"The module name {module.name!r} is taken; each module needs a name of its own.")
        known.add(module.name)
    for module in modules:
        for parent in module.after:
            if parent not in known:
                raise InvalidRequest(f"The module {module.name!r} needs {parent!r}, {_unknown(parent, known)}")
    in_order(modules)


def in_order(modules: Sequence[Module]) -> tuple[Module, ...]:
    """Return modules so that each comes after those that it needs, otherwise as they were given. Raises InvalidRequest."""
    by_name = {module.name: module for module in modules}
    sorter = TopologicalSorter({module.name: module.after for module in modules})
    try:
        sorter.prepare()
    except CycleError as error:
        raise InvalidRequest(f"The modules {' → '.join(error.args[1])} need each other; none could begin.") from None
    # Not `static_order`, whose order among equals is that of a set: every instance must find the same chain.
    position = {name: number for number, name in enumerate(by_name)}
    found: list[Module] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=position.__getitem__)
        found += (by_name[name] for name in ready)
        sorter.done(*ready)
    return tuple(found)


def resolve(modules: Sequence[Module], wanted: Sequence[str]) -> tuple[Module, ...]:
    """Return the wanted modules and all that they need, in an order that can be run.

    Raises:
        InvalidRequest: Nothing is wanted, or something that the kind cannot do; or the modules need each other.
    """
    by_name = {module.name: module for module in modules}
    if not wanted:
        raise InvalidRequest(f"No module is asked for; there are {', '.join(by_name) or 'none'}.")
    needed: set[str] = set()
    left = list(wanted)
    while left:
        name = left.pop()
        if name not in by_name:
            raise InvalidRequest(f"There is no module {name!r}, {_unknown(name, by_name)}")
        if name not in needed:
            needed.add(name)
            left += by_name[name].after
    return in_order([module for module in modules if module.name in needed])


@dataclass(frozen=True)
class Request:
    """What is asked of a kind's modules."""

    wanted: tuple[str, ...]
    """Modules whose results are asked for."""
    params: Mapping[str, Any]
    """What their needs depend on; also handed to their handlers."""
    inputs: tuple[ArtifactRef, ...] = ()
    name: str = "chain"
    """1 to 16 of a-z, 0-9 and `-`; a job with several chains (one a language) needs one for each."""


def make_chain(modules: Sequence[Module], request: Request) -> Chain:
    """Expand what is asked for into a chain; pure.

    Raises:
        InvalidRequest: There is no such module, or one needs what cannot be.
    """
    check_word(request.name, "a chain")
    parts = tuple(_part(module, request) for module in resolve(modules, request.wanted))
    if len(parts) > MOST_PARTS:
        raise InvalidRequest(f"The chain {request.name!r} has {len(parts)} modules; {MOST_PARTS} are possible.")
    return Chain(parts, request.inputs, dict(request.params), request.name)


def _part(module: Module, request: Request) -> ChainPart:
    needs = module.needs(request.params) if callable(module.needs) else module.needs
    # Sorted and checked as capabilities are: a feature that no catalogue knows is taken for one.
    checked = check_capabilities(needs)
    if len(checked) > MOST_NEEDS:
        raise InvalidRequest(f"The module {module.name!r} has {len(checked)} needs; {MOST_NEEDS} are possible.")
    return ChainPart(
        name=module.name,
        needs=checked,
        after=module.after,
        slots=module.slots,
        weight=module.weight,
        limits=module.limits,
        reads_inputs=module.reads_inputs,
        is_asked_for=module.name in request.wanted,
    )


def check_word(name: str, what: str) -> None:
    """Return if it can be the name of a chain or a module. Raises InvalidRequest."""
    if not _WORD.fullmatch(name):
        raise InvalidRequest(
            f"{name!r} is no name for {what}: use 1 to 16 of a-z, 0-9 and '-', beginning with a letter."
        )


def _unknown(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    nearest = get_close_matches(name, names, n=1)
    return (
        f"did you mean {nearest[0]!r}?" if nearest else f"which there is not; there are {', '.join(names) or 'none'}."
    )
