"""Which tasks a subtitle job has. Pure.

`listen` finds speech and cuts it into pieces; each is recognized by a `words` task, on whatever nodes; `text` makes cues of all
words; each language has a `translate` task; `files` writes what was asked for, and makes the copy of the film. A file of
subtitles, or a track of them, takes the place of the first three.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mediafleet.domain.capability import Requirement
from mediafleet.domain.errors import ErrorInfo
from mediafleet.domain.lifecycle import TaskState
from mediafleet.domain.plan import Complete, Expand, Fail, FinishedTask, NewTask, Step
from mediafleet.domain.review import review_task
from mediafleet.kinds.subtitle.names import is_subtitle_file
from mediafleet.kinds.subtitle.orders import FilesOrder, Film, Heard, TextReport, read, write
from mediafleet.kinds.subtitle.params import Speakers, SubtitleParams

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mediafleet.domain.artifact import ArtifactRef
    from mediafleet.domain.job import Job

LISTEN, READ, WORDS, TEXT, TRANSLATE, FILES = "listen", "read", "words", "text", "translate", "files"
REVIEW = "review"
"""Steps, and the names of tasks or their beginnings."""
ENCODER = "libx264"
"""What pictures are encoded with that subtitles are drawn into."""
_SILENT = "Nobody speaks in it; it has no subtitles."
_LISTENING, _WORDS, _TEXT, _TRANSLATION, _FILES, _DRAWING = 5.0, 60.0, 1.0, 8.0, 1.0, 100.0
"""Shares of the progress bar; of words, all together."""


def plan_subtitle(job: Job, finished: Sequence[FinishedTask]) -> Step:
    """Return the tasks that should exist by now, or the outcome."""
    plan = _Plan(job, finished)
    failed = next((task for task in finished if task.state is not TaskState.DONE), None)
    if failed is not None:
        return Fail(failed.error or ErrorInfo("task-failed", f"{failed.name!r} ended without a result."))
    return plan.next_step()


class _Plan:
    """One look at a job."""

    def __init__(self, job: Job, finished: Sequence[FinishedTask]) -> None:
        self._source = job.inputs[0]
        self._given_text = job.inputs[1:]
        self._params = msgspec.convert(job.params, SubtitleParams)
        self._done = {task.name: task for task in finished}

    def next_step(self) -> Step:
        first = self._first()
        tasks = [first]
        if not (begun := self._done.get(first.name)):
            return self._expand(tasks)
        if first.step == LISTEN:
            heard = read(begun.result, Heard)
            if heard.there:
                told = f"It has {', '.join(heard.there)} as a subtitle track already, so nothing was made."
                return Complete(write(heard), warnings=(*begun.warnings, told))
            if not heard.pieces:
                return Complete(write(heard), warnings=(*begun.warnings, _SILENT))
            film, language = heard.film, heard.language
            words = self._words(begun.outputs, heard)
            text = self._text([task.name for task in words], heard)
            tasks += words if text is None else [*words, text]
            if text is None or not (told := self._done.get(TEXT)):
                return self._expand(tasks, language)
            if not read(told.result, TextReport).cues:
                warnings = (*begun.warnings, *told.warnings, _SILENT)
                return Complete(told.result, warnings=warnings)
        else:
            told = begun
            film, language = msgspec.convert(begun.result["film"], Film), begun.result["language"]
        return self._finish(tasks, told, film, language)

    def _first(self) -> NewTask:
        params = self._params
        if params.subtitle_track is not None or is_subtitle_file(self._source.name):
            return NewTask(READ, READ, inputs=(self._source,), weight=_TEXT)
        needs = ["engine:vad", *(["lang:auto"] if params.language == "auto" else [])]
        needs += ["engine:diarize"] if params.speakers is Speakers.VOICES else []
        needs += [f"asr:{params.recognizer}"] if params.recognizer and params.language == "auto" else []
        # Who cannot tell languages apart takes its own for granted: that is for fleets in which nobody can.
        prefers = ("lang:detect",) if params.language == "auto" else ()
        requirement = Requirement(tuple(sorted(needs)))
        return NewTask(LISTEN, LISTEN, requirement, (self._source,), weight=_LISTENING, prefers=prefers)

    def _words(self, pieces: Sequence[ArtifactRef], heard: Heard) -> list[NewTask]:
        needs = [f"lang:{heard.language}", *([f"asr:{self._params.recognizer}"] if self._params.recognizer else [])]
        return [
            NewTask(
                f"{WORDS}-{number}",
                WORDS,
                Requirement(tuple(sorted(needs))),
                (piece,),
                {"language": heard.language},
                weight=_WORDS * seconds / heard.speech_s,
                pace=f"{WORDS}:{heard.language}",
                size=seconds,
            )
            for number, (piece, seconds) in enumerate(zip(pieces, heard.pieces, strict=True), start=1)
        ]

    def _text(self, words: Sequence[str], heard: Heard) -> NewTask | None:
        done = [self._done[name] for name in words if name in self._done]
        if len(done) < len(words):
            return None
        inputs = tuple(ref for task in done for ref in task.outputs)
        inputs += self._given_text
        needs = ("engine:repair",) if self._params.repair == "auto" and not self._given_text else ()
        return NewTask(TEXT, TEXT, Requirement(needs), inputs, write(heard), weight=_TEXT)

    def _finish(self, tasks: list[NewTask], told: FinishedTask, film: Film, language: str) -> Step:
        source = told.outputs[0]
        if self._params.review:
            tasks = [*tasks, review_task(REVIEW, source)]
            if not (reviewed := self._done.get(REVIEW)):
                return self._expand(tasks, language)
            source = reviewed.outputs[0]
        targets = [target for target in self._params.to if target != language]
        translations = [_translation(source, language, target, film) for target in targets]
        if any(task.name not in self._done for task in translations):
            return self._expand([*tasks, *translations], language)
        is_new = not (targets and is_subtitle_file(self._source.name))
        order = FilesOrder(film, (language, *targets), writes_first=is_new)
        inputs = (source, *_outputs(self._done, translations))
        files = self._files(order, inputs)
        if not (written := self._done.get(FILES)):
            return self._expand([*tasks, *translations, files], language)
        return self._outcome(told, language, written)

    def _files(self, order: FilesOrder, inputs: tuple[ArtifactRef, ...]) -> NewTask:
        params = self._params
        needs = (f"encoder:{ENCODER}",) if params.burn else ()
        if params.burn or params.mux:
            inputs = (*inputs, self._source)
        return NewTask(FILES, FILES, Requirement(needs), inputs, write(order), weight=self._files_weight)

    @property
    def _files_weight(self) -> float:
        return _DRAWING if self._params.burn else _FILES

    def _expand(self, tasks: Sequence[NewTask], language: str = "") -> Expand:
        """Return the tasks, with what they and all that may follow them weigh; the language is what is spoken, once known."""
        begins = _LISTENING + _WORDS + _TEXT if tasks[0].step == LISTEN else _TEXT
        targets = sum(target != language for target in self._params.to)
        return Expand(tuple(tasks), whole=begins + targets * _TRANSLATION + self._files_weight)

    def _outcome(self, told: FinishedTask, language: str, written: FinishedTask) -> Step:
        report = read(told.result, TextReport)
        skipped = f"It is in {language} already, so it was not translated into that."
        warnings = [text for task in self._done.values() for text in task.warnings]
        warnings += [skipped] if language in self._params.to else []
        broken = written.result.get("broken", 0) - report.broken
        if self._params.review and broken > 0:
            warnings.append(
                f"What was put back breaks {broken} more of the style's rules (lines, reading speed, pauses); it is written as it is."
            )
        if report.is_drafty:
            warnings.append(
                f"It is a draft: {report.engines[0]} gets about one word in four wrong. "
                "Install a larger recognizer for better subtitles (docs/reference/engines.md)."
            )
        return Complete({**write(report), **written.result}, written.outputs, tuple(dict.fromkeys(warnings)))


def _translation(source: ArtifactRef, language: str, target: str, film: Film) -> NewTask:
    needs = Requirement((f"mt:{language}>{target}",))
    payload = {"source": language, "target": target, "film": write(film)}
    return NewTask(f"{TRANSLATE}-{target}", TRANSLATE, needs, (source,), payload, weight=_TRANSLATION)


def _outputs(done: Mapping[str, FinishedTask], tasks: Iterable[NewTask]) -> Iterable[ArtifactRef]:
    return (done[task.name].outputs[0] for task in tasks)
