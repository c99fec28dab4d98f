"""Job kinds: each is params, a plan and handlers, found through the entry points `mediafleet.kinds`."""

from mediafleet.kinds.registry import KindRegistry
from mediafleet.kinds.seam import ChildProcess, DetectContext, Handler, Kind, TaskContext

__all__ = ["ChildProcess", "DetectContext", "Handler", "Kind", "KindRegistry", "TaskContext"]
