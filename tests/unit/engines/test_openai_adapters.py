"""Endpoints with OpenAI's interface, and all the ways in which they answer."""

from __future__ import annotations

import json
import threading

import httpx
import numpy as np
import pytest
from tests_support.openai_stub import Asked, MakeClient, OpenAIStub, Reply, as_json, chat

from mediafleet.domain.errors import InvalidRequest, TaskFailed, TransientFailure
from mediafleet.engines import Endpoint, EngineRegistry, Need, Role, Where, load_engine
from mediafleet.engines.adapters._openai import OpenAIClient
from mediafleet.engines.adapters.openai_recognizer import OpenAIRecognizer
from mediafleet.engines.adapters.openai_translator import OpenAITranslator
from mediafleet.engines.pcm import RATE_HZ
from mediafleet.engines.recognition import Timing
from mediafleet.engines.translation import Brief

BRIEF = Brief("en", "es")
SPEECH = np.full(2 * RATE_HZ, 0.1, dtype=np.float32)


@pytest.fixture
def translator(make: MakeClient) -> OpenAITranslator:
    return OpenAITranslator(make(Role.TRANSLATE, key="secret"))


def shout(asked: Asked) -> Reply:
    """Translate all lines into capitals."""
    return chat(json.dumps({"lines": [{"id": number, "text": text.upper()} for number, text in asked.lines.items()]}))


def test_lines_come_back_in_their_order_whatever_order_they_are_answered_in(
    stub: OpenAIStub, translator: OpenAITranslator
) -> None:
    stub.replies = [lambda asked: chat(json.dumps({"lines": json.loads(_lines(asked))["lines"][::-1]}))]
    assert translator.translate(["one", "", "two\nlines"], BRIEF) == ("ONE", "", "TWO LINES")
    assert stub.asked[0].headers["Authorization"] == "Bearer secret"
    assert stub.asked[0].path == "/v1/chat/completions"


def _lines(asked: Asked) -> str:
    return json.dumps({"lines": [{"id": number, "text": text.upper()} for number, text in asked.lines.items()]})


def test_a_batch_is_shown_what_came_before_and_the_terms_that_it_has(
    stub: OpenAIStub, translator: OpenAITranslator
) -> None:
    stub.replies = [shout]
    brief = Brief("en", "es", before=("earlier",), glossary={"Fleet": "Flota", "node": "nodo"})
    lines = [f"line {number} of the fleet" for number in range(25)]
    assert translator.translate(lines, brief) == tuple(line.upper() for line in lines)
    first, second = (asked.sent for asked in stub.asked)
    assert first["context"] == ["earlier"]
    assert first["glossary"] == {"Fleet": "Flota"}
    assert second["context"] == lines[14:20]


def test_a_line_that_is_missing_is_asked_for_again_alone(stub: OpenAIStub, translator: OpenAITranslator) -> None:
    stub.replies = [chat('{"lines": [{"id": 0, "text": "uno"}, {"id": 2, "text": "tres"}]}'), shout]
    assert translator.translate(["one", "two", "three"], BRIEF) == ("uno", "TWO", "tres")
    assert stub.asked[1].lines == {1: "two"}


@pytest.mark.parametrize(
    "said",
    [
        "I am sorry, I cannot translate this.",
        '{"lines": [{"id": 1, "text": "dos"}',
        '{"lines": "uno"}',
        '{"translations": []}',
        '{"lines": [{"id": 7, "text": "siete"}]}',
        '{"lines": [{"id": 0, "text": "uno"}, {"id": 0, "text": "otro"}]}',
        '{"lines": [{"id": 0, "text": ""}]}',
        '{"lines": [{"id": 0, "text": null}]}',
        '{"lines": [{"id": 0, "text": "\\u0007 \\u200b"}]}',
        '{"lines": [{"id": 0, "text": "' + "uno " * 500 + '"}]}',
        "",
    ],
    ids=[
        "words",
        "cut-off",
        "no-list",
        "other-names",
        "wrong-number",
        "twice",
        "empty",
        "null",
        "unseen",
        "endless",
        "nothing",
    ],
)
def test_what_never_comes_is_an_error_and_no_translation(
    stub: OpenAIStub, translator: OpenAITranslator, said: str
) -> None:
    stub.replies = [chat(said)]
    with pytest.raises(TaskFailed, match="left out 1 of 1 lines"):
        translator.translate(["one"], BRIEF)
    assert len(stub.asked) == 3


