"""What the adapter for PocketSphinx adds to the library."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("pocketsphinx", reason="this Python has no wheel of PocketSphinx")

from mediafleet.engines import EngineRegistry, Need, Role
from mediafleet.engines.adapters.pocketsphinx import PocketSphinxEngine, load
from mediafleet.engines.audio import Audio


@pytest.fixture(scope="module")
def engine() -> PocketSphinxEngine:
    return load(EngineRegistry.installed().find(Need(Role.RECOGNIZE, "en"), adapter="pocketsphinx"))


def means_of(stream: Any) -> str:
    return stream._decoder.get_cmn(False)  # noqa: FBT003 - the library takes it by position only


def test_an_utterance_begins_with_the_means_of_the_one_before(engine: PocketSphinxEngine, phrase: Audio) -> None:
    first: Any = engine.follow()
    cold = means_of(first)
    first.feed(phrase)
    first.finish()
    second: Any = engine.follow()
    assert means_of(second) == engine._means != cold
    second.close()


def test_means_of_an_utterance_without_words_are_not_kept(engine: PocketSphinxEngine, silence: Audio) -> None:
    before = engine._means
    stream = engine.follow()
    stream.feed(silence)
    assert stream.finish().words == ()
    assert engine._means == before


def test_a_decoder_is_used_again(engine: PocketSphinxEngine, silence: Audio) -> None:
    engine.follow().close()
    count = len(engine._idle)
    engine.recognize(silence)
    engine.follow().close()
    assert len(engine._idle) == count


def test_pronunciations_and_pauses_are_no_words(engine: PocketSphinxEngine, sentence: Audio) -> None:
    texts = [word.text for word in engine.recognize(sentence).words]
    assert texts[:2] == ["he", "was"]
    assert not [text for text in texts if set(text) & set("<>[]()0123456789")]
