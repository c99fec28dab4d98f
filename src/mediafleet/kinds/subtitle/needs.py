"""Which engines a job needs, as far as that is known before it begins, and what to install where there is none."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import msgspec

from mediafleet.engines import EngineRegistry, Need, Role
from mediafleet.engines.registry import capability_of
from mediafleet.kinds.subtitle.names import is_subtitle_file, language_of
from mediafleet.kinds.subtitle.params import Speakers, SubtitleParams
from mediafleet.kinds.subtitle.plan import ENCODER

if TYPE_CHECKING:
    from mediafleet.domain.job import Job


def find_needs(job: Job) -> list[str]:
    """Return the capabilities that a job will ask for; `Kind.needs` of this kind."""
    params = msgspec.convert(job.params, SubtitleParams)
    more = [f"asr:{params.recognizer}"] if params.recognizer else []
    more += [f"encoder:{ENCODER}"] if params.burn else []
    return [*(capability_of(need) for need in needs_of(params, job.inputs[0].name)), *more]


def needs_of(params: SubtitleParams, name: str) -> list[Need]:
    """Return the steps that need an engine, for an input of that name."""
    language = params.language
    if params.subtitle_track is not None:
        # Its tag tells the language, and nobody has looked yet.
        needs: list[Need] = []
    elif is_subtitle_file(name):
        language = language_of(name) if language == "auto" else language
        needs = []
    else:
        needs = [Need(Role.VOICE_ACTIVITY), Need(Role.RECOGNIZE, "" if language == "auto" else language)]
        needs += [Need(Role.DIARIZE)] if params.speakers is Speakers.VOICES else []
    language = "" if language == "auto" else language
    return [*needs, *(Need(Role.TRANSLATE, language, target) for target in params.to if target != language)]


def advise(capability: str) -> str:
    """Return what to do where no node offers a capability; `Kind.advise` of this kind."""
    sort, _, what = capability.partition(":")
    source, _, target = what.removeprefix("*").partition(">")
    needs = {
        "mt": Need(Role.TRANSLATE, source, target),
        "lang": Need(Role.RECOGNIZE, "" if what == "auto" else what),
        "engine": Need(Role(what) if what in set(Role) else Role.VOICE_ACTIVITY),
        "asr": Need(Role.RECOGNIZE),
    }
    if sort not in needs or what == ENCODER:
        return f"No node of this fleet offers {capability}; `mediafleet check` on a node says why."
    need, adapter = needs[sort], what if sort == "asr" else ""
    return f"No node of this fleet can {need}{f' with {adapter}' if adapter else ''}: {_registry().advise(need, adapter=adapter)}."


@cache
def _registry() -> EngineRegistry:
    return EngineRegistry.installed()
