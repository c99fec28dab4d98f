"""What is accepted is complete and correct; what is refused is told why and leaves nothing behind."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from scheduler_parts import Parts, assigned, is_asked, kind_with
from tests_support.redis_server import RedisServer

from mediafleet.domain.clock import SystemClock
from mediafleet.domain.errors import InputError, InvalidParams, InvalidRequest, NotFound, Unavailable, UnknownKind
from mediafleet.domain.job import MOST_SUBMISSIONS, Job, Submission
from mediafleet.domain.lifecycle import JobStatus, PriorityClass
from mediafleet.domain.limits import KindLimits, LimitWish, TaskLimits
from mediafleet.domain.plan import Expand, FinishedTask, NewTask, Step, TaskSpec
from mediafleet.domain.rules import InstanceDocument
from mediafleet.kinds import Kind
from mediafleet.kinds.noop import KIND
from mediafleet.ops.settings import ArtifactSettings
from mediafleet.scheduler.accept import Acceptor, check_submission, first_step
from mediafleet.scheduler.facade import UploadAnnouncement
from mediafleet.scheduler.uploads import Uploads
from mediafleet.store import Store
from mediafleet.store.scripts import as_text

JOB = Job("j0-x", "0", "default", "local", "noop", 1, "", (), {}, PriorityClass.BATCH, 1)
NOOP = Submission("noop")


def copies(job: Job, _: Sequence[FinishedTask]) -> Step:
    return Expand((NewTask("copy", "noop", inputs=job.inputs),), outcome_of="copy")


COPY = kind_with(copies, name="copy", inputs=(1, 2))


class Desk:
    """An acceptor with the uploads that it resolves inputs by."""

    def __init__(self, store: Store, folder: Path, kinds: Sequence[Kind]) -> None:
        self.parts = Parts(store, folder / "blobs", kinds=kinds)
        settings = ArtifactSettings(file_roots=(str(folder),))
        clock = SystemClock()
        self.uploads = Uploads(store, self.parts.blobs, clock, settings, retention=self.parts.retention, keep_ms=60_000)
        self.acceptor = Acceptor(store, self.parts.kinds, self.uploads, self.parts.placer, clock, retention_ms=60_000)

    async def refused(self, *submissions: Submission, error: type[Exception], match: str) -> None:
        """Submit in vain."""
        with pytest.raises(error, match=match):
            await self.acceptor.accept(submissions, principal="ann")
        assert (await self.parts.store.read.jobs(status=None, offset=0, limit=10))[1] == 0


@pytest.fixture
def desk(store: Store, tmp_path: Path) -> Desk:
    return Desk(store, tmp_path, [KIND, COPY])


@pytest.mark.parametrize("tenant", ["", "-a", ".a", "a b", "a/b", "ä", "a\n", "x" * 65])
def test_a_tenant_that_could_break_a_key_is_refused(tenant: str) -> None:
    with pytest.raises(InvalidRequest, match="is no tenant: use 1 to 64 of"):
        check_submission(Submission("noop", tenant=tenant), KIND)


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", fullmatch=True))
def test_a_tenant_of_plain_characters_is_taken(tenant: str) -> None:
    check_submission(Submission("noop", tenant=tenant), KIND)


def test_a_refused_tenant_is_shown_in_part_only() -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_submission(Submission("noop", tenant="x" * 5_000), KIND)
    assert len(refused.value.message) < 200


@pytest.mark.parametrize("key", ["two words", "é", "tab\t", "line\n", "x" * 201])
def test_an_idempotency_key_that_could_break_a_key_is_refused(key: str) -> None:
    with pytest.raises(InvalidRequest, match="at most 200 printable ASCII characters without spaces"):
        check_submission(Submission("noop", idempotency_key=key), KIND)


@pytest.mark.parametrize("key", ["", "!~", "order:17/b", "x" * 200])
def test_an_idempotency_key_of_printable_characters_is_taken(key: str) -> None:
    check_submission(Submission("noop", idempotency_key=key), KIND)


def test_a_webhook_is_refused_with_the_way_that_there_is() -> None:
    with pytest.raises(InvalidRequest, match=r"not available yet; follow GET /api/v1/jobs/\{id\}/events"):
        check_submission(Submission("noop", webhook="http://127.0.0.1/"), KIND)


@pytest.mark.parametrize(
    ("inputs", "count", "wanted"),
    [
        ((1, 1), 0, "1"),
        ((1, 1), 2, "1"),
        ((0, 0), 1, "0"),
        ((2, 3), 1, "2 to 3"),
        ((2, 3), 4, "2 to 3"),
        ((2, None), 1, "2 or more"),
    ],
)
def test_a_wrong_number_of_inputs_is_told_with_the_right_one(
    inputs: tuple[int, int | None], count: int, wanted: str
) -> None:
    kind = replace(KIND, inputs=inputs)
    sentence = f"The kind 'noop' takes {wanted} input(s); {count} were given."
    with pytest.raises(InvalidParams, match=re.escape(sentence)):
        check_submission(Submission("noop", input=["file:///a"] * count), kind)


@pytest.mark.parametrize(("inputs", "count"), [((0, 0), 0), ((1, 2), 1), ((1, 2), 2), ((1, None), 50)])
def test_a_right_number_of_inputs_is_taken(inputs: tuple[int, int | None], count: int) -> None:
    check_submission(Submission("noop", input=["file:///a"] * count), replace(KIND, inputs=inputs))


def test_a_sentence_of_a_plan_reaches_the_submitter_unchanged() -> None:
    def plan(_: Job, __: Sequence[FinishedTask]) -> Step:
        raise InvalidParams("The end lies before the start.")

    with pytest.raises(InvalidParams, match=r"^The end lies before the start\.$"):
        first_step(kind_with(plan), JOB)


def test_a_fault_of_a_plan_does_not_look_like_one_of_ours() -> None:
    def plan(_: Job, __: Sequence[FinishedTask]) -> Step:
        raise ZeroDivisionError("by zero")

    with pytest.raises(InputError, match=r"The job kind 'noop' cannot plan this job: ZeroDivisionError\('by zero'\)"):
        first_step(kind_with(plan), JOB)


async def test_a_job_is_accepted_with_all_that_was_said_of_it(desk: Desk) -> None:
    wish = Submission("noop", params={"echo": "hi"}, priority=PriorityClass.LIVE, tenant="studio", name="Film")
    (accepted,) = await desk.acceptor.accept([wish], principal="ann")
    view = await desk.parts.job(accepted.job.id)
    assert (view.name, view.tenant, view.priority, view.status) == ("Film", "studio", PriorityClass.LIVE, "pending")
    assert view.params == {"echo": "hi", "slots": 1}
    document = await desk.parts.store.read.job_document(view.id)
    assert document
    assert (document.principal, document.cell, document.kind_version) == ("ann", "0", 1)


async def test_the_answer_is_what_the_store_would_say(desk: Desk) -> None:
    (accepted,) = await desk.acceptor.accept([NOOP], principal="ann")
    stored = await desk.parts.job(accepted.job.id)
    assert accepted.created
    for field in ("id", "kind", "name", "status", "progress", "priority", "tenant", "created_ms", "version", "params"):
        assert getattr(accepted.job, field) == getattr(stored, field)


async def test_an_accepted_job_is_placed_without_being_looked_for(desk: Desk) -> None:
    await desk.acceptor.accept([NOOP], principal="ann")
    assert is_asked(desk.parts.placer)


async def test_many_jobs_are_answered_in_their_order(desk: Desk) -> None:
    wishes = [Submission("noop", name=f"job {number}") for number in range(20)]
    accepted = await desk.acceptor.accept(wishes, principal="ann")
    assert [answer.job.name for answer in accepted] == [wish.name for wish in wishes]


@pytest.mark.parametrize(("present", "error"), [(True, Unavailable), (False, UnknownKind)])
async def test_a_kind_that_only_another_instance_has_is_no_mistake_of_the_caller(
    desk: Desk, *, present: bool, error: type[Exception]
) -> None:
    about = InstanceDocument("1", "elsewhere", 1, kinds={"nap": (1,)})
    await desk.parts.store.announce("i-other", doc=as_text(about), ttl_ms=60_000)
    if not present:
        await desk.parts.store.retire("i-other")
    await desk.refused(Submission("nap"), error=error, match="nap")


async def test_jobs_of_a_list_begin_in_its_order(desk: Desk) -> None:
    """Those of the same millisecond are taken by their ids."""
    accepted = await desk.acceptor.accept([NOOP] * 50, principal="ann")
    ids = [answer.job.id for answer in accepted]
    link = await desk.parts.link(slots=50)
    await desk.parts.placer.step()
    assert [given.job for given in assigned(link)] == ids


@pytest.mark.parametrize("count", [0, MOST_SUBMISSIONS + 1])
async def test_a_call_takes_neither_none_nor_too_many(desk: Desk, count: int) -> None:
    match = f"One call takes 1 to {MOST_SUBMISSIONS} jobs; {count} were given"
    await desk.refused(*[NOOP] * count, error=InvalidRequest, match=match)


async def test_one_wrong_job_among_many_keeps_all_of_them_out(desk: Desk) -> None:
    await desk.refused(NOOP, Submission("nope"), NOOP, error=UnknownKind, match="did you mean 'noop'")
    await desk.refused(NOOP, Submission("noop", params={"slots": "x"}), error=InvalidParams, match="slots")


async def test_a_job_that_is_submitted_again_is_the_first_one(desk: Desk) -> None:
    wish = Submission("noop", idempotency_key="once", name="first")
    (first,) = await desk.acceptor.accept([wish], principal="ann")
    others = msgspec.structs.replace(wish, tenant="other")
    again, other = await desk.acceptor.accept([wish, others], principal="ann")
    assert (again.created, again.job.id, again.job.name) == (False, first.job.id, "first")
    assert other.created


async def test_a_key_whose_job_has_just_gone_asks_to_submit_again(desk: Desk) -> None:
    wish = Submission("noop", idempotency_key="once")
    (first,) = await desk.acceptor.accept([wish], principal="ann")
    await desk.parts.driver.redis.delete(desk.parts.store.keys.job(first.job.id))
    with pytest.raises(NotFound, match="has just passed its retention; submit again"):
        await desk.acceptor.accept([wish], principal="ann")


async def test_a_job_without_a_name_is_called_after_its_first_input_or_its_kind(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "film.mkv").write_bytes(b"film")
    wishes = [Submission("copy", input=(tmp_path / "film.mkv").as_uri()), NOOP]
    film, noop = await desk.acceptor.accept(wishes, principal="ann")
    assert (film.job.name, noop.job.name) == ("film.mkv", "noop")


async def test_a_name_cannot_move_the_cursor_of_a_terminal(desk: Desk) -> None:
    (accepted,) = await desk.acceptor.accept([Submission("noop", name="a\x1b[2Jb\nc" + "x" * 300)], principal="ann")
    assert accepted.job.name.startswith("a [2Jb cxx")
    assert len(accepted.job.name) == 255


async def test_a_job_waits_for_an_upload_that_is_still_open(desk: Desk) -> None:
    upload = await desk.uploads.announce(UploadAnnouncement("film.mkv", 4), principal="ann")
    (accepted,) = await desk.acceptor.accept([Submission("copy", f"artifact:{upload.ref.id}")], principal="ann")
    assert accepted.job.status is JobStatus.UPLOADING
    assert (await desk.parts.job(accepted.job.id)).status is JobStatus.UPLOADING
    assert not is_asked(desk.parts.placer)


async def test_an_artifact_that_goes_while_jobs_are_submitted_is_named(
    store: Store, tmp_path: Path, redis_server: RedisServer
) -> None:
    client = redis.Redis(unix_socket_path=redis_server.url.removeprefix("unix://"))

    def plan(job: Job, finished: Sequence[FinishedTask]) -> Step:
        client.delete(store.keys.artifact(job.inputs[0].id))
        return copies(job, finished)

    desk = Desk(store, tmp_path, [replace(COPY, plan=plan)])
    upload = await desk.uploads.announce(UploadAnnouncement("film.mkv", 4), principal="ann")
    wish = Submission("copy", f"artifact:{upload.ref.id}")
    await desk.refused(wish, error=NotFound, match=f"no artifact '{upload.ref.id}' any more; upload the file again")
    client.close()


@pytest.mark.parametrize(
    ("times", "match"),
    [
        ({"deadline": 1}, "The deadline is past already"),
        ({"deadline": 2_000_000_000_000, "not_before": 2_000_000_000_000}, "The deadline is not after not_before"),
        ({"not_before": "tonight"}, "not_before is no moment"),
    ],
)
async def test_times_in_which_no_job_can_run_are_refused(desk: Desk, times: dict[str, int | str], match: str) -> None:
    await desk.refused(msgspec.structs.replace(NOOP, **times), error=InvalidRequest, match=match)


async def test_times_are_part_of_the_job(desk: Desk) -> None:
    wanted = msgspec.structs.replace(NOOP, not_before="2040-01-01T00:00:00Z", deadline=4_000_000_000_000)
    (accepted,) = await desk.acceptor.accept([wanted], principal="ann")
    stored = await desk.parts.store.read.job(accepted.job.id)
    for view in (accepted.job, stored):
        assert view is not None
        assert (view.not_before_ms, view.deadline_ms) == (2_208_988_800_000, 4_000_000_000_000)


async def test_limits_of_a_submission_reach_the_task_and_its_node(desk: Desk) -> None:
    """Also those tasks that the plan adds later: the job keeps what was asked for."""
    wanted = msgspec.structs.replace(NOOP, limits=LimitWish(max_tries=7, queue_ms=9_000))
    (accepted,) = await desk.acceptor.accept([wanted], principal="ann")
    store = desk.parts.store
    client: Any = store.redis
    rule, doc = await client.hmget(store.keys.task(f"{accepted.job.id}.noop"), "rule", "doc")
    assert rule.decode().endswith("|0,9000,0,0")
    limits = msgspec.json.decode(doc, type=TaskSpec).limits
    assert (limits.max_tries, limits.queue_ms, limits.total_ms) == (7, 9_000, 0)
    job = await store.read.job_document(accepted.job.id)
    assert job is not None
    assert job.limits == wanted.limits


async def test_limits_out_of_the_kinds_range_keep_a_job_out(store: Store, tmp_path: Path) -> None:
    desk = Desk(store, tmp_path, [replace(KIND, limits=KindLimits(most=LimitWish(queue_ms=5_000)))])
    wanted = msgspec.structs.replace(NOOP, limits=LimitWish(queue_ms=5_001))
    await desk.refused(wanted, error=InvalidRequest, match=r"limits\.queue_ms is 5001; this kind allows 1000 to 5000")


@pytest.mark.parametrize("limits", [TaskLimits(max_tries=0), TaskLimits(progress_ms=-1)])
async def test_a_plan_with_limits_that_cannot_be_keeps_its_job_out(
    store: Store, tmp_path: Path, limits: TaskLimits
) -> None:
    def plan(_: Job, __: Sequence[FinishedTask]) -> Step:
        return Expand((NewTask("noop", "noop", limits=limits),))

    await Desk(store, tmp_path, [kind_with(plan)]).refused(NOOP, error=InvalidRequest, match="which cannot be")
