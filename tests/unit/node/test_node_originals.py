"""A node looks after the originals that it has replaced."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

from mediafleet.artifacts.fingerprint import fingerprint_of
from mediafleet.artifacts.originals import CAPABILITY, Originals, Replacement
from mediafleet.node.executors import Offer, build_executors
from mediafleet.node.originals import look_after
from mediafleet.ops.settings import NodeSettings


def test_a_node_offers_to_replace_files_only_where_it_may() -> None:
    (without,) = build_executors(NodeSettings(), Offer(), cores=1)
    (having,) = build_executors(NodeSettings(replace_roots=("/media",)), Offer(), cores=1)
    assert (CAPABILITY in without.capabilities, CAPABILITY in having.capabilities) == (False, True)


def wait_until_gone(path: Path) -> None:
    deadline, pause = time.monotonic() + 20, threading.Event()
    while path.exists():
        assert time.monotonic() < deadline
        pause.wait(0.01)


async def test_originals_whose_time_is_over_go_also_while_the_node_runs(tmp_path: Path) -> None:
    film, made = tmp_path / "film.mkv", tmp_path / "made.mkv"
    film.write_bytes(b"old")
    made.write_bytes(b"new")
    originals = Originals([str(tmp_path)], tmp_path / "data")
    keeping = asyncio.create_task(look_after(originals, every_s=0.001))
    wish = Replacement("j0-x", film, fingerprint_of(film), ".mkv", sha256="", trash_ms=0)
    replaced = await originals.replace(wish, made)
    await asyncio.to_thread(wait_until_gone, replaced.kept)
    keeping.cancel()
    assert film.read_bytes() == b"new"
