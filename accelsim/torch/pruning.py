"""What epsilon does to a map before the next layer reads it, with the meaning of `accelsim.inference`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from accelsim.errors import ModelError, choices
from accelsim.graph import Graph, Node
from accelsim.inference import PRUNED_KINDS, Epsilon, largest, prunable


@dataclass(frozen=True)
class Pruning:
    """Zero means abs(x) <= epsilon, in float32; `mode` and `part` (h, w) say which zeros are overwritten."""

    epsilon: Epsilon
    mode: str
    part: tuple[int, int]

    @property
    def largest(self) -> float:
        """What a trace says of epsilon."""
        return largest(self.epsilon)

    def check(self, graph: Graph) -> None:
        """Raise `ModelError` where an epsilon is that of a layer which is not there or not overwritten."""
        if isinstance(self.epsilon, Mapping):
            names = [node.name for node in prunable(graph)]
            for name in self.epsilon:
                if name not in names:
                    raise ModelError(
                        f"{graph.name}: epsilon of {name!r}, which is no layer that is overwritten\n    {choices(names, name)}"
                    )

    def of(self, node: Node) -> float:
        """Epsilon of a node as a float32 holds it; 0 for kinds that are never overwritten."""
        if node.kind not in PRUNED_KINDS:
            return 0.0
        value = self.epsilon.get(node.name, 0.0) if isinstance(self.epsilon, Mapping) else self.epsilon
        return float(np.float32(value))

    def told(self) -> dict[str, str]:
        """Provenance of what was done."""
        found = {}
        if isinstance(self.epsilon, Mapping):
            found["epsilon_by_layer"] = json.dumps({name: float(value) for name, value in self.epsilon.items()}, sort_keys=True)
        if self.largest:
            h, w = self.part
            found["pruned"] = ", ".join(sorted(PRUNED_KINDS)) + (f", parts of {h}x{w}" if self.mode == "part" else "")
        return found

    def overwritten(self, data: torch.Tensor, limit: float) -> torch.Tensor:
        """Which elements become zero where zero means up to `limit`. Shapes: [N, C, H, W] -> bool [N, C, H, W]."""
        magnitude = data.abs().to(torch.float32)
        if self.mode == "channel":
            magnitude = magnitude.amax(dim=(2, 3), keepdim=True)
        elif self.mode == "part":
            (h, w), (height, width) = self.part, data.shape[2:]
            h, w = min(h, height), min(w, width)
            # ragged parts at the bottom and at the right are windows that reach beyond the map
            largest = functional.max_pool2d(magnitude, (h, w), (h, w), ceil_mode=True)
            magnitude = largest.repeat_interleave(h, dim=2).repeat_interleave(w, dim=3)[:, :, :height, :width]
        return (magnitude <= limit).expand_as(data)
