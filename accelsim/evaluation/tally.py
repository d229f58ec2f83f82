"""Tables of an evaluation: a row for each setting, for each setting and layer, for each setting and image."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
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

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._nodes = counted(graph)
        self._conv = [index for index, node in enumerate(self._nodes) if node.kind == "conv"]
        self._rows: list[dict[str, Any]] = []
        self._layers: list[dict[str, Any]] = []
        self._images: list[pd.DataFrame] = []
        self._right: tuple[float, float] | None = None

    def add(self, setting: str, mode: str, epsilon: Epsilon, measured: Measured) -> None:
        """Add a setting. The first one with epsilon 0 is what losses are counted from."""
        head: dict[str, Any] = {"network": self._graph.name, "setting": setting, "mode": mode}
        self._rows.append({**head, **self._row(epsilon, measured)})
        self._layers += [{**head, **row} for row in self._layer_rows(epsilon, measured)]
        self._images.append(self._image_rows({**head, "epsilon": _number(epsilon)}, measured))

    def _row(self, epsilon: Epsilon, measured: Measured) -> dict[str, Any]:
        """What is said of a setting."""
        count, conv = len(measured.images), self._conv
        outputs = sum(node.elements for node in self._graph.nodes if node.kind in COUNTED_KINDS)
        conv_outputs = sum(self._nodes[index].elements for index in conv)
        saved, marked = int(measured.saved.sum()), int(measured.marked.sum())
        conv_saved = int(measured.saved[:, conv].sum())
        top1, top5 = (100 * measured.right(most) / count if measured.labelled else math.nan for most in (1, 5))
        if self._right is None:
            self._right = (top1, top5)
        return {
            "epsilon": _number(epsilon),
            "images": count,
            "top1_percent": top1,
            "top5_percent": top5,
            "top1_loss": round(self._right[0] - top1, 9),
            "top5_loss": round(self._right[1] - top5, 9),
            "saved_elements": saved / count,
            "conv_saved_elements": conv_saved / count,
            "marked_elements": marked / count,
            "percent_of_outputs": _percent(saved, outputs * count),
            "conv_percent_of_outputs": _percent(conv_saved, outputs * count),
            "percent_of_conv": _percent(conv_saved, conv_outputs * count),
            "marked_percent_of_outputs": _percent(marked, outputs * count),
            "conv_layers_with_zero": int((measured.saved[:, conv] > 0).sum()) / count,
            "best_score": float(measured.best_score.mean()),
            "epsilon_by_layer": json.dumps(dict(epsilon)) if isinstance(epsilon, Mapping) else "",
        }

    def _layer_rows(self, epsilon: Epsilon, measured: Measured) -> Iterator[dict[str, Any]]:
        """What is said of each layer."""
        count = len(measured.images)
        saved, marked = measured.saved.sum(axis=0), measured.marked.sum(axis=0)
        for index, node in enumerate(self._nodes):
            yield {
                "layer": node.name,
                "kind": node.kind,
                "epsilon": float(epsilon.get(node.name, 0.0) if isinstance(epsilon, Mapping) else epsilon),
                "output_elements": node.elements,
                "saved_elements": int(saved[index]) / count,
                "marked_elements": int(marked[index]) / count,
                "saved_percent": _percent(int(saved[index]), node.elements * count),
                "marked_percent": _percent(int(marked[index]), node.elements * count),
            }

    def _image_rows(self, head: Mapping[str, Any], measured: Measured) -> pd.DataFrame:
        """What is said of each image."""
        labelled = measured.target != FREE
        known = {
            name: pd.array([value if told else None for value, told in zip(values, labelled, strict=True)], "Int64")
            for name, values in (("target", measured.target), ("rank", measured.rank))
        }
        return pd.DataFrame(
            {
                **{column: [value] * len(measured.images) for column, value in head.items()},
                "image": measured.images,
                **known,
                "best": measured.best,
                "best_score": measured.best_score,
                "target_score": measured.target_score,
                "saved_elements": measured.saved.sum(axis=1),
                "conv_saved_elements": measured.saved[:, self._conv].sum(axis=1),
                "marked_elements": measured.marked.sum(axis=1),
            }
        )

    def table(self) -> pd.DataFrame:
        """One row a setting, columns `TABLE_COLUMNS`."""
        return pd.DataFrame(self._rows, columns=list(TABLE_COLUMNS))

    def layers(self) -> pd.DataFrame:
        """One row a setting and layer; means over the images."""
        return pd.DataFrame(self._layers)

    def images(self) -> pd.DataFrame:
        """One row a setting and image; `rank`: outputs ahead of the right one."""
        return pd.concat(self._images, ignore_index=True)


def _number(epsilon: Epsilon) -> float:
    """The epsilon of all layers; NaN where each has its own."""
    return math.nan if isinstance(epsilon, Mapping) else float(epsilon)


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
