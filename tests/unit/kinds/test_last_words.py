"""What is kept of a child's standard error."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mediafleet.kinds.last_words import TAIL_BYTES, LastWords


def said(*pieces: bytes) -> str:
    words = LastWords()
    for piece in pieces:
        words.feed(piece)
    return words.text()


def test_a_short_text_is_kept_as_it_is() -> None:
    assert said(b"one\ntw", b"o\n") == "one\ntwo\n"


@given(cut=st.integers(1, 60), size=st.integers(1, 40_000))
def test_chatter_does_not_bury_what_went_wrong_however_it_comes_in_pieces(cut: int, size: int) -> None:
    text = b"[aac] fine\n[h264 @ 0x1] [error] bad block\n" + b"[warning] late\n" * 4000 + b"the end\n"
    pieces = [text[:cut], *(text[at : at + size] for at in range(cut, len(text), size))]
    kept = said(*pieces)
    assert kept.startswith("[h264 @ 0x1] [error] bad block\n")
    assert kept.endswith("[warning] late\nthe end\n")
    assert len(kept) < TAIL_BYTES + 100


def test_what_is_kept_is_bounded() -> None:
    kept = said(*(b"[error] number %d\n" % n for n in range(5000)), b"x" * 100_000, b"error" * 100_000)
    assert len(kept) < 2 * TAIL_BYTES
    assert kept.count("[error]") == 20
    assert said(b"[error] again\n" * 50_000).count("[error] again") <= TAIL_BYTES // 14 + 2