def test_an_answer_may_have_fences_words_and_numbers_as_words(stub: OpenAIStub, translator: OpenAITranslator) -> None:
    stub.replies = [chat('Here it is:\n```json\n{"lines": [{"id": "0", "text": "uno"}, 5]}\n```')]
    assert translator.translate(["one"], BRIEF) == ("uno",)


@pytest.mark.parametrize("reply", [(200, {}, b"<html>"), as_json({"error": "x"})])
def test_an_answer_that_is_no_completion_is_an_error(
    stub: OpenAIStub, translator: OpenAITranslator, reply: Reply
) -> None:
    stub.replies = [reply]
    with pytest.raises(TaskFailed, match="no chat completion"):
        translator.translate(["one"], BRIEF)


def test_a_busy_service_is_waited_for_as_long_as_it_says(
    stub: OpenAIStub, translator: OpenAITranslator, waits: list[float]
) -> None:
    stub.replies = [as_json({}, 429, Retry_After="7"), as_json({}, 503, Retry_After="soon"), shout]
    assert translator.translate(["one"], BRIEF) == ("ONE",)
    assert waits == [7.0, 2.0]


def test_a_service_that_stays_busy_is_left_for_later(
    stub: OpenAIStub, translator: OpenAITranslator, waits: list[float]
) -> None:
    stub.replies = [as_json({}, 429)]
    with pytest.raises(TransientFailure, match="too busy now"):
        translator.translate(["one"], BRIEF)
    assert waits == [1.0, 2.0, 4.0]


def test_a_service_that_asks_for_minutes_is_left_for_later_at_once(
    stub: OpenAIStub, translator: OpenAITranslator, waits: list[float]
) -> None:
    stub.replies = [as_json({}, 429, Retry_After="600")]
    with pytest.raises(TransientFailure):
        translator.translate(["one"], BRIEF)
    assert waits == []


def test_a_service_that_never_ends_its_answer_is_left_for_later_at_once(
    stub: OpenAIStub, make: MakeClient, waits: list[float]
) -> None:
    gate = threading.Event()

    def hang(_: Asked) -> Reply:
        gate.wait(20)
        return chat("{}")

    stub.replies = [hang]
    client = make(Role.TRANSLATE)
    client._http.timeout = httpx.Timeout(0.05, connect=10)
    try:
        with pytest.raises(TransientFailure, match="for one answer"):
            OpenAITranslator(client).translate(["one"], BRIEF)
    finally:
        gate.set()
    assert (len(stub.asked), waits) == (1, [])


@pytest.mark.parametrize(("status", "said"), [(401, "refuses the key"), (404, "refuses the request")])
def test_a_refusal_is_told_and_not_tried_again(
    stub: OpenAIStub, translator: OpenAITranslator, status: int, said: str
) -> None:
    stub.replies = [as_json({"error": {"message": "no"}}, status)]
    with pytest.raises(TaskFailed, match=said) as caught:
        translator.translate(["one"], BRIEF)
    assert not caught.value.retryable
    assert "secret" not in f"{caught.value.message} {caught.value.detail}"
    assert len(stub.asked) == 1


