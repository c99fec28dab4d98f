"""Engines of a third party, as data; `behaviour` has what they do."""

from __future__ import annotations

from mediafleet.engines.adapter import Adapter, model_folders
from mediafleet.engines.offer import Need, Offer, Role, Where


def _scout_ears(where: Where) -> list[Offer]:
    return [Offer("toy", Role.RECOGNIZE, str(path), path.name, ("eo",)) for path in model_folders(where, "toy")]


def _scout_mouth(where: Where) -> list[Offer]:
    folders = model_folders(where, "toy-voice")
    return [Offer("toy-voice", Role.SYNTHESIZE, str(path), path.name, ("eo",)) for path in folders]


def _scout_ear(where: Where) -> list[Offer]:
    return [Offer("toy-vad", Role.VOICE_ACTIVITY, str(path), path.name) for path in model_folders(where, "toy-vad")]


def _scout_tongue(where: Where) -> list[Offer]:
    folders = model_folders(where, "toy-mt")
    return [Offer("toy-mt", Role.TRANSLATE, str(path), path.name, pairs=("eo>en",)) for path in folders]


def _scout_census(where: Where) -> list[Offer]:
    folders = model_folders(where, "toy-census")
    return [Offer("toy-census", Role.DIARIZE, str(path), path.name) for path in folders]


def _advise(need: Need) -> str:
    return "install mediafleet-engine-toy" if need.language == "eo" else ""


EARS = Adapter(
    name="toy",
    role=Role.RECOGNIZE,
    rank=1,
    scout=_scout_ears,
    load="mediafleet_engine_toy.behaviour:load_ears",
    advise=_advise,
)
MOUTH = Adapter(
    name="toy-voice",
    role=Role.SYNTHESIZE,
    rank=1,
    scout=_scout_mouth,
    load="mediafleet_engine_toy.behaviour:load_mouth",
    advise=_advise,
)
EAR = Adapter(
    name="toy-vad",
    role=Role.VOICE_ACTIVITY,
    rank=200,
    scout=_scout_ear,
    load="mediafleet_engine_toy.behaviour:load_ear",
    advise=_advise,
)
TONGUE = Adapter(
    name="toy-mt",
    role=Role.TRANSLATE,
    rank=1,
    scout=_scout_tongue,
    load="mediafleet_engine_toy.behaviour:load_tongue",
    advise=_advise,
)
CENSUS = Adapter(
    name="toy-census",
    role=Role.DIARIZE,
    rank=1,
    scout=_scout_census,
    load="mediafleet_engine_toy.behaviour:load_census",
    advise=_advise,
)
