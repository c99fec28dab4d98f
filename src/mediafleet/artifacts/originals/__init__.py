"""Results that take the place of their originals, and originals that come back.

`keeper` is what nodes use; `replacing` and `restoring` take the steps that `steps` enumerates, `journal` says on the disk
which of them are taken, `obstacles` says beforehand what would fail, and `folder` touches the files. Why it is done this
way: docs/decisions/0023.
"""

from __future__ import annotations

from mediafleet.artifacts.originals.journal import Journal, JournalState
from mediafleet.artifacts.originals.keeper import CAPABILITY, Originals, Replaced, Replacement, Restored, result_name
from mediafleet.artifacts.originals.steps import ReplaceStep, RestoreStep

__all__ = [
    "CAPABILITY",
    "Journal",
    "JournalState",
    "Originals",
    "ReplaceStep",
    "Replaced",
    "Replacement",
    "RestoreStep",
    "Restored",
    "result_name",
]
