"""What `check` and `trace show` say of a file."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from accelsim import configfile, hardware, layers, runfile, simulate, tracefile, tracestore
from accelsim.convert import scalesim
from accelsim.designspace import sweepfile
from accelsim.errors import ConfigError, choices
from accelsim.evaluation import evaluatefile
from accelsim.hardware.energy import Energy
from accelsim.hardware.memory import Memory, load_memory
from accelsim.networks import zoo
from accelsim.networks.network import Network, total_elements, total_macs, total_weights
from accelsim.trace import Trace, summary
from accelsim.tracestore import is_store
from accelsim.units import format_bytes, format_time

if TYPE_CHECKING:
    from rich.table import Table


def describe(path: Path, overrides: Sequence[str] = ()) -> str:
    """Judge one file by its ending and, for YAML, its root key, and say what it resolves to.

    Raises:  `ConfigError`, `ModelError`, `TraceError` with every fault of the file
    """
    if path.suffix == ".cfg" and scalesim.is_config(path):
        machine, notes = scalesim.machine(path)
        return hardware.describe(machine) + "".join(f"# note: {note}\n" for note in notes)
    if path.suffix in {".cfg", ".csv", ".onnx"} or str(path).startswith(zoo.PREFIX):
        return network_text(simulate.open_network(path))
    if is_store(path):
        return repr(tracestore.TraceStore(path))
    if path.suffix == ".npz":
        return trace_text(tracefile.load(path))
    if path.suffix not in {".yaml", ".yml"}:
        allowed = choices([".yaml", ".cfg", ".onnx", ".csv", ".npz", "zoo:NAME"], path.suffix)
        raise ConfigError(f"{path}: files of this kind are not checked\n    {allowed}")
    kinds: Mapping[str, Callable[[], str]] = {
        "accelerator": lambda: hardware.describe(hardware.load_accelerator(path, overrides)),
        "energy": lambda: energy_text(configfile.load(path, Energy, "energy", overrides)),
        "evaluate": lambda: evaluatefile.describe(evaluatefile.load(path, overrides)),
        "memory": lambda: memory_text(load_memory(path, overrides)),
        "network": lambda: network_text(simulate.load_network(runfile.load_network_file(path, overrides))),
        "paper": lambda: paper_text(path, overrides),
        "run": lambda: runfile.describe(runfile.load_run(path, overrides)),
        "sweep": lambda: sweepfile.describe(sweepfile.load(path, overrides)),
    }
    kind = configfile.root_key(path)
    if kind not in kinds:
        raise ConfigError(f"{path}: {kind!r} is not a kind of file\n    {choices(sorted(kinds), kind)}")
    return f"# {path}: sound\n{kinds[kind]()}".rstrip()


def paper_text(path: Path, overrides: Sequence[str]) -> str:
    """What is asked of the paper's tables, as YAML."""
    from accelsim.paper import paperfile

    return paperfile.describe(paperfile.load(path, overrides))


def energy_text(table: Energy) -> str:
    """An energy table as YAML, defaults and all."""
    return configfile.dump({"energy": table.model_dump(mode="json", exclude_none=True)})


def memory_text(memory: Memory) -> str:
    """A DRAM technology as YAML, defaults and all, with what follows from it."""
    hit, closed, conflict = (memory.read_latency(row) * memory.tCK for row in ("hit", "closed", "conflict"))
    derived = (
        f"peak {memory.peak_rate / 1e9:.5g} GB/s over {memory.channels} channel(s), {100 * memory.refresh_ceiling:.4g} % of it "
        f"beside refresh; capacity {format_bytes(memory.capacity)}",
        f"unloaded read: {format_time(hit)} of an open row, {format_time(closed)} of a closed bank, {format_time(conflict)} of another row",
        "clocks: " + ", ".join(f"{name} {clocks}" for name, clocks in memory.resolved.items()),
    )
    written = {"memory": memory.model_dump(mode="json", exclude_none=True)}
    return configfile.dump(written) + "".join(f"# {line}\n" for line in derived)


