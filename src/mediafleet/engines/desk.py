"""Turns requests into calls of one engine; knows nothing of pipes and processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mediafleet.domain.errors import InvalidRequest, TransientFailure
from mediafleet.engines.audio import Audio, from_pcm, unpack_audio
from mediafleet.engines.recognition import RecognitionStream, StreamingRecognizer
from mediafleet.engines.voice_activity import VoiceStream
from mediafleet.engines.wire import (
    Coding,
    Drop,
    Feed,
    Finish,
    Follow,
    Hear,
    Heard,
    Recognize,
    Repair,
    Request,
    Synthesize,
    TellApart,
    Translate,
)


class Desk:
    """One engine and the utterances that it follows. Owned by the process of the engine."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._streams: dict[int, RecognitionStream] = {}
        self._voices: dict[int, VoiceStream] = {}
        self._answers: dict[type, Callable[[Any], object]] = {
            Hear: self._hear,
            TellApart: lambda ask: self._engine.tell_apart(_audio_of(ask), speakers=ask.speakers),
            Recognize: lambda ask: self._engine.recognize(_audio_of(ask), language=ask.language, hint=ask.hint),
            Follow: self._follow,
            Feed: lambda ask: self._stream(ask.stream).feed(unpack_audio(ask.audio)),
            Finish: self._finish,
            Drop: self._drop,
            Repair: lambda ask: self._engine.repair(ask.words, language=ask.language),
            Translate: lambda ask: self._engine.translate(ask.sentences, ask.brief),
        }

    @property
    def facts(self) -> object:
        """What the engine says of itself; an empty map where it says nothing."""
        return getattr(self._engine, "facts", {})

    def answer(self, request: Request) -> object:
        """Return the answer to a request that has one.

        Raises:
            InvalidRequest: This engine has another role.
            MediafleetError: As the engine's protocol says.
        """
        call = self._answers.get(type(request))
        if call is None:
            raise InvalidRequest(f"An engine is not asked for {type(request).__name__} here.")
        try:
            return call(request)
        except AttributeError as error:
            if error.obj is not self._engine:
                raise
            raise InvalidRequest(f"This engine does not do {type(request).__name__}.") from error

    def answer_in_parts(self, request: Synthesize) -> Iterator[object]:
        """Yield what is made, piece by piece."""
        pieces: Iterable[object] = self._engine.synthesize(request.text, request.voice)
        yield from pieces

    def close(self) -> None:
        """Let all utterances and the engine go."""
        for stream in self._streams.values():
            stream.close()
        self._streams.clear()
        self._engine.close()

    def _hear(self, ask: Hear) -> Heard:
        # A process that was started anew has forgotten what was before; detectors need a fraction of a second of it.
        if ask.stream not in self._voices:
            self._voices[ask.stream] = self._engine.listen()
        return Heard(list(self._voices[ask.stream].feed(_audio_of(ask))), self._engine.frame_samples)

    def _follow(self, ask: Follow) -> None:
        if not isinstance(self._engine, StreamingRecognizer):
            raise InvalidRequest("This engine recognizes whole audio only; it cannot follow speech.")
        self._drop(Drop(ask.stream))
        self._streams[ask.stream] = self._engine.follow(language=ask.language)

    def _stream(self, number: int) -> RecognitionStream:
        if stream := self._streams.get(number):
            return stream
        # The process has been started anew since; what was fed to the one before is gone.
        raise TransientFailure("The engine has lost this utterance; begin it again.")

    def _finish(self, ask: Finish) -> object:
        result = self._stream(ask.stream).finish()
        del self._streams[ask.stream]
        return result

    def _drop(self, ask: Drop) -> None:
        self._voices.pop(ask.stream, None)
        if stream := self._streams.pop(ask.stream, None):
            stream.close()


def _audio_of(ask: Hear | Recognize | TellApart) -> Audio:
    return from_pcm(ask.audio) if ask.coding is Coding.PCM else unpack_audio(ask.audio)
