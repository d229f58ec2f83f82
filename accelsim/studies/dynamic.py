"""Static against dynamic: which zero channels could have been pruned offline, and what the marker gains beyond that.

A channel that is zero on every image of a folder of traces is called static: it could be pruned before deployment, without any marker. All
others that are zero now and then are truly dynamic. The fewer images, the more of what is called static is chance: every table says how
many there were. The fair baseline is the network with the static channels removed (`slim.py`), replayed on the same machine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from accelsim import report, simulate, slim, tracefile
from accelsim.errors import ConfigError, TraceError
from accelsim.graph import Graph
from accelsim.hardware import Accelerator
from accelsim.report import Result
from accelsim.report.counting import COUNTED_KINDS
from accelsim.trace import Trace
from accelsim.tracestore import TraceStore, is_store

if TYPE_CHECKING:
    from rich.table import Table

ORIGINAL, SLIM = "original", "static removed"
QUANTITIES = (
    "total_cycles",
    "stall_cycles",
    "bytes_wanted",
    "bytes_moved",
    "read_ifmap_bytes",
    "write_ofmap_bytes",
    "macs_done",
    "energy_uj",
)

Progress = Callable[[str, int, int], None]


def silent(what: str, done: int, total: int) -> None:
    """Report nothing."""


@dataclass(frozen=True, eq=False, repr=False)
class Split:
    """One network on several images.

    `channels`: a row a layer: how many of its channels are zero on every image (`static`), how many of these structure lets go
    (`removable`), and how many others are zero (`dynamic_*`, over the images; `sometimes`: on one at least).
    `replays`: a row for each image, network (original, static removed) and scheme; empty without a machine.
    `totals`: mean, minimum and maximum of these over the images, and of their ratios to dense: of the same network (`ratio_*`), and of
    the original one (`ratio_to_original_*`). Below 1 is better.
    """

    network: str
    images: tuple[str, ...]
    channels: pd.DataFrame
    replays: pd.DataFrame
    totals: pd.DataFrame

    def __repr__(self) -> str:
        tables = "\n".join(table.to_string(index=False) for table in (self.channels, self.totals) if len(table))
        return f"Split({self.network}, {len(self.images)} images)\n{tables}"


def analyse(
    traces: str | Path | Sequence[Trace],
    accelerator: Accelerator | None = None,
    schemes: Sequence[str] = ("channel_marker",),
    engine: str = "fast",
    progress: Progress = silent,
) -> tuple[Split, ...]:
    """Tell static from dynamic zero channels, network by network, and replay with and without the static ones where a machine is given.

    `traces`: a folder of trace files, a store, or traces; of each network two images or more. Of files, one is in memory at a time; of a
    store none is, unless they are replayed.
    Raises:  `ConfigError` where there are too few, `TraceError` as `tracefile.load`, `TraceStore` and `slim.ZeroChannels`
    """
    groups = list(_groups(traces))
    for group in groups:
        made = f"{group.graph.name} at epsilon {group.epsilon:g} ({group.mode})"
        if len(group.images) < 2:
            raise ConfigError(
                f"{made}: one image, {group.images[0]}; on one image every zero channel is static\n"
                "    give traces of two images or more, better of tens"
            )
        repeated = next((image for image, count in Counter(group.images).items() if count > 1), None)
        if repeated is not None:
            raise ConfigError(f"{made}: two traces of image {repeated!r}\n    keep one of them")
    return tuple(_split(group, accelerator, schemes, engine, progress) for group in groups)


def load(folder: Path) -> Iterator[Trace]:
    """Read every trace of a folder, one at a time, by name of file, or of a store.

    Raises:  `ConfigError` where there is none, `TraceError` as `tracefile.load`
    """
    yield from TraceStore(folder) if is_store(folder) else map(_located, _files(folder))


@dataclass(frozen=True, eq=False)
class _Group:
    """Traces of one network that were made alike; what is known of all of them, and how to read each.

    Shapes:  `always`, `ever`: channels zero on all images, and on one at least, a bool [C] a node; `counts` zero channels [images, nodes]
    """

    graph: Graph
    epsilon: float
    mode: str
    images: tuple[str, ...]
    always: tuple[slim.Bool, ...]
    ever: tuple[slim.Bool, ...]
    counts: NDArray[np.int64]
    read: Callable[[int], Trace]


def _groups(traces: str | Path | Sequence[Trace]) -> Iterator[_Group]:
    if isinstance(traces, str | Path) and is_store(Path(traces)):
        yield _of_store(TraceStore(traces))
        return
    readers: list[Callable[[], Trace]]
    if isinstance(traces, str | Path):
        readers = [partial(_located, path) for path in _files(Path(traces))]
    else:
        readers = [partial(_itself, trace) for trace in traces]
    seen: dict[tuple[str, float, str], tuple[slim.ZeroChannels, list[str], list[Callable[[], Trace]]]] = {}
    for read in readers:
        trace = read()
        zero, images, again = seen.setdefault((trace.graph.name, trace.epsilon, trace.mode), (slim.ZeroChannels(trace), [], []))
        zero.add(trace)
        images.append(trace.image)
        again.append(read)
    for (_, epsilon, mode), (zero, images, again) in seen.items():
        counts = np.array(zero.counts, np.int64)
        yield _Group(zero.first.graph, epsilon, mode, tuple(images), zero.always, zero.ever, counts, partial(_nth, again))


def _of_store(store: TraceStore) -> _Group:
    """What a store's index knows; its traces were made alike."""
    first = store[0]
    always, ever = store.zero_on_all_and_on_any()
    counts = np.concatenate([channels for channels, _ in store.counts()])
    return _Group(first.graph, first.epsilon, first.mode, store.images, always, ever, counts, store.__getitem__)


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder\n    give a folder of traces; 'accelsim infer' makes them")
    paths = sorted(folder.glob("*.npz"))
    if not paths:
        raise ConfigError(f"{folder}: holds no trace (*.npz)\n    'accelsim infer' makes them")
    return paths


