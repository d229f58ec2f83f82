"""A network run straight through, where nothing is overwritten and nothing but its output asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from accelsim.graph import Node
from accelsim.kernels import marks
from accelsim.layers import layer
from accelsim.layers.base import Identity, Tensor
from accelsim.layers.concat import Concat, axis
from accelsim.operators.base import Allocate, Flags, Operator, Tally, Telling

INFINITY = np.uint32(0x7F800000)


def hands_on(node: Node) -> bool:
    """Whether the output is the channels of the inputs, one map after another, and nothing else."""
    return isinstance(kind := layer(node.kind), Identity) or (isinstance(kind, Concat) and axis(node) == 0)


def output(
    nodes: Sequence[Node],
    operators: Sequence[Operator],
    telling: Mapping[int, Telling],
    dropped: Sequence[Sequence[int]],
    empty: Allocate,
    image: Tensor,
) -> Tensor | None:
    """The output of the last of `nodes`, which are the first of a graph; None where some output is not finite.

    `operators[i]` runs `nodes[i]`, `dropped[i]` are the nodes whose maps are no longer needed after that, `telling` as `Telling`
    Shapes:  image float32 [C, H, W], C-contiguous
    """
    every, place = Tally.of(sum(node.shape[0] for node in nodes)), 0
    live: dict[int, tuple[Tensor, Flags]] = {}
    made = image
    for node, run, done in zip(nodes, operators, dropped, strict=False):
        inputs, zeros = [live[index][0] for index in node.inputs] or [image], [live[index][1] for index in node.inputs]
        channels, teller = node.shape[0], telling.get(node.index)
        tally = Tally(every.largest[place : place + channels], every.zeros[place : place + channels])
        place += channels
        made = run(inputs, zeros, empty) if teller is None else teller(inputs, zeros, empty, tally)
        if teller is not None:
            zero_channels = tally.largest == 0
        elif zeros and hands_on(node):
            zero_channels = np.concatenate(zeros)
        else:
            zero_channels, bits = np.empty(channels, np.bool_), made.reshape(channels, -1).view(np.uint32)
            marks.channel_marks(bits, np.float32(0), tally.largest.view(np.float32), tally.zeros, zero_channels)
        zero_channels.flags.writeable = False  # as those of measured maps: kernels are compiled for one kind of array
        live[node.index] = made, zero_channels
        for index in done:
            del live[index]
    return made if every.largest.max() < INFINITY else None
