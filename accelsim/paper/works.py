"""What other works measure, measured on our networks, data and machines; nothing here was trained for a scheme."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim import hardware, inference, runfile, schemes, simulate, tracefile
from accelsim.evaluation import evaluate, evaluatefile
from accelsim.evaluation.samples import samples
from accelsim.graph import Graph
from accelsim.hardware import Accelerator
from accelsim.networks import zoo
from accelsim.paper.measure import arrays
from accelsim.paper.paperfile import Archive, Columns, Rlc, Zebra
from accelsim.report.counting import PRUNED_KINDS
from accelsim.schemes.zvc import GROUP
from accelsim.trace import SYNTHETIC, FeatureMap, Trace, measure, pack
from accelsim.validation import silicon
from accelsim.validation.chip import Tables, batch_of, chips_of, layers_of

ZEBRA, CDMA, COLUMN, EYERISS, EBPC = "Zebra", "cDMA", "Semi-structured sparsity", "Eyeriss RLC", "EBPC"
SAVED, SMALLER, FASTER = "activation traffic saved", "compression of activations", "speed-up"
LESS = "DRAM traffic without over with RLC"
UNTRAINED = "in kind: nothing here was trained for it, so it is a bound from below"
ONE_IMAGE = "in kind: one image"
STREAM = "unit=1048576,layout=packed,fallback=false"
"""A whole map as one stream, as published ratios count it."""
WIDTH = 16
"""Bits of an element where a work does not depend on it."""
LARGEST = 127
"""Of 8-bit maps: symmetric, each map by its own largest magnitude."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Found:
    """A measured number. `ours`: what stands behind it; `comparable`: how far it may be held against the published one."""

    work: str
    quantity: str
    at: str
    unit: str
    value: float
    ours: str
    comparable: str


def zero_blocks(asked: Zebra, machine: Accelerator) -> Iterator[Found]:
    """Share of the bytes of maps that blocks of zeros save, their flags counted, at threshold 0."""
    for path in asked.traces:
        trace = tracefile.load(path)
        maps = [fmap for node, fmap in zip(trace.graph.nodes, trace.maps, strict=True) if node.kind in PRUNED_KINDS]
        dense = sum(fmap.elements for fmap in maps) * machine.data.ifmap_bits // 8
        for side in asked.blocks:
            scheme = schemes.load(f"zero_block:height={side},width={side}")
            encoded = [scheme.encode_map(fmap, machine) for fmap in maps]
            stored = sum(one.payload_bytes + one.metadata_bytes for one in encoded)
            ours = f"{trace.graph.name}, {trace.image}, {side} x {side}, threshold 0, {machine.data.ifmap_bits} bit ({trace.source})"
            yield Found(ZEBRA, SAVED, "", "%", 100 * (1 - stored / dense), ours, UNTRAINED)


def thresholds(asked: Zebra, file: Path, folder: Path, progress: Progress) -> Iterator[Found]:
    """The most that blocks below a threshold save of the outputs while accuracy keeps within the budget, flags counted."""
    side = asked.block
    changes = [f"evaluate.epsilons={list(asked.epsilons)}", "evaluate.modes=[part]", f"evaluate.part=[{side}, {side}]"]
    given = evaluatefile.load(file, changes)
    found = evaluate.evaluate(given, results=folder / f"{given.name}_blocks_{side}", figures=False, progress=progress)
    table = found.table[found.table["top1_loss"] <= asked.budget + 1e-9]
    best = table.sort_values("marked_percent_of_outputs", kind="stable").iloc[-1]
    ours = (
        f"{best['network']}, {int(best['images'])} images, {side} x {side}, one threshold for all layers ({best['epsilon']:g}), "
        f"{WIDTH} bit, not trained; top-1 {0 - best['top1_loss']:+.1f} points"
    )
    value = float(best["marked_percent_of_outputs"]) - 100 / (WIDTH * side * side)
    yield Found(ZEBRA, SAVED, "", "%", value, ours, UNTRAINED)


def zero_value(traces: Mapping[str, Path]) -> Iterator[Found]:
    """Ratio of ZVC over the outputs of convolutions and max-pools, of 32-bit and 16-bit maps: numbers of zeros alone decide it."""
    loaded = {name: tracefile.load(path) for name, path in traces.items()}
    for bits in (32, 16):
        ratios: list[float] = []
        layers: list[tuple[float, str]] = []
        for name, trace in loaded.items():
            counts = _live(trace)
            if counts:
                ratios.append(sum(size for _, size, _ in counts) * bits / sum(zvc_bits(size, live, bits) for _, size, live in counts))
                layers += [(size * bits / zvc_bits(size, live, bits), f"{name}, {layer}") for layer, size, live in counts]
                ours = f"{name}, {trace.image}, {bits} bit ({trace.source})"
                yield Found(CDMA, SMALLER, name, "x", ratios[-1], ours, ONE_IMAGE)
        how = "in kind: other networks, inference on one image, not training"
        for what, chosen in (("that make zeros", [ratio for ratio in ratios if ratio > 1]), ("of the paper", ratios)):
            if chosen:
                ours = f"{len(chosen)} networks {what}, {bits} bit, one image"
                yield Found(CDMA, SMALLER, "mean", "x", float(np.mean(chosen)), ours, how)
        if layers:
            value, where = max(layers)
            yield Found(CDMA, SMALLER, "best layer", "x", value, f"{where}, {bits} bit, one image", how)


