"""Apertium's chain: how mode files are read, what is kept from it, and what happens when a part of it dies."""

from __future__ import annotations

import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mediafleet.domain.errors import CapabilityMissing, InvalidRequest, TaskFailed, TransientFailure
from mediafleet.engines import EngineRegistry, Need, Role, Where
from mediafleet.engines.adapters.apertium import ApertiumEngine, escape, load, unescape
from mediafleet.engines.apertium_modes import read_mode
from mediafleet.engines.translation import Brief, Translator

BRIEF = Brief("en", "es")
PROGRAM = """#!{python}
import os, signal, sys
assert sys.argv[1] == "-z"
what = sys.argv[2]
buffer = b""
while piece := os.read(0, 65536):
    buffer += piece
    while b"\\0" in buffer:
        line, _, buffer = buffer.partition(b"\\0")
        if b"crash" in line: os.kill(os.getpid(), signal.SIGSEGV)
        if b"wait" in line: signal.pause()
        if b"forget" in line: line = b"nothing"
        line = {{"upper": line.upper(), "same": line}}[what]
        os.write(1, line + b"\\0")
"""


@pytest.fixture
def modes(tmp_path: Path) -> Path:
    """A folder with a pair whose chain makes capitals, one whose program is missing, and a variant."""
    program = tmp_path / "a program"
    program.write_text(PROGRAM.format(python=sys.executable), encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    folder = tmp_path / "modes"
    folder.mkdir()
    (folder / "eng-spa.mode").write_text(f"'{program}' same $2 'a|b' | '{program}' upper $1\n", encoding="utf-8")
    (folder / "eng-spa_US.mode").write_text(f"'{program}' same\n", encoding="utf-8")
    (folder / "eng-cat.mode").write_text("no-such-program-anywhere 'x'\n", encoding="utf-8")
    return folder


@pytest.fixture
def engine(modes: Path) -> Iterator[ApertiumEngine]:
    """The chain that makes capitals."""
    made = ApertiumEngine(read_mode((modes / "eng-spa.mode").read_text(encoding="utf-8")), "en>es", answer_s=5.0)
    yield made
    made.close()


def test_a_mode_is_a_chain_of_commands_that_flush_at_zero_bytes() -> None:
    text = "lt-proc '/usr/x y/a|b.bin' | apertium-tagger -g $2 'c.prob' | lt-proc $1 'd.bin'\n"
    assert read_mode(text) == [
        ["lt-proc", "-z", "/usr/x y/a|b.bin"],
        ["apertium-tagger", "-z", "-g", "c.prob"],
        ["lt-proc", "-z", "-n", "d.bin"],
    ]
    assert read_mode("\n") == []


def test_pairs_are_found_where_all_programs_of_their_chain_are(modes: Path) -> None:
    registry = EngineRegistry.installed(Where(apertium_modes=("/nonexistent", str(modes))))
    offer = registry.find(Need(Role.TRANSLATE, "en", "es"))
    assert (offer.pairs, offer.model) == (("en>es",), "eng-spa")
    assert [one.model for one in registry.offers(Role.TRANSLATE) if one.adapter == "apertium"] == ["eng-spa"]
    with pytest.raises(CapabilityMissing, match="apt-get install apertium apertium-cat-eng"):
        registry.find(Need(Role.TRANSLATE, "en", "ca"))


def test_sentences_go_through_the_chain_one_by_one(engine: ApertiumEngine) -> None:
    assert engine.translate(["one", "", "two\nlines.", "  "], BRIEF) == ("ONE", "", "TWO LINES.", "")


def test_what_means_something_to_apertium_comes_out_as_it_was(engine: ApertiumEngine) -> None:
    awkward = "5 < 6 [a] ^b/c$ {d} @e \\f >g"
    assert engine.translate([awkward], BRIEF) == (awkward.upper(),)
    assert unescape(escape(awkward)) == awkward


def test_terms_of_a_glossary_come_out_as_they_must(engine: ApertiumEngine) -> None:
    brief = Brief("en", "es", glossary={"fleet": "flota [x]", "Media Fleet": "Media Fleet", "": "x"})
    translated = engine.translate(["The Fleet and media fleet, not fleets"], brief)
    # The chain of this test makes capitals of everything; the real one passes format through.
    assert translated == ("THE FLOTA [X] AND MEDIA FLEET, NOT FLEETS",)
    assert escape("a Fleet.", brief.glossary) == "a [flota \\[x\\]]."


def test_a_chain_that_died_fails_one_request_and_is_started_again(engine: ApertiumEngine) -> None:
    assert engine.translate(["one"], BRIEF) == ("ONE",)
    with pytest.raises(TransientFailure, match="has ended"):
        engine.translate(["crash"], BRIEF)
    assert engine.translate(["one"], BRIEF) == ("ONE",)


def test_a_chain_that_hangs_is_given_up(modes: Path) -> None:
    engine = ApertiumEngine(read_mode((modes / "eng-spa.mode").read_text(encoding="utf-8")), "en>es", answer_s=0.5)
    with pytest.raises(TransientFailure, match="in time"):
        engine.translate(["wait"], BRIEF)
    engine.close()


def test_a_sentence_whose_end_is_lost_is_no_translation(engine: ApertiumEngine) -> None:
    with pytest.raises(TaskFailed, match="lost the end"):
        engine.translate(["forget"], BRIEF)


def test_another_pair_is_refused(engine: ApertiumEngine) -> None:
    with pytest.raises(InvalidRequest, match="translates en>es, not es>en"):
        engine.translate(["uno"], Brief("es", "en"))


@pytest.fixture(scope="module")
def spanish() -> Iterator[Translator]:
    """The real thing."""
    try:
        offer = EngineRegistry.installed().find(Need(Role.TRANSLATE, "en", "es"), adapter="apertium")
    except CapabilityMissing as error:
        pytest.skip(error.message)
    engine = load(offer)
    yield engine
    engine.close()


def test_english_becomes_spanish(spanish: Translator) -> None:
    sentences = ["The big house is red.", "He saw the cat", "Does it cost $5 [or 6]?"]
    house, cat, price = spanish.translate(sentences, BRIEF)
    assert house == "La casa grande es roja."
    assert "gato" in cat
    assert not cat.endswith(".")
    assert "$5" in price
    assert "[" in price


def test_a_term_stays_as_it_is_in_a_real_translation(spanish: Translator) -> None:
    brief = Brief("en", "es", glossary={"house": "Haus"})
    assert spanish.translate(["The house is red."], brief) == ("El Haus es rojo.",)
