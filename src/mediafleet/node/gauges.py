"""How much of this machine is in use: sampled on a thread of its own, since a disk or a driver may hang.

The event loop only reads the last sample, so heartbeats go out whatever a gauge does.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self

import psutil
import structlog

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

SAMPLE_EVERY_S = 2.0
SMOOTHING = 0.05
"""Part of a new sample in what is told of processors: about the mean of the last 40 s, so that a short burst of
another program keeps no work away."""
_GB = 1e9

_log = structlog.get_logger(__name__)


class Cards:
    """The graphics cards of this machine, read by NVIDIA's library where that is installed (extra `gpu`)."""

    def __init__(self, library: str = "pynvml") -> None:
        self._nvml: Any = None
        self._handles: list[Any] = []
        self.names: tuple[str, ...] = ()
        # Optional: neither the package nor a driver need be there. What it raises is its own, and of no base that is ours.
        with suppress(ImportError):
            self._nvml = import_module(library)
        if self._nvml is None:
            return
        try:
            self._nvml.nvmlInit()
            count = self._nvml.nvmlDeviceGetCount()
            self._handles = [self._nvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
            self.names = tuple(self._text(self._nvml.nvmlDeviceGetName(handle)) for handle in self._handles)
        except self._nvml.NVMLError as error:
            _log.debug("no graphics card can be read", reason=str(error))
            self._handles = []

    @staticmethod
    def _text(name: str | bytes) -> str:
        return name.decode() if isinstance(name, bytes) else name

    def measure(self) -> dict[str, float]:
        """Return the share of memory in use of the fullest card, as `gpu`, and how busy the busiest is, as `gpu_busy`."""
        if not self._handles:
            return {}
        try:
            memory = [self._nvml.nvmlDeviceGetMemoryInfo(handle) for handle in self._handles]
            rates = [self._nvml.nvmlDeviceGetUtilizationRates(handle) for handle in self._handles]
        # A card may fall off the bus; the others, and the heartbeat, go on.
        except self._nvml.NVMLError as error:
            _log.warning("graphics cards cannot be read", reason=str(error))
            return {}
        return {
            "gpu": round(max(one.used / one.total for one in memory), 3),
            "gpu_busy": max(one.gpu for one in rates) / 100,
        }


class CpuMeter:
    """The share of all processors in use, and that of this process with its children; both smoothed."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._before: tuple[float, float, float] | None = None
        self._smooth = (0.0, 0.0)

    def measure(self) -> dict[str, float]:
        """Return `cpu` and `cpu_own`; the first call only begins."""
        times = psutil.cpu_times()
        total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        idle = times.idle + getattr(times, "iowait", 0.0)
        now = (total, total - idle, self._own_seconds())
        before, self._before = self._before, now
        passed = now[0] - before[0] if before else 0.0
        if before and passed > 0:
            busy, own = (min(1.0, max(0.0, (now[i] - before[i]) / passed)) for i in (1, 2))
            self._smooth = (_blend(self._smooth[0], busy), _blend(self._smooth[1], min(own, busy)))
        return {"cpu": round(self._smooth[0], 3), "cpu_own": round(self._smooth[1], 3)}

    def _own_seconds(self) -> float:
        own = self._process.cpu_times()
        # Children that have ended count with their parent, the others are asked one by one.
        seconds = own.user + own.system + own.children_user + own.children_system
        for child in self._process.children(recursive=True):
            with suppress(psutil.Error):
                spent = child.cpu_times()
                seconds += spent.user + spent.system + spent.children_user + spent.children_system
        return seconds


def _blend(before: float, sample: float) -> float:
    return before + SMOOTHING * (sample - before)


class LoadGauges:
    """Samples again and again while the block lasts; `latest` is what a heartbeat tells."""

    def __init__(self, data: Path, cards: Cards, *, every_s: float = SAMPLE_EVERY_S) -> None:
        self._data = data
        self._cards = cards
        self._cpu = CpuMeter()
        self._every_s = every_s
        self._end = threading.Event()
        self._sampled = threading.Event()
        self.latest: dict[str, float] = {}

    def __enter__(self) -> Self:
        # A daemon, because a disk that hangs must not keep the process from ending.
        threading.Thread(target=self._run, name="gauges", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()

    def wait_first(self, seconds: float) -> bool:
        """Block until there is a first sample; False if that takes longer."""
        return self._sampled.wait(seconds)

    def _run(self) -> None:
        while not self._end.is_set():
            self.latest = self.sample()
            self._sampled.set()
            self._end.wait(self._every_s)

    def sample(self) -> dict[str, float]:
        """Return one sample; what cannot be read is left out."""
        found: dict[str, float] = {}
        for gauge in (self._cpu.measure, self._measure_memory, self._measure_disk, self._cards.measure):
            found.update(_read(gauge))
        return found

    def _measure_memory(self) -> dict[str, float]:
        memory = psutil.virtual_memory()
        return {"memory": memory.percent / 100, "memory_free_gb": round(memory.available / _GB, 1)}

    def _measure_disk(self) -> dict[str, float]:
        disk = psutil.disk_usage(str(self._data))
        return {"disk": disk.percent / 100, "disk_free_gb": round(disk.free / _GB, 1)}


def _read(gauge: Callable[[], dict[str, float]]) -> dict[str, float]:
    try:
        return gauge()
    # The disk may be gone for a moment (an unmounted share). Whatever it is, the next sample must be taken: a load that
    # stays what it was could keep work away for ever.
    except Exception as error:  # noqa: BLE001 - boundary to drivers and kernels
        _log.debug("a gauge cannot be read", reason=repr(error))
        return {}
