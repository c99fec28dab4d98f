"""`mediafleet pause` and `resume`: of jobs, of a node, of the fleet."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from mediafleet.cli._fleet import open_fleet
from mediafleet.cli._options import ClientOptions
from mediafleet.cli._output import Output
from mediafleet.cli._run import guard, run_client
from mediafleet.cli.jobs import steer_jobs
from mediafleet.client import FleetClient
from mediafleet.domain.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mediafleet.domain.job import JobView
    from mediafleet.domain.node import NodeView
    from mediafleet.domain.pause import FleetPause

_NO_OPTIONS = ClientOptions()
_Flag = Annotated[bool, Parameter(negative="", show_default=False)]
_Node = Annotated[str, Parameter(show_default=False)]
_JobId = Annotated[str, Parameter(name="ID")]


def pause(
    *job_ids: _JobId,
    node: _Node = "",
    every: Annotated[bool, Parameter(name="--all", negative="", show_default=False)] = False,
    now: _Flag = False,
    options: ClientOptions = _NO_OPTIONS,
) -> int:
    """Let nothing of some jobs, on a node or in the whole fleet begin until it is resumed.

    Args:
        job_ids: Ids of jobs, as `mediafleet jobs` shows them.
        node: A node's id: it takes nothing new, and stays in the fleet.
        every: The whole fleet; it stays paused over all restarts.
        now: Stop what runs; it begins anew after the pause. Otherwise it finishes.
        options: Shared options.
    """
    how = "is paused, and what ran was stopped" if now else "is paused; what runs finishes"
    if job_ids and not node and not every:
        return steer_jobs(job_ids, partial(_pause_job, now=now), how, options)
    if node and not job_ids and not every:
        return _ask(lambda client: client.pause_node(node, now=now), f"{node} {how}.", options)
    if every and not job_ids and not node:
        return _ask(lambda client: client.pause_fleet(now=now), f"The fleet {how}.", options)
    return _refuse(options)


def resume(
    *job_ids: _JobId,
    node: _Node = "",
    every: Annotated[bool, Parameter(name="--all", negative="", show_default=False)] = False,
    options: ClientOptions = _NO_OPTIONS,
) -> int:
    """Let jobs, a node or the whole fleet go on after a pause.

    Args:
        job_ids: Ids of jobs, as `mediafleet jobs` shows them.
        node: A node's id.
        every: The whole fleet; jobs and nodes that are paused by themselves stay so.
        options: Shared options.
    """
    if job_ids and not node and not every:
        return steer_jobs(job_ids, FleetClient.resume, "goes on", options)
    if node and not job_ids and not every:
        return _ask(lambda client: client.resume_node(node), f"{node} takes work again.", options)
    if every and not job_ids and not node:
        return _ask(lambda client: client.resume_fleet(), "The fleet goes on.", options)
    return _refuse(options)


async def _pause_job(client: FleetClient, job_id: str, *, now: bool) -> JobView:
    return await client.pause(job_id, now=now)


def _ask(question: Callable[[FleetClient], Awaitable[NodeView | FleetPause]], said: str, options: ClientOptions) -> int:
    output = Output(as_json=options.json)

    async def work() -> int:
        async with open_fleet(options) as fleet:
            output.document(await question(fleet.client))
            output.say(said)
        return 0

    return run_client(work(), output, debug=options.debug)


def _refuse(options: ClientOptions) -> int:
    output = Output(as_json=options.json)

    def work() -> int:
        raise InvalidRequest("Name jobs, or a node with --node, or the fleet with --all: one of the three.")

    return guard(work, output, debug=options.debug)
