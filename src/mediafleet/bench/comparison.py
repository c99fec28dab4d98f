"""Figures of the fleet beside those of its peers: who was best at what, and by how much the fleet differs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from mediafleet.bench.figure import Figure
from mediafleet.bench.throughput import Throughput, take_median


class MeasuredPeer(msgspec.Struct, frozen=True):
    """What one peer did, and with which versions and settings."""

    name: str
    about: str
    result: Throughput


def merge_rounds(rounds: Sequence[MeasuredPeer]) -> MeasuredPeer:
    """Return what a peer did in the median of its rounds."""
    return MeasuredPeer(rounds[0].name, rounds[0].about, take_median([one.result for one in rounds]))


class _Metric(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    unit: str
    best: str
    """How the peer is called that others are measured by."""
    is_more_better: bool
    read: Callable[[Throughput], float]

    def read_peer(self, peer: MeasuredPeer) -> float:
        """Return the number of a peer."""
        return self.read(peer.result)


_METRICS = (
    _Metric(name="noop_tasks_per_s", unit="1/s", best="fastest", is_more_better=True, read=lambda one: one.tasks_per_s),
    _Metric(
        name="noop_cpu_s_per_1000", unit="s", best="cheapest", is_more_better=False, read=lambda one: one.cpu_s_per_1000
    ),
    _Metric(
        name="noop_latency_p50_ms", unit="ms", best="fastest", is_more_better=False, read=lambda one: one.latency_p50_ms
    ),
    _Metric(
        name="noop_latency_p99_ms", unit="ms", best="fastest", is_more_better=False, read=lambda one: one.latency_p99_ms
    ),
)


def list_figures(ours: Throughput, about: dict[str, str], peers: Sequence[MeasuredPeer]) -> list[Figure]:
    """Return our figures, each against the best peer, then each peer's as `<figure>.<peer>` with ours divided by it.

    Args:
        ours: What the fleet did.
        about: Figure → what was measured, for `compared_to`.
        peers: None where there is nothing to compare with.
    """
    own = [_own_figure(metric, ours, about[metric.name], peers) for metric in _METRICS]
    return own + [figure for peer in peers for figure in _peer_figures(peer, ours)]


def _own_figure(metric: _Metric, ours: Throughput, about: str, peers: Sequence[MeasuredPeer]) -> Figure:
    value = metric.read(ours)
    if not peers:
        return Figure(metric.name, value, metric.unit, about)
    # By value and not by name: which peer is best may differ from figure to figure.
    best = (max if metric.is_more_better else min)(peers, key=metric.read_peer)
    number = metric.read_peer(best)
    sentence = f"{best.name} {number:,.2f} {metric.unit}, the {metric.best} of {len(peers)}; {about}"
    return Figure(metric.name, value, metric.unit, sentence, _divide(value, number))


def _peer_figures(peer: MeasuredPeer, ours: Throughput) -> list[Figure]:
    # Versions and settings once a peer: they are the same for its other figures.
    about = [peer.about, *[""] * (len(_METRICS) - 1)]
    return [
        Figure(
            f"{metric.name}.{peer.name}",
            metric.read_peer(peer),
            metric.unit,
            words,
            _divide(metric.read(ours), metric.read_peer(peer)),
        )
        for metric, words in zip(_METRICS, about, strict=True)
    ]


def _divide(ours: float, other: float) -> float | None:
    # The kernel counts processor time in ticks: a run that took less than one took nothing.
    return ours / other if other else None
