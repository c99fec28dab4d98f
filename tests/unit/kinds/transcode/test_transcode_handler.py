"""What the handler decides by itself; whole transcodes are in the integration tests."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.errors import CapabilityMissing, InvalidRequest, NotFound
from mediafleet.domain.plan import TaskSpec
from mediafleet.kinds.transcode import TranscodeHandler, program
from mediafleet.kinds.transcode.containers import CONTAINERS
from mediafleet.kinds.transcode.handler import mean_rate, output_name
from mediafleet.kinds.transcode.params import TranscodeParams
from mediafleet.kinds.transcode.program import Ffmpeg
from mediafleet.testing import LocalTaskContext

MISSING = Ffmpeg("/nowhere/ffmpeg", "9.0")
SPEC = TaskSpec("transcode", 1, "transcode", "a", "default", params=msgspec.to_builtins(TranscodeParams()))


@pytest.mark.parametrize(
    ("source", "container", "name"),
    [
        ("film.mkv", "mp4", "film.mp4"),
        ("film.mp4", "mp4", "film.mp4"),
        ("season.1.part.2.mkv", "mp4", "season.1.part.2.mp4"),
        ("noname", "mp3", "noname.mp3"),
        ("", "mkv", "output.mkv"),
        ("a/b.mkv", "mp4", "a_b.mp4"),
        ("../a.mkv", "mp4", ".._a.mp4"),
        ("a\0b.mkv", "mp4", "a_b.mp4"),
        (".mkv", "mp4", ".mkv.mp4"),
    ],
)
def test_an_output_is_called_like_its_source(source: str, container: str, name: str) -> None:
    assert output_name(source, container) == name


def test_a_name_that_is_too_long_is_cut_between_characters() -> None:
    """At 236 bytes of stem and four of ending; ü takes two bytes, so the odd one is left out."""
    assert output_name("x" + "ü" * 200 + ".mkv", "mp4") == "x" + "ü" * 117 + ".mp4"


@given(st.text(max_size=400), st.sampled_from(sorted(CONTAINERS)))
def test_every_source_gives_a_name_that_a_file_system_takes(source: str, container: str) -> None:
    name = output_name(source, container)
    assert len(name.encode()) <= 240
    assert name.endswith(f".{container}")
    assert Path(name).name == name


@pytest.mark.parametrize(("frames", "seconds", "rate"), [(50, 0.4, 125.0), (1, 3, 0.33), (0, 2.0, 0.0), (5, 0.0, 0.0)])
def test_pictures_are_counted_a_second_of_encoding_however_short_it_was(
    frames: int, seconds: float, rate: float
) -> None:
    assert mean_rate(frames, seconds) == rate


@pytest.mark.parametrize("inputs", [(), (ArtifactRef("a0-1", "a.mkv"), ArtifactRef("a0-2", "b.mkv"))])
async def test_anything_but_one_input_is_refused(inputs: tuple[ArtifactRef, ...], tmp_path: Path) -> None:
    context = LocalTaskContext(msgspec.structs.replace(SPEC, inputs=inputs), folder=tmp_path)
    with pytest.raises(InvalidRequest, match="exactly one input"):
        await TranscodeHandler(ffmpeg=MISSING)(context)
    assert context.started == []


async def test_an_input_that_is_gone_is_said_before_anything_is_started(tmp_path: Path) -> None:
    context = LocalTaskContext.for_file(Path(__file__), folder=tmp_path, params=SPEC.params)
    gone = ArtifactRef("a0-1", "gone.mkv", uri=(tmp_path / "gone.mkv").as_uri())
    context._spec = msgspec.structs.replace(SPEC, inputs=(gone,))
    with pytest.raises(NotFound):
        await TranscodeHandler(ffmpeg=MISSING)(context)
    assert context.started == []


async def test_a_node_that_lost_its_ffmpeg_says_so_and_another_may_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(program, "_bundled", lambda: None)
    program.find_ffmpeg.cache_clear()
    context = LocalTaskContext.for_file(Path(__file__), folder=tmp_path / "work", params=SPEC.params)
    with pytest.raises(CapabilityMissing) as refusal:
        await TranscodeHandler()(context)
    program.find_ffmpeg.cache_clear()
    assert refusal.value.info().retryable
