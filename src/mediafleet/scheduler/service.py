"""One scheduler instance: its parts, started and stopped together, behind the `Fleet` seam."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import msgspec
import structlog

from mediafleet import __version__
from mediafleet.domain.cells import cell_names
from mediafleet.domain.errors import Conflict, IllegalTransition, NotFound, QueueFull, StoreUnavailable
from mediafleet.domain.frames import Drain, JobResults, Misc, Outcome, Registered, SetLogLevels
from mediafleet.domain.ids import is_id
from mediafleet.domain.job import JobPage
from mediafleet.domain.lifecycle import FINAL_JOB_STATUSES, JobStatus
from mediafleet.domain.rules import FleetRules, InstanceDocument, Lead, parse_tenants
from mediafleet.ops.metrics import Metrics
from mediafleet.scheduler.accept import Acceptor
from mediafleet.scheduler.admission import check_register, node_record
from mediafleet.scheduler.batches import BatchDesk
from mediafleet.scheduler.catalogue import CatalogueKeeper
from mediafleet.scheduler.chain_watch import ChainWatch
from mediafleet.scheduler.courier import Courier
from mediafleet.scheduler.dead import DeadLetterBox
from mediafleet.scheduler.events import EventHub
from mediafleet.scheduler.explainer import Explainer
from mediafleet.scheduler.facts import FactSource
from mediafleet.scheduler.insight import Insight
from mediafleet.scheduler.links import LinkedNode, LinkTable
from mediafleet.scheduler.loops import end_loops, keep_going
from mediafleet.scheduler.membership import PRESENCE_TICKS, Duties, Member
from mediafleet.scheduler.ownership import Ownership
from mediafleet.scheduler.pauses import PauseDesk
from mediafleet.scheduler.placer import Placer
from mediafleet.scheduler.planner import Planner
from mediafleet.scheduler.reaper import NODE_RETENTION_MS, Reaper, Recovery
from mediafleet.scheduler.remaining import Remaining
from mediafleet.scheduler.retention import Retention
from mediafleet.scheduler.reviews import ReviewDesk
from mediafleet.scheduler.settler import Settler
from mediafleet.scheduler.standing import StandingDesk, settle_rules
from mediafleet.scheduler.sweeper import Sweeper
from mediafleet.scheduler.uploads import Uploads
from mediafleet.scheduler.waiting import wait_final
from mediafleet.scheduler.workers import WorkerDesk
from mediafleet.store.inbox import Inbox
from mediafleet.store.records import PlaceRules
from mediafleet.store.schema import SCHEMA
from mediafleet.store.sessions import SessionStore

if TYPE_CHECKING:
    from types import TracebackType

    from mediafleet.artifacts.blobs import BlobStore
    from mediafleet.domain.artifact import Artifact, ArtifactRef, Location
    from mediafleet.domain.clock import Clock
    from mediafleet.domain.event import Event
    from mediafleet.domain.explanation import Explanation, JobWhy, Simulation
    from mediafleet.domain.frames import NodeFrame, Register
    from mediafleet.domain.job import JobView, Submission
    from mediafleet.domain.node import NodeView, PoolView
    from mediafleet.kinds import KindRegistry
    from mediafleet.ops.settings import SchedulerSettings, Settings
    from mediafleet.scheduler.facade import Accepted, NodeLink, OpenArtifact, OpenUpload, UploadAnnouncement
    from mediafleet.store import Store

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Resources:
    """What an instance works with and does not own."""

    store: Store
    blobs: BlobStore
    kinds: KindRegistry
    clock: Clock
    metrics: Metrics
    insight: Insight | None = None
    """Where several cells share one: its loops are then the business of who made it."""


class Scheduler:
    """One instance. Use it as an async context manager; it owns its loops, not its resources."""

    def __init__(self, instance: str, settings: Settings, resources: Resources) -> None:
        rules, store, kinds = settings.scheduler, resources.store, resources.kinds
        self.instance = instance
        self.kinds = kinds
        self.metrics = resources.metrics
        self._rules = rules
        self._cells = cell_names(settings.store.cells, only=settings.store.cell)
        self._fleet_rules = FleetRules()
        self._store, self.workers = store, WorkerDesk([store])
        self._links = LinkTable()
        self._placer = Placer(
            store, self._links, self.metrics, batch=rules.place_batch, rules=place_rules(instance, rules)
        )
        self.catalogue = CatalogueKeeper(settings.catalogue, resources.clock)
        facts = FactSource(store, lambda: self.catalogue.current)
        self._planner = Planner(store, kinds, self._placer, self._links, facts=facts, metrics=self.metrics)
        self._chains = ChainWatch(store, self._planner, facts, may_look=lambda: self._member.leads)
        self._standing = StandingDesk(store, self._links, self._placer, rules, settle=self._chains.settle)
        self._settler = Settler(
            store,
            self._links,
            self._placer,
            self.metrics,
            rules=settle_rules(rules, self._standing),
            on_final=self._planner.ask,
        )
        retention = Retention(store, resources.blobs)
        self._uploads = _uploads(settings, resources, retention)
        self.acceptor = Acceptor(
            store, kinds, self._uploads, self._placer, resources.clock, retention_ms=rules.job_retention_s * 1000
        )
        self.acceptor.on_dirty = self._planner.ask
        self.acceptor.bulk.withdraw = self._planner.withdraw
        recovery = Recovery(self._placer, self._planner, self._links, self.metrics)
        self._reaper = Reaper(store, rules, retention=retention, recovery=recovery)
        self._courier = Courier(store, Inbox(store, instance), self._links, self._placer, self.metrics)
        self._links.forward = self._courier.send
        self._member = _member(instance, resources, Duties(self._follow, self._bury), rules)
        self._sweeper = Sweeper(store, resources.blobs, resources.clock, keep_ms=rules.upload_retention_s * 1000)
        sessions = SessionStore(store, ttl_ms=rules.reap_ms * PRESENCE_TICKS, gap_ms=rules.outage_gap_ms)
        self.ownership = Ownership(instance, sessions)
        self._hub = EventHub(store, on_unknown=self.metrics.unknown_events.inc)
        self.insight = resources.insight or Insight(instance, [store], self.metrics)
        self._looks_after_insight = resources.insight is None
        self.insight.follow_with(lambda levels: self._links.tell_all(SetLogLevels(levels)))
        self.dead = DeadLetterBox(store, self.retry)
        self.pauses = PauseDesk(
            store,
            self._links,
            self._placer,
            show_job=self.job,
            show_node=self.node,
            hurry=lambda: self._reaper.ask(in_s=0),
        )
        self.reviews = ReviewDesk(store, kinds, self._uploads, show_job=self.job, on_answer=self._go_on)
        self._explainer = Explainer(store, facts, metrics=self.metrics)
        self.remaining = Remaining(store, self._explainer.fleet)
        self.batches = BatchDesk([store], resources.clock, [self.remaining])
        self._loops: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self._member.join()
        # Before anything is placed: executors without a link would be given work that nobody can send them.
        await self._adopt_orphans()
        steps = {
            "member": self._member.step,
            "courier out": self._courier.send_step,
            "courier in": self._courier.receive_step,
            "placer": self._placer.step,
            "planner": self._planner.step,
            "planner aside": self._planner.aside_step,
            "chains": self._chains.step,
            "catalogue": self.catalogue.step,
            "settler": self._settler.step,
            "acks": self._settler.ack_step,
            "standing": self._standing.step,
            "events": self._hub.step,
            "reaper": self._reaper.step,
            "sweeper": self._sweeper.step,
            "sessions": self.ownership.step,
        }
        if self._looks_after_insight:
            steps |= {"pulse": self.insight.pulse, "log levels": self.insight.follow_levels}
        self._loops = [asyncio.create_task(keep_going(name, step), name=name) for name, step in steps.items()]
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Links first, so that nodes dial another instance while this one ends; presence last, so that nobody takes
        # for dead what still writes.
        for link in self._links.all():
            link.close(1001, "the scheduler is stopping")
        await end_loops(self._loops)
        await self.ownership.release_all()
        try:
            await self._member.leave()
        except StoreUnavailable as error:
            log.warning("presence ends by itself", reason=error.message)

    def _follow(self, rules: FleetRules) -> None:
        self._fleet_rules = rules
        self._placer.follow(rules)
        self.acceptor.follow(rules)
        self._reaper.follow(rules)

    async def _adopt_orphans(self, lead: Lead | None = None) -> None:
        """Nodes whose instance is gone have no link: their executors leave the pools until they come back."""
        for node, epoch in await self._store.read.nodes_without_instance():
            grace_ms = self._reaper.live_grace_ms
            await self._store.adopt(node, epoch, retention_ms=NODE_RETENTION_MS, live_grace_ms=grace_ms, lead=lead)

    async def _bury(self, dead: str, lead: Lead) -> None:
        """Take over what an instance that is gone has left. Raises StoreUnavailable; safe to repeat."""
        await self._adopt_orphans(lead)
        # Last, because it takes the instance off the list.
        await self._courier.take_over(dead, lead)
        self._placer.note_executors()

    def note_released(self, queues: Sequence[str]) -> None:
        """Place these queues soon: another cell has released tasks of theirs."""
        self._placer.ask(queues)

    # --- jobs ------------------------------------------------------------------------------

    async def submit(self, submissions: Sequence[Submission], *, principal: str) -> list[Accepted]:
        """See `Fleet.submit`."""
        try:
            return await self.acceptor.accept(submissions, principal=principal)
        except QueueFull as error:
            self.metrics.submissions_refused.labels(error.bound).inc()
            raise

    async def job(self, job_id: str) -> JobView:
        """See `Fleet.job`."""
        view = await self._store.read.job(job_id) if is_id(job_id, "j") else None
        if view is None:
            raise NotFound(f"There is no job {job_id[:100]!r}; it may have passed its retention.")
        return await self.remaining.with_eta(view)

    async def wait(self, job_id: str) -> JobView:
        """See `Fleet.wait`."""
        return await wait_final(self._hub, job_id, self.job)

    async def jobs(
        self, *, status: JobStatus | None = None, kind: str = "", offset: int = 0, limit: int = 50
    ) -> JobPage:
        """See `Fleet.jobs`."""
        views, total = await self._store.read.jobs(status=status, kind=kind, offset=offset, limit=limit)
        return JobPage(views, total, offset, limit)

    async def cancel(self, job_id: str) -> JobView:
        """See `Fleet.cancel`."""
        view = await self.job(job_id)
        if view.status in FINAL_JOB_STATUSES:
            raise IllegalTransition(f"The job {job_id}", view.status, "cancel")
        # It may have ended since it was looked at: the script then changes nothing, and the view says how it ended.
        await self._planner.cancel(job_id)
        await self._uploads.abandon(job_id)
        ended = await self.job(job_id)
        if ended.status in FINAL_JOB_STATUSES and ended.status is not JobStatus.CANCELLED:
            # Its last result came first.
            raise IllegalTransition(f"The job {job_id}", ended.status, "cancel")
        return ended

    async def retry(self, job_id: str) -> JobView:
        """See `Fleet.retry`."""
        view = await self.job(job_id)
        cursor = 0
        while True:
            piece = await self._store.retry(job_id, cursor=cursor)
            # Only the first piece is told what the job was: it makes it pending, which is what all later ones find.
            if not cursor and piece.status not in {JobStatus.FAILED, JobStatus.CANCELLED}:
                raise IllegalTransition(f"The job {job_id}", view.status, "retry")
            self._placer.ask(piece.queues)
            cursor = piece.cursor
            if not cursor:
                break
        # A job that failed with all its tasks done, or before it had any, goes on only if its plan is asked.
        self._planner.ask()
        return await self.job(job_id)

    def events(self, *, after: str = "", job: str = "") -> AsyncIterator[Event]:
        """See `Fleet.events`."""
        return self._hub.follow(after=after, job=job)

    def _go_on(self, queues: Sequence[str]) -> None:
        self._placer.ask(queues)
        self._planner.ask()

    # --- nodes -----------------------------------------------------------------------------

    async def nodes(self) -> list[NodeView]:
        """See `Fleet.nodes`."""
        return await self._store.read.nodes()

    async def node(self, node_id: str) -> NodeView:
        """See `Fleet.node`."""
        view = await self._store.read.node(node_id) if is_id(node_id, "n") else None
        if view is None:
            raise NotFound(f"There is no node {node_id[:100]!r}; see `mediafleet nodes`.")
        return view

    async def drain(self, node_id: str, *, draining: bool) -> NodeView:
        """See `Fleet.drain`."""
        await self.node(node_id)
        await self._store.drain(node_id, draining=draining)
        # The store keeps work away from the node whether it is told or not: its link may be another instance's.
        self._links.tell(node_id, Drain(draining))
        self._placer.note_executors()
        return await self.node(node_id)

    async def pools(self) -> list[PoolView]:
        """See `Fleet.pools`."""
        return await self._store.read.pools()

    async def why(self, job_id: str) -> JobWhy:
        """See `Fleet.why`."""
        return await self._explainer.why(await self.job(job_id))

    async def simulate(self, wish: Simulation) -> Explanation:
        """See `Fleet.simulate`."""
        return await self._explainer.simulate(wish)

    async def stats(self) -> dict[str, Any]:
        """See `Fleet.stats`."""
        return await self.insight.stats()

    async def cluster(self) -> dict[str, Any]:
        """See `Fleet.cluster`."""
        schema = await self._store.read.schema_field("version")
        view = await self._store.read.cluster()
        follows = msgspec.to_builtins(self._fleet_rules)
        return {**msgspec.to_builtins(view), "follows": follows, "store": {"reachable": True, "schema": schema}}

    async def check_ready(self) -> None:
        """See `Fleet.check_ready`."""
        await self._store.read.ping()

    # --- artifacts -------------------------------------------------------------------------

    async def announce_upload(self, announcement: UploadAnnouncement, *, principal: str) -> Artifact:
        """See `Fleet.announce_upload`."""
        return await self._uploads.announce(announcement, principal=principal)

    async def receive_upload(
        self, artifact_id: str, *, offset: int, length: int, chunks: AsyncIterator[bytes]
    ) -> ArtifactRef | OpenUpload:
        """See `Fleet.receive_upload`."""
        received, queues = await self._uploads.receive(artifact_id, offset=offset, length=length, chunks=chunks)
        self._placer.ask(queues)
        return received

    async def find_upload(self, artifact_id: str) -> OpenUpload | None:
        """See `Fleet.find_upload`."""
        return await self._uploads.find(artifact_id)

    async def open_artifact(self, artifact_id: str) -> OpenArtifact:
        """See `Fleet.open_artifact`."""
        return await self._uploads.open(artifact_id)

    @property
    def takes_direct_uploads(self) -> bool:
        """See `Fleet.takes_direct_uploads`."""
        return self._uploads.are_direct

    async def locate_artifact(self, artifact_id: str) -> Location:
        """See `Fleet.locate_artifact`."""
        return await self._uploads.locate(artifact_id)

    async def complete_upload(self, artifact_id: str, *, sha256: str) -> ArtifactRef:
        """See `Fleet.complete_upload`."""
        ref, queues = await self._uploads.complete(artifact_id, sha256=sha256)
        self._placer.ask(queues)
        return ref

    async def discard_upload(self, artifact_id: str) -> None:
        """See `Fleet.discard_upload`."""
        await self._uploads.discard(artifact_id)

    # --- links -----------------------------------------------------------------------------

    async def attach(self, link: NodeLink, frame: Register) -> Registered:
        """See `Fleet.attach`."""
        # The store first: it gives the epoch, from which on it refuses what the older link still says.
        check_register(frame, self._store.keys.cell, self._cells)
        record = node_record(frame, self.instance, self._rules, max_kills=self._fleet_rules.max_kills, link=link)
        admitted = await self._store.register(record)
        self.metrics.note_dead(admitted.dead)
        current = self._links.get(frame.node)
        if current and current.epoch > admitted.epoch:
            raise Conflict("The node registered on a newer link meanwhile.")
        older = self._links.put(frame.node, LinkedNode(link, admitted.epoch, frame.headroom))
        if older:
            older.close(4409, "the node registered on a newer link")
        # A node forgets a result that nobody wants without a word; one that it runs it confirms when stopped.
        unwanted = [ref for ref in frame.holding if ref in admitted.drop]
        if unwanted:
            outcomes = tuple(Outcome(ref.task, ref.grant, cancelled=True) for ref in unwanted)
            self._settler.take(frame.node, admitted.epoch, JobResults(outcomes))
        await self._chains.settle()
        self._placer.note_executors()
        self._placer.ask(admitted.queues)
        log.info("node registered", node=frame.node, host=frame.host, kept=len(admitted.keep), lost=admitted.lost)
        return Registered(
            node=frame.node,
            heartbeat_ms=self._rules.heartbeat_ms,
            lease_ms=record.lease_ms,
            keep=admitted.keep,
            drop=admitted.drop,
            draining=admitted.draining,
            log_levels=self.insight.levels,
        )

    async def receive(self, link: NodeLink, frame: NodeFrame) -> None:
        """See `Fleet.receive`."""
        # What a replaced link had under way still arrives; its node speaks over the newer one now.
        linked = self._links.of_link(link)
        if linked is None:
            return
        if isinstance(frame, Misc):
            await self._note(link, linked, frame)
        else:
            await self._settler.room(link.node)
            self._settler.take(link.node, linked.epoch, frame)

    def keep(self, link: NodeLink) -> None:
        """See `Fleet.keep`."""
        linked = self._links.of_link(link)
        if linked:
            self._settler.keep(link.node, linked.epoch)

    async def _note(self, link: NodeLink, linked: LinkedNode, frame: Misc) -> None:
        if frame.event == "draining":
            # Not lasting: a node that is stopped and started again is ready, one that an operator drained is not.
            await self._store.drain(link.node, draining=True, lasting=False)
        elif frame.event == "goodbye":
            await self._unlink(link, linked, goodbye=True)
        elif frame.event in {"executors", "state"}:
            self._standing.note_change(link.node, linked.epoch, frame)
        elif frame.event == "log":
            log.info("node says", node=link.node, line=str(frame.data.get("line", ""))[:500])

    async def detach(self, link: NodeLink) -> None:
        """See `Fleet.detach`."""
        linked = self._links.remove(link)
        if linked:
            await self._unlink(link, linked, goodbye=False)

    async def _unlink(self, link: NodeLink, linked: LinkedNode, *, goodbye: bool) -> None:
        try:
            grace_ms = self._reaper.live_grace_ms
            unlinked = await self._store.unlink(
                link.node, linked.epoch, goodbye=goodbye, retention_ms=NODE_RETENTION_MS, live_grace_ms=grace_ms
            )
        except StoreUnavailable as error:
            log.warning("a link closed; the node's lease will end it", node=link.node, reason=error.message)
            return
        if unlinked.current:
            log.info("node left" if goodbye else "node link closed", node=link.node, lost=unlinked.lost)
        self._placer.ask(unlinked.queues)
        self._reaper.ask(in_s=grace_ms / 1000)


def _uploads(settings: Settings, resources: Resources, retention: Retention) -> Uploads:
    return Uploads(
        resources.store,
        resources.blobs,
        resources.clock,
        settings.artifacts,
        retention=retention,
        keep_ms=settings.scheduler.upload_retention_s * 1000,
    )


def _member(instance: str, resources: Resources, duties: Duties, rules: SchedulerSettings) -> Member:
    kinds = resources.kinds.versions()
    return Member(
        instance,
        resources.store,
        duties,
        document=InstanceDocument(__version__, platform.node(), os.getpid(), SCHEMA, kinds),
        rules=fleet_rules(rules),
        every_ms=rules.reap_ms,
    )


def place_rules(instance: str, rules: SchedulerSettings) -> PlaceRules:
    """Return what the placing script goes by."""
    return PlaceRules(instance, rules.reservation_ms)


def fleet_rules(rules: SchedulerSettings) -> FleetRules:
    """Return what an instance with these settings lays down for all while it leads."""
    return FleetRules(
        batch_every=rules.batch_every,
        hold_after_ms=rules.hold_after_ms,
        hold_ms=rules.hold_ms,
        max_kills=rules.max_kills,
        max_open=rules.max_open,
        max_open_per_tenant=rules.max_open_per_tenant,
        max_open_live=rules.max_open_live,
        max_open_interactive=rules.max_open_interactive,
        max_open_batch=rules.max_open_batch,
        tenants=parse_tenants(rules.tenants),
    )
