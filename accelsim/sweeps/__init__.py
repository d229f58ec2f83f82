"""Sweeps: many points from one file, resumable, on all cores or a cluster; every combination, or those that a search chooses."""

from accelsim.sweeps.running import Outcome, Where, forecast, plot, run, sweep

__all__ = ["Outcome", "Where", "forecast", "plot", "run", "sweep"]
