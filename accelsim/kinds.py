"""Every kind of YAML file, by root key."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel

from accelsim import runfile
from accelsim.configfile.schema import json_schema
from accelsim.designspace.sweepfile import Sweep
from accelsim.errors import ConfigError, choices
from accelsim.evaluation.evaluatefile import Evaluate
from accelsim.paper.paperfile import Paper

KINDS: Mapping[str, type[BaseModel]] = MappingProxyType({**runfile.KINDS, "evaluate": Evaluate, "paper": Paper, "sweep": Sweep})
"""What stands under the root key of each kind of file."""


def schema(kind: str) -> dict[str, Any]:
    """JSON Schema of one kind of file. Raises `ConfigError` for another kind."""
    if kind not in KINDS:
        raise ConfigError(f"schema: {kind!r} is not a kind of file\n    {choices(sorted(KINDS), kind)}")
    return json_schema(kind, KINDS[kind])
