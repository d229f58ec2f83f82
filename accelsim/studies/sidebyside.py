"""All schemes side by side: one network on one image on one machine, one table.

A trace holds which elements are zero, so it serves all schemes but those that need values. A network with an image serves every scheme;
a lossy one then gets a trace of its own, made with what it loses (closed loop), and the table tells what became of the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from accelsim import hardware, inference, report, schemes, simulate, tracefile
from accelsim.errors import ConfigError, EngineError
from accelsim.graph import Node
from accelsim.hardware import Accelerator
from accelsim.inference import Input, Prepared
from accelsim.layers.base import Tensor
from accelsim.networks.network import output_index
from accelsim.report import Comparison, Result
from accelsim.report.result import STALL_COLUMNS
from accelsim.schedule.tables import Schedule
from accelsim.schemes import Scheme
from accelsim.schemes._values import decode, encode_values
from accelsim.simulate import Progress, silent
from accelsim.timeline import Timeline
from accelsim.trace import Trace

if TYPE_CHECKING:
    from accelsim.report.terminal import Fitted

ALL = "all"
TENSORS: Mapping[str, tuple[str, ...]] = {
    "ifmap_bytes": ("read_ifmap_bytes",),
    "filter_bytes": ("read_filter_bytes",),
    "ofmap_bytes": ("write_ofmap_bytes",),
    "psum_bytes": ("read_psum_bytes", "write_psum_bytes"),
    "metadata_bytes": ("read_metadata_bytes", "write_metadata_bytes"),
}
"""Columns of the table, and the columns of totals that add up to each; together they are `bytes_wanted`.

`metadata_bytes` are those that go through DRAM; `metadata_stored_bytes` all that the maps have, most of which may stay on the chip.
"""
RATIOS = ("bytes_moved", "total_cycles", "energy")
IDENTICAL, VERIFIED = "identical", "identical (verified)"


@dataclass(frozen=True, eq=False, repr=False)
class SideBySide:
    """What was found.

    `table`: a row a scheme, dense first; units are in the names of its columns, ratios are to dense. `outputs` tells whether the network's
    answer is the same, or for a lossy scheme what became of it. `left_out`: schemes that the source cannot serve, and why. `notes`:
    assumptions, each once, and what was left out.
    """

    table: pd.DataFrame
    comparison: Comparison
    left_out: Mapping[str, str]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        return f"{_title(self.comparison)}\n{self.table.drop(columns=['network', 'image', 'source', 'accelerator']).to_string(index=False)}"

    def _repr_html_(self) -> str:
        return self.table.to_html(index=False)


@dataclass(frozen=True, eq=False)
class _Source:
    """What is replayed: a trace, and where it comes from a network, that network and its input."""

    trace: Trace
    network: Prepared | None = None
    image: Input | None = None

    @classmethod
    def of(cls, source: Trace | str | Path, image: str | None, overrides: Sequence[str], progress: Progress) -> _Source:
        if isinstance(source, Trace) or Path(source).suffix == ".npz":
            if image is not None or overrides:
                raise ConfigError(
                    "a trace has its image and its network\n    give a network file, or no image and no settings of a network"
                )
            return cls(source if isinstance(source, Trace) else tracefile.load(source))
        if image is None:
            raise ConfigError(f"{source}: a network needs an image\n    give one: --image photo.jpg; or give a trace (.npz)")
        job = simulate.inference_jobs(source, [image], overrides=overrides)[0]
        if len(job.images) != 1:
            raise ConfigError(f"--image {image}: {len(job.images)} images\n    give one")
        network = inference.prepare(simulate.load_network(job.network, progress))
        photograph = inference.photograph(job.images[0], job.network.preprocessing)
        return cls(next(inference.record(network, [photograph], values=True, progress=progress)), network, photograph)

    def serves(self, scheme: Scheme) -> str:
        """Why it cannot be replayed under a scheme; empty where it can."""
        if scheme.needs == "values" and any(fmap.values is None for fmap in self.trace.maps):
            return "it needs the values of feature maps; give a network file and an image instead of a trace"
        if scheme.needs != "counts" and not self.trace.has_masks:
            return "it needs to know which elements are zero; the trace holds counts"
        return ""

    def through(self, scheme: Scheme) -> Trace:
        """The trace under a scheme: for a lossy one, of a run that loses what it loses."""
        if self.network is None or self.image is None or not scheme.lossy:
            return self.trace
        return next(inference.record(self.network, [self.image], through=scheme.seen, values=True))

    def outputs(self, scheme: Scheme, seen: Trace, machine: Accelerator | None) -> str:
        """What becomes of the network's answer; with a machine, outputs are compared bit by bit once maps were encoded as it does."""
        if scheme.lossy:
            return "open loop: not known" if self.network is None else _answer(_scores(self.trace), _scores(seen))
        if machine is None or self.network is None or self.image is None:
            return IDENTICAL
        found = inference.predict(self.network, self.image.tensor, through=round_trip(scheme, machine))
        if found.tobytes() != _scores(self.trace).tobytes():
            raise EngineError(f"{scheme.label}: lossless, but the network's outputs differ once maps were encoded and decoded")
        return VERIFIED


