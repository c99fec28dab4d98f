"""`/api/v1/jobs/{id}/why` and `/api/v1/simulate`: what placing does, and why."""

from __future__ import annotations

from litestar import Controller, get, post
from litestar.params import FromPath, FromQuery, JSONBody

from mediafleet.domain.explanation import Explanation, JobWhy, Simulation
from mediafleet.domain.job import DEFAULT_TENANT
from mediafleet.domain.lifecycle import PriorityClass
from mediafleet.domain.node import PoolView
from mediafleet.domain.placement import Policy
from mediafleet.doors.http.context import InjectedFleet, check_job_id


class WhyController(Controller):
    """Explanations over REST."""

    path = "/api/v1"
    tags = ("why",)

    @get("/jobs/{job_id:str}/why")
    async def why(self, fleet: InjectedFleet, job_id: FromPath[str]) -> JobWhy:
        """Return why the job's tasks wait."""
        return await fleet.why(check_job_id(job_id))

    # The second address is that of older tools.
    @post(["/simulate", "/phase3/simulate"], status_code=200)
    async def simulate(self, fleet: InjectedFleet, data: JSONBody[Simulation]) -> Explanation:
        """Return what would become of a task now; nothing is reserved."""
        return await fleet.simulate(data)

    @get(["/simulate", "/phase3/simulate"])
    async def simulate_query(
        self,
        fleet: InjectedFleet,
        capabilities: FromQuery[list[str] | None] = None,
        slots: FromQuery[int] = 1,
        priority: FromQuery[PriorityClass] = PriorityClass.BATCH,
        tenant: FromQuery[str] = DEFAULT_TENANT,
        policy: FromQuery[Policy] = Policy.LEAST_LOADED,
    ) -> Explanation:
        """Return the same for a question in the address; `capabilities` may be named several times."""
        return await fleet.simulate(Simulation(tuple(capabilities or ()), slots, priority, tenant, policy))

    @get("/phase3/pools")
    async def pools(self, fleet: InjectedFleet) -> list[PoolView]:
        """Return the pools that have executors, where older tools look for them."""
        return await fleet.pools()
