"""Weights beside a trace: a trace says what the activations were; which weights are zero, its network says.

So traces stay small and serve any weight scheme, and the hashes in both say that they belong together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from accelsim.errors import ModelError
from accelsim.graph import Node
from accelsim.layers.base import Tensor
from accelsim.networks.network import Network
from accelsim.trace import Trace

MADE_BY = ("weights_sha256", "network_sha256", "weights_pruned", "quantised")
"""Texts of provenance that decide what the weights are."""


def filters(network: Network) -> Mapping[int, Tensor]:
    """Weights of layers that multiply, by node. Raises `ModelError` where there are none."""
    return {index: roles["weight"] for index, roles in network.require_weights().items() if "weight" in roles}


def beside(trace: Trace, network: Network) -> Trace:
    """The trace with the weights of its network. Raises `ModelError` where they do not belong together, or there are none."""
    nodes, others = trace.graph.nodes, network.graph.nodes
    unlike = next((pair for pair in zip(nodes, others, strict=False) if _shape(pair[0]) != _shape(pair[1])), None)
    whose = f"{network.graph.name}: its weights are not those of the trace of {trace.graph.name} on {trace.image}"
    if unlike is not None or len(nodes) != len(others):
        place = f"{unlike[1].name} beside {unlike[0].name}" if unlike else f"{len(others)} nodes beside {len(nodes)}"
        raise ModelError(f"{whose}: other layers ({place})\n    name the network that the trace was made of")
    # a trace of published counts, or of another program, knows none of them
    for key in MADE_BY if any(key in trace.provenance for key in MADE_BY) else ():
        ours, theirs = trace.provenance.get(key, "absent"), network.provenance.get(key, "absent")
        if ours != theirs:
            remedy = "name the network that the trace was made of, or run it on the image again"
            raise ModelError(f"{whose}: {key} is {theirs}, that of the trace {ours}\n    {remedy}")
    return replace(trace, filters=filters(network))


def _shape(node: Node) -> tuple[object, ...]:
    return node.kind, node.inputs, node.shape, node.kernel, node.stride, node.pad, node.dilation, node.groups
