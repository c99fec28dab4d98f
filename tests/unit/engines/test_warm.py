"""Engines in processes of their own: what happens when they crash, hang, grow, or are not needed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from types import NoneType

import numpy as np
import psutil
import pytest
from tests_support.children import children_with

from mediafleet.domain.errors import CapabilityMissing, InvalidRequest, TaskFailed, TransientFailure
from mediafleet.engines import EngineRegistry, Need
from mediafleet.engines.audio import Audio, Sound, pack_audio
from mediafleet.engines.offer import Offer, Role
from mediafleet.engines.recognition import Recognition, RecognizerFacts
from mediafleet.engines.synthesis import Voice
from mediafleet.engines.translation import Brief
from mediafleet.engines.warm import WarmEngine, WarmEngines, WarmLimits
from mediafleet.engines.wire import Drop, Feed, Finish, Follow, Hear, Heard, Recognize, Synthesize, Translate

EARS = Offer("toy", Role.RECOGNIZE, model="small", languages=("eo",))
MOUTH = Offer("toy-voice", Role.SYNTHESIZE, languages=("eo",))
SECOND = pack_audio(np.zeros(16_000, dtype=np.float32))

Make = Callable[..., WarmEngine]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """Makes engines that are closed at the end, and leave no process."""
    made: list[WarmEngine] = []

    def warm(offer: Offer = EARS, **limits: float) -> WarmEngine:
        made.append(WarmEngine(offer, WarmLimits(**limits)))  # type: ignore[arg-type]
        return made[-1]

    yield warm
    for engine in made:
        await engine.close()
    assert not children_with("mediafleet.engines.host")


def hear(hint: str = "") -> Recognize:
    return Recognize(SECOND, hint=hint)


async def wait_until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():  # noqa: ASYNC110 - processes of others tell nobody
            await asyncio.sleep(0.01)


async def until_it_works(engine: WarmEngine) -> int:
    """Return the number of the process once it is loaded."""
    await engine.load(RecognizerFacts)
    assert engine.pid
    return engine.pid


async def test_an_engine_answers_from_a_process_of_its_own(make: Make) -> None:
    engine = make()
    assert await engine.load(RecognizerFacts) == RecognizerFacts(("eo",))
    assert (await engine.ask(hear(), Recognition)).text == "16000"
    assert engine.pid not in {None, os.getpid()}


async def test_what_a_library_prints_is_not_taken_for_an_answer(make: Make) -> None:
    assert (await make().ask(hear("chatter"), Recognition)).text == "16000"


async def test_a_crash_in_the_middle_fails_that_request_and_the_next_one_works(make: Make) -> None:
    engine = make()
    first = await until_it_works(engine)
    with pytest.raises(TransientFailure, match="engine toy was ended by SIGSEGV"):
        await engine.ask(hear("crash"), Recognition)
    assert (await engine.ask(hear(), Recognition)).text == "16000"
    assert engine.pid != first


async def test_a_process_that_is_killed_while_it_works_fails_that_request_alone(make: Make, tmp_path: Path) -> None:
    engine = make()
    pid = await until_it_works(engine)
    asked = asyncio.create_task(engine.ask(hear(f"wait:{tmp_path}/begun"), Recognition))
    await wait_until((tmp_path / "begun").exists)
    os.kill(pid, signal.SIGSEGV)
    with pytest.raises(TransientFailure, match="SIGSEGV"):
        await asked
    assert (await engine.ask(hear(), Recognition)).text == "16000"


async def test_a_process_that_died_while_nobody_asked_is_not_noticed_by_the_next_who_asks(make: Make) -> None:
    engine = make()
    pid = await until_it_works(engine)
    os.kill(pid, signal.SIGKILL)
    await wait_until(lambda: engine.pid is None)
    assert (await engine.ask(hear(), Recognition)).text == "16000"


async def test_what_a_library_raises_fails_the_request_and_keeps_the_process(make: Make) -> None:
    engine = make()
    pid = await until_it_works(engine)
    with pytest.raises(TaskFailed, match="no such page"):
        await engine.ask(hear("fail"), Recognition)
    assert engine.pid == pid


async def test_an_engine_is_not_asked_for_what_another_role_does(make: Make) -> None:
    with pytest.raises(InvalidRequest, match="does not do Translate"):
        await make().ask(Translate(("Saluton",), Brief("eo", "en")), list[str])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds memory this way")
async def test_an_engine_gets_no_more_memory_than_it_may_have(make: Make) -> None:
    engine = make(memory_bytes=4 << 30)
    with pytest.raises(TransientFailure, match="more memory"):
        await engine.ask(hear("grow"), Recognition)


async def test_an_answer_that_does_not_come_ends_the_process(make: Make, tmp_path: Path) -> None:
    engine = make(answer_s=0.2)
    pid = await until_it_works(engine)
    with pytest.raises(TransientFailure, match="did not answer in time"):
        await engine.ask(hear(f"wait:{tmp_path}/begun"), Recognition)
    assert not psutil.pid_exists(pid)


async def test_a_cancelled_request_ends_the_process_and_its_answer_is_nobodys(make: Make, tmp_path: Path) -> None:
    engine = make()
    pid = await until_it_works(engine)
    asked = asyncio.create_task(engine.ask(hear(f"wait:{tmp_path}/begun"), Recognition))
    await wait_until((tmp_path / "begun").exists)
    asked.cancel()
    with suppress(asyncio.CancelledError):
        await asked
    await wait_until(lambda: not psutil.pid_exists(pid))
    assert (await engine.ask(hear(), Recognition)).text == "16000"


async def test_an_idle_engine_is_unloaded_and_comes_back(make: Make) -> None:
    engine = make(idle_s=0.05)
    pid = await until_it_works(engine)
    await wait_until(lambda: not psutil.pid_exists(pid))
    assert (await engine.ask(hear(), Recognition)).text == "16000"


async def test_requests_of_several_callers_get_their_own_answers(make: Make) -> None:
    engine = make()
    sizes = range(100, 1_000, 100)
    audio = [pack_audio(np.zeros(size, dtype=np.float32)) for size in sizes]
    results = await asyncio.gather(*(engine.ask(Recognize(one), Recognition) for one in audio))
    assert [result.text for result in results] == [str(size) for size in sizes]


async def test_speech_comes_in_parts(make: Make) -> None:
    engine = make(MOUTH)
    parts = [part async for part in engine.ask_for_parts(Synthesize("unu du tri", Voice("eo")), Sound)]
    assert [part.seconds for part in parts] == [0.1, 0.1, 0.1]


async def test_a_first_part_is_there_before_the_second_is_made(make: Make, tmp_path: Path) -> None:
    engine = make(MOUTH)
    parts = engine.ask_for_parts(Synthesize(f"unu wait:{tmp_path}/begun", Voice("eo")), Sound)
    assert (await anext(parts)).seconds == 0.1
    await parts.aclose()
    parts = engine.ask_for_parts(Synthesize("unu", Voice("eo")), Sound)
    assert [part.seconds async for part in parts] == [0.1]


async def test_a_failure_between_parts_is_told(make: Make) -> None:
    parts = make(MOUTH).ask_for_parts(Synthesize("unu fail", Voice("eo")), Sound)
    with pytest.raises(TaskFailed, match="no such page"):
        [part async for part in parts]


@pytest.mark.parametrize(
    ("place", "error", "said"),
    [("broken", TaskFailed, "bad magic number"), ("deadly", TransientFailure, "ended with code 3")],
)
async def test_a_model_that_does_not_load_is_told(make: Make, place: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        await make(Offer("toy", Role.RECOGNIZE, place=place)).load(object)


async def test_the_last_words_of_a_process_are_kept_for_engineers(make: Make) -> None:
    with pytest.raises(TransientFailure) as caught:
        await make(Offer("toy", Role.RECOGNIZE, place="deadly")).load(object)
    assert caught.value.detail == "cannot map the model\n"


@pytest.mark.parametrize(("free", "is_refused"), [(1 << 30, True), (4 << 30, False), (None, False)])
async def test_a_model_is_not_loaded_where_a_card_has_no_room(free: int | None, *, is_refused: bool) -> None:
    offer = Offer("toy", Role.RECOGNIZE, model="large", gpu_bytes=2 << 30)
    engine = WarmEngine(offer, free_gpu_bytes=lambda: free)
    loading: Awaitable[object] = engine.load(RecognizerFacts)
    if is_refused:
        with pytest.raises(CapabilityMissing, match="needs 2,048 MiB of a graphics card, and 1,024 MiB are free"):
            await loading
        assert engine.pid is None
    else:
        assert await loading == RecognizerFacts(("eo",))
    await engine.close()


async def test_a_machine_says_only_what_has_loaded() -> None:
    async with WarmEngines() as engines:
        proof = await engines.prove([EARS, Offer("toy", Role.RECOGNIZE, "broken", "big", ("la",)), MOUTH])
        spoken = ("tone:calm", "tts:eo")
        assert proof.capabilities == ("asr:toy", "engine:asr", "engine:tts", "lang:auto", "lang:eo", *spoken)
        assert list(proof.faults) == ["toy big"]
        assert engines.get(EARS).pid is None


async def test_one_engine_is_loaded_once_for_all_who_need_it() -> None:
    async with WarmEngines() as engines:
        assert engines.get(EARS) is engines.get(Offer("toy", Role.RECOGNIZE, model="small", languages=("eo",)))
        await engines.get(EARS).load(RecognizerFacts)
        pid = engines.get(EARS).pid
        assert (await engines.prove([EARS])).capabilities == ("asr:toy", "engine:asr", "lang:auto", "lang:eo")
        assert engines.get(EARS).pid == pid


async def test_voice_activity_has_nothing_to_say_of_itself_and_is_proved_all_the_same() -> None:
    found = EngineRegistry.installed().offers(Role.VOICE_ACTIVITY)
    async with WarmEngines() as engines:
        assert (await engines.prove(found[:1])).capabilities == found[0].capabilities
        heard = await engines.get(found[0]).ask(Hear(1, SECOND), Heard)
        assert len(heard.probabilities) == 16_000 // heard.frame_samples
        assert max(heard.probabilities) < 0.5


async def test_speech_is_followed_in_the_process_and_lost_with_it(silence: Audio) -> None:
    need = Need(Role.RECOGNIZE, "en")
    try:
        offer = EngineRegistry.installed().find(need, adapter="pocketsphinx")
    except CapabilityMissing as error:
        pytest.skip(error.message)
    async with WarmEngines() as engines:
        engine = engines.get(offer)
        await engine.ask(Follow(1), NoneType)
        await engine.ask(Feed(1, pack_audio(silence)), Recognition)
        assert (await engine.ask(Finish(1), Recognition)).words == ()
        await engine.ask(Follow(2), NoneType)
        await engine.ask(Drop(2), NoneType)
        await engine.ask(Follow(3), NoneType)
        await engine.close()
        with pytest.raises(TransientFailure, match="lost this utterance"):
            await engine.ask(Feed(3, SECOND), Recognition)
