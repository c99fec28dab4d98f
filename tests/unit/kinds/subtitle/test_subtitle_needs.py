"""Which engines a subtitle job needs is known before it begins, also where nobody said what is spoken."""

from __future__ import annotations

from typing import Any

import pytest

from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.job import Job
from mediafleet.domain.lifecycle import PriorityClass
from mediafleet.kinds.subtitle.needs import advise, find_needs

LISTENS = ["engine:vad", "lang:auto"]


def job(name: str, **params: Any) -> Job:
    inputs = (ArtifactRef("a0-film", name),)
    return Job("j0-a", "0", "t", "p", "subtitle", 1, name, inputs, params, PriorityClass.BATCH, 0)


@pytest.mark.parametrize(
    ("asked", "needs"),
    [
        (job("film.mkv"), LISTENS),
        (job("film.mkv", to=["es", "de"]), [*LISTENS, "mt:*>es", "mt:*>de"]),
        (job("film.mkv", language="en", to=["es"]), ["engine:vad", "lang:en", "mt:en>es"]),
        (job("film.mkv", subtitle_track=0, to=["es"]), ["mt:*>es"]),
        (job("film.en.srt", to=["es"]), ["mt:en>es"]),
        (job("film.srt", to=["es"]), ["mt:*>es"]),
    ],
)
def test_a_translation_is_needed_from_whatever_is_spoken(asked: Job, needs: list[str]) -> None:
    assert find_needs(asked) == needs


def test_where_nobody_translates_into_a_language_that_is_said() -> None:
    told = advise("mt:*>es")
    assert told.startswith("No node of this fleet can translate into es: ")
    assert "pip install 'mediafleet[ctranslate2]'" in told
