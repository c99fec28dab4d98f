"""What a person puts back is put in order, or refused with what to mend."""

from __future__ import annotations

import msgspec
import pytest

from mediafleet.domain.errors import InvalidParams
from mediafleet.engines.recognition import Word
from mediafleet.kinds.subtitle.cue import Cue
from mediafleet.kinds.subtitle.formats import Transcript
from mediafleet.kinds.subtitle.reviewing import check_review

WORDS = (Word("I", 0.1, 0.2), Word("see.", 0.3, 0.8), Word("No.", 2.0, 2.5))
FILM_S = 600.0
FIRST, SECOND = Cue(100, 1000, ("I see.",), (100, 800), (0, 2)), Cue(2000, 2900, ("No.",), (2000, 2500), (2, 3))

SHOWN = msgspec.json.encode(Transcript("en", (FIRST, SECOND), WORDS, film_s=FILM_S))


def put_back(*cues: Cue) -> Transcript:
    """Return what the plan is given of these cues."""
    body = msgspec.json.encode(Transcript("en", cues, WORDS))
    return msgspec.json.decode(check_review(body, SHOWN, {}), type=Transcript)


def test_what_was_not_touched_is_the_same() -> None:
    assert put_back(FIRST, SECOND) == Transcript("en", (FIRST, SECOND), WORDS, film_s=FILM_S)


def test_words_of_people_who_speak_at_once_stay_theirs() -> None:
    words = tuple(Word(f"w{number}", number, number + 0.5) for number in range(6))
    cues = (
        Cue(0, 1500, ("w0 w1",), (0, 1500), (0, 2), "A"),
        Cue(1000, 5500, ("w4 w5",), (4000, 5500), (4, 6), "B", 1),
        Cue(2000, 3500, ("w2 w3",), (2000, 3500), (2, 4), "A"),
    )
    shown = msgspec.json.encode(Transcript("en", cues, words, film_s=FILM_S))
    assert msgspec.json.decode(check_review(shown, shown, {}), type=Transcript).cues == cues


def test_words_are_looked_at_once_whatever_ranges_are_named() -> None:
    many = [msgspec.structs.replace(FIRST, lines=("I see. No.",), words=(0, 3)) for _ in range(5)]
    assert [cue.words for cue in put_back(*many).cues] == [(0, 3)] + [(0, 0)] * 4


@pytest.mark.parametrize("body", [b'{"language":"\xff"}', b'{"x":' + b"[" * 100_000, b"", b"null"])
def test_what_is_no_transcript_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidParams, match="Nothing was changed"):
        check_review(body, SHOWN, {})


def test_a_cue_that_nobody_could_read_is_refused() -> None:
    with pytest.raises(InvalidParams, match="nobody could read them"):
        put_back(msgspec.structs.replace(FIRST, lines=("x" * 6_000,)))


def test_corrected_text_has_no_words_any_more_and_other_cues_keep_theirs() -> None:
    corrected = put_back(msgspec.structs.replace(FIRST, lines=("I  saw.\nReally. ",)), SECOND).cues
    assert corrected[0].lines == ("I saw.", "Really.")
    assert [cue.words for cue in corrected] == [(0, 0), (2, 3)]


def test_cues_may_be_folded_anew_taken_out_added_and_in_any_order() -> None:
    folded = msgspec.structs.replace(FIRST, lines=("I", "see."))
    assert put_back(folded).cues[0].words == (0, 2)
    added = Cue(1100, 1900, ("Added.",))
    cues = put_back(SECOND, added, msgspec.structs.replace(FIRST, lines=(" ",))).cues
    assert [cue.lines for cue in cues] == [("Added.",), ("No.",)]
    assert cues[0].spoken_ms == (1100, 1900)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"{", "This is no transcript of subtitles"),
        (b'{"language": "en"}', "missing required field `cues`"),
        (msgspec.json.encode(Transcript("en", ())), "No cue with text is left"),
        (msgspec.json.encode(Transcript("en", (Cue(900, 900, ("x",)),))), "goes from 900 to 900 ms"),
        (msgspec.json.encode(Transcript("en", (Cue(-5, 900, ("x",)),))), "goes from -5 to 900 ms"),
        (msgspec.json.encode(Transcript("de", (FIRST,))), "The text is in 'en', and what was put back says 'de'"),
        (msgspec.json.encode(Transcript("en", (Cue(599_000, 600_500, ("x",)),))), "the film ends at 600000 ms"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_mend(body: bytes, sentence: str) -> None:
    with pytest.raises(InvalidParams, match=sentence):
        check_review(body, SHOWN, {})


def test_a_last_cue_may_stay_as_long_as_the_one_that_was_shown() -> None:
    late = Cue(599_000, 600_400, ("The end.",), (599_000, 600_000))
    shown = msgspec.json.encode(Transcript("en", (late,), film_s=FILM_S))
    assert check_review(shown, shown, {}) == shown


def test_times_have_no_end_where_nobody_knows_the_film() -> None:
    body = msgspec.json.encode(Transcript("en", (Cue(9_000_000, 9_001_000, ("x",), (9_000_000, 9_001_000)),)))
    assert check_review(body, msgspec.json.encode(Transcript("en", ())), {}) == body


def test_ranges_of_words_that_cannot_be_are_taken_for_none() -> None:
    far = msgspec.structs.replace(FIRST, words=(0, 1_000_000_000))
    back = msgspec.structs.replace(SECOND, words=(-2, 1))
    assert [cue.words for cue in put_back(far, back).cues] == [(0, 0), (0, 0)]


def test_a_speaker_is_one_line() -> None:
    assert put_back(msgspec.structs.replace(FIRST, speaker="A\nDialogue: x")).cues[0].speaker == "A Dialogue: x"


def test_cues_may_overlap_as_two_people_do() -> None:
    assert len(put_back(FIRST, Cue(900, 1500, ("Too soon.",))).cues) == 2


def test_only_cues_are_taken() -> None:
    odd = msgspec.structs.replace(FIRST, spoken_ms=(-(10**12), 10**12))
    body = msgspec.json.encode(Transcript("en", (odd,), (Word("No.", 1e9, 1e9),), is_drafty=True))
    made = msgspec.json.decode(check_review(body, SHOWN, {}), type=Transcript)
    assert made.cues[0].spoken_ms == (100, 1000)
    assert (made.words, made.is_drafty, made.film_s) == (WORDS, False, FILM_S)