def _located(path: Path) -> Trace:
    trace = tracefile.load(path)
    if not trace.positions_known:
        raise TraceError(f"{path}: holds counts of zero channels, not which they are; use traces made by 'accelsim infer'")
    return trace


def _itself(trace: Trace) -> Trace:
    return trace


def _nth(readers: Sequence[Callable[[], Trace]], position: int) -> Trace:
    return readers[position]()


def write(splits: Sequence[Split], folder: str | Path, *, figures: bool = True) -> tuple[Path, ...]:
    """Write channels.csv, and with a machine replays.csv and totals.csv, and a figure for each network."""
    tables = {name: pd.concat([getattr(split, name) for split in splits]) for name in ("channels", "replays", "totals")}
    files = {f"{name}.csv": table.to_csv(index=False, lineterminator="\n").encode() for name, table in tables.items() if len(table)}
    if figures:
        from accelsim import plots

        drawn = ((_figure_name(split, splits), plots.static_dynamic(split.channels)) for split in splits)
        files |= dict(plots.files(drawn))
    return report.write_files(Path(folder), files)


def terminal_tables(split: Split) -> Iterator[Table]:
    """What was found, for people: channels by layer, and totals."""
    from rich import box
    from rich.table import Table

    def table(title: str, headers: Sequence[str], texts: int) -> Table:
        made = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
        for position, header in enumerate(headers):
            made.add_column(header, justify="left" if position < texts else "right", no_wrap=position < texts)
        return made

    count = len(split.images)
    channels = table(
        f"{split.network}: zero channels on {count:,} images; static = on all of them",
        ("layer", "channels", "static", "removable", "dynamic (mean)", "min", "max"),
        1,
    )
    for row in split.channels.to_dict("records"):
        numbers = [row[name] for name in ("channels", "static", "removable")]
        spread = [f"{row['dynamic_mean']:.1f}", str(row["dynamic_minimum"]), str(row["dynamic_maximum"])]
        channels.add_row(row["layer"], *map(str, numbers), *spread)
    yield channels
    if not len(split.totals):
        return
    totals = table(
        f"{split.network}: totals over {count:,} images; ratios to dense of the same network, and of the original one",
        ("network", "scheme", "quantity", "mean", "ratio", "min", "max", "to original"),
        3,
    )
    for row in split.totals.to_dict("records"):
        ratios = [f"{row[name]:.4f}" for name in ("ratio_mean", "ratio_minimum", "ratio_maximum", "ratio_to_original_mean")]
        totals.add_row(row["variant"], row["scheme"], row["quantity"], f"{row['mean']:,.0f}", *ratios)
    yield totals


