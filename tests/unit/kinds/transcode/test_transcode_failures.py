"""From logs to sentences."""

from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.domain.errors import TaskFailed, TransientFailure, UnreadableMedia
from mediafleet.kinds.transcode.failures import CAUSES, Cause, encrypted, errors_in, explain, playlist, show_name


@pytest.mark.parametrize(
    ("log", "kind", "words"),
    [
        ("[in#0 @ 0x55] [error] hit EOF while reading sub-sample encryption info", UnreadableMedia, "encrypted (DRM)"),
        ("[hls @ 0x55] [error] Format not on whitelist 'mov'", UnreadableMedia, "list of other files"),
        ("[in#0 @ 0x56200a09a080] [error] moov atom not found", UnreadableMedia, "damaged or incomplete"),
        (
            "[out#0 @ 0x1] [error] Error writing trailer: No space left on device",
            TransientFailure,
            "disk of this node is full",
        ),
        ("[error] malloc of size 99 failed", TransientFailure, "ran out of memory"),
        ("[in#0 @ 0x1] [error] Error opening input: Permission denied", TaskFailed, "check the permissions"),
        ("[vost#0:0 @ 0x1] [error] Unknown encoder 'libx264'", TaskFailed, "could not start the encoder"),
        ("[dec @ 0x1] [fatal] Decode error rate 1 exceeds maximum 0.6", UnreadableMedia, "cannot be decoded"),
        ("[in#0 @ 0x1] [error] Error opening input: No such file or directory", TransientFailure, "went away"),
        ("[in#0 @ 0x1] [error] Input/output error", TransientFailure, "I/O error"),
        ("[error] Invalid data found when processing input", UnreadableMedia, "not a media file"),
    ],
)
def test_each_log_becomes_one_sentence(log: str, kind: type[Exception], words: str) -> None:
    error = explain(log, name="a b.mp4", exit_code=187)
    assert type(error) is kind
    assert words in error.message
    assert error.retryable == (kind is TransientFailure)
    assert "0x" not in error.message
    assert error.detail == log


def test_what_nobody_foresaw_is_quoted_once() -> None:
    error = explain(
        "[info] fine\n[x @ 0x12ab] [error] Strange thing happened.\n[error] Another", name="a.mp4", exit_code=1
    )
    assert error.message == "FFmpeg could not transcode “a.mp4”: Strange thing happened."
    assert explain("", name="a.mp4", exit_code=1).message.endswith("it gave no reason.")


def test_a_killed_ffmpeg_is_worth_another_try() -> None:
    error = explain("[info] working", name="a.mp4", exit_code=-9)
    assert error.retryable
    assert "signal 9" in error.message


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.pattern.pattern[:20])
def test_every_sentence_is_one_sentence(cause: Cause) -> None:
    assert cause.sentence.endswith(".")
    assert "\n" not in cause.sentence


def test_warnings_and_harmless_lines_are_no_errors() -> None:
    log = (
        "[mp4 @ 0x1] [warning] track 1: codec frame size is not set\n"
        "[null @ 0x1] [error] Application provided invalid, non monotonically increasing dts to muxer\n"
        "[info] error is a word in a title\n"
    )
    assert errors_in(log) == []
    assert errors_in("[a @ 0x1] [b @ 0x2] [error] Bad.\n[a @ 0x1] [error] Bad.\n") == ["Bad."]
    assert errors_in("[dec:h264 @ 0x1] [warning] corrupt decoded frame") == ["corrupt decoded frame"]


@given(st.text(max_size=300))
def test_a_shown_name_stays_on_one_short_line(name: str) -> None:
    shown = show_name(name)
    assert len(shown) <= 84
    assert shown.isprintable()


def test_known_refusals_name_the_file() -> None:
    assert "“x.mp4” is encrypted" in encrypted("x.mp4").message
    assert "“x.mp4” is a list" in playlist("x.mp4").message


@pytest.mark.parametrize(
    ("code", "log", "setting"),
    [
        (-signal.SIGXFSZ, "", "node.child_file_gib"),
        (-signal.SIGXCPU, "", "node.child_cpu_hours"),
        (255, f"Exiting normally, received signal {int(signal.SIGXCPU)}.", "node.child_cpu_hours"),
    ],
)
def test_a_limit_of_the_node_is_named_with_its_setting(code: int, log: str, setting: str) -> None:
    error = explain(log, name="film.mp4", exit_code=code)
    assert isinstance(error, TaskFailed)
    assert setting in error.message
    assert not error.retryable


def test_a_picture_that_grows_is_told_from_a_damaged_one() -> None:
    log = "[png @ 0x55] [error] Picture size 16000x16000 exceeds specified max pixel count 80216064, see the documentation"
    assert "larger than any known format" in explain(log, name="film.mp4").message
