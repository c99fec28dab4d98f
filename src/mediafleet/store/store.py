"""The store in the domain's verbs: each method is one atomic step on one cell.

What each script does, takes and returns stands in its header under `scripts/`; times are the Redis
server's clock unless a clock is given (tests give one). Every method raises `StoreUnavailable` if Redis
does not answer: the caller cannot know whether the step happened, and repeats it only where it is idempotent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from mediafleet.domain.health import BreakerRules
from mediafleet.domain.ids import new_token
from mediafleet.domain.pause import FleetPause
from mediafleet.domain.push import PushClaim, PushClaims
from mediafleet.domain.rules import FleetRules, Lead, Membership
from mediafleet.store import cell_records, health, pause_records, records, review_records, schema
from mediafleet.store.connection import translate_errors
from mediafleet.store.keys import ASIDE_MS, Keys
from mediafleet.store.reader import Reader
from mediafleet.store.scripts import Script, as_text, script_names

if TYPE_CHECKING:
    from redis.asyncio import Redis

Reply = TypeVar("Reply")

MAX_HOPS = 5
"""How often a message between instances is passed on before it is given up."""
INBOX_LENGTH = 10_000
"""About how many messages an inbox keeps; an instance that is that far behind is as good as gone."""
HOME_MS = 3_600_000
"""How long it is remembered which cell was chosen for an idempotency key, milliseconds: far longer than a submission
takes. From then on the cell that has the job says so itself."""
PUSHED_KEEP_MS = 7 * 24 * 3600 * 1000
"""How long it is known who called which listening node, after the last instance that calls any has gone."""
PIECE = 256
"""Most tasks that one script call touches: more would hold the server for too long."""


class Store:
    """One cell of one Redis server. Owns nothing: the client is closed by who made it."""

    def __init__(
        self,
        redis: Redis,
        keys: Keys,
        *,
        history: int = 10_000,
        now: Callable[[], int] | None = None,
        observe: Callable[[str, float], None] | None = None,
    ) -> None:
        """Prepare the scripts.

        Args:
            history: About how many events are kept.
            now: Stands in for the server's clock, milliseconds.
            observe: Told the name and seconds of each script call.
        """
        self.redis = redis
        self.keys = keys
        self.read = Reader(redis, keys)
        self._common: dict[str, Any] = {"history": history}
        self._now = now
        self._observe = observe
        self._scripts = {name: Script(name, redis, keys.tag) for name in script_names()}

    async def run(self, name: str, reply: type[Reply], **arguments: Any) -> Reply:
        """Run a script; for the parts of the store that have their own module."""
        if self._now:
            arguments["now"] = self._now()
        started = perf_counter()
        with translate_errors():
            answer = await self._scripts[name].run({**self._common, **arguments}, reply)
        if self._observe:
            self._observe(name, perf_counter() - started)
        return answer

    async def identity(self) -> str:
        """Return the random name that the store was given when it was first asked; another, empty store has another."""
        with translate_errors():
            client: Any = self.redis
            await client.hsetnx(self.keys.schema, "identity", new_token())
            return (await client.hget(self.keys.schema, "identity")).decode()

    async def count_up(self, counter: str) -> int:
        """Raise a counter by one; return what it is then."""
        client: Any = self.redis
        with translate_errors():
            return int(await client.incr(counter))

    async def check_schema(self) -> None:
        """Mark the cell with the shapes that this program writes; see `store/schema.py`.

        Raises:
            ConfigError: A newer version wrote it, a much older one did, or older instances still run on it.
        """
        found = await self.run(
            "check_schema",
            cell_records.SchemaAdopted,
            schema=schema.SCHEMA,
            oldest_reader=schema.OLDEST_READER,
            reads_from=schema.READS_FROM,
        )
        schema.check_adopted(found)

    async def submit(
        self,
        jobs: Sequence[records.JobRecord],
        queues: dict[str, str],
        bounds: cell_records.Bounds | None = None,
        coming: cell_records.Coming | None = None,
    ) -> records.Submitted:
        """Accept jobs: all, or none if what they name is missing or they are too many; safe to repeat with keys.

        Args:
            coming: What the call brings beside these jobs: it must fit as well, and room is kept for it. Where room is
                kept already, bounds are not asked again.
        """
        return await self.run("submit", records.Submitted, jobs=jobs, queues=queues, bounds=bounds, coming=coming)

    async def keep_room(self, bounds: cell_records.Bounds, coming: cell_records.Coming) -> cell_records.Full | None:
        """Keep room for the tasks of a call before any of it is stored; return the bound that they would pass."""
        asked = await self.run("submit", records.Submitted, jobs=[], queues={}, bounds=bounds, coming=coming)
        return asked.full

    async def give_up_room(self, call: str) -> None:
        """Let others have the room that a call does not need any more."""
        client: Any = self.redis
        with translate_errors():
            await client.hdel(self.keys.coming, call)

    async def claim_homes(self, claims: Sequence[cell_records.HomeClaim]) -> list[str]:
        """Remember which cells the jobs of new idempotency keys go to; return those that were first."""
        claimed = await self.run("claim_homes", cell_records.HomesClaimed, claims=claims, keep_ms=HOME_MS)
        return claimed.cells

    async def leave_homes(self, claims: Sequence[cell_records.HomeClaim]) -> int:
        """Let go of claims of a call that was refused; return how many keys may go to another cell now."""
        return (await self.run("leave_homes", cell_records.HomesLeft, claims=claims)).freed

    async def place(self, request: records.PlaceRequest, rules: records.PlaceRules) -> records.Placed:
        """Give waiting tasks of queues executors; at most one a grant."""
        return await self.run(
            "place", records.Placed, **msgspec.structs.asdict(request), **msgspec.structs.asdict(rules)
        )

    async def commit(self, nodes: Sequence[records.NodeAttempts]) -> list[records.Stop]:
        """Turn reservations into running work; return what the nodes must stop. Safe to repeat."""
        return (await self.run("commit", records.Stops, nodes=nodes)).stops

    async def finish(self, results: Sequence[records.ResultRecord]) -> records.Finished:
        """Accept the first good result of each task. Safe to repeat."""
        return await self.run("finish", records.Finished, results=results)

    async def fail(
        self, failures: Sequence[records.FailureRecord], *, breaker: BreakerRules | None = None
    ) -> records.Failed:
        """End attempts without a result; those that failed count against their executors. Safe to repeat."""
        return await self.run("fail", records.Failed, failures=failures, breaker=breaker)

    async def report(self, updates: Sequence[records.ProgressRecord]) -> int:
        """Record progress; return how many updates were of attempts that are not current."""
        return (await self.run("progress", records.Stale, updates=updates)).stale

    async def register(self, node: records.NodeRecord) -> records.NodeAdmitted:
        """Put a node on a link, and settle what it still does."""
        return await self.run("register", records.NodeAdmitted, **msgspec.to_builtins(node))

    async def renew(self, nodes: Sequence[records.NodeReport], *, lease_ms: int) -> records.Renewed:
        """Move node leases forward."""
        return await self.run("renew", records.Renewed, nodes=nodes, lease_ms=lease_ms)

    async def reshape(self, change: health.NodeChange) -> health.Reshaped:
        """Note what a linked node says anew of its executors or of itself. Safe to repeat."""
        return await self.run("reshape", health.Reshaped, **msgspec.to_builtins(change))

    async def withhold(
        self, reports: Sequence[health.MissingReport], *, span_ms: int, longest_ms: int
    ) -> health.WithheldReply:
        """Take capabilities that nodes lack out of their executors' signatures for a while. Safe to repeat."""
        return await self.run("withhold", health.WithheldReply, reports=reports, span_ms=span_ms, longest_ms=longest_ms)

    async def unlink(
        self, node: str, epoch: int, *, goodbye: bool, retention_ms: int, live_grace_ms: int = 0
    ) -> records.Unlinked:
        """Note that a link closed; nothing happens if the node has a newer one."""
        return await self.run(
            "unlink",
            records.Unlinked,
            node=node,
            epoch=epoch,
            goodbye=goodbye,
            retention_ms=retention_ms,
            live_grace_ms=live_grace_ms,
        )

    async def adopt(
        self, node: str, epoch: int, *, retention_ms: int, live_grace_ms: int, lead: Lead | None = None
    ) -> records.Unlinked:
        """Note that the instance of a node is gone, and so its link; nothing happens if it lives, or if who leads does not."""
        given = {"goodbye": False, "orphan": True, "retention_ms": retention_ms, "live_grace_ms": live_grace_ms}
        return await self.run("unlink", records.Unlinked, node=node, epoch=epoch, lead=lead, **given)

    async def drain(self, node: str, *, draining: bool, lasting: bool = True) -> records.Drained:
        """Take a node's executors out of their pools, or back; a lasting order survives its reconnects."""
        return await self.run("drain", records.Drained, node=node, draining=draining, lasting=lasting)

    async def reap(self, rules: records.ReapRules) -> records.Reaped:
        """End what is due."""
        return await self.run("reap", records.Reaped, **msgspec.to_builtins(rules))

    async def expand(self, piece: records.ExpandPiece) -> records.Expanded:
        """Apply a part of a plan's result, if the job is still at that version."""
        return await self.run("expand", records.Expanded, **msgspec.to_builtins(piece))

    async def defer(self, job: str, version: int) -> bool:
        """Leave a dirty job to instances that have its kind, unless it has moved on; tell whether it was left."""
        return (await self.run("defer", cell_records.Deferred, job=job, version=version, aside_ms=ASIDE_MS)).deferred

    async def recheck(self, jobs: Sequence[str], *, plan: bool) -> int:
        """Have jobs whose chains wait planned again, and forget those that have ended; return how many were asked for."""
        return (await self.run("recheck", cell_records.Rechecked, jobs=jobs, plan=plan)).dirty

    async def cancel(self, job: str, *, cursor: int, sweep: bool, data: str = "{}") -> records.CancelPiece:
        """Cancel a piece of a job's tasks; begin with cursor 0 and go on until it is 0 again."""
        return await self._cancel(job, cursor=cursor, sweep=sweep, data=data, withdrawn="")

    async def withdraw(self, job: str, *, cursor: int, reason: str) -> records.CancelPiece:
        """Cancel as `cancel` does, and let go of the job's idempotency key in the same step.

        Args:
            reason: An error (JSON) that the job has from then on.
        """
        return await self._cancel(job, cursor=cursor, sweep=False, data=reason, withdrawn=reason)

    async def _cancel(self, job: str, **about: Any) -> records.CancelPiece:
        return await self.run("cancel", records.CancelPiece, job=job, piece=PIECE, **about)

    async def pause(self, job: str, *, cursor: int, now: bool) -> pause_records.PausePiece:
        """Pause a piece of a job's tasks; begin with cursor 0 and go on until it is 0 again. Safe to repeat."""
        return await self.run("pause", pause_records.PausePiece, job=job, cursor=cursor, stop=now, piece=PIECE)

    async def resume(self, job: str, *, first: bool) -> pause_records.ResumePiece:
        """Let a piece of a paused job's tasks go on; go on until nothing is left. Safe to repeat."""
        return await self.run("resume", pause_records.ResumePiece, job=job, first=first, piece=PIECE)

    async def pause_node(self, node: str, *, paused: bool, now: bool) -> pause_records.NodePaused:
        """Keep new work away from a node, or let it take some again. Safe to repeat."""
        return await self.run("pause_node", pause_records.NodePaused, node=node, paused=paused, stop=now, piece=PIECE)

    async def pause_fleet(self, *, paused: bool, now: bool) -> FleetPause:
        """Place nothing in this cell, or go on. Safe to repeat."""
        found = await self.run("pause_fleet", pause_records.FleetPaused, paused=paused, stop=now)
        return FleetPause(paused=found.paused, since_ms=found.since_ms or None, now=found.now)

    async def fleet_pause(self) -> FleetPause:
        """Return whether the cell is paused."""
        return await pause_records.read_fleet_pause(self.redis, self.keys)

    async def reviews(self, job: str) -> review_records.JobReviews | None:
        """Return the reviews of a job; None where there is no such job."""
        return await review_records.read_reviews(self.redis, self.keys, job)

    async def retry(self, job: str, *, cursor: int) -> records.RetryPiece:
        """Revive a piece of a job's tasks; begin with cursor 0 and go on until it is 0 again."""
        return await self.run("retry", records.RetryPiece, job=job, cursor=cursor, piece=PIECE)

    async def forget(self, job: str, *, inputs: Sequence[str]) -> bool:
        """Remove a piece of a finished job; False while there is more."""
        return (await self.run("forget", records.Forgotten, job=job, inputs=inputs, piece=PIECE)).done

    async def drop_dead_letter(self, task: str) -> bool:
        """Take a task off the list of those that failed for good; False if it is not there."""
        client: Any = self.redis
        with translate_errors():
            return bool(await client.zrem(self.keys.dead, task))

    async def open_artifact(
        self, artifact: str, *, doc: str, state: str, retention_ms: int, is_output: bool = False
    ) -> None:
        """Record an artifact; one that an attempt made is recorded by a full server as well."""
        about: dict[str, Any] = {"doc": doc, "state": state, "retention_ms": retention_ms, "is_output": is_output}
        await self.run("open_artifact", records.Opened, id=artifact, **about)

    async def borrow_artifact(self, artifact: str, *, doc: str, state: str, retention_ms: int) -> bool:
        """Record an artifact that another cell has; False if it is known here."""
        answer = await self.run(
            "borrow_artifact", records.Opened, id=artifact, doc=doc, state=state, retention_ms=retention_ms
        )
        return answer.opened

    async def prolong_artifact(self, artifact: str, *, retention_ms: int) -> bool:
        """Put off the end of an upload that goes on; False if it is not open any more."""
        return (await self.run("prolong_artifact", records.Opened, id=artifact, retention_ms=retention_ms)).opened

    async def drop_upload(self, artifact: str) -> bool:
        """Remove the record of an upload that is not complete and that no job waits for any more."""
        return (await self.run("drop_upload", records.Dropped, id=artifact)).dropped

    async def complete_artifact(self, artifact: str, *, doc: str) -> records.Completed:
        """Note that all bytes are there; what waited for them goes on."""
        return await self.run("complete_artifact", records.Completed, id=artifact, doc=doc)

    async def drop_artifact(self, artifact: str, *, error: str, unused: bool) -> bool:
        """Remove an artifact's record; jobs that wait for its bytes fail with the error."""
        return (await self.run("drop_artifact", records.Dropped, id=artifact, error=error, unused=unused)).dropped

    async def set_log_level(self, module: str, level: str) -> None:
        """Note from which level on all instances write the lines of a module; an empty level undoes it."""
        client: Any = self.redis
        with translate_errors():
            if level:
                await client.hset(self.keys.log_levels, module, level)
            else:
                await client.hdel(self.keys.log_levels, module)

    async def announce(self, instance: str, *, doc: str, ttl_ms: int) -> Membership:
        """Say that the instance lives; it leads if nobody does."""
        return await self.run("announce", Membership, instance=instance, doc=doc, ttl_ms=ttl_ms, lead_ms=ttl_ms)

    async def claim_root(self, instance: str, *, mark: str, ttl_ms: int) -> cell_records.RootClaimed:
        """Say which mark an instance that starts left in its artifact root, and learn those of the others that live."""
        return await self.run("claim_root", cell_records.RootClaimed, instance=instance, mark=mark, ttl_ms=ttl_ms)

    async def leave_root(self, instance: str) -> None:
        """Forget the mark and the presence of an instance that ends, or that did not start after all."""
        with translate_errors():
            client: Any = self.redis
            await client.hdel(self.keys.roots, instance)
            await client.delete(self.keys.instance(instance))

    async def retire(self, instance: str) -> None:
        """Say that the instance ends."""
        await self.run("retire", cell_records.Retired, instance=instance)

    async def claim_push(
        self, instance: str, addresses: Sequence[str], *, give_up: Sequence[str] = ()
    ) -> list[PushClaim]:
        """Return which of these listening nodes the instance may call, and leave others to whoever asks; safe to repeat."""
        given = {"addresses": addresses, "give_up": give_up, "keep_ms": PUSHED_KEEP_MS}
        return (await self.run("claim_push", PushClaims, instance=instance, **given)).claims

    async def configure(self, lead: Lead, rules: FleetRules) -> cell_records.Configured:
        """Write the rules of the fleet; refused unless the instance leads at that epoch."""
        return await self.run("configure", cell_records.Configured, lead=lead, doc=as_text(rules))

    async def bury(self, dead: str, lead: Lead) -> cell_records.Buried:
        """Take over a piece of what an instance that is gone left; refused unless who asks leads. Safe to repeat."""
        bounds = {"piece": PIECE, "max_hops": MAX_HOPS, "inbox_length": INBOX_LENGTH}
        return await self.run("bury", cell_records.Buried, dead=dead, lead=lead, **bounds)

    async def forward(self, messages: Sequence[cell_records.Message], *, instance: str) -> cell_records.Forwarded:
        """Hand messages to the instances that have the nodes' links."""
        return await self.run(
            "forward",
            cell_records.Forwarded,
            instance=instance,
            messages=messages,
            max_hops=MAX_HOPS,
            inbox_length=INBOX_LENGTH,
        )
