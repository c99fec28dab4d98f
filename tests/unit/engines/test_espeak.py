"""espeak-ng as a program and as the library of `espeakng-loader`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mediafleet.domain.errors import CapabilityMissing, InvalidRequest, TaskFailed
from mediafleet.engines import EngineRegistry, Need, Offer, Role, load_engine
from mediafleet.engines.adapter import find_package
from mediafleet.engines.adapters.espeak import EspeakEngine, load
from mediafleet.engines.adapters.espeak_library import EspeakLibrary
from mediafleet.engines.catalogue import synthesis
from mediafleet.engines.synthesis import Synthesizer, Voice

SPANISH = Need(Role.SYNTHESIZE, "es")


@pytest.fixture
def without_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine that has no programs."""
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The files that `espeakng-loader` has, empty ones."""
    folder = tmp_path / "espeakng_loader"
    for name in (
        "libespeak-ng.so",
        "espeak-ng-data/lang/gmw/en-US",
        "espeak-ng-data/lang/roa/es",
        "espeak-ng-data/lang/sit/cmn",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    monkeypatch.setattr(synthesis, "find_package", dict.fromkeys(["espeakng_loader"], folder).get)
    return folder


def seconds(engine: Synthesizer, text: str, voice: Voice) -> float:
    return sum(piece.seconds for piece in engine.synthesize(text, voice))


@pytest.mark.usefixtures("without_program")
def test_the_library_is_found_where_there_is_no_program(package: Path) -> None:
    offer = EngineRegistry.installed().find(SPANISH, adapter="espeak-ng")
    assert (offer.place, offer.languages) == (str(package / "libespeak-ng.so"), ("en", "es", "zh"))
    with pytest.raises(TaskFailed, match="could not be loaded"):
        load_engine(EngineRegistry.installed().get("espeak-ng"), offer)


@pytest.mark.usefixtures("package")
def test_the_program_goes_first() -> None:
    if not shutil.which("espeak-ng"):
        pytest.skip("espeak-ng is not installed")
    offer = EngineRegistry.installed().find(SPANISH, adapter="espeak-ng")
    assert isinstance(load(offer), EspeakEngine)


@pytest.mark.usefixtures("without_program")
def test_both_ways_to_have_it_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthesis, "find_package", dict[str, Path]().get)
    with pytest.raises(CapabilityMissing, match=r"apt-get install espeak-ng, or pip install 'mediafleet\[espeak\]'"):
        EngineRegistry.installed().find(SPANISH, adapter="espeak-ng")


@pytest.mark.usefixtures("without_program")
def test_the_real_library_speaks() -> None:
    if find_package("espeakng_loader") is None:
        pytest.skip("the extra espeak is not installed")
    engine = load(EngineRegistry.installed().find(SPANISH, adapter="espeak-ng"))
    assert isinstance(engine, EspeakLibrary)
    usual = seconds(engine, "Hola, ¿qué tal?", Voice("es"))
    assert 0.5 < usual < 3
    assert seconds(engine, "Hola, ¿qué tal?", Voice("es", speed=0.5)) > 1.3 * usual
    assert seconds(engine, " … ", Voice("es")) == 0
    assert seconds(engine, "one\0two", Voice("en")) > 1.2 * seconds(engine, "one", Voice("en"))
    assert seconds(engine, "Hola, ¿qué tal?", Voice("es")) == pytest.approx(usual, rel=0.05)
    with pytest.raises(InvalidRequest, match="'nobody' is no voice"):
        seconds(engine, "Hola", Voice("es", "nobody"))


@pytest.mark.parametrize("name", ["-w", "--path=/tmp"])
def test_a_voice_that_could_be_an_option_is_refused(name: str) -> None:
    engine = load(Offer("espeak-ng", Role.SYNTHESIZE, "/usr/bin/espeak-ng", languages=("es",)))
    with pytest.raises(InvalidRequest, match="no voice of espeak-ng"):
        seconds(engine, "Hola", Voice("es", name))
