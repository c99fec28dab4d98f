"""Engines that do what the hint, or the text, says: `crash`, `wait:FILE`, `fail`, `grow`, `chatter`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mediafleet.engines.audio import Audio, Sound
from mediafleet.engines.recognition import Recognition, RecognizerFacts, Word
from mediafleet.engines.synthesis import SynthesizerFacts, Voice

if TYPE_CHECKING:
    from mediafleet.engines.offer import Offer


class Ears:
    """Hears one word: how many samples there were."""

    facts = RecognizerFacts(("eo",))

    def recognize(self, audio: Audio, *, language: str | None = None, hint: str = "") -> Recognition:
        _do(hint)
        return Recognition((Word(str(len(audio)), 0.0, len(audio) / 16_000),), language or "eo")

    def close(self) -> None:
        """Hold nothing."""


class Mouth:
    """Speaks a tenth of a second of silence for each word."""

    facts = SynthesizerFacts(("eo",))

    def synthesize(self, text: str, voice: Voice) -> Iterator[Sound]:
        del voice
        for word in text.split():
            _do(word)
            yield Sound(16_000, bytes(3_200))

    def close(self) -> None:
        """Hold nothing."""


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
    return Ears()


def load_mouth(_offer: Offer) -> Mouth:
    """Load nothing."""
    return Mouth()
