"""Each method of the client asks for its route and returns the typed answer."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests_support.fake_scheduler import METRICS, NODE, POOL, RESULT, FakeScheduler

from mediafleet.client import FleetClient, JobFilter
from mediafleet.domain.errors import (
    ErrorInfo,
    IllegalTransition,
    InvalidRequest,
    NotFound,
    SchedulerUnavailable,
    Unauthorized,
    UnknownKind,
)
from mediafleet.domain.explanation import Simulation
from mediafleet.domain.job import Submission
from mediafleet.domain.lifecycle import JobStatus
from mediafleet.domain.node import NodeState

NOOP = Submission("noop", name="one")


async def test_a_submitted_job_can_be_read_again(scheduler: FakeScheduler, client: FleetClient) -> None:
    scheduler.holding = True
    view = await client.submit(NOOP)
    assert await client.job(view.id) == view
    assert scheduler.submissions == [NOOP]


async def test_a_list_is_submitted_in_one_request_and_answered_in_order(
    scheduler: FakeScheduler, client: FleetClient
) -> None:
    views = await client.submit_many([Submission("noop", name=name) for name in "abc"])
    assert [view.name for view in views] == ["a", "b", "c"]
    assert scheduler.requests.count("POST /api/v1/jobs") == 1


async def test_jobs_are_filtered_and_paged(scheduler: FakeScheduler, client: FleetClient) -> None:
    scheduler.holding = True
    first, second, third = await client.submit_many([NOOP, NOOP, Submission("transcode", "artifact:x")])
    await client.cancel(first.id)
    assert [view.id for view in (await client.jobs()).jobs] == [third.id, second.id, first.id]
    assert [view.id for view in (await client.jobs(JobFilter(status=JobStatus.CANCELLED))).jobs] == [first.id]
    assert [view.id for view in (await client.jobs(JobFilter(kind="noop", offset=1, limit=1))).jobs] == [first.id]


async def test_cancelling_and_retrying_answer_with_the_job(scheduler: FakeScheduler, client: FleetClient) -> None:
    scheduler.holding = True
    view = await client.submit(NOOP)
    assert (await client.cancel(view.id)).status is JobStatus.CANCELLED
    assert (await client.retry(view.id)).status is JobStatus.PENDING


async def test_nodes_and_pools_are_records(client: FleetClient) -> None:
    assert await client.nodes() == [NODE]
    assert await client.node(NODE.id) == NODE
    assert await client.pools() == [POOL]


async def test_explanations_are_records(scheduler: FakeScheduler, client: FleetClient) -> None:
    scheduler.holding = True
    view = await client.submit(NOOP)
    found = await client.why(view.id)
    assert (found.job, found.tasks_left_out) == (view.id, 2)
    assert (await client.simulate(Simulation(("kind:noop", "x:y")))).lacking[0].missing == ("x:y",)


async def test_a_drain_can_be_undone(client: FleetClient) -> None:
    assert (await client.drain(NODE.id)).state is NodeState.DRAINING
    assert (await client.drain(NODE.id, draining=False)).state is NodeState.READY


async def test_overviews_are_plain_documents(client: FleetClient) -> None:
    assert await client.kinds() == [{"name": "noop"}]
    assert await client.stats() == {"queued_tasks": 0}
    assert (await client.cluster())["store"]["reachable"]


async def test_metrics_and_log_levels_are_records(scheduler: FakeScheduler, client: FleetClient) -> None:
    assert await client.metrics() == METRICS
    assert (await client.set_log_level("scheduler", "debug")).levels == {"scheduler": "debug"}
    assert (await client.log_levels()).default == "info"


async def test_files_go_up_and_come_down(client: FleetClient, tmp_path: Path) -> None:
    source, copy = tmp_path / "a.bin", tmp_path / "b.bin"
    source.write_bytes(RESULT)
    ref = await client.artifacts.upload(source, name="a.bin")
    await client.artifacts.download(ref, copy)
    assert copy.read_bytes() == RESULT


async def test_a_problem_document_becomes_the_error_it_names(scheduler: FakeScheduler, client: FleetClient) -> None:
    scheduler.refusals["one"] = UnknownKind("There is no job kind 'noop'.")
    with pytest.raises(UnknownKind, match="There is no job kind"):
        await client.submit(NOOP)
    with pytest.raises(NotFound):
        await client.job("j0-nothing")
    view = await client.submit(Submission("noop", name="two"))
    async for _ in client.events(view.id):
        pass
    with pytest.raises(IllegalTransition):
        await client.cancel(view.id)


async def test_an_id_stays_one_part_of_the_path_whatever_is_typed(
    scheduler: FakeScheduler, client: FleetClient
) -> None:
    for typed in ("../nodes", "a b?c#d", ""):
        with pytest.raises(NotFound):
            await client.job(typed)
    assert not any(request == "GET /api/v1/nodes" for request in scheduler.requests)


async def test_without_the_token_the_answer_is_unauthorized_and_with_it_all_works() -> None:
    with FakeScheduler(token="secret") as scheduler:  # noqa: S106 - a token of a fake
        async with FleetClient(scheduler.url) as stranger:
            with pytest.raises(Unauthorized):
                await stranger.nodes()
        async with FleetClient(scheduler.url, "secret") as friend:
            assert await friend.nodes() == [NODE]


async def test_a_short_outage_is_bridged_where_repeating_is_safe(scheduler: FakeScheduler, client: FleetClient) -> None:
    scheduler.outages = 2
    assert await client.nodes() == [NODE]
    scheduler.outages = 2
    await client.submit(Submission("noop", idempotency_key="k"))
    assert len(scheduler.jobs) == 1


async def test_a_submission_without_a_key_is_sent_only_once(scheduler: FakeScheduler, client: FleetClient) -> None:
    scheduler.outages = 1
    with pytest.raises(Exception, match="store is away"):
        await client.submit(NOOP)
    assert scheduler.requests == ["POST /api/v1/jobs"]


async def test_no_scheduler_gives_a_sentence_that_says_what_to_do(scheduler: FakeScheduler) -> None:
    scheduler.stop()
    async with FleetClient(scheduler.url) as client:
        assert not await client.is_healthy()
        with pytest.raises(SchedulerUnavailable, match="mediafleet up"):
            await client.nodes()


async def test_another_web_server_is_told_from_a_scheduler(scheduler: FakeScheduler) -> None:
    async with FleetClient(scheduler.url + "/elsewhere") as client:
        with pytest.raises(NotFound, match="status 404"):
            await client.nodes()


@pytest.mark.parametrize("address", ["ftp://host", "http://", "file:///etc/passwd", "http://[::1"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(InvalidRequest, match="no server address"):
        FleetClient(address)


def test_host_and_port_alone_are_an_address() -> None:
    assert FleetClient("127.0.0.1:8000/").base_url == "http://127.0.0.1:8000"


async def test_a_client_is_used_inside_its_block() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await FleetClient("http://127.0.0.1:1").nodes()


async def test_failures_of_jobs_carry_their_sentence(scheduler: FakeScheduler, client: FleetClient) -> None:
    scheduler.outcomes["one"] = ErrorInfo("unreadable-media", "This is no video.")
    view = await client.submit(NOOP)
    async for _ in client.events(view.id):
        pass
    assert (await client.job(view.id)).error == ErrorInfo("unreadable-media", "This is no video.")


async def test_what_is_paused_goes_on(client: FleetClient, scheduler: FakeScheduler) -> None:
    scheduler.holding = True
    job = await client.submit(NOOP)
    assert (await client.pause(job.id, now=True)).status is JobStatus.PAUSED
    assert (await client.resume(job.id)).status is JobStatus.PENDING
    assert (await client.pause_node(NODE.id)).state is NodeState.PAUSED
    assert (await client.resume_node(NODE.id)).state is NodeState.READY
    assert (await client.pause_fleet(now=True)).now
    assert (await client.fleet_pause()).paused
    assert not (await client.resume_fleet()).paused
