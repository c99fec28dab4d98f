"""Sound for the tests of engines, what an engine must hear and where it must hear nothing; services with OpenAI's interface."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from tests_support.openai_stub import MakeClient, OpenAIStub

from mediafleet.engines import Endpoint, Role
from mediafleet.engines.adapters._openai import OpenAIClient
from mediafleet.engines.audio import Audio
from mediafleet.engines.pcm import RATE_HZ


@pytest.fixture(scope="session")
def sentence(shared_media: Path) -> Audio:
    """A read sentence of three seconds: "he was not an ill disposed young man"."""
    path = shared_media / "speech" / "en_austen_0880.wav"
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE_HZ)
    with av.open(str(path)) as container:
        frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in [*frames, *resampler.resample(None)]])


@pytest.fixture(scope="session")
def phrase(sentence: Audio) -> Audio:
    """Its first words, for tests that recognize several times."""
    return sentence[: RATE_HZ * 3 // 2]


@pytest.fixture(scope="session")
def silence() -> Audio:
    """Two seconds of it."""
    return np.zeros(2 * RATE_HZ, dtype=np.float32)


@pytest.fixture
def stub() -> Iterator[OpenAIStub]:
    with OpenAIStub() as stub:
        yield stub


@pytest.fixture
def waits() -> list[float]:
    """How long a client wanted to wait; it does not."""
    return []


@pytest.fixture
def make(stub: OpenAIStub, waits: list[float]) -> Iterator[MakeClient]:
    made: list[OpenAIClient] = []

    def client(role: Role, **more: object) -> OpenAIClient:
        made.append(OpenAIClient(Endpoint(role, stub.address, "small", **more), sleep=waits.append))  # type: ignore[arg-type]
        return made[-1]

    yield client
    for one in made:
        one.close()
