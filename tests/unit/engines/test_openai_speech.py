"""Speech from endpoints with OpenAI's interface: samples or WAV, in pieces as they come."""

from __future__ import annotations

import io
import itertools
import json
import threading
import wave
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import cast

import pytest
from tests_support.openai_stub import MakeClient, OpenAIStub, Reply, as_json

from mediafleet.domain.errors import TaskFailed, TransientFailure
from mediafleet.engines import Role
from mediafleet.engines.adapters.openai_synthesizer import OpenAISynthesizer, cut_sound
from mediafleet.engines.audio import Sound
from mediafleet.engines.synthesis import Voice

SAMPLES = bytes(range(250)) * 32
PCM = {"Content-Type": "audio/pcm"}


def test_speech_comes_as_samples_in_pieces(stub: OpenAIStub, make: MakeClient) -> None:
    stub.replies = [(200, {"Content-Type": "audio/pcm"}, bytes(48_001))]
    synthesizer = OpenAISynthesizer(make(Role.SYNTHESIZE))
    pieces = list(synthesizer.synthesize("Hello", Voice("en", "nova", speed=1.5)))
    assert [(piece.rate_hz, piece.seconds) for piece in pieces] == [(24_000, 0.1)] * 10
    sent = json.loads(stub.asked[0].body)
    assert (sent["voice"], sent["speed"]) == ("nova", 1.5)
    assert list(synthesizer.synthesize("  ", Voice("en"))) == []


def test_a_tone_is_told_to_services_that_know_tones(stub: OpenAIStub, make: MakeClient) -> None:
    stub.replies = [(200, PCM, SAMPLES), (200, PCM, SAMPLES)]
    directed, plain = make(Role.SYNTHESIZE, tones=("any",)), make(Role.SYNTHESIZE)
    for client in (directed, plain):
        list(OpenAISynthesizer(client).synthesize("Hello", Voice("en", tone="calm")))
    sent = [json.loads(one.body) for one in stub.asked]
    assert [one.get("instructions") for one in sent] == ["calm", None]
    assert OpenAISynthesizer(directed).facts.tones == ("any",)


def test_a_wav_is_understood_too(stub: OpenAIStub, make: MakeClient) -> None:
    stub.replies = [(200, {"Content-Type": "audio/wav"}, a_wav(channels=1))]
    pieces = list(OpenAISynthesizer(make(Role.SYNTHESIZE)).synthesize("Hello", Voice("en")))
    assert {piece.rate_hz for piece in pieces} == {16_000}
    assert b"".join(piece.pcm for piece in pieces) == SAMPLES


@pytest.mark.parametrize(
    "reply",
    [
        as_json({"error": "x"}),
        (200, {"Content-Type": "audio/pcm"}, b""),
        (200, {"Content-Type": "audio/wav"}, b"RIFFxxxx"),
    ],
    ids=["json", "nothing", "broken-wav"],
)
def test_an_answer_that_is_no_sound_is_an_error(stub: OpenAIStub, make: MakeClient, reply: Reply) -> None:
    stub.replies = [reply]
    with pytest.raises(TaskFailed):
        list(OpenAISynthesizer(make(Role.SYNTHESIZE)).synthesize("Hello", Voice("en")))


def test_a_wav_with_two_channels_is_an_error(stub: OpenAIStub, make: MakeClient) -> None:
    stub.replies = [(200, {"Content-Type": "audio/wav"}, a_wav(channels=2))]
    with pytest.raises(TaskFailed, match="2 channels"):
        list(OpenAISynthesizer(make(Role.SYNTHESIZE)).synthesize("Hello", Voice("en")))


def a_wav(*, channels: int) -> bytes:
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(SAMPLES * channels)
    return target.getvalue()


def test_a_piece_is_there_before_the_rest_was_made(stub: OpenAIStub, make: MakeClient) -> None:
    goes_on = threading.Event()

    def speak() -> Iterator[bytes]:
        yield SAMPLES[:5_000]
        assert goes_on.wait(30)
        yield SAMPLES[5_000:]

    stub.replies = [(200, PCM, speak())]
    pieces = OpenAISynthesizer(make(Role.SYNTHESIZE)).synthesize("Hello", Voice("en"))
    first = next(pieces)
    goes_on.set()
    assert first.pcm + b"".join(piece.pcm for piece in pieces) == SAMPLES


def test_who_stops_listening_gives_up_the_rest(stub: OpenAIStub, make: MakeClient) -> None:
    stub.replies = [(200, PCM, itertools.repeat(SAMPLES))]
    spoken = OpenAISynthesizer(make(Role.SYNTHESIZE)).synthesize("Hello", Voice("en"))
    with closing(cast("Generator[Sound]", spoken)) as pieces:
        assert next(pieces).seconds == 0.1
    stub.close()
    assert stub.given_up == 1


def test_speech_that_breaks_off_is_not_passed_off_as_all(stub: OpenAIStub, make: MakeClient) -> None:
    stub.replies = [(200, {**PCM, "Content-Length": "9000"}, iter([SAMPLES]))]
    pieces = OpenAISynthesizer(make(Role.SYNTHESIZE)).synthesize("Hello", Voice("en"))
    assert next(pieces).seconds == 0.1
    with pytest.raises(TransientFailure, match="broke off"):
        list(pieces)
    assert len(stub.asked) == 1


def test_a_busy_service_is_waited_for(stub: OpenAIStub, make: MakeClient, waits: list[float]) -> None:
    stub.replies = [as_json({"error": "busy"}, 429, Retry_After="7"), (200, PCM, SAMPLES)]
    assert list(OpenAISynthesizer(make(Role.SYNTHESIZE)).synthesize("Hello", Voice("en")))
    assert waits == [7.0]


def chunk(kind: bytes, body: bytes, *, size: int | None = None) -> bytes:
    said = len(body) if size is None else size
    return kind + said.to_bytes(4, "little") + body + bytes(len(body) % 2)


FORMAT = chunk(b"fmt ", b"\1\0\1\0" + (8_000).to_bytes(4, "little") + (16_000).to_bytes(4, "little") + b"\2\0\x10\0")


@pytest.mark.parametrize(
    "wav",
    [
        FORMAT + chunk(b"data", SAMPLES),
        FORMAT + chunk(b"data", SAMPLES, size=0xFFFFFFFF),
        FORMAT + chunk(b"data", SAMPLES, size=0),
        chunk(b"LIST", b"odd") + FORMAT + chunk(b"data", SAMPLES) + chunk(b"LIST", b"no sound"),
    ],
    ids=["plain", "endless", "no-length", "with-other-chunks"],
)
@pytest.mark.parametrize("step", [1, 4_999, 100_000])
def test_only_the_samples_of_a_wav_are_sound_however_it_comes(wav: bytes, step: int) -> None:
    whole = b"RIFF\0\0\0\0WAVE" + wav
    pieces = list(cut_sound(whole[start : start + step] for start in range(0, len(whole), step)))
    assert b"".join(piece.pcm for piece in pieces) == SAMPLES
    assert {piece.rate_hz for piece in pieces} == {8_000}


@pytest.mark.parametrize(
    "wav",
    [b"", chunk(b"data", SAMPLES), chunk(b"fmt ", b"\1\0"), chunk(b"LIST", b"x", size=0x7FFFFFFF), FORMAT],
    ids=["nothing", "no-format", "short-format", "endless-chunk", "no-samples"],
)
def test_a_broken_wav_is_an_error(wav: bytes) -> None:
    with pytest.raises(TaskFailed, match="broken WAV"):
        list(cut_sound([b"RIFF\0\0\0\0WAVE" + wav]))