def compare_schemes(
    source: Trace | str | Path,
    accelerator: Accelerator | str | Path,
    labels: str | Iterable[str] = ALL,
    *,
    image: str | None = None,
    overrides: Sequence[str] = (),
    verify: bool = False,
    engine: str = "fast",
    progress: Progress = silent,
) -> SideBySide:
    """Replay one network on one image under many schemes and make one table of it.

    `source`: a trace, its file, or a network file (then `image`); `labels`: schemes as `schemes.load` reads them, or 'all': every scheme
    with default options that the source serves. `overrides`: `dotted.path=value` of the network file. `verify`: encode and decode every
    map between the layers, and compare the network's outputs bit by bit.
    Raises:  `ConfigError`, `TraceError`, `ModelError` for what the user can mend; `EngineError` where a lossless scheme changes an output
    """
    machine = accelerator if isinstance(accelerator, Accelerator) else hardware.load_accelerator(accelerator)
    wanted = [labels] if isinstance(labels, str) else list(labels)
    names = [name for label in wanted for name in (schemes.names() if label == ALL else (label,))]
    chosen = {scheme.label: scheme for scheme in map(schemes.load, ["dense", *names])}
    given = _Source.of(source, image, overrides, progress)
    if verify and given.network is None:
        raise ConfigError("outputs are verified by running the network\n    give a network file and an image instead of a trace")
    asked = {schemes.load(label).label for label in wanted if label != ALL}
    left_out = {label: why for label, scheme in chosen.items() if (why := given.serves(scheme)) and label not in asked}
    results: list[Result] = []
    outputs: dict[str, str] = {}
    metadata: dict[str, int] = {}

    def weigh(trace: Trace, schedule: Schedule, times: Timeline) -> None:
        scheme = schemes.load(schedule.scheme)
        read = [index for index in schedule.layers.node.tolist() if trace.graph.consumers(index)]
        metadata[schedule.scheme] = sum(scheme.encode(trace, index, machine).metadata_bytes for index in read)

    kept = [(label, scheme) for label, scheme in chosen.items() if label not in left_out]
    for done, (label, scheme) in enumerate(kept):
        progress(f"replay {given.trace.graph.name}, {given.trace.image}: {label}", done, len(kept))
        seen = given.through(scheme)
        results.append(simulate.replay(seen, machine, label, engine, weigh))
        outputs[label] = given.outputs(scheme, seen, machine if verify else None)
    comparison = Comparison.of(results)
    # What a lossy scheme says of traces that were not made through it holds for no run of its own.
    own_runs = {note for _, scheme in kept if scheme.lossy and given.network is not None for note in scheme.notes}
    notes = [note for note in comparison.notes if note not in own_runs]
    notes += [f"{label}: replayed on a run of its own, which loses what it loses" for label, scheme in kept if scheme.lossy and own_runs]
    notes += [f"{label} is left out: {why}" for label, why in left_out.items()]
    return SideBySide(_table(comparison, chosen, outputs, metadata), comparison, left_out, tuple(notes))


def round_trip(scheme: Scheme, machine: Accelerator) -> inference.Through:
    """What encodes and decodes every map between layers, for `inference.run(..., through=...)`; elements are stored as float32."""
    wide = machine.model_copy(update={"data": machine.data.model_copy(update={"ifmap_bits": 32})})

    def through(node: Node, output: Tensor) -> Tensor:
        return decode(encode_values(scheme, scheme.seen(node, output), wide))

    return through


def write(found: SideBySide, folder: str | Path, *, figures: bool = True) -> tuple[Path, ...]:
    """Write schemes.csv, layers.csv, accelerator.yaml and the figure."""
    files = {
        "schemes.csv": found.table.to_csv(index=False, lineterminator="\n").encode(),
        "layers.csv": found.comparison.as_frame().to_csv(index=False, lineterminator="\n").encode(),
        "accelerator.yaml": hardware.describe(found.comparison.accelerator).encode(),
    }
    if figures:
        from accelsim import plots

        name = plots.slug(f"{found.comparison.network}_{found.comparison.image}")
        files |= dict(plots.files([(f"{name}_schemes", plots.schemes_by_tensor(found.table))]))
    return report.write_files(Path(folder), files)


