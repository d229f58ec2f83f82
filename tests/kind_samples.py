"""A small network for every kind of layer: a convolution, the layer, and a convolution that reads it."""

from __future__ import annotations

from dataclasses import replace

from accelsim.graph import Graph, Node, Shape
from accelsim.layers import layer

SHAPE: Shape = (4, 6, 8)


def draft(kind: str, shape: Shape = SHAPE, **fields: object) -> Node:
    return Node(0, str(fields.pop("name", kind)), kind, tuple(fields.pop("inputs", ())), shape, **fields)  # type: ignore[arg-type]


FIRST = draft("conv", name="first", kernel=(3, 3), pad=(1, 1, 1, 1))
LAST = draft("conv", (2, 1, 1), name="last")

LAYERS: dict[str, tuple[Node, ...]] = {
    "input": (),
    "conv": (draft("conv", kernel=(3, 3), stride=(2, 1), pad=(1, 0, 1, 0)),),
    "fc": (draft("fc", (7, 1, 1)),),
    "scale": (draft("scale"),),
    "maxpool": (draft("maxpool", kernel=(2, 2), stride=(2, 2)),),
    "avgpool": (draft("avgpool", kernel=SHAPE[1:]),),
    "add": (draft("add", inputs=(1, 1)),),
    "sub": (draft("sub", inputs=(1, 1)),),
    "mul": (draft("mul", inputs=(1, 1)),),
    "activation": (draft("activation", activation="relu"),),
    "lrn": (draft("lrn", attributes={"size": 3}),),
    "softmax": (draft("softmax", groups=1),),
    "upsample": (draft("upsample", attributes={"factor": 2}),),
    "resize": (draft("resize", (4, 9, 12), attributes={"mode": "linear"}),),
    "crop": (draft("crop", (4, 4, 4), attributes={"height": 4, "width": 4}),),
    "pad": (draft("pad", pad=(1, 0, 1, 2), attributes={"front": 1, "back": 2}),),
    "slice": (draft("slice", (4, 4, 5), attributes={"start": "0 1 2"}),),
    "permute": (draft("permute", (6, 8, 4), attributes={"view": "4 6 8", "order": "1 2 0"}),),
    "concat": (draft("concat", inputs=(1, 1), attributes={"axis": "columns"}),),
    "reshape": (draft("reshape", (8, 3, 8)),),
    "constant": (draft("constant", (4, 6, 8), inputs=(0,)), draft("add", inputs=(1, 2), name="sum")),
    "given": (draft("given", inputs=(0,)),),
    "dropout": (draft("dropout"),),
    "yolo": (draft("yolo"),),
    "cost": (draft("cost"),),
}
"""By kind. Of kinds that cost nothing for whole channels, a form that does: see `WHOLE_CHANNELS`."""

WHOLE_CHANNELS: dict[str, tuple[Node, ...]] = {
    "slice": (draft("slice", (2, 6, 8), attributes={"start": "1 0 0", "step": "2 1 1"}),),
    "permute": (draft("permute", attributes={"view": "2 2 6 8", "order": "1 0 2 3"}),),
    "concat": (draft("concat", inputs=(1, 1)),),
}


def network(kind: str, layers: tuple[Node, ...]) -> Graph:
    """An input and nodes in a row, unless their inputs say otherwise; shapes are completed by their kinds."""
    nodes = [Node(0, "input", "input", (), SHAPE)]
    for number, given in enumerate((FIRST, *layers, LAST), 1):
        node = replace(given, index=number, inputs=given.inputs or (number - 1,))
        made = layer(node.kind).output_shape(node, [nodes[index].shape for index in node.inputs])
        nodes.append(replace(node, shape=made))
    return Graph(kind, tuple(nodes))
