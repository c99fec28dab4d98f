"""One live process a data directory, held by the kernel so that no crash leaves it locked."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from mediafleet.domain.errors import ConfigError, DataDirectoryInUse

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


class DirectoryLock:
    """Exclusive use of a data directory while this context is entered.

    The file `lock` stays behind on purpose: removing it would let two processes lock two files of one name.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._descriptor = -1

    def __enter__(self) -> Self:
        """Make the directory where it is missing, and lock it.

        Raises:
            DataDirectoryInUse: Another live process holds it; names its pid.
            ConfigError: The directory cannot be made, written to or locked.
        """
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            # A lock of the kernel ends with the process, however it dies; a file that only holds a pid would stay
            # behind, and the pid may belong to somebody else by then.
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Only the holder writes, so that a process that is refused does not put its own pid in the file.
            os.ftruncate(self._descriptor, 0)
            # On a full disk this fails: then the lock must be let go, as for any other error.
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError:
            # The file is empty for a moment after the holder got the lock.
            holder = os.pread(self._descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
            self._close()
            raise DataDirectoryInUse(
                f"{self._directory} is in use by process {holder}; stop that process, "
                "or choose another data directory with --data."
            ) from None
        except OSError as error:
            self._close()
            raise ConfigError(
                f"{self._directory} cannot be used as data directory ({error.strerror}); "
                "choose a local folder that you may write to with --data."
            ) from error
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let go of the directory."""
        self._close()

    def _close(self) -> None:
        if self._descriptor >= 0:
            with suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = -1
