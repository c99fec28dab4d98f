"""Which stored shapes this program writes and reads, and what follows for a cell that others have written.

The rule (docs/decisions/0016): a shape may gain keys and fields, and loses none. `SCHEMA` rises once in each release that
changed any. `OLDEST_READER` follows it only where an older program would misread what is written now; then a cell is
marked only when no instance of such a program lives in it. `READS_FROM` rises when old shapes are no longer read.
"""

from __future__ import annotations

from mediafleet.domain.errors import ConfigError
from mediafleet.store.cell_records import SchemaAdopted

SCHEMA = 2
"""Version of the stored shapes that this program writes.

1: the first one. 2: limits of tasks inside their rule, counts of open tasks, marks of artifact roots, jobs that wait for
jobs, pauses.
"""
OLDEST_READER = 2
"""Least `SCHEMA` of a program that understands them: version 1 cannot read the rule of a task with limits."""
READS_FROM = 1
"""Oldest shapes that this program reads."""


def check_adopted(found: SchemaAdopted) -> None:
    """Raise ConfigError unless the instance may work in the cell."""
    if found.verdict == "newer":
        raise ConfigError(
            f"The store was written by a newer mediafleet (schema {found.oldest_reader}, this one reads {SCHEMA}); "
            "upgrade this instance."
        )
    if found.verdict == "older":
        raise ConfigError(
            f"The store was written by a much older mediafleet (schema {found.version}, this one reads from {READS_FROM}); "
            "start a version in between first, which brings it up to date."
        )
    if found.verdict == "in-use":
        raise ConfigError(
            f"The instance {found.instance} of an older mediafleet runs on this store and could not read what this one "
            f"writes (schema {SCHEMA}); stop the older instances first, then start this one. Running work goes on meanwhile."
        )
