"""Tables of an evaluation: a row for each setting, for each setting and layer, for each setting and image."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
from rich import box
from rich.table import Table

from accelsim.evaluation.blocks import FREE, Measured, counted
from accelsim.graph import Graph
from accelsim.inference import Epsilon
from accelsim.report.counting import COUNTED_KINDS

TABLE_COLUMNS = (
    *("network", "setting", "mode", "epsilon", "images", "top1_percent", "top5_percent", "top1_loss", "top5_loss"),
    *("saved_elements", "conv_saved_elements", "marked_elements", "percent_of_outputs", "conv_percent_of_outputs", "percent_of_conv"),
    *("marked_percent_of_outputs", "conv_layers_with_zero", "best_score", "epsilon_by_layer"),
)
"""Columns of `accuracy.csv`. Means over the images; percentages of accuracy and of elements; losses in points, counted from epsilon 0.

`saved_elements`: H*W for each zero channel of convolutions and max-pools; `conv_saved_elements` of convolutions alone; `marked_elements`:
what a marker as fine as the mode would skip in both. `percent_of_outputs`: saved over the outputs of convolutions, max-pools, shortcuts,
fully connected and average-pool layers; `conv_percent_of_outputs`: saved by convolutions over the same, which is what the paper's Table 4
prints; `percent_of_conv`: of and over convolutions, which is what its Table 5 prints.
"""


class Tally:
    """Collects settings; the tables hold them in the order in which they came."""

    def __init__(self, graph: Graph, name: str) -> None:
        self._graph = graph
        self._name = name
        self._rows: list[dict[str, Any]] = []
        self._layers: list[dict[str, Any]] = []
        self._images: list[pd.DataFrame] = []
        self._right: tuple[float, float] | None = None

    def add(self, setting: str, mode: str, epsilon: Epsilon, measured: Measured) -> None:
        """Add a setting. The first one with epsilon 0 is what losses are counted from."""
        nodes = counted(self._graph)
        conv = [index for index, node in enumerate(nodes) if node.kind == "conv"]
        outputs = sum(node.elements for node in self._graph.nodes if node.kind in COUNTED_KINDS)
        conv_outputs = sum(nodes[index].elements for index in conv)
        count = len(measured.images)
        saved, marked = measured.saved.sum(axis=0), measured.marked.sum(axis=0)
        all_saved, conv_saved, all_marked = int(saved.sum()), int(saved[conv].sum()), int(marked.sum())
        right = tuple(100 * measured.right(most) / count if measured.labelled else math.nan for most in (1, 5))
        if self._right is None:
            self._right = (right[0], right[1])
        by_layer = json.dumps(dict(epsilon)) if isinstance(epsilon, Mapping) else ""
        head: dict[str, Any] = {"network": self._graph.name, "setting": setting, "mode": mode}
        number = math.nan if isinstance(epsilon, Mapping) else float(epsilon)
        self._rows.append(
            {
                **head,
                "epsilon": number,
                "images": count,
                "top1_percent": right[0],
                "top5_percent": right[1],
                "top1_loss": round(self._right[0] - right[0], 9),
                "top5_loss": round(self._right[1] - right[1], 9),
                "saved_elements": all_saved / count,
                "conv_saved_elements": conv_saved / count,
                "marked_elements": all_marked / count,
                "percent_of_outputs": _percent(all_saved, outputs * count),
                "conv_percent_of_outputs": _percent(conv_saved, outputs * count),
                "percent_of_conv": _percent(conv_saved, conv_outputs * count),
                "marked_percent_of_outputs": _percent(all_marked, outputs * count),
                "conv_layers_with_zero": int((measured.saved[:, conv] > 0).sum()) / count,
                "best_score": float(measured.best_score.mean()),
                "epsilon_by_layer": by_layer,
            }
        )
        for index, node in enumerate(nodes):
            own = epsilon.get(node.name, 0.0) if isinstance(epsilon, Mapping) else epsilon
            self._layers.append(
                {
                    **head,
                    "layer": node.name,
                    "kind": node.kind,
                    "epsilon": float(own),
                    "output_elements": node.elements,
                    "saved_elements": int(saved[index]) / count,
                    "marked_elements": int(marked[index]) / count,
                    "saved_percent": _percent(int(saved[index]), node.elements * count),
                    "marked_percent": _percent(int(marked[index]), node.elements * count),
                }
            )
        frame = pd.DataFrame({"image": measured.images})
        for position, (column, value) in enumerate({**head, "epsilon": number}.items()):
            frame.insert(position, column, value)
        labelled = measured.target != FREE
        frame["target"] = pd.array([value if known else None for value, known in zip(measured.target, labelled, strict=True)], "Int64")
        frame["rank"] = pd.array([value if known else None for value, known in zip(measured.rank, labelled, strict=True)], "Int64")
        frame["best"] = measured.best
        frame["best_score"] = measured.best_score
        frame["target_score"] = measured.target_score
        frame["saved_elements"] = measured.saved.sum(axis=1)
        frame["conv_saved_elements"] = measured.saved[:, conv].sum(axis=1)
        frame["marked_elements"] = measured.marked.sum(axis=1)
        self._images.append(frame)

    def table(self) -> pd.DataFrame:
        """One row a setting, columns `TABLE_COLUMNS`."""
        return pd.DataFrame(self._rows, columns=list(TABLE_COLUMNS))

    def layers(self) -> pd.DataFrame:
        """One row a setting and layer; means over the images."""
        return pd.DataFrame(self._layers)

    def images(self) -> pd.DataFrame:
        """One row a setting and image; `rank`: outputs ahead of the right one."""
        return pd.concat(self._images, ignore_index=True)


def _percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole else 0.0


def terminal_table(table: pd.DataFrame) -> Table:
    """The table of settings for people."""
    labelled = bool(table["top1_percent"].notna().all())
    shown = Table(box=box.SIMPLE_HEAD, title=f"{table['network'].iloc[0]}, {table['images'].iloc[0]:,} images", title_justify="left")
    shown.add_column("mode")
    shown.add_column("epsilon", justify="right")
    accuracy = ("top-1 (%)", "top-5 (%)", "lost (points)") if labelled else ("best score",)
    for header in (*accuracy, "saved (conv)", "% of outputs", "% of conv", "marked (%)"):
        shown.add_column(header, justify="right")
    for row in table.to_dict("records"):
        lost = f"{row['top1_loss']:.2f} / {row['top5_loss']:.2f}"
        cells = [f"{row['top1_percent']:.2f}", f"{row['top5_percent']:.2f}", lost] if labelled else [f"{row['best_score']:.4f}"]
        elements = f"{row['conv_saved_elements']:,.1f}"
        shares = [row[name] for name in ("conv_percent_of_outputs", "percent_of_conv", "marked_percent_of_outputs")]
        shown.add_row(row["mode"], row["setting"], *cells, elements, *(f"{share:.3f}" for share in shares))
    return shown
