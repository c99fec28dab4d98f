"""Engines that do what the hint, or the text, says: `crash`, `wait:FILE`, `fail`, `grow`, `chatter`.

Ears wait as long as there is a file `gate` in the folder of their model.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mediafleet.engines.audio import Audio, Sound
from mediafleet.engines.diarization import Turn
from mediafleet.engines.recognition import Recognition, RecognizerFacts, Word
from mediafleet.engines.synthesis import SynthesizerFacts, Voice
from mediafleet.engines.translation import Brief, TranslatorFacts
from mediafleet_engine_toy.tones import ENGLISH, NUMBERS, listen, loudness

if TYPE_CHECKING:
    from mediafleet.engines.offer import Offer

_LOOK_S = 0.02


class Ears:
    """Hears words of tones; in all else one word, which is how many samples there were."""

    facts = RecognizerFacts(("eo",))

    def __init__(self, gate: Path) -> None:
        self._gate = gate

    def recognize(self, audio: Audio, *, language: str | None = None, hint: str = "") -> Recognition:
        _do(hint)
        while self._gate.exists():
            time.sleep(_LOOK_S)
        if words := listen(audio):
            return Recognition(words, language or "eo")
        return Recognition((Word(str(len(audio)), 0.0, len(audio) / 16_000),), language or "eo")

    def close(self) -> None:
        """Hold nothing."""


class Ear:
    """Hears beeps."""

    frame_samples = 160

    def listen(self) -> Ear:
        """Remember nothing."""
        return self

    def feed(self, audio: Audio) -> list[float]:
        """Be sure."""
        return loudness(audio)

    def close(self) -> None:
        """Hold nothing."""


class Tongue:
    """Knows numbers in two languages, and leaves other words as they are."""

    facts = TranslatorFacts(("eo>en",))

    def translate(self, sentences: Sequence[str], brief: Brief) -> tuple[str, ...]:
        _do(brief.glossary.get("do", ""))
        return tuple(" ".join(map(_in_english, sentence.split())) for sentence in sentences)

    def close(self) -> None:
        """Hold nothing."""


class Census:
    """Takes high beeps and low ones for two people."""

    def tell_apart(self, audio: Audio, *, speakers: int = 0) -> tuple[Turn, ...]:
        """Name them in the wrong order, which nobody promised to be right."""
        del speakers
        high = NUMBERS[len(NUMBERS) // 2 :]
        return tuple(Turn(word.start_s, word.end_s, "1" if word.text in high else "2") for word in listen(audio))

    def close(self) -> None:
        """Hold nothing."""


class Mouth:
    """Speaks a tenth of a second of silence for each word."""

    facts = SynthesizerFacts(("eo",), ("calm",))

    def synthesize(self, text: str, voice: Voice) -> Iterator[Sound]:
        del voice
        for word in text.split():
            _do(word)
            yield Sound(16_000, bytes(3_200))

    def close(self) -> None:
        """Hold nothing."""


def _in_english(word: str) -> str:
    bare = word.strip(".,").lower()
    found = ENGLISH[NUMBERS.index(bare)] if bare in NUMBERS else bare
    return word.replace(word.strip(".,"), found.capitalize() if word[0].isupper() else found)


def _do(what: str) -> None:
    if what == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif what.startswith("wait:"):
        # The name of a file that says when the wait has begun.
        Path(what.removeprefix("wait:")).touch()
        signal.pause()
    elif what == "fail":
        raise ValueError("the dictionary has no such page")
    elif what == "grow":
        bytearray(8 << 30)
    elif what == "chatter":
        sys.stdout.write("a library says what nobody asked")
        sys.stdout.flush()
        os.write(1, b"and C code as well\n")
        os.write(2, b"on both channels\n")


def load_ears(offer: Offer) -> Ears:
    """Load nothing, or die of it."""
    if offer.place == "deadly":
        os.write(2, b"cannot map the model\n")
        os._exit(3)
    if offer.place == "broken":
        raise RuntimeError("bad magic number")
    return Ears(Path(offer.place, "gate"))


def load_ear(_offer: Offer) -> Ear:
    """Load nothing."""
    return Ear()


def load_tongue(_offer: Offer) -> Tongue:
    """Load nothing."""
    return Tongue()


def load_mouth(_offer: Offer) -> Mouth:
    """Load nothing."""
    return Mouth()


def load_census(_offer: Offer) -> Census:
    """Load nothing."""
    return Census()
