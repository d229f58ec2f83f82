"""Epsilon, its readings, and published examples and totals, against vectors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from accelsim.graph import Node
from accelsim.layers.activations import activate
from accelsim.networks import published
from accelsim.report.counting import PaperCount
from accelsim.schedule import build
from accelsim.schedule.tables import FILTER, IFMAP, READ
from accelsim.schemes import rlc
from accelsim.trace import part_maxima
from accelsim.validation.result import Compared
from accelsim.validation.scheme_sizes import EIE_LONGEST, pairs
from accelsim.validation.scheme_vectors import Case, exact, machine

AUTHORS = Path("authors/drfmp_dog_eps0.csv")
"""The authors' counts, in the folder above the vectors."""
NETWORKS = {
    "AlexNet": "alexnet",
    "MobileNet": "mobilenet",
    "ResNet-50": "resnet50",
    "SqueezeNet": "squeezenet",
    "TinyNet": "tiny",
    "VGG-16": "vgg16",
}
"""Names in the paper, and in the authors' counts."""
_INPUTS = {"AlexNet": (3, 227, 227), "SqueezeNet": (3, 227, 227)}
"""Input maps that the counts do not tell and that differ from stride times the first ofmap."""
_LOGS = "the logs add up to 1 for each layer that is tested by elements (a counter reset inside its loop)"
_EQUATION_SLOPE = 0.01
"""What Eq. 1 multiplies by, whatever the layer's slope."""


def epsilon(case: Case) -> list[Compared]:
    """Compare which channels are zero for which epsilon, and what Eq. 1 makes of single values.

    Ours is `zero_le`: every element within epsilon of zero. The other readings of Algorithm 1 and Eq. 1 are worked out beside it.
    """
    channels = {name: _values(case, value) for name, value in case.inner("channels").content.items()}
    rows = []
    for number, entry in enumerate(case.items("cases")):
        inner = Case(case.path, f"cases {number}", entry if isinstance(entry, dict) else {})
        eps, name = np.float32(inner.number("eps")), inner.content.get("channel")
        if name not in channels:
            raise inner.fault(f"channel: {name!r:.40} is not among the channels")
        data = channels[name]
        strict, small = bool((np.abs(data) < eps).all()), bool((np.abs(data) < eps).any())
        ours = {
            "zero_le": int(part_maxima(data.reshape(1, 1, -1), 1, data.size)[0, 0, 0] <= eps),
            "zero_lt": int(strict),
            "flag_as_printed_any": int(small),
        }
        rows.append(inner.compare("epsilon", ours, f"channel {name}  epsilon {eps:g}"))
    return rows + [_leaky(case, number, entry) for number, entry in enumerate(case.items("leaky") if "leaky" in case.content else ())]


