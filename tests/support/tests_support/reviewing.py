"""Jobs of a store in which a person has something to do, without a kind that plans them."""

from __future__ import annotations

import msgspec

from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.ids import task_id
from mediafleet.domain.lifecycle import PriorityClass
from mediafleet.domain.plan import TaskResult, TaskSpec
from mediafleet.domain.review import REVIEW_GRANT, REVIEW_STEP, review_task
from mediafleet.store import records
from mediafleet.store.scripts import as_text
from tests_support.store_driver import StoreDriver

DOCUMENT = ArtifactRef("a0-document", "text.json", size=2, sha256="0" * 64)
ANSWER = ArtifactRef("a0-answer", "text.json", size=4, sha256="1" * 64)
PEOPLE = records.QueueSpec(review_task("any", DOCUMENT).requirement, PriorityClass.BATCH)


def with_reviews(driver: StoreDriver, job: records.JobRecord, *names: str) -> records.JobRecord:
    """Return the job with these of its tasks as reviews."""
    driver.queues[PEOPLE.id] = as_text(PEOPLE)

    def asked(task: records.TaskRecord) -> records.TaskRecord:
        spec = TaskSpec("noop", 1, REVIEW_STEP, task.name, "default", inputs=(DOCUMENT,), weight=0.0)
        return msgspec.structs.replace(task, queue=PEOPLE.id, doc=as_text(spec), weight=0.0)

    tasks = [asked(task) if task.name in names else task for task in job.tasks]
    return msgspec.structs.replace(job, tasks=tasks, weight=sum(task.weight for task in tasks))


async def submit_reviewed(
    driver: StoreDriver, tasks: dict[str, tuple[str, ...]], *names: str, outcome_of: str = ""
) -> str:
    """Accept a job of these tasks (name → names that it waits for), some of which are reviews; return its id."""
    record = with_reviews(driver, driver.job_record(tasks, outcome_of=outcome_of), *names)
    return (await driver.submit(record)).jobs[0].id


async def look_again(driver: StoreDriver, job: str) -> bool:
    """Ask a plan that adds nothing to what it said, as a scheduler asks for each job that is dirty; tell whether it was applied."""
    state = await driver.store.read.plan_state(job)
    assert state is not None
    outcome_of = (await driver.redis.hget(driver.store.keys.job(job), "outcome_of") or b"").decode()
    piece = records.ExpandPiece(job, state.version, outcome_of, [], last=True, queues={}, people=state.people)
    return (await driver.store.expand(piece)).applied


async def settle(driver: StoreDriver) -> None:
    """Look at all dirty jobs, until none is left."""
    while jobs := await driver.store.read.dirty_jobs(100):
        for job in jobs:
            assert await look_again(driver, job)


async def answer(driver: StoreDriver, job: str, name: str = "review", *, ref: ArtifactRef = ANSWER) -> str:
    """Put something back; return the verdict."""
    result = as_text(TaskResult({}, (ref,)))
    record = records.ResultRecord(task_id(job, name), REVIEW_GRANT, result, [ref.id])
    return (await driver.store.finish([record])).verdicts[0]
