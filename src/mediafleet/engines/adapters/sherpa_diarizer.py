"""sherpa-onnx's diarization: pyannote's network finds turns, a second one describes voices, and alike voices become one speaker."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mediafleet.engines.audio import Audio, check_audio, is_silent
from mediafleet.engines.diarization import Turn
from mediafleet.engines.models.diarization import look_at_diarizer

if TYPE_CHECKING:
    from mediafleet.engines.models.diarization import DiarizerFiles
    from mediafleet.engines.offer import Offer

_THREADS = 2
_FIND_OUT = -1
_UNLIKE = 0.5
"""Distance from which two voices are two, as the library's own examples have it."""
_LEAST_S = 0.3
"""What is shorter is no turn."""


class SherpaDiarizer:
    """Two loaded networks. How many speakers there are is a matter of clustering alone, so it may change from call to call."""

    def __init__(self, files: DiarizerFiles) -> None:
        library: Any = import_module("sherpa_onnx")
        self._clustering: Any = library.FastClusteringConfig
        segmentation = library.OfflineSpeakerSegmentationModelConfig(
            pyannote=library.OfflineSpeakerSegmentationPyannoteModelConfig(model=str(files.segmentation)),
            num_threads=_THREADS,
        )
        self._config: Any = library.OfflineSpeakerDiarizationConfig(
            segmentation=segmentation,
            embedding=library.SpeakerEmbeddingExtractorConfig(model=str(files.embedding), num_threads=_THREADS),
            clustering=self._clustering(num_clusters=_FIND_OUT, threshold=_UNLIKE),
            min_duration_on=_LEAST_S,
            min_duration_off=_LEAST_S,
        )
        self._library: Any = library.OfflineSpeakerDiarization(self._config)

    def tell_apart(self, audio: Audio, *, speakers: int = 0) -> tuple[Turn, ...]:
        """Return the turns of a whole recording."""
        if is_silent(check_audio(audio)):
            return ()
        self._config.clustering = self._clustering(num_clusters=speakers or _FIND_OUT, threshold=_UNLIKE)
        self._library.set_config(self._config)
        found = self._library.process(audio).sort_by_start_time()
        return tuple(Turn(one.start, one.end, str(one.speaker + 1)) for one in found)

    def close(self) -> None:
        """Do nothing: what is loaded goes with the process."""


def load(offer: Offer) -> SherpaDiarizer:
    """Load the folder that was offered."""
    return SherpaDiarizer(look_at_diarizer(Path(offer.place)))
