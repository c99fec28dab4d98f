"""Runs the simulator by hand: `python tests/simulation --seeds 1000 --first 0` (`--help` says what else there is)."""

import runpy
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
runpy.run_module("fleet_simulator", run_name="__main__", alter_sys=True)
