"""Where one replacement happens: the folder of the file, its trash folder, and the journals in that; blocking."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mediafleet.artifacts.originals.journal import TRASH, Journal, check_name, decode_journal, encode_journal
from mediafleet.artifacts.originals.steps import OnStep, pass_on
from mediafleet.domain.errors import NotFound

if TYPE_CHECKING:
    from mediafleet.artifacts.originals.folder import Folder

_ENDING = ".json"


def journal_name(job: str) -> str:
    """Return the file name of a job's journal. Raises InvalidRequest."""
    return check_name(job) + _ENDING


@dataclass(frozen=True)
class Scene:
    """The folders, held open, and whom to tell of steps."""

    folder: Folder
    trash: Folder
    on_step: OnStep = pass_on

    def read(self, job: str) -> Journal | None:
        """Return the journal of a job; None where it has none here. Raises InvalidRequest for one that is damaged."""
        content = self.trash.read(journal_name(job))
        return None if content is None else decode_journal(content)

    def write(self, journal: Journal) -> Journal:
        """Put the journal in place, surviving a power loss, and return it."""
        name = journal_name(journal.job)
        self.trash.write(name, encode_journal(journal), draft=f"{name}.tmp")
        return journal

    def forget(self, journal: Journal) -> None:
        """Remove the journal, and the folder of the kept original if that is empty."""
        self.trash.remove_folder(journal.job)
        self.trash.remove(journal_name(journal.job))
        self.trash.sync()

    def jobs(self) -> list[str]:
        """Return the jobs that have journals here."""
        return [name.removesuffix(_ENDING) for name in self.trash.names() if name.endswith(_ENDING)]

    @contextmanager
    def kept(self, journal: Journal, *, make: bool = False) -> Generator[Folder | None]:
        """Open the folder that has, or is to have, the original of a job; None where there is none."""
        with ExitStack() as stack:
            try:
                opened = stack.enter_context(self.trash.enter(check_name(journal.job), make=make))
            except NotFound:
                opened = None
            yield opened


@contextmanager
def open_scene(folder: Folder, on_step: OnStep = pass_on, *, make: bool = False) -> Generator[Scene]:
    """Open the trash folder in a folder, which the caller closes.

    Args:
        make: Make it where it is missing.

    Raises:
        NotFound: There is none.
        InputError: What has its name is no folder, or is one that more may change than the folder that it is in.
    """
    with folder.enter(TRASH, make=make) as trash:
        yield Scene(folder, trash, on_step)
