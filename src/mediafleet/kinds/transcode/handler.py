"""The transcode handler: fetch, probe, plan, encode, verify, publish."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mediafleet.domain.errors import InvalidRequest, MediafleetError, OutputRejected, UnreadableMedia
from mediafleet.domain.plan import TaskResult
from mediafleet.kinds.transcode import failures, vmaf
from mediafleet.kinds.transcode.arguments import (
    check_arguments,
    cover_arguments,
    draw,
    encode_arguments,
    first_pass_arguments,
    pass_options,
    shown_command,
)
from mediafleet.kinds.transcode.chunk_run import Tools, open_job
from mediafleet.kinds.transcode.chunk_steps import ChunkStep
from mediafleet.kinds.transcode.chunks import LEAST_S, NeedsWholeFile
from mediafleet.kinds.transcode.hardware import Hardware
from mediafleet.kinds.transcode.inventory import compare
from mediafleet.kinds.transcode.losses import Topic
from mediafleet.kinds.transcode.media import MediaInfo
from mediafleet.kinds.transcode.orders import Answer, FileOrder, write
from mediafleet.kinds.transcode.originals import has_changed, look_in_place
from mediafleet.kinds.transcode.params import TranscodeParams
from mediafleet.kinds.transcode.preview import preview
from mediafleet.kinds.transcode.probe import probe
from mediafleet.kinds.transcode.program import Ffmpeg, find_ffmpeg
from mediafleet.kinds.transcode.replace_plan import SOURCE_MTIME
from mediafleet.kinds.transcode.running import FfmpegRun, Finished
from mediafleet.kinds.transcode.split import Survey, make_survey
from mediafleet.kinds.transcode.streams import Action, OutputPlan, plan_output
from mediafleet.kinds.transcode.track_flags import show_no_subtitles
from mediafleet.kinds.transcode.verify import check_source, count_pictures, describe_damage, find_faults
from mediafleet.kinds.transcode.verifying import (
    find_growth,
    find_lost_pictures,
    find_wrong_container,
    reason_to_keep,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mediafleet.kinds.seam import TaskContext
    from mediafleet.kinds.transcode.progress import Position

HARDWARE = Hardware()
"""Shared by all tasks of a process: they share its cards."""
DEFAULT_STALL_S = 120.0
"""A slow encoder on a busy machine may think for a minute before its first picture."""
_PROBED, _LEARNT, _ENCODED = 0.01, 0.40, 0.90
"""Shares of the progress bar at which probing, a first pass of two, and encoding end."""
_MAX_NAME_BYTES = 240
"""File systems take 255; the rest is left for those who add an ending of their own."""
_DOLBY_VISION = "DOVI configuration record"


@dataclass(frozen=True)
class Made:
    """One output that passed, or the reasons why it did not."""

    plan: OutputPlan
    path: Path
    arguments: list[str]
    encoded: Finished
    info: MediaInfo | None
    faults: list[str]
    is_undecodable: bool
    detail: str


class FileTask:
    """One task on the way to a file: its tools, and what it has found so far."""

    def __init__(
        self, context: TaskContext, ffmpeg: Ffmpeg, stall_s: float, *, params: TranscodeParams | None = None
    ) -> None:
        """Begin a task; params are those of its job where another kind gives none of its own."""
        self.context = context
        self.ffmpeg = ffmpeg
        self.stall_s = stall_s
        self.params = params or msgspec.convert(context.spec.params, TranscodeParams)
        self.drawn = ""
        """A filter that draws into each picture, as FFmpeg writes it; none where empty."""
        self.name = context.spec.inputs[0].name
        self.extra: dict[str, Any] = {}
        self.seconds: dict[str, float] = {"probe_s": 0.0, "encode_s": 0.0, "verify_s": 0.0}

    async def open(self, ranges: Sequence[tuple[int, int]] | None = None, *, changed: str = "0") -> Path:
        """Fetch the source, or some of it; return it under a plain name in the workspace.

        Args:
            ranges: The bytes that are needed; all where not given.
            changed: When it was changed last as far as others know, as `look_in_place` tells.

        Raises:
            NeedsWholeFile: It was changed since then.
        """
        ref = self.context.spec.inputs[0]
        path = await self.context.fetch(ref, ranges=ranges)
        seen = self.extra[SOURCE_MTIME] = look_in_place(self.context.originals, self.params, ref, path)
        if has_changed(changed, seen):
            raise NeedsWholeFile("It was changed while parts of it were encoded.")
        return self.link(path, "input")

    async def transcode(self, source: Path, info: MediaInfo) -> TaskResult:
        """Encode the whole file, check it, and publish it."""
        made = await self.make(source, info)
        if made.is_undecodable and made.plan.copies_sound:
            # Sound that was copied brings the source's damage along; encoding it anew heals what can be healed.
            made = await self.make(source, info, may_copy_sound=False)
        return await self.publish(made, info)

    async def publish(self, made: Made, info: MediaInfo) -> TaskResult:
        """Publish what passed, or raise OutputRejected."""
        output = self.accept(made)
        damage = self._damage(made, info, output)
        growth = find_growth(info, output, self.params, name=self.name)
        warnings = (*made.plan.warnings, *damage)
        if reason := reason_to_keep(self.params, growth, damage):
            return TaskResult(result=self._account(made, info, output), warnings=(*warnings, reason))
        if growth:
            raise OutputRejected(growth)
        self.context.report(0.99, stage="publishing")
        # Only what passed is ever published: the worst that a transcoder can do is to replace a good file by a bad one.
        artifact = await self.context.publish(made.path, name=output_name(self.name, made.plan.container.name))
        return TaskResult(
            result=self._account(made, info, output),
            outputs=(artifact,),
            warnings=warnings,
        )

    def link(self, path: Path, name: str) -> Path:
        """Give an input a plain name in the workspace, so that no tool has to cope with the user's."""
        ending = path.suffix.lower() if path.suffix[1:].isalnum() and path.suffix.isascii() else ""
        link = self.context.workspace / f"{name}{ending}"
        # A link and not a copy: inputs are large, and one that is used in place must not be renamed.
        link.unlink(missing_ok=True)
        link.symlink_to(path.absolute())
        return link

    async def probe(self, source: Path) -> MediaInfo:
        """Look into the source. Raises UnreadableMedia, TransientFailure."""
        self.context.report(0.0, stage="probing")
        started = time.monotonic()
        info = await probe(self.context, source, name=self.name)
        self.seconds["probe_s"] = time.monotonic() - started
        check_source(info, name=self.name)
        return info

    async def survey(self, source: Path, info: MediaInfo) -> Survey | None:
        """Return how the source could be encoded in chunks; None where it cannot."""
        if info.duration_s < 2 * LEAST_S:
            return None
        try:
            plan = plan_output(info, self.params, name=self.name)
            job = await open_job(self.tools(), source, plan, self.params, info)
            found = make_survey(info, job.index)
        except NeedsWholeFile:
            return None
        found = msgspec.structs.replace(found, changed=str(self.extra[SOURCE_MTIME]))
        return found if len(found.units) > 1 else None

    def tools(self) -> Tools:
        """Return what chunks are made with."""
        return Tools(
            self.context, self.ffmpeg, self.context.workspace, self.name, self.context.cores, stall_s=self.stall_s
        )

    async def make(self, source: Path, info: MediaInfo, *, may_copy_sound: bool = True) -> Made:
        """Encode the whole file and check it; what is wrong with it stands in the result."""
        plan = plan_output(info, self.params, name=self.name, may_copy_sound=may_copy_sound)
        plan = await HARDWARE.choose(self.context, self.ffmpeg, plan, self.params)
        path = self.context.workspace / f"output.{plan.container.name}"
        arguments = self._arguments(plan, source, path, info)
        if plan.covers:
            # Before the encode, which attaches the files that this makes.
            await self._ffmpeg(cover_arguments(plan, source=source, folder=path.parent, info=info))
        if self.params.passes > 1:
            arguments[-1:-1] = await self._learn(plan, source, info)
        try:
            with HARDWARE.session(plan):
                encoded = await self._encode(arguments, path, info)
        except MediafleetError as error:
            plan = self._fall_back(plan, error)
            arguments = self._arguments(plan, source, path, info)
            encoded = await self._encode(arguments, path, info)
        await asyncio.to_thread(show_no_subtitles, plan, path)
        return await self.verify(plan, (source, info), path, arguments=arguments, encoded=encoded)

    def _arguments(self, plan: OutputPlan, source: Path, path: Path, info: MediaInfo) -> list[str]:
        words = encode_arguments(plan, self.params, source=source, output=path, info=info)
        return draw(words, plan, self.drawn) if self.drawn else words

    def _fall_back(self, plan: OutputPlan, error: MediafleetError) -> OutputPlan:
        """Return what to try after an encode failed. Raises the error where hardware had no part in it."""
        if not self.params.hardware_decode:
            return HARDWARE.fall_back(plan, self.params, error)
        # Whatever it was: drivers that are missing end FFmpeg in many ways, and damage shows again without them.
        self.params = msgspec.structs.replace(self.params, hardware_decode=False)
        note = "The source was decoded on the CPU: with this node's hardware the encode failed."
        return msgspec.structs.replace(plan, notes=(*plan.notes, note))

    async def _learn(self, plan: OutputPlan, source: Path, info: MediaInfo) -> list[str]:
        """Look at the pictures once; return what tells the encode of it."""

        def note(position: Position) -> None:
            done = position.fraction(info.duration_s)
            self.context.report(_PROBED + done * (_LEARNT - _PROBED), stage="first pass", speed=position.speed or None)

        started = time.monotonic()
        words = first_pass_arguments(plan, self.params, source=source, log=self._log, info=info)
        await self._ffmpeg(words, on_progress=note)
        self.seconds["encode_s"] += time.monotonic() - started
        return pass_options(plan, self._log, which=2)

    @property
    def _log(self) -> Path:
        """What the names of all begin with that a first pass leaves for the second."""
        return self.context.workspace / "passes"

    async def verify(
        self,
        plan: OutputPlan,
        original: tuple[Path, MediaInfo],
        path: Path,
        *,
        arguments: list[str],
        encoded: Finished,
    ) -> Made:
        """Hold a finished output to its source and its plan, and decode all of it.

        Args:
            plan: What should have become of each stream.
            original: The source, and its inventory.
            path: The output.
            arguments: How it was made, for the user.
            encoded: How FFmpeg ended that made it.
        """
        source, info = original
        started = time.monotonic()
        self.context.report(_ENCODED, stage=ChunkStep.CHECK.value)
        # At the same time: one mostly reads and the other mostly computes.
        output, checked = await asyncio.gather(self._inspect(path), self._check(path, plan, info))
        self.seconds["verify_s"] += time.monotonic() - started
        faults = find_faults(info, output, plan, self.params) if output else ["it cannot be read back"]
        # Some decoders complain and conceal, and end well; an output of ours has nothing to conceal.
        undecodable = checked.exit_code != 0 or bool(failures.errors_in(checked.log))
        if output:
            faults += find_wrong_container(output, plan)
        if undecodable:
            faults.append("it does not decode without errors")
        elif output and not faults and not failures.errors_in(encoded.log):
            decoded = checked.last.frame + checked.last.dropped
            faults += find_lost_pictures(info, output, plan, self.params, decoded=decoded, dropped=encoded.last.dropped)
        if output and not faults:
            faults += await self._find_low_quality((source, info), (path, output), plan)
        return Made(
            plan, path, arguments, encoded, output, faults, undecodable, checked.log[-2000:] if undecodable else ""
        )

    async def _encode(self, arguments: list[str], path: Path, info: MediaInfo) -> Finished:
        started = time.monotonic()
        begin = _LEARNT if self.params.passes > 1 else _PROBED

        def note(position: Position) -> None:
            done = position.fraction(info.duration_s)
            self.context.report(
                begin + done * (_ENCODED - begin),
                stage="encoding",
                speed=position.speed or None,
                eta_ms=position.eta_ms(info.duration_s),
            )

        self.context.report(begin, stage="encoding")
        finished = await self._ffmpeg(arguments, output=path, on_progress=note)
        self.seconds["encode_s"] += time.monotonic() - started
        return finished

    async def _ffmpeg(
        self,
        arguments: list[str],
        *,
        output: Path | None = None,
        on_progress: Callable[[Position], None] = lambda _: None,
    ) -> Finished:
        """Run FFmpeg on the input; any failure is one of the input's or of the node's."""
        words = [self.ffmpeg.path, *arguments]
        run = FfmpegRun(self.context, words, self.name, self.stall_s, output=output, on_progress=on_progress)
        return await run.succeed()

    async def _inspect(self, path: Path) -> MediaInfo | None:
        try:
            return await probe(self.context, path, name=path.name)
        except UnreadableMedia:
            return None

    async def _find_low_quality(
        self, source: tuple[Path, MediaInfo], output: tuple[Path, MediaInfo], plan: OutputPlan
    ) -> list[str]:
        """Return half a sentence if the result looks worse than was asked for."""
        least, track = self.params.verify.vmaf_min, vmaf.compared_track(plan)
        if least is None or track is None:
            return []
        words = vmaf.vmaf_arguments(track, self.params, source=source, output=output)
        run = await FfmpegRun(self.context, [self.ffmpeg.path, *words], self.name, self.stall_s).finish()
        score = vmaf.read_score(run.log)
        self.extra["vmaf"] = score
        return vmaf.find_low_quality(score, least)

    async def _check(self, path: Path, plan: OutputPlan, info: MediaInfo) -> Finished:
        def note(position: Position) -> None:
            done = position.fraction(info.duration_s)
            self.context.report(
                _ENCODED + done * (0.99 - _ENCODED), stage=ChunkStep.CHECK.value, speed=position.speed or None
            )

        arguments = check_arguments(path, muxer=plan.container.muxer)
        return await FfmpegRun(
            self.context, [self.ffmpeg.path, *arguments], self.name, self.stall_s, on_progress=note
        ).finish()

    def accept(self, made: Made) -> MediaInfo:
        """Return what is in an output that passed. Raises OutputRejected."""
        if not made.faults and made.info is not None:
            return made.info
        what = "; ".join(made.faults)
        hint = (
            " The source itself is damaged: the presets that encode can repair it."
            if self.params.preset == "copy"
            else ""
        )
        sentence = f"The output of {failures.show_name(self.name)} was rejected: {what}.{hint}"
        raise OutputRejected(sentence, detail=made.detail or made.encoded.log[-2000:])

    def _damage(self, made: Made, info: MediaInfo, output: MediaInfo) -> list[str]:
        """Say what the encoder had to conceal, and what no header told before."""
        lost = count_pictures(info) - count_pictures(output)
        warnings = describe_damage(info, failures.errors_in(made.encoded.log), lost=lost)
        told = any("Dolby Vision" in warning for warning in made.plan.warnings)
        if _DOLBY_VISION in made.encoded.log and self.params.preset not in {"copy", "mp3"} and not told:
            warnings.append("The Dolby Vision data of the picture is lost; the base picture stays.")
        # Not of pictures, which are counted above: some formats have packets that show none, or two for one.
        found = compare(info, output, made.plan, self.params)
        return warnings + [one.sentence for one in found if not one.announced and one.topic is not Topic.RATE]

    def _account(self, made: Made, info: MediaInfo, output: MediaInfo) -> dict[str, Any]:
        names = {
            f"file:{self.context.workspace / made.path.name}": f"file:{output_name(self.name, made.plan.container.name)}"
        }
        names[str(self._log)] = self._log.name
        names |= {
            word: f"file:{self.name}"
            for word in made.arguments
            if word.startswith(f"file:{self.context.workspace}/input")
        }
        last = made.encoded.last
        return {
            "preset": self.params.preset,
            "container": made.plan.container.name,
            "duration_s": round(output.duration_s, 3),
            "size": output.size,
            "source_size": info.size,
            "streams": [_line(stream) for stream in output.streams],
            "encoders": [
                {"stream": one.source.index, "encoder": one.encoder, "why": one.why}
                for one in made.plan.streams
                if one.action is Action.ENCODE
            ],
            "losses": msgspec.to_builtins(made.plan.losses),
            "frames": last.frame,
            "dropped": last.dropped,
            "duplicated": last.duplicated,
            "fps": mean_rate(last.frame, self.seconds["encode_s"]),
            "speed": last.speed,
            **self.extra,
            **{key: round(value, 3) for key, value in self.seconds.items()},
            "ffmpeg": self.ffmpeg.version,
            "command": shown_command("ffmpeg", made.arguments, names=names),
        }


