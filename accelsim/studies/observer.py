"""What an eavesdropper on the DRAM bus sees of each layer, what it tells about the image, and what hiding it costs.

A dense accelerator moves the same bytes whatever it looks at; one that skips zeros tells by its traffic how many there were. HuffDuff
steals pruned networks that way. Seen are bytes read, bytes written and the time of each layer; not their content, not their addresses.
What is seen of an image is always the same, so what it tells about the image is the entropy of what is seen over the images, in bits, and
at most log2 of their number: a bound from below of what a patient eavesdropper learns. The more images, the better it is.

Padding adds dummy accesses until a layer's volume is a number that tells less, and lets the layer end when one of that volume would:
* `none`: nothing is hidden.
* `dense`: as many bytes, and as much time, as without the scheme.
* `bins:K`: the next of K equal steps up to the dense volume; `powers_of_two`: the next power of two, but never more than dense.
A layer that would move more than dense (skipping that splits accesses) or take longer is run as under dense: flags are known before it
starts. Flags and sizes that lie apart (metadata) are moved as they are, on top. The time of a padded layer is what it took, or what its
bytes take at the peak rate if that is longer, padded the same way: dummy accesses are taken to find the gaps that there are, so it is a
lower bound.

Source:  Yang, Nair, Lis: HuffDuff, ASPLOS 2023 (what sparse accelerators reveal); paddings and their price are worked out here
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from accelsim import report, simulate
from accelsim.errors import ConfigError, choices, quoted
from accelsim.hardware import Accelerator, peaks
from accelsim.report import Result
from accelsim.schedule.tables import METADATA, READ, WRITE, Schedule
from accelsim.timeline import Timeline
from accelsim.trace import Trace

if TYPE_CHECKING:
    from rich.table import Table

PADDINGS = ("none", "dense", "powers_of_two", "bins:8")
"""Those that are worked out if none is named."""
SEEN = ("read_bytes", "written_bytes", "cycles")
MOST_BINS = 10**6
WHOLE = "(all layers)"
"""Name of the row that judges a whole run."""

Progress = Callable[[str, int, int], None]
Int = NDArray[np.int64]


def silent(what: str, done: int, total: int) -> None:
    """Report nothing."""


@dataclass(frozen=True, eq=False, repr=False)
class View:
    """One network on several images, as seen from the bus.

    `layers`: a row for each image, scheme, padding and layer: `read_bytes`, `written_bytes`, `cycles`, and the same of `dense` beside.
    `leaks`: a row for each scheme, padding and layer, and one for the run as a whole (layer '(all layers)'): how many values of each were
    seen (`distinct_*`) and how many bits they tell (`bits_*`; `bits`: all three together), of at most `most_bits`.
    `costs`: a row for each scheme and padding: bytes and cycles, means over the images, over those of dense (`*_ratio`) and over those of
    the scheme without padding (`*_price`); `bits` that the bytes and the time of a run tell; `layers_told_apart`: how many layers have a
    pair of volumes that no other layer of the run has.
    Units:   bytes of whole DRAM accesses; accelerator cycles; bits.
    """

    network: str
    images: tuple[str, ...]
    layers: pd.DataFrame
    leaks: pd.DataFrame
    costs: pd.DataFrame

    def __repr__(self) -> str:
        return f"View({self.network}, {len(self.images)} images)\n{self.costs.to_string(index=False)}"


def observe(
    traces: Iterable[Trace],
    accelerator: Accelerator,
    schemes: Sequence[str] = ("channel_marker",),
    paddings: Sequence[str] = PADDINGS,
    engine: str = "fast",
    progress: Progress = silent,
) -> tuple[View, ...]:
    """Replay traces on one machine under dense and the schemes, and say what the bus tells; a view for each network.

    Raises:  `ConfigError` for a padding that is none; as `simulate.compare`
    """
    for padding in paddings:
        pad(np.zeros(1, np.int64), np.zeros(1, np.int64), padding)
    rows: dict[str, list[pd.DataFrame]] = {}
    known: set[tuple[str, str]] = set()
    for trace in traces:
        if (trace.graph.name, trace.image) in known:
            raise ConfigError(
                f"{trace.graph.name}: two traces of image {trace.image!r}\n    keep one of them: bits are counted over images"
            )
        known.add((trace.graph.name, trace.image))
        seen = [_seen(result, *tables) for result, tables in _replays(trace, accelerator, schemes, engine, progress)]
        for one in seen:
            for padding in dict.fromkeys(("none", *paddings)):
                rows.setdefault(trace.graph.name, []).append(_padded(one, seen[0], padding, accelerator))
    return tuple(_view(network, pd.concat(frames, ignore_index=True)) for network, frames in rows.items())


def pad(seen: Int, dense: Int, padding: str) -> Int:
    """Pad volumes. Shapes: int64 [N] each. Units: any. Raises `ConfigError` for a padding that is none.

    What is seen grows with what is padded, and is never less than it but where that is more than dense.
    """
    name, _, number = padding.partition(":")
    if name == "none" and not number:
        return seen
    below = np.minimum(seen, dense)
    if name == "dense" and not number:
        return dense
    if name == "powers_of_two" and not number:
        powers = [1 << max(0, value - 1).bit_length() for value in below.tolist()]
        return np.where(below > 0, np.minimum(np.array(powers, dtype=np.int64), dense), 0)
    if name == "bins" and number.isascii() and number.isdigit() and 0 < int(number) <= MOST_BINS:
        step = np.maximum(1, -(-below * int(number) // np.maximum(dense, 1)))
        stepped: Int = -(-dense * step // int(number))
        return stepped
    raise ConfigError(f"padding: {quoted(padding)}\n    {choices(PADDINGS, padding)}; any number of bins up to {MOST_BINS:,}")


def told(values: Iterable[object]) -> tuple[int, float]:
    """How many values there are among the observations, and the bits that one observation tells on average: their entropy."""
    counts = np.array(list(_counts(values).values()), dtype=np.float64)
    total = counts.sum()
    return counts.size, float(math.log2(total) - (counts * np.log2(counts)).sum() / total) if counts.size > 1 else 0.0


def write(views: Sequence[View], folder: str | Path, *, figures: bool = True) -> tuple[Path, ...]:
    """Write seen.csv, leaks.csv and costs.csv, and a figure for each network."""
    tables = {
        "seen": [view.layers for view in views],
        "leaks": [view.leaks for view in views],
        "costs": [view.costs for view in views],
    }
    files = {f"{name}.csv": pd.concat(frames).to_csv(index=False, lineterminator="\n").encode() for name, frames in tables.items()}
    if figures:
        from accelsim import plots

        drawn = ((plots.slug(f"{view.network}_observed"), plots.observed(view.layers, view.costs)) for view in views)
        files |= dict(plots.files(drawn))
    return report.write_files(Path(folder), files)


def terminal_table(view: View) -> Table:
    """What hiding costs, for people: a line for each scheme and padding."""
    from rich import box
    from rich.table import Table

    most = view.leaks["most_bits"].iloc[0]
    title = f"{view.network}: what the bus tells about {len(view.images):,} images (at most {most:.2f} bits)"
    shown = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    headers = ("scheme", "padding", "MB", "of dense", "cycles of", "bytes (bits)", "time (bits)", "both (bits)", "layers apart")
    for position, header in enumerate(headers):
        shown.add_column(header, justify="left" if position < 2 else "right", no_wrap=position < 2)
    for row in view.costs.to_dict("records"):
        ratios = [f"{row['bytes_ratio']:.3f}", f"{row['cycles_ratio']:.3f}"]
        bits = [f"{row[name]:.2f}" for name in ("bits_of_bytes", "bits_of_time", "bits")]
        apart = f"{row['layers_told_apart']:.1f} of {row['layers']}"
        shown.add_row(row["scheme"], row["padding"], f"{row['bytes'] / 1e6:,.3f}", *ratios, *bits, apart)
    return shown


def _replays(
    trace: Trace, accelerator: Accelerator, schemes: Sequence[str], engine: str, progress: Progress
) -> Iterator[tuple[Result, tuple[Schedule, Timeline]]]:
    kept: list[tuple[Schedule, Timeline]] = []

    def keep(_: Trace, schedule: Schedule, times: Timeline) -> None:
        kept.append((schedule, times))

    results = simulate.compare(trace, accelerator, schemes, engine, progress, keep).results
    yield from zip(results, kept, strict=True)


def _seen(result: Result, schedule: Schedule, times: Timeline) -> pd.DataFrame:
    """What the bus shows of one replay, metadata apart."""
    transfers, count = schedule.transfers, len(result.layers)

    def moved(mine: NDArray[np.bool_]) -> Int:
        total = np.zeros(count, np.int64)
        np.add.at(total, transfers.layer[mine], times.bytes_moved[mine])
        return total

    apart = transfers.tensor == METADATA
    return pd.DataFrame(
        {
            "network": result.network,
            "image": result.image,
            "scheme": result.scheme,
            "layer": [row.layer for row in result.layers],
            "kind": [row.kind for row in result.layers],
            "read_bytes": moved((transfers.direction == READ) & ~apart),
            "written_bytes": moved((transfers.direction == WRITE) & ~apart),
            "read_metadata_bytes": moved((transfers.direction == READ) & apart),
            "written_metadata_bytes": moved((transfers.direction == WRITE) & apart),
            "cycles": np.array([row.total_cycles for row in result.layers], dtype=np.int64),
        }
    )


def _padded(seen: pd.DataFrame, dense: pd.DataFrame, padding: str, accelerator: Accelerator) -> pd.DataFrame:
    """What the bus shows of the same replay where it is padded, in total."""
    frame = seen.drop(columns=["read_metadata_bytes", "written_metadata_bytes"])
    frame.insert(3, "padding", padding)
    for name in ("read", "written"):
        volume = pad(_numbers(seen, f"{name}_bytes"), _numbers(dense, f"{name}_bytes"), padding)
        frame[f"{name}_bytes"] = volume + _numbers(seen, f"{name}_metadata_bytes")
    if padding != "none":
        least = _least_cycles(_numbers(frame, "read_bytes"), _numbers(frame, "written_bytes"), accelerator)
        frame["cycles"] = pad(np.maximum(_numbers(seen, "cycles"), least), _numbers(dense, "cycles"), padding)
    for name in SEEN:
        frame[f"dense_{name}"] = _numbers(dense, name)
    return frame


def _least_cycles(read: Int, written: Int, accelerator: Accelerator) -> Int:
    """Cycles that so many bytes take at the peak rates of link and DRAM."""
    peak = peaks(accelerator)
    seconds = np.maximum.reduce([read / peak.link_read, written / peak.link_write, (read + written) / peak.dram])
    cycles: Int = np.ceil(np.round(seconds * accelerator.clock, 6)).astype(np.int64)
    return cycles


def _view(network: str, layers: pd.DataFrame) -> View:
    images = tuple(dict.fromkeys(layers["image"]))
    leaks, costs = [], []
    # Without the scheme nothing depends on the image, so there is nothing to hide.
    shown = layers[(layers["scheme"] != "dense") | (layers["padding"] == "none")].reset_index(drop=True)
    bare = {str(scheme): _means(rows) for scheme, rows in shown[shown["padding"] == "none"].groupby("scheme", sort=False)}
    for (scheme, padding), rows in shown.groupby(["scheme", "padding"], sort=False):
        head = {"network": network, "scheme": scheme, "padding": padding, "images": len(images), "most_bits": math.log2(len(images))}
        for layer, own in rows.groupby("layer", sort=False):
            leaks.append(head | {"layer": layer, "kind": own["kind"].iloc[0]} | _leak(own))
        whole = _leak(rows)
        leaks.append(head | {"layer": WHOLE, "kind": ""} | whole)
        moved, cycles = _means(rows)
        of_dense, of_bare = _means(rows, "dense_"), bare[str(scheme)]
        costs.append(
            head
            | {"bytes": moved, "bytes_ratio": _over(moved, of_dense[0]), "bytes_price": _over(moved, of_bare[0])}
            | {"cycles": cycles, "cycles_ratio": _over(cycles, of_dense[1]), "cycles_price": _over(cycles, of_bare[1])}
            | {"bits_of_bytes": whole["bits_of_bytes"], "bits_of_time": whole["bits_cycles"], "bits": whole["bits"]}
            | {"layers": rows["layer"].nunique(), "layers_told_apart": _apart(rows)}
        )
    return View(network, images, shown, pd.DataFrame(leaks), pd.DataFrame(costs))


def _leak(rows: pd.DataFrame) -> dict[str, Any]:
    """What these rows tell about their images: each image's numbers, layer by layer, are one observation."""
    numbers = {name: rows[name].to_numpy() for name in SEEN}
    of_image = [np.flatnonzero(rows["image"].to_numpy() == image) for image in dict.fromkeys(rows["image"])]
    found: dict[str, Any] = {}
    for name, columns in (*((one, (one,)) for one in SEEN), ("of_bytes", SEEN[:2]), ("", SEEN)):
        distinct, bits = told(tuple(numbers[column][mine].tobytes() for column in columns) for mine in of_image)
        found |= {f"distinct_{name}".rstrip("_"): distinct, f"bits_{name}".rstrip("_"): bits}
    return found


def _apart(rows: pd.DataFrame) -> float:
    """Layers whose pair of volumes no other layer has, mean over the images."""
    found = []
    for _, own in rows.groupby("image", sort=False):
        volumes = _counts(zip(own["read_bytes"], own["written_bytes"], strict=True))
        found.append(sum(count == 1 for count in volumes.values()))
    return float(np.mean(found))


def _means(rows: pd.DataFrame, prefix: str = "") -> tuple[float, float]:
    """Bytes and cycles of a run, means over the images."""
    images = rows["image"].nunique()
    return float((rows[f"{prefix}read_bytes"] + rows[f"{prefix}written_bytes"]).sum()) / images, float(
        rows[f"{prefix}cycles"].sum()
    ) / images


def _counts(values: Iterable[object]) -> dict[object, int]:
    counts: dict[object, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return counts


def _numbers(frame: pd.DataFrame, name: str) -> Int:
    return frame[name].to_numpy(np.int64)


def _over(value: float, base: float) -> float:
    return value / base if base else math.nan
