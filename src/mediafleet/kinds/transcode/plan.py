"""The plan of a transcode job. Pure.

One task looks into the source. Where chunks are not possible or not worth while it goes on and encodes the whole file; else
it returns what it found, and the plan weighs what is free:

    transcode ─┬─ (short, copied, …) → the job's result, or replace where that takes the source's place
               └─ survey ─┬─ no room ──────────────→ whole → the job's result
                          └─ chunk-n-i …, sound → join → the job's result
                                  any doubt ───────→ whole, and what is not begun is taken back

How many chunks there are stands in their names, so that a plan that is asked again decides the same.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from mediafleet.domain.capability import Requirement, check_capabilities
from mediafleet.domain.errors import ErrorInfo
from mediafleet.domain.lifecycle import TaskState
from mediafleet.domain.plan import Complete, Expand, Fail, FinishedTask, NewTask, Step
from mediafleet.kinds.transcode.chunk_arguments import ChunkJob, check_chunkable
from mediafleet.kinds.transcode.chunk_checks import check_borders
from mediafleet.kinds.transcode.chunk_steps import ChunkStep
from mediafleet.kinds.transcode.chunks import Chunk, NeedsWholeFile
from mediafleet.kinds.transcode.containers import CONTAINERS
from mediafleet.kinds.transcode.hardware_facts import any_hardware
from mediafleet.kinds.transcode.index import FrameIndex
from mediafleet.kinds.transcode.orders import ChunkOrder, FileOrder, read_answer, write
from mediafleet.kinds.transcode.pace import file_pace, picture_pace
from mediafleet.kinds.transcode.params import AUDIO_ENCODERS, TranscodeParams, preset_of
from mediafleet.kinds.transcode.replace_plan import after_transcode, check_replaceable, plan_restore
from mediafleet.kinds.transcode.split import Sharing, Survey, costliest_first, count_chunks, join_units
from mediafleet.kinds.transcode.streams import plan_output, sound_format

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediafleet.domain.job import Job
    from mediafleet.domain.room import Room

STEP = ChunkStep.SURVEY.value
CHUNK_STEP, SOUND_STEP, JOIN_STEP = (step.value for step in (ChunkStep.CHUNK, ChunkStep.SOUND, ChunkStep.JOIN))
WHOLE = "whole"
"""The task that encodes the whole file after another has looked into it."""
_CHUNK_NAME = re.compile(r"chunk-(\d+)-(\d+)")
_CHUNKS_WEIGHT, _SOUND_WEIGHT, _JOIN_WEIGHT = 46.0, 1.0, 3.0
"""Beside 1 for the survey; a join is a copy and one decode of the result."""


def needed_encoders(params: TranscodeParams) -> tuple[str, ...]:
    """Return the FFmpeg encoders that a node must have working, whatever the source turns out to be."""
    preset = preset_of(params)
    if params.dry_run:
        return ()
    # Decided before anybody has looked into the source, so an encoder that only perhaps runs counts as needed:
    # a task that finds it missing half-way has spent a try and a download.
    needed = {preset.video.encoder} if preset.video is not None else set[str]()
    # Who only prefers hardware needs the CPU's encoder still, and the node decides.
    if preset.video is not None and params.hardware == "require":
        needed = {any_hardware(preset.video.codec)}
    wanted = params.audio.codec
    if wanted in AUDIO_ENCODERS:
        needed.add(AUDIO_ENCODERS[wanted])
    elif wanted == "auto" and preset.audio is not None:
        # The same choice as on the node, so that the two cannot disagree about the encoder.
        needed.add(sound_format(params, CONTAINERS[params.container or preset.container])[1])
    return tuple(sorted(needed))


def may_share(params: TranscodeParams) -> bool:
    """Tell whether a file may be encoded in chunks, as far as what is asked for goes."""
    # All chunks must come from one encoder, and which hardware a node has is its own to know.
    if params.dry_run or params.hardware != "never" or params.hardware_decode:
        return False
    return params.chunks is not Sharing.NEVER and preset_of(params).video is not None and not params.bitrate


def plan_transcode(job: Job, finished: Sequence[FinishedTask]) -> Step:
    """Return the first task: it encodes the file, or tells how it could be shared out."""
    del finished
    params = msgspec.convert(job.params, TranscodeParams)
    if params.restore:
        return plan_restore(job)
    if params.replace:
        check_replaceable(job.inputs[0])
    survey = may_share(params)
    # Without its plan a job ends a moment sooner.
    ends = not survey and params.replace is None
    return Expand((_file_task(job, STEP, FileOrder(survey=survey)),), outcome_of=STEP if ends else "")


def weigh_transcode(job: Job, finished: Sequence[FinishedTask], room: Room) -> Step:
    """Return what comes next, by what is done and what is free."""
    done = {task.name: task for task in finished}
    if WHOLE in room.tasks:
        return _end(job, done[WHOLE], finished) if WHOLE in done else _go_whole(job, room, None, why="")
    first = done.get(STEP)
    if first is None:
        return plan_transcode(job, ())
    survey = read_answer(first.result).survey
    if survey is None or first.state is not TaskState.DONE:
        return _end(job, first, finished)
    return _Shared(job, survey, room, done, near=first.node).step()


def _end(job: Job, task: FinishedTask, finished: Sequence[FinishedTask]) -> Step:
    """Return what follows the task that made the file."""
    params = msgspec.convert(job.params, TranscodeParams)
    if params.replace:
        return after_transcode(job, params.replace, task, finished)
    if task.state is TaskState.DONE:
        return Complete(task.result, task.outputs, task.warnings)
    return Fail(task.error or ErrorInfo("task-failed", "The transcode was stopped."))


def _requirement(job: Job) -> Requirement:
    params = msgspec.convert(job.params, TranscodeParams)
    return Requirement(check_capabilities(f"encoder:{encoder}" for encoder in needed_encoders(params)))


def _file_task(job: Job, name: str, order: FileOrder, *, weight: float = 1.0) -> NewTask:
    # One that may look into a source only tells nothing of how long the job takes.
    pace = "" if order.survey else file_pace(msgspec.convert(job.params, TranscodeParams))
    return NewTask(name, STEP, _requirement(job), job.inputs, write(order), weight=weight, pace=pace)


def _go_whole(job: Job, room: Room, survey: Survey | None, *, why: str) -> Expand:
    """Encode the whole file; nobody asks the plan again when what still runs ends, so that its errors do not count."""
    task = _file_task(job, WHOLE, FileOrder(why=why), weight=_CHUNKS_WEIGHT + _JOIN_WEIGHT)
    if survey is not None:
        pace = picture_pace(WHOLE, survey.info, msgspec.convert(job.params, TranscodeParams))
        task = msgspec.structs.replace(task, pace=pace, size=float(sum(unit.frames for unit in survey.units)))
    own = room.unplaced - {WHOLE}
    return Expand((task,), drop=tuple(sorted(own)))


class _Shared:
    """A job whose source could be encoded in chunks."""

    def __init__(self, job: Job, survey: Survey, room: Room, done: dict[str, FinishedTask], *, near: str) -> None:
        self.job, self.survey, self.room, self.done = job, survey, room, done
        self.near = (near,) if near else ()
        self.params = msgspec.convert(job.params, TranscodeParams)
        self.requirement = _requirement(job)
        self.plan = plan_output(survey.info, self.params, name=job.inputs[0].name)

    def step(self) -> Step:
        """Return what comes next."""
        count = self._decided() or self._decide()
        if count == 1:
            return _go_whole(self.job, self.room, self.survey, why="")
        chunks = join_units(self.survey, count)
        parts = [*self._chunk_tasks(chunks), *self._sound_task()]
        try:
            ended = self._check(parts)
        except NeedsWholeFile as doubt:
            return _go_whole(self.job, self.room, self.survey, why=doubt.message)
        if isinstance(ended, Fail):
            return ended
        if len(ended) < len(parts):
            # Sound first: until its speed is known, nobody can be told how long the job takes.
            return self._missing([*self._sound_task(), *self._chunk_tasks(costliest_first(chunks))])
        return self._join(chunks, parts)

    def _decided(self) -> int:
        found = (_CHUNK_NAME.fullmatch(name) for name in self.room.tasks)
        return next((int(match[1]) for match in found if match), 0)

    def _decide(self) -> int:
        encoder = check_chunkable(self.plan, self.params).encoder
        capabilities = self.requirement.capabilities
        return count_chunks(self.survey, self.params.chunks, self.room, encoder=encoder, capabilities=capabilities)

    def _order(self, chunks: Sequence[Chunk] = ()) -> ChunkOrder:
        found = self.survey
        known = (found.info, found.time_base, found.first, found.head, found.tail, found.changed)
        return ChunkOrder(*known, tuple(chunks))

    def _task(self, name: str, step: str, order: ChunkOrder, weight: float) -> NewTask:
        has_pictures = step != SOUND_STEP
        return NewTask(
            name,
            step,
            self.requirement,
            self.job.inputs,
            write(order),
            weight=weight,
            near=self.near,
            pace=picture_pace(step, self.survey.info, self.params) if has_pictures else "transcode:sound",
            # Pictures, and of sound seconds.
            size=float(sum(chunk.frames for chunk in order.chunks)) if has_pictures else self.survey.info.duration_s,
        )

    def _chunk_tasks(self, chunks: Sequence[Chunk]) -> list[NewTask]:
        frames = sum(chunk.frames for chunk in chunks)
        return [
            self._task(
                f"chunk-{len(chunks)}-{chunk.number}",
                CHUNK_STEP,
                self._order((chunk,)),
                _CHUNKS_WEIGHT * chunk.frames / frames,
            )
            for chunk in chunks
        ]

    def _sound_task(self) -> list[NewTask]:
        index = FrameIndex(self.survey.time_base, (self.survey.first,))
        has_sound = bool(ChunkJob(self.plan, self.params, self.survey.info, index).sounds)
        return [self._task(SOUND_STEP, SOUND_STEP, self._order(), _SOUND_WEIGHT)] if has_sound else []

    def _check(self, parts: Sequence[NewTask]) -> list[FinishedTask] | Fail:
        """Return the parts that are done, in order, or the end of the job. Raises NeedsWholeFile."""
        ended = [self.done[task.name] for task in parts if task.name in self.done]
        for task in [*ended, *([self.done[JOIN_STEP]] if JOIN_STEP in self.done else [])]:
            if task.state is not TaskState.DONE:
                return Fail(task.error or ErrorInfo("task-failed", "A chunk of the transcode was stopped."))
            if why := read_answer(task.result).whole:
                raise NeedsWholeFile(why)
        return ended

    def _join(self, chunks: Sequence[Chunk], parts: Sequence[NewTask]) -> Step:
        if JOIN_STEP in self.done:
            return _end(self.job, self.done[JOIN_STEP], list(self.done.values()))
        made = [self.done[task.name] for task in parts]
        answers = [read_answer(task.result) for task in made]
        try:
            check_borders([answer.report for answer in answers if answer.report is not None])
        except NeedsWholeFile as doubt:
            return _go_whole(self.job, self.room, self.survey, why=doubt.message)
        order = msgspec.structs.replace(
            self._order(chunks),
            has_sound=len(parts) > len(chunks),
            encode_s=sum(answer.seconds for answer in answers),
        )
        join = self._task(JOIN_STEP, JOIN_STEP, order, _JOIN_WEIGHT)
        outputs = tuple(output for task in made for output in task.outputs)
        return self._missing([msgspec.structs.replace(join, inputs=(*self.job.inputs, *outputs))])

    def _missing(self, tasks: Sequence[NewTask]) -> Expand:
        # It is asked after each chunk, and what exists need not be sent to the store again.
        return Expand(tuple(task for task in tasks if task.name not in self.room.tasks))