class TranscodeHandler:
    """Runs tasks that encode a whole file. One instance serves all tasks of a node."""

    def __init__(self, *, ffmpeg: Ffmpeg | None = None, stall_s: float = DEFAULT_STALL_S) -> None:
        self._ffmpeg = ffmpeg
        self._stall_s = stall_s

    async def __call__(self, context: TaskContext, /) -> TaskResult:
        """Make one output of one input, check it, and publish it; or tell how it could be encoded in chunks."""
        if len(context.spec.inputs) != 1:
            raise InvalidRequest("A transcode takes exactly one input.")
        order = msgspec.convert(context.spec.payload, FileOrder)
        task = await open_task(context, ffmpeg=self._ffmpeg, stall_s=self._stall_s)
        source = await task.open()
        info = await task.probe(source)
        if task.params.dry_run:
            shown = preview(info, task.params, name=task.name)
            return TaskResult(result=msgspec.to_builtins(shown), warnings=tuple(one.sentence for one in shown.losses))
        if order.survey and (survey := await task.survey(source, info)):
            return TaskResult(write(Answer(survey)))
        result = await task.transcode(source, info)
        if not order.why:
            return result
        warning = f"It was transcoded as a whole and not in chunks: {order.why}"
        return msgspec.structs.replace(result, warnings=(*result.warnings, warning))


