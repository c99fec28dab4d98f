"""What a job kind is: the one door through which built-in and third-party kinds come.

A kind is params (a typed struct), a plan (pure, runs in the scheduler) and handlers (async, run on
a node). `docs/howto/add-a-job-kind.md` builds one from nothing.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

from mediafleet.domain.capability import kind_capability
from mediafleet.domain.chain import CHAIN_STEP
from mediafleet.domain.errors import InvalidRequest
from mediafleet.domain.limits import KindLimits
from mediafleet.domain.modules import Module, check_modules
from mediafleet.domain.placement import Policy
from mediafleet.domain.plan import FinishedTask, Step, TaskResult, TaskSpec
from mediafleet.domain.room import Room
from mediafleet.kinds.chains import run_parts

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from mediafleet.artifacts.originals import Originals
    from mediafleet.domain.artifact import ArtifactRef
    from mediafleet.domain.job import Job, Submission
    from mediafleet.engines.offer import Need, Offer
    from mediafleet.engines.wire import Request
    from mediafleet.ops.settings import Settings

T = TypeVar("T")


class ChildProcess(Protocol):
    """A running child in its own process group; it dies with the node, whatever happens to the node."""

    @property
    def pid(self) -> int:
        """Process id, also the id of its group."""
        ...

    async def read_line(self) -> bytes:
        """Return the next line of standard output with its newline, or b"" at its end."""
        ...

    async def wait(self) -> int:
        """Wait for the end; return the exit code, negative for a signal. Cancelling is safe."""
        ...

    async def stop(self) -> int:
        """Ask it to end, kill its group after a grace period, and return the exit code."""
        ...

    def errors(self) -> str:
        """Return the last 16 KiB of standard error so far, as text, and before them what it called an error."""
        ...


class Engine(Protocol):
    """One speech engine in a process of its own. Requests are those of `mediafleet.engines.wire`."""

    async def load(self, facts: type[T]) -> T:
        """Load it unless it is, and return what it says of itself. Raises as `ask`."""
        ...

    async def ask(self, request: Request, answer: type[T]) -> T:
        """Ask one thing.

        Raises:
            TransientFailure: Its process died or took too long; the next request starts it again.
            CapabilityMissing: A graphics card has no room for it now.
            MediafleetError: What the engine raised.

        Cancelling ends the process.
        """
        ...

    def ask_for_parts(self, request: Request, part: type[T]) -> AsyncGenerator[T]:
        """Ask for something that comes in parts; yield each when it is there. Raises as `ask`."""
        ...


class Engines(Protocol):
    """The speech engines of the executor that runs a task."""

    def find(self, need: Need, *, adapter: str = "") -> Offer:
        """Return the best engine that loads here and does what is needed.

        Args:
            need: The step.
            adapter: Name of the only one to consider; any where empty.

        Raises:
            CapabilityMissing: There is none; the sentence says what to install.
        """
        ...

    def lease(self, offer: Offer) -> AbstractContextManager[Engine]:
        """Yield the engine to ask, for a whole piece of work: what follows each other is asked of the same process."""
        ...


class TaskContext(Protocol):
    """What a handler may use of its node. All paths it makes lie in `workspace`, which is removed afterwards."""

    @property
    def spec(self) -> TaskSpec:
        """The task: inputs, payload and the job's params."""
        ...

    @property
    def workspace(self) -> Path:
        """An empty folder of this attempt's own."""
        ...

    @property
    def cores(self) -> int:
        """Processor cores that fall to this task, at least 1: its executor's slots share the machine's evenly."""
        ...

    @property
    def originals(self) -> Originals:
        """The files that this node may replace in place."""
        ...

    @property
    def engines(self) -> Engines:
        """What hears, writes down, translates and speaks on this node."""
        ...

    async def fetch(self, ref: ArtifactRef, *, ranges: Sequence[tuple[int, int]] | None = None) -> Path:
        """Return a local path with the artifact's bytes: in place where that is proven, else a copy.

        The file must not be written to. What is fetched is shown as progress, in a stage `fetching …`.

        Args:
            ranges: The bytes that are needed, half-open, in any order; what else the file has may be zeros, and its length
                is always that of the whole. A later call may ask for more of the same artifact. All bytes if None.

        Raises:
            NotFound: The artifact is gone.
            TransientFailure: It could not be fetched this time.
        """
        ...

    async def publish(self, path: Path, *, name: str) -> ArtifactRef:
        """Store a file as an artifact of this attempt; it becomes the job's only if the result is accepted.

        The file may be moved away by this call.

        Args:
            name: File name to show, not a path.
        """
        ...

    def report(
        self, fraction: float, *, stage: str = "", speed: float | None = None, eta_ms: int | None = None
    ) -> None:
        """Note progress, 0..1; cheap, may be called as often as one likes. `speed` in media seconds a second."""
        ...

    async def start_process(self, arguments: Sequence[str], *, cwd: Path | None = None) -> ChildProcess:
        """Start a child without a shell, with empty standard input and a clean environment."""
        ...

    async def start_script(self, script: Path, arguments: Sequence[str]) -> ChildProcess:
        """Start a Python script that reads its arguments from standard input, as `mediafleet.kinds.scripts` says.

        Where the node keeps spare children it is running already and has its imports done. It runs in no folder of this
        attempt, so paths are absolute.
        """
        ...


