"""What a transcode would do, stream by stream, for people and programs to look at before anything runs. Pure.

The result of a job with `dry_run`, and what `mediafleet transcode --dry-run` prints: one record for both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mediafleet.kinds.transcode.losses import Loss, describe
from mediafleet.kinds.transcode.streams import Action, OutputPlan, StreamPlan, plan_output

if TYPE_CHECKING:
    from mediafleet.kinds.transcode.media import MediaInfo
    from mediafleet.kinds.transcode.params import TranscodeParams

_LEFT_OUT, _REWRITTEN = "leave out", "write anew"


class PlannedStream(msgspec.Struct, frozen=True):
    """One stream of the source, and what becomes of it."""

    index: int
    what: str
    """By which words a user knows it."""
    type: str
    action: str
    """`copy`, `encode`, `convert`, `attach`, `leave out`, or `write anew` where the output says the same in another place."""
    codec: str = ""
    """Format in the output; empty where it is left out."""
    encoder: str = ""
    """FFmpeg's encoder; empty where nothing is encoded."""
    why: str = ""
    losses: tuple[str, ...] = ()
    """What it loses, one sentence each."""


class Preview(msgspec.Struct, frozen=True):
    """One file's plan."""

    preset: str
    container: str
    duration_s: float
    chapters: int
    """How many the output has."""
    streams: tuple[PlannedStream, ...]
    """Those of the source, in its order."""
    losses: tuple[Loss, ...] = ()
    """All that is lost, also of the file as a whole; nothing else may be missing from the output."""


def preview(info: MediaInfo, params: TranscodeParams, *, name: str) -> Preview:
    """Return what would become of a file.

    Args:
        info: What the probe found.
        params: What the user asks for.
        name: The source's file name.

    Raises:
        UnreadableMedia: Nothing can be made of it, or something would be lost and may not be.
    """
    plan = plan_output(info, params, name=name)
    lines = [_planned(stream, plan) for stream in plan.streams] + _left_out(plan)
    return Preview(
        preset=params.preset,
        container=plan.container.name,
        duration_s=round(info.duration_s, 3),
        chapters=info.chapters if plan.container.chapters else 0,
        streams=tuple(sorted(lines, key=lambda line: line.index)),
        losses=plan.losses,
    )


def _planned(planned: StreamPlan, plan: OutputPlan) -> PlannedStream:
    source, encodes = planned.source, planned.action in {Action.ENCODE, Action.CONVERT}
    return PlannedStream(
        index=source.index,
        what=describe(source),
        type=source.type,
        action=planned.action.value,
        codec=planned.codec,
        encoder=planned.encoder if encodes else "",
        why=planned.why,
        losses=_losses_of(source.index, plan),
    )


def _left_out(plan: OutputPlan) -> list[PlannedStream]:
    return [
        PlannedStream(
            index=one.source.index,
            what=describe(one.source),
            type=one.source.type,
            action=_LEFT_OUT if one.is_lost else _REWRITTEN,
            why=one.why,
            losses=_losses_of(one.source.index, plan),
        )
        for one in plan.left_out
    ]


def _losses_of(index: int, plan: OutputPlan) -> tuple[str, ...]:
    return tuple(loss.sentence for loss in plan.losses if loss.stream == index)
