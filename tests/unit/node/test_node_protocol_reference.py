"""The page for other implementers says what the structs say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from mediafleet.domain.frames import NodeFrame, SchedulerFrame, decode_node_frame, decode_scheduler_frame

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "node-protocol.md").read_text()
EXAMPLE = re.compile(r"^    (node|scheduler)\s+(\{.*?\})(?=\n    (?:node|scheduler)|\n\n)", re.DOTALL | re.MULTILINE)


def test_the_example_is_a_conversation_of_real_frames() -> None:
    decode = {"node": decode_node_frame, "scheduler": decode_scheduler_frame}
    frames = [decode[who](re.sub(r"\n\s+", " ", text)) for who, text in EXAMPLE.findall(PAGE)]
    assert [type(frame).__name__ for frame in frames] == [
        *("Register", "Registered", "JobAssign", "JobAck", "JobProgress", "JobResults", "JobResultAck")
    ]


@pytest.mark.parametrize("frame", [*get_args(NodeFrame), *get_args(SchedulerFrame)])
def test_every_frame_and_each_of_its_fields_is_described(frame: type[msgspec.Struct]) -> None:
    assert f"`{frame.__struct_config__.tag}`" in PAGE
    for field in frame.__struct_fields__:
        assert re.search(rf"`{field}\b", PAGE), field