class DetectContext(Protocol):
    """What capability detection may use of its node."""

    @property
    def workspace(self) -> Path:
        """An empty folder, removed afterwards."""
        ...

    async def start_process(self, arguments: Sequence[str], *, cwd: Path | None = None) -> ChildProcess:
        """Start a child without a shell, with empty standard input and a clean environment."""
        ...

    async def start_script(self, script: Path, arguments: Sequence[str]) -> ChildProcess:
        """Start a Python script that reads its arguments from standard input, as `mediafleet.kinds.scripts` says.

        Where the node keeps spare children it is running already and has its imports done. It runs in no folder of this
        attempt, so paths are absolute.
        """
        ...

    def recall(self, key: str) -> Any | None:
        """Return what `remember` kept under the key, also from an earlier start of the node; None if nothing."""
        ...

    def remember(self, key: str, value: Any) -> None:
        """Keep a JSON value under a key that names everything the value depends on (a program's version …)."""
        ...


class Detected(msgspec.Struct, frozen=True):
    """What a kind found on a node."""

    capabilities: frozenset[str] = frozenset()
    missing: dict[str, str] = {}
    """Capability → sentence that says why it was not granted; shown by `mediafleet check`."""
    facts: dict[str, str] = {}
    """What to show of the machine: program versions and paths."""
    sorts: dict[str, frozenset[str]] = {}
    """Sorts of work that an operator may give slots of their own (`node.encoder_slots`), working here or not; by what
    only their tasks ask for. No task is of two sorts."""


class Handler(Protocol):
    """Runs one step of a kind on a node.

    Raising `MediafleetError` ends the attempt with its sentence; `retryable` says whether a try is
    worth it. Anything else counts as a fault of the handler and is retried. Cancelling must be safe.
    """

    async def __call__(self, context: TaskContext, /) -> TaskResult:
        """Do the work and return the result."""
        ...


def change_nothing(params: Mapping[str, Any], _: Settings) -> Mapping[str, Any]:
    """Return params as they were given, for a kind that looks nothing up."""
    return params


async def detect_nothing(_: DetectContext) -> Detected:
    """Detect for a kind that needs nothing of the machine."""
    return Detected()


