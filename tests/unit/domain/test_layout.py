"""Where a chain runs: on one executor that can do all that is left, else step by step, else it waits whole."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.domain.capability import Signature
from mediafleet.domain.catalogue import EMPTY, Catalogue, Service
from mediafleet.domain.chain import ChainPart
from mediafleet.domain.layout import ChainRecord, FleetFacts, PartLack, Segment, SegmentState, find_lack, lay_out

KIND = ("kind:speech",)
PARTS = (
    ChainPart("recognise", ("asr:en",)),
    ChainPart("translate", ("mt:en>es",), ("recognise",), slots=2),
    ChainPart("tts", ("tts:es",), ("translate",)),
)
NAMES = [part.name for part in PARTS]


def pool(*capabilities: str, slots: int = 4, kind: tuple[str, ...] = KIND) -> Signature:
    return Signature((*capabilities, *kind), slots)


def facts(*pools: Signature, catalogue: Catalogue = EMPTY) -> FleetFacts:
    return FleetFacts(pools, catalogue)


def record(*segments: Segment, parts: tuple[ChainPart, ...] = PARTS, turn: int = 0) -> ChainRecord:
    return ChainRecord("chain", parts, KIND, segments, turn)


def done(*parts: str, state: SegmentState = SegmentState.DONE) -> Segment:
    return Segment(f"chain_{parts[0]}", parts, state=state)


def laid(found: ChainRecord) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    return [(one.task, one.parts, one.capabilities) for one in found.segments if one.state is SegmentState.WAITING]


EAR, MIDDLE, MOUTH = pool("asr:en"), pool("mt:en>es"), pool("tts:es")
WHOLE = pool("asr:en", "mt:en>es", "tts:es", "lang:en")
ALL = ("asr:en", "mt:en>es", "tts:es")


def test_one_executor_that_can_do_all_gets_all() -> None:
    found = lay_out(record(), facts(EAR, WHOLE, MOUTH))
    assert laid(found) == [("chain", tuple(NAMES), ALL)]
    assert found.segments[0].slots == 2, "one part runs at a time, so the largest counts"


def test_where_none_can_the_first_step_goes_to_whoever_can_do_it() -> None:
    assert laid(lay_out(record(), facts(EAR, MIDDLE, MOUTH))) == [("chain_recognise", ("recognise",), ("asr:en",))]


def test_what_is_left_goes_to_one_executor_as_soon_as_it_can() -> None:
    found = lay_out(record(done("recognise")), facts(EAR, pool("mt:en>es", "tts:es")))
    assert laid(found) == [("chain_from_translate", ("translate", "tts"), ("mt:en>es", "tts:es"))]


def test_the_last_step_is_a_step_however_many_can_do_it() -> None:
    found = lay_out(record(done("recognise"), done("translate")), facts(WHOLE))
    assert laid(found) == [("chain_tts", ("tts",), ("tts:es",))]


def test_where_nobody_can_do_a_module_nothing_is_begun() -> None:
    assert laid(lay_out(record(), facts(EAR, MIDDLE))) == [("chain", tuple(NAMES), ALL)]
    found = lay_out(record(done("recognise")), facts(EAR, MIDDLE))
    assert laid(found) == [("chain_from_translate", ("translate", "tts"), ("mt:en>es", "tts:es"))]
    assert laid(lay_out(record(), facts())) == [("chain", tuple(NAMES), ALL)]


@pytest.mark.parametrize("short", [pool(*ALL, slots=1), pool(*ALL, kind=("kind:other",))])
def test_a_pool_counts_only_with_slots_enough_and_with_the_kind(short: Signature) -> None:
    assert laid(lay_out(record(), facts(short, EAR, MIDDLE, MOUTH)))[0][0] == "chain_recognise"


def test_while_a_part_runs_what_needs_it_is_not_laid_out() -> None:
    running = done("recognise", state=SegmentState.BEGUN)
    assert laid(lay_out(record(running), facts(WHOLE))) == []


def test_parts_that_do_not_need_each_other_run_at_once() -> None:
    parts = (*PARTS, ChainPart("subtitles", ("text:ass",), ("recognise",)))
    fleet = facts(EAR, MIDDLE, MOUTH, pool("text:ass"))
    found = lay_out(record(done("recognise"), parts=parts), fleet)
    assert [task for task, _, _ in laid(found)] == ["chain_translate", "chain_subtitles"]
    running = [msgspec.structs.replace(one, state=SegmentState.BEGUN) for one in found.segments[1:2]]
    again = lay_out(record(done("recognise"), *running, parts=parts), fleet)
    assert [task for task, _, _ in laid(again)] == ["chain_subtitles"]
    # One that can do everything comes while a branch runs: the other branch is still a task of its own.
    whole = facts(EAR, MIDDLE, MOUTH, pool("text:ass"), pool(*ALL, "text:ass"))
    assert [task for task, _, _ in laid(lay_out(record(done("recognise"), *running, parts=parts), whole))] == [
        "chain_subtitles"
    ]


def test_a_chain_that_has_failed_is_left_as_it_is() -> None:
    failed = record(done("recognise", state=SegmentState.ENDED))
    assert lay_out(failed, facts(WHOLE)) == failed


def test_a_chain_that_is_done_needs_nothing_more() -> None:
    whole = record(done(*NAMES))
    assert lay_out(whole, facts(WHOLE)) == whole
    assert not whole.is_open


def test_a_later_turn_has_tasks_of_other_names_that_fit() -> None:
    assert laid(lay_out(record(turn=2), facts(WHOLE)))[0][0] == "chain_2"
    long = tuple(
        ChainPart(name * 16, after=after) for name, after in (("a", ()), ("b", ("a" * 16,)), ("c", ("b" * 16,)))
    )
    first = Segment("x", ("a" * 16,), state=SegmentState.DONE)
    found = lay_out(ChainRecord("n" * 16, long, KIND, (first,), 9), facts(pool()))
    assert [len(one.task) for one in found.segments[1:]] == [40], "a task's name has at most 40 characters"


CATALOGUE = Catalogue(
    tuple(
        Service("vosk", version, ("recognise:en",), (f"asr:vosk@{version}", "lang:en")) for version in ("0.15", "0.22")
    )
)
NEED = (ChainPart("recognise", ("recognise:en",)),)


@pytest.mark.parametrize(
    ("offers", "chosen"),
    [
        ((("asr:vosk@0.15", "lang:en"), ("asr:vosk@0.22", "lang:en")), ("asr:vosk@0.22", "lang:en")),
        ((("asr:vosk@0.15", "lang:en"), ("asr:vosk@0.22",)), ("asr:vosk@0.15", "lang:en")),
        ((("recognise:en",),), ("recognise:en",)),
        # Nobody has any: it waits for the newest.
        ((), ("asr:vosk@0.22", "lang:en")),
    ],
)
def test_of_the_services_for_a_feature_the_newest_that_is_offered_is_taken(
    offers: tuple[tuple[str, ...], ...], chosen: tuple[str, ...]
) -> None:
    found = lay_out(record(parts=NEED), facts(*(pool(*one) for one in offers), catalogue=CATALOGUE))
    assert laid(found) == [("chain", ("recognise",), chosen)]


def test_what_a_part_lacks_is_told_by_the_pool_that_comes_nearest() -> None:
    part = ChainPart("tts", ("tts:es", "voice:ana"), slots=3)
    far, near = pool("asr:en"), pool("tts:es", slots=4)
    assert find_lack(part, facts(far, near), base=KIND) == PartLack("tts", ("voice:ana",))
    assert find_lack(part, facts(pool("tts:es", "voice:ana", slots=1)), base=KIND) == PartLack("tts", (), 2)
    assert find_lack(part, facts(), base=KIND) == PartLack("tts", ("kind:speech", "tts:es", "voice:ana"))
    assert find_lack(part, facts(pool("tts:es", "voice:ana")), base=KIND) is None


def test_a_pool_that_has_an_older_version_is_nearer_than_one_that_has_none() -> None:
    part = ChainPart("recognise", ("recognise:en", "gpu:any"))
    fleet = facts(pool(), pool("asr:vosk@0.15", "lang:en"), catalogue=CATALOGUE)
    assert find_lack(part, fleet, base=KIND) == PartLack("recognise", ("gpu:any",))


CAPABILITIES = ("a:1", "b:1", "c:1")


@st.composite
def signatures(draw: st.DrawFn) -> list[Signature]:
    """Pools with some of the capabilities, some without the kind."""
    has = st.sets(st.sampled_from(CAPABILITIES))
    drawn = draw(st.lists(st.tuples(has, st.integers(1, 3), st.booleans()), max_size=5))
    return [Signature((*sorted(names), *(KIND if kind else ())), slots) for names, slots, kind in drawn]


chains = st.lists(
    st.tuples(st.sets(st.sampled_from(CAPABILITIES), max_size=2), st.integers(1, 2), st.booleans()),
    min_size=1,
    max_size=4,
).map(
    lambda drawn: tuple(
        ChainPart(f"p{n}", tuple(sorted(needs)), (f"p{n - 1}",) if n and follows else (), slots)
        for n, (needs, slots, follows) in enumerate(drawn)
    )
)


@given(chains, signatures(), st.data())
def test_every_chain_ends_and_never_leaves_what_can_be_done_undone(
    parts: tuple[ChainPart, ...], pools: list[Signature], data: st.DataObject
) -> None:
    """Whatever the fleet has at each step, all parts come to stand in exactly one segment, after what they need."""
    chain = record(parts=parts)
    finished: list[str] = []
    for _ in range(2 * len(parts)):
        fleet = facts(*data.draw(st.permutations(pools)))
        chain = lay_out(chain, fleet)
        assert lay_out(chain, fleet) == chain, "decided again on the same facts it is the same"
        if not chain.waiting:
            break
        for segment in chain.waiting.values():
            for name in segment.parts:
                part = next(one for one in parts if one.name == name)
                assert set(part.after) <= {*finished, *segment.parts}
        task, segment = next(iter(chain.waiting.items()))
        finished += segment.parts
        chain = chain.with_states({task: SegmentState.DONE})
    assert sorted(finished) == sorted(part.name for part in parts)
    assert len({one.task for one in chain.segments}) == len(chain.segments)
