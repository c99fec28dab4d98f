"""The parts of an instance around a real store, each driven by single steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from recording_link import RecordingLink
from tests_support.store_driver import LEASE_MS, PLACE_RULES, StoreDriver

from mediafleet.artifacts.blobs import BlobStore
from mediafleet.domain.artifact import Artifact, ArtifactRef, ArtifactState
from mediafleet.domain.event import EventType
from mediafleet.domain.frames import Assignment, AttemptRef, JobAssign, JobResults, NodeFrame
from mediafleet.domain.job import Job, JobView
from mediafleet.domain.lifecycle import PriorityClass
from mediafleet.domain.plan import FinishedTask, Step, Wait
from mediafleet.kinds import Kind, KindRegistry
from mediafleet.kinds.noop import KIND
from mediafleet.ops.metrics import Metrics
from mediafleet.scheduler.links import LinkedNode, LinkTable
from mediafleet.scheduler.placer import Placer
from mediafleet.scheduler.planner import Planner
from mediafleet.scheduler.retention import Retention
from mediafleet.scheduler.settler import Settler, SettleRules
from mediafleet.scheduler.tasks import job_record
from mediafleet.store import Store
from mediafleet.store.scripts import as_text

DEADLINE_S = 20.0
NODE = "n0-a-1"
Plan = Callable[[Job, Sequence[FinishedTask]], Step]


def kind_with(plan: Plan, *, name: str = "noop", **changes: Any) -> Kind:
    """Return a kind without inputs whose plan is this one."""
    return replace(KIND, name=name, plan=plan, **changes)


class Parts:
    """What one instance is made of; `final` counts how often somebody was told that tasks became final."""

    def __init__(self, store: Store, folder: Path, *, kinds: Sequence[Kind] = (KIND,), batch: int = 64) -> None:
        self.store = store
        self.driver = StoreDriver(store)
        self.kinds = KindRegistry(kinds)
        self.metrics = Metrics()
        self.links = LinkTable()
        self.blobs = BlobStore(folder)
        self.retention = Retention(store, self.blobs)
        self.placer = Placer(store, self.links, self.metrics, batch=batch, rules=PLACE_RULES)
        self.planner = Planner(store, self.kinds, self.placer, self.links, metrics=self.metrics)
        self.final = 0
        self.settler = Settler(
            store, self.links, self.placer, self.metrics, rules=SettleRules(LEASE_MS), on_final=self._note_final
        )

    def _note_final(self) -> None:
        self.final += 1

    def counted(self, name: str, **labels: str) -> float:
        """Return the value of a counter."""
        return self.metrics.registry.get_sample_value(f"mediafleet_{name}_total", labels) or 0.0

    async def link(self, node: str = NODE, *, slots: int = 1, **changes: Any) -> RecordingLink:
        """Register a node on a link of this instance."""
        link = RecordingLink(node)
        admitted = await self.driver.join(node, slots=slots, **changes)
        self.links.put(node, LinkedNode(link, admitted.epoch))
        return link

    async def submit(self, *, kind: str = "noop", plan: Step | None = None, number: int = 0) -> str:
        """Accept a job; of the tasks that it is planned with, or to be planned."""
        made = Job(f"j0-made{number}", "0", "default", "local", kind, 1, "", (), {}, PriorityClass.BATCH, 1000 + number)
        step = plan or Wait()
        record, queues = job_record(made, step, KIND, key="", waits=[], retention_ms=60_000)
        submitted = await self.store.submit([record], queues)
        self.placer.ask(submitted.queues)
        return made.id

    async def job(self, job_id: str) -> JobView:
        """Return a job that there is."""
        view = await self.store.read.job(job_id)
        assert view is not None
        return view

    async def say(self, node: str, *frames: NodeFrame) -> None:
        """Let a node say something on its present link, and write it down."""
        for frame in frames:
            self.settler.take(node, self.driver.epochs[node], frame)
        await self.settler.step()
        if any(isinstance(frame, JobResults) for frame in frames):
            await self.settler.ack_step()

    async def record_artifact(
        self, ref: ArtifactRef, state: ArtifactState = ArtifactState.COMPLETE, *, grant: str = ""
    ) -> ArtifactRef:
        """Record an artifact, as if its bytes were in the store; with a grant that attempt has published it."""
        doc = as_text(Artifact(ref, state, "0", "default", "local", 1, blob=ref.id, grant=grant))
        await self.store.open_artifact(ref.id, doc=doc, state=state, retention_ms=60_000)
        return ref

    async def event_types(self) -> list[EventType]:
        """Return what was told of so far, oldest first."""
        return [event.type for event in await self.store.read.past_events("0-0")]


def assigned(link: RecordingLink) -> list[Assignment]:
    """Return what a node was given."""
    return [assignment for frame in link.of_type(JobAssign) for assignment in frame.assignments]


def refs(link: RecordingLink) -> tuple[AttemptRef, ...]:
    """Return the attempts that a node was given."""
    return tuple(AttemptRef(assignment.task, assignment.grant) for assignment in assigned(link))


def is_asked(part: Placer | Planner) -> bool:
    """Tell whether the next step of a part will do anything but wait."""
    return part._wake.is_set()
