"""Reviews as a scheduler carries them out: a document goes out, what comes back is checked, and one answer counts."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from cells_of_a_fleet import Cells
from cells_of_a_fleet import in_cell as submit_in
from running_instances import Instances, given, join, until
from scheduler_parts import assigned
from tests_support.proofread_kind import KIND, Text

from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.capability import PERSON
from mediafleet.domain.errors import (
    Conflict,
    InputError,
    InvalidParams,
    InvalidRequest,
    NotFound,
    Outdated,
    Unavailable,
)
from mediafleet.domain.frames import JobResults, Outcome
from mediafleet.domain.job import Job, JobView, Submission
from mediafleet.domain.lifecycle import JobStatus, PriorityClass, TaskState
from mediafleet.domain.limits import KindLimits, TaskLimits
from mediafleet.domain.node import Executor
from mediafleet.domain.plan import Expand, FinishedTask, TaskResult, TaskSpec
from mediafleet.domain.review import MOST_DOCUMENT_BYTES, Review, ReviewAnswer, check_json, review_tag, review_task
from mediafleet.kinds.noop import KIND as NOOP
from mediafleet.scheduler.cells import CellFleet
from mediafleet.scheduler.facade import UploadAnnouncement
from mediafleet.scheduler.reviews import check_review, choose_answered, choose_shown
from mediafleet.scheduler.service import Scheduler
from mediafleet.scheduler.tasks import task_record
from mediafleet.scheduler.unoffered import explain_unoffered
from mediafleet.scheduler.uploads import Uploads
from mediafleet.store.review_records import JobReviews

DOCUMENT = b'{"text":"teh end"}'
MENDED = b'{"text":"the end"}'
READY = Executor("cpu", 1, ("kind:proofread",))


@pytest.fixture
async def fleet(instances: Instances) -> AsyncIterator[Scheduler]:
    """One whole instance that has the kind."""
    instances.kinds.append(KIND)
    async with instances.run() as scheduler:
        yield scheduler


async def bytes_of(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def upload(fleet: Scheduler | CellFleet) -> str:
    """Return the address of a document."""
    artifact = await fleet.announce_upload(UploadAnnouncement("text.json", len(DOCUMENT)), principal="ann")
    await fleet.receive_upload(artifact.ref.id, offset=0, length=len(DOCUMENT), chunks=bytes_of(DOCUMENT))
    return f"artifact:{artifact.ref.id}"


async def in_review(fleet: Scheduler, **params: Any) -> str:
    """Return a job that waits for its readers."""
    wish = Submission("proofread", input=await upload(fleet), params=params)
    job = (await fleet.submit([wish], principal="ann"))[0].job.id
    await reviewed(fleet, job)
    return job


async def reviewed(fleet: Scheduler | CellFleet, job: str) -> None:
    """Wait until a job is in review."""

    async def is_there() -> bool:
        return (await fleet.job(job)).status is JobStatus.REVIEW

    await until(is_there)


def put(body: bytes = MENDED, **more: Any) -> ReviewAnswer:
    """Return an answer."""
    given: dict[str, Any] = {"by": "bob"} | more
    return ReviewAnswer(body, **given)


async def read(fleet: Scheduler | CellFleet, ref: ArtifactRef) -> bytes:
    """Return an artifact's bytes."""
    artifact = await fleet.open_artifact(ref.id)
    return b"".join([piece async for piece in artifact.read(0, artifact.size)])


async def finish(fleet: Scheduler, job: str) -> JobView:
    """Let a node do the last task of a job, by what was put back."""
    link = await join(fleet, executors=(READY,))
    ref = await given(link)
    spec = msgspec.json.decode(assigned(link)[-1].spec, type=TaskSpec)
    texts = [msgspec.json.decode(await read(fleet, one), type=Text).text for one in spec.inputs]
    await fleet.receive(link, JobResults((Outcome(ref.task, ref.grant, TaskResult({"texts": texts})),)))

    async def is_over() -> bool:
        return (await fleet.job(job)).finished_ms is not None

    await until(is_over)
    return await fleet.job(job)


# --- decisions -----------------------------------------------------------------------------


def review(name: str, *, answer: bool = False) -> Review:
    state = TaskState.DONE if answer else TaskState.NEW
    document = ArtifactRef("a0-doc", "text.json", sha256="d" * 64)
    return Review(name, f"j0-job.{name}", state, document, ArtifactRef("a0-ans", "text.json") if answer else None)


