"""What engines a node says it has, what it remembers of them, and how tasks share their processes."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from mediafleet.domain.errors import CapabilityMissing, InvalidParams
from mediafleet.engines import EngineRegistry, Need, Role, Where
from mediafleet.engines.hosted import Tether
from mediafleet.engines.offer import Offer
from mediafleet.node.engines import NodeEngines
from mediafleet.ops.settings import EngineSettings


class Starts:
    """Counts the processes that are started."""

    def __init__(self) -> None:
        self.adapters: list[str] = []
        self.ended: list[int] = []

    def hook(self, offer: Offer) -> None:
        """Note what is started."""
        self.adapters.append(offer.adapter)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    for name in ("toy/small", "toy-vad/ear"):
        (tmp_path / "models" / name).mkdir(parents=True)
    return tmp_path / "models"


@pytest.fixture
def starts() -> Starts:
    return Starts()


def engines_of(models: Path, starts: Starts, *names: str, processes: int = 0) -> NodeEngines:
    """Return the engines of a node that only knows toys: these, or those that hear and translate."""
    installed = EngineRegistry.installed()
    toys = [installed.get(name) for name in names or ("toy", "toy-vad", "toy-mt")]
    registry = EngineRegistry(toys, Where(models=str(models)))
    tether = Tether(starts.hook, starts.ended.append)
    return NodeEngines(registry, EngineSettings(processes=processes), tether, models.parent / "engines.json")


async def test_a_node_says_what_loads_and_remembers_it(models: Path, starts: Starts) -> None:
    proof = await engines_of(models, starts).look()
    assert proof.capabilities == ("asr:toy", "engine:asr", "engine:vad", "lang:auto", "lang:eo", "vad:toy-vad")
    assert starts.adapters == ["toy-vad", "toy"]
    again = await engines_of(models, starts).look()
    assert again.capabilities == proof.capabilities
    assert starts.adapters == ["toy-vad", "toy"], "nothing was loaded again"


async def test_tones_are_remembered_with_what_else_a_voice_says_of_itself(models: Path, starts: Starts) -> None:
    (models / "toy-voice" / "mouth").mkdir(parents=True)
    found = [(await engines_of(models, starts, "toy-voice").look()).capabilities for _ in range(2)]
    assert found == [("engine:tts", "tone:calm", "tts:eo")] * 2
    assert starts.adapters == ["toy-voice"]


async def test_a_model_that_has_changed_is_tried_again(models: Path, starts: Starts) -> None:
    await engines_of(models, starts).look()
    (models / "toy" / "small" / "model.bin").write_bytes(b"new")
    await engines_of(models, starts).look()
    assert starts.adapters == ["toy-vad", "toy", "toy"]


async def test_a_task_gets_what_loads_here_or_a_sentence(models: Path, starts: Starts) -> None:
    engines = engines_of(models, starts)
    await engines.look()
    assert engines.find(Need(Role.RECOGNIZE, "eo")).adapter == "toy"
    with pytest.raises(CapabilityMissing, match="vosk cannot recognize eo: no known engine does"):
        engines.find(Need(Role.RECOGNIZE, "eo"), adapter="vosk")


@pytest.mark.parametrize(("processes", "most", "expected"), [(0, 2, 2), (0, 1, 1), (1, 4, 1)])
async def test_tasks_of_an_executor_have_a_process_each_as_far_as_there_may_be(
    models: Path, starts: Starts, *, processes: int, most: int, expected: int
) -> None:
    engines = engines_of(models, starts, processes=processes)
    await engines.look()
    offer = engines.find(Need(Role.RECOGNIZE, "eo"))
    with engines.of("cpu", most=most).lease(offer) as one, engines.of("cpu", most=most).lease(offer) as other:
        assert len({one, other}) == expected
    with engines.of("gpu", most=1).lease(offer) as apart:
        assert apart not in {one, other}, "another executor has its own"
    await engines.close()


async def test_an_engine_that_does_not_know_the_language_fails_the_task_for_good(models: Path, starts: Starts) -> None:
    """Sent elsewhere it would come back for ever: the wish itself cannot be met."""
    engines = engines_of(models, starts)
    await engines.look()
    with pytest.raises(InvalidParams, match=r"toy does not recognize es on this node; it has toy small \(eo\)"):
        engines.find(Need(Role.RECOGNIZE, "es"), adapter="toy")


async def test_a_card_without_room_is_told_as_what_the_task_asked_for(models: Path, starts: Starts) -> None:
    engines = engines_of(models, starts)
    await engines.look()
    mine = engines.of("cpu", most=1)
    offer = mine.find(Need(Role.RECOGNIZE, "eo"))
    with pytest.raises(CapabilityMissing) as raised, mine.lease(offer):
        raise CapabilityMissing("asr:toy", "The card has no room.")
    assert (raised.value.capability, raised.value.message) == ("lang:eo", "The card has no room.")


async def test_a_link_that_leads_nowhere_keeps_no_engine_from_loading(models: Path, starts: Starts) -> None:
    (models / "toy" / "small" / "model.bin").symlink_to("nowhere")
    assert "asr:toy" in (await engines_of(models, starts).look()).capabilities


async def test_a_process_that_has_ended_is_forgotten(models: Path, starts: Starts) -> None:
    await engines_of(models, starts).look()
    assert len(starts.ended) == 2
    assert not any(psutil.pid_exists(pid) for pid in starts.ended)
