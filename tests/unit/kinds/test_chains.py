"""What authors of kinds with modules rely on: a plan of one chain, and parts that see the same wherever they run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests_support.speech_kind import KIND, MODULES, spoken

from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.chain import CHAIN_STEP, Chain, ChainPart
from mediafleet.domain.errors import ErrorInfo, InvalidRequest, MediafleetError, TaskFailed
from mediafleet.domain.lifecycle import TaskState
from mediafleet.domain.modules import Module, Request, make_chain
from mediafleet.domain.plan import Complete, Expand, Fail, FinishedTask, TaskResult, TaskSpec
from mediafleet.kinds.chains import PARTS, RESULTS, plan_chain, run_parts
from mediafleet.kinds.seam import Handler, Kind, TaskContext
from mediafleet.testing import LocalTaskContext, ref_to

PARAMS = {"source": "en", "to": "es", "feature": "synthesise", "gate": ""}


def chain(*wanted: str) -> Chain:
    return make_chain(MODULES, Request(wanted or ("synthesise",), PARAMS))


def finished(part: str, **changes: Any) -> FinishedTask:
    given: dict[str, Any] = {"state": TaskState.DONE, "result": {"of": part}} | changes
    return FinishedTask(f"chain_{part}", part, **given)


OUTPUTS = {name: (ArtifactRef(f"a0-{name}", name),) for name in ("recognise", "translate", "synthesise")}


def test_a_chain_is_named_until_all_of_it_is_done_and_then_completes_with_what_was_asked_for() -> None:
    asked = chain("recognise", "synthesise")
    steps = [finished(name, outputs=refs, warnings=(name,)) for name, refs in OUTPUTS.items()]
    for count in range(3):
        assert plan_chain(asked, steps[:count]) == Expand((), chains=(asked,))
    assert plan_chain(asked, [*steps, finished("other")]) == Complete(
        {"recognise": {"of": "recognise"}, "synthesise": {"of": "synthesise"}},
        OUTPUTS["recognise"] + OUTPUTS["synthesise"],
        ("recognise", "translate", "synthesise"),
    )


def test_the_first_module_that_fails_fails_the_job_with_its_error() -> None:
    error = ErrorInfo("no-sound", "There is no sound.")
    failed = finished("recognise", state=TaskState.FAILED, error=error)
    assert plan_chain(chain(), [failed]) == Fail(error)
    cancelled = plan_chain(chain(), [finished("recognise", state=TaskState.CANCELLED)])
    assert isinstance(cancelled, Fail)
    assert "'chain_recognise' ended without a result" in cancelled.error.message


def test_a_kind_with_modules_gets_the_handler_that_runs_several() -> None:
    assert CHAIN_STEP in KIND.handlers
    assert replace(KIND, name="other").handlers.keys() == KIND.handlers.keys()


@pytest.mark.parametrize(
    ("modules", "sentence"),
    [
        ((Module("recognise", ("recognise",)),), "need each other"),
        ((Module("unheard-of"),), "The kind 'speech' has no handler for its module 'unheard-of'"),
    ],
)
def test_a_kind_whose_modules_cannot_work_is_refused_when_it_is_loaded(
    modules: tuple[Module, ...], sentence: str
) -> None:
    with pytest.raises(InvalidRequest, match=sentence):
        replace(KIND, modules=modules)


# --- running several parts in one task ---------------------------------------------------------


def context(folder: Path, parts: tuple[ChainPart, ...], *inputs: ArtifactRef, **payload: Any) -> LocalTaskContext:
    base: dict[str, Any] = {**PARAMS, PARTS: msgspec.to_builtins(parts), RESULTS: {}}
    given = base | payload
    return LocalTaskContext(TaskSpec("speech", 1, CHAIN_STEP, "chain", "default", inputs, payload=given), folder=folder)


def said(folder: Path, text: str) -> ArtifactRef:
    path = folder / "said.morse"
    path.write_text(spoken(text))
    return ref_to(path)


async def run(found: LocalTaskContext, handlers: dict[str, Handler] | None = None) -> TaskResult:
    return await run_parts(handlers or KIND.handlers)(found)


async def test_all_parts_run_one_after_the_other_and_only_what_was_asked_for_is_published(tmp_path: Path) -> None:
    found = context(tmp_path, chain().parts, said(tmp_path, "good light"))
    result = await run(found)
    assert list(found.published) == ["speech.morse"]
    assert found.published["speech.morse"].read_text() == spoken("buen luz")
    assert result.result == {
        "recognise": {"result": {"words": 2}, "outputs": 0, "warnings": ()},
        "translate": {"result": {"heard": 2}, "outputs": 0, "warnings": ()},
        "synthesise": {"result": {"text": "buen luz", "heard": 2}, "outputs": 1, "warnings": ()},
    }
    assert [ref.name for ref in result.outputs] == ["speech.morse"]


async def test_what_earlier_tasks_gave_is_there_for_the_parts_that_are_left(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("milk")
    given = msgspec.to_builtins({"recognise": (ref_to(text),)})
    found = context(tmp_path, chain().parts[1:], results={"recognise": {"words": 7}}, outputs=given)
    result = await run(found)
    assert result.result["synthesise"]["result"] == {"text": "leche", "heard": 7}


async def test_a_part_that_was_asked_for_is_published_and_read_where_it_was_made(tmp_path: Path) -> None:
    found = context(tmp_path, chain("recognise", "synthesise").parts, said(tmp_path, "water"))
    fetched: list[str] = []
    fetch = found.fetch

    async def note(ref: ArtifactRef, *, ranges: Sequence[tuple[int, int]] | None = None) -> Path:
        fetched.append(ref.name)
        return await fetch(ref, ranges=ranges)

    found.fetch = note
    result = await run(found)
    assert [ref.name for ref in result.outputs] == ["text.txt", "speech.morse"]
    assert found.published["text.txt"].read_text() == "water"
    assert fetched == ["said.morse"], "the fleet is asked for nothing that was made here"


async def test_progress_counts_the_parts_by_their_weights_and_names_them(tmp_path: Path) -> None:
    found = context(tmp_path, chain().parts, said(tmp_path, "milk"))
    await run(found)
    # Two parts of weight 1 are done; the third weighs 2 and is half done.
    assert [(one.fraction, one.stage) for one in found.reports] == [(0.75, "speaking")]


async def test_a_part_sees_its_inputs_its_results_and_a_folder_of_its_own(tmp_path: Path) -> None:
    seen: dict[str, tuple[str, list[str], dict[str, Any], str]] = {}

    async def look(context: TaskContext) -> TaskResult:
        spec = context.spec
        seen[spec.step] = (spec.step, [ref.name for ref in spec.inputs], spec.payload, context.workspace.name)
        path = context.workspace / "out"
        path.write_text(spec.step)
        assert context.cores == 3
        return TaskResult({"of": spec.step}, (await context.publish(path, name=f"{spec.step}.out"),), ("w",))

    parts = (
        ChainPart("a"),
        ChainPart("b", after=("a",), reads_inputs=True),
        ChainPart("c", after=("b", "a"), is_asked_for=True),
    )
    given = ArtifactRef("a0-in", "in")
    outer = context(tmp_path, parts, given)
    outer.cores = 3
    result = await run(outer, dict.fromkeys("abc", look))
    assert [(step, names) for step, names, _, _ in seen.values()] == [
        ("a", ["in"]),
        ("b", ["a.out", "in"]),
        ("c", ["b.out", "a.out"]),
    ]
    assert seen["c"][2] == {**PARAMS, RESULTS: {"b": {"of": "b"}, "a": {"of": "a"}}}
    assert [folder for *_, folder in seen.values()] == ["a", "b", "c"]
    assert result.result["b"] == {"result": {"of": "b"}, "outputs": 0, "warnings": ("w",)}


async def test_the_error_of_a_part_is_that_of_the_task(tmp_path: Path) -> None:
    path = tmp_path / "said.morse"
    path.write_text("-.-.-.-")
    with pytest.raises(TaskFailed, match=r"'-.-.-.-' is no Morse code"):
        await run(context(tmp_path, chain().parts, ref_to(path)))


async def test_a_part_that_publishes_what_it_did_not_write_is_at_fault(tmp_path: Path) -> None:
    async def publish(context: TaskContext) -> TaskResult:
        return TaskResult({}, (await context.publish(context.workspace / "none", name="none"),))

    with pytest.raises(TaskFailed, match="The module 'a' published 'none', which it did not write"):
        await run(context(tmp_path, (ChainPart("a"),)), {"a": publish})


async def test_a_part_that_returns_no_result_is_at_fault(tmp_path: Path) -> None:
    async def nothing(_: TaskContext) -> Any:
        return None

    with pytest.raises(MediafleetError, match="The module 'a' returned no TaskResult"):
        await run(context(tmp_path, (ChainPart("a"),)), {"a": nothing})


async def test_a_file_that_cannot_be_linked_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, target: Path) -> None:
        raise OSError("no hard links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    found = context(tmp_path, chain().parts, said(tmp_path, "hand"))
    assert (await run(found)).result["synthesise"]["result"]["text"] == "mano"


def test_a_kind_without_modules_is_as_it_was() -> None:
    plain = replace(KIND, modules=(), handlers={"run": KIND.handlers["recognise"]})
    assert isinstance(plain, Kind)
    assert list(plain.handlers) == ["run"]
