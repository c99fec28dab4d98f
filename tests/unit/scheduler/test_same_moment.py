"""One idempotency key handed to two instances in the same moment is one job."""

from __future__ import annotations

import asyncio

import pytest
from running_instances import Instances

from mediafleet.domain.job import Submission
from mediafleet.domain.live_key import live_key

ROUNDS = 25
CALLERS = 8


@pytest.mark.parametrize("times", [1, 2], ids=["single", "twice in each batch"])
async def test_two_instances_that_get_a_key_at_once_give_the_same_job(instances: Instances, times: int) -> None:
    async with instances.run("i-1") as one, instances.run("i-2") as two:
        for number in range(ROUNDS):
            key = live_key("default", "s0-x", number)
            submission = Submission("noop", idempotency_key=key)
            batch = [submission] * times
            answers = await asyncio.gather(
                *(fleet.submit(batch, principal="ann") for _ in range(CALLERS) for fleet in (one, two))
            )
            accepted = [item for answer in answers for item in answer]
            assert len({item.job.id for item in accepted}) == 1
            assert sum(item.created for item in accepted) == 1, "one of them was first"
        assert (await one.jobs()).total == ROUNDS
        assert await instances.store.redis.hget(instances.store.keys.open, "all") == str(ROUNDS).encode()
