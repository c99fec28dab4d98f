"""The plan of a file that is shared out, told task by task: what is named, what falls back, and what ends the job."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from transcode_samples import media, params, sound, survey, video

from mediafleet.domain.artifact import ArtifactRef, Fingerprint
from mediafleet.domain.errors import ErrorInfo
from mediafleet.domain.job import Job
from mediafleet.domain.lifecycle import PriorityClass, TaskState
from mediafleet.domain.plan import Complete, Expand, Fail, FinishedTask, NewTask, Step
from mediafleet.domain.room import FreeSlots, Room
from mediafleet.kinds.transcode import KIND
from mediafleet.kinds.transcode.chunk_checks import ChunkReport
from mediafleet.kinds.transcode.orders import Answer, ChunkOrder, FileOrder, write
from mediafleet.kinds.transcode.params import TranscodeParams
from mediafleet.kinds.transcode.plan import may_share, plan_transcode, weigh_transcode

INPUT = ArtifactRef("a0-film", "film.mkv", "file:///m/film.mkv", 5, fingerprint=Fingerprint(5, "0"))
NODE = "n0-seen-it"
CAPABILITIES = ("encoder:aac", "encoder:libx264")


def out(name: str) -> ArtifactRef:
    return ArtifactRef(f"a0-{name}", name)


@dataclass
class Story:
    """A job of its own, and what is done of it."""

    wanted: TranscodeParams = field(default_factory=params)
    slots: int = 2
    waiting: int = 0
    tasks: dict[str, NewTask] = field(default_factory=dict[str, NewTask])
    done: dict[str, FinishedTask] = field(default_factory=dict[str, FinishedTask])
    dropped: list[str] = field(default_factory=list[str])
    begun: set[str] = field(default_factory=set[str])

    def __post_init__(self) -> None:
        self._take(plan_transcode(self.job, ()))

    @property
    def job(self) -> Job:
        built: dict[str, Any] = msgspec.to_builtins(self.wanted)
        priority = PriorityClass.BATCH
        return Job("j0-x", "0", "default", "local", "transcode", 2, "film", (INPUT,), built, priority, 0)

    def _take(self, step: Step) -> None:
        if isinstance(step, Expand):
            assert not self.tasks.keys() & {task.name for task in step.tasks if task.name in self.done}
            self.tasks |= {task.name: task for task in step.tasks if task.name not in self.tasks}
            for name in step.drop:
                self.dropped.append(name)
                del self.tasks[name]

    @property
    def open(self) -> list[str]:
        return [name for name in self.tasks if name not in self.done]

    def ask(self) -> Step:
        """Ask the plan as the scheduler does, and carry out what it says."""
        free = (FreeSlots("n0-a", CAPABILITIES, self.slots),) if self.slots else ()
        unplaced = frozenset(self.open) - self.begun
        step = weigh_transcode(
            self.job, list(self.done.values()), Room(free, self.waiting, frozenset(self.tasks), unplaced)
        )
        self._take(step)
        return step

    def end(self, name: str, answer: Answer | dict[str, Any], *outputs: ArtifactRef, ask: bool = True) -> Step | None:
        """Let a task be done."""
        result = answer if isinstance(answer, dict) else write(answer)
        step = self.tasks[name].step
        self.done[name] = FinishedTask(name, step, TaskState.DONE, result, outputs, node=NODE)
        return self.ask() if ask else None

    def end_parts(self) -> Step | None:
        """Let all chunks and the sound be done, in any order but the first."""
        step = None
        for name in reversed(self.open):
            order = msgspec.convert(self.tasks[name].payload, ChunkOrder)
            if name == "sound":
                step = self.end(name, Answer(seconds=1.0), out(name))
                continue
            (chunk,) = order.chunks
            following = "" if chunk.is_last else f"picture {chunk.end}"
            report = ChunkReport(chunk.number, "header", f"picture {chunk.start}", following)
            step = self.end(name, Answer(report=report, seconds=2.0), out(name))
        return step


def surveyed(**changes: Any) -> Story:
    """A film of ten minutes with sound that must be encoded, looked into."""
    info = media(video(), sound(codec="pcm_s16le"))
    story = Story(**changes)
    story.end("transcode", Answer(msgspec.structs.replace(survey(), info=info)))
    return story


def chunk_names(story: Story) -> list[str]:
    return [name for name in story.tasks if name.startswith("chunk-")]


def test_the_first_task_is_asked_to_look_and_encodes_the_file_where_it_cannot_be_shared() -> None:
    story = Story()
    (task,) = story.tasks.values()
    assert msgspec.convert(task.payload, FileOrder).survey
    assert story.end("transcode", {"frames": 7}, out("film.mp4")) == Complete({"frames": 7}, (out("film.mp4"),))


@pytest.mark.parametrize(
    "wanted",
    [{"preset": "copy"}, {"preset": "mp3"}, {"bitrate": 900_000}, {"chunks": "never"}, {"hardware_decode": True}],
)
def test_what_can_never_be_shared_ends_without_its_plan(wanted: dict[str, Any]) -> None:
    assert not may_share(params(**wanted))
    step = plan_transcode(Story(params(**wanted)).job, ())
    assert isinstance(step, Expand)
    assert step.outcome_of == "transcode"
    assert not msgspec.convert(step.tasks[0].payload, FileOrder).survey


def test_a_film_becomes_chunks_sound_and_a_join_of_all_in_order() -> None:
    story = surveyed()
    assert sorted(chunk_names(story)) == [f"chunk-8-{n}" for n in range(8)]
    sizes = [story.tasks[name].size for name in chunk_names(story)]
    assert sizes == sorted(sizes, reverse=True), "the longest are begun first"
    assert sizes[0] > sizes[-1], "so that this shows"
    assert story.open[0] == "sound", "so that its speed is known before the chunks are done"
    assert {task.near for task in story.tasks.values() if task.name != "transcode"} == {(NODE,)}
    assert {task.requirement.capabilities for task in story.tasks.values()} == {CAPABILITIES}
    story.end_parts()
    join = story.tasks["join"]
    assert [ref.id for ref in join.inputs] == ["a0-film", *(f"a0-chunk-8-{n}" for n in range(8)), "a0-sound"]
    order = msgspec.convert(join.payload, ChunkOrder)
    assert (len(order.chunks), order.has_sound, order.encode_s) == (8, True, 17.0)
    assert story.end("join", {"chunks": 8}, out("film.mp4")) == Complete({"chunks": 8}, (out("film.mp4"),))


def test_sound_that_is_copied_needs_no_task_of_its_own() -> None:
    story = Story()
    story.end("transcode", Answer(msgspec.structs.replace(survey(), info=media(video(), sound()))))
    assert "sound" not in story.tasks
    story.end_parts()
    assert not msgspec.convert(story.tasks["join"].payload, ChunkOrder).has_sound


def test_every_step_has_a_handler_and_the_weights_are_those_of_the_work() -> None:
    story = surveyed()
    story.end_parts()
    assert {task.step for task in story.tasks.values()} <= set(KIND.handlers)
    weights = {task.name: task.weight for task in story.tasks.values()}
    assert sum(weights[name] for name in chunk_names(story)) == pytest.approx(46)
    assert weights["transcode"] < 0.03 * sum(weights.values()), "looking is not half the work"


def test_what_was_decided_stands_whatever_room_there_is_later() -> None:
    story = surveyed()
    before = dict(story.tasks)
    story.slots, story.waiting = 0, 50
    assert story.end("chunk-8-3", Answer(report=ChunkReport(3, "header", "a", "b"))) == Expand(())
    assert story.tasks == before


def test_a_plan_that_was_applied_in_part_goes_on_with_the_rest_of_it() -> None:
    story = surveyed()
    for name in ["chunk-8-5", "chunk-8-6", "sound"]:
        del story.tasks[name]
    story.slots = 9
    story.ask()
    assert {*chunk_names(story)} == {f"chunk-8-{n}" for n in range(8)}
    assert "sound" in story.tasks


@pytest.mark.parametrize(("slots", "waiting"), [(1, 0), (2, 2)])
def test_without_room_the_whole_file_is_encoded_by_one_node_and_nothing_is_said(slots: int, waiting: int) -> None:
    story = surveyed(slots=slots, waiting=waiting)
    assert story.open == ["whole"]
    assert story.tasks["whole"].payload == {}
    story.slots, story.waiting = 8, 0
    story.ask()
    assert story.open == ["whole"], "it is decided"
    assert story.end("whole", {"frames": 9}, out("film.mp4")) == Complete({"frames": 9}, (out("film.mp4"),))


@pytest.mark.parametrize(
    "doubt",
    [
        Answer(whole="Chunk 3 has 9 pictures and not 10."),
        Answer(report=ChunkReport(2, "header", "another picture", "picture"), seconds=1),
        Answer(report=ChunkReport(2, "another header", "", ""), seconds=1),
    ],
)
def test_any_doubt_has_the_whole_file_encoded_and_says_why(doubt: Answer) -> None:
    story = surveyed()
    story.end("chunk-8-2", doubt)
    if "whole" not in story.tasks:
        story.end_parts()
    assert "chunk" in msgspec.convert(story.tasks["whole"].payload, FileOrder).why.lower()
    assert "join" not in story.tasks
    story.end("whole", {"frames": 9}, out("film.mp4"), ask=False)
    assert isinstance(story.ask(), Complete)


def test_chunks_that_have_not_begun_are_taken_back_when_the_whole_file_is_needed() -> None:
    story = surveyed()
    story.begun = {"chunk-8-1", "chunk-8-0"}
    story.end("chunk-8-2", Answer(whole="It is damaged."))
    assert sorted(story.open) == ["chunk-8-0", "chunk-8-1", "whole"]
    # One whose node was lost waits again.
    story.begun = {"chunk-8-0"}
    story.ask()
    assert story.open == ["chunk-8-0", "whole"]


def test_what_still_ran_then_cannot_fail_the_job() -> None:
    story = surveyed()
    story.begun = {"chunk-8-1"}
    story.end("chunk-8-2", Answer(whole="It is damaged."))
    story.done["chunk-8-1"] = FinishedTask("chunk-8-1", "chunk", TaskState.FAILED, error=ErrorInfo("x", "No."))
    assert isinstance(story.ask(), Expand)


def test_a_join_that_does_not_pass_falls_back_too() -> None:
    story = surveyed()
    story.end_parts()
    story.end("join", Answer(whole="In the joined file a picture is moved."))
    assert msgspec.convert(story.tasks["whole"].payload, FileOrder).why == "In the joined file a picture is moved."


def test_a_file_made_of_chunks_takes_its_sources_place_as_any_other() -> None:
    story = surveyed(wanted=params(replace={"days": 2}))
    story.end_parts()
    story.end("join", {"chunks": 8}, out("film.mp4"))
    assert story.tasks["replace"].inputs == (out("film.mp4"), INPUT)
    ended = story.end("replace", {"path": "file:///m/film.mp4"})
    assert ended == Complete({"chunks": 8, "replaced": {"path": "file:///m/film.mp4"}})


@pytest.mark.parametrize("name", ["transcode", "chunk-8-4", "sound", "join", "whole"])
def test_a_task_that_failed_for_good_ends_the_job_with_its_error(name: str) -> None:
    story = surveyed(slots=1 if name == "whole" else 2)
    if name == "join":
        story.end_parts()
    error = ErrorInfo("transient-failure", "The disk is full.")
    story.done[name] = FinishedTask(name, story.tasks[name].step, TaskState.FAILED, error=error)
    assert story.ask() == Fail(error)


def test_tasks_say_what_sort_of_work_they_are_and_how_much() -> None:
    story = Story(slots=2)
    assert story.tasks["transcode"].pace == "", "nothing of how long the job takes follows from a look into the source"
    story.end("transcode", Answer(survey=survey()))
    chunks = [task for name, task in story.tasks.items() if name.startswith("chunk-")]
    assert {task.pace for task in chunks} == {"transcode:chunk:libx264:medium:720"}
    assert sum(task.size for task in chunks) == sum(unit.frames for unit in survey().units)
    assert all(not task.pace or task.size > 0 for task in story.tasks.values())
    crowded = Story(slots=0)
    crowded.end("transcode", Answer(survey=survey()))
    whole = crowded.tasks["whole"]
    assert (whole.pace, whole.size) == ("transcode:whole:libx264:medium:720", sum(task.size for task in chunks))


@pytest.mark.parametrize(
    ("wanted", "pace"),
    [
        (params(dry_run=True), "transcode:look"),
        (params(preset="copy"), "transcode:file:copy"),
        (params(preset="mp3"), "transcode:file:sound"),
        (params(chunks="never", speed="fast"), "transcode:file:libx264:fast"),
    ],
)
def test_a_file_that_nobody_looked_into_is_one_of_its_sort(wanted: TranscodeParams, pace: str) -> None:
    assert Story(wanted).tasks["transcode"].pace == pace
