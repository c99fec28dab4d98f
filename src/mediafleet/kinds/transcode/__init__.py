"""The transcode kind: one file in, one verified file out.

`params`, `presets`, `options` and `filters` say what may be asked for; `probe` looks at the input in a child process;
`streams`, `picture`, `chain` and `arguments` decide, without touching anything, what FFmpeg is told;
`running` and `handler` carry it out; `verify` compares the result with its source before it is published.

A long file is shared out among nodes: `index` reads when each picture is shown, `chunks` cuts, `split` and `plan` decide by
what is free, `chunk_steps` says what a restart finds, `chunk_handlers` encode and join, `chunk_checks` hold every picture to the source.
"""

from __future__ import annotations

from mediafleet.domain.limits import KindLimits, TaskLimits
from mediafleet.kinds.seam import Kind
from mediafleet.kinds.transcode.chunk_handlers import ChunkHandler, JoinHandler, SoundHandler
from mediafleet.kinds.transcode.detect import detect_ffmpeg
from mediafleet.kinds.transcode.handler import TranscodeHandler
from mediafleet.kinds.transcode.originals import replace_original, restore_original
from mediafleet.kinds.transcode.params import AudioOptions, Scale, TranscodeParams
from mediafleet.kinds.transcode.plan import CHUNK_STEP, JOIN_STEP, SOUND_STEP, STEP, plan_transcode, weigh_transcode
from mediafleet.kinds.transcode.preset_files import complete_params
from mediafleet.kinds.transcode.probe import SCRIPT
from mediafleet.kinds.transcode.replace_plan import REPLACE, RESTORE

__all__ = ["KIND", "AudioOptions", "Scale", "TranscodeHandler", "TranscodeParams"]

KIND = Kind(
    name="transcode",
    version=2,
    # Jobs of the first version have one task, which is what it was.
    continues=(1,),
    params=TranscodeParams,
    plan=plan_transcode,
    weigh=weigh_transcode,
    handlers={
        STEP: TranscodeHandler(),
        CHUNK_STEP: ChunkHandler(),
        SOUND_STEP: SoundHandler(),
        JOIN_STEP: JoinHandler(),
        REPLACE: replace_original,
        RESTORE: restore_original,
    },
    summary="Convert a video or sound file, keep all its streams, and verify the result.",
    detect=detect_ffmpeg,
    scripts=(SCRIPT,),
    complete=complete_params,
    # The handler watches FFmpeg by itself; this is for what it cannot see, as a file system that hangs. It reports
    # nothing while a file of hundreds of GB is fetched or published, so the limit is far from that.
    limits=KindLimits(usual=TaskLimits(progress_ms=2 * 3600 * 1000)),
)
