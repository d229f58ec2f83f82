"""What is measured of one network of the paper: whatever the files that are at hand allow, and why the rest is missing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from accelsim import tracefile
from accelsim.errors import ModelError, UserError
from accelsim.evaluation import evaluate, evaluatefile
from accelsim.labelled import Photographs
from accelsim.paper.numbers import Gap, Key, Measured
from accelsim.paper.paperfile import Archive, PaperNetwork
from accelsim.report.counting import PaperCount, saved_elements
from accelsim.studies import sparsity
from accelsim.trace import PUBLISHED, Trace

ASSETS = "ACCELSIM_ASSETS"
EPSILONS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
"""Those of the paper's Tables 3 and 5; its Table 4 has the first two."""
BITS = 16
"""Of an element in Figure 6."""
TABLE_1, TABLE_2, TABLE_3, TABLE_4, TABLE_5 = (f"Table {number}" for number in range(1, 6))
FIGURE_4, FIGURE_6, SECTION = "Figure 4", "Figure 6", "Section 3.1"

Progress = Callable[[str, int, int], None]


@dataclass
class Bench:
    """Where one network is measured, and what was found. `curves`: the accuracy table of its labelled images; `trace`: the dog's."""

    name: str
    entry: PaperNetwork
    folder: Path
    progress: Progress
    measured: list[Measured] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    curves: pd.DataFrame | None = None
    trace: Trace | None = None

    def run(self, outputs: Mapping[str, int]) -> None:
        """Measure all there is. `outputs`: output elements of the networks before."""
        self.gaps.append(Gap("", self.name, self.entry.absent))
        steps: tuple[tuple[object, tuple[str, ...], Callable[[], Iterator[Measured]]], ...] = (
            (self.entry.trace, (TABLE_4, SECTION, FIGURE_4, FIGURE_6), self._counted),
            (self.entry.network, (TABLE_1, TABLE_2), self._parameters),
            (self.entry.photographs, (TABLE_4, FIGURE_4, SECTION), self._photographs),
            (self.entry.labelled, (TABLE_3, TABLE_5), self._labelled),
            (self.entry.archive, (SECTION,), lambda: self._archive(self.entry.archive, outputs)),
        )
        for file, items, step in steps:
            if file is None:
                continue
            try:
                self.measured += step()
            except UserError as fault:
                why = str(fault).splitlines()[0]
                self.gaps[:0] = [Gap(item, self.name, why) for item in items]

    def _number(self, item: str, quantity: str, at: str, unit: str, value: float, data: str) -> Measured:
        return Measured(Key(item, self.name, quantity, at, unit), float(value), data)

    def _data(self, text: str) -> str:
        return f"{text}; {self.entry.other}" if self.entry.other else text

    def _counted(self) -> Iterator[Measured]:
        self.trace = trace = tracefile.load(self._file(self.entry.trace))
        count, data = PaperCount.of(trace), f"{'run log of the authors' if trace.source == PUBLISHED else trace.source}, {trace.image}"
        yield self._number(TABLE_4, "outputs", "", "thousand", count.output_elements / 1e3, "shapes")
        yield from self._reduction(count.conv_layers_with_zero, count.conv_layers, count.percent_of_conv, data)
        convs = [(node, fmap) for node, fmap in zip(trace.graph.nodes, trace.maps, strict=True) if node.kind == "conv"]
        zeros = [fmap.zero_elements for _, fmap in convs]
        if None not in zeros:
            share = 100 * sum(zero or 0 for zero in zeros) / count.conv_elements
            yield self._number(FIGURE_4, "convolution outputs within", "0", "%", share, data)

    def layers_of_figure_6(self) -> Iterator[Measured]:
        """What Figure 6 shows of the trace, and the means over its layers."""
        if self.trace is None:
            return
        trace, saved = self.trace, saved_elements(self.trace)
        data = f"{'run log of the authors' if trace.source == PUBLISHED else trace.source}, {trace.image}"
        convs = [node for node in trace.graph.nodes if node.kind == "conv"]
        share = np.array([100 * saved[node.index] / node.elements for node in convs])
        mean = "saved at epsilon 0, mean over the layers"
        yield self._number(FIGURE_6, mean, trace.image, "%", share.mean(), data)
        yield self._number(FIGURE_6, f"{mean} that have a zero channel", trace.image, "%", share[share > 0].mean(), data)
        yield self._number(
            FIGURE_6, "saved at epsilon 0, of all layers together", trace.image, "%", PaperCount.of(trace).percent_of_conv, data
        )
        for node in convs:
            yield self._number(FIGURE_6, "Mbit without pruning", node.name, "Mbit", node.elements * BITS / 1e6, data)
            yield self._number(FIGURE_6, "Mbit with pruning", node.name, "Mbit", (node.elements - saved[node.index]) * BITS / 1e6, data)

    def _reduction(self, layers: float, of: int, percent: float, data: str) -> Iterator[Measured]:
        yield self._number(SECTION, "convolutions with a zero channel at epsilon 0", "", "layers", layers, f"{data}; of {of}")
        yield self._number(SECTION, "reduction at epsilon 0, convolutions", "", "%", percent, data)

    def _parameters(self) -> Iterator[Measured]:
        self.progress(f"count the parameters of {self.name}", 0, 1)
        found = sparsity.sparsity(self._file(self.entry.network)).weights
        items = {sparsity.ALL: (TABLE_1, "all parameters within"), sparsity.CONV: (TABLE_2, "convolution weights within")}
        for row in found.to_dict("records"):
            item, quantity = items[row["scope"]]
            yield self._number(item, quantity, f"{row['threshold']:g}", "%", row["percent"], self._data("weights"))

    def _photographs(self) -> Iterator[Measured]:
        asked = self._asked(self.entry.photographs, EPSILONS[:2])
        found = evaluate.evaluate(asked, results=self.folder / asked.name, figures=False, progress=self.progress)
        count = int(found.table["images"].iloc[0])
        data = self._data(f"inference, {count} photographs")
        for row in found.images.to_dict("records"):
            image = str(row["image"]).rpartition(":")[2]
            quantity = f"best probability at epsilon {row['epsilon']:g}"
            yield self._number(TABLE_4, quantity, image, "%", 100 * row["best_score"], data)
        bare, pruned = found.table.to_dict("records")[:2]
        saved = pruned["conv_saved_elements"] / 1e3
        yield self._number(TABLE_4, "saved at epsilon 0.1", "", "thousand", saved, data)
        yield self._number(TABLE_4, "saved at epsilon 0.1, of outputs", "", "%", pruned["conv_percent_of_outputs"], data)
        layers = int((found.layers["kind"] == "conv").sum()) // len(found.table)
        yield from self._reduction(bare["conv_layers_with_zero"], layers, bare["percent_of_conv"], data)
        if isinstance(asked.images, Photographs):
            maps = sparsity.sparsity(asked.network_file(), asked.images.files, progress=self.progress).maps
            for row in maps.to_dict("records"):
                yield self._number(FIGURE_4, "convolution outputs within", f"{row['threshold']:g}", "%", row["percent"], data)

    def _labelled(self) -> Iterator[Measured]:
        asked = self._asked(self.entry.labelled, EPSILONS)
        found = evaluate.evaluate(asked, results=self.folder / asked.name, figures=False, progress=self.progress)
        self.curves = found.table
        data = self._data(f"inference, {int(found.table['images'].iloc[0])} labelled images")
        for row in found.table.to_dict("records"):
            at = f"{row['epsilon']:g}"
            for top in ("top1", "top5"):
                quantity, unit, value = ("accuracy", "%", row[f"{top}_percent"]) if at == "0" else ("loss", "points", row[f"{top}_loss"])
                yield self._number(TABLE_3, f"{top[:3]}-{top[3]} {quantity}", at, unit, value, data)
                if top == "top1":
                    yield self._number(TABLE_5, f"top-1 {quantity}", at, unit, value, data)
            yield self._number(TABLE_5, "reduction, convolutions", at, "%", row["percent_of_conv"], data)

    def _archive(self, archive: Archive | None, outputs: Mapping[str, int]) -> Iterator[Measured]:
        if archive is None:
            return
        maps = [values for _, values in arrays(archive)]
        dead = sum(int(np.logical_not(values.any(axis=(1, 2))).sum()) * values[0].size for values in maps)
        size, zeros = sum(values.size for values in maps), sum(int((values == 0).sum()) for values in maps)
        data = f"maps of others, {archive.image}"
        yield self._number(
            SECTION, "reduction at epsilon 0", "", "%", 100 * dead / outputs.get(archive.like, size), f"{data}, of all outputs"
        )
        yield self._number(SECTION, "reduction at epsilon 0", "", "%", 100 * dead / size, f"{data}, of convolutions")
        yield self._number(SECTION, "zeros in feature maps", "", "%", 100 * zeros / size, f"{data}, convolutions")

    def _asked(self, path: Path | None, epsilons: tuple[float, ...]) -> evaluatefile.Evaluate:
        asked = evaluatefile.load(self._file(path), [f"evaluate.epsilons={list(epsilons)}", "evaluate.modes=[channel]"])
        return asked.model_copy(update={"layer_epsilons": None, "auto": None})

    @staticmethod
    def _file(path: Path | None) -> Path:
        if path is None:
            raise ModelError("no file is named")
        return path


def arrays(archive: Archive) -> Iterator[tuple[str, np.ndarray[tuple[int, int, int], np.dtype[np.float32]]]]:
    """Maps of others, by name. Shapes: float32 [C, H, W]. Raises `ModelError` where they cannot be read."""
    below = os.environ.get(ASSETS)
    if not below:
        raise ModelError(f"{archive.file}: the folder of reference assets is not known ({ASSETS} is not set)")
    path = Path(below) / archive.file
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
            for name in archive.arrays:
                values = held[name]
                if values.ndim != 3 or values.dtype.kind not in "fiu":
                    raise ModelError(f"{path}: {name} is {values.dtype} {list(values.shape)}; numbers [C, H, W] are needed")
                yield name, values.astype(np.float32)
    except ModelError:
        raise
    except Exception as fault:  # zipfile, zlib and numpy raise many kinds on damaged files
        raise ModelError(f"{path}: cannot be read: {' '.join(str(fault).split())}") from fault
