"""From drafts to the graph: what becomes part of its producer, what nobody needs, and after which call each map is complete.

A batch normalisation or scaling joins the convolution or fully connected layer before it, an activation the node before it, zero padding
the convolution after it: where nobody else reads what lies between. So the map of a node is the activated output.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isclose

from accelsim.errors import ModelError
from accelsim.graph import Graph, Node
from accelsim.layers import layer
from accelsim.torch.sheet import Draft
from accelsim.torch.tape import Call

ACTIVATED = frozenset({"conv", "fc", "scale", "maxpool", "avgpool", "add", "sub", "mul"})
"""Kinds that take on an activation."""
WEIGHTED = frozenset({"conv", "fc", "scale"})
"""Kinds that take on a scaling of their channels."""
GATES = {"logistic": "swish", "hardsigmoid": "hardswish"}
"""Activations that make another one of a map when they are multiplied with it."""
RETURNED = -1
"""Stands for the caller among the readers of a draft."""

Place = tuple[int, int]
"""Number of a call and which of its tensors."""
IMAGES: Place = (-1, 0)
"""Where the images are before the first call."""


@dataclass(frozen=True, eq=False)
class Plan:
    """What to do when the model runs again.

    `calls`: what it must do then; `complete[call, tensor]`: nodes whose map is complete in that tensor.
    """

    graph: Graph
    calls: Sequence[Call]
    complete: Mapping[Place, tuple[int, ...]]


def plan(name: str, drafts: list[Draft], returned: set[int], calls: Sequence[Call]) -> Plan:
    """Make the graph of all drafts that lead to what the model returns.

    Raises:  `ModelError` where the model made another shape than a layer of this kind would
    """
    by_number = {draft.number: draft for draft in drafts}
    readers: dict[int, set[int]] = {draft.number: set() for draft in drafts}
    for draft in reversed(drafts):
        if draft.number in returned:
            readers[draft.number].add(RETURNED)
        if readers[draft.number] or not draft.number:
            for producer in draft.inputs:
                readers[producer].add(draft.number)
    for number in [number for number, by in readers.items() if number and not by]:
        del by_number[number]
    fusion = _Fusion(by_number, readers)
    fusion.run()
    return _plan(name, [by_number[number] for number in sorted(by_number)], calls)


class _Fusion:
    """Drafts in the order of their numbers, each looked at once with what lies before it already fused."""

    def __init__(self, drafts: dict[int, Draft], readers: dict[int, set[int]]) -> None:
        self.drafts = drafts
        self.readers = readers

    def run(self) -> None:
        for number in sorted(self.drafts):
            draft = self.drafts[number]
            if draft.kind == "mul":
                self._gate(draft)
            if draft.kind == "scale":
                self._hard_sigmoid(draft)
            if len(draft.inputs) == 1:
                self._join(draft, self.drafts[draft.inputs[0]])

    def _join(self, draft: Draft, before: Draft) -> None:
        """Make a draft part of the one before it, or that part of this one."""
        if self.readers[before.number] != {draft.number}:
            return
        if draft.kind == "scale" and before.kind in WEIGHTED and before.activation == "linear":
            before.factors = None
            self._end(before, draft)
        elif draft.kind == "activation" and before.kind in ACTIVATED and before.activation == "linear":
            before.activation, before.slope = draft.activation, draft.slope
            before.attributes |= draft.attributes
            self._end(before, draft)
        elif draft.kind == "conv" and before.kind == "pad" and not before.attributes:
            own = draft.geometry.get("pad", (0, 0, 0, 0))
            draft.geometry["pad"] = tuple(one + other for one, other in zip(own, before.geometry["pad"], strict=True))
            self._skip(draft, before)

    def _gate(self, draft: Draft) -> None:
        """A map times its own sigmoid is one activation of it."""
        if len(draft.inputs) != 2:
            return
        for gate, source in (draft.inputs, draft.inputs[::-1]):
            made = self.drafts[gate]
            own = made.kind == "activation" and made.inputs == [source] and self.readers[gate] == {draft.number}
            if own and made.activation in GATES and made.shape == draft.shape:
                draft.kind, draft.activation, draft.attributes = "activation", GATES[made.activation], {}
                draft.inputs = [source]
                self.readers[source].discard(gate)
                del self.drafts[gate]
                return

    def _hard_sigmoid(self, draft: Draft) -> None:
        """relu6(x + 3) / 6, as it was written before PyTorch had a hard sigmoid; the two drafts before it are one `scale` by now."""
        before = self.drafts[draft.inputs[0]]
        shifted = before.kind == "scale" and before.activation == "relu6" and before.factors == (1.0, 3.0)
        if shifted and draft.factors is not None and isclose(draft.factors[0], 1 / 6) and draft.factors[1] == 0:
            if self.readers[before.number] != {draft.number}:
                return
            draft.kind, draft.activation, draft.attributes = "activation", "hardsigmoid", {"alpha": 1 / 6, "beta": 0.5}
            self._skip(draft, before)

    def _end(self, before: Draft, draft: Draft) -> None:
        """`before` is complete where `draft` was; whoever read that reads this."""
        before.call, before.output = draft.call, draft.output
        self.readers[before.number] = self.readers.pop(draft.number)
        for reader in self.readers[before.number] - {RETURNED}:
            self.drafts[reader].inputs = [before.number if index == draft.number else index for index in self.drafts[reader].inputs]
        del self.drafts[draft.number]

    def _skip(self, draft: Draft, before: Draft) -> None:
        """`draft` reads what `before` read."""
        draft.inputs = list(before.inputs)
        for index in before.inputs:
            self.readers[index].discard(before.number)
            self.readers[index].add(draft.number)
        del self.drafts[before.number], self.readers[before.number]


def _plan(name: str, drafts: Sequence[Draft], calls: Sequence[Call]) -> Plan:
    """Number the nodes, and check that each has the shape that its kind makes."""
    index = {draft.number: at for at, draft in enumerate(drafts)}
    nodes: list[Node] = []
    places: list[Place] = []
    for at, draft in enumerate(drafts):
        inputs = tuple(index[number] for number in draft.inputs)
        node = Node(
            at,
            draft.name,
            draft.kind,
            inputs,
            draft.shape,
            activation=draft.activation,
            slope=draft.slope,
            dtype=draft.dtype,
            attributes=draft.attributes,
            **draft.geometry,
        )
        nodes.append(node)
        # a reshape has no data of its own: it is complete where its producer is
        places.append((draft.call, draft.output) if draft.kind != "reshape" else places[inputs[0]])
        if node.kind != "opaque":
            made = layer(node.kind).output_shape(node, [nodes[producer].shape for producer in inputs])
            if made != node.shape:
                raise ModelError(f"{name}: {node.name}: PyTorch made {list(node.shape)}, a layer {node.kind} makes {list(made)}")
    complete: dict[Place, tuple[int, ...]] = {}
    for at, place in enumerate(places):
        complete[place] = (*complete.get(place, ()), at)
    return Plan(Graph(name, tuple(nodes)), calls, complete)
