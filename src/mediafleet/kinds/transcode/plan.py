"""The plan of a transcode job: one task, which needs the preset's encoders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mediafleet.domain.capability import Requirement, check_capabilities
from mediafleet.domain.plan import Expand, FinishedTask, NewTask, Step
from mediafleet.kinds.transcode.containers import CONTAINERS
from mediafleet.kinds.transcode.params import AUDIO_ENCODERS, TranscodeParams, preset_of
from mediafleet.kinds.transcode.streams import sound_format

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediafleet.domain.job import Job

STEP = "transcode"


def needed_encoders(params: TranscodeParams) -> tuple[str, ...]:
    """Return the FFmpeg encoders that a node must have working, whatever the source turns out to be."""
    preset = preset_of(params)
    # Decided before anybody has looked into the source, so an encoder that only perhaps runs counts as needed:
    # a task that finds it missing half-way has spent a try and a download.
    needed = {preset.video.encoder} if preset.video is not None else set[str]()
    wanted = params.audio.codec
    if wanted in AUDIO_ENCODERS:
        needed.add(AUDIO_ENCODERS[wanted])
    elif wanted == "auto" and preset.audio is not None:
        # The same choice as on the node, so that the two cannot disagree about the encoder.
        needed.add(sound_format(params, CONTAINERS[params.container or preset.container])[1])
    return tuple(sorted(needed))


def plan_transcode(job: Job, finished: Sequence[FinishedTask]) -> Step:
    """Return the one task whose result is the job's."""
    del finished
    params = msgspec.convert(job.params, TranscodeParams)
    capabilities = check_capabilities(f"encoder:{encoder}" for encoder in needed_encoders(params))
    task = NewTask(name=STEP, step=STEP, requirement=Requirement(capabilities), inputs=job.inputs)
    return Expand((task,), outcome_of=STEP)
