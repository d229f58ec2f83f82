"""Our feature maps against those of an independent implementation, one line per layer.

The table is read in the format of `golden/squeezenet_v1.1/layers.csv`: a row per image, epsilon and layer. Only columns that are there
are compared. Tolerances allow for another order of float32 sums, no more; our own order (`operators/order.py`) is that of the golden table.
Source:  golden/README.md: tolerances and the meaning of every column
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import ModelError
from accelsim.graph import Graph
from accelsim.images import Preprocessing
from accelsim.inference import Activation, Progress, photograph, prepare, run, silent
from accelsim.layers.base import Tensor
from accelsim.networks.network import Network, output_index
from accelsim.validation.reference import Tensors
from accelsim.validation.tables import Column, Line, count, magnitude, number, read_table, text

MAXIMA = 1e-4
"""Relative difference of a channel's largest magnitude, and of a layer's minimum, maximum, mean and standard deviation."""
PROBABILITIES = 1e-4
"""Absolute difference of the network's outputs."""
ZEROS = 1e-4
"""Difference of zero counts, relative to the elements of the layer: 0.01 %."""
BORDER = 1e-3
"""A channel whose largest magnitude is so near epsilon may fall on either side of it."""

COLUMNS: Mapping[str, Column] = {
    "image": Column(text, required=True),
    "layer": Column(text, required=True),
    "eps": Column(magnitude),
    "idx": Column(count),
    **dict.fromkeys(("cin", "hin", "win", "cout", "hout", "wout", "kh", "kw", "stride", "groups"), Column(count)),
    "act": Column(text),
    **dict.fromkeys(("zeros", "pruned_ch", "zero_in_ch"), Column(count, optional_cells=True)),
    "zero_frac": Column(magnitude, optional_cells=True),
    **dict.fromkeys(("min", "max", "mean", "std"), Column(number, optional_cells=True)),
}


@dataclass(frozen=True)
class Row:
    """One layer of one image at one epsilon, or the network's output (`layer` 'output').

    Units:   counts of elements and channels; `zero_difference`: difference of zero counts over elements; `maxima_error`: largest relative
             difference of a channel's largest magnitude;
             `output_error`: largest absolute difference of an output. None where the reference says nothing.
    """

    image: str
    epsilon: float
    layer: str
    zeros: int | None = None
    reference_zeros: int | None = None
    zero_difference: float | None = None
    pruned_channels: int | None = None
    reference_pruned_channels: int | None = None
    zero_input_channels: int | None = None
    reference_zero_input_channels: int | None = None
    maxima_error: float | None = None
    output_error: float | None = None
    faults: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether everything that was compared is within its tolerance."""
        return not self.faults

    def __str__(self) -> str:
        """One line of a report."""
        parts = [f"{'pass' if self.passed else 'MISS'}  {self.image}  eps {self.epsilon:g}  {self.layer}"]
        if self.reference_zeros is not None:
            parts.append(f"zeros {self.zeros:,}/{self.reference_zeros:,}")
        if self.reference_pruned_channels is not None:
            parts.append(f"pruned channels {self.pruned_channels}/{self.reference_pruned_channels}")
        if self.reference_zero_input_channels is not None:
            parts.append(f"zero input channels {self.zero_input_channels}/{self.reference_zero_input_channels}")
        if self.maxima_error is not None:
            parts.append(f"maxima differ by {self.maxima_error:.1e}")
        if self.output_error is not None:
            parts.append(f"outputs differ by {self.output_error:.1e}")
        return "  ".join([*parts, *self.faults])


@dataclass(frozen=True)
class Validation:
    """All rows, in the order of the table; outputs after the layers of their image."""

    rows: tuple[Row, ...]

    @property
    def passed(self) -> bool:
        """Whether no row missed."""
        return all(row.passed for row in self.rows)

    def lines(self) -> list[str]:
        """One line per row and one that sums up: measured before the stroke, reference behind it."""
        missed = sum(not row.passed for row in self.rows)
        return [*map(str, self.rows), f"{len(self.rows) - missed} of {len(self.rows)} rows pass" + (f", {missed} miss" if missed else "")]


def validate(
    network: Network,
    table: Path,
    images: Path,
    preprocessing: Preprocessing,
    *,
    tensors: Path | None = None,
    progress: Progress = silent,
) -> Validation:
    """Run a network on the images that a reference table names and compare layer by layer.

    `images`: an `.npz` archive with one array per image, or a folder of pictures, named as in the table. `tensors`: an `.npz` archive as
    `golden/squeezenet_v1.1/tensors.npz`. Epsilon is applied as the reference does: in mode `channel`.
    Raises:  `ModelError` for a table, an archive or an image that cannot be read or does not belong to the network
    """
    lines = read_table(table, COLUMNS)
    if not {name for line in lines for name in line.cells} - {"image", "layer", "eps", "idx"}:
        raise ModelError(f"{table}:1: nothing to compare; allowed: {', '.join(list(COLUMNS)[4:])}")
    _check_layers(table, lines, network.graph)
    prepared = prepare(network)
    groups: dict[tuple[str, float], list[Line]] = defaultdict(list)
    for line in lines:
        groups[str(line.cells["image"]), float(line.cells.get("eps", 0.0))].append(line)
    inputs = {image: photograph(_source(images, image), preprocessing) for image in dict.fromkeys(image for image, _ in groups)}
    rows: list[Row] = []
    with Tensors.open(tensors) as reference:
        for done, ((image, epsilon), group) in enumerate(groups.items()):
            progress(f"{network.graph.name} on {image}, epsilon {epsilon:g}", done, len(groups))
            rows.extend(
                _Comparison(network.graph, image, epsilon, reference).rows(run(prepared, inputs[image].tensor, epsilon=epsilon), group)
            )
    progress(network.graph.name, len(groups), len(groups))
    return Validation(tuple(rows))


def _source(images: Path, name: str) -> str:
    """Where the image of this name is."""
    if images.is_dir():
        found = sorted(path for path in images.iterdir() if path.stem == name and path.is_file())
        if len(found) != 1:
            fault = f"{len(found)} files" if found else "no file"
            raise ModelError(f"{images}: {fault} named {name!r}, which the table asks for; one is needed")
        return str(found[0])
    return f"{images}:{name}"


def _check_layers(table: Path, lines: Sequence[Line], graph: Graph) -> None:
    names = {node.name for node in graph.nodes}
    for line in lines:
        layer = str(line.cells["layer"])
        if layer not in names:
            guess = get_close_matches(layer, sorted(names), n=1)
            hint = f".  Did you mean {guess[0]!r}?" if guess else ""
            raise ModelError(f"{table}:{line.number}: column {line.places['layer']} (layer): {graph.name} has no layer {layer!r}{hint}")


@dataclass(frozen=True)
class _Seen:
    """What is kept of a node's output: its zero channels, and which channels come from one that lay near epsilon."""

    zero_channels: NDArray[np.bool_]
    near: NDArray[np.bool_]