def job_with(asked: Sequence[str] = (), answered: Sequence[str] = ()) -> JobReviews:
    job = Job("j0-job", "0", "default", "ann", "proofread", 1, "", (), {}, PriorityClass.BATCH, 0)
    done = [review(name, answer=True) for name in answered]
    return JobReviews(job, JobStatus.REVIEW, [review(name) for name in asked], done)


def test_the_only_review_that_waits_need_not_be_named() -> None:
    assert choose_shown(job_with(["es"], ["fr"]), "").name == "es"
    assert choose_shown(job_with(["es", "fr"]), "fr").name == "fr"


@pytest.mark.parametrize(
    ("found", "name", "error", "sentence"),
    [
        (job_with(["es", "fr"]), "", Conflict, r"several reviews \(es, fr\)"),
        (job_with(), "", Conflict, "waits for no review"),
        (job_with([], ["fr"]), "fr", Conflict, "'fr' of the job j0-job was answered"),
        (job_with(["es"]), "de", NotFound, "no review 'de'"),
    ],
)
def test_no_document_is_shown_by_chance(found: JobReviews, name: str, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        choose_shown(found, name)


def test_an_answer_is_never_taken_for_that_to_another_review() -> None:
    """Somebody else may have answered the first one meanwhile, and the job asks something new."""
    found = job_with(["fr"], ["es"])
    with pytest.raises(Conflict, match="several reviews"):
        choose_answered(found, put())
    assert choose_answered(found, put(review="es")).name == "es"
    assert choose_answered(found, put(tags=(review_tag(review("fr")),))).name == "fr"
    with pytest.raises(Outdated, match="corrects another document"):
        choose_answered(found, put(tags=("old",)))
    with pytest.raises(Outdated):
        choose_answered(found, put(review="fr", tags=(review_tag(review("es")),)))
    with pytest.raises(Conflict, match="waits for no review"):
        choose_answered(job_with(), put())


def test_a_kind_checks_what_is_put_back() -> None:
    params = {"text": "", "readers": ("ann",)}
    assert check_review(KIND, params, b' {"text": " the end "}', DOCUMENT) == MENDED
    with pytest.raises(InvalidParams, match="is no text"):
        check_review(KIND, params, b'{"word": 1}', DOCUMENT)
    with pytest.raises(InputError, match="'proofread' cannot read what was put back: AssertionError"):
        check_review(KIND, {}, MENDED, DOCUMENT)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000])
def test_a_kind_without_a_check_takes_any_json(body: bytes) -> None:
    assert check_review(NOOP, {}, b"[1, null]", b"{}") == b"[1, null]"
    with pytest.raises(InvalidParams, match="is no JSON"):
        check_json(body)


# --- an instance ---------------------------------------------------------------------------


async def test_a_job_goes_on_with_what_a_person_puts_back(fleet: Scheduler) -> None:
    job = await in_review(fleet)
    document = await fleet.reviews.show(job)
    assert (document.review, document.name, document.body) == ("read-ann", "text.json", DOCUMENT)
    view = await fleet.reviews.answer(job, put(b'{"text": "the end"}', tags=(document.tag,)))
    assert (view.status, view.reviews) == (JobStatus.PROCESSING, ())
    done = await finish(fleet, job)
    put_there = hashlib.sha256(b'{"text": "the end"}').hexdigest()
    assert done.result == {"texts": ["the end"], "by": [{"by": "bob", "changed": True, "put": put_there}]}
    assert done.status is JobStatus.COMPLETED


async def test_what_is_put_back_is_held_beside_what_was_shown(fleet: Scheduler) -> None:
    job = await in_review(fleet)
    with pytest.raises(InvalidParams, match="Nothing is left of the text that was shown"):
        await fleet.reviews.answer(job, put(b'{"text": " "}'))
    assert (await fleet.job(job)).status is JobStatus.REVIEW


async def test_what_is_put_back_unchanged_is_told_as_such(fleet: Scheduler) -> None:
    job = await in_review(fleet)
    await fleet.reviews.answer(job, put(DOCUMENT))
    done = await finish(fleet, job)
    assert done.result is not None
    assert done.result["by"] == [{"by": "bob", "changed": False, "put": hashlib.sha256(DOCUMENT).hexdigest()}]


