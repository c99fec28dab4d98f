"""Ids carry their cell, are well formed however they are made, and lead back to their parts."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.domain import ids
from mediafleet.domain.errors import InvalidRequest

cells = st.from_regex(r"[a-z0-9]{1,16}", fullmatch=True)
names = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,39}", fullmatch=True)


@given(cells)
def test_every_new_id_names_its_cell_and_its_letter(cell: str) -> None:
    for letter, identifier in (
        ("j", ids.new_job_id(cell)),
        ("a", ids.new_artifact_id(cell)),
        ("n", ids.new_node_id(cell, "host")),
    ):
        assert ids.cell_of(identifier) == cell
        assert ids.is_id(identifier, letter)
        assert not any(ids.is_id(identifier, other) for other in {"j", "a", "n"} - {letter})


@given(cells, st.text())
def test_a_node_id_is_well_formed_whatever_the_machine_is_called(cell: str, host: str) -> None:
    assert ids.is_id(ids.new_node_id(cell, host), "n")


def test_a_node_id_shows_the_name_of_its_machine() -> None:
    assert re.fullmatch(r"n0-studio-b-local-\w{6}", ids.new_node_id("0", "Studio B.local"))
    assert ids.new_node_id("0", "日本").startswith("n0-node-")


@given(cells, names)
def test_a_task_id_leads_back_to_its_job_and_its_name(cell: str, name: str) -> None:
    job = ids.new_job_id(cell)
    task = ids.task_id(job, name)
    assert (ids.job_of(task), ids.name_of(task)) == (job, name)
    assert ids.cell_of(task) == cell


@given(cells, names)
def test_an_executor_id_leads_back_to_its_node(cell: str, name: str) -> None:
    node = ids.new_node_id(cell, "host")
    executor = ids.executor_id(node, name)
    assert ids.node_of(executor) == node
    assert ids.cell_of(executor) == cell


def test_ids_and_tokens_do_not_repeat() -> None:
    assert len({ids.new_job_id("0") for _ in range(1000)}) == 1000
    assert len({ids.new_token() for _ in range(1000)}) == 1000


def test_job_ids_leave_out_letters_that_people_misread() -> None:
    tails = "".join(ids.new_job_id("0").partition("-")[2] for _ in range(200))
    assert not set(tails) & set("ilou")


@pytest.mark.parametrize("text", ["", "j0", "j-abc", "x0-abc", "j0-", "jA-abc", "j0-a b", "../j0-abc", "j0-abc\n"])
def test_what_is_no_id_is_refused_with_a_hint(text: str) -> None:
    assert not ids.is_id(text, "j")
    with pytest.raises(InvalidRequest, match="is not an id of this fleet; copy it from"):
        ids.cell_of(text)


@given(names)
def test_a_well_formed_name_is_returned_as_it_is(name: str) -> None:
    assert ids.check_name(name, "a task") == name


@pytest.mark.parametrize("name", ["", "-a", "_a", "A", "a.b", "a/b", "a" * 41, "a\n"])
def test_a_name_that_would_break_an_id_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="is no name for a task: use 1 to 40"):
        ids.check_name(name, "a task")


def test_random_bits_are_never_given_twice_from_many_threads() -> None:
    def make(count: int) -> list[str]:
        return [ids.new_token() for _ in range(count)]

    with ThreadPoolExecutor(8) as pool:
        found = chain.from_iterable(pool.map(make, [1_000] * 16))
        assert len(set(found)) == 16_000
