"""What every engine keeps to, whatever library is behind it; runs over all that are installed here.

Engines that need a model run on a tiny one of noise, and on each true one below the folder that MEDIAFLEET_TEST_MODELS names, as
`<adapter>/<model>`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from tests_support.stub_libraries import stub_libraries
from tests_support.tiny_engines import TINY_ENGINES, TinyEngine

from mediafleet.domain.capability import check_capabilities
from mediafleet.domain.errors import InvalidRequest
from mediafleet.engines import EngineRegistry, Offer, Role, Where, load_engine
from mediafleet.engines.audio import Audio
from mediafleet.engines.diarization import Diarizer
from mediafleet.engines.pcm import RATE_HZ
from mediafleet.engines.recognition import Recognition, Recognizer, StreamingRecognizer, Word
from mediafleet.engines.repair import Repairer
from mediafleet.engines.synthesis import Synthesizer, Voice
from mediafleet.engines.translation import Brief, Translator
from mediafleet.engines.voice_activity import VoiceActivity, find_speech

MODELS = os.environ.get("MEDIAFLEET_TEST_MODELS", "")
REGISTRY = EngineRegistry.installed(Where(models=MODELS))


def offered(role: Role) -> list[Any]:
    """Return what is installed here, as parameters; one that is skipped where there is nothing."""
    found = [pytest.param(offer, id=f"{offer.adapter}-{offer.model}".rstrip("-")) for offer in REGISTRY.offers(role)]
    found += [pytest.param(one, id=f"{one.adapter}-tiny-{one.name}") for one in TINY_ENGINES if one.role is role]
    return found or [pytest.param(None, marks=pytest.mark.skip(reason=f"no engine for {role} is installed"))]


@pytest.fixture(scope="module")
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The engine of the parameter, loaded once."""
    wanted: Offer | TinyEngine = request.param
    is_tiny = isinstance(wanted, TinyEngine)
    with stub_libraries() if is_tiny and wanted.is_stub else nullcontext():
        offer = wanted.offer(tmp_path_factory.mktemp("models")) if is_tiny else wanted
        loaded = load_engine(REGISTRY.get(offer.adapter), offer)
        yield loaded
        loaded.close()
        loaded.close()


voice_activities = pytest.mark.parametrize("engine", offered(Role.VOICE_ACTIVITY), indirect=True)
recognizers = pytest.mark.parametrize("engine", offered(Role.RECOGNIZE), indirect=True)
translators = pytest.mark.parametrize("engine", offered(Role.TRANSLATE), indirect=True)
synthesizers = pytest.mark.parametrize("engine", offered(Role.SYNTHESIZE), indirect=True)
diarizers = pytest.mark.parametrize("engine", offered(Role.DIARIZE), indirect=True)
repairers = pytest.mark.parametrize("engine", offered(Role.REPAIR), indirect=True)
wrong_audio = pytest.mark.parametrize(
    "audio",
    [np.zeros((100, 2), dtype=np.float32), np.zeros(100, dtype=np.int16), np.full(100, np.nan, dtype=np.float32)],
    ids=["stereo", "integers", "no-numbers"],
)


@pytest.mark.parametrize("offer", REGISTRY.offers(), ids=lambda offer: offer.adapter)
def test_capabilities_are_ones_that_a_node_can_have(offer: Offer) -> None:
    assert check_capabilities(offer.capabilities) == offer.capabilities


def test_true_models_are_among_what_is_tested() -> None:
    if not MODELS:
        pytest.skip("MEDIAFLEET_TEST_MODELS names no folder with true models, as <adapter>/<model>")
    assert [offer for offer in REGISTRY.offers() if Path(MODELS) in Path(offer.place).parents]


@voice_activities
def test_speech_is_heard_where_it_is_and_silence_is_none(
    engine: VoiceActivity, sentence: Audio, silence: Audio
) -> None:
    spans = find_speech(engine, np.concatenate([silence, sentence, silence]))
    assert spans
    assert spans[0].start_s == pytest.approx(2.0, abs=0.5)
    assert spans[-1].end_s == pytest.approx(2.0 + len(sentence) / RATE_HZ, abs=0.6)
    assert find_speech(engine, silence) == ()
    assert find_speech(engine, silence[:0]) == ()