def _near(step: Activation, inputs: Sequence[_Seen], epsilon: float, reference: NDArray[np.float64] | None) -> NDArray[np.bool_]:
    """Channels that may be zero in one implementation and not in the other. Shapes: `reference` maxima [C] -> bool [C].

    A channel of exact zeros is not near epsilon 0, or nothing would ever be compared there.
    """
    near = (step.maxima > 0) & (np.abs(step.maxima.astype(np.float64) - epsilon) <= BORDER)
    if reference is not None:
        near |= (reference > 0) & (np.abs(reference - epsilon) <= BORDER)
    if step.node.kind != "conv" and inputs:
        # kinds that keep channels apart inherit from their producers
        inherited = np.concatenate([seen.near for seen in inputs])
        if inherited.size == near.size:
            near |= inherited
    return near


@dataclass(frozen=True, eq=False)
class _Comparison:
    """One image at one epsilon."""

    graph: Graph
    image: str
    epsilon: float
    reference: Tensors

    def rows(self, activations: Iterable[Activation], lines: Sequence[Line]) -> list[Row]:
        """Compare every line, in the order of the lines; input and outputs come last."""
        rows: dict[int, Row] = {}
        ends: list[Row] = []
        seen: dict[int, _Seen] = {}
        for step in activations:
            node = step.node
            inputs = [seen[index] for index in node.inputs]
            near: NDArray[np.bool_] | None = None
            for place, line in enumerate(lines):
                if line.cells["layer"] == node.name:
                    maxima = self.tensor(line, "maxabs", node.shape[0])
                    near = _near(step, inputs, self.epsilon, maxima)
                    rows[place] = _Check(self, step, inputs, line, near, maxima).row()
            seen[node.index] = _Seen(step.zero_channels, _near(step, inputs, self.epsilon, None) if near is None else near)
            if self.epsilon == 0 and node.index == 0:
                ends.extend(self._end("input", step.output, MAXIMA * float(step.maxima.max())))
            if self.epsilon == 0 and node.index == output_index(self.graph):
                ends.extend(self._end("output", step.output, PROBABILITIES))
        return [rows[place] for place in range(len(lines))] + ends

    def tensor(self, line: Line, what: str, size: int) -> NDArray[np.float64] | None:
        """Find a reference tensor of the layer of this line, flat; the reference holds them for epsilon 0."""
        if self.epsilon != 0 or "idx" not in line.cells:
            return None
        return self.reference.find(self.image, f"{int(line.cells['idx']):03d}/{what}", size)

    def _end(self, what: str, values: Tensor, allowed: float) -> Iterator[Row]:
        expected = self.reference.find(self.image, what, values.size)
        if expected is not None:
            error = float(np.abs(values.reshape(-1).astype(np.float64) - expected).max())
            fault = () if error <= allowed else (f"{what} differs by {error:.2e}, allowed {allowed:.1e}",)
            yield Row(self.image, self.epsilon, what, output_error=error, faults=fault)