def _values(case: Case, value: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    try:
        return np.array([float(item) for item in value], dtype=np.float32)
    except (TypeError, ValueError):
        raise case.fault(f"channels: {value!r:.60} is no list of numbers") from None


def _leaky(case: Case, number: int, entry: Any) -> Compared:
    inner = Case(case.path, f"leaky {number}", entry if isinstance(entry, dict) else {})
    slope, x, eps = inner.number("slope"), inner.number("x"), inner.number("eps")
    node = Node(1, "leaky", "conv", (0,), (1, 1, 1), activation="leaky", slope=slope)
    y = np.float32(activate(node, np.full((1, 1, 1), x, dtype=np.float32), {})[0, 0, 0])
    literal = 0.0 if -_EQUATION_SLOPE * eps <= x <= eps else (x if x > eps else _EQUATION_SLOPE * x)
    theirs = np.float32(inner.number("act"))
    # Slopes are no binary fractions, so a product may be off by a unit in the last place.
    near = abs(y - theirs) <= np.spacing(abs(theirs))
    quantities = {
        "act": (float(theirs if near else y), float(theirs)),
        "small_after_act": (int(abs(y) <= np.float32(eps)), inner.count("small_after_act")),
        "eq1_as_printed": (literal, inner.number("eq1_as_printed")),
    }
    return exact(f"leaky  slope {slope:g}  x {x:g}  epsilon {eps:g}", "epsilon", quantities)


def examples(case: Case) -> list[Compared]:
    """Compare the published examples of codes, and the totals that follow from the authors' counts where those lie beside."""
    rows = []
    for name in case.content:
        inner = case.inner(name)
        if name == "eie_column":
            found = pairs(np.array(inner.items("input")), EIE_LONGEST, False)
            rows.append(inner.compare("published", {"z": [run for run, _ in found], "v": [value for _, value in found]}))
        elif name == "eyeriss_rlc":
            options = rlc.Options()
            fields = [options.run_bits, 16] * rlc.pairs_of_a_word(16, options) + [1]
            found = pairs(np.array(inner.items("input")), 2**options.run_bits - 1, True)
            rows.append(inner.compare("published", {"pairs": found, "word_fields_bits": fields}))
        elif name == "deep_compression_diff":
            rows.append(_differences(inner))
        elif name == "squeezenet_deep_compression_file":
            rows.append(_file(inner))
        elif name.startswith("drfmp_"):
            rows += _totals(inner, case.path.parent.parent / AUTHORS)
        else:
            rows.append(Compared(name, "published", "quantities", 0, 0, "told", ("no such example is known",)))
    return rows


def _differences(case: Case) -> Compared:
    """Positions as differences: a run of zeros plus one, counted from position 1 on."""
    positions = [int(position) for position in case.items("positions")]
    largest = max(int(step) for step in case.items("diffs"))
    numbers = np.zeros(max(positions), dtype=np.int64)
    numbers[np.array(positions) - 1] = np.arange(1, len(positions) + 1)
    found = pairs(numbers, largest - 1, False)
    real = [value for value in case.items("values") if value]
    return case.compare(
        "published", {"diffs": [run + 1 for run, _ in found], "values": [real[value - 1] if value else 0 for _, value in found]}
    )


def _file(case: Case) -> Compared:
    """Sums over the layers of the released file, and its size: counts, codebooks, biases, an 8-bit code and a 4-bit index an entry."""
    shapes, entries = case.items("shapes_K_C_R"), [int(count) for count in case.items("entries")]
    fillers = sum(case.items("fillers"))
    size = 4 * len(entries) + sum(4 * 256 + 4 * k + n + math.ceil(n / 2) for (k, _, _), n in zip(shapes, entries, strict=True))
    return case.compare(
        "published",
        {
            "file_bytes": size,
            "layers": len(entries),
            "weights": sum(k * c * r * r for k, c, r in shapes),
            "entries_stored": sum(entries),
            "filler_entries": fillers,
            "real_nonzeros": sum(entries) - fillers,
        },
    )


def _totals(case: Case, counts: Path) -> list[Compared]:
    if not counts.is_file():
        return [Compared(case.name, "published", "quantities", 0, 0, "told", (f"the authors' counts are not at {counts}",))]
    nets = case.content if case.name.endswith(("denominators", "derived")) else {"all": None, "conv": None}
    if case.name.endswith("denominators"):
        return [
            exact(f"{case.name}, {net}", "published", {"output elements": (_count(counts, net).output_elements, case.count(net))})
            for net in nets
        ]
    if case.name.endswith("derived"):
        return [_replayed(case.inner(net), counts, net) for net in nets if net in NETWORKS]
    rows = []
    for key, elements, saved in (
        ("all_layer_elements_and_saved", "output_elements", "saved_elements"),
        ("conv_only_elements_and_saved", "conv_elements", "conv_saved_elements"),
    ):
        inner = case.inner(key)
        for net in inner.content:
            paper = _count(counts, net)
            ours, theirs = [getattr(paper, elements), getattr(paper, saved)], inner.items(net)
            row = exact(f"{case.name}, {key.partition('_')[0]}, {net}", "published", {"elements and saved": (ours, theirs)})
            rows.append(replace(row, verdict="told", faults=(*row.faults, _LOGS)) if _reset_counter(counts, net, ours, theirs) else row)
    return rows


def _reset_counter(counts: Path, net: str, ours: Sequence[int], theirs: Sequence[Any]) -> bool:
    """Whether the logs' counter, which kinds that are tested by elements set to 0 or 1, can be the whole difference."""
    by_elements = sum(node.kind in ("fc", "add", "avgpool") for node in published.from_table(counts, NETWORKS.get(net, net)).graph.nodes)
    return len(theirs) == 2 and ours[0] == theirs[0] and 0 < theirs[1] - ours[1] <= by_elements


def _count(counts: Path, net: str) -> PaperCount:
    return PaperCount.of(published.from_table(counts, NETWORKS.get(net, net)))


def _replayed(case: Case, counts: Path, net: str) -> Compared:
    """Elements that convolutions and fully connected layers read and skip where each map is read once."""
    schedule = build(published.from_table(counts, NETWORKS[net], input_shape=_INPUTS.get(net)), machine(16, 16, 8), "channel_marker")
    table = schedule.transfers
    counted = np.isin(np.array(schedule.kinds), ("conv", "fc"))[table.layer] & (table.direction == READ)
    full = np.array([kind == "fc" for kind in schedule.kinds])[table.layer]

    def elements(mine: Any) -> list[int]:
        return [int(table.bytes_dense[mine].sum()), int((table.bytes_dense - table.bytes_wanted)[mine].sum())]

    filters = counted & (table.tensor == FILTER)
    ours = {
        "ifmap": elements(counted & (table.tensor == IFMAP)),
        "weights": elements(filters),
        "fc_weights_skipped": elements(filters & full)[1],
    }
    return case.compare("published", ours)
