"""Magnitude pruning: weights, or whole filters, that are small become zero before the network runs.

Small means within a threshold, which is inclusive, as `accelsim sparsity` counts: abs(w) <= threshold in float64. What is compared is the
weight as the network's file stores it, before batch normalisation is folded in; of a filter, the mean of the magnitudes of its weights.
Biases stay. Nothing is trained afterwards, so accuracy falls as it does: `accelsim evaluate` says how far.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from accelsim.errors import ConfigError, RefusalError, choices, quoted, refuse
from accelsim.graph import Graph, Node
from accelsim.layers.base import Tensor
from accelsim.networks.network import Network

PRUNED_KINDS = frozenset({"conv", "fc"})
"""Kinds whose weights are pruned."""

Threshold = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Floats = NDArray[np.float64]


class Pruning(BaseModel):
    """Which weights of convolutions and fully connected layers become zero."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", use_attribute_docstrings=True)

    threshold: Threshold | None = None
    """Magnitudes up to this one are zero, in every layer that `layers` does not name."""
    sparsity: Share | None = None
    """Share of the weights that are zero afterwards, the smallest ones first; those of one magnitude go together."""
    per: Literal["network", "layer"] = "network"
    """Whether `sparsity` is that of the whole network, by one threshold, or of each layer."""
    unit: Literal["weight", "filter"] = "weight"
    """What becomes zero: single weights, or filters by the mean of their magnitudes."""
    layers: dict[str, Threshold] = {}
    """Thresholds, or shares where `sparsity` is given, of layers by name or pattern (conv*); the last pattern that fits counts."""
    exclude: tuple[str, ...] = ()
    """Names or patterns of layers that stay as they are."""

    def __hash__(self) -> int:
        """Network files are looked up by value; a mapping of layers has no hash of its own."""
        return hash(self.model_dump_json())

    @model_validator(mode="after")
    def _one_measure(self) -> Pruning:
        faults = []
        if self.threshold is not None and self.sparsity is not None:
            faults.append(RefusalError("threshold and sparsity are two ways to say the same", "remove one of the two", at=["sparsity"]))
        if self.threshold is None and self.sparsity is None and not self.layers:
            faults.append(RefusalError("nothing says what becomes zero", "give one of: threshold, sparsity, layers"))
        if self.sparsity is not None and self.layers and self.per == "network":
            faults.append(RefusalError("shares of layers need per: layer", "add per: layer, or remove layers", at=["layers"]))
        if self.sparsity is not None:
            over = [name for name, share in self.layers.items() if share > 1]
            faults += [RefusalError(f"a share of {self.layers[name]:g}", "allowed: 0 to 1", at=[f"layers.{name}"]) for name in over]
        refuse(faults)
        return self


@dataclass(frozen=True, eq=False)
class _Layer:
    """What is pruned of one layer. Shapes: `magnitudes` float64 [weights], or [filters]; `weight`: as the layer has it."""

    node: Node
    weight: Tensor
    magnitudes: Floats

    def within(self, threshold: float) -> NDArray[np.bool_]:
        """Which weights become zero. Shapes: bool, as `weight`."""
        small = self.magnitudes <= threshold
        if small.size == self.weight.size:
            return small.reshape(self.weight.shape)
        return np.broadcast_to(small.reshape(-1, *(1,) * (self.weight.ndim - 1)), self.weight.shape)


def prune(network: Network, asked: Pruning, stored: Mapping[int, Tensor] | None = None) -> Network:
    """The network with small weights zero; its provenance (`weights_pruned`) says how.

    `stored`: weights by node as the file stores them, where they are not those that run.
    Raises:  `ConfigError` for layers that the network has not, `ModelError` where it has no weights
    """
    weights = network.require_weights()
    layers = [
        _Layer(node, weights[node.index]["weight"], _magnitudes((stored or {}).get(node.index, weights[node.index]["weight"]), asked.unit))
        for node in network.graph.nodes
        if node.kind in PRUNED_KINDS
    ]
    thresholds = _thresholds(network.graph, layers, asked)
    changed = dict(weights)
    zero = size = 0
    for layer in layers:
        pruned = layer.weight
        if layer.node.index in thresholds:
            pruned = np.where(layer.within(thresholds[layer.node.index]), np.float32(0), pruned)
            changed[layer.node.index] = {**weights[layer.node.index], "weight": pruned}
        zero += pruned.size - int(np.count_nonzero(pruned))
        size += pruned.size
    settings = json.dumps(asked.model_dump(exclude_defaults=True), sort_keys=True)
    text = f"{settings}: {zero:,} of {size:,} weights of conv and fc are zero"
    return replace(network, weights=changed, provenance={**network.provenance, "weights_pruned": text})


def _magnitudes(stored: Tensor, unit: str) -> Floats:
    magnitudes = np.abs(stored.astype(np.float64))
    return magnitudes.ravel() if unit == "weight" else magnitudes.reshape(len(stored), -1).mean(axis=1)


def _thresholds(graph: Graph, layers: list[_Layer], asked: Pruning) -> dict[int, float]:
    """Threshold of each layer that is pruned, by node."""
    names = [layer.node.name for layer in layers]
    for key, patterns in (("layers", asked.layers), ("exclude", asked.exclude)):
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in names):
                known = choices(names, pattern)
                raise ConfigError(f"prune.{key}: {quoted(pattern)} is no layer of {graph.name} that can be pruned\n    {known}")
    left = [layer for layer in layers if not any(fnmatchcase(layer.node.name, pattern) for pattern in asked.exclude)]
    own = {layer.node.index: value for layer in left for pattern, value in asked.layers.items() if fnmatchcase(layer.node.name, pattern)}
    if asked.sparsity is None:
        found = {layer.node.index: own.get(layer.node.index, asked.threshold) for layer in left}
        return {index: value for index, value in found.items() if value is not None}
    if asked.per == "layer":
        shares = {layer.node.index: own.get(layer.node.index, asked.sparsity) for layer in left}
        return {layer.node.index: _reaching(shares[layer.node.index], [layer]) for layer in left}
    return dict.fromkeys((layer.node.index for layer in left), _reaching(asked.sparsity, left))


def _reaching(share: float, layers: list[_Layer]) -> float:
    """The least threshold that makes a share of all weights zero; below every magnitude where that is none."""
    magnitudes = np.concatenate([layer.magnitudes for layer in layers]) if layers else np.zeros(0)
    sizes = np.concatenate(
        [np.full(layer.magnitudes.size, layer.weight.size // layer.magnitudes.size) for layer in layers] or [np.zeros(0)]
    )
    wanted = share * int(sizes.sum())
    if wanted <= 0:
        return -1.0
    order = np.argsort(magnitudes, kind="stable")
    # a share such as 0.3 is no exact number; a billionth of a weight is not one more
    at = int(np.searchsorted(sizes[order].cumsum(), wanted - 1e-9 * wanted))
    return float(magnitudes[order[min(at, order.size - 1)]])