def _split(group: _Group, accelerator: Accelerator | None, schemes: Sequence[str], engine: str, progress: Progress) -> Split:
    removed = slim.removable(group.graph, group.always)
    rows = []
    for node in group.graph.nodes:
        if node.kind not in COUNTED_KINDS:
            continue
        static, area = int(group.always[node.index].sum()), node.shape[1] * node.shape[2]
        # a channel that is zero on all images is zero on each, so the others are what is left
        dynamic = group.counts[:, node.index] - static
        rows.append(
            {
                "network": group.graph.name,
                "epsilon": group.epsilon,
                "mode": group.mode,
                "images": len(group.images),
                "layer": node.name,
                "kind": node.kind,
                "channels": node.shape[0],
                "static": static,
                "removable": int(removed[node.index].sum()),
                "sometimes": int(group.ever[node.index].sum()) - static,
                "dynamic_mean": float(dynamic.mean()),
                "dynamic_minimum": int(dynamic.min()),
                "dynamic_maximum": int(dynamic.max()),
                "output_elements": node.elements,
                "static_elements": static * area,
                "removable_elements": int(removed[node.index].sum()) * area,
                "dynamic_elements_mean": float(dynamic.mean()) * area,
            }
        )
    replays = pd.DataFrame()
    if accelerator is not None:
        replays = pd.DataFrame(list(_replays(group, removed, accelerator, schemes, engine, progress)))
    return Split(group.graph.name, group.images, pd.DataFrame(rows), replays, _totals(replays))


def _replays(
    group: _Group, removed: Sequence[slim.Bool], accelerator: Accelerator, schemes: Sequence[str], engine: str, progress: Progress
) -> Iterator[dict[str, Any]]:
    images = len(group.images)
    for done in range(images):
        progress(f"replay {group.graph.name} with and without its static channels", done, images)
        trace = group.read(done)
        for variant, data in ((ORIGINAL, trace), (SLIM, slim.without(trace, removed, images))):
            for result in simulate.compare(data, accelerator, schemes, engine).results:
                head = {"network": result.network, "epsilon": result.epsilon, "mode": result.mode, "accelerator": accelerator.name}
                yield {**head, "image": result.image, "variant": variant, "scheme": result.scheme, **_quantities(result)}


def _quantities(result: Result) -> dict[str, float]:
    known = {**result.totals, "stall_cycles": result.stall_cycles, "energy_uj": result.energy_uj["total"]}
    return {name: known[name] for name in QUANTITIES}


def _totals(replays: pd.DataFrame) -> pd.DataFrame:
    if not len(replays):
        return pd.DataFrame()
    head = {str(name): value for name, value in replays.iloc[0][["network", "epsilon", "mode", "accelerator"]].items()}
    images = list(dict.fromkeys(replays["image"]))

    def of(variant: str, scheme: str, quantity: str) -> NDArray[np.float64]:
        # Each image has one row of a variant and scheme, in one order.
        rows = replays[(replays["variant"] == variant) & (replays["scheme"] == scheme)]
        return rows[quantity].to_numpy(np.float64)

    rows = []
    for variant, scheme in dict.fromkeys(zip(replays["variant"], replays["scheme"], strict=True)):
        for name in QUANTITIES:
            values, own, original = of(variant, scheme, name), of(variant, "dense", name), of(ORIGINAL, "dense", name)
            row: dict[str, Any] = {**head, "images": len(images), "variant": variant, "scheme": scheme, "quantity": name}
            ratios = (("", values), ("ratio_", values / np.where(own > 0, own, np.nan)))
            for prefix, numbers in (*ratios, ("ratio_to_original_", values / np.where(original > 0, original, np.nan))):
                row |= {f"{prefix}mean": numbers.mean(), f"{prefix}minimum": numbers.min(), f"{prefix}maximum": numbers.max()}
            rows.append(row)
    return pd.DataFrame(rows)


def _figure_name(split: Split, splits: Sequence[Split]) -> str:
    from accelsim.plots import slug

    first = split.channels.iloc[0]
    alone = sum(other.network == split.network for other in splits) == 1
    which = "" if alone else f"_{first['mode']}_eps{first['epsilon']:g}"
    return slug(f"{split.network}{which}_static_dynamic")
