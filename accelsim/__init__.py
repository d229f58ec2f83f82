"""accelsim: what zeros in feature maps are worth.

import accelsim

outcome = accelsim.run("configs/run/quickstart.yaml")
trace = accelsim.load_trace("traces/squeezenet_v1.1_dog.npz")
result = accelsim.replay(trace, "configs/accelerator/edge.yaml", "channel_marker")
result.as_frame()
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from accelsim.errors import AccelsimError, ConfigError, EngineError, ModelError, TraceError, UserError
    from accelsim.hardware import load_accelerator
    from accelsim.networks.beside import beside
    from accelsim.simulate import compare, infer, open_network, plot, replay, run
    from accelsim.studies.sidebyside import compare_schemes
    from accelsim.sweeps import sweep
    from accelsim.tracefile import load as load_trace
    from accelsim.tracefile import save as save_trace
    from accelsim.tracestore import TraceStore

__all__ = [
    "AccelsimError",
    "ConfigError",
    "EngineError",
    "ModelError",
    "TraceError",
    "TraceStore",
    "UserError",
    "beside",
    "compare",
    "compare_schemes",
    "infer",
    "load_accelerator",
    "load_trace",
    "open_network",
    "plot",
    "replay",
    "run",
    "save_trace",
    "sweep",
]

_HOMES = {
    **dict.fromkeys(("AccelsimError", "ConfigError", "EngineError", "ModelError", "TraceError", "UserError"), ("errors", None)),
    **dict.fromkeys(("compare", "infer", "open_network", "plot", "replay", "run"), ("simulate", None)),
    "beside": ("networks.beside", None),
    "compare_schemes": ("studies.sidebyside", None),
    "load_accelerator": ("hardware", None),
    "load_trace": ("tracefile", "load"),
    "save_trace": ("tracefile", "save"),
    "TraceStore": ("tracestore", None),
    "sweep": ("sweeps", None),
}


def __getattr__(name: str) -> object:
    """Import the public names when they are first used, so that the command line answers at once."""
    if name == "torch":
        return import_module("accelsim.torch")
    if name not in _HOMES:
        raise AttributeError(f"module 'accelsim' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(import_module(f"accelsim.{module}"), attribute or name)


def __dir__() -> list[str]:
    return sorted(__all__)