def terminal_table(found: SideBySide) -> Fitted:
    """The table for people."""
    from accelsim.report.terminal import Column, Fitted

    table = found.table

    def cells(name: str, form: str, scale: float = 1.0) -> tuple[str, ...]:
        return tuple("-" if pd.isna(value) else format(value / scale, form) for value in table[name])

    columns = [
        Column(("scheme",), tuple(table["scheme"]), is_text=True),
        *([Column(("weights",), tuple(table["weight_scheme"]), is_text=True)] if (table["weight_scheme"] != "dense").any() else []),
        Column(("outputs",), tuple(table["outputs"]), is_text=True, rank=1),
        *(
            Column((name.removesuffix("_bytes"), "MB"), cells(name, ",.3f", 1e6), rank=rank)
            for name, rank in zip(TENSORS, (6, 7, 8, 9, 10), strict=True)
            if table[name].any()
        ),
        Column(("flags,", "sizes", "kB"), cells("metadata_stored_bytes", ",.1f", 1e3), rank=3),
        Column(("moved", "MB"), cells("bytes_moved", ",.3f", 1e6), rank=2),
        Column(("moved", "ratio"), cells("bytes_moved_ratio", ".3f"), is_ratio=True),
        Column(("MACs", "skipped", "%"), cells("macs_skipped_percent", ".2f"), rank=4),
        Column(("cycles",), cells("total_cycles", ",.0f"), rank=11),
        Column(("cycles", "ratio"), cells("total_cycles_ratio", ".3f"), is_ratio=True),
        Column(("stalled", "%"), cells("stall_percent", ".1f"), rank=5),
        Column(("energy", "µJ"), cells("energy_uj", ",.1f"), rank=12),
        Column(("energy", "ratio"), cells("energy_ratio", ".3f"), is_ratio=True),
    ]
    return Fitted(_title(found.comparison), tuple(columns))


def _table(comparison: Comparison, chosen: Mapping[str, Scheme], outputs: Mapping[str, str], metadata: Mapping[str, int]) -> pd.DataFrame:
    rows = []
    for result in comparison.results:
        scheme, totals, ratios = chosen[result.scheme], result.totals, comparison.ratios(result.scheme)
        alone = result.scheme.partition("+")[0]
        rows.append(
            {
                "network": result.network,
                "image": result.image,
                "source": result.source,
                "accelerator": comparison.accelerator.name,
                "scheme": alone,
                "weight_scheme": scheme.weights.label,
                "lossless": not scheme.lossy,
                "outputs": outputs[result.scheme],
                "saves": saves_text(scheme),
                **{name: sum(totals[part] for part in parts) for name, parts in TENSORS.items()},
                "bytes_wanted": totals["bytes_wanted"],
                "metadata_stored_bytes": metadata[result.scheme],
                "bytes_moved": totals["bytes_moved"],
                "macs_done": totals["macs_done"],
                "macs_skipped": totals["macs_skipped"],
                "macs_skipped_percent": result.macs_skipped_percent,
                "total_cycles": totals["total_cycles"],
                "busy_cycles": totals["busy_cycles"],
                "stall_cycles": result.stall_cycles,
                **{name: totals[name] for name in STALL_COLUMNS},
                "stall_percent": result.stall_percent,
                "time_us": result.time_us,
                "energy_uj": result.energy_uj["total"],
                **{f"{name}_ratio": ratios[name] for name in RATIOS},
            }
        )
    return pd.DataFrame(rows).astype({f"{name}_ratio": "float64" for name in RATIOS})


def saves_text(scheme: Scheme) -> str:
    """What a scheme saves, in words: `reads, writes, MACs, cycles`."""
    words = {"macs": "MACs", "energy": "energy (gating)", "needs_training": ""}
    saves = [words.get(field.name, field.name) for field in fields(scheme.saves) if getattr(scheme.saves, field.name)]
    return ", ".join(word for word in saves if word) or "nothing"


def _scores(trace: Trace) -> Tensor:
    values = trace.maps[output_index(trace.graph)].values
    if values is None:
        raise ValueError("the trace of a network that was run for this has its values")
    return np.asarray(values, dtype=np.float32)


def _answer(before: Tensor, after: Tensor) -> str:
    """The best output before and after, as shares where they are some."""
    (best, score), (now, _) = inference.top(before, 1)[0], inference.top(after, 1)[0]
    kept = "top 1 kept" if best == now else f"top 1 lost ({best} -> {now})"
    return f"{kept}, its score {score:.4g} -> {float(after.reshape(-1)[best]):.4g}"


def _title(comparison: Comparison) -> str:
    return f"{comparison.network}, {comparison.image} on {comparison.accelerator.name} (source: {comparison.source})"