@dataclass
class _Check:
    """The comparison of one layer with one line of the table."""

    run: _Comparison
    step: Activation
    inputs: Sequence[_Seen]
    line: Line
    near: NDArray[np.bool_]
    maxima: NDArray[np.float64] | None
    faults: list[str] = field(default_factory=list)

    def row(self) -> Row:
        """Compare everything that the line and the tensors state."""
        cells, epsilon = self.line.cells, self.run.epsilon
        self._geometry()
        zeros = int(self.step.zeros.sum())
        pruned = int(self.step.marked.sum())
        zero_inputs = sum(int(seen.zero_channels.sum()) for seen in self.inputs)
        self._zeros(zeros)
        self._channels("pruned_ch", pruned, int(self.near.sum()))
        self._channels("zero_in_ch", zero_inputs, sum(int(seen.near.sum()) for seen in self.inputs))
        error = None
        if epsilon == 0:
            self._statistics()
            self._values()
            error = self._maxima()
        return Row(
            image=self.run.image,
            epsilon=epsilon,
            layer=self.step.node.name,
            zeros=zeros,
            reference_zeros=self._count("zeros"),
            zero_difference=None if "zeros" not in cells else (zeros - int(cells["zeros"])) / self.step.node.elements,
            pruned_channels=pruned,
            reference_pruned_channels=self._count("pruned_ch"),
            zero_input_channels=zero_inputs,
            reference_zero_input_channels=self._count("zero_in_ch"),
            maxima_error=error,
            faults=tuple(self.faults),
        )

    def _count(self, column: str) -> int | None:
        return int(self.line.cells[column]) if column in self.line.cells else None

    def _geometry(self) -> None:
        node = self.step.node
        shapes = self.run.graph.input_shapes(node.index) or (node.shape,)
        ours: dict[str, object] = dict(zip(("cout", "hout", "wout"), node.shape, strict=True))
        ours |= {"cin": sum(shape[0] for shape in shapes), "hin": shapes[0][1], "win": shapes[0][2]}
        ours |= {"kh": node.kernel[0], "kw": node.kernel[1], "stride": node.stride[0], "groups": node.groups, "act": node.activation}
        wrong = [f"{name} {ours[name]}/{self.line.cells[name]}" for name in ours if self.line.cells.get(name, ours[name]) != ours[name]]
        if wrong:
            self.faults.append("another layer: " + ", ".join(wrong))

    def _zeros(self, zeros: int) -> None:
        elements = self.step.node.elements
        for column, reference in (("zeros", 1.0), ("zero_frac", float(elements))):
            if column in self.line.cells:
                difference = abs(zeros - float(self.line.cells[column]) * reference) / elements
                if difference > ZEROS:
                    self.faults.append(f"{column}: differs by {100 * difference:.4f} % of elements, allowed {100 * ZEROS:g} %")

    def _channels(self, column: str, ours: int, near: int) -> None:
        reference = self._count(column)
        if reference is not None and abs(ours - reference) > near:
            self.faults.append(f"{column}: {ours}, reference {reference}, {near} channels near epsilon")

    def _statistics(self) -> None:
        output = self.step.output
        functions: dict[str, Callable[[Tensor], np.floating]] = {"min": np.min, "max": np.max, "mean": _mean, "std": _std}
        largest = float(self.step.maxima.max())
        for column, function in functions.items():
            if column in self.line.cells:
                ours, reference = float(function(output)), float(self.line.cells[column])
                # a minimum or mean may be near 0 by cancellation, so the layer's largest magnitude is the measure for those
                scale = largest if column in ("min", "mean") else abs(reference)
                if abs(ours - reference) > MAXIMA * scale:
                    self.faults.append(f"{column}: {ours:g}, reference {reference:g}")

    def _values(self) -> None:
        """Compare the zeros of each channel, and every element of the first four."""
        channels, elements = self.step.node.shape[0], self.step.node.elements
        zeros = self.run.tensor(self.line, "zeros", channels)
        if zeros is not None:
            difference = float(np.abs(self.step.zeros - zeros).sum()) / elements
            if difference > ZEROS:
                self.faults.append(f"zeros of channels: {100 * difference:.4f} % of elements differ, allowed {100 * ZEROS:g} %")
        head = self.step.output[:4].reshape(-1).astype(np.float64)
        values = self.run.tensor(self.line, "first4", head.size)
        if values is not None:
            difference = float(np.abs(head - values).max()) / max(float(np.abs(values).max()), float(np.finfo(np.float32).tiny))
            if difference > MAXIMA:
                self.faults.append(f"first four channels: an element is off by {difference:.2e} of the largest, allowed {MAXIMA:g}")

    def _maxima(self) -> float | None:
        """Compare the largest magnitude of each channel: largest relative error."""
        maxima = self.maxima
        if maxima is None:
            return None
        error = np.abs(self.step.maxima - maxima) / np.maximum(maxima, np.finfo(np.float32).tiny)
        worst = int(np.argmax(error))
        if error[worst] > MAXIMA:
            self.faults.append(f"channel {worst}: largest magnitude off by {error[worst]:.2e}, allowed {MAXIMA:g}")
        return float(error[worst])


def _mean(values: Tensor) -> np.floating:
    return np.mean(values, dtype=np.float64)


def _std(values: Tensor) -> np.floating:
    return np.std(values, dtype=np.float64)
