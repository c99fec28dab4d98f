"""Speech engines: each is an adapter on a library, a program or a service, found through `mediafleet.engines`."""

from mediafleet.engines.adapter import Adapter, Engine, load_engine
from mediafleet.engines.offer import Endpoint, Need, Offer, Role, Where
from mediafleet.engines.registry import EngineRegistry

__all__ = ["Adapter", "Endpoint", "Engine", "EngineRegistry", "Need", "Offer", "Role", "Where", "load_engine"]
