"""A feature that is asked for becomes a chain of all that it needs, in an order that can be run."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.domain.errors import InvalidRequest
from mediafleet.domain.modules import MOST_NEEDS, MOST_PARTS, Module, Request, check_modules, make_chain, resolve
from mediafleet.domain.plan import TaskLimits

SPEECH = (
    Module("tts", ("translate",), needs=lambda params: (f"tts:{params['to']}",), slots=2, limits=TaskLimits(5)),
    Module("translate", ("recognise",), needs=lambda params: (f"mt:en>{params['to']}",)),
    Module("recognise", needs=("asr:vosk", "lang:en"), weight=3.0),
    Module("subtitles", ("recognise",), reads_inputs=True),
)


def names(*wanted: str) -> list[str]:
    return [module.name for module in resolve(SPEECH, wanted)]


def test_what_a_module_needs_comes_before_it_and_nothing_else_comes_at_all() -> None:
    assert names("tts") == ["recognise", "translate", "tts"]
    assert names("recognise") == ["recognise"]
    assert names("tts", "subtitles") == ["recognise", "translate", "subtitles", "tts"]
    assert names("subtitles", "tts") == names("tts", "subtitles", "tts")


def test_a_chain_holds_what_each_part_needs_for_these_params() -> None:
    chain = make_chain(SPEECH, Request(("tts",), {"to": "es"}, name="es"))
    assert [(part.name, part.needs, part.slots, part.is_asked_for) for part in chain.parts] == [
        ("recognise", ("asr:vosk", "lang:en"), 1, False),
        ("translate", ("mt:en>es",), 1, False),
        ("tts", ("tts:es",), 2, True),
    ]
    assert (chain.name, chain.payload) == ("es", {"to": "es"})
    assert (chain.parts[0].weight, chain.parts[2].limits.max_tries) == (3.0, 5)


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ((), "No module is asked for; there are tts, translate, recognise, subtitles"),
        (("translat",), "There is no module 'translat', did you mean 'translate'"),
        (("x",), "There is no module 'x', which there is not; there are recognise, subtitles, translate, tts"),
    ],
)
def test_a_module_that_there_is_not_is_named_with_those_there_are(wanted: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(InvalidRequest, match=sentence):
        resolve(SPEECH, wanted)


@pytest.mark.parametrize(
    ("modules", "sentence"),
    [
        ((Module("a", ("b",)), Module("b", ("a",))), "The modules [ab] → [ab] → [ab] need each other"),
        ((Module("a", ("a",)),), "The modules a → a need each other"),
        ((Module("a"), Module("a")), "The module name 'a' is taken"),
        ((Module("chain"),), "The module name 'chain' is taken"),
        ((Module("one", ("two",)),), "The module 'one' needs 'two', which there is not; there are one"),
        ((Module("a_b"),), "'a_b' is no name for a module: use 1 to 16 of a-z"),
        ((Module("1st"),), "'1st' is no name for a module"),
        ((Module("a" * 17),), "is no name for a module"),
        ((Module("line\n"),), "is no name for a module"),
    ],
)
def test_modules_that_cannot_be_are_refused_with_the_reason(modules: tuple[Module, ...], sentence: str) -> None:
    with pytest.raises(InvalidRequest, match=sentence):
        check_modules(modules)


def test_modules_that_can_be_are_accepted() -> None:
    check_modules(SPEECH)


@pytest.mark.parametrize(
    ("module", "name", "sentence"),
    [
        (Module("a", needs=("not one",)), "chain", "'not one' is not a capability"),
        (Module("a", needs=tuple(f"x:{n}" for n in range(MOST_NEEDS + 1))), "chain", f"{MOST_NEEDS} are possible"),
        (Module("a"), "to_es", "'to_es' is no name for a chain"),
    ],
)
def test_a_chain_that_cannot_be_is_refused(module: Module, name: str, sentence: str) -> None:
    with pytest.raises(InvalidRequest, match=sentence):
        make_chain((module,), Request(("a",), {}, name=name))


def test_a_chain_has_so_many_parts_at_most() -> None:
    modules = tuple(Module(f"m{n}") for n in range(MOST_PARTS + 1))
    with pytest.raises(InvalidRequest, match=f"has {MOST_PARTS + 1} modules; {MOST_PARTS} are possible"):
        make_chain(modules, Request(tuple(module.name for module in modules), {}))


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Module, ...]:
    """Modules that need only earlier ones, in any order of declaration."""
    count = draw(st.integers(1, 12))
    modules: list[Any] = []
    for number in range(count):
        after = draw(st.lists(st.integers(0, number - 1), max_size=3, unique=True)) if number else []
        modules.append(Module(f"m{number}", tuple(f"m{n}" for n in after)))
    return tuple(draw(st.permutations(modules)))


@given(graphs(), st.data())
def test_every_order_can_be_run_and_is_always_the_same(modules: tuple[Module, ...], data: st.DataObject) -> None:
    wanted = tuple(data.draw(st.lists(st.sampled_from([module.name for module in modules]), min_size=1)))
    found = resolve(modules, wanted)
    seen: set[str] = set()
    for module in found:
        assert seen.issuperset(module.after)
        seen.add(module.name)
    assert seen.issuperset(wanted)
    needed = {parent for module in found for parent in module.after}
    assert seen == needed | set(wanted), "nothing is run for nobody"
    assert resolve(modules, tuple(reversed(wanted))) == found
