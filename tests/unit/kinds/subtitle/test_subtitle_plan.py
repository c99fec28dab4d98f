"""Which tasks a subtitle job has, step by step; the plan is asked as the scheduler asks it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.errors import ErrorInfo
from mediafleet.domain.job import Job
from mediafleet.domain.lifecycle import PriorityClass, TaskState
from mediafleet.domain.plan import Complete, Expand, Fail, FinishedTask, NewTask
from mediafleet.kinds.subtitle.orders import Film, Heard, TextReport, write
from mediafleet.kinds.subtitle.plan import plan_subtitle

FILM = Film("film.mkv")


def job(name: str = "film.mkv", **params: Any) -> Job:
    inputs = (ArtifactRef("a0-film", name),)
    return Job("j0-a", "0", "t", "p", "subtitle", 1, name, inputs, params, PriorityClass.BATCH, 0)


def done(
    name: str, result: dict[str, Any] | None = None, *outputs: str, warnings: tuple[str, ...] = ()
) -> FinishedTask:
    refs = tuple(ArtifactRef(f"a0-{output}", output) for output in outputs)
    return FinishedTask(name, name.partition("-")[0], TaskState.DONE, result or {}, refs, warnings)


def heard(language: str = "en", pieces: tuple[float, ...] = (40.0, 60.0)) -> FinishedTask:
    outputs = [f"piece-{number}" for number in range(1, len(pieces) + 1)]
    return done("listen", write(Heard(FILM, language, pieces, sum(pieces))), *outputs)


def told(*, is_drafty: bool = False) -> FinishedTask:
    report = TextReport("en", 7, 50, ("toy small",), is_drafty=is_drafty)
    return done("text", write(report), "transcript.json")


WORDS = (done("words-1", {}, "one.json"), done("words-2", {}, "two.json"))


def tasks_of(asked: Job, *finished: FinishedTask) -> dict[str, NewTask]:
    step = plan_subtitle(asked, finished)
    assert isinstance(step, Expand)
    return {task.name: task for task in step.tasks}


def test_first_somebody_listens() -> None:
    tasks = tasks_of(job(language="en"))
    assert list(tasks) == ["listen"]
    assert (tasks["listen"].requirement.capabilities, tasks["listen"].prefers) == (("engine:vad",), ())
    asks = tasks_of(job())["listen"]
    assert (asks.requirement.capabilities, asks.prefers) == (("engine:vad", "lang:auto"), ("lang:detect",))


def test_each_piece_is_recognized_by_whoever_knows_the_language() -> None:
    tasks = tasks_of(job(recognizer="vosk"), heard("fr"))
    assert list(tasks) == ["listen", "words-1", "words-2"]
    second = tasks["words-2"]
    assert second.requirement.capabilities == ("asr:vosk", "lang:fr")
    assert [ref.id for ref in second.inputs] == ["a0-piece-2"]
    assert (second.size, second.weight) == (60.0, 36.0)


def test_text_waits_for_all_words_and_takes_them_in_order() -> None:
    assert "text" not in tasks_of(job(), heard(), WORDS[1])
    text = tasks_of(job(), heard(), WORDS[1], WORDS[0])["text"]
    assert [ref.name for ref in text.inputs] == ["one.json", "two.json"]
    assert text.requirement.capabilities == ("engine:repair",)
    assert tasks_of(job(repair="never"), heard(), *WORDS)["text"].requirement.capabilities == ()


def test_each_language_is_a_task_and_files_wait_for_all() -> None:
    asked = job(to=["es", "de"])
    tasks = tasks_of(asked, heard(), *WORDS, told(), done("translate-es", {}, "es.json"))
    assert tasks["translate-de"].requirement.capabilities == ("mt:en>de",)
    assert "files" not in tasks
    both = [done("translate-de", {}, "de.json"), done("translate-es", {}, "es.json")]
    files = tasks_of(asked, heard(), *WORDS, told(), *both)["files"]
    assert [ref.name for ref in files.inputs] == ["transcript.json", "es.json", "de.json"]
    assert files.payload["languages"] == ("en", "es", "de")


def test_a_picture_is_drawn_where_its_encoder_works() -> None:
    tasks = tasks_of(job(burn=True), heard(), *WORDS, told())
    assert tasks["files"].requirement.capabilities == ("encoder:libx264",)
    assert [ref.name for ref in tasks["files"].inputs] == ["transcript.json", "film.mkv"]


def test_what_is_spoken_is_not_translated_into_itself() -> None:
    files = done("files", {"files": []}, "film.en.srt")
    step = plan_subtitle(job(to=["en"]), [heard(), *WORDS, told(), files])
    assert isinstance(step, Complete)
    assert step.warnings == ("It is in en already, so it was not translated into that.",)


def test_a_review_that_breaks_rules_is_counted_and_told() -> None:
    asked = job(review=True)
    finished = [heard(), *WORDS, told(), done("review", {}, "mended.json")]
    step = plan_subtitle(asked, [*finished, done("files", {"files": [], "cues": 9, "broken": 2}, "film.en.srt")])
    assert isinstance(step, Complete)
    assert step.result["cues"] == 9
    assert step.warnings == (
        "What was put back breaks 2 more of the style's rules (lines, reading speed, pauses); it is written as it is.",
    )


REPORT = {**write(TextReport("en", 3)), "film": write(FILM), "language": "en"}
RESULTS = {"listen": heard(), "text": told(), "read": done("read", REPORT, "transcript.json")}


@pytest.mark.parametrize(
    "asked",
    [
        job(),
        job(to=["es", "de"], review=True),
        job(to=["es"], burn=True, language="en"),
        job("film.en.srt", to=["es", "de"], review=True),
    ],
)
def test_progress_neither_falls_nor_is_complete_before_the_last_task_is_done(asked: Job) -> None:
    finished: dict[str, FinishedTask] = {}
    shares: list[float] = []
    whole, weights = 0.0, dict[str, float]()
    while isinstance(step := plan_subtitle(asked, list(finished.values())), Expand):
        whole, weights = step.whole, {task.name: task.weight for task in step.tasks}
        # One after the other, as on one slot.
        name = next(name for name in weights if name not in finished)
        shares.append(sum(weights[one] for one in finished) / step.whole)
        finished[name] = RESULTS.get(name) or done(name, {"files": []}, f"{name}.json")
    assert isinstance(step, Complete)
    assert shares == sorted(shares)
    assert shares[-1] < 1
    assert sum(weights.values()) == pytest.approx(whole)


def test_the_outcome_has_files_report_and_warnings_once() -> None:
    files = done("files", {"files": [{"name": "film.en.srt"}]}, "film.en.srt", warnings=("Odd.",))
    step = plan_subtitle(job(), [heard(), *WORDS, told(is_drafty=True), files])
    assert isinstance(step, Complete)
    assert [ref.name for ref in step.outputs] == ["film.en.srt"]
    assert (step.result["cues"], step.result["files"]) == (7, [{"name": "film.en.srt"}])
    assert step.warnings[0] == "Odd."
    assert "toy small gets about one word in four wrong" in step.warnings[1]


def test_a_film_in_which_nobody_speaks_is_no_failure() -> None:
    step = plan_subtitle(job(), [heard(pieces=())])
    assert isinstance(step, Complete)
    assert step.warnings == ("Nobody speaks in it; it has no subtitles.",)


def test_a_film_in_which_no_word_was_found_has_no_files() -> None:
    nothing = done("text", write(TextReport("en", 0)), "transcript.json", warnings=("Dropped.",))
    step = plan_subtitle(job(review=True), [heard(), *WORDS, nothing])
    assert isinstance(step, Complete)
    assert (step.outputs, step.warnings) == ((), ("Dropped.", "Nobody speaks in it; it has no subtitles."))


def test_subtitles_that_exist_are_only_translated() -> None:
    asked = job("film.en.srt", to=["es"])
    assert list(tasks_of(asked)) == ["read"]
    report = {**write(TextReport("en", 3)), "film": write(FILM)}
    tasks = tasks_of(asked, done("read", report, "transcript.json"))
    assert list(tasks) == ["read", "translate-es"]
    files = tasks_of(asked, done("read", report, "transcript.json"), done("translate-es", {}, "es.json"))["files"]
    assert files.payload["writes_first"] is False
    assert list(tasks_of(job("film.mkv", subtitle_track=0))) == ["read"]


def test_the_first_failure_is_the_jobs() -> None:
    error = ErrorInfo("task-failed", "It broke.")
    failed = FinishedTask("words-1", "words", TaskState.FAILED, error=error)
    assert plan_subtitle(job(), [heard(), failed]) == Fail(error)


def test_a_review_goes_between_text_and_translations() -> None:
    asked = job(review=True, to=["es"])
    tasks = tasks_of(asked, heard(), *WORDS, told())
    assert list(tasks) == ["listen", "words-1", "words-2", "text", "review"]
    assert [ref.name for ref in tasks["review"].inputs] == ["transcript.json"]
    tasks = tasks_of(asked, heard(), *WORDS, told(), done("review", {}, "corrected.json"))
    assert [ref.name for ref in tasks["translate-es"].inputs] == ["corrected.json"]


def test_a_text_that_is_known_goes_to_the_words_that_give_it_times() -> None:
    asked = msgspec.structs.replace(
        job(), inputs=(ArtifactRef("a0-film", "film.mkv"), ArtifactRef("a0-text", "film.txt"))
    )
    text = tasks_of(asked, heard(), *WORDS)["text"]
    assert [ref.name for ref in text.inputs] == ["one.json", "two.json", "film.txt"]
    assert text.requirement.capabilities == ()
