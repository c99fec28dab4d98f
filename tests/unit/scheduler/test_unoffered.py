"""Work that no node could do is refused where a kind says what to do about it, and nowhere else."""

from __future__ import annotations

import msgspec
import pytest

from mediafleet.domain.capability import Requirement, Signature
from mediafleet.domain.plan import Expand, NewTask, Wait
from mediafleet.kinds import Kind
from mediafleet.scheduler.unoffered import ask_for_preferred, explain_unoffered


class NoParams(msgspec.Struct, frozen=True):
    """Takes nothing."""


def kind(*, advises: bool = True) -> Kind:
    return Kind("talk", 1, NoParams, lambda _, __: Wait(), {}, "Talk.", advise=advise if advises else None)


def advise(capability: str) -> str:
    """Say what the test looks for."""
    return f"Install {capability}."


ABLE = Signature(("kind:talk", "lang:en", "mt:any"), 2)
OTHER = Signature(("kind:transcode", "lang:fr"), 2)


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        (["lang:en"], ""),
        (["lang:en", "mt:en>es"], ""),
        ([], ""),
        (["lang:de"], "Install lang:de."),
        (["lang:fr"], "Install lang:fr."),
    ],
)
def test_what_only_nodes_of_other_kinds_offer_is_offered_by_nobody(wanted: list[str], sentence: str) -> None:
    assert explain_unoffered(kind(), 1, wanted, [ABLE, OTHER]) == sentence


@pytest.mark.parametrize(
    ("offered", "sentence"),
    [("mt:fr>es", ""), ("mt:any", ""), ("mt:es>fr", "Install mt:*>es."), ("lang:es", "Install mt:*>es.")],
)
def test_what_is_not_known_yet_may_be_anything_that_a_node_offers(offered: str, sentence: str) -> None:
    assert explain_unoffered(kind(), 1, ["mt:*>es"], [Signature(("kind:talk", offered), 2)]) == sentence


def test_where_no_node_runs_the_kind_they_may_be_starting() -> None:
    assert explain_unoffered(kind(), 1, ["lang:de"], [OTHER]) == ""
    assert explain_unoffered(kind(), 1, ["lang:de"], []) == ""


def test_nodes_of_another_version_do_not_count() -> None:
    assert explain_unoffered(kind(), 2, ["lang:de"], [ABLE]) == ""


def test_jobs_of_other_kinds_wait_for_a_node() -> None:
    assert explain_unoffered(kind(advises=False), 1, ["lang:de"], [ABLE]) == ""


LISTENS = NewTask("listen", "listen", Requirement(("lang:auto",)), prefers=("lang:detect",))
GUESSES = Signature(("kind:talk", "lang:auto"), 2)


@pytest.mark.parametrize(
    ("pools", "asks"),
    [
        ([GUESSES], ("lang:auto",)),
        ([], ("lang:auto",)),
        ([GUESSES, Signature(("kind:talk", "lang:auto", "lang:detect"), 2)], ("lang:auto", "lang:detect")),
        # All of it on one executor that runs the kind and is large enough.
        ([GUESSES, Signature(("kind:talk", "lang:detect"), 2)], ("lang:auto",)),
        ([GUESSES, Signature(("kind:other", "lang:auto", "lang:detect"), 2)], ("lang:auto",)),
        ([GUESSES, Signature(("kind:talk", "lang:auto", "lang:detect"), 0)], ("lang:auto",)),
    ],
)
def test_what_a_task_prefers_is_asked_for_where_somebody_has_it(pools: list[Signature], asks: tuple[str, ...]) -> None:
    plain = NewTask("text", "text")
    step = ask_for_preferred(kind(), 1, Expand((LISTENS, plain)), pools)
    assert step.tasks[0].requirement.capabilities == asks
    assert step.tasks[1] == plain
