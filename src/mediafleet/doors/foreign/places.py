"""The files that a master names: where they are on this machine, and how results get there."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from mediafleet.artifacts.fingerprint import fingerprint, input_uri
from mediafleet.domain.errors import InputError, InvalidRequest, NotFound
from mediafleet.domain.path_map import PathMap
from mediafleet.kinds.subtitle.formats import Transcript, write_cues
from mediafleet.node.durable import write_durably

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediafleet.client import FleetClient
    from mediafleet.domain.artifact import Fingerprint
    from mediafleet.doors.foreign.orders import WantedFile


class Places:
    """Paths as masters name them, and where that is here."""

    def __init__(self, paths: PathMap, roots: Sequence[str] = ()) -> None:
        """Take the mapping of folders, and the folders that may be used; any where there are none."""
        self._paths = paths
        self._roots = [Path(root).resolve() for root in roots]

    def find_video(self, path: str) -> Path:
        """Return where a film is. Raises NotFound or InvalidRequest; blocks."""
        for place in self._paths.places(Path(path)):
            self._check(place, path)
            if place.is_file():
                return place
        raise NotFound(f"There is no file {path[-300:]!r} on this machine.")

    def find_target(self, path: str) -> Path:
        """Return where a file is to be written. Raises InvalidRequest; blocks."""
        place = self._paths.places(Path(path))[0]
        self._check(place, path)
        return place

    def _check(self, place: Path, path: str) -> None:
        if not self._roots:
            return
        # Links are followed: one inside of the folders would else lead out of them.
        real = place.resolve()
        if not any(real.is_relative_to(root) for root in self._roots):
            raise InvalidRequest(f"{path[-300:]!r} lies in none of the folders of master.roots.")


async def seen_here(places: Places, path: str) -> tuple[Path, Fingerprint]:
    """Return where a film is, and what tells it from another one under that name. Raises InputError and NotFound."""
    video = await asyncio.to_thread(places.find_video, path)
    # Addresses with `..` are refused.
    video = video.resolve() if ".." in video.parts else video
    return video, await fingerprint(video)


def address_of(video: Path, proof: Fingerprint) -> str:
    """Return the address by which a fleet that sees the film uses it in place."""
    return input_uri(video, proof)


async def upload(client: FleetClient, video: Path) -> str:
    """Send a film to a fleet that does not see it, and return its address there."""
    ref = await client.artifacts.upload(video, name=video.name.encode(errors="replace").decode())
    return f"artifact:{ref.id}"


async def place_files(client: FleetClient, files: Sequence[WantedFile], places: Places) -> None:
    """Put results where the master wants them: each whole and on the disk, or not there at all.

    Raises:
        InputError: A place cannot be written.
        Unavailable: The scheduler is away.
        MediafleetError: A result is gone.
    """
    for file in files:
        target = await asyncio.to_thread(places.find_target, file.path)
        try:
            await asyncio.to_thread(target.parent.mkdir, parents=True, exist_ok=True)
            if file.source is not None:
                await client.artifacts.download(file.source, target)
            else:
                await asyncio.to_thread(_write_empty, target, file)
        except OSError as error:
            raise InputError(f"{file.path[-300:]!r} cannot be written: {error.strerror or error}.") from error


def _write_empty(target: Path, file: WantedFile) -> None:
    # Of a film in which nobody speaks: what a player takes for subtitles that are never shown.
    text = write_cues(Transcript(file.language, ()), file.form)
    write_durably(target, text.encode(), writer=f".{secrets.token_hex(4)}")
