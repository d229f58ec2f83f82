"""What weights take in memory under weight schemes, layer by layer: each layer in one piece, as a file holds it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from accelsim import report, weights
from accelsim.errors import ConfigError, ModelError
from accelsim.graph import Graph, Node
from accelsim.networks.network import Network
from accelsim.weights import WeightScheme
from accelsim.weights.base import Cut, Values, matrix

if TYPE_CHECKING:
    from rich.table import Table

KINDS = frozenset({"conv", "fc"})
"""Kinds whose weights are weighed."""
SUMS = ("weights", "zeros", "entries", "fillers", "code_bytes", "metadata_bytes", "dense_bytes", "stored_bytes")


def weigh(network: Network, schemes: Sequence[str], bits: int = 16) -> pd.DataFrame:
    """A row for each scheme and layer.

    Columns: `entries`, `fillers` and `code_bytes` (values, indices, fillers) and `metadata_bytes` (pointers, flags, codebook) are those of
             the code, whether or not it is smaller; `stored_bytes`: what is stored, which is dense where the code would be larger.
    Units:   `bits` of a weight, 4 to 32
    Raises:  `ConfigError` for an unknown scheme or width, `ModelError` where there are no weights
    """
    if not 4 <= bits <= 32:
        raise ConfigError(f"bits: {bits}\n    allowed: 4 to 32")
    chosen = [weights.load(scheme) for scheme in schemes]
    tensors = network.require_weights()
    rows = []
    for scheme in chosen:
        for node in network.graph.nodes:
            if node.kind in KINDS:
                values = of_layer(network.graph, node, tensors[node.index]["weight"])
                row = {"network": network.graph.name, "scheme": scheme.label, "layer": node.name, "kind": node.kind}
                rows.append(row | _sizes(scheme, node, values, bits))
    return pd.DataFrame(rows)


def totals(found: pd.DataFrame) -> pd.DataFrame:
    """A row for each scheme, all layers together; `ratio`: of stored to dense bytes."""
    summed = found.groupby(["network", "scheme"], sort=False)[list(SUMS)].sum().reset_index()
    return summed.assign(ratio=summed["stored_bytes"] / summed["dense_bytes"])


def of_layer(graph: Graph, node: Node, weight: Values) -> Values:
    """The weights of a layer as groups x filters x channels x taps."""
    channels = graph.input_shapes(node.index)[0][0]
    return matrix(weight, node.groups, channels // node.groups)


def write(found: pd.DataFrame, folder: str | Path) -> tuple[Path, ...]:
    """Write weights_by_layer.csv and weights.csv."""
    tables = {"weights_by_layer.csv": found, "weights.csv": totals(found)}
    return report.write_files(
        Path(folder), {name: table.to_csv(index=False, lineterminator="\n").encode() for name, table in tables.items()}
    )


def terminal_tables(found: pd.DataFrame, layers: bool = True) -> Iterator[Table]:
    """What was found, for people: a table for each scheme, and one of totals."""
    summed = totals(found)
    if layers:
        for scheme, own in found.groupby("scheme", sort=False):
            yield _table(f"{own['network'].iloc[0]}: weights under {scheme}", "layer", own.to_dict("records"))
    yield _table(f"{summed['network'].iloc[0]}: weights", "scheme", summed.to_dict("records"))


def _sizes(scheme: WeightScheme, node: Node, values: Values, bits: int) -> dict[str, Any]:
    connected, dense = node.kind == "fc", -(-values.size * bits // 8)
    (block,) = Cut.whole(values.shape).blocks(values, connected)
    try:
        code, stored = scheme.sizes(block, bits), scheme.encode(values, bits, connected=connected)
    except ModelError as fault:
        raise ModelError(f"{node.name}: {fault}") from fault
    shared = 0 if stored is None else stored.shared
    return {
        "weights": values.size,
        "zeros": values.size - int(np.count_nonzero(values)),
        "entries": code.entries,
        "fillers": code.fillers,
        "code_bytes": int((-(-code.units // 8)).sum()),
        "metadata_bytes": -(-code.head // 8) + shared,
        "dense_bytes": dense,
        "stored_bytes": dense if stored is None else stored.stored_bytes,
    }


def _table(title: str, first: str, rows: Iterable[Mapping[Any, Any]]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    headers = (first, "weights", "zero (%)", "entries", "fillers", "code (B)", "meta (B)", "dense (B)", "stored (B)", "ratio")
    for header in headers:
        table.add_column(header, justify="left" if header == first else "right", no_wrap=True)
    for row in rows:
        numbers = [row[name] for name in ("entries", "fillers", "code_bytes", "metadata_bytes", "dense_bytes", "stored_bytes")]
        ratio = row["stored_bytes"] / row["dense_bytes"]
        zeros = 100 * row["zeros"] / row["weights"]
        table.add_row(row[first], f"{row['weights']:,}", f"{zeros:.2f}", *(f"{number:,}" for number in numbers), f"{ratio:.3f}")
    return table
