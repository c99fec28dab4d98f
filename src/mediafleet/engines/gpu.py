"""Room on graphics cards, looked at before a model is loaded: a library that runs out of it half-way often crashes."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from mediafleet.domain.errors import CapabilityMissing
from mediafleet.engines.offer import Offer

_MIB = 1 << 20


def read_free_bytes(library: str = "pynvml") -> int | None:
    """Return the free memory of the emptiest card, bytes; None where no card can be read (extra `gpu`)."""
    try:
        nvml: Any = import_module(library)
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
        cards = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        return max((int(nvml.nvmlDeviceGetMemoryInfo(card).free) for card in cards), default=None)
    except nvml.NVMLError:
        return None


def check_gpu_room(offer: Offer, free_bytes: int | None) -> None:
    """Refuse to load what a card has no room for; where nothing is known of cards, the library decides.

    Raises:
        CapabilityMissing: There is too little room now; the task goes elsewhere and spends no try.
    """
    if free_bytes is None or offer.gpu_bytes <= free_bytes:
        return
    wanted, free = offer.gpu_bytes // _MIB, free_bytes // _MIB
    raise CapabilityMissing(
        offer.capabilities[0],
        f"{offer.adapter} with {offer.model or offer.place} needs {wanted:,} MiB of a graphics card, and {free:,} MiB are free.",
    )