def network_text(network: Network) -> str:
    """Layers, shapes and totals of a network, as lines of text."""
    graph = network.graph
    lines = [f"{'layer':<24}{'kind':<10}{'output C x H x W':>20}{'elements':>14}{'MACs':>18}{'weights':>14}"]
    for node in graph.nodes:
        shapes = graph.input_shapes(node.index)
        kind = layers.layer(node.kind)
        weights = sum(math.prod(shape) for shape in kind.weight_shapes(node, shapes).values())
        shape = " x ".join(map(str, node.shape))
        lines.append(f"{node.name:<24}{node.kind:<10}{shape:>20}{node.elements:>14,}{kind.macs(node, shapes):>18,}{weights:>14,}")
    have = "weights loaded" if network.weights is not None else "no weights: shapes alone, it cannot be run"
    lines.append(
        f"{graph.name}: {len(graph.nodes)} nodes, {total_elements(graph):,} output elements (conv, maxpool, avgpool, fc, shortcut), "
        f"{total_macs(graph):,} MACs, {total_weights(graph):,} weights; {have}"
    )
    provenance = network.provenance
    lines += [
        f"{key}: {provenance[key]}"
        for key in ("architecture", "parameters", "format", "weights", "weights_pruned", "quantised")
        if key in provenance
    ]
    return "\n".join(lines)


def trace_text(trace: Trace) -> str:
    """One line of what a trace is."""
    zero = sum(int(fmap.zero_channels.sum()) for fmap in trace.maps)
    channels = sum(fmap.shape[0] for fmap in trace.maps)
    known = "masks" if trace.has_masks else "counts only, positions of zero channels assumed evenly spread"
    return (
        f"{trace.graph.name}, {trace.image}: {len(trace.maps)} maps, {zero:,} of {channels:,} channels zero, epsilon {trace.epsilon:g} "
        f"({trace.mode}), source: {trace.source}, {known}"
    )


def store_table(store: tracestore.TraceStore) -> Table:
    """What the index of a store of traces says of each layer."""
    from rich import box
    from rich.table import Table

    table = Table(title=repr(store), box=box.SIMPLE_HEAD, title_justify="left")
    for header in ("layer", "kind", "channels"):
        table.add_column(header, justify="right" if header == "channels" else "left")
    for header in ("zero: mean", "min", "max", "always", "ever", "zero elements (%)"):
        table.add_column(header, justify="right")
    for row in store.statistics().to_dict("records"):
        counts = [f"{row[f'zero_channels_{what}']:,}" for what in ("minimum", "maximum")] + [
            f"{row['always_zero']:,}",
            f"{row['ever_zero']:,}",
        ]
        mean = f"{row['zero_channels_mean']:,.2f}"
        table.add_row(row["layer"], row["kind"], f"{row['channels']:,}", mean, *counts, f"{row['zero_percent']:.2f}")
    return table


def trace_table(trace: Trace) -> tuple[Table, str]:
    """Layers of a trace as a table, and its provenance."""
    from rich import box
    from rich.table import Table

    height, width = trace.fine_part
    table = Table(title=trace_text(trace), box=box.SIMPLE_HEAD, title_justify="left")
    for header in ("layer", "kind", "C x H x W"):
        table.add_column(header, justify="left")
    for header in ("zero channels", "zero elements (%)", f"zero {height}x{width} parts", "live bytes (16 bit)"):
        table.add_column(header, justify="right")
    for row in summary(trace, height, width):
        table.add_row(
            row["layer"],
            row["kind"],
            f"{row['channels']} x {row['height']} x {row['width']}",
            f"{row['zero_channels']:,}",
            _optional(row["zero_percent"], ".2f"),
            "unknown" if row["zero_parts"] is None else f"{row['zero_parts']:,} / {row['parts']:,}",
            f"{row['live_bytes']:,}",
        )
    return table, "\n".join(f"{key}: {value}" for key, value in trace.provenance.items())


def _optional(value: float | None, form: str) -> str:
    return "unknown" if value is None else format(value, form)