@voice_activities
def test_speech_is_heard_alike_in_pieces_of_any_size(engine: VoiceActivity, sentence: Audio) -> None:
    whole = list(engine.listen().feed(sentence))
    stream = engine.listen()
    pieces = [chance for start in range(0, len(sentence), 777) for chance in stream.feed(sentence[start : start + 777])]
    assert pieces == pytest.approx(whole)
    assert len(whole) == len(sentence) // engine.frame_samples
    assert all(0 <= chance <= 1 for chance in whole)


@voice_activities
def test_one_listening_does_not_disturb_another(engine: VoiceActivity, sentence: Audio, silence: Audio) -> None:
    alone = list(engine.listen().feed(sentence))
    first, other = engine.listen(), engine.listen()
    half = len(sentence) // 2
    beside = list(first.feed(sentence[:half]))
    other.feed(silence)
    assert [*beside, *first.feed(sentence[half:])] == pytest.approx(alone)


@voice_activities
@wrong_audio
def test_audio_of_another_shape_is_no_speech(engine: VoiceActivity, audio: Audio) -> None:
    with pytest.raises(InvalidRequest):
        engine.listen().feed(audio)


@recognizers
def test_words_have_times_in_order_and_confidence(engine: Recognizer, sentence: Audio) -> None:
    result = engine.recognize(sentence, language=a_language(engine))
    check_words(result, seconds=len(sentence) / RATE_HZ)
    assert result.words
    assert result.is_drafty == engine.facts.is_drafty
    assert result.language == a_language(engine)


@recognizers
def test_a_result_does_not_depend_on_what_was_recognized_before(
    engine: Recognizer, phrase: Audio, silence: Audio
) -> None:
    first = engine.recognize(phrase)
    engine.recognize(silence)
    engine.recognize(phrase[:RATE_HZ])
    assert engine.recognize(phrase).text == first.text


@recognizers
def test_nothing_is_heard_where_nobody_speaks(engine: Recognizer, silence: Audio) -> None:
    assert engine.recognize(silence).words == ()
    assert engine.recognize(silence[:0]).words == ()
    assert engine.recognize(silence[:100]).words == ()


@recognizers
@wrong_audio
def test_audio_of_another_shape_is_not_recognized(engine: Recognizer, audio: Audio) -> None:
    with pytest.raises(InvalidRequest):
        engine.recognize(audio)


@recognizers
def test_a_language_that_an_engine_does_not_know_is_refused(engine: Recognizer, sentence: Audio) -> None:
    if not engine.facts.languages:
        pytest.skip("this engine has no list of languages")
    with pytest.raises(InvalidRequest, match="xx"):
        engine.recognize(sentence, language="xx")


@recognizers
def test_speech_that_is_followed_ends_as_what_is_recognized_whole(engine: Recognizer, phrase: Audio) -> None:
    if not isinstance(engine, StreamingRecognizer):
        pytest.skip("this engine recognizes whole audio only")
    stream = engine.follow(language=a_language(engine))
    guesses = [stream.feed(phrase[start : start + 3_200]) for start in range(0, len(phrase), 3_200)]
    check_words(guesses[-1], seconds=len(phrase) / RATE_HZ)
    assert guesses[-1].words
    assert stream.finish().text == engine.recognize(phrase).text
    stream.close()


@recognizers
def test_several_speakers_are_followed_at_once(engine: Recognizer, phrase: Audio, silence: Audio) -> None:
    if not isinstance(engine, StreamingRecognizer):
        pytest.skip("this engine recognizes whole audio only")
    one, other = engine.follow(), engine.follow()
    one.feed(phrase[:RATE_HZ])
    other.feed(silence)
    assert other.finish().words == ()
    assert one.finish().text == engine.recognize(phrase[:RATE_HZ]).text


