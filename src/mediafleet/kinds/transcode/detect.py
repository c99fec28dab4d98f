"""Finds out what this node's FFmpeg can really do: an encoder counts only if a short encode with it succeeds."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from mediafleet.domain.errors import MediafleetError
from mediafleet.kinds.seam import Detected
from mediafleet.kinds.transcode.hardware_facts import HARDWARE_ENCODERS, any_hardware, families
from mediafleet.kinds.transcode.program import Ffmpeg, find_ffmpeg
from mediafleet.kinds.transcode.trials import SOUND_ENCODERS, try_encoder

if TYPE_CHECKING:
    from mediafleet.kinds.seam import DetectContext

VIDEO_ENCODERS = ("libx264", "libx265", "libsvtav1", "libvpx-vp9")
HARDWARE = families()
"""Kind of hardware → its encoders; it counts as present if one of them works."""
_SORTS = {name: frozenset({f"encoder:{name}"}) for name in VIDEO_ENCODERS} | {
    # One sort: a task that takes any hardware does not say which card it wants.
    "hardware": frozenset({f"hw:{word}" for word in HARDWARE})
    | {f"encoder:{name}" for name in HARDWARE_ENCODERS}
    | {f"encoder:{any_hardware(facts.codec)}" for facts in HARDWARE_ENCODERS.values()}
}
_AT_ONCE = 4
_EDITION = 2
"""Raised when other encoders are tried, so that remembered answers are asked for anew."""


async def detect_ffmpeg(context: DetectContext) -> Detected:
    """Return the encoders and hardware that work; remembers the answer for each FFmpeg."""
    try:
        ffmpeg = await asyncio.to_thread(find_ffmpeg)
    except MediafleetError:
        sentence = "No FFmpeg 5.1 or newer was found; install one, or the package imageio-ffmpeg."
        return Detected(missing={"kind:transcode": sentence})
    return await try_encoders(context, ffmpeg)


async def try_encoders(context: DetectContext, ffmpeg: Ffmpeg) -> Detected:
    """Return what one FFmpeg can do, from memory where it was tried before."""
    key = f"transcode/{_EDITION}/{ffmpeg.version}/{ffmpeg.path}"
    # Trying all takes seconds at every start; the key names what the answer depends on.
    faults = _as_faults(context.recall(key))
    if faults is None:
        faults = await _try_all(context, ffmpeg)
        context.remember(key, faults)
    return _judge(faults, ffmpeg)


def _as_faults(remembered: Any) -> dict[str, str] | None:
    try:
        return msgspec.convert(remembered, dict[str, str])
    except msgspec.ValidationError:
        return None


async def _try_all(context: DetectContext, ffmpeg: Ffmpeg) -> dict[str, str]:
    """Return encoder → why it does not work, "" where it does."""
    gate = asyncio.Semaphore(_AT_ONCE)
    names = [*VIDEO_ENCODERS, *SOUND_ENCODERS, *(name for group in HARDWARE.values() for name in group)]

    async def attempt(name: str) -> str:
        # Not all at once: on few cores they would run into their deadline, and a graphics card takes few sessions.
        async with gate:
            return await try_encoder(context, ffmpeg, name)

    return dict(zip(names, await asyncio.gather(*map(attempt, names)), strict=True))


def _judge(faults: dict[str, str], ffmpeg: Ffmpeg) -> Detected:
    working = {name for name, fault in faults.items() if not fault}
    hardware = {word for word, encoders in HARDWARE.items() if working & set(encoders)}
    missing = {f"encoder:{name}": fault for name, fault in faults.items() if fault}
    missing |= {
        f"hw:{word}": faults.get(encoders[0], f"{encoders[0]} was not tried.")
        for word, encoders in HARDWARE.items()
        if word not in hardware
    }
    # What a task asks for that takes any hardware: requirements know no "or".
    any_of = {any_hardware(HARDWARE_ENCODERS[name].codec) for name in working if name in HARDWARE_ENCODERS}
    return Detected(
        capabilities=frozenset({f"encoder:{name}" for name in working | any_of} | {f"hw:{word}" for word in hardware}),
        missing=missing,
        facts={"ffmpeg": ffmpeg.version, "ffmpeg_path": ffmpeg.path},
        sorts=_SORTS,
    )
