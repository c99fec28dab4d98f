"""What tells voices apart, and where it is found."""

from __future__ import annotations

from pathlib import Path

from mediafleet.engines.adapter import Adapter
from mediafleet.engines.models.diarization import look_at_diarizer
from mediafleet.engines.models.folders import ModelFolders
from mediafleet.engines.offer import Need, Offer, Role


def _look_at_diarizer(folder: Path) -> Offer:
    look_at_diarizer(folder)
    return Offer("sherpa-diarizer", Role.DIARIZE, str(folder), folder.name, is_parallel=True)


DIARIZER_FOLDERS = ModelFolders("sherpa-diarizer", ("sherpa_onnx",), _look_at_diarizer)


def _advise_sherpa(_need: Need) -> str:
    return (
        "install the extra 'sherpa-onnx' (pip install 'mediafleet[sherpa-onnx]') and put segmentation.onnx (pyannote's) and "
        "embedding.onnx (a speaker embedding model), both of sherpa-onnx's releases, into <models>/sherpa-diarizer/<name>"
    )


SHERPA_DIARIZER = Adapter(
    name="sherpa-diarizer",
    role=Role.DIARIZE,
    rank=50,
    scout=DIARIZER_FOLDERS.scout,
    load="mediafleet.engines.adapters.sherpa_diarizer:load",
    advise=_advise_sherpa,
)
