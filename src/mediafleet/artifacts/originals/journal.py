"""What is written down of one replacement, in the trash folder beside its file, where every node of a share finds it."""

from __future__ import annotations

import os
from enum import StrEnum
from urllib.parse import quote, unquote_to_bytes

import msgspec

from mediafleet.domain.artifact import Fingerprint
from mediafleet.domain.errors import InvalidRequest

TRASH = ".mediafleet-trash"
"""Beside each replaced file, so that a rename is all that moves an original: no other place is sure to be its file system."""


class JournalState(StrEnum):
    """How far a replacement is."""

    WRITING = "writing"
    """The result is being written; nothing has been done to the original."""
    READY = "ready"
    """The result is complete beside the original; names are being changed."""
    DONE = "done"
    """The result has the original's place."""
    RESTORING = "restoring"
    """The original is on its way back."""
    RESTORED = "restored"
    """It is back; kept so that the same job does not replace it again."""
    ASIDE = "aside"
    """Nothing was replaced, and the original is kept still: its name had another file when it was to come back."""


class Journal(msgspec.Struct, frozen=True):
    """One replacement. Names are of files in one folder and never paths, so a forged journal leads nowhere else."""

    job: str
    token: str
    """Of the attempt that wrote it; another attempt that takes over writes its own."""
    state: JournalState
    original: str
    """File name."""
    result: str
    """The name that the result gets; mostly the original's but for the ending."""
    seen: Fingerprint
    """The original's."""
    made: Fingerprint
    """The result's."""
    sha256: str
    """Of all of the result's bytes."""
    trash_ms: int
    """How long the original is kept, milliseconds."""
    mtime_ns: int = 0
    """The original's."""
    until_ms: int = 0
    """When it is removed, milliseconds since 1970; 0 before the state DONE."""
    names: int = 1
    """How many hard links the original had."""
    inode: int = 0
    """The result's number in its file system; 0 before the state READY, and in journals of old."""
    ctime_ns: int = 0
    """When the result, or whatever is said of it, was changed last, as known to be whole; 0 where only its hash can tell."""

    lost: tuple[str, ...] = ()
    """Attributes of the original that the result could not be given, its owner and group among them."""

    @property
    def keeps_original(self) -> bool:
        """Tell whether the original may be removed once its time is over."""
        return self.state in {JournalState.DONE, JournalState.ASIDE}

    def is_over(self, now_ms: int) -> bool:
        """Tell whether the original, and with it this journal, need not be kept any longer."""
        return (self.keeps_original or self.state is JournalState.RESTORED) and self.until_ms <= now_ms

    @property
    def draft(self) -> str:
        """Hidden name under which the result is written."""
        return f".{self.token}.mediafleet-part"


def encode_journal(journal: Journal) -> bytes:
    """Return the journal as it is written."""
    # A name may be any bytes, and JSON takes only text.
    return msgspec.json.encode(
        msgspec.structs.replace(
            journal, original=quote(os.fsencode(journal.original)), result=quote(os.fsencode(journal.result))
        )
    )


def decode_journal(content: bytes) -> Journal:
    """Return a journal. Raises InvalidRequest where it is none, or names what is not a plain name."""
    try:
        written = msgspec.json.decode(content, type=Journal)
    except msgspec.DecodeError as error:
        raise InvalidRequest("The journal of a replacement cannot be read; its files are left as they are.") from error
    journal = msgspec.structs.replace(
        written,
        original=os.fsdecode(unquote_to_bytes(written.original)),
        result=os.fsdecode(unquote_to_bytes(written.result)),
    )
    for name in (journal.original, journal.result, journal.job, journal.token):
        check_name(name)
    return journal


def check_name(name: str) -> str:
    """Return a name that is no path. Raises InvalidRequest."""
    if not name or name in {".", ".."} or "/" in name or "\0" in name:
        raise InvalidRequest(f"{name[:100]!r} is no file name.")
    return name