def test_a_service_that_is_not_there_is_tried_again_later(waits: list[float]) -> None:
    with OpenAIStub() as stub:
        address = stub.address
    client = OpenAIClient(Endpoint(Role.TRANSLATE, address), sleep=waits.append)
    with pytest.raises(TransientFailure, match="does not answer"):
        OpenAITranslator(client).translate(["one"], BRIEF)
    assert len(waits) == 3
    client.close()


def test_a_pair_that_the_operator_did_not_name_is_refused(make: MakeClient) -> None:
    translator = OpenAITranslator(make(Role.TRANSLATE, languages=("en>de",)))
    with pytest.raises(InvalidRequest, match="translates en>de, not en>es"):
        translator.translate(["one"], BRIEF)


WORDS = [{"word": " Hello", "start": 0.1, "end": 0.9}, {"word": "you.", "start": 0.8, "end": 9.0}]
SEGMENTS = [{"text": " Hello you.", "start": 0.5, "end": 1.5, "avg_logprob": -0.1}]


def test_words_keep_their_times_within_the_audio(stub: OpenAIStub, make: MakeClient) -> None:
    stub.replies = [as_json({"text": "Hello you.", "language": "english", "words": WORDS, "segments": SEGMENTS})]
    result = OpenAIRecognizer(make(Role.RECOGNIZE)).recognize(SPEECH, hint="Jane")
    assert [(word.text, word.start_s, word.end_s) for word in result.words] == [("Hello", 0.1, 0.9), ("you.", 0.9, 2.0)]
    assert [round(word.confidence, 3) for word in result.words] == [1.0, 0.905]
    assert (result.language, result.timing) == ("en", Timing.WORD)
    assert b"Jane" in stub.asked[0].body
    assert b"RIFF" in stub.asked[0].body


def test_words_without_times_share_those_of_their_segment(stub: OpenAIStub, make: MakeClient) -> None:
    stub.replies = [as_json({"text": "Hello you.", "segments": SEGMENTS})]
    result = OpenAIRecognizer(make(Role.RECOGNIZE)).recognize(SPEECH, language="en")
    assert [(word.text, round(word.start_s, 2), round(word.end_s, 2)) for word in result.words] == [
        ("Hello", 0.5, 1.06),
        ("you.", 1.06, 1.5),
    ]
    assert (result.language, result.timing) == ("en", Timing.SEGMENT)


def test_a_text_without_any_times_says_so(stub: OpenAIStub, make: MakeClient) -> None:
    stub.replies = [as_json({"text": "one two"})]
    result = OpenAIRecognizer(make(Role.RECOGNIZE)).recognize(SPEECH)
    assert [(word.text, word.start_s, word.end_s) for word in result.words] == [("one", 0.0, 1.0), ("two", 1.0, 2.0)]
    assert result.timing is Timing.NONE


def test_silence_is_not_sent(stub: OpenAIStub, make: MakeClient) -> None:
    recognizer = OpenAIRecognizer(make(Role.RECOGNIZE))
    assert recognizer.recognize(SPEECH * 0).words == ()
    assert recognizer.recognize(SPEECH[:0]).words == ()
    assert stub.asked == []


def test_an_answer_that_is_no_transcription_is_an_error(stub: OpenAIStub, make: MakeClient) -> None:
    stub.replies = [as_json({"words": []})]
    with pytest.raises(TaskFailed, match="no transcription"):
        OpenAIRecognizer(make(Role.RECOGNIZE)).recognize(SPEECH)


def test_a_named_endpoint_is_found_and_loaded(stub: OpenAIStub) -> None:
    stub.replies = [shout]
    endpoint = Endpoint(Role.TRANSLATE, stub.address, "small", languages=("en>fi",))
    registry = EngineRegistry.installed(Where(endpoints=(endpoint,)))
    offer = registry.find(Need(Role.TRANSLATE, "en", "fi"))
    engine = load_engine(registry.get(offer.adapter), offer)
    assert isinstance(engine, OpenAITranslator)
    assert engine.translate(["one"], Brief("en", "fi")) == ("ONE",)
    engine.close()
