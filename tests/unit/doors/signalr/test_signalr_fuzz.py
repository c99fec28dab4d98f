"""Whatever a client sends, in both encodings: no unhandled exception, no unbounded memory, no answer without an id.

10,000 inputs with a fixed seed; `MEDIAFLEET_TEST_FUZZ=1000000` (and `MEDIAFLEET_TEST_SEED`) for more by hand.
"""

from __future__ import annotations

import os
import random
from typing import Any

import msgspec
import pytest
from tests_support.signalr_parts import Driver, call, record

from mediafleet.doors.signalr.connection import MOST_WAITING_CALLS, Connection, Invoked, Phase
from mediafleet.doors.signalr.framing import prefix_length
from mediafleet.ops.settings import SignalrSettings

INPUTS = int(os.environ.get("MEDIAFLEET_TEST_FUZZ", "10000"))
SEED = int(os.environ.get("MEDIAFLEET_TEST_SEED", "20261122"))
LIMIT = 2048
SETTINGS = SignalrSettings(message_bytes=LIMIT, queue_bytes=20_000, replay_bytes=5_000)
LONGEST_PIECE = 3 * LIMIT
MOST_INPUTS = 60
"""Of one connection."""

JSON_SEEDS = [
    call("Echo", {"a": [1, None, 2.5, "é"]}, invocationId="1"),
    call("Add", 1, 2, invocationId="2"),
    call("Note", "x", headers={"Authorization": "Bearer secret"}),
    call("Nope", invocationId="3", streamIds=["1"]),
    record(type=2, invocationId="1", item=5),
    record(type=3, invocationId="1", result={"x": 1}),
    record(type=4, invocationId="4", target="Echo", arguments=[1]),
    record(type=5, invocationId="4"),
    record(type=6),
    record(type=7, error="bye", allowReconnect=True),
    record(type=8, sequenceId=3),
    record(type=9, sequenceId=1),
    b"[" * 1500 + b"\x1e",
]
BODIES: list[list[Any]] = [
    [1, {}, "1", "Echo", [{"a": [1, None, 2.5]}], []],
    [1, {"Authorization": "Bearer secret"}, None, "Note", ["x"]],
    [2, {}, "1", 5],
    [3, {}, "1", 3, {"x": 1}],
    [4, {}, "4", "Echo", [1], ["1"]],
    [5, {}, "4"],
    [6],
    [7, None, True],
    [8, 3],
    [9, 1],
]
PACKED_SEEDS = [prefix_length(msgspec.msgpack.encode(body)) for body in BODIES] + [prefix_length(b"\x91" * 1500)]
TOKENS = [
    b"\x1e",
    b'"',
    b"{",
    b"]",
    b"null",
    b"-1",
    b"1e999",
    b"\xdd\xff\xff\xff\xff",
    b"\xc1",
    b"\xff" * 5,
    b"9" * 400,
]


def mutate(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((0, 0, 1, 1, 2, 5))):
        place = rng.randrange(len(changed) + 1)
        match rng.randrange(5):
            case 0 if place < len(changed):
                changed[place] ^= 1 << rng.randrange(8)
            case 1:
                del changed[place : place + rng.randrange(8)]
            case 2:
                changed[place:place] = rng.choice(TOKENS)
            case 3:
                changed[place:place] = changed[: rng.randrange(len(changed) + 1)]
            case _:
                changed[place:place] = rng.randbytes(rng.randrange(6))
    return bytes(changed)


def assert_bounded(machine: Connection, given: int) -> None:
    """No more is kept than one message of the limit, the piece that came last, and the queues of the settings."""
    assert len(machine._codec._splitter._buffer) <= LIMIT + given  # type: ignore[attr-defined]
    assert len(machine._waiting) <= MOST_WAITING_CALLS
    assert machine._output_bytes <= SETTINGS.queue_bytes + LIMIT
    assert machine._sent._bytes <= SETTINGS.replay_bytes


def step(rng: random.Random, driver: Driver, piece: bytes) -> None:
    machine = driver.machine
    if machine.wants_input:
        machine.receive(piece, driver.at)
        assert_bounded(machine, len(piece))
    for event in machine.take_events():
        if isinstance(event, Invoked):
            machine.call("Hello", [1], driver.at)
            machine.complete(driver.at, result=event.arguments[:1])
    match rng.randrange(12):
        case 0:
            driver.at += rng.choice((0.5, 1.0, 16.0, 31.0))
            machine.tick(driver.at)
        case 1:
            machine.part(driver.at)
            if machine.phase is Phase.PARTED and machine.can_resume:
                machine.resume(driver.at)
        case 2 | 3 | 4:
            machine.take_output()
        case _:
            pass


def fuzz(rng: random.Random, protocol: str) -> int:
    """Feed one connection until it ends; return how many inputs it took."""
    seeds = JSON_SEEDS if protocol == "json" else PACKED_SEEDS
    driver = Driver(SETTINGS, is_stateful=rng.random() < 0.7)
    if rng.random() < 0.9:
        driver.shake(protocol, version=2)
    count = 0
    while count < MOST_INPUTS and driver.machine.phase is not Phase.CLOSED:
        count += 1
        data = b"".join(mutate(rng, rng.choice(seeds)) for _ in range(rng.choice((1, 1, 1, 4))))[:LONGEST_PIECE]
        cut = rng.randrange(len(data) + 1)
        step(rng, driver, data[:cut])
        step(rng, driver, data[cut:])
    return count


@pytest.mark.parametrize("protocol", ["json", "messagepack"])
@pytest.mark.timeout(0)
def test_nothing_that_a_client_sends_breaks_the_machine(protocol: str) -> None:
    done = number = 0
    while done < INPUTS // 2:
        # A generator of its own for each connection: the one that fails can be run alone.
        done += fuzz(random.Random(f"{SEED}-{protocol}-{number}"), protocol)  # noqa: S311 - not a secret
        number += 1
    assert number > INPUTS / 200
