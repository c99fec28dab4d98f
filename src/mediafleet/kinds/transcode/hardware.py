"""Chooses between hardware and CPU for one transcode, and learns how many sessions a card takes.

What a node's hardware can do is known to the node alone, so the choice is made there, by a short encode that is remembered for
a while. A plan that was made for software is only changed where the hardware loses nothing that the CPU would keep.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from mediafleet.domain.errors import CapabilityMissing, InputError, InvalidParams, MediafleetError
from mediafleet.kinds.transcode.hardware_facts import HARDWARE_ENCODERS, any_hardware, encoders_of
from mediafleet.kinds.transcode.losses import keeps_fields
from mediafleet.kinds.transcode.options import VideoOptions
from mediafleet.kinds.transcode.params import TranscodeParams, options_of, preset_of
from mediafleet.kinds.transcode.streams import Action, OutputPlan, StreamPlan
from mediafleet.kinds.transcode.trials import try_encoder

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from mediafleet.kinds.transcode.file_reader import Starter
    from mediafleet.kinds.transcode.program import Ffmpeg

_BELIEVED_S = 600.0
"""How long a trial counts: a driver may be updated, a card may fall off its bus."""
_LIMITED_S = 300.0
"""How long a card that took no further session is given no more than it had."""
_NO_SESSION = re.compile(
    r"OpenEncodeSessionEx failed: (?:out of memory|incompatible client key)|"
    r"too many concurrent sessions|MFX_ERR_DEVICE_FAILED.*busy",
    re.IGNORECASE,
)
"""What NVENC says when its driver allows no further session; consumer cards do so for a few at a time."""


class Hardware:
    """What one process knows of its machine's hardware encoders. Not for several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with no knowledge; `clock` returns seconds."""
        self._clock = clock
        self._trials: dict[tuple[str, str], tuple[str, float]] = {}
        self._running: Counter[str] = Counter()
        self._limits: dict[str, tuple[int, float]] = {}

    async def choose(self, starter: Starter, ffmpeg: Ffmpeg, plan: OutputPlan, params: TranscodeParams) -> OutputPlan:
        """Return the plan with a hardware encoder where params and machine allow it, else with the reason as a note.

        Raises:
            InvalidParams: Hardware is required, and cannot do what is asked for.
            CapabilityMissing: Hardware is required, and none of this node works or has room now.
        """
        pictures = list(filter(is_encoded_picture, plan.streams))
        video = preset_of(params).video
        if params.hardware == "never" or video is None or not pictures:
            return plan
        reasons: list[str] = []
        for name in encoders_of(video.codec):
            if obstacle := next(filter(None, (find_obstacle(one, params, name) for one in pictures)), ""):
                if params.hardware == "require":
                    raise InvalidParams(f"No hardware can do this: {obstacle}.")
                return on_cpu(plan, params, obstacle)
            if not (reason := self._full(name) or await self._try(starter, ffmpeg, name)):
                return with_encoder(plan, name, why=f"{name} works on this node")
            reasons.append(reason.rstrip("."))
        if params.hardware == "require":
            raise CapabilityMissing(f"encoder:{any_hardware(video.codec)}")
        return on_cpu(plan, params, reasons[0] if reasons else f"no hardware encoder of {video.codec} is known")

    @contextmanager
    def session(self, plan: OutputPlan) -> Generator[None]:
        """Count the plan's hardware sessions as long as the block runs."""
        families = [HARDWARE_ENCODERS[one.encoder].family for one in plan.streams if one.encoder in HARDWARE_ENCODERS]
        self._running.update(families)
        try:
            yield
        finally:
            self._running.subtract(families)

    def fall_back(self, plan: OutputPlan, params: TranscodeParams, error: MediafleetError) -> OutputPlan:
        """Return a plan for the CPU after an encode on hardware failed; to be called after its `session`.

        Raises:
            MediafleetError: The error itself, where hardware had no part in it or is required.
            CapabilityMissing: The card takes no further session now, and hardware is required.
        """
        used = [one.encoder for one in plan.streams if one.encoder in HARDWARE_ENCODERS]
        if not used or isinstance(error, InputError):
            raise error
        facts = HARDWARE_ENCODERS[used[0]]
        is_full = _NO_SESSION.search(error.detail) is not None
        if is_full:
            self._limits[facts.family] = (self._running[facts.family], self._clock() + _LIMITED_S)
        if params.hardware == "require" and is_full:
            raise CapabilityMissing(f"encoder:{any_hardware(facts.codec)}") from error
        if params.hardware == "require":
            raise error
        reason = "its sessions are all taken" if is_full else error.message.rstrip(".")
        return on_cpu(plan, params, f"{used[0]} failed: {reason}")

    def _full(self, encoder: str) -> str:
        family = HARDWARE_ENCODERS[encoder].family
        limit, until = self._limits.get(family, (0, 0.0))
        if self._clock() >= until or self._running[family] < limit:
            return ""
        return f"{encoder} takes {limit or 'no'} sessions at present"

    async def _try(self, starter: Starter, ffmpeg: Ffmpeg, encoder: str) -> str:
        fault, until = self._trials.get((ffmpeg.path, encoder), ("", 0.0))
        if self._clock() < until:
            return fault
        fault = await try_encoder(starter, ffmpeg, encoder)
        # A card that is full is a card that works.
        if not _NO_SESSION.search(fault):
            self._trials[ffmpeg.path, encoder] = fault, self._clock() + _BELIEVED_S
        return fault


def is_encoded_picture(stream: StreamPlan) -> bool:
    """Tell whether pictures are encoded here."""
    return stream.action is Action.ENCODE and stream.source.type == "video"


def find_obstacle(stream: StreamPlan, params: TranscodeParams, encoder: str) -> str:
    """Return why a picture must not be encoded on this hardware, as half a sentence, else ""."""
    facts, source, preset = HARDWARE_ENCODERS[encoder], stream.source, preset_of(params).video
    options = options_of(params)
    if msgspec.structs.replace(options, keyframe_every=None) != VideoOptions():
        return f"its options are those of {preset.encoder if preset else 'the CPU'}"
    if source.extras and (lost := set(source.extras) - facts.carries):
        return f"{encoder} would lose the {min(lost)} of its picture"
    if keeps_fields(source, params):
        return f"{encoder} would mix its fields"
    if source.is_full_range:
        return f"{encoder} is not trusted with a full range of brightness"
    if min(source.width, source.height) < facts.smallest:
        return f"{encoder} takes no picture of {source.width}x{source.height}"
    return ""


def with_encoder(plan: OutputPlan, encoder: str, *, why: str) -> OutputPlan:
    """Return the plan with its pictures encoded by another encoder of the same format."""
    streams = tuple(
        msgspec.structs.replace(one, encoder=encoder, why=why) if is_encoded_picture(one) else one
        for one in plan.streams
    )
    return msgspec.structs.replace(plan, streams=streams)


def on_cpu(plan: OutputPlan, params: TranscodeParams, reason: str) -> OutputPlan:
    """Return the plan with its pictures encoded on the CPU, and a note that says why."""
    video = preset_of(params).video
    if video is None:
        return plan
    note = f"The picture was encoded on the CPU by {video.encoder}, not on hardware: {reason}."
    changed = with_encoder(plan, video.encoder, why=f"no hardware: {reason}")
    return msgspec.structs.replace(changed, notes=(*plan.notes, note))
