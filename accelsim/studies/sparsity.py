"""Value sparsity by threshold: of the numbers a network is made of, and of the feature maps it makes.

A value counts where its magnitude is at most the threshold (inclusive, compared in float64).
Source:  dynamic runtime feature map pruning paper: Table 1 (all parameters: weights, biases, and what batch normalisation stores), Table 2
         (weights of convolutions), Figure 4 (feature maps of convolutions)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from accelsim import inference, report, runfile, simulate
from accelsim.errors import ConfigError, quoted
from accelsim.inference import Input
from accelsim.layers.base import Tensor
from accelsim.networks import darknet
from accelsim.networks.network import Network
from accelsim.report.counting import COUNTED_KINDS
from accelsim.runfile import NetworkFile

if TYPE_CHECKING:
    from rich.table import Table

THRESHOLDS = (0.0, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.2)
"""Those of the paper's tables."""
ALL, CONV = "all parameters", "convolution weights"
MAPS = "convolution outputs"
WEIGHTS = frozenset({"weight", "weights"})
"""Roles that are weights, whatever a format calls them."""

Progress = Callable[[str, int, int], None]
Counts = NDArray[np.int64]


def silent(what: str, done: int, total: int) -> None:
    """Report nothing."""


@dataclass(frozen=True, eq=False, repr=False)
class Sparsity:
    """What was counted; every table has a row for each threshold of what it names.

    `weights`: network, scope, threshold, values, within, percent; `weights_by_layer`: with layer, kind and role instead of scope;
    `maps`, `maps_by_layer`: of all images together, empty where no image was given. Units: counts and per cent.
    """

    network: str
    weights: pd.DataFrame
    weights_by_layer: pd.DataFrame
    maps: pd.DataFrame
    maps_by_layer: pd.DataFrame

    def __repr__(self) -> str:
        return f"Sparsity({self.network})\n{pd.concat([self.weights, self.maps]).to_string(index=False)}"


def sparsity(
    network: str | Path | NetworkFile,
    images: Sequence[str] = (),
    thresholds: Sequence[float] = THRESHOLDS,
    *,
    overrides: Sequence[str] = (),
    progress: Progress = silent,
) -> Sparsity:
    """Count the small values of a network's parameters, and of its feature maps on images if some are given.

    `network`: a network file, or its path; `images`: files, globs, or arrays in archives.
    Raises:  `ConfigError`, `ModelError` for what the user can mend
    """
    limits = _thresholds(thresholds)
    file = network if isinstance(network, NetworkFile) else runfile.load_network_file(network, overrides)
    # As a job, so that globs are expanded and every file is known to be there.
    sources = runfile.InferenceJob(network=file, images=tuple(images)).images if images else ()
    loaded = simulate.load_network(file)
    of_layers, totals = _count_parameters(file.name, parameters(file, loaded), limits)
    inputs = (inference.photograph(source, file.preprocessing) for source in sources)
    maps_by_layer, maps = _count_maps(loaded, inputs, len(sources), limits, progress)
    return Sparsity(file.name, totals, of_layers, maps, maps_by_layer)


def parameters(file: NetworkFile, network: Network) -> Iterator[tuple[str, str, str, Tensor]]:
    """Layer, kind, role and values of everything a network stores.

    Of Darknet's files as they are; of others, and where weights are pruned or quantised, as they run, batch normalisation folded in.
    Raises:  `ModelError` where there are no weights
    """
    weights = network.require_weights()
    if file.darknet is not None and file.darknet.weights is not None and file.prune is None and file.quantise is None:
        for node, arrays in darknet.parameters(file.darknet.cfg, file.darknet.weights):
            yield from ((node.name, node.kind, role, values) for role, values in arrays.items())
        return
    for index, roles in weights.items():
        node = network.graph.nodes[index]
        yield from ((node.name, node.kind, role, values) for role, values in roles.items())


def within(values: NDArray[Any], thresholds: Sequence[float]) -> Counts:
    """Count values whose magnitude is at most each threshold. Shapes: values any; int64 [thresholds]. NaN never counts."""
    magnitude = np.abs(values)
    return np.array([np.count_nonzero(magnitude <= np.float64(limit)) for limit in thresholds], dtype=np.int64)


