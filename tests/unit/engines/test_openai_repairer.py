"""Repair by endpoints with OpenAI's interface: as many words out as went in, whatever the model does."""

from __future__ import annotations

import json

import pytest
from tests_support.openai_stub import Asked, MakeClient, OpenAIStub, Reply, chat

from mediafleet.domain.errors import InvalidRequest, TaskFailed
from mediafleet.engines import Endpoint, EngineRegistry, Need, Role, Where, load_engine
from mediafleet.engines.adapters.openai_repairer import OpenAIRepairer
from mediafleet.engines.recognition import Word


def words(text: str, *, pause_after: int = -1) -> list[Word]:
    """Return words of 0.3 s, one after the other, with a pause after one of them."""
    shift = [1.0 if pause_after >= 0 and number > pause_after else 0.0 for number in range(len(text.split()))]
    return [
        Word(word, 0.3 * number + shift[number], 0.3 * number + 0.3 + shift[number])
        for number, word in enumerate(text.split())
    ]


def answer(texts: dict[int, str]) -> Reply:
    return chat(json.dumps({"lines": [{"id": number, "text": text} for number, text in texts.items()]}))


def capitalize(asked: Asked) -> Reply:
    return answer({number: text.capitalize() for number, text in asked.lines.items()})


@pytest.fixture
def repairer(make: MakeClient) -> OpenAIRepairer:
    return OpenAIRepairer(make(Role.REPAIR))


def test_each_word_comes_back_once(stub: OpenAIStub, repairer: OpenAIRepairer) -> None:
    stub.replies = [answer({1: "don't", 0: "I", 2: "know."})]
    assert repairer.repair(words("eye dont no", pause_after=1), language="en") == ("I", "don't", "know.")
    assert stub.asked[0].sent["lines"] == [
        {"id": 0, "text": "eye"},
        {"id": 1, "text": "dont", "pause": True},
        {"id": 2, "text": "no"},
    ]
    assert repairer.repair([], language="en") == ()
    assert len(stub.asked) == 1


@pytest.mark.parametrize(
    "said",
    [{0: "I do", 1: "not"}, {0: "I"}, {0: "I", 1: ""}, {0: "I", 7: "x"}],
    ids=["joined", "left-out", "empty", "another"],
)
def test_words_that_were_joined_or_left_out_are_asked_for_again(
    stub: OpenAIStub, repairer: OpenAIRepairer, said: dict[int, str]
) -> None:
    stub.replies = [answer(said), capitalize]
    assert repairer.repair(words("i not"), language="en") == ("I", "Not" if 1 not in said or not said[1] else "not")
    assert len(stub.asked) == 2


def test_words_that_never_come_are_an_error(stub: OpenAIStub, repairer: OpenAIRepairer) -> None:
    stub.replies = [answer({0: "I am"})]
    with pytest.raises(TaskFailed, match="left out 1 of 1 lines"):
        repairer.repair(words("im"), language="en")
    assert len(stub.asked) == 3


def test_long_speech_goes_in_batches_that_are_shown_what_was_written_before(
    stub: OpenAIStub, repairer: OpenAIRepairer
) -> None:
    stub.replies = [capitalize]
    spoken = words(" ".join(f"word{number}" for number in range(130)))
    assert repairer.repair(spoken, language="en") == tuple(word.text.capitalize() for word in spoken)
    assert [len(asked.lines) for asked in stub.asked] == [60, 60, 10]
    assert stub.asked[0].sent["context"] == ""
    assert stub.asked[2].sent["context"].split() == [f"Word{number}" for number in range(100, 120)]


def test_a_language_that_the_operator_did_not_name_is_refused(make: MakeClient) -> None:
    with pytest.raises(InvalidRequest, match="repairs en, not 'es'"):
        OpenAIRepairer(make(Role.REPAIR, languages=("en",))).repair(words("uno"), language="es")


def test_an_endpoint_for_repair_goes_before_rules(stub: OpenAIStub) -> None:
    stub.replies = [capitalize]
    where = Where(endpoints=(Endpoint(Role.REPAIR, stub.address, "small"),))
    registry = EngineRegistry.installed(where)
    offer = registry.find(Need(Role.REPAIR, "en"))
    assert "repair:openai-repair" in offer.capabilities
    engine = load_engine(registry.get(offer.adapter), offer)
    assert isinstance(engine, OpenAIRepairer)
    assert engine.repair(words("yes"), language="en") == ("Yes",)
    engine.close()