async def test_the_same_answer_may_come_twice_and_another_is_refused(fleet: Scheduler) -> None:
    job = await in_review(fleet)
    await fleet.reviews.answer(job, put())
    again = await fleet.reviews.answer(job, put(by="ann"))
    assert again.id == job
    with pytest.raises(Conflict, match="answered already, with something else"):
        await fleet.reviews.answer(job, put(DOCUMENT))


async def test_the_same_answer_may_come_again_when_what_was_shown_is_gone(
    fleet: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def is_gone(_: Uploads, artifact: str) -> None:
        raise NotFound(f"There is no artifact {artifact}.")

    job = await in_review(fleet)
    await fleet.reviews.answer(job, put())
    await finish(fleet, job)
    monkeypatch.setattr(Uploads, "open", is_gone)
    assert (await fleet.reviews.answer(job, put())).status is JobStatus.COMPLETED
    with pytest.raises(Conflict, match="answered already, with something else"):
        await fleet.reviews.answer(job, put(DOCUMENT))


async def test_of_answers_that_come_at_once_one_counts_and_the_others_leave_nothing(
    fleet: Scheduler, instances: Instances
) -> None:
    job = await in_review(fleet)
    bodies = [msgspec.json.encode(Text(f"version {number}")) for number in range(8)]
    outcomes = await asyncio.gather(*(fleet.reviews.answer(job, put(b)) for b in bodies), return_exceptions=True)
    assert [type(one) for one in outcomes if isinstance(one, Exception)] == [Conflict] * 7
    found = await fleet._store.reviews(job)
    assert found is not None
    (kept,) = found.answered
    winner = bodies[next(n for n, one in enumerate(outcomes) if isinstance(one, JobView))]
    assert kept.answer is not None
    assert kept.answer.sha256 == hashlib.sha256(winner).hexdigest()
    stored = [path for path in (instances.folder / "blobs").rglob("a0-*") if path.is_file()]
    assert len(stored) == 2, "the document and one answer"


async def test_what_does_not_fit_is_refused_with_a_sentence_and_the_job_still_waits(fleet: Scheduler) -> None:
    job = await in_review(fleet)
    with pytest.raises(InvalidParams, match="is no text"):
        await fleet.reviews.answer(job, put(b"{}"))
    with pytest.raises(Outdated):
        await fleet.reviews.answer(job, put(tags=("other",)))
    assert (await fleet.job(job)).status is JobStatus.REVIEW


async def test_no_answer_is_taken_in_another_status(fleet: Scheduler) -> None:
    job = await in_review(fleet)
    await fleet.pauses.pause_job(job)
    with pytest.raises(Conflict, match="is paused; it takes a review back only while"):
        await fleet.reviews.answer(job, put())
    await fleet.pauses.resume_job(job)
    await reviewed(fleet, job)
    await fleet.cancel(job)
    with pytest.raises(Conflict, match="is cancelled; it waits for no review"):
        await fleet.reviews.answer(job, put())
    await fleet.retry(job)
    await reviewed(fleet, job)
    assert (await fleet.reviews.answer(job, put())).status is JobStatus.PROCESSING


async def test_jobs_that_are_not_there_have_no_reviews(fleet: Scheduler) -> None:
    for job in ("j0-nothere00001", "nonsense"):
        with pytest.raises(NotFound, match="There is no job"):
            await fleet.reviews.show(job)
        with pytest.raises(NotFound, match="There is no job"):
            await fleet.reviews.answer(job, put())


async def test_a_job_waits_for_each_of_its_readers(fleet: Scheduler) -> None:
    job = await in_review(fleet, readers=("ann", "bob"))
    with pytest.raises(Conflict, match="several reviews"):
        await fleet.reviews.show(job)
    assert (await fleet.reviews.show(job, review="read-bob")).review == "read-bob"
    view = await fleet.reviews.answer(job, put(review="read-bob"))
    assert (view.status, view.reviews) == (JobStatus.REVIEW, ("read-ann",))
    with pytest.raises(Conflict, match="several reviews"):
        await fleet.reviews.answer(job, put())
    await fleet.reviews.answer(job, put(DOCUMENT, review="read-ann"))
    done = await finish(fleet, job)
    assert done.result is not None
    assert done.result["texts"] == ["teh end", "the end"]


async def test_a_job_in_review_says_so_and_how_to_answer(fleet: Scheduler) -> None:
    job = await in_review(fleet)
    why = await fleet.why(job)
    assert why.sentence.startswith(f"The job waits for a person: fetch its document with `mediafleet review {job} ")
    (task,) = why.tasks
    assert task.explanation is None, "no executor is looked for"
    assert "waits for a person" in task.sentence
    await fleet.pauses.pause_job(job)
    assert "nobody is asked" in (await fleet.why(job)).tasks[0].sentence


async def test_an_answer_outlives_the_instance_that_took_it(instances: Instances) -> None:
    """And the review the one that asked: all of it is in the store."""
    instances.kinds.append(KIND)
    async with instances.run("i-1") as first:
        job = await in_review(first)
    async with instances.run("i-2") as second:
        assert (await second.job(job)).status is JobStatus.REVIEW
        assert (await second.reviews.show(job)).body == DOCUMENT
        await second.reviews.answer(job, put())
    async with instances.run("i-3") as third:
        done = await finish(third, job)
        assert done.result is not None
        assert done.result["texts"] == ["the end"]


async def test_two_instances_take_one_answer(instances: Instances) -> None:
    instances.kinds.append(KIND)
    async with instances.run("i-1") as first, instances.run("i-2") as second:
        job = await in_review(first)
        both = [first.reviews.answer(job, put()), second.reviews.answer(job, put(DOCUMENT))]
        outcomes = await asyncio.gather(*both, return_exceptions=True)
        assert [isinstance(one, Conflict) for one in outcomes].count(True) == 1


async def test_an_instance_without_the_kind_leaves_the_check_to_another(instances: Instances) -> None:
    instances.kinds.append(KIND)
    async with instances.run("i-1") as first:
        job = await in_review(first)
        instances.kinds.pop()
        async with instances.run("i-2") as second:
            assert (await second.reviews.show(job)).body == DOCUMENT
            with pytest.raises(Unavailable, match="does not have the job kind 'proofread'"):
                await second.reviews.answer(job, put())
        await first.reviews.answer(job, put())


@pytest.mark.parametrize("offered", ["person:review", "person:any"])
async def test_no_node_may_stand_in_for_a_person(fleet: Scheduler, offered: str) -> None:
    with pytest.raises(InvalidRequest, match="No executor can offer 'person:review'"):
        await join(fleet, executors=(Executor("cpu", 1, ("kind:proofread", offered)),))


def test_a_person_has_no_limits_of_time() -> None:
    kind = replace(KIND, limits=KindLimits(TaskLimits(queue_ms=1000, total_ms=1000)))
    job = Job("j0-job", "0", "default", "ann", "proofread", 1, "", (), {}, PriorityClass.BATCH, 0)
    asked, _ = task_record(job, review_task("one", ArtifactRef("a0-doc", "text.json")), kind, waits=())
    assert (asked.limits, asked.total_ms) == ("", 0)


def test_a_kind_that_lets_nothing_wait_for_a_node_may_still_wait_for_a_person() -> None:
    kind = replace(KIND, advise="Install {}.".format)
    assert explain_unoffered(kind, 1, ["asr:none", PERSON], [READY.signature]) == "Install asr:none."
    assert explain_unoffered(kind, 1, [PERSON], [READY.signature]) == ""


async def test_each_cell_has_its_own_reviews(cells: Cells) -> None:
    async with cells.run() as fleet:
        for cell in fleet._names:
            document = await upload(fleet._cells[cell])
            job = (await submit_in(fleet, cell, kind="proofread", input=document)).id
            await reviewed(fleet, job)
            tag = (await fleet.reviews.show(job)).tag
            assert (await fleet.reviews.answer(job, put(tags=(tag,)))).status is JobStatus.PROCESSING


@pytest.mark.parametrize("fault", ["two documents", "too large", "too many"])
async def test_a_plan_that_asks_for_what_cannot_be_fails_its_job(instances: Instances, fault: str) -> None:
    document = ArtifactRef("a0-doc", "text.json")
    one = review_task("one", document)
    tasks = {
        "two documents": (msgspec.structs.replace(one, inputs=(document, document)),),
        "too large": (review_task("one", msgspec.structs.replace(document, size=MOST_DOCUMENT_BYTES + 1)),),
        "too many": tuple(review_task(f"r{number}", document) for number in range(101)),
    }[fault]

    def ask_for_it(_: Job, __: Sequence[FinishedTask]) -> Expand:
        return Expand(tasks)

    instances.kinds.append(replace(KIND, plan=ask_for_it, inputs=(0, 0)))
    async with instances.run() as scheduler:
        with pytest.raises(InvalidRequest):
            await scheduler.submit([Submission("proofread")], principal="ann")
