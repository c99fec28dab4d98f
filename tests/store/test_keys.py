"""All keys of a cell lie in one slot, and the reference describes exactly those that exist."""

from __future__ import annotations

import inspect
import re
from itertools import chain, cycle
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from mediafleet.store.keys import Keys

if TYPE_CHECKING:
    from conftest import WholeLife

PAGE = Path(__file__).parents[2] / "docs/reference/store-keys.md"
ROWS = [
    [cell.strip() for cell in line.replace("\\|", "¦").strip("|").split("|")]
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if line.startswith("| `")
]
TYPES = {"counter": "string", "sorted set": "zset"}
words = st.text("abcdefghijklmnopqrstuvwxyz0123456789-._/", min_size=1)


def described() -> dict[str, str]:
    """Return each key that the reference names, below the prefix, with its type."""
    found: dict[str, str] = {}
    for names, types, *_ in ROWS:
        first, *others = re.findall(r"`([^`]+)`", names)
        kinds = cycle(types.replace("stream, bounded", "stream").split(", "))
        for name in [first, *others]:
            kind = next(kinds)
            found[first + name if name.startswith(":") else name] = TYPES.get(kind, kind)
    return found


def rows_of(name: str, tag: str) -> list[str]:
    """Return the described names that a key of Redis is an example of."""
    below = name.removeprefix(tag)
    patterns = {row: re.sub(r"<\w+>", "[^:]+", row) for row in described()}
    literal = [row for row in patterns if row == below]
    return literal or [row for row, pattern in patterns.items() if re.fullmatch(pattern, below)]


def built(keys: Keys, word: str) -> list[str]:
    """Return what every builder makes of a word."""
    found: list[str] = []
    for name, member in inspect.getmembers(Keys):
        if name.startswith("_") or name == "tag":
            continue
        if isinstance(member, property):
            found.append(getattr(keys, name))
        else:
            found.append(getattr(keys, name)(*[word] * (len(inspect.signature(member).parameters) - 1)))
    return [*found, keys.jobs()]


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}", fullmatch=True), words, words)
def test_every_key_of_a_cell_lies_in_one_slot_of_a_cluster(prefix: str, cell: str, word: str) -> None:
    keys = Keys(prefix, cell)
    slots = {key_slot(name.encode()) for name in built(keys, word)}
    assert slots == {key_slot(cell.encode())}


@given(words)
def test_every_key_begins_with_the_cell_and_is_described_once(word: str) -> None:
    keys = Keys("sched", "0")
    for name in built(keys, word):
        assert name.startswith("sched:{0}:")
        assert len(rows_of(name, keys.tag)) == 1, name


def test_different_things_have_different_keys() -> None:
    names = built(Keys("sched", "0"), "x")
    assert len(set(names)) == len(names)


def test_cells_and_prefixes_share_nothing() -> None:
    names = chain.from_iterable(built(Keys(prefix, cell), "x") for prefix in ("a", "b") for cell in ("0", "1"))
    listed = list(names)
    assert len(set(listed)) == len(listed)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (Keys("sched", "0").tag, "sched:{0}:"),
        (Keys("sched", "0").jobs(), "sched:{0}:jobs"),
        (Keys("sched", "0").jobs("failed"), "sched:{0}:jobs:failed"),
        (Keys("sched", "0").queue_tenant("q", "t"), "sched:{0}:queue:q:tenant:t"),
        (Keys("sched", "0").executor_grants("n0-a/cpu"), "sched:{0}:executor:n0-a/cpu:grants"),
    ],
)
def test_names_stay_the_same_over_versions(name: str, expected: str) -> None:
    """They are the stored data of running fleets."""
    assert name == expected


async def test_a_cell_in_use_has_exactly_the_keys_of_the_reference(whole_life: WholeLife) -> None:
    await whole_life.live()
    tag = whole_life.driver.store.keys.tag
    seen = {row: kind for name, kind in whole_life.types.items() for row in rows_of(name, tag) or [name]}
    assert seen == described()


async def test_what_scripts_find_by_themselves_lies_in_the_slot_too(whole_life: WholeLife) -> None:
    await whole_life.live()
    assert len({key_slot(name.encode()) for name in whole_life.types}) == 1


@pytest.mark.parametrize("row", ["job:<id>", "task:<id>", "executor:<id>"])
async def test_the_reference_names_every_field_of_a_hash(whole_life: WholeLife, row: str) -> None:
    await whole_life.live()
    told = {name: set(re.findall(r"`([^`]+)`", fields)) for names, _, fields, *_ in ROWS for name in [names.strip("`")]}
    tag = whole_life.driver.store.keys.tag
    stored = {field for name, fields in whole_life.fields.items() if row in rows_of(name, tag) for field in fields}
    assert {re.sub("^grant:.*", "grant:<grant>", field) for field in stored} - told[row] == set()