def write(found: Sparsity, folder: str | Path, *, figures: bool = True) -> tuple[Path, ...]:
    """Write weights.csv, weights_by_layer.csv, and with images maps.csv and maps_by_layer.csv, and the figure."""
    tables = {
        "weights": found.weights,
        "weights_by_layer": found.weights_by_layer,
        "maps": found.maps,
        "maps_by_layer": found.maps_by_layer,
    }
    files = {f"{name}.csv": table.to_csv(index=False, lineterminator="\n").encode() for name, table in tables.items() if len(table)}
    if figures:
        from accelsim import plots

        files |= dict(plots.files([(f"{plots.slug(found.network)}_sparsity", plots.sparsity(found.weights, found.maps))]))
    return report.write_files(Path(folder), files)


def parse_thresholds(text: str) -> tuple[float, ...]:
    """Read thresholds that are written with commas between them. Raises `ConfigError`."""
    try:
        return _thresholds([float(part) for part in text.split(",")])
    except ValueError:
        raise ConfigError(f"thresholds: {quoted(text)}\n    allowed: finite numbers from 0, for example 0,0.01,0.1") from None


def terminal_table(found: Sparsity) -> Table:
    """Totals for people: a line a scope, a column a threshold."""
    from rich import box
    from rich.table import Table

    shown = Table(box=box.SIMPLE_HEAD, title=f"{found.network}: values within a threshold of zero (%)", title_justify="left")
    for header in ("of", "values"):
        shown.add_column(header, justify="left" if header == "of" else "right")
    rows = pd.concat([found.weights, found.maps])
    for threshold in dict.fromkeys(rows["threshold"]):
        shown.add_column(f"{threshold:g}", justify="right")
    for scope, own in rows.groupby("scope", sort=False):
        shown.add_row(str(scope), f"{own['values'].iloc[0]:,}", *(f"{percent:.2f}" for percent in own["percent"]))
    return shown


def _count_parameters(
    network: str, found: Iterable[tuple[str, str, str, Tensor]], thresholds: Sequence[float]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows: list[dict[str, Any]] = []
    sums = {scope: (0, np.zeros(len(thresholds), np.int64)) for scope in (ALL, CONV)}
    for name, kind, role, values in found:
        counts = within(values, thresholds)
        rows += _rows({"network": network, "layer": name, "kind": kind, "role": role}, values.size, counts, thresholds)
        for scope in (ALL, CONV):
            if scope == ALL or (kind == "conv" and role in WEIGHTS):
                size, before = sums[scope]
                sums[scope] = (size + values.size, before + counts)
    totals = [
        row
        for scope, (size, counts) in sums.items()
        if size
        for row in _rows({"network": network, "scope": scope}, size, counts, thresholds)
    ]
    return pd.DataFrame(rows), pd.DataFrame(totals)


def _count_maps(
    network: Network, inputs: Iterator[Input], images: int, thresholds: Sequence[float], progress: Progress
) -> tuple[pd.DataFrame, pd.DataFrame]:
    name = network.graph.name
    if not images:
        return pd.DataFrame(), pd.DataFrame()
    prepared = inference.prepare(network)
    nodes = [node for node in network.graph.nodes if node.kind in COUNTED_KINDS]
    sums: Mapping[int, Counts] = {node.index: np.zeros(len(thresholds), np.int64) for node in nodes}
    for done, source in enumerate(inputs):
        progress(f"count the feature maps of {name} on {source.name}", done, images)
        for step in inference.run(prepared, source.tensor):
            if step.node.index in sums:
                sums[step.node.index][:] += within(step.output, thresholds)
    rows: list[dict[str, Any]] = []
    for node in nodes:
        rows += _rows({"network": name, "layer": node.name, "kind": node.kind}, node.elements * images, sums[node.index], thresholds)
    conv = [node for node in nodes if node.kind == "conv"]
    totals: list[dict[str, Any]] = []
    if conv:
        size = images * sum(node.elements for node in conv)
        counts = np.sum([sums[node.index] for node in conv], axis=0)
        totals = _rows({"network": name, "scope": MAPS}, size, counts, thresholds)
    return pd.DataFrame(rows).assign(images=images), pd.DataFrame(totals).assign(images=images)


def _rows(head: Mapping[str, str], size: int, counts: Counts, thresholds: Sequence[float]) -> list[dict[str, Any]]:
    return [
        {**head, "threshold": threshold, "values": size, "within": count, "percent": 100 * count / size if size else math.nan}
        for threshold, count in zip(thresholds, counts.tolist(), strict=True)
    ]


def _thresholds(given: Sequence[float]) -> tuple[float, ...]:
    wrong = [limit for limit in given if not (math.isfinite(limit) and limit >= 0)]
    if wrong or not given:
        raise ConfigError(f"thresholds: {', '.join(map(str, wrong)) or 'none'}\n    allowed: finite numbers from 0, for example 0,0.01,0.1")
    return tuple(sorted({float(limit) for limit in given}))
