"""PocketSphinx with the English model of its wheel: works everywhere, and is right about three words in four.

A decoder adapts to what it hears. Whole audio is normalized by its own means, so what came before it matters only by the estimate
of noise, which the library keeps from utterance to utterance: a word changes now and then, and more are right than without it
(docs/decisions/0033). An utterance that is followed begins with the means of the one before, because from a cold start the
first seconds are guesses.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mediafleet.engines.audio import Audio, check_audio, from_pcm, is_silent, to_pcm
from mediafleet.engines.pcm import RATE_HZ
from mediafleet.engines.recognition import Recognition, RecognizerFacts, Word, choose_language

if TYPE_CHECKING:
    from mediafleet.engines.offer import Offer

# Of twelve English recordings those of 20 words or more have 0.49 to 0.73; German and Spanish ones 0.30 and 0.27.
_FACTS = RecognizerFacts(("en",), is_drafty=True, doubtful_below=0.4)
_LEAST_BYTES = 2 * RATE_HZ // 10
"""Less than 0.1 s is no word, and the decoder fails on less than a frame."""
_FILLERS = "<["
"""What no word begins with: `<sil>`, `<s>`, `[NOISE]`."""


class PocketSphinxEngine:
    """A model; decoders are made as utterances need them, and used again."""

    facts = _FACTS

    def __init__(self, model: Path) -> None:
        self._library: Any = import_module("pocketsphinx")
        self._model = model
        self._idle: list[Any] = [self._make_decoder()]
        self._means: str | None = None

    def _make_decoder(self) -> Any:
        files = {
            "hmm": str(self._model / "en-us"),
            "lm": str(self._model / "en-us.lm.bin"),
            "dict": str(self._model / "cmudict-en-us.dict"),
        }
        return self._library.Decoder(**files, loglevel="FATAL")

    def recognize(self, audio: Audio, *, language: str | None = None, hint: str = "") -> Recognition:
        """Recognize one piece of speech; hints are of no use to it."""
        del hint
        decoder = self.take(language)
        try:
            return decode(decoder, to_pcm(check_audio(audio)))
        finally:
            self.give_back(decoder)

    def follow(self, *, language: str | None = None) -> PocketSphinxStream:
        """Begin an utterance, with a decoder of its own."""
        return PocketSphinxStream(self, self.take(language), means=self._means)

    def take(self, language: str | None) -> Any:
        """Return a decoder that nobody uses; making one takes half a second."""
        choose_language(self.facts, language)
        return self._idle.pop() if self._idle else self._make_decoder()

    def give_back(self, decoder: Any, *, means: str | None = None) -> None:
        """Keep a decoder for the next utterance, and the means of the last one that was followed."""
        self._means = means or self._means
        self._idle.append(decoder)

    def close(self) -> None:
        """Let the decoders go."""
        self._idle.clear()


class PocketSphinxStream:
    """One utterance: guessed as it is spoken, and recognized as a whole at its end."""

    def __init__(self, engine: PocketSphinxEngine, decoder: Any, *, means: str | None) -> None:
        self._engine = engine
        self._decoder: Any = decoder
        self._heard = bytearray()
        self._is_closed = False
        if means:
            decoder.set_cmn(means)
        decoder.start_utt()

    def feed(self, audio: Audio) -> Recognition:
        """Hear more; return what it seems to be."""
        pcm = to_pcm(check_audio(audio))
        if pcm:
            self._heard += pcm
            self._decoder.process_raw(pcm)
        return _as_recognition(_read_words(self._decoder))

    def finish(self) -> Recognition:
        """Return what it is, recognized anew with the means of all of it."""
        self._decoder.end_utt()
        result = decode(self._decoder, bytes(self._heard))
        means = self._decoder.get_cmn(False)  # noqa: FBT003 - the library takes it by position only
        self._release(means if result.words else None)
        return result

    def close(self) -> None:
        """End it."""
        if not self._is_closed:
            self._decoder.end_utt()
            self._release(None)

    def _release(self, means: str | None) -> None:
        self._is_closed = True
        self._engine.give_back(self._decoder, means=means)


def decode(decoder: Any, pcm: bytes) -> Recognition:
    """Return the words of a whole utterance, 16-bit samples at 16 kHz."""
    if len(pcm) < _LEAST_BYTES or is_silent(from_pcm(pcm)):
        return _as_recognition(())
    decoder.start_utt()
    try:
        decoder.process_raw(pcm, full_utt=True)
    finally:
        decoder.end_utt()
    return _as_recognition(_read_words(decoder))


def _read_words(decoder: Any) -> tuple[Word, ...]:
    frames_a_second = float(decoder.config["frate"])
    return tuple(
        Word(
            # The dictionary numbers pronunciations: `and(2)`.
            segment.word.partition("(")[0],
            segment.start_frame / frames_a_second,
            (segment.end_frame + 1) / frames_a_second,
            min(1.0, max(0.0, float(segment.prob))),
        )
        for segment in decoder.seg() or ()
        if segment.word[0] not in _FILLERS
    )


def _as_recognition(words: tuple[Word, ...]) -> Recognition:
    return Recognition(words, "en", is_drafty=True)


def load(offer: Offer) -> PocketSphinxEngine:
    """Load the model folder that was offered."""
    return PocketSphinxEngine(Path(offer.place))
