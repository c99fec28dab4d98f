"""Folders of what tells voices apart: a network that finds turns, and one that describes voices."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from mediafleet.engines.models.folders import need_files


class DiarizerFiles(NamedTuple):
    """Both networks."""

    segmentation: Path
    """pyannote's, as sherpa-onnx's releases have it."""
    embedding: Path
    """Any of the speaker embedding models of sherpa-onnx's releases."""


def look_at_diarizer(folder: Path) -> DiarizerFiles:
    """Return the networks in a folder.

    Raises:
        ConfigError: One is missing.
    """
    files = DiarizerFiles(folder / "segmentation.onnx", folder / "embedding.onnx")
    need_files(folder, [path.name for path in files])
    return files