def zvc_bits(elements: int, nonzeros: int, bits: int) -> int:
    """Bits of a map as one ZVC stream: a mask for each group, and the values that are not zero."""
    return -(-elements // GROUP) * GROUP + nonzeros * bits


def columns(asked: Columns) -> Iterator[Found]:
    """Speed-up on our machine where each convolution but the depthwise ones leaves out a share of its positions, at random places."""
    machine = hardware.load_accelerator(asked.accelerator)
    for name in asked.networks:
        graph = zoo.load(name).graph
        for share in asked.shares:
            dense, masked = simulate.compare(position_masks(graph, share), machine, ["gemm_column"]).results
            ours = f"{machine.name}, simulated cycles; {1 / (1 - share):.2f}x at most; depthwise layers whole"
            value = dense.totals["total_cycles"] / masked.totals["total_cycles"]
            how = "in kind: another machine, mask at random, so no accuracy"
            yield Found(COLUMN, FASTER, f"{name}, {100 * share:g} % of positions", "x", value, ours, how)


def position_masks(graph: Graph, share: float, seed: int = 0) -> Trace:
    """A trace in which round(share * H * W) positions of each convolution's output, but depthwise ones, are zero in all channels."""
    rng = np.random.default_rng(seed)
    maps = []
    for node in graph.nodes:
        live = np.ones(node.shape, dtype=np.bool_)
        _, height, width = node.shape
        if node.kind == "conv" and node.groups == 1:
            live.reshape(node.shape[0], -1)[:, rng.permutation(height * width)[: round(share * height * width)]] = False
        zeros = live.size - int(live.sum())
        maps.append(FeatureMap(node.shape, np.logical_not(live.any(axis=(1, 2))), zeros, pack(live)))
    told = {"zeros": f"{100 * share:g} % of the positions of each convolution but depthwise ones, in all channels, at random"}
    return Trace(graph, tuple(maps), f"mask {seed}", 0.0, "channel", (8, 8), SYNTHETIC, told)


def run_length(asked: Rlc) -> Iterator[Found]:
    """DRAM bytes of each layer of the chip without its code over those with it, with the zeros that were measured."""
    machine = hardware.load_accelerator(asked.accelerator)
    lines = layers_of(asked.table)
    chips = chips_of(Tables.find(asked.table, asked.accelerator, asked.mapping), lines)
    images = batch_of(asked.table, lines, chips) or machine.batch
    how = "yes: the same layers, mapping and shares of zeros, at random places"
    for chip in chips:
        bare, coded = (silicon.replay(machine, chip, images, scheme).moved for scheme in ("dense", None))
        zeros = f"{100 * chip.zeros_ifmap:g} % zeros in, {100 * chip.zeros_ofmap:.3g} % out, as measured"
        yield Found(EYERISS, LESS, chip.name, "x", bare / coded, f"{machine.name} with the chip's mapping, batch {images}; {zeros}", how)


def bit_planes(file: Path, images: Path, machine: Accelerator) -> Iterator[Found]:
    """Ratio of EBPC on 8-bit maps of a network on the first image of an evaluate file."""
    network_file, asked = runfile.load_network_file(file), evaluatefile.load(images)
    network = inference.prepare(simulate.load_network(network_file))
    image = inference.photograph(samples(asked)[0].source, asked.network_file().preprocessing)
    maps = [step.output.copy() for step in inference.run(network, image.tensor) if step.node.kind in (*PRUNED_KINDS, "add")]
    yield _planes(network_file.name, maps, f"{network_file.name}, {image.name}", machine)


def bit_planes_of_others(archive: Archive, machine: Accelerator) -> Iterator[Found]:
    """Ratio of EBPC on 8-bit maps of others."""
    maps = [values for _, values in arrays(archive)]
    yield _planes(archive.like, maps, f"{archive.like} of others, {archive.image}, convolutions", machine)


def quantised(values: NDArray[np.float32]) -> NDArray[Any]:
    """A map in 8 bits, symmetric, its largest magnitude at the end of the range. Shapes: any, int8 of the same."""
    largest = float(np.abs(values).max(initial=0.0))
    steps: NDArray[Any] = np.rint(values * (LARGEST / largest if largest else 0.0)).astype(np.int8)
    return steps


def _planes(at: str, maps: Sequence[NDArray[np.float32]], what: str, machine: Accelerator) -> Found:
    scheme = schemes.load(f"ebpc:{STREAM}")
    encoded = [scheme.encode_map(measure(quantised(values), values=True), machine) for values in maps]
    stored = sum(one.payload_bytes + one.metadata_bytes for one in encoded)
    ours = f"{what}, 8 bit, each map one stream"
    return Found(EBPC, SMALLER, at, "x", sum(values.size for values in maps) / stored, ours, ONE_IMAGE)


def _live(trace: Trace) -> list[tuple[str, int, int]]:
    """Name, elements and elements that are not zero of each map whose zeros are known."""
    pairs = zip(trace.graph.nodes, trace.maps, strict=True)
    return [
        (node.name, fmap.elements, fmap.elements - fmap.zero_elements)
        for node, fmap in pairs
        if node.kind in PRUNED_KINDS and fmap.zero_elements is not None
    ]
