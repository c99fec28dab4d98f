"""A job kind that stops for people, as a package from outside would bring it: a text is written, corrected and printed.

`site_folder` makes a folder that, on `PYTHONPATH`, installs it for the processes of a test.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from mediafleet.domain.errors import InvalidParams
from mediafleet.domain.job import Job
from mediafleet.domain.lifecycle import TaskState
from mediafleet.domain.plan import Complete, Expand, FinishedTask, NewTask, Step, TaskResult
from mediafleet.domain.review import review_task
from mediafleet.kinds import Kind, TaskContext

SUPPORT = Path(__file__).parents[1]


class Text(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A document of this kind."""

    text: str


class ProofreadParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Params of a job."""

    text: str = ""
    """What is written, where no input is given."""
    readers: tuple[str, ...] = ("ann",)
    """Each of them has a review of its own."""


def plan(job: Job, finished: Sequence[FinishedTask]) -> Step:
    """Write, all reviews, print."""
    done = {task.name: task for task in finished if task.state is TaskState.DONE}
    if not job.inputs and "write" not in done:
        return Expand((NewTask(name="write", step="write"),))
    document = job.inputs[0] if job.inputs else done["write"].outputs[0]
    names = [f"read-{reader}" for reader in job.params["readers"]]
    if not all(name in done for name in names):
        return Expand(tuple(review_task(name, document) for name in names))
    answers = tuple(done[name].outputs[0] for name in names)
    if "print" not in done:
        return Expand((NewTask(name="print", step="print", inputs=answers),))
    by = [done[name].result for name in names]
    return Complete({**done["print"].result, "by": by}, outputs=done["print"].outputs)


async def write(context: TaskContext) -> TaskResult:
    """Publish the text as a document."""
    path = context.workspace / "text.json"
    path.write_bytes(msgspec.json.encode(Text(context.spec.params["text"])))
    return TaskResult(outputs=(await context.publish(path, name="text.json"),))


async def print_all(context: TaskContext) -> TaskResult:
    """Return what came back from all readers."""
    paths = [await context.fetch(ref) for ref in context.spec.inputs]
    texts = [msgspec.json.decode(path.read_bytes(), type=Text).text for path in paths]
    path = context.workspace / "print.txt"
    path.write_text("\n".join(texts))
    return TaskResult({"texts": texts}, (await context.publish(path, name="print.txt"),))


def check_review(body: bytes, shown: bytes, params: Mapping[str, Any]) -> bytes:
    """Return a document without spaces around its text. Raises InvalidParams, also where nothing is left of what was shown."""
    assert set(params) == {"text", "readers"}
    try:
        found = msgspec.json.decode(body, type=Text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidParams(f"What was put back is no text: {error}.") from None
    if msgspec.json.decode(shown, type=Text).text and not found.text.strip():
        raise InvalidParams("Nothing is left of the text that was shown.")
    return msgspec.json.encode(Text(found.text.strip()))


KIND = Kind(
    name="proofread",
    version=1,
    params=ProofreadParams,
    plan=plan,
    handlers={"write": write, "print": print_all},
    summary="Write a text, have it corrected, and print it.",
    inputs=(0, 1),
    check_review=check_review,
)


def site_folder(folder: Path) -> Mapping[str, str]:
    """Make a folder with the record of an installed package that offers this kind; return the variables to set."""
    record = folder / "mediafleet_kind_proofread-1.0.dist-info"
    record.mkdir(parents=True)
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: mediafleet-kind-proofread\nVersion: 1.0\n")
    (record / "entry_points.txt").write_text("[mediafleet.kinds]\nproofread = tests_support.proofread_kind:KIND\n")
    present = os.environ.get("PYTHONPATH", "")
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(folder), str(SUPPORT), present]))}
