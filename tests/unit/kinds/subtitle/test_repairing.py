"""What an engine puts right, what it cannot, and which words it is shown together."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from subtitle_samples import spoken

from mediafleet.domain.errors import TaskFailed, TransientFailure
from mediafleet.engines import Need, Offer, Role
from mediafleet.engines.wire import Repair
from mediafleet.kinds.subtitle.repairing import paragraphs, repair
from mediafleet.kinds.subtitle.turns import Channel
from mediafleet.testing import LocalTaskContext

WORDS = tuple(spoken("one two three four"))
LATER = tuple(spoken("five six", start_s=9.0))


class Proofreader:
    """Writes capitals, and fails where it is shown a word of `fails`."""

    def __init__(self, error: Exception, fails: str) -> None:
        self._error = error
        self._fails = fails

    def find(self, need: Need, *, adapter: str = "") -> Offer:
        del adapter
        return Offer("proofreader", need.role)

    @contextmanager
    def lease(self, offer: Offer) -> Generator[Any]:
        assert offer.role is Role.REPAIR
        yield self

    async def ask(self, request: Repair, answer: object) -> list[str]:
        del answer
        if self._fails in [word.text for word in request.words]:
            raise self._error
        return [word.text.upper() for word in request.words]


def context_with(tmp_path: Path, engines: Any) -> LocalTaskContext:
    source = tmp_path / "any.wav"
    source.touch()
    context = LocalTaskContext.for_file(source, folder=tmp_path / "work", kind="subtitle")
    context.engines = engines
    return context


async def test_what_cannot_be_put_right_stays_as_it_was_recognized_and_is_told(tmp_path: Path) -> None:
    context = context_with(tmp_path, Proofreader(TaskFailed("It left words out."), "five"))
    channels, warnings = await repair(context, [Channel(WORDS, ()), Channel(LATER, ())], "en")
    assert [[word.text for word in channel.words] for channel in channels] == [
        ["ONE", "TWO", "THREE", "FOUR"],
        ["five", "six"],
    ]
    assert warnings == ["Words from 9 s on are as recognized: It left words out."]


async def test_an_engine_that_does_not_answer_is_asked_again_later(tmp_path: Path) -> None:
    context = context_with(tmp_path, Proofreader(TransientFailure("It is busy."), "two"))
    with pytest.raises(TransientFailure):
        await repair(context, [Channel(WORDS, ())], "en")


def test_a_paragraph_is_one_speakers() -> None:
    said = [msgspec.structs.replace(word, speaker="Anna" if at < 3 else "Ben") for at, word in enumerate(WORDS)]
    assert [[word.text for word in part] for part in paragraphs(said)] == [["one", "two", "three"], ["four"]]


def test_long_speech_is_shown_in_parts_that_end_at_pauses() -> None:
    words = spoken(" ".join(["one two three four five six seven eight."] * 80))
    parts = paragraphs([msgspec.structs.replace(word, start_s=word.start_s * 1.5) for word in words])
    assert sum(map(len, parts)) == len(words)
    assert all(len(part) <= 400 for part in parts)
