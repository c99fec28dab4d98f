"""Decides where results go, so that none overwrites another, an input, or anything it should not."""

from __future__ import annotations

import os
import re
import secrets
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from mediafleet.domain.errors import Conflict, InputError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

_MAX_NAME_BYTES = 200
"""Leaves room for a number and the temporary name's additions within the 255 bytes of most file systems."""
_MAX_ENDING_BYTES = 20
"""A longer one is no ending that any program goes by."""
_ON_WINDOWS = os.name == "nt"
_NOT_ON_WINDOWS = re.compile(r'[\x00-\x1f<>:"/\\|?*]')
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\.|$)", re.IGNORECASE)
"""Names that mean a device on Windows, in every folder and with any ending."""


class Targets:
    """Hands out places below one folder; no two inputs get the same."""

    def __init__(self, root: Path, *, force: bool = False, inputs: Iterable[Path] = ()) -> None:
        """Remember what must not be touched.

        Args:
            force: Replace files that exist; never those of `inputs`.
            inputs: Files that are read; a result is never put in their place.
        """
        self._root = root
        self._force = force
        self._inputs = {os.path.realpath(path) for path in inputs}
        self._taken: set[str] = set()

    def claim(self, name: str, folder: Path = Path(), *, ending: str = "") -> Path:
        """Return a place for results of that name, without an ending; the second `a` becomes `a-2`.

        Args:
            name: Made fit to be a file name.
            folder: Below the root, or absolute.
            ending: Where it is known: of two with one name but other endings both get it.
        """
        stem, number = safe_name(name), 1
        while True:
            place = self._root / folder / (stem if number == 1 else f"{stem}-{number}")
            # Case is folded because some file systems do not tell a.mp4 from A.mp4.
            if (key := f"{place}{ending}".casefold()) not in self._taken:
                self._taken.add(key)
                return place
            number += 1

    def is_free(self, path: Path) -> bool:
        """Tell whether a result may go there."""
        try:
            self.check(path)
        except Conflict:
            return False
        return True

    def check_folder(self, folder: Path | None = None) -> None:
        """Return if results can be put into the folder, the root where none is named; nothing is made for that.

        Raises:
            InputError: It, or what stands in its way, is no folder or may not be written to.
        """
        place = folder or self._root
        # A folder that is missing is made later, in the nearest one that is there.
        while not os.path.lexists(place) and place != place.parent:
            place = place.parent
        if not place.is_dir():
            raise InputError(f"{place} is no folder; name another with --out.")
        try:
            # Tried, because modes do not tell what a file system or a server lets us do.
            with TemporaryFile(dir=place):
                pass
        except OSError as error:
            raise InputError(
                f"Results cannot be put into {place}: {error.strerror or error}; name another folder with --out."
            ) from error

    def check(self, path: Path) -> None:
        """Return if a result may go there.

        Raises:
            Conflict: It would replace an input, or a file that exists and replacing was not asked for.
        """
        if os.path.realpath(path) in self._inputs:
            raise Conflict(f"{path} is an input of this command and is not replaced; name another folder with --out.")
        if os.path.lexists(path) and not (self._force and path.is_file()):
            hint = "use --force to replace it, or another --out." if path.is_file() else "choose another --out."
            raise Conflict(f"{path} exists already; {hint}")

    @contextmanager
    def write(self, path: Path) -> Generator[Path]:
        """Give a temporary path; what the block leaves there appears under `path` at once, or not at all.

        Raises:
            Conflict: As `check`, also for a file that appeared meanwhile.
        """
        self.check(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{secrets.token_hex(6)}.part")
        try:
            yield partial
            self._publish(partial, path)
        finally:
            with suppress(FileNotFoundError):
                partial.unlink()

    def _publish(self, partial: Path, path: Path) -> None:
        self.check(path)
        if self._force:
            partial.replace(path)
            return
        try:
            # Unlike a rename, a link fails if the name was taken since the check.
            path.hardlink_to(partial)
        except FileExistsError:
            raise Conflict(f"{path} appeared while the work ran and is not replaced.") from None
        except OSError:
            # This file system has no hard links; the check above must do.
            partial.rename(path)


def safe_name(name: str, *, windows: bool = _ON_WINDOWS) -> str:
    """Return the last part of a name that came from elsewhere, fit to be a file name here; its ending stays.

    Args:
        windows: Whether backslashes and colons make a path of a name, as on Windows; elsewhere they are letters.
    """
    last = name.replace("\0", "").rpartition("/")[2]
    if windows:
        last = _fit_for_windows(last)
    if last in {"", ".", ".."}:
        return "output"
    ending = Path(last).suffix
    if len(os.fsencode(ending)) > _MAX_ENDING_BYTES:
        ending = ""
    stem = last.removesuffix(ending)
    room = _MAX_NAME_BYTES - len(os.fsencode(ending))
    # Whole characters are taken away: half of one would be a name that some file systems refuse.
    stem = stem[:room]
    while len(os.fsencode(stem)) > room:
        stem = stem[:-1]
    return (stem + ending).rstrip(" .") if windows else stem + ending


def _fit_for_windows(name: str) -> str:
    # Windows drops blanks and dots at the end itself, which would turn `.. ` into the folder above.
    fit = _NOT_ON_WINDOWS.sub("_", name).rstrip(" .")
    return f"_{fit}" if _DEVICE.match(fit) else fit
