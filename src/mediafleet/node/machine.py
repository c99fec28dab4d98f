"""What a node tells of its machine: what it can do, as far as that is known by now, and how much of it is in use."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from mediafleet.domain.frames import Misc
from mediafleet.domain.health import parse_headroom
from mediafleet.domain.node import NodeState
from mediafleet.node.executors import Offer, build_executors, count_cores, describe_machine, find_unknown_sorts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from mediafleet.domain.node import Executor
    from mediafleet.node.gauges import LoadGauges
    from mediafleet.ops.settings import NodeSettings

FIRST_SAMPLE_S = 1.0
"""How long a registration waits for the first look at the load; a disk may hang."""
CUDA = "hw:cuda"
"""Of a machine whose NVIDIA driver answers."""


class Machine:
    """The machine of one agent."""

    def __init__(
        self,
        settings: NodeSettings,
        gauges: LoadGauges,
        gpus: Sequence[str],
        find_offer: Callable[[], Awaitable[Offer]],
    ) -> None:
        """Know nothing yet but what was set.

        Raises:
            InvalidRequest: A label cannot be a capability, or a headroom none.
        """
        self._settings = settings
        self._gauges = gauges
        self._gpus = gpus
        self._find_offer = find_offer
        self._offer = Offer(capabilities={CUDA} if gpus else set())
        self.is_warm = False
        """Whether it is known what it can do."""
        self.headroom = parse_headroom(settings.headroom)
        self.executors = self._build()

    async def look(self) -> None:
        """Find out what it can do."""
        self._offer = await self._find_offer()
        self._offer.capabilities.update({CUDA} if self._gpus else ())
        self._offer.missing.update(find_unknown_sorts(self._settings, self._offer))
        self.executors = self._build()
        self.is_warm = True

    def _build(self) -> tuple[Executor, ...]:
        return build_executors(self._settings, self._offer, cores=count_cores())

    @property
    def facts(self) -> dict[str, Any]:
        """What to show of it."""
        return describe_machine(self._offer, self._gpus)

    async def wait_for_load(self) -> None:
        """Wait until its load was looked at once, but not for long."""
        await asyncio.to_thread(self._gauges.wait_first, FIRST_SAMPLE_S)

    def load(self) -> dict[str, float]:
        """Return how much of it is in use, as it was seen last."""
        return self._gauges.latest

    def announcement(self, event: str) -> Misc:
        """Return what a linked node says when it has looked; as `state`, that it is ready."""
        data: dict[str, Any] = {"facts": self.facts}
        if event == "state":
            data["state"] = NodeState.READY.value
        return Misc(event, data, self.executors)
