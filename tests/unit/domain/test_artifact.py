"""References to bytes: small where little is known, and never taken for more than they say."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.domain.artifact import Artifact, ArtifactRef, ArtifactState, Fingerprint, Location

REF = ArtifactRef("a0-1", "a.mkv", "file:///m/a.mkv", 9, "", Fingerprint(9, "ab"))
fingerprints = st.none() | st.builds(Fingerprint, st.integers(0, 2**50), st.text("0123456789abcdef"))
refs = st.builds(ArtifactRef, st.text(), st.text(), st.text(), st.integers(-1, 2**50), st.text(), fingerprints)


@given(refs)
def test_a_reference_is_the_same_after_each_way_it_travels(ref: ArtifactRef) -> None:
    codecs: tuple[Any, ...] = (msgspec.json, msgspec.msgpack)
    for codec in codecs:
        assert codec.decode(codec.encode(ref), type=ArtifactRef) == ref


def test_a_reference_that_is_not_known_closely_says_only_what_it_knows() -> None:
    assert msgspec.to_builtins(ArtifactRef("a0-1", "a.mkv")) == {"id": "a0-1", "name": "a.mkv"}
    assert ArtifactRef("a0-1", "a.mkv").size == -1


def test_an_empty_file_is_not_a_file_of_unknown_size() -> None:
    assert msgspec.to_builtins(ArtifactRef("a0-1", "a.mkv", size=0))["size"] == 0


@pytest.mark.parametrize("text", ['{"id": "a0-1"}', '{"id": "a0-1", "name": "a", "size": "9"}', "[]"])
def test_a_reference_that_is_malformed_is_refused(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=ArtifactRef)


@given(refs, st.sampled_from(ArtifactState))
def test_an_artifact_is_the_same_after_it_was_stored(ref: ArtifactRef, state: ArtifactState) -> None:
    artifact = Artifact(ref, state, "0", "default", "local", 1, blob="b", grant="g", job="j0-1")
    assert msgspec.json.decode(msgspec.json.encode(artifact), type=Artifact) == artifact


def test_an_artifact_belongs_to_nobody_until_somebody_names_it() -> None:
    artifact = Artifact(REF, ArtifactState.OPEN, "0", "default", "local", 1)
    assert (artifact.blob, artifact.grant, artifact.job) == ("", "", "")
    assert not {"blob", "grant", "job"} & set(msgspec.to_builtins(artifact))


def test_there_is_nothing_between_open_and_complete() -> None:
    assert [state.value for state in ArtifactState] == ["open", "complete"]


def test_an_address_that_lets_anybody_in_is_not_shown() -> None:
    assert "signature" not in repr(Location("GET", "https://objects/a?signature=x", 900))
