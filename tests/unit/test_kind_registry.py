"""Kinds are found by name, wherever they come from, and refuse what they cannot read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import EntryPoint
from typing import Any

import msgspec
import pytest

from mediafleet.domain.errors import ConfigError, InvalidParams, UnknownKind
from mediafleet.domain.job import Job
from mediafleet.domain.lifecycle import PriorityClass
from mediafleet.domain.plan import Expand, TaskResult, TaskSpec
from mediafleet.kinds import noop, registry
from mediafleet.kinds.registry import KindRegistry
from mediafleet.kinds.seam import Detected, Kind, detect_nothing
from mediafleet.ops.settings import ServerSettings, Settings


class SplitParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    parts: int
    label: str = "x"


SPLIT = Kind(
    name="split", version=3, params=SplitParams, plan=noop.plan_noop, handlers={}, summary="Split.", inputs=(1, None)
)
KINDS = KindRegistry([noop.KIND, SPLIT])


def test_kinds_are_found_by_name_and_listed_in_order() -> None:
    assert KINDS.get("split") is SPLIT
    assert list(KINDS) == [noop.KIND, SPLIT]


def test_an_unknown_kind_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownKind, match=r"no job kind 'splitt'; did you mean 'split'\?"):
        KINDS.get("splitt")


def test_an_unknown_kind_that_resembles_none_is_refused_with_all_names() -> None:
    with pytest.raises(UnknownKind, match="installed are noop, split"):
        KINDS.get("quantum")


def test_params_come_back_with_their_defaults() -> None:
    assert KINDS.check_params("split", {"parts": 2}) == {"parts": 2, "label": "x"}


def test_a_kind_may_spell_out_what_params_name_on_this_machine() -> None:
    """With the settings of the process that accepts, before the params are checked."""

    def complete(params: Mapping[str, Any], settings: Settings) -> Mapping[str, Any]:
        return {"parts": settings.server.port, **params}

    kind = replace(SPLIT, complete=complete)
    kinds = KindRegistry([kind], Settings(server=ServerSettings(port=7)))
    assert kinds.check_params("split", {"label": "y"}) == {"parts": 7, "label": "y"}
    assert kinds.check_params("split", {"parts": 3}) == {"parts": 3, "label": "x"}


@pytest.mark.parametrize(
    ("params", "word"),
    [
        ({}, "parts"),
        ({"parts": "2"}, "'parts' must be a whole number"),
        ({"parts": 2, "colour": 1}, "there is no 'colour'"),
    ],
)
def test_params_that_do_not_fit_are_refused_with_the_field(params: dict[str, Any], word: str) -> None:
    with pytest.raises(InvalidParams, match=f"do not fit the kind 'split': .*{word}"):
        KINDS.check_params("split", params)


def test_params_of_an_unknown_kind_are_refused() -> None:
    with pytest.raises(UnknownKind):
        KINDS.check_params("none", {})


IMPOSTOR = Kind("noop", 9, SplitParams, noop.plan_noop, {}, "Another kind of that name.")


def offer(monkeypatch: pytest.MonkeyPatch, *values: str) -> None:
    """Pretend that each of these places is a kind that an installed package offers."""
    points = [EntryPoint("theirs", value, registry.GROUP) for value in values]

    def find(*, group: str) -> list[EntryPoint]:
        return points if group == registry.GROUP else []

    monkeypatch.setattr(registry, "entry_points", find)


def test_installed_kinds_are_found_through_their_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, "mediafleet.kinds.noop:KIND")
    assert list(KindRegistry.installed()) == [noop.KIND]


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("no_such_package:KIND", r"'theirs' \(no_such_package:KIND\) could not be loaded"),
        ("mediafleet.kinds.noop:MISSING", "could not be loaded"),
        ("mediafleet.kinds.noop:run_noop", "is no mediafleet.kinds.Kind"),
    ],
)
def test_a_broken_package_is_named(monkeypatch: pytest.MonkeyPatch, value: str, sentence: str) -> None:
    offer(monkeypatch, value)
    with pytest.raises(ConfigError, match=sentence):
        KindRegistry.installed()


def test_two_kinds_of_one_name_are_refused_and_both_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else scheduler and nodes might each know another one."""
    offer(monkeypatch, "mediafleet.kinds.noop:KIND", f"{__name__}:IMPOSTOR")
    with pytest.raises(ConfigError, match=rf"'noop' \(mediafleet.kinds.noop:KIND and {__name__}:IMPOSTOR\)"):
        KindRegistry.installed()


def test_one_kind_that_is_offered_twice_is_one_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, "mediafleet.kinds.noop:KIND", "mediafleet.kinds.noop:KIND")
    assert list(KindRegistry.installed()) == [noop.KIND]


def test_checking_checked_params_changes_nothing() -> None:
    """The node reads what the scheduler stored."""
    checked = KINDS.check_params("split", {"parts": 2})
    assert KINDS.check_params("split", checked) == checked


def test_every_task_of_a_kind_requires_the_kind_itself() -> None:
    assert SPLIT.capability == "kind:split@3", "of the version that its jobs have"
    assert noop.KIND.capability == "kind:noop", "the first version needs no number"


def test_a_kind_does_jobs_of_its_own_version_and_of_those_that_it_continues() -> None:
    known = KindRegistry([replace(SPLIT, continues=(2,)), noop.KIND])
    assert known.versions() == {"noop": (1,), "split": (2, 3)}
    assert [version for version in range(5) if known.can_plan("split", version)] == [2, 3]
    assert not known.can_plan("merge", 1)
    assert known.get("split").capabilities == {"kind:split@2", "kind:split@3"}


async def test_a_kind_that_needs_nothing_detects_nothing() -> None:
    context: Any = None
    assert await detect_nothing(context) == Detected()


def test_the_noop_plan_names_one_task_whose_result_is_the_jobs() -> None:
    params = KINDS.check_params("noop", {"slots": 2})
    job = Job("j0-1", "0", "default", "local", "noop", 1, "", (), params, PriorityClass.BATCH, 1)
    step = noop.plan_noop(job, [])
    assert isinstance(step, Expand)
    assert step.outcome_of == "noop"
    assert [(task.name, task.step, task.requirement.slots) for task in step.tasks] == [("noop", "noop", 2)]
    assert set(noop.KIND.handlers) == {task.step for task in step.tasks}


async def test_the_noop_handler_returns_the_word_it_was_given() -> None:
    class Context:
        spec = TaskSpec("noop", 1, "noop", "noop", "default", params={"echo": "hello", "slots": 1})

    context: Any = Context()
    assert await noop.run_noop(context) == TaskResult({"echo": "hello"})
