"""Every error says what to do, and whether trying again can help, in a form that can be stored."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec
import pytest

from mediafleet.domain import errors
from mediafleet.domain.errors import CapabilityMissing, ErrorInfo, IllegalTransition, MediafleetError


def tree(root: type[MediafleetError] = MediafleetError, depth: int = 0) -> Iterator[tuple[type[MediafleetError], int]]:
    yield root, depth
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from tree(child, depth + 1)


ALL = [kind for kind, _ in tree()]


def make(kind: type[MediafleetError]) -> MediafleetError:
    if kind is IllegalTransition:
        return IllegalTransition("j0-1.a", "DONE", "ack")
    if kind is CapabilityMissing:
        return CapabilityMissing("hw:cuda")
    return kind("The disk is full; remove something.", detail="ENOSPC")


@pytest.mark.parametrize("kind", ALL)
def test_the_stored_form_says_what_the_error_says(kind: type[MediafleetError]) -> None:
    error = make(kind)
    info = error.info()
    assert info == ErrorInfo(kind.code, str(error), kind.retryable, error.detail)
    assert msgspec.json.decode(msgspec.json.encode(info), type=ErrorInfo) == info


def test_each_class_has_a_code_of_its_own() -> None:
    codes = [kind.code for kind in ALL]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in codes)


def test_the_tree_is_at_most_three_levels_deep() -> None:
    assert max(depth for _, depth in tree()) <= 2


def test_the_drawing_in_the_module_names_every_class() -> None:
    assert [kind.__name__ for kind in ALL if kind.__name__ not in (errors.__doc__ or "")] == []


def test_only_what_may_clear_by_itself_is_retried() -> None:
    assert {kind.code for kind in ALL if kind.retryable} == {
        "unavailable",
        "queue-full",
        "store-unavailable",
        "scheduler-unavailable",
        "fleet-ending",
        "capability-missing",
        "transient-failure",
    }


def test_a_missing_capability_is_named() -> None:
    error = CapabilityMissing("hw:cuda")
    assert error.capability == "hw:cuda"
    assert "'hw:cuda'" in error.message
