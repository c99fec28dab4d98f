"""Params are read as users write them."""

from __future__ import annotations

import pytest

from mediafleet.cli._params import expected_ending, read_params
from mediafleet.domain.errors import InvalidRequest


def test_values_mean_what_they_look_like() -> None:
    pairs = ["crf=23", "echo=hello", "fast=true", 'text="23"', "name=a=b", "empty="]
    assert read_params(pairs) == {"crf": 23, "echo": "hello", "fast": True, "text": "23", "name": "a=b", "empty": ""}


def test_a_dotted_key_reaches_into_an_object() -> None:
    assert read_params(["scale.height=720", "scale.width=1280"]) == {"scale": {"height": 720, "width": 1280}}


def test_pairs_go_on_top_of_the_document() -> None:
    assert read_params(["crf=20"], '{"crf": 30, "preset": "hevc"}') == {"crf": 20, "preset": "hevc"}


@pytest.mark.parametrize("pair", ["crf", "=5", "a..b=1"])
def test_a_word_that_is_no_pair_is_refused(pair: str) -> None:
    with pytest.raises(InvalidRequest, match="--param crf=23"):
        read_params([pair])


def test_a_key_cannot_reach_into_a_plain_value() -> None:
    with pytest.raises(InvalidRequest, match="plain value"):
        read_params(["scale=1", "scale.height=2"])


@pytest.mark.parametrize("document", ["[1]", "{", "null"])
def test_params_are_a_json_object(document: str) -> None:
    with pytest.raises(InvalidRequest, match="JSON object"):
        read_params([], document)


def test_the_ending_of_a_transcode_is_known_where_the_input_does_not_decide() -> None:
    assert expected_ending({}) == ".mp4"
    assert expected_ending({"container": "mkv"}) == ".mkv"
    assert expected_ending({"preset": "mp3"}) == ".mp3"
    assert expected_ending({"preset": "copy"}) == ""


def test_params_that_no_transcode_has_are_refused_before_anything_starts() -> None:
    with pytest.raises(InvalidRequest, match="h264"):
        expected_ending({"preset": "h265"})


def test_what_does_not_fit_is_said_in_the_words_of_the_fleet() -> None:
    with pytest.raises(InvalidRequest, match=r"'chunks' must be one of always, auto, never; \"allways\" was given"):
        expected_ending({"chunks": "allways"})
