"""What the children of a node may take of its machine, and what they can reach; decision 0027 has the reasons.

Limits are set between fork and exec, so that a program never runs without them, and are inherited by all that it starts.
The number of processes is not limited: the kernel counts those of a user, the node's own among them.
"""

from __future__ import annotations

import os
import resource
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil
import structlog

from mediafleet.domain.errors import ConfigError
from mediafleet.node.isolation import Isolation, isolate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mediafleet.ops.settings import NodeSettings

_LEAST_MEMORY_BYTES = 8 << 30
"""What is counted is what a program has reserved to write to. SVT-AV1 reserves 5.6 GB for 4K on two cores and uses half."""
_GIB, _HOUR_S = 1 << 30, 3600
_LAST_WORDS_S = 5
"""From the signal that names the reason, at the soft limit of time, to the kill at the hard one."""
_IO_CLASSES = {"low": ("IOPRIO_CLASS_BE", 7), "idle": ("IOPRIO_CLASS_IDLE", 0)}

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Containment:
    """What every child of a node gets. Owned by the agent, which closes it."""

    limits: Mapping[int, int] = field(default_factory=dict[int, int])
    """Number of a resource, as `resource.RLIMIT_…`, and the most of it."""
    nice: int = 0
    io: str = "normal"
    isolation: Isolation = field(default_factory=Isolation)

    def hook(self) -> Callable[[], None]:
        """Return what the child runs between fork and exec."""
        enter, nice = self.isolation.hook(), self.nice
        # Found out here, so that nothing is left to do in the child but to ask the kernel.
        bounds = [(number, _lowered(number, most)) for number, most in self.limits.items()]
        set_limit, be_nice = resource.setrlimit, os.nice

        def bind() -> None:
            enter()
            for number, bound in bounds:
                set_limit(number, bound)
            if nice:
                be_nice(nice)

        return bind

    def settle(self, pid: int) -> None:
        """Do what is done from outside, right after the start of a child."""
        chosen = _IO_CLASSES.get(self.io)
        if chosen is None or sys.platform != "linux":
            return
        name, level = chosen
        try:
            psutil.Process(pid).ionice(getattr(psutil, name), level or None)
        except (psutil.Error, OSError):
            # It has ended already, or the system has no such classes: the order of its reads endangers nothing.
            return

    def close(self) -> None:
        """Give back what is held."""
        self.isolation.close()


def contain(settings: NodeSettings) -> Containment:
    """Return what children get by the settings, after trying whether this system permits it; call it from a thread.

    Raises:
        ConfigError: No network is required of children, and this system cannot take it away.
    """
    isolation = Isolation(reason="node.child_isolation is off") if settings.child_isolation == "off" else isolate()
    if settings.child_isolation == "required" and not isolation.is_on:
        raise ConfigError(f"node.child_isolation is 'required', but children keep the network: {isolation.reason}.")
    memory = psutil.virtual_memory().total
    if not isolation.is_on:
        _log.info("children of this node keep the network", reason=isolation.reason)
    limits = choose_limits(settings, memory_bytes=memory, platform=sys.platform)
    return Containment(limits, settings.child_nice, settings.child_io, isolation)


def choose_limits(settings: NodeSettings, *, memory_bytes: int, platform: str) -> dict[int, int]:
    """Return the limits of a child on a machine with so much memory."""
    limits = {
        # A dump of an encoder is gigabytes, and holds pictures of its user's film.
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: settings.child_file_gib * _GIB,
        resource.RLIMIT_CPU: settings.child_cpu_hours * _HOUR_S,
        resource.RLIMIT_NOFILE: settings.child_open_files,
    }
    if platform == "linux":
        # Not the address space: drivers of graphics cards reserve terabytes of it and never touch them.
        wanted = memory_bytes * settings.child_memory_percent // 100
        limits[resource.RLIMIT_DATA] = max(_LEAST_MEMORY_BYTES, wanted) if wanted else 0
    return {number: most for number, most in limits.items() if most or number == resource.RLIMIT_CORE}


def describe(containment: Containment, *, platform: str = sys.platform) -> str:
    """Return the limits as a line for people."""
    limits = containment.limits
    memory = _amount(limits.get(resource.RLIMIT_DATA), _GIB, " GiB of memory", "any amount of memory")
    parts = [
        memory if platform == "linux" else "memory cannot be limited on this system",
        _amount(limits.get(resource.RLIMIT_FSIZE), _GIB, " GiB a file", "files of any size"),
        _amount(limits.get(resource.RLIMIT_CPU), _HOUR_S, " hours of processor time", "any time of the processor"),
        _amount(limits.get(resource.RLIMIT_NOFILE), 1, " open files", "any number of open files"),
        "no core dumps",
    ]
    return ", ".join(parts)


def _amount(most: int | None, unit: int, words: str, without: str) -> str:
    return without if most is None else f"{most / unit:.4g}{words}"


def _lowered(number: int, most: int) -> tuple[int, int]:
    """Return soft and hard limit: what this process was given itself cannot be exceeded."""
    _, hard = resource.getrlimit(number)
    room = most + (_LAST_WORDS_S if number == resource.RLIMIT_CPU else 0)
    bound = room if hard == resource.RLIM_INFINITY else min(room, hard)
    return min(most, bound), bound