@dataclass(frozen=True)
class Kind:
    """A job kind, as an entry point of the group `mediafleet.kinds` names it."""

    name: str
    """One word, a-z, 0-9 and `-`."""
    version: int
    """1 or more; raised when plan or handlers change so that a running job could not go on with them."""
    params: type[msgspec.Struct]
    """Every field needs a default or is required of the user; unknown fields are refused."""
    plan: Callable[[Job, Sequence[FinishedTask]], Step]
    """Pure: no I/O, no clock, no randomness."""
    handlers: Mapping[str, Handler]
    """Step name → handler."""
    summary: str
    """One sentence for `--help` and the console."""
    inputs: tuple[int, int | None] = (1, 1)
    """Fewest and most inputs that a job takes; None for any number."""
    detect: Callable[[DetectContext], Awaitable[Detected]] = field(default=detect_nothing)
    complete: Callable[[Mapping[str, Any], Settings], Mapping[str, Any]] = change_nothing
    """Spells out in the params what they name of this machine, such as a file of its user's; called before they are checked,
    where a job is accepted and on no node. Must give the same for what it gave before, and takes milliseconds at most.
    Raises InvalidParams."""
    check: Callable[[Submission], None] = field(default=lambda _: None)
    """Checks what params alone do not show, such as whether a submission has the idempotency key that goes with them. Pure.
    Raises InvalidParams."""
    limits: KindLimits = field(default_factory=KindLimits)
    """How long its tasks may take where plan and submission say nothing, and how much a submission may ask for."""
    policy: Policy = Policy.LEAST_LOADED
    """Which executor with room its tasks get where a submission says nothing."""
    continues: tuple[int, ...] = ()
    """Earlier versions whose jobs plan and handlers can go on with. A job stays of the version that it was submitted
    with: no instance plans it, and no node runs its tasks, unless it has that version or one that continues it."""
    weigh: Callable[[Job, Sequence[FinishedTask], Room], Step] | None = None
    """A plan that also goes by what is free now; asked instead of `plan` once a task of the job is final. Pure as well.
    It must stand by what it decided by an earlier room, which shows in the names of tasks (`Room.tasks`)."""
    check_review: Callable[[bytes, bytes, Mapping[str, Any]], bytes] | None = None
    """From what a person puts back, the document that was shown and the job's params to what the plan is given: the same, or put
    in order. Pure, and within a second; any JSON is taken where it is None. Raises InvalidParams with a sentence that says what
    to mend."""
    scripts: tuple[Path, ...] = ()
    """Scripts for `start_script` that nearly every task runs: spares of them wait from the start of a node."""
    needs: Callable[[Job], Sequence[str]] = field(default=lambda _: ())
    """Capabilities that a job will ask for sooner or later, as far as its params and inputs tell; `*` in one stands for what they
    do not tell, as in `mt:*>es`."""
    advise: Callable[[str], str] | None = None
    """Says in a sentence what to install for a capability. Of a kind with this a job is refused, or fails, where no executor
    offers what it needs; jobs of others wait for one."""
    modules: tuple[Module, ...] = ()
    """What it can do in steps that need each other; each has a handler of its name. Its plan makes chains of them with
    `mediafleet.domain.modules.make_chain`."""

    def __post_init__(self) -> None:
        """Check the modules, and add the handler that runs several of them. Raises InvalidRequest."""
        if not self.modules:
            return
        check_modules(self.modules)
        silent = [module.name for module in self.modules if module.name not in self.handlers]
        if silent:
            raise InvalidRequest(f"The kind {self.name!r} has no handler for its module {silent[0]!r}.")
        together = {CHAIN_STEP: run_parts(self.handlers)}
        object.__setattr__(self, "handlers", {**self.handlers, **together})

    @property
    def capability(self) -> str:
        """The capability that every task of a job of this version requires."""
        return self.capability_of(self.version)

    def capability_of(self, version: int) -> str:
        """Return the capability that tasks of a job of that version require."""
        return kind_capability(self.name, version)

    @property
    def versions(self) -> tuple[int, ...]:
        """The versions whose jobs it can plan and run, in order."""
        return tuple(sorted({*self.continues, self.version}))

    @property
    def capabilities(self) -> frozenset[str]:
        """What a node with this kind offers: it can run tasks of all these versions."""
        return frozenset(kind_capability(self.name, version) for version in self.versions)
