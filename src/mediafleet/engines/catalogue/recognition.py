"""What recognizes speech, and where it is found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediafleet.engines.adapter import Adapter, find_package, is_installed
from mediafleet.engines.catalogue._endpoints import advise_endpoint, scout_endpoints
from mediafleet.engines.offer import Need, Offer, Role, Where

if TYPE_CHECKING:
    from collections.abc import Iterable


def _scout_pocketsphinx(_where: Where) -> Iterable[Offer]:
    folder = find_package("pocketsphinx")
    # Distributions of the package exist that leave the model out.
    if folder and (folder / "model" / "en-us" / "en-us.lm.bin").is_file() and is_installed("numpy"):
        model = folder / "model" / "en-us"
        yield Offer("pocketsphinx", Role.RECOGNIZE, place=str(model), model="en-us", languages=("en",))


def _advise_pocketsphinx(need: Need) -> str:
    if need.language not in {"", "en"}:
        return ""
    return "install the extra 'pocketsphinx' (pip install 'mediafleet[pocketsphinx]'; drafty)"


POCKETSPHINX = Adapter(
    name="pocketsphinx",
    role=Role.RECOGNIZE,
    rank=0,
    scout=_scout_pocketsphinx,
    load="mediafleet.engines.adapters.pocketsphinx:load",
    advise=_advise_pocketsphinx,
)
OPENAI_RECOGNIZE = Adapter(
    name="openai-recognize",
    role=Role.RECOGNIZE,
    rank=60,
    scout=lambda where: scout_endpoints(where, Role.RECOGNIZE, "openai-recognize"),
    load="mediafleet.engines.adapters.openai_recognizer:load",
    advise=lambda _need: advise_endpoint("/audio/transcriptions"),
)