async def open_task(context: TaskContext, *, ffmpeg: Ffmpeg | None, stall_s: float) -> FileTask:
    """Return a task with its tools; without an FFmpeg given, with the machine's."""
    return FileTask(context, ffmpeg or await asyncio.to_thread(find_ffmpeg), stall_s)


def mean_rate(frames: int, seconds: float) -> float:
    """Return how many pictures were encoded a second; FFmpeg tells it only of what takes longer than one."""
    return round(frames / seconds, 2) if seconds > 0 else 0.0


def output_name(source: str, container: str) -> str:
    """Return the file name to publish under: the source's stem, shortened where a file system would refuse it."""
    stem = Path(source.replace("/", "_").replace("\0", "_")).stem or "output"
    ending = f".{container}"
    room = _MAX_NAME_BYTES - len(ending)
    # Cut as bytes, which file systems count, and decoded again so that no half character stays.
    return stem.encode(errors="replace")[:room].decode(errors="ignore") + ending


def _line(stream: msgspec.Struct) -> dict[str, Any]:
    """Return what a user wants to know of a stream: what says something, as plain values."""
    wanted = (
        "type",
        "codec",
        "language",
        "title",
        "width",
        "height",
        "fps",
        "pix_fmt",
        "sample_rate",
        "channels",
        "length_s",
    )
    values = msgspec.to_builtins(stream)
    return {key: values[key] for key in wanted if values[key]}