@recognizers
def test_an_utterance_that_nobody_finishes_does_no_harm(engine: Recognizer, phrase: Audio) -> None:
    if not isinstance(engine, StreamingRecognizer):
        pytest.skip("this engine recognizes whole audio only")
    stream = engine.follow()
    stream.feed(phrase[:RATE_HZ])
    stream.close()
    stream.close()
    assert engine.recognize(phrase[:RATE_HZ]).words


def a_language(engine: Recognizer) -> str:
    return "en" if "en" in engine.facts.languages or not engine.facts.languages else engine.facts.languages[0]


def check_words(result: Recognition, *, seconds: float) -> None:
    edges = [edge for word in result.words for edge in (word.start_s, word.end_s)]
    assert edges == sorted(edges)
    assert not edges or (edges[0] >= 0 and edges[-1] <= seconds + 0.05)
    assert all(word.text and word.text == word.text.strip() for word in result.words)
    assert all(0 <= word.confidence <= 1 for word in result.words)


@diarizers
def test_turns_are_in_order_and_named(engine: Diarizer, sentence: Audio, silence: Audio) -> None:
    turns = engine.tell_apart(np.concatenate([silence, sentence, silence]))
    assert turns
    assert [turn.start_s for turn in turns] == sorted(turn.start_s for turn in turns)
    assert all(turn.speaker and turn.start_s < turn.end_s for turn in turns)
    assert {turn.speaker for turn in engine.tell_apart(sentence, speakers=1)} == {turns[0].speaker}
    assert engine.tell_apart(silence) == ()


@diarizers
@wrong_audio
def test_voices_in_audio_of_another_shape_are_not_told_apart(engine: Diarizer, audio: Audio) -> None:
    with pytest.raises(InvalidRequest):
        engine.tell_apart(audio)


@translators
def test_as_many_sentences_come_out_as_went_in(engine: Translator) -> None:
    source, target = engine.facts.pairs[0].split(">")
    sentences = ["The house is red.", "", "  ", "A dog\nruns", "5 < 6 [b] {c} ^d/e$ \\ @"]
    translated = engine.translate(sentences, Brief(source, target))
    assert [bool(text) for text in translated] == [True, False, False, True, True]
    assert all(text == " ".join(text.split()) for text in translated)
    assert engine.translate(sentences, Brief(source, target)) == translated
    assert engine.translate([], Brief(source, target)) == ()


@translators
def test_a_pair_that_an_engine_does_not_know_is_refused(engine: Translator) -> None:
    with pytest.raises(InvalidRequest, match="xx>yy"):
        engine.translate(["one"], Brief("xx", "yy"))


@synthesizers
def test_a_text_becomes_sound_of_one_rate(engine: Synthesizer) -> None:
    voice = Voice(engine.facts.languages[0])
    pieces = list(engine.synthesize("one two three", voice))
    assert {piece.rate_hz for piece in pieces} == {pieces[0].rate_hz}
    assert all(piece.pcm and len(piece.pcm) % 2 == 0 for piece in pieces)
    assert any(any(piece.pcm) for piece in pieces)
    slow = engine.synthesize("one two three", msgspec.structs.replace(voice, speed=0.5))
    assert sum(piece.seconds for piece in slow) > sum(piece.seconds for piece in pieces)


@synthesizers
def test_nothing_is_said_for_a_text_without_words(engine: Synthesizer) -> None:
    assert list(engine.synthesize(" … \n", Voice(engine.facts.languages[0]))) == []


@synthesizers
def test_a_language_that_nobody_speaks_is_refused(engine: Synthesizer) -> None:
    with pytest.raises(InvalidRequest, match="xx"):
        list(engine.synthesize("one", Voice("xx")))


@repairers
def test_each_word_is_written_once(engine: Repairer) -> None:
    words = [Word("he", 0.0, 0.2), Word("dont", 0.2, 0.5), Word("know", 2.0, 2.4)]
    written = engine.repair(words, language="en")
    assert len(written) == len(words)
    assert all(text and text == text.strip() for text in written)
    assert engine.repair([], language="en") == ()
