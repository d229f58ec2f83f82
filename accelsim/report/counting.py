"""Counting as the paper does: feature maps once each, on paper, with no machine behind them."""

from __future__ import annotations

from dataclasses import dataclass

from accelsim.trace import Trace

COUNTED_KINDS = ("conv", "maxpool", "add", "fc", "avgpool")
"""Kinds whose outputs make up the totals of the paper's Table 4."""
PRUNED_KINDS = ("conv", "maxpool")
"""Kinds whose zero channels the paper counts as saved."""


@dataclass(frozen=True, slots=True)
class PaperCount:
    """The paper's own measure of one trace.

    Units:   elements, except `conv_layers` and `conv_layers_with_zero` (counts).
    Source:  dynamic runtime feature map pruning paper, Table 4: saved = H*W for each zero channel of the outputs of convolutions and
             max-pools; all outputs = convolutions, max-pools, shortcuts, fully connected and average-pool layers. Its Table 5 and its
             text count convolutions alone, above and below the line.
    """

    output_elements: int
    conv_elements: int
    saved_elements: int
    conv_saved_elements: int
    conv_layers: int
    conv_layers_with_zero: int

    @classmethod
    def of(cls, trace: Trace) -> PaperCount:
        """Count one trace; nodes that a schedule fuses away count too."""
        saved = saved_elements(trace)
        nodes = trace.graph.nodes
        convs = [node.index for node in nodes if node.kind == "conv"]
        return cls(
            output_elements=sum(node.elements for node in nodes if node.kind in COUNTED_KINDS),
            conv_elements=sum(nodes[index].elements for index in convs),
            saved_elements=sum(saved),
            conv_saved_elements=sum(saved[index] for index in convs),
            conv_layers=len(convs),
            conv_layers_with_zero=sum(saved[index] > 0 for index in convs),
        )

    @property
    def percent_of_outputs(self) -> float:
        """Saved elements over all outputs, per cent (Table 4)."""
        return 100 * self.saved_elements / self.output_elements if self.output_elements else 0.0

    @property
    def percent_of_conv(self) -> float:
        """Saved elements of convolutions over all their outputs, per cent (Table 5)."""
        return 100 * self.conv_saved_elements / self.conv_elements if self.conv_elements else 0.0


def saved_elements(trace: Trace) -> tuple[int, ...]:
    """Elements of zero channels per node of the trace's graph; 0 for kinds that the paper does not prune."""
    return tuple(
        int(fmap.zero_channels.sum()) * node.shape[1] * node.shape[2] if node.kind in PRUNED_KINDS else 0
        for node, fmap in zip(trace.graph.nodes, trace.maps, strict=True)
    )
